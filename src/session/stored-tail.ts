import type { QueuedMessage, StoredSession } from '../stored.ts'
import { isExpired, leave, permitted } from './outbound-checks.ts'
import type { InflightEntry } from './inflight.ts'
import type { Keeper } from './keeper.ts'
import type { OutboundHost, OutboundLimits } from './outbound-host.ts'
import type { BoundedOutbox, Delivery } from './outbox.ts'
import { TailReader, type Sweep } from './tail-reader.ts'

/** What a store has of a session's line at the start. */
export type StoredLine = Pick<StoredSession, 'inflight' | 'queued' | 'subscriptions'>

/**
 * The messages of a persistent session's line that are only in the store, behind those in its outbox:
 *
 *     store    │ 1 2 3 │ 4 5 6 7 │ 8 9 … 1000000 │
 *     memory   │ 1 2 3 │ 4 5 6 7 │               │
 *                under    outbox   tail: known by count, bytes and the place where it begins
 *                way
 *
 * A message joins the outbox while there is room and nothing is behind it, else the tail; while the
 * client is away all of them are the tail's. The outbox is filled again in pages (see {@link TailReader}),
 * and each message is looked at then: whether it has expired, and whether the client may have it.
 */
export class StoredTail {
  readonly #host: OutboundHost
  readonly #keeper: Keeper
  readonly #outbox: BoundedOutbox
  readonly #reader: TailReader
  #maxMessages = 0
  #maxBytes = 0
  /** No message of the tail has a lower place. */
  #from = 1
  #messages = 0
  #bytes = 0
  /** Those that came by a shared subscription, as far as is known. */
  #shared = 0
  /** Messages that an earlier process had sent, by their place: they are read before all others. */
  readonly #unread = new Map<number, InflightEntry>()

  /** `onLost` is told of a message under way that can't be read any more. */
  constructor(
    host: OutboundHost,
    keeper: Keeper,
    outbox: BoundedOutbox,
    limits: OutboundLimits,
    onLost: (entry: InflightEntry) => void,
  ) {
    this.#host = host
    this.#keeper = keeper
    this.#outbox = outbox
    this.#reader = new TailReader(host, keeper, this, onLost)
    this.limit(limits)
  }

  limit({ maxBufferedMessages, maxBufferedBytes }: OutboundLimits): void {
    this.#maxMessages = maxBufferedMessages
    this.#maxBytes = maxBufferedBytes
  }

  get messages(): number {
    return this.#messages
  }

  get bytes(): number {
    return this.#bytes
  }

  get from(): number {
    return this.#from
  }

  get unread(): ReadonlyMap<number, InflightEntry> {
    return this.#unread
  }

  /** Nothing of it has to be read before a message that comes now. */
  get isEmpty(): boolean {
    return this.#messages === 0 && this.#unread.size === 0 && !this.#reader.isFilling
  }

  /** Whether a message belongs here, and not into an outbox with so many in it. */
  isNextFor(messages: number, heldBytes: number, bytes: number): boolean {
    if (this.#host.connection === undefined || !this.isEmpty || messages >= this.#maxMessages) return true
    return messages > 0 && heldBytes + bytes > this.#maxBytes
  }

  add(place: number, bytes: number, isShared: boolean): void {
    if (this.#messages === 0) this.#from = place
    this.#count(1, bytes, isShared ? 1 : 0)
  }

  /** What was in the outbox begins the tail from now on. */
  putBack(deliveries: readonly Delivery[]): void {
    this.#from = deliveries[0]!.place
    for (const { publication, group } of deliveries)
      this.#count(1, publication.storedBytes, group === undefined ? 0 : 1)
  }

  /** Brings back the line of an earlier process: what waits begins behind what had been sent. */
  restore({ inflight, queued, subscriptions }: StoredLine): void {
    for (const { sequence } of inflight) this.#from = Math.max(this.#from, sequence + 1)
    const messages = queued.messages - this.#unread.size
    const mayBeShared = subscriptions.some(({ filter }) => filter.startsWith('$share/'))
    this.#count(messages, queued.bytes, mayBeShared ? messages : 0)
  }

  /** A message that an earlier process had sent is read when its client is back. */
  awaitUnread(entry: InflightEntry): void {
    this.#unread.set(entry.place, entry)
  }

  /** An entry of those has ended. */
  forgetUnread(place: number): void {
    this.#unread.delete(place)
  }

  /** Gives up the oldest message; false: there is none. */
  shed(): boolean {
    if (this.#messages === 0) return false
    const oldest = this.#keeper.oldest(this.#from)
    if (oldest === undefined) {
      this.clear(Infinity)
      return false
    }
    const { sequence, bytes } = oldest
    this.#from = sequence + 1
    this.#count(-1, -bytes, 0)
    if (this.#host.observesDrops) this.#reader.tellDropped(sequence)
    else this.#keeper.settle(sequence)
    return true
  }

  /** The outbox has room, or the client is there again: reads what is next, unless that is going on. */
  read(): void {
    if (this.#messages > 0 || this.#unread.size > 0) this.#reader.read()
  }

  /** How much is to be read now; undefined: enough is there. */
  get wanted(): { readonly messages: number; readonly bytes: number } | undefined {
    const { buffered, bufferedBytes } = this.#outbox
    if (this.#messages === 0 || !this.#host.isFlowing || buffered * 2 > this.#maxMessages) return undefined
    if (buffered > 0 && bufferedBytes * 2 > this.#maxBytes) return undefined
    return { messages: this.#maxMessages - buffered, bytes: Math.max(this.#maxBytes - bufferedBytes, 1) }
  }

  /** A message has been read that is the next one for the outbox. */
  take(message: QueuedMessage): void {
    if (message.sequence < this.#from) return
    this.#from = message.sequence + 1
    this.leave(message)
    if (isExpired(this.#host, message.publication, message.qos)) return leave(this.#host, message.sequence)
    const next = permitted(this.#host, this.deliveryOf(message))
    if (next !== undefined) this.#outbox.putRead(next)
  }

  deliveryOf({ publication, qos, retain, subscriptionIdentifiers, shared, sequence }: QueuedMessage): Delivery {
    const group = shared === undefined ? undefined : this.#host.groupOf(shared)
    return { publication, qos, retain, subscriptionIdentifiers, group, place: sequence }
  }

  /** A message is not in the tail any more. */
  leave({ publication, shared }: QueuedMessage): void {
    this.#count(-1, -publication.storedBytes, shared === undefined ? 0 : -1)
  }

  /** The store has nothing before this place, whatever was counted. */
  clear(end: number, messages = 0, bytes = 0): void {
    this.#from = Math.min(Math.max(this.#from, end), this.#keeper.nextSequence)
    this.#messages = messages
    this.#bytes = bytes
    if (messages === 0) this.#shared = 0
  }

  #count(messages: number, bytes: number, shared: number): void {
    this.#messages = Math.max(0, this.#messages + messages)
    // What was shed was counted by its share of others: the sum is right when nothing is left.
    this.#bytes = this.#messages === 0 ? 0 : Math.max(0, this.#bytes + bytes)
    this.#shared = this.#messages === 0 ? 0 : Math.max(0, this.#shared + shared)
  }

  /** Gives messages of shared subscriptions, or of one of them, to other members, where one takes them. */
  giveBack(shared?: string): void {
    if (this.#shared === 0) return
    this.#reader.sweep({
      at: this.#from,
      end: this.#keeper.nextSequence,
      whileAway: shared === undefined,
      visit: (message) => {
        if (message.sequence < this.#from || message.shared === undefined) return
        if (shared !== undefined && message.shared !== shared) return
        if (!this.#host.groupOf(message.shared).redeliver(message.publication)) return
        leave(this.#host, message.sequence)
        this.leave(message)
      },
    })
  }

  /**
   * Gives up all that waits here now: `giveUp` is told of every message, some at a time. Resolves to false
   * where its client is back before the end and gets the rest.
   */
  empty(giveUp: (delivery: Delivery) => void): Promise<boolean> {
    if (this.#messages === 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const visit: Sweep['visit'] = (message) => {
        if (message.sequence < this.#from) return
        this.leave(message)
        giveUp(this.deliveryOf(message))
      }
      const done = (completed: boolean): void => resolve(completed && this.#host.connection === undefined)
      this.#reader.sweep({ at: this.#from, end: this.#keeper.nextSequence, whileAway: true, visit, done })
    })
  }

  /**
   * The line ends: `giveUp` is told of every message, some at a time. Undefined where nobody asks for
   * them; else it resolves to whether the store could be read to the end.
   */
  end(isSessionOver: boolean, giveUp: (delivery: Delivery) => void): Promise<boolean> | undefined {
    const isEmpty = this.#messages === 0 && this.#unread.size === 0
    if (isEmpty || (isSessionOver && this.#shared === 0 && !this.#host.observesDrops)) return undefined
    const at = Math.min(this.#from, ...this.#unread.keys())
    return new Promise((resolve) => {
      const visit: Sweep['visit'] = (message) => {
        if (message.sequence >= this.#from || this.#unread.has(message.sequence)) giveUp(this.deliveryOf(message))
      }
      this.#reader.end({ at, end: this.#keeper.nextSequence, whileAway: false, visit, done: resolve })
    })
  }
}
