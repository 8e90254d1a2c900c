import type { Access } from '../auth/access.ts'
import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { RetainedCursor } from '../router/retained.ts'
import type { Subscriber } from '../router/subscriber.ts'
import type { Subscription } from '../router/subscription-index.ts'
import type { Session } from './session.ts'

interface Replay {
  readonly subscription: Subscription<Subscriber>
  /** What the client could receive already, where its roles have changed under a subscription that it has. */
  readonly before: Access | undefined
  readonly cursor: RetainedCursor
}

/**
 * Gives a session the retained messages of new subscriptions, page by page and no faster than it
 * takes them: a hundred thousand of them neither fill its outbox nor hold up the loop (threat 50).
 */
export class RetainedReplay {
  readonly #session: Session
  #waiting: Replay[] = []
  #page: Publication[] = []
  #pageAt = 0
  #scheduled = false
  #running = false

  constructor(session: Session) {
    this.#session = session
  }

  get isActive(): boolean {
    return this.#waiting.length > 0
  }

  add(subscriptions: readonly Subscription<Subscriber>[]): void {
    for (const subscription of subscriptions) {
      this.forget(subscription)
      this.#append(subscription, undefined)
    }
    this.#continue()
  }

  /** A subscription that stays matches more than `before` let through: what it has gained follows. */
  addGained(subscription: Subscription<Subscriber>, before: Access): void {
    // One that has not begun gives everything that is allowed by then.
    const waits = this.#waiting.some((replay, at) => at > 0 && replay.subscription === subscription)
    if (!waits) this.#append(subscription, before)
    this.#continue()
  }

  #append(subscription: Subscription<Subscriber>, before: Access | undefined): void {
    const cursor = this.#session.core.router.retained.match(subscription.filter)
    this.#waiting.push({ subscription, cursor, before })
  }

  /** The session has room. Acknowledgements come many to a read: what they make room for is given together. */
  wake(): void {
    if (this.#running || this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => this.#resume())
  }

  #resume(): void {
    this.#scheduled = false
    try {
      this.#continue()
    } catch (error) {
      this.#session.error(error)
    }
  }

  /** Goes on while the session takes messages. */
  #continue(): void {
    if (this.#running || this.#scheduled) return
    this.#running = true
    let budget = this.#session.policy.limits.maxRetainedPerTurn
    while (this.#waiting.length > 0 && this.#canTake()) {
      if (budget <= 0) {
        this.#yield()
        break
      }
      const taken = this.#step(Math.min(budget, 100))
      // Nothing went although the session seemed ready: its window is full, and an acknowledgement will call.
      if (taken === 0) break
      budget -= taken
    }
    this.#running = false
    if (this.#waiting.length === 0) this.#session.replay = undefined
  }

  forget(subscription: Subscription<Subscriber>): void {
    const [first] = this.#waiting
    if (first?.subscription === subscription) {
      this.#page = []
      this.#pageAt = 0
    }
    this.#waiting = this.#waiting.filter((replay) => {
      if (replay.subscription !== subscription) return true
      replay.cursor.close()
      return false
    })
  }

  close(): void {
    for (const { cursor } of this.#waiting) cursor.close()
    this.#waiting = []
    this.#page = []
    this.#pageAt = 0
  }

  #canTake(): boolean {
    const { connection, isFlowing, outbound } = this.#session
    return connection?.writable === true && isFlowing && (outbound === undefined || outbound.isIdle)
  }

  /** Gives what can be given of the current page, or reads the next one; returns what it counts against the budget. */
  #step(pageMessages: number): number {
    const { subscription, cursor, before } = this.#waiting[0]!
    if (this.#pageAt === this.#page.length) {
      this.#page = []
      this.#pageAt = 0
      const ended = cursor.read(this.#page, pageMessages)
      if (ended && this.#page.length === 0) this.#waiting.shift()
      return 1
    }
    let given = 0
    while (this.#pageAt < this.#page.length && this.#canTake()) {
      const publication = this.#page[this.#pageAt]!
      const qos = this.#qosOf(publication, subscription, before)
      if (qos !== undefined && qos > 0 && this.#session.outbound?.hasWindow === false) return given
      this.#pageAt++
      given++
      // MQTT-3.8.3-3
      if (qos === undefined || (subscription.noLocal && publication.publisher === this.#session.clientId)) continue
      const identifiers = subscription.subscriptionIdentifier > 0 ? [subscription.subscriptionIdentifier] : undefined
      // MQTT-3.3.1-8 of 3.1.1: sent because of a new subscription, so RETAIN is 1.
      this.#session.core.router.deliverTo(this.#session, publication, qos, true, identifiers, undefined)
    }
    return given
  }

  /** At which QoS the client gets a message; undefined: not at all, or it had it already. */
  #qosOf(
    { topic, qos: published }: Publication,
    { qos: granted }: Subscription<Subscriber>,
    before: Access | undefined,
  ): QoS | undefined {
    const qos = published < granted ? published : granted
    if (before?.receive(topic, qos, undefined) !== undefined) return undefined
    return this.#session.checksMessages ? this.#session.mayReceive(topic, qos, undefined) : qos
  }

  #yield(): void {
    this.#scheduled = true
    setImmediate(() => this.#resume())
  }
}
