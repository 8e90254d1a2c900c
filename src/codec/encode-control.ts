import type { IAuthPacket, IConnackPacket, IDisconnectPacket, ISubackPacket, IUnsubackPacket } from 'mqtt-packet'
import { generate, writeToStream } from 'mqtt-packet'

import type {
  ConnackPacket,
  OutboundPacket,
  ProtocolVersion,
  ServerAuthPacket,
  ServerDisconnectPacket,
  SubackPacket,
  UnsubackPacket,
  UserProperties,
} from '../messages.ts'
import { PacketType } from '../messages.ts'
import { isFailure, ReasonCode } from '../reason-codes.ts'
import { sendableCode } from './sendable-code.ts'

type GeneratedPacket = IConnackPacket | ISubackPacket | IUnsubackPacket | IDisconnectPacket | IAuthPacket
/**
 * mqtt-packet declares user properties as a map but writes an array of maps entry by entry: with
 * one name in each, order and repetition survive, and no name can reach a prototype.
 */
type GeneratedProperties = Record<string, unknown>

// The library would otherwise make 65,536 two-byte Buffers with its first packet and keep them.
writeToStream.cacheNumbers = false

/** A string or binary field carries its length in two bytes. */
const maxFieldBytes = 65_535

/** CONNACK return codes of MQTT 3.1 and 3.1.1 for the reason codes that have one (table 3.1 of 3.1.1). */
const returnCodes: ReadonlyMap<number, number> = new Map([
  [ReasonCode.Success, 0],
  [ReasonCode.UnsupportedProtocolVersion, 1],
  [ReasonCode.ClientIdentifierNotValid, 2],
  [ReasonCode.ServerUnavailable, 3],
  [ReasonCode.ServerBusy, 3],
  [ReasonCode.QuotaExceeded, 3],
  [ReasonCode.UseAnotherServer, 3],
  [ReasonCode.ServerMoved, 3],
  [ReasonCode.ConnectionRateExceeded, 3],
  [ReasonCode.BadUserNameOrPassword, 4],
  [ReasonCode.BadAuthenticationMethod, 4],
  [ReasonCode.NotAuthorized, 5],
  [ReasonCode.Banned, 5],
])

/**
 * Encodes one of the rarer packets for a client. `maxBytes` is the client's Maximum Packet Size,
 * Infinity without one: first the reason string goes, then the user properties
 * (MQTT-3.2.2-19, MQTT-3.2.2-20, MQTT-3.9.2-1, MQTT-3.9.2-2, MQTT-3.11.2-1, MQTT-3.11.2-2,
 * MQTT-3.14.2-3, MQTT-3.14.2-4, MQTT-3.15.2-2, MQTT-3.15.2-3).
 * Undefined when nothing may be sent: even the bare packet is too large, a field does not fit into
 * its two-byte length, or the client's version has no such packet or no code for it.
 */
export function encodeControl(
  packet: OutboundPacket,
  version: ProtocolVersion,
  maxBytes: number,
  requestProblemInformation: boolean,
): Buffer | undefined {
  const encoded = version === 5 ? encode5(packet, maxBytes, requestProblemInformation) : encode3(packet, version)
  return encoded !== undefined && encoded.length <= maxBytes ? encoded : undefined
}

/** With so many codes the remaining length is one byte: written here, since every client gets one. */
const SHORT_SUBACK_CODES = 100

/** By return code, without and with Session Present: nobody writes into what is sent. */
const connacks3 = [0, 1, 2, 3, 4, 5].map((returnCode) => Buffer.from([0x20, 2, 0, returnCode]))
const resumed3 = Buffer.from([0x20, 2, 1, 0])

/** MQTT-3.9.3-2 of 3.1.1; MQTT 3.1 has no code for failure, and clients understand this one best. */
function suback3(reasonCode: number): number {
  return isFailure(reasonCode) ? ReasonCode.UnspecifiedError : reasonCode
}

function shortSuback3(packetId: number, reasonCodes: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(4 + reasonCodes.length)
  bytes[0] = 0x90
  bytes[1] = 2 + reasonCodes.length
  bytes[2] = packetId >> 8
  bytes[3] = packetId & 0xff
  for (let at = 0; at < reasonCodes.length; at++) bytes[4 + at] = suback3(reasonCodes[at]!)
  return bytes
}

function encode3(packet: OutboundPacket, version: 3 | 4): Buffer | undefined {
  const options = { protocolVersion: version }
  switch (packet.type) {
    case PacketType.Connack: {
      const returnCode = returnCodes.get(packet.reasonCode)
      // MQTT-3.2.2-6 of 3.1.1
      if (returnCode === undefined) return undefined
      // MQTT 3.1 knows no Session Present; a refusal never has it (MQTT-3.2.2-4 of 3.1.1).
      const sessionPresent = version === 4 && returnCode === 0 && packet.sessionPresent
      return (sessionPresent ? resumed3 : connacks3[returnCode])!
    }
    case PacketType.Suback: {
      const { packetId, reasonCodes } = packet
      if (reasonCodes.length <= SHORT_SUBACK_CODES) return shortSuback3(packetId, reasonCodes)
      return generate({ cmd: 'suback', messageId: packetId, granted: reasonCodes.map(suback3) }, options)
    }
    case PacketType.Unsuback:
      return generate({ cmd: 'unsuback', messageId: packet.packetId, granted: [] }, options)
    default:
      return undefined
  }
}

function encode5(packet: OutboundPacket, maxBytes: number, requestProblemInformation: boolean): Buffer | undefined {
  const properties = propertiesOf(packet)
  if (!Object.values(properties).every(isSendable)) return undefined
  // MQTT-3.1.2-29: without problem information only CONNACK, DISCONNECT and PUBLISH may explain themselves.
  if (requestProblemInformation || packet.type === PacketType.Connack || packet.type === PacketType.Disconnect) {
    if (isSendable(packet.reasonString)) properties['reasonString'] = packet.reasonString
    const pairs = sendablePairs(packet.userProperties)
    if (pairs.length > 0) properties['userProperties'] = pairs
  }
  let encoded = generate5(packet, properties)
  for (const optional of ['reasonString', 'userProperties']) {
    if (encoded.length <= maxBytes) break
    if (properties[optional] === undefined) continue
    delete properties[optional]
    encoded = generate5(packet, properties)
  }
  return encoded
}

function generate5(packet: OutboundPacket, properties: GeneratedProperties): Buffer {
  return generate(generatedPacket(packet, properties), { protocolVersion: 5 })
}

function generatedPacket(packet: OutboundPacket, properties: GeneratedProperties): GeneratedPacket {
  switch (packet.type) {
    case PacketType.Connack:
      // MQTT-3.2.2-4, MQTT-3.2.2-6: a refusal has Session Present 0.
      return {
        cmd: 'connack',
        reasonCode: sendableCode(packet.type, packet.reasonCode),
        sessionPresent: packet.reasonCode === ReasonCode.Success && packet.sessionPresent,
        properties,
      }
    case PacketType.Suback:
      return { cmd: 'suback', messageId: packet.packetId, granted: sendableCodes(packet), properties }
    case PacketType.Unsuback:
      return { cmd: 'unsuback', messageId: packet.packetId, granted: sendableCodes(packet), properties }
    case PacketType.Disconnect:
      return { cmd: 'disconnect', reasonCode: sendableCode(packet.type, packet.reasonCode), properties }
    case PacketType.Auth:
      return { cmd: 'auth', reasonCode: packet.reasonCode, properties }
  }
}

function sendableCodes({ type, reasonCodes }: SubackPacket | UnsubackPacket): number[] {
  return reasonCodes.map((code) => sendableCode(type, code))
}

/** The properties by the names of mqtt-packet, without reason string and user properties. */
function propertiesOf(packet: OutboundPacket): GeneratedProperties {
  switch (packet.type) {
    case PacketType.Connack:
      return connackProperties(packet)
    case PacketType.Disconnect:
      return disconnectProperties(packet)
    case PacketType.Auth:
      return authProperties(packet)
    default:
      return {}
  }
}

function connackProperties(packet: ConnackPacket): GeneratedProperties {
  return {
    sessionExpiryInterval: packet.sessionExpiryIntervalSeconds,
    receiveMaximum: packet.receiveMaximum,
    maximumQoS: packet.maximumQoS,
    retainAvailable: packet.retainAvailable,
    maximumPacketSize: packet.maximumPacketSizeBytes,
    assignedClientIdentifier: packet.assignedClientIdentifier,
    topicAliasMaximum: packet.topicAliasMaximum,
    wildcardSubscriptionAvailable: packet.wildcardSubscriptionAvailable,
    subscriptionIdentifiersAvailable: packet.subscriptionIdentifiersAvailable,
    sharedSubscriptionAvailable: packet.sharedSubscriptionAvailable,
    serverKeepAlive: packet.serverKeepAliveSeconds,
    responseInformation: packet.responseInformation,
    serverReference: packet.serverReference,
    authenticationMethod: packet.authenticationMethod,
    authenticationData: binary(packet.authenticationData),
  }
}

function disconnectProperties(packet: ServerDisconnectPacket): GeneratedProperties {
  return { serverReference: packet.serverReference }
}

function authProperties(packet: ServerAuthPacket): GeneratedProperties {
  return {
    authenticationMethod: packet.authenticationMethod,
    authenticationData: binary(packet.authenticationData),
  }
}

/** mqtt-packet writes Buffers only. */
function binary(bytes: Uint8Array | undefined): Buffer | undefined {
  return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** What hooks and options say goes out only where a field of MQTT can hold it (MQTT-1.5.4-2). */
function isSendable(value: unknown): boolean {
  if (typeof value === 'string') return !value.includes('\0') && Buffer.byteLength(value) <= maxFieldBytes
  return !Buffer.isBuffer(value) || value.length <= maxFieldBytes
}

function sendablePairs(pairs: UserProperties | undefined): ReadonlyArray<Record<string, string>> {
  const sendable: Array<Record<string, string>> = []
  for (const [name, value] of pairs ?? []) {
    // A computed key makes an own property of any name, `__proto__` too.
    if (isSendable(name) && isSendable(value)) sendable.push({ [name]: value })
  }
  return sendable
}
