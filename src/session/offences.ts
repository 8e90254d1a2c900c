import type { BanSubject } from '../bans.ts'
import { ReasonCode } from '../reason-codes.ts'
import { holderOf } from './address-range.ts'
import type { Bans } from './bans.ts'
import { decided } from './decided.ts'
import { MinuteCounts } from './minute-counts.ts'
import type { Session } from './session.ts'

/** Refusals that say that a client is not who it says it is; others are not its own doing. */
const GUESSES: ReadonlySet<ReasonCode> = new Set([
  ReasonCode.ClientIdentifierNotValid,
  ReasonCode.BadUserNameOrPassword,
  ReasonCode.NotAuthorized,
  ReasonCode.BadAuthenticationMethod,
])

/**
 * Counts who comes and goes all the time and who is refused again and again, and has them banned.
 *
 * What a stranger can make up must not be held against its owner: a client identifier is anybody's to
 * send, so it counts together with the address that it came from, and the ban is about the two together.
 * A principal has proven who it is, and counts by itself. Clients without an address (unix sockets,
 * streams of the embedder) are not counted.
 */
export class Offences {
  readonly #bans: Bans
  readonly #counts = new MinuteCounts()

  constructor(bans: Bans) {
    this.#bans = bans
  }

  /** The session has got a connection. */
  cameOnline(session: Session): void {
    const { maxFlapsPerMinute, maxFlapsPerPrincipalPerMinute } = session.policy.limits
    const { principal } = session.grant ?? {}
    const reason = 'connected too often within a minute'
    const limit = this.#client(session, 'flap', maxFlapsPerMinute, reason)
      ? 'maxFlapsPerMinute'
      : principal !== undefined &&
          this.#count(session, `flap p${principal}`, maxFlapsPerPrincipalPerMinute, { principal }, reason)
        ? 'maxFlapsPerPrincipalPerMinute'
        : undefined
    if (limit === undefined) return
    const reasonCode = ReasonCode.ConnectionRateExceeded
    const decision = decided('limit', limit, reason, reasonCode)
    const { connection } = session
    // Behind the transition under way: it is what brought the session online.
    queueMicrotask(() => {
      if (session.connection !== connection) return
      session.send({ type: 'session.disconnect', reasonCode, reason, decision })
    })
  }

  /** Its CONNECT was refused. */
  refused(session: Session, reasonCode: ReasonCode): void {
    if (!GUESSES.has(reasonCode)) return
    const { maxRefusalsPerMinute, maxRefusalsPerAddressPerMinute } = session.policy.limits
    const reason = 'refused too often within a minute'
    this.#client(session, 'refusal', maxRefusalsPerMinute, reason)
    if (maxRefusalsPerAddressPerMinute === Infinity) return
    const address = holderOf(addressOf(session))?.text
    if (address === undefined) return
    this.#count(session, `refusal a${address}`, maxRefusalsPerAddressPerMinute, { address }, reason)
  }

  #client(session: Session, kind: 'flap' | 'refusal', max: number, reason: string): boolean {
    if (max === Infinity) return false
    const address = holderOf(addressOf(session))?.text
    // Identifiers of the broker's making are new each time.
    if (address === undefined || session.clientId === '' || session.hasAssignedId) return false
    const { clientId } = session
    return this.#count(session, `${kind} c${address} ${clientId}`, max, { clientId, address }, reason)
  }

  #count({ core }: Session, key: string, max: number, subject: BanSubject, reason: string): boolean {
    if (max === Infinity) return false
    if (this.#counts.add(key, core.clock.nowMs(), core.limits.maxTrackedAddresses) <= max) return false
    this.#counts.forget(key)
    return this.#bans.impose(subject, reason) !== undefined
  }
}

function addressOf({ connection, context }: Session): string | undefined {
  return (connection?.info ?? context.connection).remoteAddress
}
