import type { DropReason } from '../events.ts'
import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { DeliveryGroup } from '../router/subscriber.ts'
import type { TurnClock } from '../router/turn-clock.ts'
import type { Connection } from './connection.ts'
import type { Keeper } from './keeper.ts'

/** What an outbound side needs to know of its session. */
export interface OutboundHost {
  /** Undefined while offline. */
  readonly connection: Connection | undefined
  /** The session is online and awake; false while it is throttled. */
  readonly isFlowing: boolean
  /** What its client may receive is to be asked about each message that waits. */
  readonly checksMessages: boolean
  /** The highest QoS, `qos` at most, at which the client may have a message; undefined: it may not. */
  mayReceive(topic: string, qos: QoS, group: string | undefined): QoS | undefined
  nowMs(): number
  /** When messages are sent. */
  readonly turn: TurnClock
  /** A message that was for the client is given up, since it may not have it any more. */
  denied(publication: Publication, qos: QoS, group: string | undefined): void
  dropped(publication: Publication, qos: QoS, reason: DropReason): void
  acknowledged(publication: Publication, qos: QoS): void
  /** A message waits for a client that is away. */
  queuedOffline(publication: Publication, qos: QoS): void
  /** The outbox is full and the policy is to disconnect. */
  overflowed(): void
  /** The window or the outbox has room again: whoever feeds it may go on. */
  hasRoom(): void
  /** What the session tells the store; undefined where nothing of it is kept. */
  readonly keeper: Keeper | undefined
  /** The same for new messages: undefined where they end with the connection. */
  readonly messageKeeper: Keeper | undefined
  /** Somebody wants to know of each message that is dropped. */
  readonly observesDrops: boolean
  /** The shared subscription that the store knows as `group/filter`. */
  groupOf(shared: string): DeliveryGroup
  /** Messages came out of the store: they can go out. */
  pump(): void
  /** What was done behind the client's back threw. */
  handlerFailed(error: unknown): void
  /** What is sent from here on in this turn waits until the store has what was written. */
  holdAnswers(): void
}

export interface OutboundLimits {
  readonly maxQueuedMessages: number
  readonly maxQueuedBytes: number
  readonly maxBufferedMessages: number
  readonly maxBufferedBytes: number
}
