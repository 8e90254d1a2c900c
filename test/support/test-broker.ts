/**
 * A broker for one test: simulated time, in-memory connections, closed when the test ends.
 *
 * ```ts
 * test('…', async () => {
 *   const { broker, attach, connect, advance, settle, state } = startBroker({ maximumQoS: 1 })
 *   const raw = attach()                                  // a RawClient, nothing sent yet
 *   const a = await connect({ clientId: 'a', keepAlive: 10 }) // … that is connected; a.connack is the answer
 *   await advance(15_000)                                 // moves the clock, then lets the broker settle
 *   await a.expectDisconnect(0x8d)
 *   expect(state('a')).toBe('offline')
 * })
 * ```
 *
 * `advance` fires what is due and then settles; it never waits for real time. `settle` gives the
 * event loop turns until streams, promises and fan-out have run dry: the alternative to sleeping.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { onTestFinished } from 'vitest'

import { createBroker, type BrokerOptions, type ListenerOptions } from '../../src/index.ts'
import { memoryPair } from '../../src/net/memory.ts'
import { RawClient, type RawClientOptions } from './raw-client.ts'
import { NodeLikeClock, type SimulatedClock } from './simulated-clock.ts'
import { hex, type ConnectInput } from './wire.ts'

/** Enough turns for a few hops through streams, promises and the fan-out; each costs microseconds. */
const settleTurns = 25

/** Lets pending callbacks, streams and promises run; without sleeping. */
export async function settle(turns: number = settleTurns): Promise<void> {
  for (let count = 0; count < turns; count += 1) await turn()
}

export type TestBroker = ReturnType<typeof startBroker>

/** Starts a broker on simulated time. Options are `createBroker`'s. */
export function startBroker(options: BrokerOptions = {}) {
  const clock: SimulatedClock = new NodeLikeClock()
  const broker = createBroker({ clock, ...options })

  /** A connection on which nothing was sent yet. */
  const attach = (clientOptions: RawClientOptions = {}): RawClient => {
    const [client, server] = memoryPair()
    broker.attach(server)
    return new RawClient(client, clientOptions)
  }

  /** A connection on which CONNECT was accepted. */
  const connect = async (input: ConnectInput = {}): Promise<RawClient> => {
    const client = attach()
    await client.connect(input)
    return client
  }

  /** Sends these bytes on a fresh connection: for faults in or before CONNECT. */
  const first = (...parts: ReadonlyArray<Buffer | string>): RawClient => {
    const client = attach()
    client.send(...parts.map((part) => (typeof part === 'string' ? hex(part) : part)))
    return client
  }

  const advance = async (ms: number): Promise<void> => {
    await settle()
    clock.advance(ms)
    await settle()
  }

  /** Opens a listener and tells its port; use port 0. */
  const listen = async (listener: ListenerOptions): Promise<{ readonly port: number }> => {
    const { address } = await broker.listen(listener)
    if (!('port' in address)) throw new Error('a listener without a port')
    return address
  }

  /** A client over TCP on which nothing was sent yet. Network time is real time, so `settle` does not cover it. */
  const tcp = async (port: number, clientOptions: RawClientOptions = {}): Promise<RawClient> => {
    const client = await RawClient.tcp(port, clientOptions)
    onTestFinished(() => client.drop())
    return client
  }

  /** Name of the session's top-level state; undefined when there is no such session. */
  const state = (clientId: string): string | undefined => broker.sessions.get(clientId)?.state

  /** Closes the broker, with simulated time running so that no deadline holds it up. */
  const close = async (): Promise<void> => {
    let open = true
    const closing = broker.close({ drainTimeoutMs: 0 }).finally(() => {
      open = false
    })
    for (let round = 0; open && round < 50; round += 1) await advance(1000)
    await closing
  }
  onTestFinished(close)

  return { broker, clock, attach, connect, first, listen, tcp, advance, settle, state, close }
}
