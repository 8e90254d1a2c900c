import { map, Subject } from 'rxjs'

import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { SharedSubscriptionStrategy } from '../options.ts'
import { SharedGroup } from './shared-group.ts'
import { onlyMember, type DeliveryGroup, type Subscriber } from './subscriber.ts'
import type { IndexEntry, Subscription, SubscriptionIndex } from './subscription-index.ts'

/** A publication with everybody who is to get it: each subscriber once, shared groups apart. */
export interface Matched {
  readonly publication: Publication
  readonly entries: readonly IndexEntry<Subscriber>[]
}

/** Gives one message to one subscriber; the router puts the hook of `onDeliver` in between. */
export type Deliver = (
  subscriber: Subscriber,
  publication: Publication,
  qos: QoS,
  retain: boolean,
  subscriptionIdentifiers: readonly number[] | undefined,
  group: DeliveryGroup | undefined,
) => void

export interface FanoutOptions {
  readonly index: SubscriptionIndex<Subscriber>
  readonly strategy: SharedSubscriptionStrategy
  readonly deliver: Deliver
  /** The end of the pipeline: gives the message out, now or in slices. */
  readonly onMatched: (matched: Matched) => void
}

const loadOf = (subscriber: Subscriber): number => subscriber.load
const isAvailable = (subscriber: Subscriber): boolean => subscriber.isAvailable

/**
 * The pipeline from the router's ingress to the outboxes:
 *
 *     ingress ──map(match)──▶ { publication, entries } ──▶ deliver, a slice per turn
 *
 * The index does the matching, so that nobody who does not want a topic costs anything. Operators
 * never throw: one that did would end the stream for good.
 */
export class Fanout {
  readonly #options: FanoutOptions
  #stamp = 0
  // Publishers mostly send to the topic they sent to before.
  #lastTopic: string | undefined = undefined
  #lastVersion = -1
  #lastEntries: IndexEntry<Subscriber>[] = []
  /** Subscribers of the message at hand, in order of their first match. */
  #merged: Subscriber[] = []

  readonly #ingress = new Subject<Publication>()

  constructor(options: FanoutOptions) {
    this.#options = options
    this.#ingress
      .pipe(map((publication) => ({ publication, entries: this.#match(publication.topic) })))
      .subscribe(options.onMatched)
  }

  /** Somebody has left: what was found last would keep a session that has ended until somebody publishes to another topic. */
  forget(): void {
    this.#lastTopic = undefined
    this.#lastEntries = []
  }

  /** Sends a message down the pipeline: `onMatched` has been called when this returns. */
  next(publication: Publication): void {
    this.#ingress.next(publication)
  }

  #match(topic: string): readonly IndexEntry<Subscriber>[] {
    const { index } = this.#options
    if (topic === this.#lastTopic && index.version === this.#lastVersion) return this.#lastEntries
    // A fresh array: a fan-out that goes on in a later turn still reads the one before.
    const entries: IndexEntry<Subscriber>[] = []
    index.match(topic, entries)
    this.#lastTopic = topic
    this.#lastVersion = index.version
    this.#lastEntries = entries
    return entries
  }

  /**
   * Gives a message to the entries from `from` on, `limit` of them at most; returns where to go on.
   * Overlapping subscriptions of one subscriber are merged into one copy with the highest QoS and
   * all identifiers (MQTT-3.3.4-2, MQTT-3.3.4-4); they are only looked for where there are several
   * entries, and within one slice.
   */
  deliver({ publication, entries }: Matched, from: number, limit: number): number {
    const to = Math.min(entries.length, from + limit)
    if (to - from === 1) {
      this.#deliverOne(publication, entries[from]!)
      return to
    }
    const stamp = ++this.#stamp
    for (let i = from; i < to; i++) {
      const entry = entries[i]!
      if (entry instanceof SharedGroup) this.#deliverShared(publication, entry)
      else this.#merge(publication, entry, stamp)
    }
    const merged = this.#merged
    this.#merged = []
    for (const subscriber of merged) {
      const identifiers = subscriber.mergeIdentifiers
      subscriber.mergeIdentifiers = undefined
      this.#hand(subscriber, publication, subscriber.mergeQoS, subscriber.mergeRetain, identifiers, undefined)
    }
    return to
  }

  #deliverOne(publication: Publication, entry: IndexEntry<Subscriber>): void {
    if (entry instanceof SharedGroup) return this.#deliverShared(publication, entry)
    const { subscriber } = entry
    if (entry.noLocal && isOwn(subscriber, publication)) return
    const identifiers = entry.subscriptionIdentifier > 0 ? [entry.subscriptionIdentifier] : undefined
    this.#hand(
      subscriber,
      publication,
      entry.qos,
      publication.retain && entry.retainAsPublished,
      identifiers,
      undefined,
    )
  }

  #merge(publication: Publication, entry: Subscription<Subscriber>, stamp: number): void {
    const { subscriber } = entry
    // MQTT-3.8.3-3
    if (entry.noLocal && isOwn(subscriber, publication)) return
    const retain = publication.retain && entry.retainAsPublished
    if (subscriber.mergeStamp !== stamp) {
      subscriber.mergeStamp = stamp
      subscriber.mergeQoS = entry.qos
      subscriber.mergeRetain = retain
      subscriber.mergeIdentifiers = entry.subscriptionIdentifier > 0 ? [entry.subscriptionIdentifier] : undefined
      this.#merged.push(subscriber)
      return
    }
    if (entry.qos > subscriber.mergeQoS) subscriber.mergeQoS = entry.qos
    if (retain) subscriber.mergeRetain = true
    if (entry.subscriptionIdentifier > 0) (subscriber.mergeIdentifiers ??= []).push(entry.subscriptionIdentifier)
  }

  #deliverShared(publication: Publication, group: SharedGroup<Subscriber>): void {
    const member = this.#memberFor(publication, group)
    if (member) this.#give(publication, member, group)
  }

  /** Whose turn it is; where grant or roles keep the message from that member, somebody else who may have it. */
  #memberFor(publication: Publication, group: SharedGroup<Subscriber>): Subscription<Subscriber> | undefined {
    const strategy = publication.sharedStrategy ?? this.#options.strategy
    const member = group.choose(strategy, loadOf, isAvailable)
    if (member === undefined || (member.subscriber.hasRights && !member.subscriber.checksMessages)) return member
    const may = ({ subscriber, qos }: Subscription<Subscriber>): boolean =>
      subscriber.hasRights &&
      (!subscriber.checksMessages ||
        subscriber.mayReceive(publication.topic, lower(publication.qos, qos), group.group) !== undefined)
    if (may(member)) return member
    const permitted = group.members.filter(may)
    const present = new Set(permitted.map(({ subscriber }) => subscriber).filter(isAvailable))
    if (present.size > 0) return group.choose(strategy, loadOf, (subscriber) => present.has(subscriber))
    // One without rights is where it ends, and is told of.
    return permitted[0] ?? (member.subscriber.hasRights ? undefined : member)
  }

  #give(publication: Publication, member: Subscription<Subscriber>, group: SharedGroup<Subscriber>): void {
    const identifiers = member.subscriptionIdentifier > 0 ? [member.subscriptionIdentifier] : undefined
    const retain = publication.retain && member.retainAsPublished
    this.#hand(member.subscriber, publication, member.qos, retain, identifiers, this.deliveryGroupOf(group))
  }

  readonly #groups = new WeakMap<SharedGroup<Subscriber>, DeliveryGroup>()

  /** What an outbox keeps with a shared message, to give it back. */
  deliveryGroupOf(group: SharedGroup<Subscriber>): DeliveryGroup {
    let known = this.#groups.get(group)
    if (!known) {
      const name = group.group
      const shared = `${name}/${group.filter}`
      const redeliver = (publication: Publication): boolean =>
        this.#redeliver(publication.original ?? publication, group)
      known = { name, shared, redeliver, alone: onlyMember(shared) }
      this.#groups.set(group, known)
    }
    return known
  }

  /** Another member takes the message, if one that is there can be found. */
  #redeliver(publication: Publication, group: SharedGroup<Subscriber>): boolean {
    const member = this.#memberFor(publication, group)
    if (!member?.subscriber.isAvailable) return false
    this.#give(publication, member, group)
    return true
  }

  #hand(
    subscriber: Subscriber,
    publication: Publication,
    granted: QoS,
    retain: boolean,
    identifiers: readonly number[] | undefined,
    group: DeliveryGroup | undefined,
  ): void {
    // MQTT-3.8.4-8
    let qos = lower(publication.qos, granted)
    if (subscriber.checksMessages) {
      const allowed = subscriber.mayReceive(publication.topic, qos, group?.name)
      if (allowed === undefined) return
      qos = allowed
    }
    if (subscriber.isSession) publication.reached++
    else publication.observed = true
    this.#options.deliver(subscriber, publication, qos, retain, identifiers, group)
  }
}

function lower(one: QoS, other: QoS): QoS {
  return one < other ? one : other
}

/** The publisher is this very session: another one with an empty identifier is the broker itself. */
function isOwn(subscriber: Subscriber, publication: Publication): boolean {
  return publication.publisher !== '' && subscriber.clientId === publication.publisher
}
