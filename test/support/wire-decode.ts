/**
 * A strict decoder for the packets that a server sends. It is the tests' own, so that a mistake in
 * `src/codec` cannot hide behind itself, and it fails loudly on everything that the specification
 * forbids a server to send: reserved flags, non-minimal lengths, ill-formed UTF-8, properties that
 * are foreign, repeated or out of range, undefined reason codes, DUP or an identifier with QoS 0.
 *
 * ```ts
 * const { frame, rest } = splitFrame(bytes)       // undefined while bytes are missing
 * const packet = decode(frame, 5)                 // throws an Error that names the fault
 * ```
 */
import { propertyById, type PropertyHome, type PropertyKind, type WireProperties } from './wire-properties.ts'

export interface Connack {
  readonly type: 'connack'
  readonly sessionPresent: boolean
  readonly reasonCode: number
  readonly properties: WireProperties
}
export interface Publish {
  readonly type: 'publish'
  readonly topic: string
  /** Read as UTF-8; binary payloads are compared through `RawClient.lastFrame`. */
  readonly payload: string
  readonly qos: number
  readonly retain: boolean
  readonly dup: boolean
  /** 0 for QoS 0. */
  readonly packetId: number
  readonly properties: WireProperties
}
export interface Acknowledgement {
  readonly type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'
  readonly packetId: number
  readonly reasonCode: number
  readonly properties: WireProperties
}
export interface Suback {
  readonly type: 'suback' | 'unsuback'
  readonly packetId: number
  /** Empty for the UNSUBACK of 3.1 and 3.1.1. */
  readonly reasonCodes: readonly number[]
  readonly properties: WireProperties
}
export interface Pingresp {
  readonly type: 'pingresp'
}
export interface Disconnect {
  readonly type: 'disconnect'
  readonly reasonCode: number
  readonly properties: WireProperties
}
export interface Auth {
  readonly type: 'auth'
  readonly reasonCode: number
  readonly properties: WireProperties
}

export type ServerPacket = Connack | Publish | Acknowledgement | Suback | Pingresp | Disconnect | Auth
export type ServerPacketType = ServerPacket['type']

interface PacketByType {
  connack: Connack
  publish: Publish
  puback: Acknowledgement
  pubrec: Acknowledgement
  pubrel: Acknowledgement
  pubcomp: Acknowledgement
  suback: Suback
  unsuback: Suback
  pingresp: Pingresp
  disconnect: Disconnect
  auth: Auth
}
/** The decoded packet of one type name. */
export type PacketOf<Type extends ServerPacketType> = PacketByType[Type]

/**
 * Reason codes that a server may put into each packet (MQTT 5, the tables of chapter 3). 0x8C in
 * DISCONNECT is in the table of section 2.4 only, for a re-authentication with another method.
 */
const definedCodes: Record<string, readonly number[]> = {
  connack: [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
    0x9c, 0x9d, 0x9f,
  ],
  puback: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  pubrec: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  pubrel: [0x00, 0x92],
  pubcomp: [0x00, 0x92],
  suback: [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
  unsuback: [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
  disconnect: [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
    0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
  ],
  auth: [0x00, 0x18],
}

/** Reads fields from one packet's body and fails at its end instead of running over it. */
class Reader {
  #offset = 0
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#offset
  }

  take(length: number): Buffer {
    if (length > this.left) throw new Error(`field of ${length} bytes runs over the end (${this.left} left)`)
    this.#offset += length
    return this.#bytes.subarray(this.#offset - length, this.#offset)
  }

  u8(): number {
    return this.take(1).readUInt8()
  }

  u16(): number {
    return this.take(2).readUInt16BE()
  }

  u32(): number {
    return this.take(4).readUInt32BE()
  }

  varint(): number {
    const { value, width } = readVarint(this.#bytes, this.#offset) ?? fail('variable byte integer is cut off')
    this.#offset += width
    return value
  }

  binary(): Buffer {
    return Buffer.from(this.take(this.u16()))
  }

  utf8(): string {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.take(this.u16()))
    if (text.includes('\0')) throw new Error('U+0000 in a string')
    return text
  }
}

function fail(message: string): never {
  throw new Error(message)
}

function readVarint(bytes: Buffer, offset: number): { value: number; width: number } | undefined {
  let value = 0
  for (let index = 0; index < 4; index += 1) {
    const byte = bytes[offset + index]
    if (byte === undefined) return undefined
    value += (byte & 0x7f) * 128 ** index
    if (byte < 0x80) {
      if (byte === 0 && index > 0) throw new Error('variable byte integer is not minimal (MQTT-1.5.5-1)')
      return { value, width: index + 1 }
    }
  }
  throw new Error('variable byte integer is longer than four bytes')
}

/** Cuts the first whole packet off; undefined while it is not complete. */
export function splitFrame(bytes: Buffer): { frame: Buffer; rest: Buffer } | undefined {
  if (bytes.length < 2) return undefined
  const length = readVarint(bytes, 1)
  if (!length) return undefined
  const end = 1 + length.width + length.value
  return bytes.length < end ? undefined : { frame: bytes.subarray(0, end), rest: bytes.subarray(end) }
}

function readPropertyValue(reader: Reader, kind: PropertyKind): number | string | Buffer | [string, string] {
  switch (kind) {
    case 'byte':
      return reader.u8()
    case 'u16':
      return reader.u16()
    case 'u32':
      return reader.u32()
    case 'varint':
      return reader.varint()
    case 'utf8':
      return reader.utf8()
    case 'binary':
      return reader.binary()
    case 'pair':
      return [reader.utf8(), reader.utf8()]
  }
}

function readProperties(outer: Reader, home: PropertyHome): WireProperties {
  const reader = new Reader(outer.take(outer.varint()))
  const found: Record<string, unknown> = {}
  while (reader.left > 0) {
    const id = reader.varint()
    const [name, { kind, homes }] = propertyById(id) ?? fail(`unknown property 0x${id.toString(16)}`)
    if (!(homes as readonly PropertyHome[]).includes(home)) throw new Error(`${name} does not belong into ${home}`)
    const value = readPropertyValue(reader, kind)
    if (kind === 'byte' && value !== 0 && value !== 1) throw new Error(`${name} is ${String(value)}, neither 0 nor 1`)
    if (name === 'userProperties' || (name === 'subscriptionIdentifiers' && home === 'publish')) {
      found[name] = [...((found[name] as unknown[] | undefined) ?? []), value]
    } else if (name in found) {
      throw new Error(`${name} occurs twice`)
    } else {
      found[name] = value
    }
    if (
      value === 0 &&
      ['receiveMaximum', 'maximumPacketSize', 'topicAlias', 'subscriptionIdentifiers'].includes(name)
    ) {
      throw new Error(`${name} is 0`)
    }
  }
  return found as WireProperties
}

function definedCode(type: string, code: number): number {
  if (!definedCodes[type]?.includes(code)) throw new Error(`${type} with undefined reason code 0x${code.toString(16)}`)
  return code
}

function decodeConnack(reader: Reader, version: number): Connack {
  const flags = reader.u8()
  if (flags > 1) throw new Error('CONNACK flags 7-1 are not zero (MQTT-3.2.2-1)')
  const reasonCode = reader.u8()
  if (version !== 5) {
    if (reasonCode > 5) throw new Error(`CONNACK return code ${reasonCode} is not one of 3.1.1`)
    return { type: 'connack', sessionPresent: flags === 1, reasonCode, properties: {} }
  }
  definedCode('connack', reasonCode)
  if (flags === 1 && reasonCode !== 0) throw new Error('Session Present with a failure (MQTT-3.2.2-6)')
  return { type: 'connack', sessionPresent: flags === 1, reasonCode, properties: readProperties(reader, 'connack') }
}

function decodePublish(reader: Reader, version: number, flags: number): Publish {
  const qos = (flags >> 1) & 3
  const dup = (flags & 8) !== 0
  if (qos === 3) throw new Error('QoS 3 (MQTT-3.3.1-4)')
  if (qos === 0 && dup) throw new Error('DUP with QoS 0 (MQTT-3.3.1-2)')
  const topic = reader.utf8()
  if (/[+#]/.test(topic)) throw new Error(`wildcard in the topic name ${topic} (MQTT-3.3.2-2)`)
  const packetId = qos === 0 ? 0 : reader.u16()
  if (qos > 0 && packetId === 0) throw new Error('packet identifier 0 (MQTT-2.2.1-4)')
  const properties = version === 5 ? readProperties(reader, 'publish') : {}
  if (topic === '' && properties.topicAlias === undefined)
    throw new Error('empty topic name without an alias (MQTT-4.7.3-1)')
  return {
    type: 'publish',
    topic,
    payload: reader.take(reader.left).toString(),
    qos,
    retain: (flags & 1) === 1,
    dup,
    packetId,
    properties,
  }
}

function decodeAcknowledgement(reader: Reader, version: number, type: Acknowledgement['type']): Acknowledgement {
  const packetId = reader.u16()
  if (packetId === 0) throw new Error('packet identifier 0')
  if (version !== 5 || reader.left === 0) return { type, packetId, reasonCode: 0, properties: {} }
  const reasonCode = definedCode(type, reader.u8())
  return { type, packetId, reasonCode, properties: reader.left > 0 ? readProperties(reader, type) : {} }
}

function decodeSuback(reader: Reader, version: number, type: Suback['type']): Suback {
  const packetId = reader.u16()
  const properties = version === 5 ? readProperties(reader, type) : {}
  const reasonCodes = [...reader.take(reader.left)]
  if (version === 5) {
    for (const code of reasonCodes) definedCode(type, code)
  } else if (type === 'suback' ? reasonCodes.some((code) => code > 2 && code !== 0x80) : reasonCodes.length > 0) {
    throw new Error(`${type} with undefined return codes ${reasonCodes.join()}`)
  }
  return { type, packetId, reasonCodes, properties }
}

function decodeReason(reader: Reader, type: 'disconnect' | 'auth'): Disconnect | Auth {
  const reasonCode = reader.left > 0 ? definedCode(type, reader.u8()) : 0
  const properties = reader.left > 0 ? readProperties(reader, type) : {}
  if (type === 'disconnect' && properties.sessionExpiryInterval !== undefined) {
    throw new Error('Session Expiry Interval in a server DISCONNECT (MQTT-3.14.2-2)')
  }
  return { type, reasonCode, properties }
}

function decodeBody(type: number, flags: number, reader: Reader, version: number): ServerPacket {
  if (type !== 3 && flags !== (type === 6 ? 2 : 0))
    throw new Error(`packet type ${type} with flags ${flags} (MQTT-2.1.3-1)`)
  switch (type) {
    case 2:
      return decodeConnack(reader, version)
    case 3:
      return decodePublish(reader, version, flags)
    case 4:
      return decodeAcknowledgement(reader, version, 'puback')
    case 5:
      return decodeAcknowledgement(reader, version, 'pubrec')
    case 6:
      return decodeAcknowledgement(reader, version, 'pubrel')
    case 7:
      return decodeAcknowledgement(reader, version, 'pubcomp')
    case 9:
      return decodeSuback(reader, version, 'suback')
    case 11:
      return decodeSuback(reader, version, 'unsuback')
    case 13:
      return { type: 'pingresp' }
    case 14:
      return version === 5 ? decodeReason(reader, 'disconnect') : fail('DISCONNECT from the server before MQTT 5')
    case 15:
      return version === 5 ? decodeReason(reader, 'auth') : fail('AUTH before MQTT 5')
    default:
      return fail(`a server does not send packet type ${type}`)
  }
}

/** Decodes one whole packet as the given protocol version; throws with the fault and the bytes. */
export function decode(frame: Buffer, version: number): ServerPacket {
  try {
    const first = frame.readUInt8(0)
    const width = readVarint(frame, 1)?.width ?? fail('no remaining length')
    const reader = new Reader(frame.subarray(1 + width))
    const packet = decodeBody(first >> 4, first & 15, reader, version)
    if (reader.left > 0) throw new Error(`${reader.left} bytes behind the packet's end`)
    return packet
  } catch (cause) {
    throw new Error(`the server sent ${frame.toString('hex')}: ${(cause as Error).message}`, { cause })
  }
}
