import type { DropReason } from '../events.ts'
import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { OutboundHost } from './outbound-host.ts'
import type { Delivery } from './outbox.ts'

/** A message of the line is not this client's any more: acknowledged, given up, or given to others. */
export function leave(host: OutboundHost, place: number): void {
  if (place > 0) host.keeper?.settle(place)
}

/** Whether a message has expired; if so, that is told. */
export function isExpired(host: OutboundHost, publication: Publication, qos: QoS): boolean {
  if (publication.expiresAtMs === Infinity || publication.expiresAtMs > host.nowMs()) return false
  host.dropped(publication, qos, 'expired')
  return true
}

/** The message as the client may have it; undefined: it may not, and the message has gone elsewhere or is given up. */
export function permitted(host: OutboundHost, waiting: Delivery): Delivery | undefined {
  const { publication, group } = waiting
  const qos = host.mayReceive(publication.ownTopic ?? publication.topic, waiting.qos, group?.name)
  if (qos === waiting.qos) return waiting
  if (qos !== undefined) return { ...waiting, qos }
  leave(host, waiting.place)
  if (!group?.redeliver(publication)) host.denied(publication, waiting.qos, group?.name)
  return undefined
}

export type Gone = Pick<Delivery, 'publication' | 'qos' | 'group'>

/** A message whose session can't have it any more: another member of its group takes it, or it is dropped. */
export function giveAway(
  host: OutboundHost,
  { publication, qos, group }: Gone,
  reason: DropReason,
  mayGoToOthers: boolean,
): void {
  if (mayGoToOthers && group?.redeliver(publication)) return
  host.dropped(publication, qos, reason)
}
