import { PacketType } from '../messages.ts'
import { isFailure, ReasonCode } from '../reason-codes.ts'

const receipt: ReadonlySet<number> = new Set([0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])

/** The failures that a packet may tell of: MQTT 5 tables 3-1, 3-4, 3-5, 3-8, 3-9 and 3-10, and section 2.4 for 0x8C. */
const failures: ReadonlyMap<number, ReadonlySet<number>> = new Map<number, ReadonlySet<number>>([
  [
    PacketType.Connack,
    new Set([
      ...[0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a],
      ...[0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f],
    ]),
  ],
  [PacketType.Puback, receipt],
  [PacketType.Pubrec, receipt],
  [PacketType.Pubrel, new Set([0x92])],
  [PacketType.Pubcomp, new Set([0x92])],
  [PacketType.Suback, new Set([0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2])],
  [PacketType.Unsuback, new Set([0x80, 0x83, 0x87, 0x8f, 0x91])],
  [
    PacketType.Disconnect,
    new Set([
      ...[0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97],
      ...[0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2],
    ]),
  ],
])

/**
 * The code that the packet tells for this one. Hooks and authenticators may refuse with any code, but no
 * packet can tell all of them (MQTT-3.2.2-8, MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.9.3-2, MQTT-3.11.3-2,
 * MQTT-3.14.2-1), and some clients leave a broker that says what it may not.
 */
export function sendableCode(type: PacketType, code: number): number {
  if (!isFailure(code) || failures.get(type)?.has(code) !== false) return code
  // Of those that only CONNACK has, these say who the client is not.
  const isIdentity = code === ReasonCode.BadUserNameOrPassword || code === ReasonCode.Banned
  return isIdentity ? ReasonCode.NotAuthorized : ReasonCode.UnspecifiedError
}
