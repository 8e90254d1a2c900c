import { createActor, fromTransition } from 'xstate'

import type { DropReason } from '../events.ts'
import type { Publication } from '../publication.ts'
import type { Connection } from './connection.ts'
import { SessionIndex } from './session-index.ts'
import { SessionWatches } from './session-watch.ts'
import type { Session } from './session.ts'

const MAX_REVOKED = 10_000

/** Takes no notice of what its children report. */
const unmoved = fromTransition((state: undefined) => state, undefined)

/**
 * Which session lives under which client identifier (MQTT-3.1.3-2), and every actor that is still
 * on its way there. Actors are kept in maps, never in the snapshot of one actor: spawning and
 * stopping those is quadratic.
 */
export class Registry {
  /** The root of the actor system that all sessions are in: a system for each would take two kilobytes. */
  readonly root = createActor(unmoved).start()
  /** By session id: newcomers too. The machine's implementations find their host here. */
  readonly hosts = new Map<string, Session>()
  /** By client identifier: sessions that were online at least once. */
  readonly sessions = new Map<string, Session>()
  /** Newcomers that hand over just now, by the session that takes over from them. */
  readonly handovers = new Map<string, { readonly newcomer: Session; readonly connection: Connection | undefined }>()
  /** The same sessions by role and by principal. */
  readonly index = new SessionIndex()
  readonly watches = new SessionWatches()
  /** Told what becomes of a message that is given to chosen sessions, while that goes on. */
  onDropped: ((publication: Publication, reason: DropReason) => void) | undefined = undefined
  /** Sessions without a connection. */
  offline = 0
  /** Sessions that outlive their connection, whether they have one now or not. */
  lasting = 0
  /** Counts grants that were taken away, so that it can be told what was decided before and what after. */
  revocations = 0
  /** The last grants that were taken away, by the client identifier: their sessions may have ended by it. */
  readonly #revoked = new Map<string, { readonly revocation: number; readonly principal: string | undefined }>()
  #takeovers = new Map<string, number[]>()
  /** How many may be remembered before old ones are looked for again. */
  #lookAtSize = 10_000

  host(sessionId: string): Session {
    const host = this.hosts.get(sessionId)
    if (!host) throw new Error(`no host for session ${sessionId}`)
    return host
  }

  /** A step of a session's chart is over: what others know of it may be out of date. */
  changed(session: Session): void {
    // Before it was online nobody can find it, and what ended is forgotten.
    if (this.sessions.get(session.clientId) !== session) return
    this.countLasting(session)
    this.index.file(session, session.grant)
    this.watches.changed(session)
  }

  countLasting(session: Session, isLasting = session.isPersistent): void {
    if (session.isLasting === isLasting) return
    session.isLasting = isLasting
    this.lasting += isLasting ? 1 : -1
  }

  /** The session ends. False where its client identifier is another session's, or nobody's. */
  forget(session: Session): boolean {
    if (this.sessions.get(session.clientId) !== session) return false
    this.sessions.delete(session.clientId)
    this.countLasting(session, false)
    this.index.file(session, undefined)
    this.watches.ended(session)
    return true
  }

  /** The session's grant was taken away. */
  revoked(session: Session): void {
    session.revocation = ++this.revocations
    this.#revoked.delete(session.clientId)
    this.#revoked.set(session.clientId, { revocation: this.revocations, principal: session.grant?.principal })
    // A crowd that is revoked at once pushes out the first of it: sessions that stay know of it themselves.
    if (this.#revoked.size > MAX_REVOKED) this.#revoked.delete(this.#revoked.keys().next().value!)
  }

  /** Whether that happened to the newcomer's principal, under its client identifier, after it was decided who it is. */
  isRevoked({ clientId, decidedAfter }: Session, principal: string | undefined): boolean {
    const last = this.#revoked.get(clientId)
    return last !== undefined && last.revocation > decidedAfter && last.principal === principal
  }

  /**
   * Whether another takeover of this identifier stays within `maximum` per ten seconds: two clients
   * that fight over one identifier would otherwise keep the broker busy for ever (threat 54).
   */
  mayTakeOver(clientId: string, nowMs: number, maximum: number): boolean {
    return maximum === Infinity || this.#recentTakeovers(clientId, nowMs).length < maximum
  }

  /** Counts one, where there is a limit. */
  countTakeover(clientId: string, nowMs: number, maximum: number): void {
    if (maximum === Infinity) return
    const recent = this.#recentTakeovers(clientId, nowMs)
    recent.push(nowMs)
    this.#takeovers.set(clientId, recent)
    if (this.#takeovers.size > this.#lookAtSize) {
      this.#forgetOld(nowMs)
      // Twice as many as are left, so that a crowd of new identifiers does not pay for a look each.
      this.#lookAtSize = Math.max(10_000, this.#takeovers.size * 2)
    }
  }

  #recentTakeovers(clientId: string, nowMs: number): number[] {
    return (this.#takeovers.get(clientId) ?? []).filter((atMs) => atMs > nowMs - 10_000)
  }

  /** Identifiers whose last takeovers are remembered. */
  get rememberedTakeovers(): number {
    return this.#takeovers.size
  }

  #forgetOld(nowMs: number): void {
    for (const [clientId, times] of this.#takeovers) {
      if (times.every((atMs) => atMs <= nowMs - 10_000)) this.#takeovers.delete(clientId)
    }
  }
}

/** Whether the session lost its grant after it was decided who the newcomer is: that decision counts no more. */
export function isRevokedSince(newcomer: Session, incumbent: Session): boolean {
  return incumbent.revocation > newcomer.decidedAfter
}
