import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Observable, type Subscriber } from 'rxjs'

import { countSent, type Counters } from '../counters.ts'
import { ProtocolError } from '../errors.ts'
import type { ChannelBindingType } from '../hooks.ts'
import {
  PacketType,
  type ConnectionInfo,
  type InboundPacket,
  type OutboundPacket,
  type ProtocolVersion,
  type QoS,
} from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { Limits } from '../limits.ts'
import type { Clock } from '../options.ts'
import type { AcknowledgementType, Connection, PacketTap, PauseReason, WireSettings } from '../session/connection.ts'
import { TopicAliases } from './aliases.ts'
import { Decoder } from './decoder.ts'
import { encodeControl } from './encode-control.ts'
import { flaggedImage, imageOf, measureHeader, writeHeader, type DeliveryFields } from './encode-publish.ts'
import { sendableCode } from './sendable-code.ts'
import { slab } from './slab.ts'
import { Writer, type FlushQueue } from './writer.ts'

/** Payloads from this size on are sent from where they lie, behind a header of their own. */
const SHARE_PAYLOAD_BYTES = 4_096
/** How long the peer may take for the last bytes before the stream is cut. */
const END_TIMEOUT_MS = 1_000

/** Silence after which the system asks whether the peer of a client without keepalive is still there. */
const TCP_KEEPALIVE_DELAY_MS = 60_000

/** What all connections of a broker share. */
export interface ConnectionContext {
  readonly clock: Clock
  readonly counters: Counters
  readonly flushes: FlushQueue
  /** Counts sweeps of the keepalive; see session/keepalive.ts. */
  readonly ticker: { readonly tick: number }
  /** What a stream has of a TLS channel binding; the room that made the stream knows. */
  readonly channelBinding: (stream: Duplex, type: ChannelBindingType) => Buffer | undefined
}

const connectionOf = Symbol('statemq.connection')
type StreamOfConnection = Duplex & { [connectionOf]?: StreamConnection }

// Listeners are plain functions that find the connection on the stream: five closures per
// connection would cost half a kilobyte each at a hundred thousand of them.
function onData(this: StreamOfConnection, chunk: Buffer): void {
  this[connectionOf]?.receive(chunk)
}
function onDrain(this: StreamOfConnection): void {
  this[connectionOf]?.drained()
}
function onClose(this: StreamOfConnection): void {
  this[connectionOf]?.closed()
}
function onEnd(this: StreamOfConnection): void {
  this[connectionOf]?.closed()
}
/** A broken stream also closes; without a listener the error would end the process. */
function onError(): void {}

const PauseBits: Readonly<Record<PauseReason, number>> = { decision: 1, throttle: 2, rate: 4 }

/** An MQTT connection over a byte stream. */
export class StreamConnection implements Connection {
  readonly info: ConnectionInfo
  lastTick: number
  tap: PacketTap | undefined = undefined
  onWritable: ((writable: boolean) => void) | undefined = undefined
  onReceived: ((count: number) => void) | undefined = undefined
  writable = true

  readonly #stream: StreamOfConnection
  readonly #context: ConnectionContext
  readonly #limits: Limits
  readonly #decoder: Decoder
  readonly #writer: Writer
  #sink: Subscriber<InboundPacket> | undefined = undefined
  #paused = 0
  #decoding = false
  #ended = false
  #finished = false
  #maxOutboundPacketBytes = Infinity
  #requestProblemInformation = true
  #aliases: TopicAliases | undefined = undefined
  #endTimer: unknown = undefined

  constructor(stream: Duplex, info: ConnectionInfo, limits: Limits, context: ConnectionContext) {
    this.info = info
    this.#stream = stream
    this.#context = context
    this.#limits = limits
    this.lastTick = context.ticker.tick
    this.#decoder = new Decoder(limits)
    this.#writer = new Writer(stream, context.flushes, () => this.#full())
    this.#stream[connectionOf] = this
    stream.on('data', onData).on('drain', onDrain).on('end', onEnd).on('close', onClose).on('error', onError)
  }

  get packets$(): Observable<InboundPacket> {
    return new Observable((subscriber) => this.#attach(subscriber))
  }

  get protocolVersion(): ProtocolVersion {
    return this.#decoder.protocolVersion || 4
  }

  channelBinding(type: ChannelBindingType): Buffer | undefined {
    return this.#context.channelBinding(this.#stream, type)
  }

  limitOutbound(maxPacketBytes: number, requestProblemInformation: boolean): void {
    this.#maxOutboundPacketBytes = maxPacketBytes
    this.#requestProblemInformation = requestProblemInformation
  }

  accept(settings: WireSettings): void {
    this.#decoder.topicAliasMaximum = settings.inboundTopicAliases
    this.#aliases = settings.outboundTopicAliases > 0 ? new TopicAliases(settings.outboundTopicAliases) : undefined
    this.#decoder.accept(settings)
    // Without a keepalive of MQTT's a peer that is gone would never be missed (threat 46).
    if (!settings.hasKeepAlive && this.#stream instanceof Socket)
      this.#stream.setKeepAlive(true, TCP_KEEPALIVE_DELAY_MS)
  }

  publish(
    publication: Publication,
    qos: QoS,
    packetId: number,
    duplicate: boolean,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
  ): boolean {
    const version = this.#decoder.protocolVersion === 5 ? 5 : 4
    const plain =
      version === 4 ||
      (subscriptionIdentifiers === undefined && publication.expiresAtMs === Infinity && this.#aliases === undefined)
    const isLarge = publication.payloadLength >= SHARE_PAYLOAD_BYTES
    const flags = (duplicate ? 0x08 : 0) | (retain ? 0x01 : 0)
    if (!plain || (isLarge && (qos > 0 || flags > 0 || publication.image?.key !== version * 4))) {
      return this.#publishWithHeader(publication, version, qos, packetId, duplicate, retain, subscriptionIdentifiers)
    }
    const image =
      flags > 0 ? flaggedImage(publication, version, qos, flags, packetId) : imageOf(publication, version, qos)
    // MQTT-3.1.2-24
    if (image.end - image.start > this.#maxOutboundPacketBytes) return false
    this.#writer.append(image.bytes, image.start, image.end, image.idOffset, packetId)
    countSent(this.#context.counters, publication)
    if (this.tap !== undefined) this.tap.published(publication, qos, packetId, duplicate, retain)
    return true
  }

  #publishWithHeader(
    publication: Publication,
    version: 4 | 5,
    qos: QoS,
    packetId: number,
    duplicate: boolean,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
  ): boolean {
    const topicAlias = version === 5 ? (this.#aliases?.lookup(publication.topic) ?? 0) : 0
    const fields: DeliveryFields = {
      version,
      qos,
      packetId,
      duplicate,
      retain,
      expirySeconds: version === 5 ? this.#secondsLeft(publication) : undefined,
      subscriptionIdentifiers: version === 5 ? subscriptionIdentifiers : undefined,
      topicAlias: Math.abs(topicAlias),
      omitTopic: topicAlias > 0,
    }
    const size = measureHeader(publication, fields)
    if (size.totalBytes > this.#maxOutboundPacketBytes) {
      // The client never learns an alias that was only in a packet too large for it.
      if (topicAlias < 0) this.#aliases?.forget(publication.topic)
      return false
    }
    const shared = publication.payloadLength >= SHARE_PAYLOAD_BYTES
    const at = slab.reserve(shared ? size.headerBytes : size.totalBytes)
    const out = slab.bytes
    const end = writeHeader(out, at, publication, fields, size)
    if (shared) {
      this.#writer.append(out, at, end, -1, 0)
      this.#writer.append(publication.bytes, publication.payloadStart, publication.payloadEnd, -1, 0)
      for (const piece of publication.rest ?? []) this.#writer.append(piece, 0, piece.length, -1, 0)
    } else {
      publication.bytes.copy(out, end, publication.payloadStart, publication.payloadEnd)
      this.#writer.append(out, at, at + size.totalBytes, -1, 0)
    }
    countSent(this.#context.counters, publication)
    if (this.tap !== undefined) this.tap.published(publication, qos, packetId, duplicate, retain)
    return true
  }

  /** MQTT-3.3.2-6: what is left of the interval, at least one second as long as the message lives. */
  #secondsLeft(publication: Publication): number | undefined {
    if (publication.expiresAtMs === Infinity) return undefined
    return Math.max(1, Math.ceil((publication.expiresAtMs - this.#context.clock.nowMs()) / 1000))
  }

  acknowledge(type: AcknowledgementType, packetId: number, reasonCode: number, reasonString?: string): void {
    this.#context.counters.otherPacketsSent++
    if (this.tap !== undefined) this.tap.acknowledged(type, packetId, reasonCode)
    const first = (type << 4) | (type === PacketType.Pubrel ? 2 : 0)
    const v5 = this.#decoder.protocolVersion === 5 && reasonCode !== 0
    const code = v5 ? sendableCode(type, reasonCode) : reasonCode
    const isTold = v5 && reasonString?.includes('\0') === false && this.#requestProblemInformation
    const text = isTold ? Buffer.from(reasonString) : undefined
    // MQTT-3.4.2-2 and its siblings: the text goes first when the packet would be too large.
    if (text && text.length < 120 && text.length + 9 <= this.#maxOutboundPacketBytes) {
      const length = 2 + 1 + 1 + 3 + text.length
      const at = slab.reserve(2 + length)
      const out = slab.bytes
      out[at] = first
      out[at + 1] = length
      out[at + 2] = packetId >> 8
      out[at + 3] = packetId & 0xff
      out[at + 4] = code
      out[at + 5] = 3 + text.length
      out[at + 6] = 0x1f
      out[at + 7] = 0
      out[at + 8] = text.length
      text.copy(out, at + 9)
      this.#writer.append(out, at, at + 2 + length, -1, 0)
      return
    }
    const at = slab.reserve(v5 ? 5 : 4)
    const out = slab.bytes
    out[at] = first
    out[at + 1] = v5 ? 3 : 2
    out[at + 2] = packetId >> 8
    out[at + 3] = packetId & 0xff
    if (v5) out[at + 4] = code
    this.#writer.append(out, at, at + (v5 ? 5 : 4), -1, 0)
  }

  pingResponse(): void {
    this.#context.counters.otherPacketsSent++
    if (this.tap !== undefined) this.tap.ponged()
    const at = slab.reserve(2)
    slab.bytes[at] = PacketType.Pingresp << 4
    slab.bytes[at + 1] = 0
    this.#writer.append(slab.bytes, at, at + 2, -1, 0)
  }

  send(packet: OutboundPacket): boolean {
    const bytes = encodeControl(
      packet,
      this.protocolVersion,
      this.#maxOutboundPacketBytes,
      this.#requestProblemInformation,
    )
    if (!bytes) return false
    this.#context.counters.otherPacketsSent++
    if (this.tap !== undefined) this.tap.sent(packet)
    this.#writer.append(bytes, 0, bytes.length, -1, 0)
    return true
  }

  hold(until: Promise<void>): void {
    this.#writer.hold(until, () => {
      if (!this.#stream.writableNeedDrain) this.drained()
    })
  }

  get isReading(): boolean {
    return this.#paused === 0
  }

  pause(reason: PauseReason): void {
    if (this.#paused === 0 && !this.#ended) this.#stream.pause()
    this.#paused |= PauseBits[reason]
  }

  resume(reason: PauseReason): void {
    if ((this.#paused & PauseBits[reason]) === 0) return
    this.#paused &= ~PauseBits[reason]
    if (this.#paused !== 0) return
    this.#decode()
    if (this.#paused === 0 && !this.#ended) this.#stream.resume()
  }

  end(): void {
    if (this.#finished) return
    this.#finished = true
    this.#writer.flush()
    this.#writer.whenReleased(() => this.#finish())
  }

  #finish(): void {
    this.#writer.close()
    this.#stream.end()
    // Node keeps a socket whose peer never reads half open for ever.
    this.#endTimer = this.#context.clock.setTimeout(() => this.#stream.destroy(), END_TIMEOUT_MS)
    if (this.#stream.destroyed) this.#context.clock.clearTimeout(this.#endTimer)
    else this.#stream.resume()
  }

  #attach(subscriber: Subscriber<InboundPacket>): () => void {
    this.#sink = subscriber
    this.#decode()
    return () => {
      if (this.#sink === subscriber) this.#sink = undefined
    }
  }

  receive(chunk: Buffer): void {
    this.#context.counters.bytesReceived += chunk.length
    if (this.#finished) return
    this.#decoder.feed(chunk)
    this.onReceived?.(chunk.length)
    this.#decode()
  }

  /** Hands on packets until the bytes run out, or until somebody pauses or leaves. */
  #decode(): void {
    if (this.#decoding) return
    this.#decoding = true
    let packets = 0
    try {
      while (this.#sink !== undefined && this.#paused === 0 && !this.#finished) {
        const packet = this.#decoder.next()
        if (packet === undefined) {
          if (this.#ended) this.#sink.complete()
          break
        }
        // MQTT-3.1.2-22: packets are signs of life, the bytes of an endless one are not.
        this.lastTick = this.#context.ticker.tick
        packets++
        if (this.tap !== undefined) this.tap.received(packet)
        this.#sink.next(packet)
      }
    } catch (error) {
      // The decoder throws nothing else; whatever it was, this connection is over and no other.
      const failure =
        error instanceof ProtocolError ? error : new ProtocolError(0x83, 'the packet could not be decoded')
      this.#sink?.error(failure)
    } finally {
      this.#decoding = false
      this.#context.counters.packetsReceived += packets
    }
  }

  drained(): void {
    if (this.writable) return
    this.writable = true
    this.onWritable?.(true)
  }

  #full(): void {
    if (!this.writable || this.#stream.writableLength + this.#writer.heldBytes <= this.#limits.maxSocketBufferBytes)
      return
    this.writable = false
    this.onWritable?.(false)
  }

  closed(): void {
    if (this.#endTimer !== undefined && this.#stream.destroyed) this.#context.clock.clearTimeout(this.#endTimer)
    if (this.#ended) return
    this.#ended = true
    // Nobody will read any more, so waiting for a drained socket would wait for ever; nor is there more to hold back.
    this.#paused &= ~(PauseBits.throttle | PauseBits.rate)
    this.#decode()
  }
}
