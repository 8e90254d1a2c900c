import { PacketType, type InboundPacket } from '../messages.ts'
import { ReasonCode } from '../reason-codes.ts'
import { beginConnect, onAuthPacket } from './authentication.ts'
import { onDisconnectPacket } from './farewell.ts'
import type { Session } from './session.ts'

/** Gives a packet to whoever answers it. */
export function dispatch(session: Session, packet: InboundPacket): void {
  switch (packet.type) {
    case PacketType.Connect:
      return beginConnect(session, packet)
    case PacketType.Auth:
      return onAuthPacket(session, packet)
    case PacketType.Disconnect:
      return onDisconnectPacket(session, packet)
    default:
      // MQTT-3.1.2-30: before CONNACK a client with an authentication method sends AUTH only.
      if (!session.isOpen || session.inbound === undefined)
        return session.refusePacket(ReasonCode.ProtocolError, 'not yet accepted')
      session.inbound.handle(packet)
  }
}
