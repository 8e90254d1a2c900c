import type { Authenticator, GrantReview, GrantVerdict } from '../hooks.ts'
import type { Logger } from '../options.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { Connection } from './connection.ts'
import { decided } from './decided.ts'
import { reviewersOf } from './entrances.ts'
import type { Registry } from './registry.ts'
import type { Session } from './session.ts'

/** How long grants are looked at before others have their turn. */
const SLICE_MS = 5

const WITHDRAWN = 'its authenticator does not let it in any more'
const OUTDATED = 'what it was let in with has changed'

/** Beside the connection that was let in with them, wherever that goes: a session that is taken over has another one. */
const credentials = new WeakMap<Connection, string>()

/** Keeps what the client of a connection has proved, as its authenticator names it. */
export function keepCredential(connection: Connection | undefined, credential: string | undefined): void {
  if (connection === undefined) return
  if (credential === undefined) credentials.delete(connection)
  else credentials.set(connection, credential)
}

/**
 * Has authenticators look again at grants that they gave: at those of all sessions, without a connection too, and of
 * clients on their way in. A grant knows its authenticator by name; of several with one name it takes one to keep it.
 */
export class GrantReviews {
  readonly #registry: Registry
  readonly #logger: Logger
  /** Those in use, with what ends that they are followed. */
  readonly #followed = new Map<Authenticator, (() => void) | undefined>()
  #running: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined = undefined

  constructor(registry: Registry, logger: Logger) {
    this.#registry = registry
    this.#logger = logger
  }

  /** These are in use from now on, and no others. */
  follow(authenticators: ReadonlySet<Authenticator>): void {
    for (const [one, stop] of this.#followed) {
      if (authenticators.has(one)) continue
      this.#followed.delete(one)
      if (stop) this.#guarded(one, stop)
    }
    for (const one of authenticators) {
      if (this.#followed.has(one)) continue
      this.#followed.set(one, undefined)
      this.#guarded(one, () =>
        this.#followed.set(
          one,
          one.follow?.(() => this.all()),
        ),
      )
    }
  }

  /** Looks at every grant; resolves when all were looked at that there are now. Never rejects. */
  all(): Promise<void> {
    // One that has begun may be past the session that a change is about.
    this.#next ??= this.#running.then(() => {
      this.#next = undefined
      this.#running = this.#sweep()
      return this.#running
    })
    return this.#next
  }

  /** Whatever remembers an answer about this principal has to ask again. */
  forget(principal: string | undefined): void {
    for (const one of this.#followed.keys()) if (one.forget) this.#guarded(one, () => one.forget!(principal))
  }

  async #sweep(): Promise<void> {
    const counts = { withdrawn: 0, outdated: 0 }
    // What has just been allowed is then in its chart, where it can be taken away.
    await nextTurn()
    let sliceEndsAt = performance.now() + SLICE_MS
    for (const session of [...this.#registry.hosts.values()]) {
      if (this.#followed.size === 0) return
      const verdict = this.#verdictOn(session)
      if (verdict !== 'holds') counts[verdict] += apply(session, verdict)
      if (performance.now() < sliceEndsAt) continue
      await nextTurn()
      sliceEndsAt = performance.now() + SLICE_MS
    }
    if (counts.withdrawn + counts.outdated === 0) return
    this.#logger.info(counts, 'grants were looked at again, and some hold no more')
  }

  #verdictOn(session: Session): GrantVerdict {
    const { state, connection } = session
    // Before it is known who it is there is nothing to look at, and what was revoked stays so.
    if (state === 'connecting' || state === 'expired' || session.standing === 'revoked') return 'holds'
    const { grant } = session
    if (grant === undefined) return 'holds'
    const asked = reviewersOf(session, grant.authenticator)
    if (asked.length === 0) return 'holds'
    const review: GrantReview = {
      grant,
      get connection() {
        return (session.dormant?.context() ?? session.context).connection
      },
      credential: state === 'offline' || connection === undefined ? undefined : credentials.get(connection),
    }
    const verdicts = asked.map((one) => this.#ask(one, review))
    return verdicts.find((one) => one === 'holds') ?? verdicts.find((one) => one === 'outdated') ?? 'withdrawn'
  }

  #ask(authenticator: Authenticator, review: GrantReview): GrantVerdict {
    let verdict: GrantVerdict = 'holds'
    this.#guarded(authenticator, () => {
      const said = authenticator.review?.(review)
      if (said === 'outdated' || said === 'withdrawn') verdict = said
    })
    return verdict
  }

  #guarded({ name }: Authenticator, call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#logger.error({ authenticator: name, err: error }, 'an authenticator failed at what it has let in')
    }
  }
}

/** How many it came to. */
function apply(session: Session, verdict: 'outdated' | 'withdrawn'): 0 | 1 {
  const { grant, state } = session
  const reasonCode = ReasonCode.NotAuthorized
  const name = grant?.authenticator ?? ''
  if (verdict === 'withdrawn') {
    const decision = decided('authenticator', name, WITHDRAWN, reasonCode)
    session.send({ type: 'session.revoke', reason: `${WITHDRAWN}: ${name}`, decision })
    return 1
  }
  if (state === 'offline') return 0
  const decision = decided('authenticator', name, OUTDATED, reasonCode)
  session.send({ type: 'session.disconnect', reasonCode, reason: OUTDATED, decision })
  return 1
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
