import { Keeping, type Publication } from '../publication.ts'
import type { Limits } from '../limits.ts'
import type { Clock } from '../options.ts'
import { LevelTrie, ROOT } from './level-trie.ts'
import { levelOf, RetainedLevels, type RetainedLevel } from './retained-levels.ts'

/** Places in the tree that one call of {@link RetainedCursor.read} visits per message asked for, at most. */
const VISITS_PER_MESSAGE = 16
/** Places that a store which is full looks at for expired messages before it refuses another one. */
const SWEEP_VISITS = 64
/** Places that are looked at for expired messages with every message that is stored. */
const SWEEP_VISITS_PER_SET = 4

/**
 * The retained messages, one per topic (MQTT 5 section 3.3.1.3), in a {@link LevelTrie}. An expired
 * message is removed when somebody comes across it.
 */
export class RetainedStore {
  readonly #limits: Pick<Limits, 'maxRetainedMessages' | 'maxRetainedBytes'>
  readonly #clock: Pick<Clock, 'nowMs'>
  readonly #trie = new LevelTrie({ enumerable: true })
  /** By the value of the topic's node. Index 0 stays empty: the trie says 0 for no message. */
  readonly #messages: (Publication | undefined)[] = [undefined]
  /** What each message cost when it was stored, so that the sum always comes back to 0. */
  readonly #sizes: number[] = [0]
  readonly #freeIds: number[] = []
  #count = 0
  /** Those of them that are the broker's own: they take nobody's room. */
  #ownCount = 0
  #bytes = 0
  #sweep: RetainedCursor | undefined
  /** Whether there ever was a message that expires. */
  #expires = false
  readonly #onGone: (topic: string) => void

  /** `onGone` is told the topic of every message that goes without another in its place. */
  constructor(
    limits: Pick<Limits, 'maxRetainedMessages' | 'maxRetainedBytes'>,
    clock: Pick<Clock, 'nowMs'>,
    onGone: (topic: string) => void = () => {},
  ) {
    this.#onGone = onGone
    this.#limits = limits
    this.#clock = clock
  }

  /** Messages in the store without the broker's own, expired ones that nobody came across included. */
  get clientCount(): number {
    return this.#count - this.#ownCount
  }

  /** All messages in the store. */
  get count(): number {
    return this.#count
  }

  /** The sum of their sizes in bytes, without those of the broker's own. */
  get bytes(): number {
    return this.#bytes
  }

  /** For tests and observation: what the tree uses. */
  get usage(): { readonly nodes: number; readonly textUnits: number; readonly capacityBytes: number } {
    return this.#trie.usage
  }

  /**
   * Keeps the message for its topic, in place of the one before (MQTT-3.3.1-5). An empty payload
   * removes that one instead: `cleared`, or `absent` when there was none (MQTT-3.3.1-6,
   * MQTT-3.3.1-7). `full`: a limit would be exceeded, and the store is as it was.
   */
  set(publication: Publication): 'stored' | 'cleared' | 'absent' | 'full' {
    const { topic } = publication
    if (publication.payloadLength === 0) return this.#clear(topic)
    const size = isOwn(publication) ? 0 : publication.sizeBytes
    if (!isOwn(publication) && !this.#hasRoom(topic, size)) {
      this.sweep(SWEEP_VISITS)
      if (!this.#hasRoom(topic, size)) return 'full'
    }
    publication.detach()
    if (publication.expiresAtMs !== Infinity) this.#expires = true
    // A few places with every message: what has expired goes although nobody asks for it.
    if (this.#expires) this.sweep(SWEEP_VISITS_PER_SET)
    const node = this.#trie.ensure(topic, topic.length)
    let id = this.#trie.valueOf(node, false)
    if (id === 0) {
      id = this.#freeIds.pop() ?? this.#messages.length
      this.#trie.setValue(node, false, id)
      this.#sizes[id] = 0
      this.#count += 1
    }
    this.#bytes += size - (this.#sizes[id] as number)
    this.#ownCount += Number(isOwn(publication)) - Number(isOwn(this.#messages[id]))
    this.#messages[id] = publication
    this.#sizes[id] = size
    return 'stored'
  }

  /** The message of a topic, if there is one that has not expired. */
  get(topic: string): Publication | undefined {
    const node = this.#trie.find(topic, topic.length)
    if (node < 0) return undefined
    const message = this.#messages[this.#trie.valueOf(node, false)]
    if (message === undefined || message.expiresAtMs > this.#clock.nowMs()) return message
    this.#drop(node)
    this.#trie.release(node)
    this.#rest()
    return undefined
  }

  /** Removes the message of a topic; false: there is none. */
  remove(topic: string): boolean {
    return this.#clear(topic) === 'cleared'
  }

  /** A cursor over the levels right below these ones; `undefined`: over the first levels. Close it, or read it to its end. */
  levels(under: string | undefined): RetainedLevels {
    return new RetainedLevels(this.#trie, under)
  }

  /** What is at and below a topic's levels. */
  levelOf(topic: string): RetainedLevel {
    return levelOf(this.#trie, topic)
  }

  /** Removes the messages of these publishers; returns how many. */
  removeOf(publishers: ReadonlySet<string>): number {
    const removed = this.#messages.filter((message) => message !== undefined && publishers.has(message.publisher))
    for (const message of removed) this.#clear(message!.topic)
    return removed.length
  }

  /** Cheaper than {@link match}; false where the levels before the filter's first wildcard lead to nothing. */
  mayMatch(filter: string): boolean {
    if (this.#count === 0) return false
    const plus = filter.indexOf('+')
    const wildcard = plus < 0 ? filter.indexOf('#') : plus
    return this.#trie.find(filter, wildcard < 0 ? filter.length : wildcard - 1, true) >= 0
  }

  /** A cursor over the messages that match an ordinary (not shared) filter. Close it, or read it to its end. */
  match(filter: string): RetainedCursor {
    return new RetainedCursor(
      this.#trie,
      filter,
      this.#clock,
      (node) => this.#messageAt(node),
      (node) => this.#drop(node),
      () => this.#rest(),
    )
  }

  /**
   * Looks at up to `maxVisits` places of the tree, from where the last call stopped, and removes the
   * expired messages there. Call it now and then so that what nobody asks for goes as well.
   */
  sweep(maxVisits: number): void {
    const cursor = (this.#sweep ??= this.match('#'))
    if (cursor.visit(maxVisits)) this.#sweep = undefined
  }

  /**
   * An empty store keeps nothing, not even the place where the sweep stopped. Only called while
   * nobody is on the way through the tree, since giving that place up may take nodes away.
   */
  #rest(): void {
    if (this.#count > 0) return
    this.#sweep?.close()
    this.#sweep = undefined
  }

  #messageAt(node: number): Publication | undefined {
    return this.#messages[this.#trie.valueOf(node, false)]
  }

  #hasRoom(topic: string, size: number): boolean {
    const { maxRetainedMessages, maxRetainedBytes } = this.#limits
    if (this.clientCount < maxRetainedMessages && this.#bytes + size <= maxRetainedBytes) return true
    const node = this.#trie.find(topic, topic.length)
    const id = node < 0 ? 0 : this.#trie.valueOf(node, false)
    const count = this.clientCount + (id === 0 || isOwn(this.#messages[id]) ? 1 : 0)
    return count <= maxRetainedMessages && this.#bytes + size - (this.#sizes[id] as number) <= maxRetainedBytes
  }

  #clear(topic: string): 'cleared' | 'absent' {
    const node = this.#trie.find(topic, topic.length)
    const message = node < 0 ? undefined : this.#messageAt(node)
    if (message === undefined) return 'absent'
    const expired = message.expiresAtMs <= this.#clock.nowMs()
    this.#drop(node)
    this.#trie.release(node)
    this.#rest()
    return expired ? 'absent' : 'cleared'
  }

  /** Forgets the message of `node`; the caller releases the node. */
  #drop(node: number): void {
    const id = this.#trie.valueOf(node, false)
    this.#trie.setValue(node, false, 0)
    this.#bytes -= this.#sizes[id] as number
    this.#count -= 1
    if (isOwn(this.#messages[id])) this.#ownCount -= 1
    this.#onGone(this.#messages[id]!.topic)
    this.#messages[id] = undefined
    this.#sizes[id] = 0
    this.#freeIds.push(id)
  }
}

function isOwn(message: Publication | undefined): boolean {
  return message?.keeping === Keeping.Never
}

/**
 * Reads the retained messages of a filter page by page, in the tree's order, while the store changes
 * between the pages. It holds no copy: only its place, which it pins. Each topic comes at most once,
 * with the message that it has by then; a topic stored behind the cursor's back may not come at all.
 */
export class RetainedCursor {
  readonly #trie: LevelTrie
  readonly #filter: readonly string[]
  /** Level of the filter's `#`; Infinity: it has none. */
  readonly #restLevel: number
  readonly #clock: Pick<Clock, 'nowMs'>
  readonly #messageAt: (node: number) => Publication | undefined
  readonly #drop: (node: number) => void
  readonly #onRest: () => void
  #node = ROOT
  /** Levels of the path of `#node`: they include those of its own label. */
  #depth = 0
  /** Whether the path of `#node` agrees with the filter, so that its children are worth a visit. */
  #agrees = true
  #done = false

  /** Made by {@link RetainedStore.match}. */
  constructor(
    trie: LevelTrie,
    filter: string,
    clock: Pick<Clock, 'nowMs'>,
    messageAt: (node: number) => Publication | undefined,
    drop: (node: number) => void,
    onRest: () => void,
  ) {
    this.#trie = trie
    this.#filter = filter.split('/')
    this.#restLevel = filter.endsWith('#') ? this.#filter.length - 1 : Infinity
    this.#clock = clock
    this.#messageAt = messageAt
    this.#drop = drop
    this.#onRest = onRest
    trie.pin(ROOT)
  }

  /**
   * Appends up to `maxMessages` messages to `into`. True: that was the end. False: call again, in
   * another turn; a page may be short or empty where much of the tree is visited for few matches.
   */
  read(into: Publication[], maxMessages: number): boolean {
    return this.#advance(maxMessages * VISITS_PER_MESSAGE, maxMessages, into)
  }

  /** Goes on for up to `maxVisits` places, and only removes what has expired. True: that was the end. */
  visit(maxVisits: number): boolean {
    return this.#advance(maxVisits, Infinity, undefined)
  }

  /** Gives up the rest. Harmless after the end. */
  close(): void {
    if (this.#done) return
    this.#done = true
    this.#trie.unpin(this.#node)
    this.#trie.release(this.#node)
  }

  #advance(maxVisits: number, maxMessages: number, into: Publication[] | undefined): boolean {
    const nowMs = this.#clock.nowMs()
    let messages = 0
    let left = this.#node
    // Only the resting place is pinned: nothing else changes the tree while this loop runs.
    if (!this.#done) this.#trie.unpin(left)
    for (let visits = 0; !this.#done && visits < maxVisits && messages < maxMessages; visits += 1) {
      this.#step()
      // The node behind may be empty: its message expired, or it was kept by the pin alone.
      if (left !== this.#node) this.#trie.release(left)
      left = this.#node
      if (this.#done || !this.#isMatch()) continue
      const message = this.#messageAt(this.#node)
      if (message === undefined) continue
      if (message.expiresAtMs <= nowMs) this.#drop(this.#node)
      else {
        into?.push(message)
        messages += 1
      }
    }
    if (!this.#done) this.#trie.pin(this.#node)
    this.#onRest()
    return this.#done
  }

  #isMatch(): boolean {
    return this.#agrees && (this.#depth === this.#filter.length || this.#depth >= this.#restLevel)
  }

  /** Moves to the next node in the order parent, youngest child, …, oldest child. */
  #step(): void {
    if (this.#agrees) {
      const child = this.#firstCandidate()
      if (child !== 0) {
        this.#enter(child, this.#depth)
        return
      }
    }
    while (this.#node !== ROOT) {
      const start = this.#depth - this.#trie.levelsOf(this.#node)
      // A literal level has one node at most, which was found by its name.
      const sibling = this.#isOpen(start) ? this.#trie.nextSibling(this.#node) : 0
      if (sibling !== 0) {
        this.#enter(sibling, start)
        return
      }
      this.#node = this.#trie.parentOf(this.#node)
      this.#depth = start
    }
    this.#done = true
  }

  #firstCandidate(): number {
    if (this.#isOpen(this.#depth)) return this.#trie.firstChild(this.#node)
    const level = this.#filter[this.#depth]
    return level === undefined ? 0 : this.#trie.childByLevel(this.#node, level)
  }

  /** Whether the filter takes any text at this level. */
  #isOpen(level: number): boolean {
    return level >= this.#restLevel || this.#filter[level] === '+'
  }

  #enter(node: number, start: number): void {
    this.#node = node
    this.#depth = start + this.#trie.levelsOf(node)
    // Below a `#` everything agrees, except that it hides the topics that start with `$` (MQTT-4.7.2-1).
    this.#agrees = (start > 0 && start >= this.#restLevel) || this.#trie.labelAgrees(node, this.#filter, start)
  }
}
