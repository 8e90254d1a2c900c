import { Buffer } from 'node:buffer'

import type { Message, MessageProperties, QoS } from './messages.ts'
import type { Clock, SharedSubscriptionStrategy } from './options.ts'

/** Whether a message was written to the store for somebody. */
export const Keeping = {
  None: 0,
  /** For a persistent session, or as a retained message. */
  Written: 1,
  /** The store takes nothing: somebody who should have had it will not. */
  Refused: 2,
  /** The broker tells it anew all the time: it is not for the store. */
  Never: 3,
} as const
export type Keeping = (typeof Keeping)[keyof typeof Keeping]

/** Tenths of a second are counted from here, so that they stay small integers for years. */
const TENTHS_BEGIN_MS = Math.floor(Date.now() / 100) * 100

/** Broker time in tenths of a second, for fields that every message has; never 0, which stands for not known. */
export function tenthsOf(atMs: number): number {
  return Math.floor((atMs - TENTHS_BEGIN_MS) / 100) || 1
}

/** Broker time of {@link tenthsOf}, in milliseconds; undefined: it is not known. */
export function msOfTenths(tenths: number): number | undefined {
  return tenths === 0 ? undefined : TENTHS_BEGIN_MS + tenths * 100
}

/**
 * One encoding of a publication, shared by every subscriber that can take the same bytes: retain 0,
 * DUP 0, no subscription identifier, no alias. Only the packet identifier differs from subscriber
 * to subscriber; `idOffset` says where it goes.
 */
export interface PublicationImage {
  /** `version * 4 + qos`, with version 4 standing for 3.1 too. */
  readonly key: number
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
  /** Index of the packet identifier in `bytes`; -1 for QoS 0. */
  readonly idOffset: number
  next: PublicationImage | undefined
}

/**
 * A message on its way through the broker: one object per PUBLISH, shared by all the sessions it
 * reaches. The payload stays where the socket's chunk put it until somebody keeps the message
 * longer than the turn (see {@link Publication.detach}).
 */
export class Publication {
  topic: string
  readonly qos: QoS
  readonly retain: boolean
  /** As received; deliveries never copy it (MQTT-3.3.1-3). */
  readonly dup: boolean
  /** As received; 0 for QoS 0 and for messages that did not come in a packet. */
  readonly packetId: number
  bytes: Buffer
  payloadStart: number
  payloadEnd: number
  /** The rest of a large payload that came in several chunks, in order; see `flatten`. */
  rest: Buffer[] | undefined
  properties: Readonly<MessageProperties> | undefined
  /**
   * The properties to forward, encoded, in the order in which they were received and without topic
   * alias, expiry interval and subscription identifiers. Undefined: encode from `properties`.
   */
  propertyBytes: Buffer | undefined
  /** Broker time (`Clock.nowMs`) at which it expires; Infinity: never. */
  expiresAtMs: number
  /** When the broker got it, in {@link tenthsOf} a second; 0: not known. Set by the router. */
  arrived: number
  /** Client identifier of the publisher, for No Local; empty for the broker itself. */
  publisher: string
  /** How a member of a shared subscription is chosen for it; undefined: as the broker does. */
  sharedStrategy: SharedSubscriptionStrategy | undefined
  /** Where a hook has put another topic in its place for one session: the one that rights are about. */
  ownTopic: string | undefined
  /** Where a hook has changed it for a member of a shared subscription: what another member gets instead. */
  original: Publication | undefined
  /** Encodings already made, most recent first. */
  image: PublicationImage | undefined
  /** It keeps no more memory than it needs; see `detach`. */
  isDetached: boolean
  /** How many sessions it was given to: set by the router. */
  reached: number
  /** Whether somebody in this process subscribed to it without being a session: set by the router. */
  observed: boolean
  /** What the store was asked to do with it, by whoever keeps it: its acknowledgement waits for that. */
  keeping: Keeping

  constructor(
    topic: string,
    qos: QoS,
    retain: boolean,
    dup: boolean,
    packetId: number,
    bytes: Buffer,
    payloadStart: number,
    payloadEnd: number,
  ) {
    this.topic = topic
    this.qos = qos
    this.retain = retain
    this.dup = dup
    this.packetId = packetId
    this.bytes = bytes
    this.payloadStart = payloadStart
    this.payloadEnd = payloadEnd
    this.rest = undefined
    this.properties = undefined
    this.propertyBytes = undefined
    this.expiresAtMs = Infinity
    this.arrived = 0
    this.publisher = ''
    this.sharedStrategy = undefined
    this.ownTopic = undefined
    this.original = undefined
    this.image = undefined
    this.isDetached = false
    this.reached = 0
    this.observed = false
    this.keeping = Keeping.None
  }

  get type(): 3 {
    return 3
  }

  /** The payload in one piece. */
  get payload(): Buffer {
    this.flatten()
    return this.bytes.subarray(this.payloadStart, this.payloadEnd)
  }

  get payloadLength(): number {
    let length = this.payloadEnd - this.payloadStart
    if (this.rest !== undefined) for (const piece of this.rest) length += piece.length
    return length
  }

  /** MQTT-3.3.2-5: its expiry interval, if it has one, counts from now. The clock is asked only then. */
  startExpiry(clock: Pick<Clock, 'nowMs'>): void {
    const seconds = this.properties?.messageExpiryIntervalSeconds
    if (seconds !== undefined) this.expiresAtMs = clock.nowMs() + seconds * 1000
  }

  /** Its properties are others now, and so may its expiry be. */
  restartExpiry(clock: Pick<Clock, 'nowMs'>): void {
    this.expiresAtMs = Infinity
    this.startExpiry(clock)
  }

  /** The message as hooks and observers see it; `qos` and `retain` are those of a delivery where there is one. */
  toMessage(qos: QoS = this.qos, retain: boolean = this.retain): Message {
    const { topic, payload, properties, publisher } = this
    return { topic, payload, qos, retain, properties: properties ?? {}, publisher }
  }

  /**
   * Joins a payload that came in pieces. Whoever only passes it on sends the pieces as they are,
   * which saves a copy of every large message.
   */
  flatten(): void {
    if (this.rest === undefined) return
    const own = Buffer.concat([this.bytes.subarray(this.payloadStart, this.payloadEnd), ...this.rest])
    if (this.propertyBytes) this.propertyBytes = Buffer.from(this.propertyBytes)
    this.bytes = own
    this.payloadStart = 0
    this.payloadEnd = own.length
    this.rest = undefined
    this.image = undefined
  }

  /** Bytes that keeping this message costs: topic, payload, properties and bookkeeping. */
  get sizeBytes(): number {
    const held = this.rest === undefined ? this.payloadEnd - this.payloadStart : this.#heldBytes(this.rest)
    const properties = this.propertyBytes?.length ?? sizeOfProperties(this.properties)
    return this.topic.length + held + properties + 64
  }

  /** The same where it is kept in a store: without what only lies around it in memory, and the same after it was read. */
  get storedBytes(): number {
    return this.topic.length + this.payloadLength + sizeOfProperties(this.properties) + 64
  }

  /** Pieces keep the whole chunks that they lie in. */
  #heldBytes(rest: readonly Buffer[]): number {
    let held = this.bytes.buffer.byteLength
    for (const piece of rest) held += piece.buffer.byteLength
    return held
  }

  /**
   * Copies the payload out of the chunk that it arrived in. Called before the message is kept
   * (offline queue, retained store, long-unacknowledged inflight), so that 60 bytes never pin the
   * 64 KiB read that they came with.
   */
  detach(): void {
    this.original?.detach()
    // Pieces of a large payload fill their chunks, and `sizeBytes` counts those.
    if (this.isDetached || this.rest !== undefined) return
    const { bytes, image } = this
    if (bytes.buffer.byteLength <= (this.payloadEnd - this.payloadStart) * 2 + 512) return
    this.isDetached = true
    // With the packet as it came, so that it need not be encoded again for those who wait.
    const isWhole = image !== undefined && image.bytes === bytes && image.end === this.payloadEnd
    const from = isWhole ? image.start : this.payloadStart
    // Memory of its own, not a part of Node's pool: that would pin its neighbours' 64 KiB.
    const own = Buffer.allocUnsafeSlow(this.payloadEnd - from)
    bytes.copy(own, 0, from, this.payloadEnd)
    this.bytes = own
    this.payloadStart -= from
    this.payloadEnd -= from
    this.image = isWhole
      ? {
          key: image.key,
          bytes: own,
          start: 0,
          end: own.length,
          idOffset: image.idOffset < 0 ? -1 : image.idOffset - from,
          next: undefined,
        }
      : undefined
    if (this.propertyBytes) this.propertyBytes = Buffer.from(this.propertyBytes)
  }
}

/** About what {@link Publication.propertyBytes} will come to where nobody has made them yet: as for wills. */
function sizeOfProperties(properties: Readonly<MessageProperties> | undefined): number {
  if (!properties) return 0
  const { contentType = '', responseTopic = '', correlationData, userProperties = [] } = properties
  let bytes = contentType.length + responseTopic.length + (correlationData?.length ?? 0)
  for (const [name, value] of userProperties) bytes += name.length + value.length + 5
  return bytes
}
