/**
 * A broker for clients of other people: real time, real listeners on free ports, closed when the
 * test ends.
 *
 * ```ts
 * const t = await startListeningBroker()
 * t.ports.tls                                          // tcp, tls, ws and wss are all open
 * await t.happened('subscription.added', 'sensor-1')   // waits for an event of the broker, past ones included
 * ```
 */
import { join } from 'node:path'
import { EventEmitter, once } from 'node:events'
import { onTestFinished } from 'vitest'

import { createBroker, type BrokerEvent, type BrokerOptions, type ListenerOptions } from '../../src/index.ts'
import { localhostPair, testAuthority } from './certificates.ts'
import { tempFolder } from './temp-files.ts'

export type NetworkTransport = 'tcp' | 'tls' | 'ws' | 'wss'

const guardMs = 15_000

export type ListeningBroker = Awaited<ReturnType<typeof startListeningBroker>>

export async function startListeningBroker(options: BrokerOptions = {}) {
  const broker = createBroker(options)
  onTestFinished(() => broker.close({ drainTimeoutMs: 100 }))
  const events: BrokerEvent[] = []
  const changes = new EventEmitter()
  broker.events$.subscribe((event) => {
    events.push(event)
    changes.emit('change')
  })

  /** Opens a listener and tells its port. */
  const listen = async (listener: ListenerOptions): Promise<number> => {
    const { address } = await broker.listen(listener)
    return 'port' in address ? address.port : 0
  }

  /** Waits until so many events of this type, of this client, have come since the start. */
  const happened = async (type: BrokerEvent['type'], clientId: string, times = 1): Promise<void> => {
    const found = (): number =>
      events.filter((event) => event.type === type && 'clientId' in event && event.clientId === clientId).length
    const signal = AbortSignal.timeout(guardMs)
    while (found() < times) {
      await once(changes, 'change', { signal }).catch((cause: unknown) => {
        const seen = events.map((event) => `${event.type} ${'clientId' in event ? event.clientId : ''}`)
        throw new Error(`waited for ${times} × ${type} of ${clientId}; there were:\n  ${seen.join('\n  ')}`, { cause })
      })
    }
  }

  const { key, cert } = localhostPair()
  const ports: Readonly<Record<NetworkTransport, number>> = {
    tcp: await listen({ transport: 'tcp', port: 0 }),
    tls: await listen({ transport: 'tls', port: 0, key, cert }),
    ws: await listen({ transport: 'ws', port: 0 }),
    wss: await listen({ transport: 'wss', port: 0, key, cert }),
  }
  const folder = tempFolder({ 'ca.pem': testAuthority().cert })

  return { broker, events, happened, listen, ports, caFile: join(folder, 'ca.pem') }
}
