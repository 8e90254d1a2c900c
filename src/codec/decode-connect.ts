import { ProtocolError } from '../errors.ts'
import type { ConnectPacket, ProtocolVersion, WillPacket } from '../messages.ts'
import type { Limits } from '../limits.ts'
import { ReasonCode } from '../reason-codes.ts'
import { Cursor } from './cursor.ts'
import { malformed, refused } from './faults.ts'
import type { Extent } from './library-parser.ts'
import type { Properties } from './properties.ts'
import { messageProperties, noProperties, noUserProperties, PropertyScope, readProperties } from './properties.ts'
import { checkTopicName } from './topic-name.ts'

type ConnectLimits = Pick<Limits, 'maxTopicLevels' | 'maxUserProperties'>

/** What a CONNECT says of its version: in which one to answer, and whether it is one that we speak. */
interface AnnouncedProtocol {
  readonly version: ProtocolVersion
  readonly supported: boolean
}

const flag = { reserved: 0x01, cleanStart: 0x02, will: 0x04, willRetain: 0x20, password: 0x40, username: 0x80 } as const
const willQosShift = 3
/** Set next to the level by brokers that connect as a bridge; no specification knows it. */
const bridgeBit = 0x80

const defaultReceiveMaximum = 65_535

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

/** Reads a CONNECT whose protocol {@link readProtocol} has accepted. */
export function decodeConnect(extent: Extent, version: ProtocolVersion, limits: ConnectLimits): ConnectPacket {
  const cursor = new Cursor(extent.bytes, extent.body, extent.end)
  cursor.skipString()
  cursor.byte()
  const flags = cursor.byte()
  checkConnectFlags(flags, version)
  const keepAliveSeconds = cursor.uint16()
  const own = version === 5 ? readProperties(cursor, PropertyScope.Connect, limits.maxUserProperties) : noProperties
  const clientId = cursor.string()
  const will = flags & flag.will ? readWill(cursor, flags, version, own, limits) : undefined
  const username = flags & flag.username ? cursor.string() : undefined
  const password = flags & flag.password ? cursor.binary() : undefined
  if (cursor.remaining > 0) malformed('a CONNECT is longer than its fields')
  return {
    type: 1,
    protocolVersion: version,
    clientId,
    cleanStart: (flags & flag.cleanStart) !== 0,
    keepAliveSeconds,
    username,
    password,
    will,
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

function readWill(
  cursor: Cursor,
  flags: number,
  version: ProtocolVersion,
  own: Readonly<Properties>,
  { maxUserProperties, maxTopicLevels }: ConnectLimits,
): WillPacket {
  const before = own.userProperties?.length ?? 0
  const properties =
    version === 5 ? readProperties(cursor, PropertyScope.Will, maxUserProperties, before) : noProperties
  const length = cursor.uint16()
  const start = cursor.skip(length)
  if (length === 0) refused(ReasonCode.TopicNameInvalid, 'the topic of the will is empty')
  checkTopicName(cursor.bytes, start, start + length, maxTopicLevels)
  return {
    topic: cursor.bytes.toString('utf8', start, start + length),
    // A copy: the will may outlive the chunk by days.
    payload: cursor.binary(),
    qos: ((flags >> willQosShift) & 3) as WillPacket['qos'],
    retain: (flags & flag.willRetain) !== 0,
    delaySeconds: properties.willDelaySeconds ?? 0,
    properties: messageProperties(properties) ?? {},
  }
}
