import type { IConnectPacket } from 'mqtt-packet'

import { ProtocolError } from '../errors.ts'
import type { ConnectPacket, ProtocolVersion, WillPacket } from '../messages.ts'
import type { Limits } from '../options.ts'
import { ReasonCode } from '../reason-codes.ts'
import { Cursor } from './cursor.ts'
import { malformed, refused } from './faults.ts'
import type { Extent } from './library-parser.ts'
import { parseValidated } from './library-parser.ts'
import type { Properties } from './properties.ts'
import { messageProperties, noProperties, noUserProperties, PropertyScope, readProperties } from './properties.ts'
import { checkTopicName } from './topic-name.ts'

type ConnectLimits = Pick<Limits, 'maxTopicLevels' | 'maxUserProperties'>

/** What a CONNECT says of its version: in which one to answer, and whether it is one that we speak. */
interface AnnouncedProtocol {
  readonly version: ProtocolVersion
  readonly supported: boolean
}

const flag = { reserved: 0x01, will: 0x04, willRetain: 0x20, password: 0x40, username: 0x80 } as const
const willQosShift = 3
/** Set next to the level by brokers that connect as a bridge; no specification knows it. */
const bridgeBit = 0x80

const defaultReceiveMaximum = 65_535

/** The properties of a CONNECT and of its will, as our validation read them. */
interface ConnectProperties {
  readonly own: Readonly<Properties>
  readonly will: Readonly<Properties>
}

/**
 * Reads protocol name and level, before anything else is judged, so that even the refusal of what
 * follows can be told in a version that the client understands.
 */
export function readProtocol(extent: Extent): AnnouncedProtocol {
  const cursor = new Cursor(extent.bytes, extent.body, extent.end)
  const name = cursor.string()
  if (name !== 'MQTT' && name !== 'MQIsdp') {
    // MQTT-3.1.2-1: whoever speaks another protocol would not understand our answer either.
    throw new ProtocolError(ReasonCode.UnsupportedProtocolVersion, 'the protocol name is not MQTT', true)
  }
  const level = cursor.byte()
  if (name === 'MQIsdp') return { version: 3, supported: level === 3 }
  return { version: (level & ~bridgeBit) >= 5 ? 5 : 4, supported: level === 4 || level === 5 }
}

/** Validates a CONNECT whose protocol {@link readProtocol} has accepted, then decodes it. */
export function decodeConnect(extent: Extent, version: ProtocolVersion, limits: ConnectLimits): ConnectPacket {
  const properties = validateConnect(extent, version, limits)
  const parsed = parseValidated('connect', extent, version)
  const { own } = properties
  return {
    type: 1,
    protocolVersion: version,
    clientId: parsed.clientId,
    cleanStart: parsed.clean === true,
    keepAliveSeconds: parsed.keepalive ?? 0,
    username: parsed.username,
    password: parsed.password && Buffer.from(parsed.password),
    will: willOf(parsed, properties.will),
    sessionExpiryIntervalSeconds: version === 5 ? (own.sessionExpiryIntervalSeconds ?? 0) : undefined,
    receiveMaximum: own.receiveMaximum ?? defaultReceiveMaximum,
    maximumPacketSizeBytes: own.maximumPacketSizeBytes,
    topicAliasMaximum: own.topicAliasMaximum ?? 0,
    requestResponseInformation: own.requestResponseInformation ?? false,
    requestProblemInformation: own.requestProblemInformation ?? true,
    userProperties: own.userProperties ?? noUserProperties,
    authenticationMethod: own.authenticationMethod,
    authenticationData: own.authenticationData,
  }
}

function validateConnect(extent: Extent, version: ProtocolVersion, limits: ConnectLimits): ConnectProperties {
  const cursor = new Cursor(extent.bytes, extent.body, extent.end)
  cursor.skipString()
  cursor.byte()
  const flags = cursor.byte()
  checkConnectFlags(flags, version)
  cursor.uint16()
  let own = noProperties
  let will = noProperties
  if (version === 5) own = readProperties(cursor, PropertyScope.Connect, limits.maxUserProperties)
  cursor.skipString()
  if (flags & flag.will) {
    if (version === 5) {
      const before = own.userProperties?.length ?? 0
      will = readProperties(cursor, PropertyScope.Will, limits.maxUserProperties, before)
    }
    skipWillTopic(cursor, limits.maxTopicLevels)
    cursor.skipBinary()
  }
  if (flags & flag.username) cursor.skipString()
  if (flags & flag.password) cursor.skipBinary()
  if (cursor.remaining > 0) malformed('a CONNECT is longer than its fields')
  return { own, will }
}

function checkConnectFlags(flags: number, version: ProtocolVersion): void {
  // MQTT-3.1.2-3
  if (flags & flag.reserved) malformed('the reserved connect flag is set')
  const willQos = (flags >> willQosShift) & 3
  if (flags & flag.will) {
    // MQTT-3.1.2-12
    if (willQos === 3) malformed('the QoS of the will is 3')
    // MQTT-3.1.2-11, MQTT-3.1.2-13
  } else if (willQos !== 0 || flags & flag.willRetain) malformed('will flags are set without a will')
  // Clause MQTT-3.1.2-22 of 3.1.1, which MQTT 5 dropped.
  if (version !== 5 && flags & flag.password && !(flags & flag.username))
    malformed('a password came without a user name')
}

function skipWillTopic(cursor: Cursor, maxLevels: number): void {
  const length = cursor.uint16()
  const start = cursor.skip(length)
  if (length === 0) refused(ReasonCode.TopicNameInvalid, 'the topic of the will is empty')
  checkTopicName(cursor.bytes, start, start + length, maxLevels)
}

function willOf(parsed: IConnectPacket, properties: Readonly<Properties>): WillPacket | undefined {
  const { will } = parsed
  if (will === undefined) return undefined
  return {
    topic: will.topic,
    // A copy: the will may outlive the chunk by days.
    payload: Buffer.from(will.payload as Buffer),
    qos: will.qos ?? 0,
    retain: will.retain === true,
    delaySeconds: properties.willDelaySeconds ?? 0,
    properties: messageProperties(properties) ?? {},
  }
}
