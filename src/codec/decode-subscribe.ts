import type { ProtocolVersion, SubscribePacket, SubscriptionRequest, UnsubscribePacket } from '../messages.ts'
import { Cursor } from './cursor.ts'
import { malformed, violation } from './faults.ts'
import type { Extent } from './library-parser.ts'
import { parseValidated } from './library-parser.ts'
import type { Properties } from './properties.ts'
import { noProperties, noUserProperties, PropertyScope, readProperties } from './properties.ts'

const noLocalBit = 0x04
const retainAsPublishedBit = 0x08
const retainHandlingShift = 4

/** Reads a SUBSCRIBE but for the syntax of its filters, which the session answers one by one. */
export function decodeSubscribe(extent: Extent, version: ProtocolVersion, maxUserProperties: number): SubscribePacket {
  const cursor = new Cursor(extent.bytes, extent.body, extent.end)
  const packetId = readPacketId(cursor)
  const properties = readRequestProperties(cursor, PropertyScope.Subscribe, version, maxUserProperties)
  // MQTT-3.8.3-2
  if (cursor.remaining === 0) violation('a SUBSCRIBE has no topic filter')
  const subscriptions: SubscriptionRequest[] = []
  while (cursor.remaining > 0) {
    const filter = cursor.string()
    const options = cursor.byte()
    checkOptions(options, version, filter)
    subscriptions.push({
      filter,
      qos: (options & 3) as SubscriptionRequest['qos'],
      noLocal: (options & noLocalBit) !== 0,
      retainAsPublished: (options & retainAsPublishedBit) !== 0,
      retainHandling: (options >> retainHandlingShift) as SubscriptionRequest['retainHandling'],
    })
  }
  return {
    type: 8,
    packetId,
    subscriptions,
    subscriptionIdentifier: properties.subscriptionIdentifier,
    userProperties: properties.userProperties ?? noUserProperties,
  }
}

/** Validates an UNSUBSCRIBE but for the syntax of its filters, then decodes it. */
export function decodeUnsubscribe(
  extent: Extent,
  version: ProtocolVersion,
  maxUserProperties: number,
): UnsubscribePacket {
  const cursor = new Cursor(extent.bytes, extent.body, extent.end)
  readPacketId(cursor)
  const properties = readRequestProperties(cursor, PropertyScope.Unsubscribe, version, maxUserProperties)
  // MQTT-3.10.3-2
  if (cursor.remaining === 0) violation('an UNSUBSCRIBE has no topic filter')
  while (cursor.remaining > 0) cursor.skipString()
  const parsed = parseValidated('unsubscribe', extent, version)
  return {
    type: 10,
    packetId: parsed.messageId ?? 0,
    filters: parsed.unsubscriptions,
    userProperties: properties.userProperties ?? noUserProperties,
  }
}

function readPacketId(cursor: Cursor): number {
  const packetId = cursor.uint16()
  // MQTT-2.2.1-3
  if (packetId === 0) violation('the packet identifier is 0')
  return packetId
}

function readRequestProperties(
  cursor: Cursor,
  scope: typeof PropertyScope.Subscribe | typeof PropertyScope.Unsubscribe,
  version: ProtocolVersion,
  maxUserProperties: number,
): Readonly<Properties> {
  return version === 5 ? readProperties(cursor, scope, maxUserProperties) : noProperties
}

function checkOptions(options: number, version: ProtocolVersion, filter: string): void {
  if ((options & 0x03) === 3) {
    // MQTT 5 section 3.8.3.1 calls it a protocol error, MQTT-3.8.3-4 of 3.1.1 malformed.
    if (version === 5) violation('a subscription asks for QoS 3')
    malformed('a subscription asks for QoS 3')
  }
  // MQTT-3.8.3-5, and MQTT-3.8.3-4 of 3.1.1
  if (options & (version === 5 ? 0xc0 : 0xfc)) malformed('reserved bits of the subscription options are set')
  if (((options >> retainHandlingShift) & 3) === 3) violation('the retain handling of a subscription is 3')
  // MQTT-3.8.3-4
  if (options & noLocalBit && filter.startsWith('$share/')) violation('a shared subscription asks for No Local')
}
