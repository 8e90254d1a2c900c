import { StatemqError } from '../errors.ts'
import type { Authenticator } from '../hooks.ts'
import type { Limits } from '../limits.ts'
import type { BrokerOptions, CommonListenerOptions, ListenerOptions, Logger, ReloadOptions } from '../options.ts'
import type { SessionPolicy } from './core.ts'
import type { GrantReviews } from './grant-review.ts'
import { assertChanges, assertListenerChanges, assertListenerOptions, checkedOptions } from './option-check.ts'
import { mergeLimits, sessionPolicy } from './policy.ts'
import type { Session } from './session.ts'

/** A way into the broker, with what holds for those who take it. */
export interface Entrance {
  own: CommonListenerOptions
  /** Other machines can reach it. */
  readonly exposed: boolean
  /** It is the way of streams and clients that come through no listener. */
  readonly isInside: boolean
  policy: SessionPolicy
}

/** Which way in a policy was made for: a session keeps the one that held when its connection came. */
const entrances = new WeakMap<SessionPolicy, Entrance>()

/** What holds now on the way that the policy was made for; another one after a reload. */
export function currentPolicy(policy: SessionPolicy): SessionPolicy {
  return entrances.get(policy.base ?? policy)?.policy ?? policy
}

/**
 * The authenticators of this name on the way that the session came, as they are now. Nobody for a session that an
 * earlier process left, until its listener is open again: until then others stand in for those of its listener.
 */
export function reviewersOf(session: Session, name: string): readonly Authenticator[] {
  const { policy, connection, listener } = session
  const entrance = entrances.get(policy.base ?? policy)
  if (entrance === undefined) return []
  if (entrance.isInside && connection === undefined && listener !== 'attached' && listener !== 'in-process') return []
  return entrance.policy.authenticators.filter((one) => one.name === name)
}

/** The ways into a broker, and the options that decide about them: those a reload can change. */
export class Entrances {
  options: BrokerOptions
  limits: Limits
  /** For streams and clients that come through no listener. */
  readonly inside: Entrance
  readonly #defaults: Limits
  readonly #logger: Logger
  #reviews: GrantReviews | undefined = undefined
  readonly #all = new Set<Entrance>()

  /** `options` are checked. Throws SMQ_OPTION_INVALID. */
  constructor(options: BrokerOptions, defaults: Limits, logger: Logger) {
    this.#defaults = defaults
    this.#logger = logger
    this.options = options
    this.limits = mergeLimits(defaults, options.limits)
    this.inside = this.#add({}, false, true)
  }

  /** Throws SMQ_OPTION_INVALID and SMQ_LISTEN_UNPROTECTED. */
  open(own: ListenerOptions, isExposed: (own: ListenerOptions) => boolean): Entrance {
    assertListenerOptions(own)
    return this.#add(own, isExposed(own), false)
  }

  #add(own: CommonListenerOptions, exposed: boolean, isInside: boolean): Entrance {
    const entrance = { own, exposed, isInside, policy: sessionPolicy(this.options, own, this.limits) }
    assertProtected(entrance, entrance.policy, this.options)
    entrances.set(entrance.policy, entrance)
    this.#all.add(entrance)
    this.#follow()
    return entrance
  }

  /** From now on authenticators are told of what becomes of grants, and may take theirs back. */
  reviewWith(reviews: GrantReviews): void {
    this.#reviews = reviews
    this.#follow()
  }

  /** It never opened: its authenticators may still be used for another try. */
  forget(entrance: Entrance): void {
    this.#all.delete(entrance)
    this.#follow()
  }

  /** Its authenticators end where nobody else asks them. */
  async close(entrance: Entrance): Promise<void> {
    const before = this.#authenticators()
    this.#all.delete(entrance)
    // Its connections are still there; what is closed has nothing more to say about them.
    const after = this.#authenticators()
    const { policy } = entrance
    entrance.policy = { ...policy, authenticators: policy.authenticators.filter((one) => after.has(one)) }
    await this.#retire(before)
  }

  async closeAll(): Promise<void> {
    const before = this.#authenticators()
    this.#all.clear()
    await this.#retire(before)
  }

  /** Takes other options for one of them: throws what `open` throws. */
  async replace(entrance: Entrance, own: CommonListenerOptions): Promise<void> {
    assertListenerChanges(own)
    const policy = sessionPolicy(this.options, own, this.limits)
    assertProtected({ ...entrance, own }, policy, this.options)
    const before = this.#authenticators()
    entrance.own = own
    entrance.policy = policy
    entrances.set(policy, entrance)
    await this.#change(before)
  }

  /** Whatever can be wrong is found before anything changes: throws what `open` throws. */
  async reload(changes: ReloadOptions): Promise<void> {
    assertChanges(changes)
    const options = checkedOptions({ ...this.options, ...changes } as BrokerOptions)
    const limits = mergeLimits(this.#defaults, options.limits)
    const renewed = [...this.#all].map((entrance) => {
      const policy = sessionPolicy(options, entrance.own, limits)
      assertProtected(entrance, policy, options)
      return { entrance, policy }
    })
    const before = this.#authenticators()
    this.options = options
    this.limits = limits
    for (const { entrance, policy } of renewed) {
      entrance.policy = policy
      entrances.set(policy, entrance)
    }
    await this.#change(before)
  }

  /** Others are asked from now on: they look at what those before them have granted under their names. */
  async #change(before: ReadonlySet<Authenticator>): Promise<void> {
    await this.#retire(before)
    for (const one of this.#authenticators()) if (one.review && !before.has(one)) return this.#reviews?.all()
  }

  #follow(): void {
    this.#reviews?.follow(this.#authenticators())
  }

  #authenticators(): Set<Authenticator> {
    return new Set([...this.#all].flatMap(({ policy }) => policy.authenticators))
  }

  /** Ends what authenticators that nobody asks any more keep open. One that fails keeps nobody else from it. */
  async #retire(before: ReadonlySet<Authenticator>): Promise<void> {
    const after = this.#authenticators()
    this.#follow()
    const ended = [...before].map(async (authenticator) => {
      if (!after.has(authenticator)) await authenticator.close?.()
    })
    for (const one of await Promise.allSettled(ended)) {
      if (one.status === 'rejected') {
        this.#logger.error({ err: one.reason as unknown }, 'an authenticator failed to close')
      }
    }
  }
}

/** Whoever reaches an open broker may do everything: that must have been said. */
function assertProtected({ own, exposed }: Entrance, policy: SessionPolicy, broker: BrokerOptions): void {
  if (!exposed || policy.authenticators.length > 0 || (own.allowAnonymous ?? broker.allowAnonymous) === true) return
  const { transport, host = 'a server' } = own as { readonly transport?: string; readonly host?: string }
  throw new StatemqError('SMQ_LISTEN_UNPROTECTED', `${transport} on ${host}`)
}
