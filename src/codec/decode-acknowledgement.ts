import type { AcknowledgementPacket } from '../messages.ts'
import { PacketType } from '../messages.ts'
import { Cursor } from './cursor.ts'
import { malformed, violation } from './faults.ts'
import { PropertyScope, readProperties } from './properties.ts'

/** MQTT 5 tables 3-4 and 3-5: what PUBACK and PUBREC may say. */
const receiptCodes: ReadonlySet<number> = new Set([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
/** MQTT 5 tables 3-6 and 3-7: what PUBREL and PUBCOMP may say. */
const releaseCodes: ReadonlySet<number> = new Set([0x00, 0x92])

/** PUBACK, PUBREC, PUBREL, PUBCOMP: two bytes, or from MQTT 5 on a reason code and properties too. */
export function decodeAcknowledgement(
  version5: boolean,
  type: AcknowledgementPacket['type'],
  bytes: Buffer,
  body: number,
  end: number,
  maxUserProperties: number,
): AcknowledgementPacket {
  if (body + 2 > end) malformed('an acknowledgement ends within its packet identifier')
  const packetId = (bytes[body]! << 8) | bytes[body + 1]!
  if (packetId === 0) violation('the packet identifier is 0')
  if (body + 2 === end) return { type, packetId, reasonCode: 0 }
  if (!version5) malformed('an acknowledgement is longer than its packet identifier')
  const reasonCode = bytes[body + 2]!
  // MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1
  const codes = type === PacketType.Puback || type === PacketType.Pubrec ? receiptCodes : releaseCodes
  if (!codes.has(reasonCode)) violation('an acknowledgement has a reason code that it cannot have')
  if (body + 3 < end) {
    const cursor = new Cursor(bytes, body + 3, end)
    readProperties(cursor, PropertyScope.Acknowledgement, maxUserProperties)
    if (cursor.remaining > 0) malformed('an acknowledgement is longer than its properties')
  }
  return { type, packetId, reasonCode }
}
