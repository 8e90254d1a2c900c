import type { Ban } from '../bans.ts'
import { deny, type Deny } from '../hooks.ts'
import type { Limits } from '../limits.ts'
import type { ConnectionInfo } from '../messages.ts'
import { ReasonCode } from '../reason-codes.ts'
import { AddressRates } from './address-rates.ts'
import { Bans, type Applicant } from './bans.ts'
import type { SessionCore } from './core.ts'
import { Draining } from './draining.ts'
import { LocalConnection } from './local-connection.ts'
import { Offences } from './offences.ts'
import { RateLimit } from './rate-limit.ts'
import type { Session } from './session.ts'

type DoorParts = Pick<SessionCore, 'clock' | 'deadlines' | 'events' | 'registry' | 'limits'>

/** What of an operator's has refused a client, as a history names it. */
export function doorName(reasonCode: ReasonCode): 'bans' | 'drain' {
  return reasonCode === ReasonCode.Banned ? 'bans' : 'drain'
}

/** How many sessions are looked at in one turn of the event loop. */
const SESSIONS_PER_TURN = 1_000

/** Who may not come in, whatever an authenticator would say: who is banned, and everybody while the broker is drained. */
export class Door {
  readonly bans: Bans
  readonly offences: Offences
  readonly #connects: RateLimit
  readonly #connectsByAddress: AddressRates
  readonly draining: Draining
  readonly #parts: DoorParts

  constructor(parts: DoorParts, limits: () => Limits) {
    const { clock, deadlines, events } = parts
    this.#parts = parts
    this.bans = new Bans({ clock, deadlines, events, limits, sendAway: (ban, matches) => this.#sendAway(ban, matches) })
    this.offences = new Offences(this.bans)
    const { maxConnectsPerSecond, maxTrackedAddresses } = parts.limits
    this.#connects = new RateLimit(clock, maxConnectsPerSecond, maxConnectsPerSecond)
    this.#connectsByAddress = new AddressRates(clock, maxTrackedAddresses)
    this.draining = new Draining(parts)
  }

  /** Whether one more connection is within its rates. An address that knocks all the time takes nobody else's turn. */
  mayConnect({ remoteAddress }: ConnectionInfo, { maxConnectsPerAddressPerSecond }: Limits): boolean {
    return this.#connectsByAddress.take(remoteAddress, maxConnectsPerAddressPerSecond) && this.#connects.take()
  }

  /**
   * Why this client is refused without being asked who it is, or, with its principal, although it has said
   * so. Clients of this process are the embedder's own.
   */
  refusal(session: Session, principal: string | undefined): Deny | undefined {
    const { connection, clientId } = session
    if (connection === undefined || connection instanceof LocalConnection) return undefined
    const away = this.draining.refusal
    if (away !== undefined) return away
    if (this.bans.isEmpty) return undefined
    const ban = this.bans.find({ clientId, principal, address: connection.info.remoteAddress })
    return ban && deny(ReasonCode.Banned, 'banned')
  }

  #sendAway(ban: Ban, matches: (applicant: Applicant) => boolean): void {
    const { sessions } = this.#parts.registry
    const [only] = ban.clientId === undefined ? [] : [sessions.get(ban.clientId)]
    if (ban.clientId !== undefined) return only && this.#judge(only, matches)
    const { principal } = ban
    const concerned =
      principal === undefined ? sessions.values() : this.#parts.registry.index.sessionsOf('principal', principal)
    this.#judgeAll([...concerned], 0, matches)
  }

  #judgeAll(all: readonly Session[], from: number, matches: (applicant: Applicant) => boolean): void {
    for (const session of all.slice(from, from + SESSIONS_PER_TURN)) this.#judge(session, matches)
    const next = from + SESSIONS_PER_TURN
    if (next < all.length) setImmediate(() => this.#judgeAll(all, next, matches))
  }

  #judge(session: Session, matches: (applicant: Applicant) => boolean): void {
    const { connection, clientId, grant } = session
    if (session.state !== 'online' || connection === undefined || connection instanceof LocalConnection) return
    if (!matches({ clientId, principal: grant?.principal, address: connection.info.remoteAddress })) return
    // Not from within a transition of this very session: a ban may be the answer to one.
    queueMicrotask(() => {
      if (session.connection !== connection) return
      session.send({ type: 'session.disconnect', reasonCode: ReasonCode.AdministrativeAction, reason: 'banned' })
    })
  }
}
