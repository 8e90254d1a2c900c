import type { MessageProperties, UserProperties } from '../messages.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { Cursor } from './cursor.ts'
import { malformed, refused, violation } from './faults.ts'

/** Where a client may send a property; one bit each, so that the table below is one number a row. */
export const PropertyScope = {
  Connect: 1,
  Will: 2,
  Publish: 4,
  Acknowledgement: 8,
  Subscribe: 16,
  Unsubscribe: 32,
  Disconnect: 64,
  Auth: 128,
} as const
type PropertyScope = (typeof PropertyScope)[keyof typeof PropertyScope]

const message = PropertyScope.Publish | PropertyScope.Will
const authentication = PropertyScope.Connect | PropertyScope.Auth

/**
 * MQTT 5 table 2-4, as far as a client may send it. A property without a scope exists, but only
 * servers send it; a missing row means that the identifier is unknown.
 */
const scopesById: ReadonlyArray<readonly [id: number, scopes: number]> = [
  [0x01, message],
  [0x02, message],
  [0x03, message],
  [0x08, message],
  [0x09, message],
  [0x0b, PropertyScope.Subscribe],
  [0x11, PropertyScope.Connect | PropertyScope.Disconnect],
  [0x12, 0],
  [0x13, 0],
  [0x15, authentication],
  [0x16, authentication],
  [0x17, PropertyScope.Connect],
  [0x18, PropertyScope.Will],
  [0x19, PropertyScope.Connect],
  [0x1a, 0],
  [0x1c, PropertyScope.Disconnect],
  [0x1f, PropertyScope.Acknowledgement | PropertyScope.Disconnect | PropertyScope.Auth],
  [0x21, PropertyScope.Connect],
  [0x22, PropertyScope.Connect],
  [0x23, PropertyScope.Publish],
  [0x24, 0],
  [0x25, 0],
  [0x26, 0xff],
  [0x27, PropertyScope.Connect],
  [0x28, 0],
  [0x29, 0],
  [0x2a, 0],
]

const unknown = -1
const highestId = 0x2a
const userProperty = 0x26
const scopes = new Int16Array(highestId + 1).fill(unknown)
for (const [id, bits] of scopesById) scopes[id] = bits

/** The properties of one packet, by name; undefined where the packet had none. */
export class Properties {
  payloadFormatIndicator: boolean | undefined = undefined
  messageExpiryIntervalSeconds: number | undefined = undefined
  contentType: string | undefined = undefined
  responseTopic: string | undefined = undefined
  correlationData: Buffer | undefined = undefined
  subscriptionIdentifier: number | undefined = undefined
  sessionExpiryIntervalSeconds: number | undefined = undefined
  authenticationMethod: string | undefined = undefined
  authenticationData: Buffer | undefined = undefined
  requestProblemInformation: boolean | undefined = undefined
  willDelaySeconds: number | undefined = undefined
  requestResponseInformation: boolean | undefined = undefined
  serverReference: string | undefined = undefined
  reasonString: string | undefined = undefined
  receiveMaximum: number | undefined = undefined
  topicAliasMaximum: number | undefined = undefined
  topicAlias: number | undefined = undefined
  maximumPacketSizeBytes: number | undefined = undefined
  /** Pairs, never a map: order and repetition are kept, and no name can reach a prototype. */
  userProperties: Array<readonly [name: string, value: string]> | undefined = undefined
  /** Index of the identifier of the topic alias; -1: none. */
  topicAliasAt = -1
  /** Index of the identifier of the message expiry interval; -1: none. */
  messageExpiryAt = -1
}

/** Shared by every packet without properties. */
export const noProperties: Readonly<Properties> = Object.freeze(new Properties())
export const noUserProperties: UserProperties = Object.freeze([])

/**
 * Reads the property length and the properties behind it. `userPropertiesBefore` are those that the
 * packet has had already: a CONNECT counts the ones of its will too.
 */
export function readProperties(
  cursor: Cursor,
  scope: PropertyScope,
  maxUserProperties: number,
  userPropertiesBefore = 0,
): Readonly<Properties> {
  const length = cursor.varint()
  if (length === 0) return noProperties
  if (length > cursor.remaining) malformed('the properties are longer than their packet')
  const packetEnd = cursor.end
  const properties = new Properties()
  cursor.end = cursor.offset + length
  // Bit n of `seenLow` is property n, of `seenHigh` property 32 + n: none may occur twice.
  let seenLow = 0
  let seenHigh = 0
  let userPropertiesLeft = maxUserProperties - userPropertiesBefore
  while (cursor.offset < cursor.end) {
    const at = cursor.offset
    const id = cursor.byte()
    const allowed = id > highestId ? unknown : scopes[id]!
    if (allowed === unknown) malformed('a property identifier is unknown')
    if ((allowed & scope) === 0) violation('a property is not allowed in this packet')
    if (id === userProperty) {
      if (userPropertiesLeft-- <= 0) refused(ReasonCode.QuotaExceeded, 'too many user properties')
      const name = cursor.string()
      ;(properties.userProperties ??= []).push([name, cursor.string()])
      continue
    }
    const bit = 1 << (id & 31)
    if (((id < 32 ? seenLow : seenHigh) & bit) !== 0) violation('a property occurs twice')
    if (id < 32) seenLow |= bit
    else seenHigh |= bit
    readProperty(properties, id, at, cursor)
  }
  cursor.end = packetEnd
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    violation('authentication data came without a method')
  }
  return properties
}

function readProperty(properties: Properties, id: number, at: number, cursor: Cursor): void {
  switch (id) {
    case 0x01:
      properties.payloadFormatIndicator = readFlag(cursor)
      return
    case 0x02:
      properties.messageExpiryIntervalSeconds = cursor.uint32()
      properties.messageExpiryAt = at
      return
    case 0x03:
      properties.contentType = cursor.string()
      return
    case 0x08:
      properties.responseTopic = readResponseTopic(cursor)
      return
    case 0x09:
      properties.correlationData = cursor.binary()
      return
    case 0x0b:
      properties.subscriptionIdentifier = cursor.varint()
      if (properties.subscriptionIdentifier === 0) violation('the subscription identifier is 0')
      return
    case 0x23:
      properties.topicAlias = cursor.uint16()
      properties.topicAliasAt = at
      return
    default:
      readConnectionProperty(properties, id, cursor)
  }
}

/** The properties that speak of the connection and not of a message. */
function readConnectionProperty(properties: Properties, id: number, cursor: Cursor): void {
  switch (id) {
    case 0x11:
      properties.sessionExpiryIntervalSeconds = cursor.uint32()
      return
    case 0x15:
      properties.authenticationMethod = cursor.string()
      return
    case 0x16:
      properties.authenticationData = cursor.binary()
      return
    case 0x17:
      properties.requestProblemInformation = readFlag(cursor)
      return
    case 0x18:
      properties.willDelaySeconds = cursor.uint32()
      return
    case 0x19:
      properties.requestResponseInformation = readFlag(cursor)
      return
    case 0x1c:
      properties.serverReference = cursor.string()
      return
    case 0x1f:
      properties.reasonString = cursor.string()
      return
    case 0x21:
      properties.receiveMaximum = cursor.uint16()
      if (properties.receiveMaximum === 0) violation('the receive maximum is 0')
      return
    case 0x22:
      properties.topicAliasMaximum = cursor.uint16()
      return
    case 0x27:
      properties.maximumPacketSizeBytes = cursor.uint32()
      if (properties.maximumPacketSizeBytes === 0) violation('the maximum packet size is 0')
      return
    default:
      malformed('a property identifier is unknown')
  }
}

function readFlag(cursor: Cursor): boolean {
  const value = cursor.byte()
  if (value > 1) violation('a property that is 0 or 1 has another value')
  return value === 1
}

/** A response topic is a topic name: no wildcards (MQTT-3.3.2-14), at least one character (MQTT-4.7.3-1). */
function readResponseTopic(cursor: Cursor): string {
  const topic = cursor.string()
  if (topic === '' || topic.includes('#') || topic.includes('+')) violation('the response topic is not a topic name')
  return topic
}

/** Those of the properties that travel with a message; undefined when there are none. */
export function messageProperties(from: Readonly<Properties>): MessageProperties | undefined {
  const to: MessageProperties = {}
  let some = false
  if (from.payloadFormatIndicator !== undefined) {
    to.payloadFormatIndicator = from.payloadFormatIndicator
    some = true
  }
  if (from.messageExpiryIntervalSeconds !== undefined) {
    to.messageExpiryIntervalSeconds = from.messageExpiryIntervalSeconds
    some = true
  }
  if (from.contentType !== undefined) {
    to.contentType = from.contentType
    some = true
  }
  if (from.responseTopic !== undefined) {
    to.responseTopic = from.responseTopic
    some = true
  }
  if (from.correlationData !== undefined) {
    to.correlationData = from.correlationData
    some = true
  }
  if (from.userProperties !== undefined) {
    to.userProperties = from.userProperties
    some = true
  }
  return some ? to : undefined
}
