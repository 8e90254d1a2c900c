import type { Connection } from './connection.ts'
import type { Session } from './session.ts'

/** Goes on with what a newcomer brought: its connection, its CONNECT, its will, its listener's policy. */
export function adopt(session: Session, newcomer: Session, connection: Connection | undefined): void {
  session.policy = newcomer.policy
  session.connectPacket = newcomer.connectPacket
  session.isMqtt5 = newcomer.isMqtt5
  session.pendingWill = newcomer.pendingWill
  session.authenticatedReply = newcomer.authenticatedReply
  session.hasAssignedId = newcomer.hasAssignedId
  session.connackChanges = newcomer.connackChanges
  newcomer.pendingWill = undefined
  session.connection = connection
  session.request = newcomer.request
  session.inbound?.limit()
  session.outbound?.limit(session.policy.limits, session.policy.features.overflowPolicy)
  if (connection) session.openConnection()
}
