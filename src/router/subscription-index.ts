import type { QoS } from '../messages.ts'
import { LevelTrie } from './level-trie.ts'
import type { SharedGroup } from './shared-group.ts'

/**
 * One filter of one subscriber. There may be millions: the five options share a small integer, and
 * `slot` spares every list that holds subscriptions a search.
 */
export class Subscription<S = unknown> {
  readonly subscriber: S
  /** Of a shared subscription: the part behind `$share/group/`. */
  readonly filter: string
  /** QoS in bits 0-1, Retain Handling in bits 2-3, No Local in bit 4, Retain As Published in bit 5. */
  #options: number
  /** 1 to 268,435,455; 0: none. */
  subscriptionIdentifier: number
  /** Set while it is a member of a shared group. */
  group: SharedGroup<S> | undefined
  /** Position in the list that holds it: the index's for its filter, or the group's members. */
  slot: number

  constructor(
    subscriber: S,
    filter: string,
    qos: QoS,
    noLocal: boolean,
    retainAsPublished: boolean,
    retainHandling: 0 | 1 | 2,
    subscriptionIdentifier: number,
  ) {
    this.subscriber = subscriber
    this.filter = filter
    this.#options = packOptions(qos, noLocal, retainAsPublished, retainHandling)
    this.subscriptionIdentifier = subscriptionIdentifier
    this.group = undefined
    this.slot = 0
  }

  get qos(): QoS {
    return (this.#options & 3) as QoS
  }

  get retainHandling(): 0 | 1 | 2 {
    return ((this.#options >> 2) & 3) as 0 | 1 | 2
  }

  get noLocal(): boolean {
    return (this.#options & 16) !== 0
  }

  get retainAsPublished(): boolean {
    return (this.#options & 32) !== 0
  }

  /** A SUBSCRIBE with the same filter replaces the options, and nothing is lost meanwhile (MQTT-3.8.4-3). */
  replaceOptions(
    qos: QoS,
    noLocal: boolean,
    retainAsPublished: boolean,
    retainHandling: 0 | 1 | 2,
    subscriptionIdentifier: number,
  ): void {
    this.#options = packOptions(qos, noLocal, retainAsPublished, retainHandling)
    this.subscriptionIdentifier = subscriptionIdentifier
  }
}

function packOptions(qos: QoS, noLocal: boolean, retainAsPublished: boolean, retainHandling: 0 | 1 | 2): number {
  return qos | (retainHandling << 2) | (noLocal ? 16 : 0) | (retainAsPublished ? 32 : 0)
}

/** What the index finds: a subscription, or a shared group that has yet to choose its member. */
export type IndexEntry<S> = Subscription<S> | SharedGroup<S>

/** The entries of one filter. Nearly always one, which needs no array of its own. */
type Bucket<S> = IndexEntry<S> | IndexEntry<S>[]

function appendBucket<S>(bucket: Bucket<S>, into: IndexEntry<S>[]): void {
  if (!Array.isArray(bucket)) {
    into.push(bucket)
    return
  }
  for (const entry of bucket) into.push(entry)
}

function withEntry<S>(bucket: Bucket<S> | undefined, entry: IndexEntry<S>): Bucket<S> {
  if (bucket === undefined) {
    entry.slot = 0
    return entry
  }
  const list = Array.isArray(bucket) ? bucket : [bucket]
  entry.slot = list.length
  list.push(entry)
  return list
}

function holds<S>(bucket: Bucket<S>, entry: IndexEntry<S>): boolean {
  return Array.isArray(bucket) ? bucket[entry.slot] === entry : bucket === entry
}

/** Expects an entry that it holds. The last one takes its place, so that a crowd leaves in linear time. */
function withoutEntry<S>(bucket: Bucket<S>, entry: IndexEntry<S>): Bucket<S> | undefined {
  if (!Array.isArray(bucket)) return undefined
  const last = bucket.pop() as IndexEntry<S>
  if (last !== entry) {
    bucket[entry.slot] = last
    last.slot = entry.slot
  }
  return bucket.length === 0 ? undefined : bucket
}

/** Where the path of a filter ends in a {@link LevelTrie}: `#` is not a level of it. */
function pathEnd(filter: string, rest: boolean): number {
  return rest ? filter.length - 2 : filter.length
}

/**
 * Finds who wants a topic. All filters, exact ones too, are paths of a {@link LevelTrie}, whose nodes
 * are integers off the heap and refer to `#buckets` by number. A map for the exact filters beside it
 * would be one look-up less for small brokers, and twice the cache misses for a million filters.
 */
export class SubscriptionIndex<S> {
  readonly #trie = new LevelTrie()
  /** Index 0 stays empty: the trie says 0 for no bucket. Freed numbers are used again. */
  readonly #buckets: (Bucket<S> | undefined)[] = [undefined]
  readonly #freeBuckets: number[] = []
  #size = 0
  #version = 0

  /** How many entries it holds. */
  get size(): number {
    return this.#size
  }

  /** Another number after every change of the set of entries: a cached result is good while it stays. */
  get version(): number {
    return this.#version
  }

  /** For tests and observation: what the trie uses. */
  get usage(): { readonly nodes: number; readonly textUnits: number; readonly capacityBytes: number } {
    return this.#trie.usage
  }

  /** Adds an entry that is not in the index yet. */
  add(entry: IndexEntry<S>): void {
    const rest = entry.filter.endsWith('#')
    const node = this.#trie.ensure(entry.filter, pathEnd(entry.filter, rest))
    let id = this.#trie.valueOf(node, rest)
    if (id === 0) {
      id = this.#freeBuckets.pop() ?? this.#buckets.length
      this.#trie.setValue(node, rest, id)
    }
    this.#buckets[id] = withEntry(this.#buckets[id], entry)
    this.#size += 1
    this.#version += 1
  }

  /** Removes an entry; one that is not in the index is ignored. */
  remove(entry: IndexEntry<S>): void {
    const rest = entry.filter.endsWith('#')
    const node = this.#trie.find(entry.filter, pathEnd(entry.filter, rest))
    if (node < 0) return
    const id = this.#trie.valueOf(node, rest)
    const bucket = this.#buckets[id]
    if (bucket === undefined || !holds(bucket, entry)) return
    const next = withoutEntry(bucket, entry)
    this.#buckets[id] = next
    if (next === undefined) {
      this.#freeBuckets.push(id)
      this.#trie.setValue(node, rest, 0)
      this.#trie.release(node)
    }
    this.#size -= 1
    this.#version += 1
  }

  /** Appends every entry whose filter matches to `into`, each once, and returns `into.length`. */
  match(topic: string, into: IndexEntry<S>[]): number {
    const hits = this.#trie.match(topic)
    for (let at = 0; at < hits; at += 1) {
      const bucket = this.#buckets[this.#trie.hits[at] as number]
      if (bucket !== undefined) appendBucket(bucket, into)
    }
    return into.length
  }
}
