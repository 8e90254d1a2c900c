import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { OverflowPolicy } from '../options.ts'
import type { DeliveryGroup } from '../router/subscriber.ts'

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

  forEach(visit: (delivery: Delivery) => void): void {
    for (let i = this.#head; i < this.#items.length; i++) visit(this.#items[i]!)
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
    return this.#atMostOnce.size + this.#acknowledged.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get hasAtMostOnce(): boolean {
    return this.#atMostOnce.size > 0
  }

  get hasAcknowledged(): boolean {
    return this.#acknowledged.size > 0
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
      if (oldest === undefined) break
      dropped.push(oldest)
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
    return this.size < this.#maxMessages && this.#bytes + bytes <= this.#maxBytes
  }

  #add(delivery: Delivery, bytes: number): void {
    this.#bytes += bytes
    delivery.countedBytes = bytes
    this.#pin(delivery)
    if (delivery.qos === 0) this.#atMostOnce.push(delivery)
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

/** Bytes of chunks that a short wait may pin, beyond a multiple of what waits. */
const PINNED_BYTES = 32_768
const PINNED_FACTOR = 4

const NOTHING: readonly Delivery[] = []
