import type { SharedSubscriptionStrategy } from '../options.ts'
import type { Subscription, SubscriptionIndex } from './subscription-index.ts'

/** A number from 0 up to, not including, 1. */
export type RandomSource = () => number

/** Random picks before a choice looks at every member: more than a few fail only when most are offline. */
const RANDOM_PICKS = 4

/**
 * The subscriptions of one `$share/group/filter`: each message goes to one of them (MQTT 5 section
 * 4.8.2). Members that are not available, because they are offline, are chosen only when nobody
 * else is there.
 */
export class SharedGroup<S> {
  readonly group: string
  /** The filter behind the group's name. */
  readonly filter: string
  /** Position in the index's list for the filter. */
  slot = 0
  readonly #members: Subscription<S>[] = []
  readonly #random: RandomSource
  /** The member whose turn it is. */
  #turn = 0
  /** The member that gets everything under `sticky`. */
  #favourite: Subscription<S> | undefined

  constructor(group: string, filter: string, random: RandomSource = Math.random) {
    this.group = group
    this.filter = filter
    this.#random = random
  }

  get members(): readonly Subscription<S>[] {
    return this.#members
  }

  get size(): number {
    return this.#members.length
  }

  add(subscription: Subscription<S>): void {
    subscription.group = this
    subscription.slot = this.#members.length
    this.#members.push(subscription)
  }

  /** Removes a member; the last one takes its place, so that a crowd can leave in linear time. */
  remove(subscription: Subscription<S>): void {
    if (this.#members[subscription.slot] !== subscription) return
    const last = this.#members.pop() as Subscription<S>
    if (last !== subscription) {
      this.#members[subscription.slot] = last
      last.slot = subscription.slot
    }
    subscription.group = undefined
    if (this.#favourite === subscription) this.#favourite = undefined
  }

  /**
   * The member that gets the next message; undefined only while the group is empty. `load` is asked
   * under `least-inflight` only.
   */
  choose(
    strategy: SharedSubscriptionStrategy,
    load: (subscriber: S) => number,
    available: (subscriber: S) => boolean,
  ): Subscription<S> | undefined {
    switch (strategy) {
      case 'round-robin':
        return this.#nextInTurn(available)
      case 'sticky':
        return this.#sameAsBefore(available)
      case 'random':
        return this.#anyone(available)
      case 'least-inflight':
        return this.#leastLoaded(load, available)
    }
  }

  /** Hands the turn to the member behind the one at `at`, and returns that one. */
  #take(at: number): Subscription<S> | undefined {
    this.#turn = at + 1
    return this.#members[at]
  }

  #nextInTurn(available: (subscriber: S) => boolean): Subscription<S> | undefined {
    const count = this.#members.length
    for (let step = 0; step < count; step += 1) {
      const at = (this.#turn + step) % count
      if (available((this.#members[at] as Subscription<S>).subscriber)) return this.#take(at)
    }
    return count === 0 ? undefined : this.#take(this.#turn % count)
  }

  /** The favourite stays until it leaves, or is away while somebody else is there: then that one stays. */
  #sameAsBefore(available: (subscriber: S) => boolean): Subscription<S> | undefined {
    if (this.#favourite === undefined || !available(this.#favourite.subscriber)) {
      const present = this.#members.find((member) => available(member.subscriber))
      this.#favourite = present ?? this.#favourite ?? this.#members[0]
    }
    return this.#favourite
  }

  #anyone(available: (subscriber: S) => boolean): Subscription<S> | undefined {
    const count = this.#members.length
    for (let pick = 0; pick < RANDOM_PICKS; pick += 1) {
      const member = this.#members[Math.floor(this.#random() * count)]
      if (member !== undefined && available(member.subscriber)) return member
    }
    const present = this.#members.filter((member) => available(member.subscriber))
    const among = present.length > 0 ? present : this.#members
    return among[Math.floor(this.#random() * among.length)]
  }

  #leastLoaded(load: (subscriber: S) => number, available: (subscriber: S) => boolean): Subscription<S> | undefined {
    const count = this.#members.length
    let best = -1
    let bestLoad = Infinity
    let bestAvailable = false
    for (let step = 0; step < count; step += 1) {
      const at = (this.#turn + step) % count
      const subscriber = (this.#members[at] as Subscription<S>).subscriber
      const isAvailable = available(subscriber)
      if (bestAvailable && !isAvailable) continue
      const its = load(subscriber)
      if (best >= 0 && isAvailable === bestAvailable && its >= bestLoad) continue
      best = at
      bestLoad = its
      bestAvailable = isAvailable
    }
    return best < 0 ? undefined : this.#take(best)
  }
}

/** All shared groups by name and filter. A group is in the index from its first member to its last. */
export class SharedGroups<S> {
  readonly #index: SubscriptionIndex<S>
  readonly #random: RandomSource
  /** By `group/filter`: a group's name has no slash (MQTT-4.8.2-2), so keys are unambiguous. */
  readonly #groups = new Map<string, SharedGroup<S>>()

  constructor(index: SubscriptionIndex<S>, random: RandomSource = Math.random) {
    this.#index = index
    this.#random = random
  }

  /** How many groups have members. */
  get size(): number {
    return this.#groups.size
  }

  get(group: string, filter: string): SharedGroup<S> | undefined {
    return this.#groups.get(`${group}/${filter}`)
  }

  /** Makes `subscription` a member of the group for its filter, and returns the group. */
  add(group: string, subscription: Subscription<S>): SharedGroup<S> {
    const key = `${group}/${subscription.filter}`
    let found = this.#groups.get(key)
    if (found === undefined) {
      found = new SharedGroup<S>(group, subscription.filter, this.#random)
      this.#groups.set(key, found)
      this.#index.add(found)
    }
    found.add(subscription)
    return found
  }

  /** Removes `subscription` from its group; one that has none is ignored. */
  remove(subscription: Subscription<S>): void {
    const group = subscription.group
    if (group === undefined) return
    group.remove(subscription)
    if (group.size > 0) return
    this.#groups.delete(`${group.group}/${group.filter}`)
    this.#index.remove(group)
  }
}
