import { StatemqError } from '../errors.ts'
import type { AllowPublish } from '../hooks.ts'
import type { MessageInput, MessageProperties } from '../messages.ts'
import type { Limits } from '../limits.ts'
import { Publication } from '../publication.ts'
import { isTopicName } from '../router/topics.ts'

/** A string or binary field carries its length in two bytes. */
const MAX_FIELD_BYTES = 65_535
/** Largest packet that the length field of MQTT can express. */
const MAX_PACKET_BYTES = 268_435_460
/** A client that is to wait for longer is one to be disconnected. */
const MAX_THROTTLE_MS = 3_600_000
/** Fixed header, the lengths of topic and properties, the packet identifier. */
const FRAME_BYTES = 13

export type MessageLimits = Pick<Limits, 'maxTopicLevels' | 'maxPacketBytes'>

/**
 * Messages of the broker, of in-process clients and of hooks have not passed the codec, which later
 * counts on fields that fit. Returns the payload, copied; throws SMQ_TOPIC_INVALID or
 * SMQ_MESSAGE_INVALID.
 */
export function checkedPayload(input: MessageInput, limits: MessageLimits): Buffer {
  if (typeof input !== 'object' || input === null) throw invalid('it is not an object with a topic')
  const { topic, payload = '', qos = 0, properties = {} } = input
  checkTopic(topic, limits.maxTopicLevels)
  if (qos !== 0 && qos !== 1 && qos !== 2) throw invalid('the QoS is not 0, 1 or 2')
  if (typeof payload !== 'string' && !(payload instanceof Uint8Array)) {
    throw invalid('the payload is neither a string nor a Uint8Array')
  }
  const bytes = Buffer.from(payload as string)
  const total = FRAME_BYTES + Buffer.byteLength(topic) + checkProperties(properties) + bytes.length
  const maxBytes = Math.min(limits.maxPacketBytes, MAX_PACKET_BYTES)
  if (total > maxBytes) throw invalid(`its packet has ${total} bytes, more than ${maxBytes}`)
  return bytes
}

/** The same for what a hook puts in place of a message's own. */
export function checkChanges({ topic, payload, properties, qos, retain, throttleMs }: AllowPublish): void {
  if (topic !== undefined) checkTopic(topic, Infinity)
  if (properties !== undefined) checkProperties(properties)
  if (payload !== undefined && !(payload instanceof Uint8Array)) throw invalid('the payload is not a Uint8Array')
  if (qos !== undefined && qos !== 0 && qos !== 1 && qos !== 2) throw invalid('the QoS is not 0, 1 or 2')
  if (retain !== undefined && typeof retain !== 'boolean') throw invalid('retain is neither true nor false')
  if (throttleMs === undefined) return
  if (!(typeof throttleMs === 'number' && throttleMs >= 0 && throttleMs <= MAX_THROTTLE_MS))
    throw invalid(`throttleMs is not a number from 0 to ${MAX_THROTTLE_MS}`)
}

function checkTopic(topic: string, maxLevels: number): void {
  if (typeof topic === 'string' && isTopicName(topic, maxLevels)) return
  throw new StatemqError('SMQ_TOPIC_INVALID', String(JSON.stringify(topic)).slice(0, 100))
}

/** Returns the bytes that the properties take at most. */
function checkProperties(properties: Readonly<MessageProperties>): number {
  const { messageExpiryIntervalSeconds: expiry, contentType, responseTopic, correlationData } = properties
  let bytes = 2 + 5
  if (expiry !== undefined && !(Number.isInteger(expiry) && expiry >= 0 && expiry <= 0xffffffff)) {
    throw invalid('the expiry interval is not a whole number of seconds from 0 to 4,294,967,295')
  }
  if (contentType !== undefined) bytes += textBytes('the content type', contentType)
  if (responseTopic !== undefined) {
    bytes += textBytes('the response topic', responseTopic)
    // MQTT-3.3.2-14
    if (!isTopicName(responseTopic, Infinity)) throw invalid('the response topic is not a topic name')
  }
  if (correlationData !== undefined) {
    if (!(correlationData instanceof Uint8Array) || correlationData.length > MAX_FIELD_BYTES) {
      throw invalid('the correlation data is not a Uint8Array of 65,535 bytes or less')
    }
    bytes += 3 + correlationData.length
  }
  for (const [name, value] of properties.userProperties ?? []) {
    bytes += textBytes('a name of a user property', name) + textBytes('a value of a user property', value)
  }
  return bytes
}

function textBytes(what: string, value: unknown): number {
  // MQTT-1.5.4-1, MQTT-1.5.4-2
  if (typeof value !== 'string' || !value.isWellFormed() || value.includes('\0')) {
    throw invalid(`${what} is not text that MQTT can carry`)
  }
  const bytes = Buffer.byteLength(value)
  if (bytes > MAX_FIELD_BYTES) throw invalid(`${what} is over 65,535 bytes`)
  return 3 + bytes
}

function invalid(detail: string): StatemqError {
  return new StatemqError('SMQ_MESSAGE_INVALID', detail)
}

/** The message with what a hook replaced, if it can be sent. Throws what {@link checkChanges} throws. */
export function changed(publication: Publication, changes: AllowPublish): Publication {
  const { topic, payload: replaced, properties } = changes
  const { qos = publication.qos, retain = publication.retain } = changes
  const isSame = topic === undefined && replaced === undefined && properties === undefined
  if (isSame && qos === publication.qos && retain === publication.retain) return publication
  checkChanges(changes)
  const payload = replaced ? Buffer.from(replaced) : publication.payload
  const { dup, packetId } = publication
  const copy = new Publication(topic ?? publication.topic, qos, retain, dup, packetId, payload, 0, payload.length)
  copy.publisher = publication.publisher
  copy.arrived = publication.arrived
  copy.expiresAtMs = publication.expiresAtMs
  copy.sharedStrategy = publication.sharedStrategy
  copy.properties = properties ?? publication.properties
  if (!properties) copy.propertyBytes = publication.propertyBytes
  return copy
}
