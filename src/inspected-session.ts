import type { SessionState } from './events.ts'
import type { Grant } from './hooks.ts'
import type { ConnectionInfo, ProtocolVersion, QoS } from './messages.ts'
import type { Attributes, AttributeScope, FixedProperties, PropertySource } from './properties.ts'
import type { DecidingPermission } from './roles.ts'

export type SessionSort =
  | 'clientId'
  | 'principal'
  | 'state'
  | 'connectedAtMs'
  | 'queuedMessages'
  | 'inflightMessages'
  | 'subscriptions'
  | 'address'

export interface SessionQuery {
  /** The filter language of docs/sessions.md; empty: all. */
  readonly filter: string
  readonly sort: SessionSort
  readonly descending: boolean
  readonly offset: number
  /** At most 1,000. */
  readonly limit: number
}

/** A row of the table. */
export interface SessionRow {
  readonly clientId: string
  readonly sessionId: string
  readonly state: SessionState
  readonly principal: string | null
  readonly roles: readonly string[]
  readonly listener: string
  readonly address: string
  readonly protocolVersion: ProtocolVersion | null
  /** When it got its connection, or had it last. */
  readonly connectedAtMs: number
  readonly expiresAtMs: number | null
  readonly subscriptions: number
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly inflightMessages: number
}

export interface SessionPage {
  /** How many the filter selects. */
  readonly total: number
  readonly offset: number
  readonly rows: readonly SessionRow[]
}

export interface SessionDetail extends SessionRow {
  /** Paths of the active leaves of its chart. */
  readonly active: readonly string[]
  readonly grant: Grant | null
  readonly standing: 'valid' | 'expired' | 'revoked'
  readonly connection: ConnectionInfo
  readonly connect: {
    readonly cleanStart: boolean
    /** As granted. */
    readonly keepAliveSeconds: number
    readonly authenticationMethod: string | null
    /** What the client sent of itself: hostile text. */
    readonly userProperties: readonly (readonly [string, string])[]
  } | null
  /** QoS 1 and 2 messages that may be unacknowledged towards it; null: it is offline. */
  readonly maxInflightMessages: number | null
  readonly sessionExpiryIntervalSeconds: number
  readonly epoch: number
  readonly resumed: boolean
  readonly isPersistent: boolean
  readonly properties: readonly {
    readonly name: string
    readonly value: string
    readonly source: PropertySource | 'fixed'
  }[]
  readonly fixedProperties: FixedProperties
  readonly attributes: Readonly<Record<AttributeScope, Attributes>>
  /** `limits.maxInspectedRows` at most, and as many of `inflight`. */
  readonly subscriptionList: readonly SubscriptionDetail[]
  readonly inflight: readonly InflightDetail[]
  readonly queue: {
    readonly messages: number
    readonly bytes: number
    /** When the first that waits came; null: nothing waits, or it is not known. */
    readonly oldestAtMs: number | null
    /** The first of them, without payloads. */
    readonly first: readonly QueuedDetail[]
  }
  readonly will: WillDetail | null
  readonly deadlines: readonly { readonly name: string; readonly atMs: number }[]
}

export interface SubscriptionDetail {
  readonly filter: string
  readonly requestedQoS: QoS
  /** null: it is withheld. */
  readonly grantedQoS: QoS | null
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
  readonly subscriptionIdentifier: number | null
  readonly share: string | null
  /** What a hook has put in place of the client's filter; null: nothing. */
  readonly replacedBy: string | null
  /** Why less is granted than was requested, or a part of what it matches is kept back, in words; null: nothing is. */
  readonly withheld: string | null
}

export interface InflightDetail {
  readonly direction: 'to-client' | 'from-client'
  readonly packetId: number
  readonly topic: string | null
  readonly qos: QoS
  readonly step: 'awaiting-puback' | 'awaiting-pubrec' | 'awaiting-pubcomp' | 'awaiting-pubrel'
  /** When it was sent or came; null: not known. */
  readonly sinceMs: number | null
}

export interface QueuedDetail {
  readonly topic: string
  readonly qos: QoS
  readonly payloadBytes: number
  readonly sinceMs: number | null
  readonly expiresAtMs: number | null
}

export interface WillDetail {
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  readonly delaySeconds: number
  readonly payloadBytes: number
  readonly state: 'armed' | 'delayed'
  readonly dueAtMs: number | null
  /** What would become of it if it fired now, by the roles and the grant of now; hooks are not asked. */
  readonly ifFiredNow: {
    readonly verdict: 'publish' | 'withhold'
    readonly reason: string
    readonly rule: DecidingPermission | null
  }
}
