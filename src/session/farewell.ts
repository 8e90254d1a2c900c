import type { DisconnectPacket } from '../messages.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { Session } from './session.ts'

/** How a connection is ended, and what its client is told. */
export interface Farewell {
  readonly reasonCode: ReasonCode
  readonly reason: string
  readonly serverReference?: string
  readonly silent?: boolean
}

/** CONNACK with a failure, then the end of the connection. */
export function refuseConnect(session: Session, { reasonCode, reason, serverReference, silent }: Farewell): void {
  const connection = session.releaseConnection()
  if (!connection) return
  // MQTT-3.1.4-1 of 3.1.1: only a CONNECT that was understood is answered.
  const understood = connection.protocolVersion === 5 || session.connectPacket !== undefined
  if (silent !== true && (understood || isConnectCode(reasonCode))) {
    const redirect = serverReference === undefined ? {} : { serverReference }
    const text = session.connectPacket?.requestProblemInformation === false ? {} : { reasonString: reason }
    // MQTT-3.2.2-6, MQTT-3.2.2-7
    connection.send({ type: 2, sessionPresent: false, reasonCode, ...text, ...redirect })
  }
  connection.end()
}

/** The client says goodbye; what it asks for is within the limits of its listener. */
export function onDisconnectPacket(session: Session, packet: DisconnectPacket): void {
  const { reasonCode, sessionExpiryIntervalSeconds: asked } = packet
  const { maxSessionExpirySeconds } = session.policy.limits
  const sessionExpiryIntervalSeconds = asked === undefined ? undefined : Math.min(asked, maxSessionExpirySeconds)
  session.send({ type: 'packet.disconnect', reasonCode, sessionExpiryIntervalSeconds })
}

/** DISCONNECT with the code (MQTT 5 only), then the end of the connection. */
export function sayGoodbye(session: Session, { reasonCode, reason, serverReference, silent }: Farewell): void {
  const connection = session.releaseConnection()
  if (!connection) return
  const redirect = serverReference === undefined ? {} : { serverReference }
  if (session.isMqtt5 && silent !== true) connection.send({ type: 14, reasonCode, reasonString: reason, ...redirect })
  connection.end()
}

/** Whether 3.1 and 3.1.1 have a return code for it although CONNECT was not understood to its end. */
function isConnectCode(reasonCode: ReasonCode): boolean {
  switch (reasonCode) {
    case ReasonCode.UnsupportedProtocolVersion:
    case ReasonCode.ClientIdentifierNotValid:
    case ReasonCode.ServerBusy:
    case ReasonCode.ConnectionRateExceeded:
      return true
    default:
      return false
  }
}
