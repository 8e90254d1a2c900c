/** What a log may say of a packet: no payload, no password, no authentication data, no properties of a user's. */
import { PacketType, type InboundPacket, type OutboundPacket } from '../messages.ts'
import type { Publication } from '../publication.ts'

export type PacketFacts = Readonly<Record<string, unknown>> & { readonly packet: string }

const names = Object.fromEntries(Object.entries(PacketType).map(([name, type]) => [type, name.toUpperCase()]))

/** Filters of one SUBSCRIBE or UNSUBSCRIBE that are named. */
const MAX_FILTERS = 10

export function nameOfPacket(type: PacketType): string {
  return names[type] ?? String(type)
}

export function factsOfReceived(packet: InboundPacket): PacketFacts {
  const name = { packet: nameOfPacket(packet.type) }
  switch (packet.type) {
    case PacketType.Connect: {
      const { protocolVersion, cleanStart, keepAliveSeconds, sessionExpiryIntervalSeconds, authenticationMethod } =
        packet
      const { username, will } = packet
      return {
        ...name,
        protocolVersion,
        cleanStart,
        keepAliveSeconds,
        sessionExpiryIntervalSeconds,
        authenticationMethod,
        username,
        willTopic: will?.topic,
      }
    }
    case PacketType.Publish:
      return factsOfPublish(packet, packet.qos, packet.packetId, packet.dup, packet.retain)
    case PacketType.Subscribe: {
      const { packetId, subscriptions } = packet
      const filters = subscriptions.slice(0, MAX_FILTERS).map(({ filter, qos }) => `${filter} (QoS ${qos})`)
      return { ...name, packetId, count: subscriptions.length, filters }
    }
    case PacketType.Unsubscribe:
      return {
        ...name,
        packetId: packet.packetId,
        count: packet.filters.length,
        filters: packet.filters.slice(0, MAX_FILTERS),
      }
    case PacketType.Auth:
      return { ...name, reasonCode: packet.reasonCode, authenticationMethod: packet.authenticationMethod }
    case PacketType.Disconnect:
      return {
        ...name,
        reasonCode: packet.reasonCode,
        sessionExpiryIntervalSeconds: packet.sessionExpiryIntervalSeconds,
      }
    case PacketType.Pingreq:
      return name
    default:
      return { ...name, packetId: packet.packetId, reasonCode: packet.reasonCode }
  }
}

export function factsOfPublish(
  { topic, payloadLength }: Publication,
  qos: number,
  packetId: number,
  dup: boolean,
  retain: boolean,
): PacketFacts {
  const facts = { packet: 'PUBLISH', topic, qos, retain, dup, payloadBytes: payloadLength }
  return qos === 0 ? facts : { ...facts, packetId }
}

export function factsOfSent(packet: OutboundPacket): PacketFacts {
  const name = { packet: nameOfPacket(packet.type) }
  switch (packet.type) {
    case PacketType.Connack: {
      const { reasonCode, reasonString, sessionPresent, serverReference } = packet
      return { ...name, reasonCode, reasonString, sessionPresent, serverReference }
    }
    case PacketType.Suback:
    case PacketType.Unsuback: {
      const { packetId, reasonCodes } = packet
      return { ...name, packetId, count: reasonCodes.length, reasonCodes: reasonCodes.slice(0, MAX_FILTERS) }
    }
    case PacketType.Disconnect: {
      const { reasonCode, reasonString, serverReference } = packet
      return { ...name, reasonCode, reasonString, serverReference }
    }
    case PacketType.Auth:
      return { ...name, reasonCode: packet.reasonCode, authenticationMethod: packet.authenticationMethod }
  }
}
