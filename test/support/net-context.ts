import type { Duplex } from 'node:stream'

import type { ConnectionInfo } from '../../src/messages.ts'
import type { ListenContext } from '../../src/net/types.ts'
import { defaultLimits } from '../../src/limits.ts'
import type { Limits } from '../../src/limits.ts'
import { SimulatedClock } from './simulated-clock.ts'

/** A line that a listener logged. */
export interface LoggedLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly details: object
  readonly message: string
}

/** A connection that a listener accepted. */
export interface Accepted {
  readonly stream: Duplex
  readonly info: ConnectionInfo
}

/** A connection that a listener refused. */
export interface Refused {
  readonly info: ConnectionInfo
  readonly reason: string
}

/** A queue that a test waits on instead of sleeping. */
class Inbox<T> {
  readonly items: T[] = []
  readonly #waiting: Array<(item: T) => void> = []

  add(item: T): void {
    const waiter = this.#waiting.shift()
    if (waiter) waiter(item)
    else this.items.push(item)
  }

  next(): Promise<T> {
    const item = this.items.shift()
    return item === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(item)
  }
}

/** A {@link ListenContext} that a test looks into: its clock is simulated, everything else is recorded. */
export class TestListenContext implements ListenContext {
  readonly limits: Limits
  readonly clock = new SimulatedClock()
  readonly accepted = new Inbox<Accepted>()
  readonly refusals = new Inbox<Refused>()
  readonly lines: LoggedLine[] = []
  admits = true
  admissions = 0
  readonly banned = new Set<string>()
  readonly logger = {
    debug: (details: object, message: string) => this.#log('debug', details, message),
    info: (details: object, message: string) => this.#log('info', details, message),
    warn: (details: object, message: string) => this.#log('warn', details, message),
    error: (details: object, message: string) => this.#log('error', details, message),
  }

  constructor(limits: Partial<Limits> = {}) {
    this.limits = { ...defaultLimits, ...limits }
  }

  admit(): boolean {
    this.admissions += 1
    return this.admits
  }

  isBanned(address: string | undefined): boolean {
    return address !== undefined && this.banned.has(address)
  }

  accept(stream: Duplex, info: ConnectionInfo): void {
    stream.on('error', () => {})
    this.accepted.add({ stream, info })
  }

  refused(info: ConnectionInfo, reason: string): void {
    this.refusals.add({ info, reason })
  }

  #log(level: LoggedLine['level'], details: object, message: string): void {
    this.lines.push({ level, details, message })
  }
}
