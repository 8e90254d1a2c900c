/**
 * Byte builders for every packet that a client can send, in MQTT 3.1 (version 3), 3.1.1 (4) and
 * 5.0 (5), and for the faults that a bad client can put into them. Nothing here is checked: what a
 * test asks for is what goes out. Nothing is shared with `src/codec`.
 *
 * ```ts
 * connect({ clientId: 'a', keepAlive: 30, properties: { sessionExpiryInterval: 60 } })
 * connect({ version: 4, clientId: 'a', will: { topic: 'w', payload: 'gone', qos: 1 } })
 * publish({ topic: 't', payload: 'x', qos: 1, packetId: 7, properties: { topicAlias: 3 } })
 * subscribe({ packetId: 1, filters: ['a/#', ['b', { qos: 2, noLocal: true }], ['c', 0xc0]] })
 *
 * // Faults: raw property lists, overridden flag bytes, other lengths, trailing bytes.
 * connect({ properties: [property('receiveMaximum', 1), property('receiveMaximum', 2)] })
 * connect({ flags: 0x03 })                                 // the reserved bit
 * publish({ topic: Buffer.from([0xc0, 0x80]) })            // ill-formed UTF-8
 * frame(0x82, u16(1), propertyBytes([]))                   // SUBSCRIBE without a filter
 * frameWithLength(0x30, varint(5, 4), body)                // a length in more bytes than needed
 * ```
 *
 * `version` is 5 wherever it is left out; `properties` are written for version 5 only.
 */
import { propertyTable, type PropertyName, type WireProperties } from './wire-properties.ts'

export type Version = 3 | 4 | 5

/** Text is written as UTF-8; a Buffer is written as it is, for ill-formed strings. */
export type Text = string | Buffer

/** Properties by name, or a list of encoded ones (see {@link property}) for duplicates and foreign ones. */
export type PropertyInput = WireProperties | readonly Buffer[]

/** Bytes from hex with optional white space: `hex('20 03 00 00 00')`. */
export function hex(text: string): Buffer {
  const digits = text.replace(/\s+/g, '')
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not hex: ${text}`)
  return Buffer.from(digits, 'hex')
}

export function u8(value: number): Buffer {
  return Buffer.from([value])
}

export function u16(value: number): Buffer {
  return Buffer.from([(value >> 8) & 0xff, value & 0xff])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A variable byte integer. `width` asks for more bytes than needed: a fault (MQTT-1.5.5-1). */
export function varint(value: number, width = 1): Buffer {
  const bytes: number[] = []
  for (let rest = value; bytes.length === 0 || rest > 0 || bytes.length < width; rest = Math.floor(rest / 128)) {
    bytes.push(rest % 128)
  }
  return Buffer.from(bytes.map((byte, index) => (index < bytes.length - 1 ? byte | 0x80 : byte)))
}

/** A UTF-8 string with its two-byte length. */
export function utf8(text: Text): Buffer {
  return binary(text)
}

/** Binary data with its two-byte length. */
export function binary(data: Text): Buffer {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data
  return Buffer.concat([u16(bytes.length), bytes])
}

/** A whole packet: first byte, remaining length, body. */
export function frame(firstByte: number, ...body: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(body)
  return Buffer.concat([u8(firstByte), varint(bytes.length), bytes])
}

/** A packet with a remaining length of your own, right or wrong. */
export function frameWithLength(firstByte: number, length: Buffer, ...body: readonly Buffer[]): Buffer {
  return Buffer.concat([u8(firstByte), length, ...body])
}

type PropertyValue = number | Text | readonly [Text, Text]

/** One property, identifier included. Wrong types throw; wrong values and places are the test's business. */
export function property(name: PropertyName, value: PropertyValue): Buffer {
  const { id, kind } = propertyTable[name]
  return Buffer.concat([u8(id), propertyValue(kind, value)])
}

function propertyValue(kind: (typeof propertyTable)[PropertyName]['kind'], value: PropertyValue): Buffer {
  if (typeof value === 'number') {
    if (kind === 'byte') return u8(value)
    if (kind === 'u16') return u16(value)
    if (kind === 'u32') return u32(value)
    if (kind === 'varint') return varint(value)
  } else if (typeof value === 'string' || Buffer.isBuffer(value)) {
    if (kind === 'utf8') return utf8(value)
    if (kind === 'binary') return binary(value)
  } else if (kind === 'pair') {
    return Buffer.concat([utf8(value[0]), utf8(value[1])])
  }
  throw new Error(`a ${kind} property cannot be ${String(value)}`)
}

function encodeProperties(input: PropertyInput): readonly Buffer[] {
  if (Array.isArray(input)) return input as readonly Buffer[]
  const encoded: Buffer[] = []
  for (const [name, value] of Object.entries(input) as Array<[PropertyName, unknown]>) {
    if (value === undefined) continue
    const values =
      name === 'userProperties' || name === 'subscriptionIdentifiers'
        ? (value as readonly PropertyValue[])
        : [value as PropertyValue]
    for (const each of values) encoded.push(property(name, each))
  }
  return encoded
}

/** The property section: length and properties. */
export function propertyBytes(input: PropertyInput = {}): Buffer {
  const bytes = Buffer.concat(encodeProperties(input))
  return Buffer.concat([varint(bytes.length), bytes])
}

function versioned(version: Version, properties: PropertyInput | undefined): Buffer {
  return version === 5 ? propertyBytes(properties) : Buffer.alloc(0)
}

export interface WillInput {
  readonly topic: Text
  readonly payload?: Text
  readonly qos?: number
  readonly retain?: boolean
  readonly properties?: PropertyInput
}

export interface ConnectInput {
  readonly version?: Version
  /** Default: empty. */
  readonly clientId?: Text
  /** Clean Session in 3.1 and 3.1.1. Default true. */
  readonly cleanStart?: boolean
  /** Seconds. Default 0, so that no keep alive runs unless the test is about it. */
  readonly keepAlive?: number
  readonly properties?: PropertyInput
  readonly will?: WillInput
  readonly username?: Text
  readonly password?: Text
  /** Fault: another protocol name. Default `MQTT`, or `MQIsdp` for version 3. */
  readonly protocolName?: Text
  /** Fault: another protocol level. Default: the version. */
  readonly level?: number
  /** Fault: the whole connect flags byte, whatever the payload says. */
  readonly flags?: number
  /** Fault: the fixed header's first byte. Default 0x10. */
  readonly first?: number
  /** Fault: bytes after the payload, inside the packet. */
  readonly tail?: Buffer
}

export function connect(input: ConnectInput = {}): Buffer {
  const version = input.version ?? 5
  const { will, username, password } = input
  const flags =
    (input.cleanStart === false ? 0 : 0x02) |
    (will ? 0x04 | ((will.qos ?? 0) << 3) | (will.retain ? 0x20 : 0) : 0) |
    (password === undefined ? 0 : 0x40) |
    (username === undefined ? 0 : 0x80)
  const parts = [
    utf8(input.protocolName ?? (version === 3 ? 'MQIsdp' : 'MQTT')),
    u8(input.level ?? version),
    u8(input.flags ?? flags),
    u16(input.keepAlive ?? 0),
    versioned(version, input.properties),
    utf8(input.clientId ?? ''),
  ]
  if (will) parts.push(versioned(version, will.properties), utf8(will.topic), binary(will.payload ?? ''))
  if (username !== undefined) parts.push(utf8(username))
  if (password !== undefined) parts.push(binary(password))
  if (input.tail) parts.push(input.tail)
  return frame(input.first ?? 0x10, ...parts)
}

export interface PublishInput {
  readonly version?: Version
  readonly topic: Text
  readonly payload?: Text
  readonly qos?: number
  readonly retain?: boolean
  readonly dup?: boolean
  /** Written whenever it is given, or for QoS above 0 (default 1 there). */
  readonly packetId?: number
  readonly properties?: PropertyInput
  /** Fault: the fixed header's first byte, whatever the fields say. */
  readonly first?: number
}

export function publish(input: PublishInput): Buffer {
  const qos = input.qos ?? 0
  const first = 0x30 | (input.dup ? 8 : 0) | (qos << 1) | (input.retain ? 1 : 0)
  const packetId = input.packetId ?? (qos > 0 ? 1 : undefined)
  const payload = input.payload ?? ''
  return frame(
    input.first ?? first,
    utf8(input.topic),
    packetId === undefined ? Buffer.alloc(0) : u16(packetId),
    versioned(input.version ?? 5, input.properties),
    typeof payload === 'string' ? Buffer.from(payload, 'utf8') : payload,
  )
}

/** The part of an acknowledgement or DISCONNECT that MQTT 5 may leave out from the end. */
function optionalTail(reasonCode: number | undefined, properties: PropertyInput | undefined): Buffer {
  if (properties !== undefined) return Buffer.concat([u8(reasonCode ?? 0), propertyBytes(properties)])
  return reasonCode === undefined ? Buffer.alloc(0) : u8(reasonCode)
}

/** PUBACK. Without reason code and properties it is the two-byte form that all versions know. */
export function puback(packetId: number, reasonCode?: number, properties?: PropertyInput): Buffer {
  return frame(0x40, u16(packetId), optionalTail(reasonCode, properties))
}

export function pubrec(packetId: number, reasonCode?: number, properties?: PropertyInput): Buffer {
  return frame(0x50, u16(packetId), optionalTail(reasonCode, properties))
}

export function pubrel(packetId: number, reasonCode?: number, properties?: PropertyInput): Buffer {
  return frame(0x62, u16(packetId), optionalTail(reasonCode, properties))
}

export function pubcomp(packetId: number, reasonCode?: number, properties?: PropertyInput): Buffer {
  return frame(0x70, u16(packetId), optionalTail(reasonCode, properties))
}

export interface FilterOptions {
  readonly qos?: number
  readonly noLocal?: boolean
  readonly retainAsPublished?: boolean
  readonly retainHandling?: number
}

/** A filter with QoS 0, with named options, or with the options byte itself. */
export type FilterInput = Text | readonly [Text, FilterOptions | number]

function filterBytes(input: FilterInput): Buffer {
  if (typeof input === 'string' || Buffer.isBuffer(input)) return Buffer.concat([utf8(input), u8(0)])
  const [filter, options] = input as readonly [Text, FilterOptions | number]
  const byte =
    typeof options === 'number'
      ? options
      : (options.qos ?? 0) |
        (options.noLocal ? 4 : 0) |
        (options.retainAsPublished ? 8 : 0) |
        ((options.retainHandling ?? 0) << 4)
  return Buffer.concat([utf8(filter), u8(byte)])
}

export interface SubscribeInput {
  readonly version?: Version
  /** Default 1. */
  readonly packetId?: number
  readonly filters: readonly FilterInput[]
  readonly properties?: PropertyInput
  /** Fault: default 0x82. */
  readonly first?: number
}

export function subscribe(input: SubscribeInput): Buffer {
  const head = [u16(input.packetId ?? 1), versioned(input.version ?? 5, input.properties)]
  return frame(input.first ?? 0x82, ...head, ...input.filters.map(filterBytes))
}

export interface UnsubscribeInput {
  readonly version?: Version
  /** Default 1. */
  readonly packetId?: number
  readonly filters: readonly Text[]
  readonly properties?: PropertyInput
  /** Fault: default 0xa2. */
  readonly first?: number
}

export function unsubscribe(input: UnsubscribeInput): Buffer {
  const head = [u16(input.packetId ?? 1), versioned(input.version ?? 5, input.properties)]
  return frame(input.first ?? 0xa2, ...head, ...input.filters.map(utf8))
}

export function pingreq(): Buffer {
  return hex('c0 00')
}

/** DISCONNECT. Without arguments it is the two-byte form that all versions know (0x00 in MQTT 5). */
export function disconnect(reasonCode?: number, properties?: PropertyInput): Buffer {
  return frame(0xe0, optionalTail(reasonCode, properties))
}

export function auth(reasonCode?: number, properties?: PropertyInput): Buffer {
  return frame(0xf0, optionalTail(reasonCode, properties))
}
