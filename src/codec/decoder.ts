import { ProtocolError } from '../errors.ts'
import type { InboundPacket, ProtocolVersion } from '../messages.ts'
import { PacketType } from '../messages.ts'
import type { Limits } from '../limits.ts'
import { ReasonCode } from '../reason-codes.ts'
import { decodeAcknowledgement } from './decode-acknowledgement.ts'
import { decodeConnect, readProtocol } from './decode-connect.ts'
import { PublishDecoder } from './decode-publish.ts'
import { decodeAuth, decodeDisconnect } from './decode-session-control.ts'
import { decodeSubscribe, decodeUnsubscribe } from './decode-subscribe.ts'
import { malformed, refused, violation } from './faults.ts'
import { LargePublish, publishHeaderEnd } from './large-publish.ts'
import type { Extent } from './library-parser.ts'

/** The limits that decoding obeys. */
export type DecoderLimits = Pick<
  Limits,
  'maxPacketBytesBeforeConnect' | 'maxPacketBytes' | 'maxTopicLevels' | 'maxUserProperties'
>

/** Packet type and four bytes of remaining length. */
const maxHeaderBytes = 5
/**
 * What a packet that spans chunks gets at first, if it needs as much. A peer that declares a
 * megabyte and sends a byte costs this, not the megabyte.
 */
const firstPartialBytes = 16_384

/** A PUBLISH of this size that spans chunks is not copied together. */
const largeBytes = 32_768

const none = Buffer.alloc(0)
const pingreq = Object.freeze({ type: PacketType.Pingreq } as const)

/**
 * Turns the bytes of one connection into packets, one for each call of {@link Decoder.next}. A
 * packet that lies in one chunk is decoded where it is; one that spans chunks is collected in a
 * buffer of its own:
 *
 *     chunk n                      chunk n + 1
 *     ├ packet ┼ packet ┼ pack┤    ├et ┼ packet ┤
 *       in place  in place  └─ copied ─┘  in place
 *
 * A large PUBLISH is not even copied: its payload stays in pieces, as it came.
 * So a byte is copied at most a few times, however the network cuts the stream. After a
 * {@link ProtocolError} the decoder is of no more use: the connection ends.
 */
export class Decoder {
  /** 0 until the version was read from a CONNECT, even from one that fails further on. */
  protocolVersion: 0 | ProtocolVersion = 0
  readonly #limits: DecoderLimits
  readonly #publish: PublishDecoder
  #maxPacketBytes: number
  #connected = false
  #accepted = false
  #bytes: Buffer = none
  #offset = 0
  #end = 0
  /** Chunks that came while the connection had stopped asking for packets. */
  readonly #waiting: Buffer[] = []
  #waitingBytes = 0
  /** A packet that spans chunks, its bytes so far, its size (0: not known yet) and where its body begins. */
  #partial: Buffer | undefined = undefined
  #partialBytes = 0
  #partialSize = 0
  #partialBody = 0
  /** A large PUBLISH that spans chunks: its payload is kept in the pieces that it comes in. */
  #large: LargePublish | undefined = undefined

  constructor(limits: DecoderLimits) {
    this.#limits = limits
    this.#publish = new PublishDecoder(limits.maxTopicLevels, limits.maxUserProperties)
    this.#maxPacketBytes = limits.maxPacketBytesBeforeConnect
  }

  /** Highest alias that the client may set; 0 until the session accepts some. */
  get topicAliasMaximum(): number {
    return this.#publish.topicAliasMaximum
  }

  set topicAliasMaximum(maximum: number) {
    this.#publish.topicAliasMaximum = maximum
  }

  /** Bytes fed and not yet returned as packets. */
  get bufferedBytes(): number {
    return this.#end - this.#offset + this.#waitingBytes + this.#partialBytes + (this.#large?.receivedBytes ?? 0)
  }

  /** The client was let in: from now on packets may have their full size, which is its own where limits are given. */
  accept(
    { maxPacketBytes, maxTopicLevels }: Pick<DecoderLimits, 'maxPacketBytes' | 'maxTopicLevels'> = this.#limits,
  ): void {
    this.#accepted = true
    this.#maxPacketBytes = maxPacketBytes
    this.#publish.maxTopicLevels = maxTopicLevels
  }

  /** Takes a chunk over: packets will point into it, so nobody may write to it any more. */
  feed(chunk: Buffer): void {
    if (this.#offset < this.#end) {
      this.#waiting.push(chunk)
      this.#waitingBytes += chunk.length
    } else {
      this.#bytes = chunk
      this.#offset = 0
      this.#end = chunk.length
    }
  }

  /**
   * The next packet, or undefined when more bytes are needed.
   * @throws {ProtocolError} with the reason code that the specification assigns to the fault.
   */
  next(): InboundPacket | undefined {
    if (this.#large !== undefined) return this.#nextLarge(this.#large)
    if (this.#partial !== undefined) return this.#nextPartial(this.#partial)
    if (this.#offset === this.#end && !this.#nextChunk()) return undefined
    const bytes = this.#bytes
    const start = this.#offset
    const first = bytes[start]!
    this.#checkFirstByte(first)
    const available = this.#end - start
    if (available === 1) return this.#beginPartial(0, 0)
    let length = bytes[start + 1]!
    let body = start + 2
    if (length > 0x7f) {
      const header = headerBytes(bytes, start, this.#end)
      if (header === 0) return this.#beginPartial(0, 0)
      length = remainingLength(bytes, start, header)
      body = start + header
    }
    const end = body + length
    if (end - start > this.#maxPacketBytes) this.#refuseSize()
    if (end > this.#end) return this.#beginPartial(end - start, body - start)
    const packet = this.#decode(first, bytes, start, body, end)
    this.#offset = end
    return packet
  }

  #nextChunk(): boolean {
    const chunk = this.#waiting.shift()
    // An exhausted chunk is let go at once: an idle connection keeps no memory but its own.
    this.#bytes = chunk ?? none
    this.#offset = 0
    this.#end = this.#bytes.length
    this.#waitingBytes -= this.#end
    return this.#end > 0 || (chunk !== undefined && this.#nextChunk())
  }

  #beginPartial(size: number, body: number): InboundPacket | undefined {
    const available = this.#end - this.#offset
    if (size >= largeBytes && this.#bytes[this.#offset]! >> 4 === PacketType.Publish) {
      const large = this.#beginLarge(size, this.#offset + body)
      if (large !== undefined) return this.#nextLarge(large)
    }
    const capacity = size === 0 ? maxHeaderBytes : Math.min(size, Math.max(firstPartialBytes, available * 4))
    const partial = Buffer.allocUnsafe(capacity)
    this.#bytes.copy(partial, 0, this.#offset, this.#end)
    this.#offset = this.#end
    this.#partial = partial
    this.#partialBytes = available
    this.#partialSize = size
    this.#partialBody = body
    return this.#nextPartial(partial)
  }

  /** Decodes a PUBLISH up to its payload, if that much of it is here. */
  #beginLarge(size: number, body: number): LargePublish | undefined {
    const version5 = this.protocolVersion === 5
    const start = this.#offset
    if (publishHeaderEnd(version5, this.#bytes, start, body, this.#end) < 0) return undefined
    const publication = this.#publish.decode(version5, this.#bytes, start, body, start + size)
    this.#large = new LargePublish(publication, start + size, this.#end)
    this.#offset = this.#end
    return this.#large
  }

  #nextLarge(large: LargePublish): InboundPacket | undefined {
    while (large.missingBytes > 0) {
      if (this.#offset === this.#end && !this.#nextChunk()) return undefined
      const to = Math.min(this.#end, this.#offset + large.missingBytes)
      large.add(this.#bytes, this.#offset, to)
      this.#offset = to
    }
    this.#large = undefined
    return large.publication
  }

  /** Adds to the packet in the making what the chunks have of it. */
  #nextPartial(begun: Buffer): InboundPacket | undefined {
    let partial = begun
    while (this.#partialSize === 0) {
      if (this.#offset === this.#end && !this.#nextChunk()) return undefined
      partial[this.#partialBytes++] = this.#bytes[this.#offset++]!
      this.#readPartialHeader(partial)
    }
    const size = this.#partialSize
    while (this.#partialBytes < size) {
      if (this.#offset === this.#end && !this.#nextChunk()) return undefined
      const count = Math.min(this.#end - this.#offset, size - this.#partialBytes)
      const needed = this.#partialBytes + count
      // Doubling keeps the copies linear in the packet's size and the memory linear in what was sent.
      if (needed > partial.length)
        partial = this.#growPartial(partial, Math.max(needed, firstPartialBytes, partial.length * 2))
      this.#bytes.copy(partial, this.#partialBytes, this.#offset, this.#offset + count)
      this.#partialBytes = needed
      this.#offset += count
    }
    const packet = this.#decode(partial[0]!, partial, 0, this.#partialBody, size)
    this.#partial = undefined
    this.#partialBytes = 0
    return packet
  }

  #readPartialHeader(partial: Buffer): void {
    const header = headerBytes(partial, 0, this.#partialBytes)
    if (header === 0) return
    const size = header + remainingLength(partial, 0, header)
    if (size > this.#maxPacketBytes) this.#refuseSize()
    this.#partialSize = size
    this.#partialBody = header
  }

  #growPartial(partial: Buffer, wanted: number): Buffer {
    const grown = Buffer.allocUnsafe(Math.min(this.#partialSize, wanted))
    partial.copy(grown, 0, 0, this.#partialBytes)
    this.#partial = grown
    return grown
  }

  #checkFirstByte(first: number): void {
    if (this.#connected) {
      if (legalFirstBytes[first] !== 1 && !(this.protocolVersion === 3 && repeatedFirstBytes.includes(first))) {
        refuseFirstByte(first)
      }
      if (first === authFirstByte && this.protocolVersion !== 5) malformed('packet type 15 is reserved before MQTT 5')
    } else if (first >> 4 !== PacketType.Connect) {
      // MQTT-3.1.0-1
      throw new ProtocolError(ReasonCode.ProtocolError, 'the first packet is not CONNECT', true)
    } else if (first !== connectFirstByte) {
      malformed('a CONNECT has reserved header flags set')
    }
  }

  #refuseSize(): never {
    if (this.#accepted) refused(ReasonCode.PacketTooLarge, 'the packet is larger than announced')
    throw new ProtocolError(ReasonCode.PacketTooLarge, 'the packet is larger than allowed before CONNACK', true)
  }

  #decode(first: number, bytes: Buffer, start: number, body: number, end: number): InboundPacket {
    const version5 = this.protocolVersion === 5
    const type = first >> 4
    switch (type) {
      case PacketType.Publish:
        return this.#publish.decode(version5, bytes, start, body, end)
      case PacketType.Puback:
      case PacketType.Pubrec:
      case PacketType.Pubrel:
      case PacketType.Pubcomp:
        return decodeAcknowledgement(version5, type, bytes, body, end, this.#limits.maxUserProperties)
      case PacketType.Pingreq:
        if (body !== end) malformed('a PINGREQ has a body')
        return pingreq
      default:
        return this.#decodeRare(type, bytes, start, body, end)
    }
  }

  #decodeRare(type: number, bytes: Buffer, start: number, body: number, end: number): InboundPacket {
    const extent = { bytes, start, body, end }
    const { maxUserProperties } = this.#limits
    if (type === PacketType.Connect) return this.#decodeConnect(extent)
    const version = this.protocolVersion || 4
    // The library knows 3.1.1's flags only, and DUP changes nothing about these packets.
    if (version === 3) bytes[start] = bytes[start]! & ~duplicateFlag
    if (type === PacketType.Subscribe) return decodeSubscribe(extent, version, maxUserProperties)
    if (type === PacketType.Unsubscribe) return decodeUnsubscribe(extent, version, maxUserProperties)
    if (type === PacketType.Disconnect) return decodeDisconnect(extent, version, maxUserProperties)
    return decodeAuth(extent, version, maxUserProperties)
  }

  #decodeConnect(extent: Extent): InboundPacket {
    const protocol = readProtocol(extent)
    this.protocolVersion = protocol.version
    if (!protocol.supported) refused(ReasonCode.UnsupportedProtocolVersion, 'the protocol level is not supported')
    const packet = decodeConnect(extent, protocol.version, this.#limits)
    this.#connected = true
    return packet
  }
}

/**
 * Bytes of the fixed header that begins at `start`, 2 to 5; 0 when its end has not come yet.
 * MQTT-1.5.5-1: the remaining length uses the shortest form.
 */
function headerBytes(bytes: Buffer, start: number, end: number): number {
  for (let count = 1; count < maxHeaderBytes && start + count < end; count++) {
    const byte = bytes[start + count]!
    if (byte < 0x80) {
      if (byte === 0 && count > 1) malformed('the remaining length is longer than needed')
      return count + 1
    }
    if (count === maxHeaderBytes - 1) malformed('the remaining length has more than four bytes')
  }
  return 0
}

function remainingLength(bytes: Buffer, start: number, header: number): number {
  let length = 0
  for (let i = header - 1; i > 0; i--) length = length * 0x80 + (bytes[start + i]! & 0x7f)
  return length
}

const connectFirstByte = 0x10
const authFirstByte = 0xf0

/** 1 for each first byte that a connected client may send: packet type and flags (MQTT 5 table 2-2). */
const legalFirstBytes = new Uint8Array(256)
for (const first of [0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xc0, 0xe0, authFirstByte]) legalFirstBytes[first] = 1
// PUBLISH: any RETAIN, QoS 0 to 2, DUP only with QoS 1 and 2 (MQTT-3.3.1-2, MQTT-3.3.1-4).
for (const first of [0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3a, 0x3b, 0x3c, 0x3d]) legalFirstBytes[first] = 1

const duplicateFlag = 0x08
/** PUBREL, SUBSCRIBE and UNSUBSCRIBE with DUP: how a client of MQTT 3.1 repeats them (its section 2.1). */
const repeatedFirstBytes: readonly number[] = [0x6a, 0x8a, 0xaa]

const serverOnlyTypes: readonly number[] = [
  PacketType.Connack,
  PacketType.Suback,
  PacketType.Unsuback,
  PacketType.Pingresp,
]

/** Says what is wrong with a first byte that is not legal. */
function refuseFirstByte(first: number): never {
  const type = first >> 4
  // MQTT-3.1.0-2
  if (type === PacketType.Connect) violation('a second CONNECT came')
  if (serverOnlyTypes.includes(type)) violation('the packet type is one that only servers send')
  if (type === 0) malformed('packet type 0 is reserved')
  if (type !== PacketType.Publish) malformed('the header flags are not those of the packet type')
  malformed((first & 0x06) === 0x06 ? 'a PUBLISH has QoS 3' : 'a PUBLISH with QoS 0 is marked as duplicate')
}
