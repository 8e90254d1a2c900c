import { ProtocolError } from '../errors.ts'
import { ReasonCode } from '../reason-codes.ts'

/** The bytes cannot be read as a packet at all (0x81). */
export function malformed(reason: string): never {
  throw new ProtocolError(ReasonCode.MalformedPacket, reason)
}

/** The packet can be read, but the protocol forbids it here (0x82). */
export function violation(reason: string): never {
  throw new ProtocolError(ReasonCode.ProtocolError, reason)
}

/** Any other reason code that the specification names for the fault. */
export function refused(reasonCode: ReasonCode, reason: string): never {
  throw new ProtocolError(reasonCode, reason)
}
