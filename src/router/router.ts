import type { EventSink } from '../events.ts'
import type { Message, QoS } from '../messages.ts'
import { Keeping, type Publication } from '../publication.ts'
import type { Limits } from '../limits.ts'
import type { Clock, SharedSubscriptionStrategy } from '../options.ts'
import type { Store } from '../store/store.ts'
import { MessageTap } from './message-tap.ts'
import { Fanout, type Deliver, type Matched } from './fanout.ts'
import { RetainedStore } from './retained.ts'
import { SharedGroup, SharedGroups } from './shared-group.ts'
import type { DeliveryGroup, Subscriber } from './subscriber.ts'
import { Subscription, SubscriptionIndex } from './subscription-index.ts'
import { TurnClock } from './turn-clock.ts'

export interface RouterOptions {
  readonly limits: Pick<Limits, 'maxRetainedMessages' | 'maxRetainedBytes' | 'maxDeliveriesPerTurn'>
  readonly strategy: SharedSubscriptionStrategy
  readonly clock: Clock
  readonly events: EventSink
  /** Where retained messages rest; undefined: nowhere. */
  readonly store: Pick<Store, 'putRetained' | 'deleteRetained' | 'together' | 'fault'> | undefined
  /** Stands between the router and a subscriber; see the `onDeliver` hook. */
  readonly deliver: Deliver
}

export interface SubscriptionOptions {
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
  /** 0: none. */
  readonly subscriptionIdentifier: number
}

/** The part of a fan-out that is left for the next turns. */
interface Rest {
  readonly matched: Matched
  at: number
  done: (() => void) | undefined
  /** Lets the store go on. */
  readonly together: (() => void) | undefined
}

/** A message whose fan-out is not complete. */
interface Job {
  readonly publication: Publication
  readonly done: () => void
}

/**
 * Takes every message of the broker and gives it to whoever subscribed. Messages go one after the
 * other, so that all subscribers see the same order; one that goes to more subscribers than a turn
 * of the event loop should bear is given out over several, and the messages behind it wait.
 */
export class Router {
  readonly retained: RetainedStore
  /** When messages come and go. */
  readonly turn: TurnClock
  readonly #options: RouterOptions
  readonly #index = new SubscriptionIndex<Subscriber>()
  readonly #shared = new SharedGroups<Subscriber>(this.#index)
  readonly #fanout: Fanout
  readonly #backlog: Job[] = []
  readonly #unwantedPublishers = new Set<string>()
  #routing = false
  #rest: Rest | undefined = undefined
  /** Deliveries since the last slice: when they reach a turn's worth, the next message waits for the next turn. */
  #spentDeliveries = 0
  #turnScheduled = false

  constructor(options: RouterOptions) {
    this.#options = options
    this.turn = new TurnClock(options.clock)
    const { store } = options
    this.retained = new RetainedStore(options.limits, options.clock, (topic) => store?.deleteRetained(topic))
    this.#fanout = new Fanout({
      index: this.#index,
      strategy: options.strategy,
      deliver: options.deliver,
      onMatched: (matched) => this.#begin(matched),
    })
  }

  /** Subscriptions of all sessions; a shared group counts once. */
  get subscriptionCount(): number {
    return this.#index.size
  }

  /**
   * Routes a message. Undefined: it has been given to everybody, and `publication.reached` says to
   * how many. A promise: it waits behind others or goes to very many; it resolves when it is done.
   */
  publish(publication: Publication): Promise<void> | undefined {
    publication.arrived = this.turn.tenths
    const isSpent = this.#spentDeliveries >= this.#options.limits.maxDeliveriesPerTurn
    if (isSpent || this.#routing || this.#rest !== undefined || this.#backlog.length > 0) {
      // One client's packets may have come in a single chunk: no budget of one message holds those back (threat 49).
      if (isSpent) this.#schedule()
      return new Promise((resolve) => {
        this.#backlog.push({ publication, done: resolve })
      })
    }
    this.#route(publication)
    if (this.#rest === undefined) {
      if (this.#backlog.length > 0) this.#schedule()
      return undefined
    }
    const rest: { done: (() => void) | undefined } = this.#rest
    return new Promise((resolve) => {
      rest.done = resolve
    })
  }

  subscribe(
    subscriber: Subscriber,
    filter: string,
    group: string | undefined,
    options: SubscriptionOptions,
  ): Subscription<Subscriber> {
    const { qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier } = options
    const subscription = new Subscription(
      subscriber,
      filter,
      qos,
      noLocal,
      retainAsPublished,
      retainHandling,
      subscriptionIdentifier,
    )
    if (group === undefined) this.#index.add(subscription)
    else this.#shared.add(group, subscription)
    if (subscriber.isSession) this.#count(1, group !== undefined)
    return subscription
  }

  /** Removes a subscription; returns what its outbox knows its shared group by, if it was in one. */
  unsubscribe(subscription: Subscription<Subscriber>): DeliveryGroup | undefined {
    const { group } = subscription
    this.#fanout.forget()
    if (subscription.subscriber.isSession) this.#count(-1, group !== undefined)
    if (group === undefined) {
      this.#index.remove(subscription)
      return undefined
    }
    const known = this.#fanout.deliveryGroupOf(group)
    this.#shared.remove(subscription)
    return known
  }

  #count(change: 1 | -1, isShared: boolean): void {
    const { counters } = this.#options.events
    counters.levels.subscriptions += change
    if (change > 0) counters.subscriptionsAdded++
    if (isShared) counters.levels.sharedSubscriptions += change
  }

  /** What an outbox knows a shared group by, from what the store knows it by; one without members takes nothing. */
  groupOf(shared: string): DeliveryGroup {
    const slash = shared.indexOf('/')
    const name = shared.slice(0, slash)
    const group = this.#shared.get(name, shared.slice(slash + 1))
    return this.#fanout.deliveryGroupOf(group ?? new SharedGroup(name, shared.slice(slash + 1)))
  }

  /**
   * Removes what a publisher left retained, at the end of this turn: of a crowd that is sent away in one
   * turn, all the messages are found in one pass over the store (threat 83).
   */
  removeRetainedOf(publisher: string): void {
    if (this.#unwantedPublishers.size === 0) {
      setImmediate(() => {
        this.retained.removeOf(this.#unwantedPublishers)
        this.#unwantedPublishers.clear()
      })
    }
    this.#unwantedPublishers.add(publisher)
  }

  /** Observes the live messages of a filter from inside the process; returns the end of it. */
  tap(filter: string, onMessage: (message: Message) => void): () => void {
    const subscription = this.subscribe(new MessageTap(onMessage, this.#options.events), filter, undefined, {
      qos: 2,
      noLocal: false,
      retainAsPublished: true,
      retainHandling: 2,
      subscriptionIdentifier: 0,
    })
    return () => {
      this.unsubscribe(subscription)
    }
  }

  /** Gives a message to one subscriber only: a retained one, on its subscription. */
  deliverTo(
    subscriber: Subscriber,
    publication: Publication,
    qos: QoS,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
    group: DeliveryGroup | undefined,
  ): void {
    this.#options.deliver(subscriber, publication, qos, retain, subscriptionIdentifiers, group)
  }

  #route(publication: Publication): void {
    this.#routing = true
    try {
      if (publication.retain) this.#retain(publication)
      this.#fanout.next(publication)
      this.#spentDeliveries += 1 + publication.reached
    } finally {
      this.#routing = false
    }
  }

  #retain(publication: Publication): void {
    const { store } = this.#options
    if (publication.keeping === Keeping.Never) return void this.retained.set(publication)
    if (store?.fault !== undefined) {
      publication.keeping = Keeping.Refused
      return this.#notRetained(publication, 'store-full')
    }
    const outcome = this.retained.set(publication)
    if (outcome === 'full') return this.#notRetained(publication, 'retained-full')
    if (store === undefined || outcome === 'absent') return
    // What was cleared has been taken out of the store on its way.
    if (outcome === 'stored') store.putRetained(publication)
    publication.keeping = Keeping.Written
  }

  #notRetained({ topic, qos, publisher }: Publication, reason: 'retained-full' | 'store-full'): void {
    const { events } = this.#options
    events.counters.dropped[reason]++
    events.emit({ type: 'message.dropped', clientId: publisher, topic, qos, reason })
  }

  #begin(matched: Matched): void {
    const { maxDeliveriesPerTurn } = this.#options.limits
    if (matched.entries.length === 0) return this.#report(matched.publication)
    const at = this.#fanout.deliver(matched, 0, maxDeliveriesPerTurn)
    if (at < matched.entries.length) {
      // MQTT-4.3.3-10: at QoS 2 nobody gets it again because a crash had it come to some of them only.
      const together = matched.publication.qos === 2 ? this.#options.store?.together() : undefined
      this.#rest = { matched, at, done: undefined, together }
      this.#schedule()
      return
    }
    this.#report(matched.publication)
  }

  #report(publication: Publication): void {
    const { events } = this.#options
    if (!events.observed) return
    const { topic, qos, retain, payloadLength, publisher, reached } = publication
    events.emit({
      type: 'message.published',
      clientId: publisher,
      topic,
      qos,
      retain,
      payloadBytes: payloadLength,
      reached,
    })
  }

  #schedule(): void {
    if (this.#turnScheduled) return
    this.#turnScheduled = true
    setImmediate(() => this.#turn())
  }

  /** One slice of what is left over, then the messages that queued up behind it. */
  #turn(): void {
    this.#turnScheduled = false
    const { maxDeliveriesPerTurn } = this.#options.limits
    this.#spentDeliveries = 0
    if (this.#rest) {
      const rest = this.#rest
      this.#routing = true
      rest.at = this.#fanout.deliver(rest.matched, rest.at, maxDeliveriesPerTurn)
      this.#routing = false
      if (rest.at < rest.matched.entries.length) return this.#schedule()
      this.#rest = undefined
      this.#report(rest.matched.publication)
      rest.done?.()
      rest.together?.()
      this.#spentDeliveries = maxDeliveriesPerTurn / 2
    }
    while (this.#backlog.length > 0 && this.#rest === undefined && this.#spentDeliveries < maxDeliveriesPerTurn) {
      const { publication, done } = this.#backlog.shift()!
      this.#route(publication)
      if (this.#rest) (this.#rest as { done: (() => void) | undefined }).done = done
      else done()
    }
    if (this.#rest !== undefined || this.#backlog.length > 0) this.#schedule()
  }
}
