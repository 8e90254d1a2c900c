import { Buffer } from 'node:buffer'

import type { MessageProperties, QoS } from '../messages.ts'
import type { Publication, PublicationImage } from '../publication.ts'
import { slab } from './slab.ts'

const EMPTY = Buffer.alloc(0)

/** Bytes of a variable byte integer (MQTT 5 section 1.5.5). */
function varintLength(value: number): number {
  return value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4
}

function writeVarint(out: Buffer, at: number, value: number): number {
  while (value > 127) {
    out[at++] = (value & 127) | 128
    value >>>= 7
  }
  out[at++] = value
  return at
}

/** The encoding that all plain subscribers of one version and QoS share; made on first use. */
export function imageOf(publication: Publication, version: 4 | 5, qos: QoS): PublicationImage {
  const key = version * 4 + qos
  let image = publication.image
  while (image !== undefined) {
    if (image.key === key) return image
    image = image.next
  }
  image = encodeImage(publication, version, qos, 0, 0, key)
  publication.image = image
  return image
}

/** For one delivery, with `flags` (DUP, RETAIN) in its first byte and its packet identifier. Not kept: few need it. */
export function flaggedImage(
  publication: Publication,
  version: 4 | 5,
  qos: QoS,
  flags: number,
  packetId: number,
): PublicationImage {
  return encodeImage(publication, version, qos, flags, packetId, -1)
}

/** With a packet identifier of 0 it belongs at `idOffset`. */
function encodeImage(
  publication: Publication,
  version: 4 | 5,
  qos: QoS,
  flags: number,
  packetId: number,
  key: number,
): PublicationImage {
  publication.flatten()
  const payloadLength = publication.payloadEnd - publication.payloadStart
  const properties = version === 5 ? propertyBytesOf(publication) : EMPTY
  const propertyLength = version === 5 ? varintLength(properties.length) + properties.length : 0
  const topicLength = Buffer.byteLength(publication.topic)
  const remaining = 2 + topicLength + (qos > 0 ? 2 : 0) + propertyLength + payloadLength
  const total = 1 + varintLength(remaining) + remaining
  const start = slab.reserve(total)
  const out = slab.bytes
  out[start] = 0x30 | flags | (qos << 1)
  let at = writeVarint(out, start + 1, remaining)
  out[at] = topicLength >> 8
  out[at + 1] = topicLength & 0xff
  at += 2 + out.write(publication.topic, at + 2, 'utf8')
  const idOffset = qos > 0 && packetId === 0 ? at : -1
  if (qos > 0) {
    out[at++] = packetId >> 8
    out[at++] = packetId & 0xff
  }
  if (version === 5) {
    at = writeVarint(out, at, properties.length)
    at += properties.copy(out, at)
  }
  publication.bytes.copy(out, at, publication.payloadStart, publication.payloadEnd)
  return { key, bytes: out, start, end: start + total, idOffset, next: publication.image }
}

/** What a delivery adds to a message, beyond packet identifier and QoS. */
export interface DeliveryFields {
  readonly version: 4 | 5
  readonly qos: QoS
  readonly packetId: number
  readonly duplicate: boolean
  readonly retain: boolean
  /** Seconds left (MQTT-3.3.2-6); undefined: the message does not expire. */
  readonly expirySeconds: number | undefined
  readonly subscriptionIdentifiers: readonly number[] | undefined
  /** 0: none. */
  readonly topicAlias: number
  /** The client knows the alias: the topic name is left out. */
  readonly omitTopic: boolean
}

/** Size of the packet that {@link writeHeader} begins, payload included. */
export interface HeaderSize {
  readonly headerBytes: number
  readonly totalBytes: number
  readonly remainingLength: number
  readonly propertyLength: number
}

export function measureHeader(publication: Publication, fields: DeliveryFields): HeaderSize {
  const topicLength = fields.omitTopic ? 0 : Buffer.byteLength(publication.topic)
  let variable = 2 + topicLength + (fields.qos > 0 ? 2 : 0)
  let propertyLength = 0
  if (fields.version === 5) {
    propertyLength = propertyBytesOf(publication).length
    if (fields.expirySeconds !== undefined) propertyLength += 5
    if (fields.topicAlias > 0) propertyLength += 3
    for (const id of fields.subscriptionIdentifiers ?? []) propertyLength += 1 + varintLength(id)
    variable += varintLength(propertyLength) + propertyLength
  }
  const remainingLength = variable + publication.payloadLength
  const headerBytes = 1 + varintLength(remainingLength) + variable
  return { headerBytes, totalBytes: headerBytes + remainingLength - variable, remainingLength, propertyLength }
}

/** Everything of a PUBLISH in front of its payload; returns the index behind it. */
export function writeHeader(
  out: Buffer,
  at: number,
  publication: Publication,
  fields: DeliveryFields,
  size: HeaderSize,
): number {
  out[at++] = 0x30 | (fields.duplicate ? 8 : 0) | (fields.qos << 1) | (fields.retain ? 1 : 0)
  at = writeVarint(out, at, size.remainingLength)
  const topicLength = fields.omitTopic ? 0 : out.write(publication.topic, at + 2, 'utf8')
  out[at] = topicLength >> 8
  out[at + 1] = topicLength & 0xff
  at += 2 + topicLength
  if (fields.qos > 0) {
    out[at++] = fields.packetId >> 8
    out[at++] = fields.packetId & 0xff
  }
  if (fields.version !== 5) return at
  at = writeVarint(out, at, size.propertyLength)
  at += propertyBytesOf(publication).copy(out, at)
  if (fields.expirySeconds !== undefined) {
    out[at] = 0x02
    at = out.writeUInt32BE(fields.expirySeconds, at + 1)
  }
  if (fields.topicAlias > 0) {
    out[at] = 0x23
    at = out.writeUInt16BE(fields.topicAlias, at + 1)
  }
  for (const id of fields.subscriptionIdentifiers ?? []) {
    out[at] = 0x0b
    at = writeVarint(out, at + 1, id)
  }
  return at
}

/** The properties to forward, encoded once: as they came in, or from their values. */
function propertyBytesOf(publication: Publication): Buffer {
  if (publication.propertyBytes) return publication.propertyBytes
  if (!publication.properties) return EMPTY
  publication.propertyBytes = encodeProperties(publication.properties)
  return publication.propertyBytes
}

function encodeProperties(properties: Readonly<MessageProperties>): Buffer {
  const parts: Buffer[] = []
  if (properties.payloadFormatIndicator !== undefined) {
    parts.push(Buffer.from([0x01, properties.payloadFormatIndicator ? 1 : 0]))
  }
  if (properties.contentType !== undefined) parts.push(Buffer.from([0x03]), binary(Buffer.from(properties.contentType)))
  if (properties.responseTopic !== undefined)
    parts.push(Buffer.from([0x08]), binary(Buffer.from(properties.responseTopic)))
  if (properties.correlationData !== undefined) parts.push(Buffer.from([0x09]), binary(properties.correlationData))
  // MQTT-3.3.2-18: user properties keep their order.
  for (const [name, value] of properties.userProperties ?? []) {
    parts.push(Buffer.from([0x26]), binary(Buffer.from(name)), binary(Buffer.from(value)))
  }
  return Buffer.concat(parts)
}

function binary(value: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(2 + value.length)
  out.writeUInt16BE(value.length, 0)
  out.set(value, 2)
  return out
}
