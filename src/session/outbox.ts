import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { OverflowPolicy } from '../options.ts'
import type { DeliveryGroup } from '../router/subscriber.ts'
import type { StoredTail } from './stored-tail.ts'

/** A message that waits for one session. */
export interface Delivery {
  readonly publication: Publication
  readonly qos: QoS
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[] | undefined
  readonly group: DeliveryGroup | undefined
  /** Its place in the session's line in the store; 0: it has none. */
  readonly place: number
  /** What it was counted with when it was put into an outbox: encoding a message may make it larger meanwhile. */
  countedBytes?: number
  /** Bytes of the chunk that it keeps, if it is the first one of that chunk. */
  pinnedBytes?: number
}

/** First in, first out; what was taken from the front is cut off when it makes up half. */
class Fifo {
  #items: (Delivery | undefined)[] = []
  #head = 0

  get size(): number {
    return this.#items.length - this.#head
  }

  push(delivery: Delivery): void {
    this.#items.push(delivery)
  }

  peek(): Delivery | undefined {
    return this.#items[this.#head]
  }

  shift(): Delivery | undefined {
    if (this.#head === this.#items.length) return undefined
    const delivery = this.#items[this.#head]
    this.#items[this.#head++] = undefined
    if (this.#head === this.#items.length) {
      this.#items = []
      this.#head = 0
    } else if (this.#head >= 256 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return delivery
  }

  [Symbol.iterator](): Iterator<Delivery> {
    return this.#items.slice(this.#head).values() as Iterator<Delivery>
  }

  forEach(visit: (delivery: Delivery) => void): void {
    for (let i = this.#head; i < this.#items.length; i++) visit(this.#items[i]!)
  }

  /** Takes out those at the end that match, in order. */
  takeEnd(matches: (delivery: Delivery) => boolean): Delivery[] {
    let from = this.#items.length
    while (from > this.#head && matches(this.#items[from - 1]!)) from--
    return this.#items.splice(from) as Delivery[]
  }

  /** Puts in the place of each what `change` makes of it; takes out and returns what it makes nothing of. */
  change(change: (delivery: Delivery) => Delivery | undefined): Delivery[] {
    const gone: Delivery[] = []
    const before = this.#items
    const from = this.#head
    const end = before.length
    const changed: Delivery[] = []
    for (let i = from; i < end; i++) {
      const delivery = before[i]!
      const kept = change(delivery)
      if (kept === undefined) gone.push(delivery)
      else changed.push(kept)
    }
    for (let i = end; i < before.length; i++) changed.push(before[i]!)
    this.#items = changed
    this.#head = 0
    return gone
  }

  /** Takes out all that match, in order. */
  extract(matches: (delivery: Delivery) => boolean): Delivery[] {
    const out: Delivery[] = []
    const kept: Delivery[] = []
    for (let i = this.#head; i < this.#items.length; i++) {
      const delivery = this.#items[i]!
      if (matches(delivery)) out.push(delivery)
      else kept.push(delivery)
    }
    this.#items = kept
    this.#head = 0
    return out
  }
}

/**
 * Messages that wait for a session: because it is offline, because its window of unacknowledged
 * messages is full, or because its socket does not take more. Bounded by count and by bytes; what
 * happens beyond is in the policy's name. QoS 0 has a line of its own, since it need not wait for
 * the window; each line keeps its order (MQTT-4.6.0-6).
 */
export class BoundedOutbox {
  #maxMessages: number
  #maxBytes: number
  #policy: OverflowPolicy
  readonly #atMostOnce = new Fifo()
  readonly #acknowledged = new Fifo()
  /** The rest of the line of QoS 1 and 2, where that is in a store. */
  tail: StoredTail | undefined = undefined
  #bytes = 0
  #pinnedBytes = 0
  #lastChunk: ArrayBufferLike | undefined = undefined

  constructor(maxMessages: number, maxBytes: number, policy: OverflowPolicy) {
    this.#maxMessages = maxMessages
    this.#maxBytes = maxBytes
    this.#policy = policy
  }

  /** The session came back under other limits; what waits already stays. */
  limit(maxMessages: number, maxBytes: number, policy: OverflowPolicy): void {
    this.#maxMessages = maxMessages
    this.#maxBytes = maxBytes
    this.#policy = policy
  }

  get size(): number {
    const here = this.#atMostOnce.size + this.#acknowledged.size
    return this.tail === undefined ? here : here + this.tail.messages
  }

  get bytes(): number {
    return this.tail === undefined ? this.#bytes : this.#bytes + this.tail.bytes
  }

  /** When the first message of either line came, in `tenthsOf` a second; 0: none is here, or it is not known. */
  get oldest(): number {
    const first = this.#atMostOnce.peek()?.publication.arrived ?? 0
    const second = this.#acknowledged.peek()?.publication.arrived ?? 0
    return first === 0 || second === 0 ? first || second : Math.min(first, second)
  }

  /** What is here, in the order in which it goes out. */
  *waiting(): Generator<Delivery, void> {
    yield* this.#atMostOnce
    yield* this.#acknowledged
  }

  get hasAtMostOnce(): boolean {
    return this.#atMostOnce.size > 0
  }

  /** Whether a QoS 1 or 2 message can be taken now. */
  get hasAcknowledged(): boolean {
    return this.#acknowledged.size > 0
  }

  /** How many of them are here, and not in the store only. */
  get buffered(): number {
    return this.#acknowledged.size
  }

  /** Bytes of what is here. */
  get bufferedBytes(): number {
    return this.#bytes
  }

  /** Whether a new one has others before it. */
  get awaitsOthers(): boolean {
    return this.#acknowledged.size > 0 || this.tail?.isEmpty === false
  }

  /**
   * Puts a message at the end of its line. Returns what had to be given up for it, the message
   * itself included; undefined where the policy is to end the connection instead.
   */
  push(delivery: Delivery): readonly Delivery[] | undefined {
    const bytes = delivery.publication.sizeBytes
    if (this.#fits(bytes)) {
      this.#add(delivery, bytes)
      return NOTHING
    }
    if (this.#policy === 'disconnect') return undefined
    if (this.#policy === 'drop-newest' || bytes > this.#maxBytes || this.#maxMessages < 1) return [delivery]
    const dropped: Delivery[] = []
    while (!this.#fits(bytes)) {
      const oldest = this.shift(0) ?? this.shift(1)
      if (oldest !== undefined) dropped.push(oldest)
      else if (this.tail?.shed() !== true) break
    }
    this.#add(delivery, bytes)
    return dropped
  }

  peek(qos: QoS): Delivery | undefined {
    return (qos === 0 ? this.#atMostOnce : this.#acknowledged).peek()
  }

  shift(qos: QoS): Delivery | undefined {
    const delivery = (qos === 0 ? this.#atMostOnce : this.#acknowledged).shift()
    if (delivery) this.#forget(delivery)
    return delivery
  }

  /** Puts a message that was read from the store at the end of what is here: it was counted already. */
  putRead(delivery: Delivery): void {
    this.#put(delivery, delivery.publication.sizeBytes)
  }

  /** Puts in the place of each message what `change` makes of it; what it makes nothing of has gone. */
  change(change: (delivery: Delivery) => Delivery | undefined): void {
    for (const gone of this.#atMostOnce.change(change)) this.#forget(gone)
    const lowered: Delivery[] = []
    const left = this.#acknowledged.change((delivery) => {
      const kept = change(delivery)
      if (kept === undefined || !isAtMostOnce(kept)) return kept
      lowered.push(kept)
      return undefined
    })
    for (const gone of left) this.#forget(gone)
    for (const delivery of lowered) this.#put(delivery, delivery.publication.sizeBytes)
  }

  /** Nobody is there: what the store has need not be here too. */
  release(): void {
    const stored = this.tail && this.#acknowledged.takeEnd(({ place }) => place > 0)
    if (stored === undefined || stored.length === 0) return
    for (const delivery of stored) this.#forget(delivery)
    this.tail?.putBack(stored)
  }

  extract(matches: (delivery: Delivery) => boolean): Delivery[] {
    const out = [...this.#atMostOnce.extract(matches), ...this.#acknowledged.extract(matches)]
    for (const delivery of out) this.#forget(delivery)
    return out
  }

  /** What waits from now on waits for long: it must not keep the chunks of the connections that it came from. */
  detach(): void {
    this.#atMostOnce.forEach((delivery) => delivery.publication.detach())
    this.#acknowledged.forEach((delivery) => delivery.publication.detach())
  }

  #fits(bytes: number): boolean {
    return this.size < this.#maxMessages && this.bytes + bytes <= this.#maxBytes
  }

  #add(delivery: Delivery, bytes: number): void {
    const { place, publication, group } = delivery
    if (place > 0 && this.tail?.isNextFor(this.#acknowledged.size, this.#bytes, bytes) === true)
      this.tail.add(place, publication.storedBytes, group !== undefined)
    else this.#put(delivery, bytes)
  }

  #put(delivery: Delivery, bytes: number): void {
    this.#bytes += bytes
    delivery.countedBytes = bytes
    this.#pin(delivery)
    if (isAtMostOnce(delivery)) this.#atMostOnce.push(delivery)
    else this.#acknowledged.push(delivery)
  }

  /**
   * A message that only waits for the window stays in the chunk that it came in, with the packet that
   * can be sent as it is. Where that would pin much more than waits, it gets memory of its own.
   */
  #pin(delivery: Delivery): void {
    const { publication } = delivery
    const chunk = publication.bytes.buffer
    if (chunk === this.#lastChunk) return
    if (this.#pinnedBytes + chunk.byteLength > PINNED_BYTES + PINNED_FACTOR * this.#bytes) return publication.detach()
    this.#lastChunk = chunk
    this.#pinnedBytes += chunk.byteLength
    delivery.pinnedBytes = chunk.byteLength
  }

  #forget(delivery: Delivery): void {
    this.#bytes -= delivery.countedBytes ?? 0
    this.#pinnedBytes -= delivery.pinnedBytes ?? 0
    if (this.size === 0) this.#lastChunk = undefined
  }
}

/** It need not wait for the window. One with a place in the store goes in its order, whatever QoS is left of it. */
function isAtMostOnce({ qos, place }: Delivery): boolean {
  return qos === 0 && place === 0
}

/** Bytes of chunks that a short wait may pin, beyond a multiple of what waits. */
const PINNED_BYTES = 32_768
const PINNED_FACTOR = 4

const NOTHING: readonly Delivery[] = []
