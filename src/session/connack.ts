import type { SessionContext } from '../../machines/session.machine.ts'
import type { ConnackPacket } from '../messages.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { Session } from './session.ts'

/** What CONNACK tells the client: only what differs from what it would assume. */
export function connack(session: Session, context: SessionContext): ConnackPacket {
  const { features, limits } = session.policy
  const changes = session.connackChanges ?? {}
  const connect = session.connectPacket!
  session.keepAliveSeconds = grantedKeepAlive(
    changes.keepAliveSeconds ?? connect.keepAliveSeconds,
    limits.maxKeepAliveSeconds,
  )
  session.connackChanges = undefined
  const packet: { -readonly [K in keyof ConnackPacket]: ConnackPacket[K] } = {
    type: 2,
    sessionPresent: context.resumed,
    reasonCode: ReasonCode.Success,
  }
  if (!session.isMqtt5) return packet
  if (context.sessionExpiryIntervalSeconds !== (connect.sessionExpiryIntervalSeconds ?? 0)) {
    packet.sessionExpiryIntervalSeconds = context.sessionExpiryIntervalSeconds
  }
  if (limits.receiveMaximumMessages < 65_535) packet.receiveMaximum = limits.receiveMaximumMessages
  if (features.maximumQoS < 2) packet.maximumQoS = features.maximumQoS as 0 | 1
  if (!features.retainAvailable) packet.retainAvailable = false
  if (limits.maxPacketBytes < 268_435_460) packet.maximumPacketSizeBytes = limits.maxPacketBytes
  if (session.hasAssignedId) packet.assignedClientIdentifier = session.clientId
  if (limits.topicAliasMaximum > 0) packet.topicAliasMaximum = limits.topicAliasMaximum
  if (!features.wildcardSubscriptionAvailable) packet.wildcardSubscriptionAvailable = false
  if (!features.subscriptionIdentifiersAvailable) packet.subscriptionIdentifiersAvailable = false
  if (!features.sharedSubscriptionAvailable) packet.sharedSubscriptionAvailable = false
  // MQTT-3.1.2-21: the client uses this value instead of its own.
  if (session.keepAliveSeconds !== connect.keepAliveSeconds) packet.serverKeepAliveSeconds = session.keepAliveSeconds
  // MQTT-3.1.2-28
  const responseInformation = changes.responseInformation ?? features.responseInformation
  if (connect.requestResponseInformation && responseInformation !== undefined) {
    packet.responseInformation = responseInformation
  }
  if (changes.reasonString !== undefined) packet.reasonString = changes.reasonString
  if (changes.userProperties !== undefined) packet.userProperties = changes.userProperties
  if (connect.authenticationMethod !== undefined) {
    packet.authenticationMethod = connect.authenticationMethod
    if (session.authenticatedReply) packet.authenticationData = session.authenticatedReply
  }
  session.authenticatedReply = undefined
  return packet
}

/** 0 asks for no keepalive at all, which a limit answers with its own value. */
function grantedKeepAlive(asked: number, maximum: number): number {
  if (maximum === 0) return asked
  return asked === 0 ? maximum : Math.min(asked, maximum)
}
