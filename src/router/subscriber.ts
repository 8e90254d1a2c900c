import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'

/** Whom a message of a shared subscription goes back to when its member can't take it. */
export interface DeliveryGroup {
  readonly name: string
  /** What a store knows it by: `group/filter`. */
  readonly shared: string
  /** Gives the message to another member; false when there is none. */
  redeliver(publication: Publication): boolean
  /** The same for a message that nobody else could take: it stays with its member. */
  readonly alone: DeliveryGroup
}

/** A shared group of which nobody else can take a message any more: rights are still those of the group. */
export function onlyMember(shared: string): DeliveryGroup {
  const alone: DeliveryGroup = {
    name: shared.slice(0, shared.indexOf('/')),
    shared,
    redeliver: () => false,
    get alone() {
      return alone
    },
  }
  return alone
}

/**
 * Who takes messages from the router: a session, or an in-process observer. The four merge fields
 * are the router's scratch space while it gathers the overlapping subscriptions of one message.
 */
export interface Subscriber {
  readonly clientId: string
  /** In-process observers are not counted as sessions reached. */
  readonly isSession: boolean
  /** For shared subscriptions: whether it can take a message now. */
  readonly isAvailable: boolean
  /** For shared subscriptions: whether it may have any message at all. */
  readonly hasRights: boolean
  /** For shared subscriptions: messages in flight and waiting. */
  readonly load: number
  /** What it may receive is to be asked about each message. */
  readonly checksMessages: boolean
  /** The highest QoS, `qos` at most, at which it may have a message; undefined: it may not. */
  mayReceive(topic: string, qos: QoS, group: string | undefined): QoS | undefined
  mergeStamp: number
  mergeQoS: QoS
  mergeRetain: boolean
  mergeIdentifiers: number[] | undefined
  deliver(
    publication: Publication,
    qos: QoS,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
    group: DeliveryGroup | undefined,
  ): void
}
