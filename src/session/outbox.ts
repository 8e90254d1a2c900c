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
  /** What it was counted with when it was put into an outbox: encoding a message may make it larger meanwhile. */
  countedBytes?: number
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
  readonly #maxMessages: number
  readonly #maxBytes: number
  readonly #policy: OverflowPolicy
  readonly #atMostOnce = new Fifo()
  readonly #acknowledged = new Fifo()
  #bytes = 0

  constructor(maxMessages: number, maxBytes: number, policy: OverflowPolicy) {
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
    if (delivery) this.#bytes -= delivery.countedBytes ?? 0
    return delivery
  }

  extract(matches: (delivery: Delivery) => boolean): Delivery[] {
    const out = [...this.#atMostOnce.extract(matches), ...this.#acknowledged.extract(matches)]
    for (const delivery of out) this.#bytes -= delivery.countedBytes ?? 0
    return out
  }

  #fits(bytes: number): boolean {
    return this.size < this.#maxMessages && this.#bytes + bytes <= this.#maxBytes
  }

  #add(delivery: Delivery, bytes: number): void {
    // What waits must not pin the chunk that it came in.
    delivery.publication.detach()
    this.#bytes += bytes
    delivery.countedBytes = bytes
    if (delivery.qos === 0) this.#atMostOnce.push(delivery)
    else this.#acknowledged.push(delivery)
  }
}

const NOTHING: readonly Delivery[] = []
