import { setImmediate as turn } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'

import type { Broker } from '../api.ts'
import { createBroker } from '../broker.ts'
import type { BrokerEvent, EventOf } from '../events.ts'
import type { ConnectionInfo } from '../messages.ts'
import { memoryPair } from '../net/memory.ts'
import type { BrokerOptions, Logger } from '../options.ts'
import { SimulatedClock } from './simulated-clock.ts'
import { TestClient, type ConnectOptions } from './test-client.ts'

/** Enough turns for a few hops through streams, promises and the fan-out; each costs microseconds. */
const SETTLE_TURNS = 25
/** Seconds of simulated time that closing may take: as much as draining may at most, and its retries. */
const MAX_CLOSE_SECONDS = 50
/** Events that are kept for `expectEvent`; the oldest go. */
const MAX_KEPT_EVENTS = 10_000

/** Something that a broker in order does not do: a hook, an authenticator, an action or an observer threw. */
export interface Failure {
  /** What the broker's log says. */
  readonly message: string
  readonly clientId: string | undefined
  readonly error: unknown
}

/** Those of `createBroker`; time and log are the test's. */
export interface TestBrokerOptions extends Omit<BrokerOptions, 'clock' | 'logger'> {
  /** Milliseconds of real time that one wait may take. Default 3,000. */
  readonly timeoutMs?: number
}

/** A broker for one test. */
export interface TestBroker extends AsyncDisposable {
  readonly broker: Broker
  readonly clock: SimulatedClock
  /** A connection on which nothing was sent yet. */
  attach(info?: Partial<ConnectionInfo>): TestClient
  /** A client whose CONNECT was accepted. */
  connect(options?: ConnectOptions): Promise<TestClient>
  /** Gives streams, promises and hooks that need no timer the turns that they need: the alternative to sleeping. */
  settle(): Promise<void>
  /** Moves the clock by milliseconds and lets the broker settle, before and after. */
  advance(ms: number): Promise<void>
  /** The first event of this type, with these values, since the one that was expected last; waits for it. */
  expectEvent<Type extends BrokerEvent['type']>(type: Type, fields?: Partial<EventOf<Type>>): Promise<EventOf<Type>>
  /** What has failed so far, and is expected: `close` does not fail for it any more. */
  takeFailures(): readonly Failure[]
  /** Closes the broker. Rejects with an AggregateError where something failed that no test has taken. */
  close(): Promise<void>
}

/** Starts a broker that stands still in time, takes connections in memory, and forgives nothing. */
export function testBroker(options: TestBrokerOptions = {}): TestBroker {
  const { timeoutMs = 3_000, ...brokerOptions } = options
  return new Bench(brokerOptions, timeoutMs)
}

class Bench implements TestBroker {
  readonly broker: Broker
  readonly clock = new SimulatedClock()
  readonly #timeoutMs: number
  #failures: Failure[] = []
  #events: BrokerEvent[] = []
  readonly #waiting = new Set<() => void>()

  constructor(options: BrokerOptions, timeoutMs: number) {
    this.#timeoutMs = timeoutMs
    this.broker = createBroker({ ...options, clock: this.clock, logger: this.#logger() })
    this.broker.events$.subscribe((event) => {
      this.#events.push(event)
      if (this.#events.length > MAX_KEPT_EVENTS) this.#events.shift()
      for (const look of this.#waiting) look()
    })
  }

  attach(info: Partial<ConnectionInfo> = {}): TestClient {
    const [client, server] = memoryPair()
    this.broker.attach(server, { transport: 'memory', ...info })
    return new TestClient(client, { timeoutMs: this.#timeoutMs, context: () => this.#tellFailures() })
  }

  async connect(options: ConnectOptions = {}): Promise<TestClient> {
    const client = this.attach()
    await client.connect(options)
    return client
  }

  async settle(): Promise<void> {
    for (let count = 0; count < SETTLE_TURNS; count++) await turn()
  }

  async advance(ms: number): Promise<void> {
    await this.settle()
    this.clock.advance(ms)
    await this.settle()
  }

  async expectEvent<Type extends BrokerEvent['type']>(
    type: Type,
    fields: Partial<EventOf<Type>> = {},
  ): Promise<EventOf<Type>> {
    const isMeant = (event: BrokerEvent): boolean =>
      event.type === type &&
      Object.entries(fields).every(([name, value]) => isDeepStrictEqual(Reflect.get(event, name), value))
    const at = (): number => this.#events.findIndex(isMeant)
    await this.#until(() => at() >= 0, `the event ${type} ${JSON.stringify(fields)}`)
    const [found] = this.#events.splice(0, at() + 1).slice(-1)
    return found as unknown as EventOf<Type>
  }

  takeFailures(): readonly Failure[] {
    const taken = this.#failures
    this.#failures = []
    return taken
  }

  async close(): Promise<void> {
    let isOpen = true
    const closing = this.broker.close().finally(() => {
      isOpen = false
    })
    // Draining has a limit in time, and time moves only here.
    for (let second = 0; isOpen && second < MAX_CLOSE_SECONDS; second++) await this.advance(1_000)
    await closing
    const failures = this.takeFailures()
    if (failures.length === 0) return
    const errors = failures.map(({ message, error }) => new Error(message, { cause: error }))
    throw new AggregateError(errors, `the broker reports failures:${textOf(failures)}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return
    const happened = await new Promise<boolean>((resolve) => {
      const end = (outcome: boolean): void => {
        clearTimeout(guard)
        this.#waiting.delete(look)
        resolve(outcome)
      }
      const guard = setTimeout(() => end(false), this.#timeoutMs)
      const look = (): void => {
        if (condition()) end(true)
      }
      this.#waiting.add(look)
    })
    if (happened) return
    const types = this.#events.slice(-20).map(({ type }) => type)
    throw new Error(
      `waited ${this.#timeoutMs} ms for ${what}\nevents so far: ${types.join(', ') || '(none)'}${this.#tellFailures()}`,
    )
  }

  /** Whatever throws inside a broker is in its log, with the error. */
  #logger(): Logger {
    const keep = (details: object, message: string): void => {
      const { err: error, clientId } = details as { readonly err?: unknown; readonly clientId?: string }
      this.#failures.push({ message, clientId, error })
    }
    return {
      debug: () => {},
      info: () => {},
      warn: (details, message) => {
        if ('err' in details) keep(details, message)
      },
      error: keep,
    }
  }

  #tellFailures(): string {
    return this.#failures.length === 0 ? '' : `\nthe broker reports failures:${textOf(this.#failures)}`
  }
}

function textOf(failures: readonly Failure[]): string {
  return failures
    .map(({ message, clientId, error }) => {
      const whose = clientId ? ` (${clientId})` : ''
      return `\n  ${message}${whose}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
    })
    .join('')
}
