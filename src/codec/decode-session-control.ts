import type { AuthPacket, DisconnectPacket, ProtocolVersion } from '../messages.ts'
import { ReasonCode } from '../reason-codes.ts'
import { Cursor } from './cursor.ts'
import { malformed, violation } from './faults.ts'
import type { Extent } from './library-parser.ts'
import { parseValidated } from './library-parser.ts'
import type { Properties } from './properties.ts'
import { noProperties, noUserProperties, PropertyScope, readProperties } from './properties.ts'

/** MQTT 5 table 3-10: those that a client may send. */
const clientDisconnectCodes: ReadonlySet<number> = new Set([
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
])

/** Validates a DISCONNECT, then decodes it. Without a body it means success (MQTT 5 section 3.14.2.1). */
export function decodeDisconnect(
  extent: Extent,
  version: ProtocolVersion,
  maxUserProperties: number,
): DisconnectPacket {
  const cursor = new Cursor(extent.bytes, extent.body, extent.end)
  let properties: Readonly<Properties> = noProperties
  if (version === 5 && cursor.remaining > 0) {
    // MQTT-3.14.2-1
    if (!clientDisconnectCodes.has(cursor.byte())) violation('a client cannot disconnect with this reason code')
    if (cursor.remaining > 0) properties = readProperties(cursor, PropertyScope.Disconnect, maxUserProperties)
  }
  if (cursor.remaining > 0) malformed('a DISCONNECT is longer than its fields')
  const parsed = parseValidated('disconnect', extent, version)
  return {
    type: 14,
    reasonCode: parsed.reasonCode ?? ReasonCode.Success,
    sessionExpiryIntervalSeconds: properties.sessionExpiryIntervalSeconds,
    reasonString: properties.reasonString,
    userProperties: properties.userProperties ?? noUserProperties,
    serverReference: properties.serverReference,
  }
}

/** Validates an AUTH, then decodes it. */
export function decodeAuth(extent: Extent, version: ProtocolVersion, maxUserProperties: number): AuthPacket {
  const cursor = new Cursor(extent.bytes, extent.body, extent.end)
  // An empty AUTH stands for success, which only servers declare (MQTT 5 section 3.15.2.1).
  const reasonCode = cursor.remaining === 0 ? ReasonCode.Success : cursor.byte()
  // MQTT-3.15.2-1
  if (reasonCode !== ReasonCode.ContinueAuthentication && reasonCode !== ReasonCode.ReAuthenticate) {
    violation('a client cannot send AUTH with this reason code')
  }
  const properties = readProperties(cursor, PropertyScope.Auth, maxUserProperties)
  if (cursor.remaining > 0) malformed('an AUTH is longer than its fields')
  if (properties.authenticationMethod === undefined) violation('an AUTH names no authentication method')
  const parsed = parseValidated('auth', extent, version)
  return {
    type: 15,
    reasonCode: parsed.reasonCode,
    authenticationMethod: properties.authenticationMethod,
    authenticationData: properties.authenticationData,
    reasonString: properties.reasonString,
    userProperties: properties.userProperties ?? noUserProperties,
  }
}
