import { StatemqError } from '../errors.ts'
import { deny, type Deny } from '../hooks.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { SessionCore } from './core.ts'
import { LocalConnection } from './local-connection.ts'
import { RateLimit } from './rate-limit.ts'
import type { Session } from './session.ts'

/** How `broker.drain` sends clients away. */
export interface DrainOptions {
  /** Where MQTT 5 clients are told to go, such as `mqtt-2.example.org:8883`. Default: they are told nothing. */
  readonly serverReference?: string
  /** They are told to stay there (0x9D) instead of for now (0x9C). Default false. */
  readonly permanent?: boolean
  /** Clients a second: they come down on another broker at this rate. Default 500. */
  readonly perSecond?: number
  /** Those who are left by then are sent away at once. Default: never. */
  readonly timeoutMs?: number
  /** Aborted, the broker takes connections again. */
  readonly signal?: AbortSignal
}

const DEFAULT_PER_SECOND = 500
const MAX_REFERENCE_BYTES = 65_535
/** How many are sent away in one turn of the event loop where there is no time left. */
const SESSIONS_PER_TURN = 1_000

interface Current {
  readonly refusal: Deny
  readonly serverReference: string | undefined
  wake: () => void
}

/**
 * Sends everybody away, slowly, and lets nobody in. A broker that drops a hundred thousand clients at once
 * has them knock at the next one in the same second.
 */
export class Draining {
  readonly #core: Pick<SessionCore, 'clock' | 'deadlines' | 'events' | 'registry'>
  #current: Current | undefined = undefined

  constructor(core: Pick<SessionCore, 'clock' | 'deadlines' | 'events' | 'registry'>) {
    this.#core = core
  }

  /** The answer to every CONNECT; undefined: the broker takes connections. */
  get refusal(): Deny | undefined {
    return this.#current?.refusal
  }

  /** Resolves with how many were sent away. One more call takes the place of this. Rejects with SMQ_OPTION_INVALID. */
  async start(options: DrainOptions): Promise<number> {
    const { serverReference, perSecond = DEFAULT_PER_SECOND, timeoutMs = Infinity, signal } = options
    assertUsable(options)
    this.close()
    if (signal?.aborted) return 0
    const mine: Current = { refusal: refusalOf(options), serverReference, wake: () => {} }
    this.#current = mine
    signal?.addEventListener('abort', () => this.#end(mine), { once: true })
    this.#core.events.emit({ type: 'drain.started', serverReference: serverReference ?? null, perSecond })
    const sessions = await this.#sendAll(mine, perSecond, this.#core.clock.nowMs() + timeoutMs)
    const cause = this.#current === mine ? 'done' : 'cancelled'
    this.#core.events.emit({ type: 'drain.ended', sessions, cause })
    return sessions
  }

  /** The broker takes connections again, or is closed. */
  close(): void {
    if (this.#current !== undefined) this.#end(this.#current)
  }

  #end(one: Current): void {
    if (this.#current === one) this.#current = undefined
    one.wake()
  }

  async #sendAll(mine: Current, perSecond: number, endsAtMs: number): Promise<number> {
    const { clock, registry } = this.#core
    const rate = new RateLimit(clock, perSecond, perSecond / 10)
    let count = 0
    for (const session of [...registry.sessions.values()]) {
      if (!isHere(session)) continue
      const waitMs = Math.min(rate.reserve(), endsAtMs - clock.nowMs())
      if (waitMs > 0) await this.#pause(mine, waitMs)
      else if (count % SESSIONS_PER_TURN === SESSIONS_PER_TURN - 1) await new Promise(setImmediate)
      if (this.#current !== mine) break
      // It may have left by itself meanwhile.
      if (!isHere(session)) continue
      session.send({ type: 'session.disconnect', ...farewellOf(mine) })
      count++
    }
    return count
  }

  #pause(mine: Current, ms: number): Promise<void> {
    const { clock, deadlines } = this.#core
    return new Promise((resolve) => {
      const deadline = deadlines.schedule(clock.nowMs() + ms, resolve)
      mine.wake = () => {
        deadlines.cancel(deadline)
        resolve()
      }
    })
  }
}

/** Clients of this process have nowhere to go. */
function isHere({ state, connection }: Session): boolean {
  return state === 'online' && connection !== undefined && !(connection instanceof LocalConnection)
}

function refusalOf({ serverReference, permanent = false }: DrainOptions): Deny {
  if (serverReference === undefined) return deny(ReasonCode.ServerUnavailable, 'the broker is being drained')
  return permanent
    ? deny(ReasonCode.ServerMoved, 'the broker has moved', serverReference)
    : deny(ReasonCode.UseAnotherServer, 'the broker is being drained', serverReference)
}

/** DISCONNECT has a code of its own where there is nowhere to go. */
function farewellOf({ refusal, serverReference }: Current) {
  const { reasonCode, reason } = refusal
  if (serverReference === undefined) return { reasonCode: ReasonCode.ServerShuttingDown, reason } as const
  return { reasonCode, reason, serverReference }
}

function assertUsable({ serverReference, perSecond = 1, timeoutMs = 0 }: DrainOptions): void {
  if (serverReference !== undefined && !isReference(serverReference))
    throw new StatemqError('SMQ_OPTION_INVALID', 'serverReference: expected a text that MQTT can carry')
  if (typeof perSecond !== 'number' || !(perSecond > 0))
    throw new StatemqError('SMQ_OPTION_INVALID', 'perSecond: expected a number above 0')
  if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0))
    throw new StatemqError('SMQ_OPTION_INVALID', 'timeoutMs: expected a number of 0 or more')
}

function isReference(text: unknown): boolean {
  if (typeof text !== 'string' || text === '' || text.includes('\0') || !text.isWellFormed()) return false
  return Buffer.byteLength(text) <= MAX_REFERENCE_BYTES
}
