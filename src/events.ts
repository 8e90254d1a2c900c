import type { Counters } from './counters.ts'
import type { Ban, BanEnd } from './bans.ts'
import type { Grant } from './hooks.ts'
import type { ConnectionInfo, ProtocolVersion, QoS, Transport } from './messages.ts'
import type { AttributeScope, AttributeValue } from './properties.ts'
import type { ReasonCode } from './reason-codes.ts'
import type { DecidingPermission } from './roles.ts'

/** Top-level states of a session machine. */
export type SessionState = 'connecting' | 'authenticating' | 'enhanced-auth' | 'online' | 'offline' | 'expired'

/** Why a message did not reach a subscriber. */
export type DropReason =
  /** The outbox was full and its policy gave this message up. */
  | 'queue-full'
  /** Its expiry interval passed before delivery (MQTT-3.3.2-5). */
  | 'expired'
  /** Larger than the client's Maximum Packet Size (MQTT-3.1.2-25). */
  | 'too-large'
  /** QoS 0 for a session without a connection. */
  | 'offline'
  /** A hook or a permission refused it. */
  | 'denied'
  /** The store has no room, or failed: a persistent session can't have it. */
  | 'store-full'
  /** The retained store is full; live subscribers still got it. */
  | 'retained-full'
  /** A slow in-process observer of `broker.messages`. */
  | 'observer-slow'
  /** The session ended with messages waiting. */
  | 'session-ended'
  /** An operator emptied the queue. */
  | 'administrative'

interface OfSession {
  readonly sessionId: string
  /** Empty before CONNECT. */
  readonly clientId: string
}

/**
 * Everything that happens in a broker, as one typed stream (`broker.events$`). Events carry no
 * payloads and no secrets. `atMs` is broker time.
 */
export type BrokerEvent = { readonly atMs: number } & (
  | { readonly type: 'broker.state'; readonly state: 'starting' | 'running' | 'draining' | 'stopped' }
  | { readonly type: 'listener.opened' | 'listener.closed'; readonly listener: string; readonly transport: Transport }
  | ({ readonly type: 'connection.opened'; readonly connection: ConnectionInfo } & OfSession)
  | { readonly type: 'connection.refused'; readonly connection: ConnectionInfo; readonly reason: string }
  | ({
      readonly type: 'session.transition'
      readonly from: SessionState
      readonly to: SessionState
      /** The event that caused it, or empty for the first. */
      readonly cause: string
    } & OfSession)
  | ({
      readonly type: 'session.online'
      readonly resumed: boolean
      readonly grant: Grant
      readonly protocolVersion: ProtocolVersion
      readonly connection: ConnectionInfo
    } & OfSession)
  /** Just before `session.online`: what was left for the client, and is about to go out. */
  | ({
      readonly type: 'session.woken'
      readonly queuedMessages: number
      readonly inflightMessages: number
    } & OfSession)
  | ({ readonly type: 'session.offline'; readonly cause: string } & OfSession)
  /** A session that was online ended together with its connection. */
  | ({
      readonly type: 'session.gone'
      readonly reason: string
      readonly reasonCode: ReasonCode | undefined
    } & OfSession)
  | ({
      readonly type: 'session.expired'
      readonly reason: string
      readonly reasonCode: ReasonCode | undefined
    } & OfSession)
  | ({ readonly type: 'session.refused'; readonly reasonCode: ReasonCode; readonly reason: string } & OfSession)
  | ({ readonly type: 'session.taken-over' } & OfSession)
  | ({ readonly type: 'session.reauthenticated'; readonly grant: Grant } & OfSession)
  /** A re-authentication failed; whether the client stays is `failedReauthentication`'s to say. */
  | ({
      readonly type: 'session.reauthentication-failed'
      readonly reasonCode: ReasonCode
      readonly reason: string
    } & OfSession)
  /** The grant ends at `expiresAtMs` unless it is renewed. */
  | ({ readonly type: 'authority.expiring'; readonly expiresAtMs: number } & OfSession)
  /** The grant has ended, grace included. */
  | ({ readonly type: 'authority.expired' } & OfSession)
  | ({ readonly type: 'authority.revoked'; readonly reason: string } & OfSession)
  | ({
      readonly type: 'roles.changed'
      readonly roles: readonly string[]
      readonly previous: readonly string[]
    } & OfSession)
  /** What changed, with the values before; undefined: there was none, or there is none any more. */
  | ({
      readonly type: 'properties.changed'
      readonly changes: Readonly<
        Record<string, { readonly value: string | undefined; readonly previous: string | undefined }>
      >
    } & OfSession)
  | ({
      readonly type: 'attributes.changed'
      readonly scope: AttributeScope
      readonly changes: Readonly<
        Record<string, { readonly value: AttributeValue | undefined; readonly previous: AttributeValue | undefined }>
      >
    } & OfSession)
  /** The role definitions changed; every session is looked at again. */
  | { readonly type: 'policy.changed'; readonly policyVersion: number }
  | ({ readonly type: 'session.ignored'; readonly event: string; readonly state: SessionState } & OfSession)
  /** An implementation or a handler threw: this session ended, nobody else noticed. */
  | ({ readonly type: 'session.failed'; readonly error: unknown } & OfSession)
  | ({ readonly type: 'subscription.added'; readonly filter: string; readonly qos: QoS } & OfSession)
  | ({ readonly type: 'subscription.removed'; readonly filter: string } & OfSession)
  | {
      readonly type: 'message.published'
      readonly clientId: string
      readonly topic: string
      readonly qos: QoS
      readonly retain: boolean
      readonly payloadBytes: number
      /** Sessions that it was given to. */
      readonly reached: number
    }
  | { readonly type: 'message.acknowledged'; readonly clientId: string; readonly topic: string; readonly qos: QoS }
  /** It waits for a session that is offline. */
  | { readonly type: 'message.queued'; readonly clientId: string; readonly topic: string; readonly qos: QoS }
  | {
      readonly type: 'message.dropped'
      readonly clientId: string
      readonly topic: string
      readonly qos: QoS
      readonly reason: DropReason
      /** The permission that denied it; absent where none allowed it. */
      readonly rule?: DecidingPermission
    }
  | ({ readonly type: 'will.armed' | 'will.published' | 'will.cancelled'; readonly topic: string } & OfSession)
  | ({ readonly type: 'will.delayed'; readonly topic: string; readonly dueAtMs: number } & OfSession)
  | ({
      readonly type: 'will.withheld'
      readonly topic: string
      readonly reason: string
      /** The permission that denied it; absent where none allowed it, or it was not about permissions. */
      readonly rule?: DecidingPermission
    } & OfSession)
  | { readonly type: 'ban.added'; readonly ban: Ban }
  | { readonly type: 'ban.removed'; readonly ban: Ban; readonly cause: BanEnd }
  /** Clients are sent away, and nobody else is let in. */
  | { readonly type: 'drain.started'; readonly serverReference: string | null; readonly perSecond: number }
  /** `cancelled`: somebody had the broker take connections again, or drain in another way. */
  | { readonly type: 'drain.ended'; readonly sessions: number; readonly cause: 'done' | 'cancelled' }
  /** A decision hook said no. */
  | {
      readonly type: 'hook.denied'
      readonly hook: string
      /** Name of the plugin, where it has one. */
      readonly plugin?: string
      readonly clientId: string
      readonly reasonCode: ReasonCode
      readonly reason: string
    }
  /** A decision hook threw, was late or gave no verdict, which counts as no; or an observer threw, of which one a second is told. */
  | {
      readonly type: 'hook.failed'
      readonly hook: string
      readonly plugin?: string
      readonly clientId: string
      readonly error: unknown
    }
  /** A plugin's observers do not keep up: told at the first call that is lost, and with all of them once none waits. */
  | { readonly type: 'hook.overflowed'; readonly hook: string; readonly plugin?: string; readonly lostCalls: number }
)

/** The events of one type. */
export type EventOf<Type extends BrokerEvent['type']> = OfType<BrokerEvent, Type>
type OfType<E, Type> = E extends { readonly type: infer Known }
  ? Type extends Known
    ? E & { readonly type: Type }
    : never
  : never

type WithoutTime<E> = E extends unknown ? Omit<E, 'atMs'> : never

/** An event before the broker has put the time on it. */
export type BrokerEventInput = WithoutTime<BrokerEvent>

/** Where the rooms report what happens. */
export interface EventSink {
  /** False while nobody looks: frequent events are then not even made. */
  readonly observed: boolean
  /** What is counted whether or not somebody looks. */
  readonly counters: Counters
  emit(event: BrokerEventInput): void
}
