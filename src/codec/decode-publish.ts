import type { QoS } from '../messages.ts'
import { Publication } from '../publication.ts'
import { ReasonCode } from '../reason-codes.ts'
import { Cursor } from './cursor.ts'
import { malformed, refused, violation } from './faults.ts'
import type { Properties } from './properties.ts'
import { messageProperties, PropertyScope, readProperties } from './properties.ts'
import { checkTopicName } from './topic-name.ts'

/** Longer topics are decoded each time: remembering them costs more memory than it saves time. */
const maxRememberedTopicBytes = 256

/** Identifier and value. */
const topicAliasBytes = 3
const messageExpiryBytes = 5

const none = Buffer.alloc(0)

/**
 * Reads the PUBLISH packets of one connection. It remembers the topic of the packet before, because
 * clients mostly repeat themselves and comparing 20 bytes is cheaper than making a string of them.
 */
export class PublishDecoder {
  topicAliasMaximum = 0
  maxTopicLevels: number
  readonly #maxUserProperties: number
  #topic = ''
  /** A copy: a view would keep the chunk of the last PUBLISH alive as long as the connection idles. */
  #topicBytes: Uint8Array = none
  #topicLength = -1
  /** Topics by alias, made with the first one that the client sets. */
  #aliases: Array<string | undefined> | undefined = undefined

  constructor(maxTopicLevels: number, maxUserProperties: number) {
    this.maxTopicLevels = maxTopicLevels
    this.#maxUserProperties = maxUserProperties
  }

  /** `start` is the index of the fixed header, `body` the one behind the remaining length. */
  decode(version5: boolean, bytes: Buffer, start: number, body: number, end: number): Publication {
    const first = bytes[start]!
    const topicStart = body + 2
    if (topicStart > end) malformed('a PUBLISH ends within its topic')
    const topicEnd = topicStart + ((bytes[body]! << 8) | bytes[body + 1]!)
    if (topicEnd > end) malformed('a PUBLISH ends within its topic')
    const qos = ((first >> 1) & 3) as QoS
    let payloadStart = topicEnd
    let packetId = 0
    let idOffset = -1
    if (qos > 0) {
      idOffset = topicEnd
      payloadStart = topicEnd + 2
      if (payloadStart > end) malformed('a PUBLISH ends within its packet identifier')
      packetId = (bytes[topicEnd]! << 8) | bytes[topicEnd + 1]!
      // MQTT-2.2.1-3
      if (packetId === 0) violation('the packet identifier is 0')
    }
    let properties: Readonly<Properties> | undefined
    let propertiesAt = 0
    if (version5) {
      propertiesAt = payloadStart
      if (payloadStart === end) malformed('a PUBLISH ends before its properties')
      if (bytes[payloadStart] === 0) payloadStart++
      else {
        const cursor = new Cursor(bytes, payloadStart, end)
        properties = readProperties(cursor, PropertyScope.Publish, this.#maxUserProperties)
        payloadStart = cursor.offset
      }
    }
    const topic =
      properties !== undefined && properties.topicAlias !== undefined
        ? this.#aliasedTopic(properties.topicAlias, bytes, topicStart, topicEnd)
        : this.#namedTopic(version5, bytes, topicStart, topicEnd)
    const publication = new Publication(
      topic,
      qos,
      (first & 0x01) !== 0,
      (first & 0x08) !== 0,
      packetId,
      bytes,
      payloadStart,
      end,
    )
    let forwardable = (first & 0x09) === 0
    if (properties !== undefined) {
      publication.properties = messageProperties(properties)
      publication.propertyBytes = forwardableProperties(properties, bytes, propertiesAt, payloadStart)
      if (properties.topicAliasAt !== -1 || properties.messageExpiryAt !== -1) forwardable = false
    }
    if (forwardable) {
      publication.image = { key: (version5 ? 20 : 16) + qos, bytes, start, end, idOffset, next: undefined }
    }
    return publication
  }

  #namedTopic(version5: boolean, bytes: Buffer, start: number, end: number): string {
    const length = end - start
    if (length === this.#topicLength) {
      // From the end: topics of one client differ there first.
      const remembered = this.#topicBytes
      let i = length - 1
      while (i >= 0 && remembered[i] === bytes[start + i]) i--
      if (i < 0) return this.#topic
    }
    if (length === 0) {
      if (version5) violation('a PUBLISH has neither topic nor alias')
      malformed('a PUBLISH has no topic')
    }
    return this.#newTopic(bytes, start, end)
  }

  #newTopic(bytes: Buffer, start: number, end: number): string {
    const ascii = checkTopicName(bytes, start, end, this.maxTopicLevels)
    const topic = ascii ? bytes.toString('latin1', start, end) : bytes.toString('utf8', start, end)
    const length = end - start
    if (length > maxRememberedTopicBytes) return topic
    if (length > this.#topicBytes.length) this.#topicBytes = new Uint8Array((length + 31) & ~31)
    const remembered = this.#topicBytes
    for (let i = 0; i < length; i++) remembered[i] = bytes[start + i]!
    this.#topicLength = length
    this.#topic = topic
    return topic
  }

  #aliasedTopic(alias: number, bytes: Buffer, start: number, end: number): string {
    if (alias === 0 || alias > this.topicAliasMaximum) {
      refused(ReasonCode.TopicAliasInvalid, 'a topic alias is out of range')
    }
    if (start === end) {
      const topic = this.#aliases?.[alias]
      if (topic === undefined) violation('a topic alias was used before it was set')
      return topic
    }
    const topic = this.#namedTopic(true, bytes, start, end)
    this.#aliases ??= []
    this.#aliases[alias] = topic
    return topic
  }
}

/**
 * The properties as received, in their order (MQTT-3.3.2-18), less the alias, which means something
 * on one connection only (MQTT-3.3.2-9), and the expiry interval, which shrinks while the message waits.
 */
function forwardableProperties(
  properties: Readonly<Properties>,
  bytes: Buffer,
  lengthAt: number,
  end: number,
): Buffer | undefined {
  let start = lengthAt + 1
  while (bytes[start - 1]! > 0x7f) start++
  const alias = properties.topicAliasAt
  const expiry = properties.messageExpiryAt
  if (alias === -1 && expiry === -1) return bytes.subarray(start, end)
  const aliasBytes = alias === -1 ? 0 : topicAliasBytes
  const expiryBytes = expiry === -1 ? 0 : messageExpiryBytes
  const length = end - start - aliasBytes - expiryBytes
  if (length === 0) return undefined
  const kept = Buffer.allocUnsafe(length)
  // At most two cuts, at `first` and `second`; a missing one lies at the end with no bytes.
  const aliasFirst = expiry === -1 || (alias !== -1 && alias < expiry)
  const first = aliasFirst ? alias : expiry
  const firstBytes = aliasFirst ? aliasBytes : expiryBytes
  const secondBytes = aliasFirst ? expiryBytes : aliasBytes
  const second = secondBytes === 0 ? end : aliasFirst ? expiry : alias
  let at = bytes.copy(kept, 0, start, first)
  at += bytes.copy(kept, at, first + firstBytes, second)
  bytes.copy(kept, at, second + secondBytes, end)
  return kept
}
