import { Observable } from 'rxjs'

import type { AttributeScope, AttributeValue } from '../properties.ts'
import type { ReasonCode } from '../reason-codes.ts'
import type { SessionCore } from './core.ts'
import { runOver, type SessionTarget } from './session-bulk.ts'
import { DirectDelivery, type DirectMessage } from './session-delivery.ts'
import {
  attributeChange,
  disconnection,
  expiration,
  propertyChange,
  revocation,
  roleChange,
  type AttributeChange,
  type PreviousValues,
  type PropertyChange,
  type RoleChange,
  type SessionOperation,
  type SessionOutcome,
} from './session-operations.ts'
import { SessionSelection } from './session-selection.ts'
import { LiveSessionView, type SessionView } from './session-view.ts'
import { SessionWatch, type SessionChange } from './session-watch.ts'
import type { Session } from './session.ts'

/** A history keeps many. */
const MAX_NAME_LENGTH = 256

type Guard = <T>(observable: Observable<T>) => Observable<T>

/** What an operation came to, one outcome for each session that it was about. */
export type SessionOutcomes<Previous = undefined> = Promise<readonly SessionOutcome<Previous>[]>

/**
 * All sessions of a broker, online and offline, by client identifier: reads like a Map. `docs/sessions.md`
 * has the language of its filters.
 *
 * Operations take the session of a client identifier or all that a filter selects, a few milliseconds at
 * a time; each session is judged right before its turn. They reject with SMQ_SESSION_UNKNOWN,
 * SMQ_SESSION_FILTER_INVALID or SMQ_SESSION_CHANGE_INVALID, and have then changed nothing. What fails for
 * one session is that one's outcome.
 */
export class BrokerSessions implements Iterable<[string, SessionView]> {
  readonly #core: SessionCore
  readonly #guard: Guard
  readonly #delivery: DirectDelivery

  readonly #by: string

  constructor(core: SessionCore, guard: Guard, by = '') {
    this.#by = by
    this.#core = core
    this.#guard = guard
    this.#delivery = new DirectDelivery(core)
  }

  /**
   * The same sessions, whose operations are done in somebody's name: their histories say that it was `operator` of this
   * name who decided. At most 256 characters of it are kept.
   */
  by(name: string): BrokerSessions {
    return new BrokerSessions(this.#core, this.#guard, name.slice(0, MAX_NAME_LENGTH).toWellFormed())
  }

  get size(): number {
    return this.#core.registry.sessions.size
  }

  get(clientId: string): SessionView | undefined {
    const session = this.#core.registry.sessions.get(clientId)
    return session && this.#viewOf(session)
  }

  has(clientId: string): boolean {
    return this.#core.registry.sessions.has(clientId)
  }

  keys(): IterableIterator<string> {
    return this.#core.registry.sessions.keys()
  }

  *values(): IterableIterator<SessionView> {
    for (const session of this.#core.registry.sessions.values()) yield this.#viewOf(session)
  }

  *entries(): IterableIterator<[string, SessionView]> {
    for (const [clientId, session] of this.#core.registry.sessions) yield [clientId, this.#viewOf(session)]
  }

  [Symbol.iterator](): IterableIterator<[string, SessionView]> {
    return this.entries()
  }

  /** The sessions that a filter selects. Throws SMQ_SESSION_FILTER_INVALID. */
  select(filter: string): SessionView[] {
    return Array.from(this.#selection(filter), this.#viewOf)
  }

  /** How many sessions a filter selects. Throws SMQ_SESSION_FILTER_INVALID. */
  count(filter: string): number {
    let count = 0
    for (const _ of this.#selection(filter)) count++
    return count
  }

  /**
   * The sessions that a filter selects, and from then on what changes about that: which ones come and go,
   * and what is different in those that stay, with the values before. Told in later turns of the event
   * loop, so that no observer can stall or kill a session; one that falls more than 100,000 changes behind
   * gets the error SMQ_WATCH_OVERFLOW. Completes when the broker has stopped. Throws
   * SMQ_SESSION_FILTER_INVALID.
   */
  watch(filter: string): Observable<SessionChange> {
    // Read now, so that a mistake is the caller's and not an observer's.
    this.#selection(filter)
    const { clock, registry } = this.#core
    return this.#guard(
      new Observable((observer) =>
        registry.watches.add(new SessionWatch(this.#selection(filter), this.#viewOf, clock, observer)),
      ),
    )
  }

  /**
   * Takes roles away and gives others: subscriptions, queued messages and the will are looked at again. A
   * role that is absent or present already is passed over; nothing to change, or one role both ways, is
   * SMQ_SESSION_CHANGE_INVALID. `previous` are the roles before.
   */
  async changeRoles(target: SessionTarget, change: RoleChange): SessionOutcomes<readonly string[]> {
    return this.#runOver(target, roleChange(change))
  }

  /**
   * Sets session properties; null removes. `$Country`, `$Language`, `$Latitude` and `$Longitude` may be set
   * too, other fixed ones are SMQ_SESSION_CHANGE_INVALID. More than `maxSessionProperties` or
   * `maxSessionPropertyBytes`: that session fails with SMQ_SESSION_LIMIT and keeps what it has. `previous`
   * has what changed, as it was.
   */
  async setProperties(target: SessionTarget, change: PropertyChange): SessionOutcomes<PreviousValues<string>> {
    return this.#runOver(target, propertyChange(change))
  }

  /**
   * Sets attributes; null removes. Those of a connection end with it, and a session without one fails with
   * SMQ_SESSION_OFFLINE; those of a session end with the session. More than `maxAttributes` or
   * `maxAttributeBytes`: that session fails with SMQ_SESSION_LIMIT and keeps what it has.
   */
  async setAttributes(
    target: SessionTarget,
    change: AttributeChange,
    options: { readonly scope: AttributeScope },
  ): SessionOutcomes<PreviousValues<AttributeValue>> {
    return this.#runOver(target, attributeChange(change, options))
  }

  /** Ends connections with a DISCONNECT (MQTT 5); wills are published by the rules. Default 0x98. */
  async disconnect(target: SessionTarget, reasonCode?: ReasonCode, reason?: string): SessionOutcomes {
    return this.#runOver(target, disconnection(reasonCode, reason))
  }

  /**
   * Takes grants away at once: clients are disconnected with 0x87, their wills are not sent, and what waits
   * for them is given up. A session that outlives its connection stays its principal's, who has to
   * authenticate again. The reason is for events and logs, not for the client.
   */
  async revoke(target: SessionTarget, reason?: string): SessionOutcomes {
    return this.#runOver(target, revocation(reason))
  }

  /** Ends sessions, and the connections of those that have one. */
  async expire(target: SessionTarget): SessionOutcomes {
    return this.#runOver(target, expiration())
  }

  /**
   * Gives a message to these sessions, whether they subscribe to its topic or not. It goes the way of every
   * delivery: the right to receive it and `onDeliver` are checked, and QoS 1 and 2 wait for a session that
   * is away or slow. Nothing is retained, and no other subscriber sees it. A session that does not get it
   * fails with SMQ_PUBLISH_REFUSED. Rejects with SMQ_TOPIC_INVALID and SMQ_MESSAGE_INVALID too.
   */
  async publishTo(target: SessionTarget, message: DirectMessage): SessionOutcomes {
    return this.#runOver(target, this.#delivery.operation(message))
  }

  #runOver<Previous>(target: SessionTarget, operation: SessionOperation<Previous>): SessionOutcomes<Previous> {
    return runOver(this.#core, target, operation, this.#by)
  }

  #selection(filter: string): SessionSelection {
    return new SessionSelection(filter, this.#core.registry, this.#core.limits)
  }

  readonly #viewOf = (session: Session): SessionView => new LiveSessionView(session, this.#delivery, this.#by)
}
