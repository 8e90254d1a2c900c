import type { SlowSubscriber } from '../inspection.ts'
import { msOfTenths } from '../publication.ts'
import type { SessionCore } from './core.ts'
import type { Session } from './session.ts'

/** What waits for all sessions together, in memory and in the store. */
export interface Backlog {
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly inflightMessages: number
}

/** As many sessions are looked at in one go: that takes about a millisecond. */
const SLICE_SESSIONS = 5_000
/** Of the slowest subscribers as many are known. */
const MAX_SLOW_SUBSCRIBERS = 1_000

/**
 * Adds up what waits for sessions when somebody asks, instead of keeping account of it with every
 * message. Where there are so many sessions that it would keep the event loop for long, what is
 * answered is what was found last, and it is looked for again in slices meanwhile.
 */
export class BacklogSurvey {
  readonly #core: SessionCore
  #last: Survey | undefined = undefined
  #isLooking = false

  constructor(core: SessionCore) {
    this.#core = core
  }

  get backlog(): Backlog {
    return this.#found
  }

  /** The slowest first; those who keep up are left out. */
  slowest(max: number): readonly SlowSubscriber[] {
    return this.#found.slowest(max)
  }

  get #found(): Survey {
    const { hosts } = this.#core.registry
    if (hosts.size <= SLICE_SESSIONS || this.#last === undefined) this.#last = this.#look()
    else this.#lookAgain()
    return this.#last
  }

  #look(): Survey {
    const survey = new Survey(this.#core.clock.nowMs())
    for (const session of this.#core.registry.hosts.values()) survey.add(session)
    return survey
  }

  #lookAgain(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    const survey = new Survey(this.#core.clock.nowMs())
    // A map is read on behind what comes and goes meanwhile.
    const sessions = this.#core.registry.hosts.values()
    const slice = (): void => {
      for (let count = 0; count < SLICE_SESSIONS; count++) {
        const { value: session, done } = sessions.next()
        if (session !== undefined) survey.add(session)
        if (!done) continue
        this.#last = survey
        this.#isLooking = false
        return
      }
      setImmediate(slice)
    }
    setImmediate(slice)
  }
}

class Survey implements Backlog {
  queuedMessages = 0
  queuedBytes = 0
  inflightMessages = 0
  readonly #nowMs: number
  #slow: { readonly session: Session; readonly waitingMs: number; readonly dropped: number }[] = []

  constructor(nowMs: number) {
    this.#nowMs = nowMs
  }

  add(session: Session): void {
    const { outbound } = session
    if (outbound === undefined) return
    const { queued } = outbound
    this.queuedMessages += queued
    this.queuedBytes += outbound.queuedBytes
    this.inflightMessages += outbound.inflight
    // Whoever is away is not slow.
    if (session.state !== 'online' || (queued === 0 && outbound.overflows === 0)) return
    const sinceMs = msOfTenths(outbound.parts.outbox.oldest)
    const waitingMs = queued === 0 || sinceMs === undefined ? 0 : Math.max(0, this.#nowMs - sinceMs)
    this.#slow.push({ session, waitingMs, dropped: outbound.overflows })
    if (this.#slow.length >= 2 * MAX_SLOW_SUBSCRIBERS) this.#sort()
  }

  #sort(): void {
    this.#slow.sort((one, other) => other.waitingMs - one.waitingMs || other.dropped - one.dropped)
    this.#slow.length = Math.min(this.#slow.length, MAX_SLOW_SUBSCRIBERS)
  }

  slowest(max: number): SlowSubscriber[] {
    this.#sort()
    const online = this.#slow.filter(({ session }) => session.state === 'online')
    return online.slice(0, max).map(({ session, waitingMs, dropped }) => ({
      clientId: session.clientId,
      principal: session.grant?.principal ?? null,
      waitingMs,
      queuedMessages: session.outbound?.queued ?? 0,
      queuedBytes: session.outbound?.queuedBytes ?? 0,
      inflightMessages: session.outbound?.inflight ?? 0,
      droppedMessages: dropped,
    }))
  }
}
