import type { ConnectRequest, Grant } from '../src/hooks.ts'
import type { Decision } from '../src/inspection.ts'
import type { ConnectionInfo, ProtocolVersion, QoS } from '../src/messages.ts'
import type { TakeoverPolicy } from '../src/options.ts'
import type {
  Attributes,
  AttributeScope,
  AttributeValue,
  PropertySource,
  SessionProperties,
} from '../src/properties.ts'
import type { ReasonCode } from '../src/reason-codes.ts'

/** A will as the chart sees it: everything but the payload, which the session's host holds. */
export interface WillSummary {
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  readonly delaySeconds: number
  readonly payloadBytes: number
}

/** Why a session ended; the machine's output. */
export type SessionEnd =
  /** No CONNECT, or no end of the authentication, within `limits.connectTimeoutMs`. */
  | 'connect-timeout'
  /** The authenticator, a hook or a limit refused the CONNECT. */
  | 'refused'
  /** The peer broke the protocol. */
  | 'protocol-error'
  /** The connection went away without DISCONNECT. */
  | 'connection-lost'
  | 'keepalive-lost'
  | 'client-disconnect'
  | 'server-disconnect'
  /** The connection now belongs to the session that already lived under this client identifier. */
  | 'handed-over'
  /** A newer connection asked for a clean start, or took over a session that ends with its connection. */
  | 'replaced'
  /** The session expiry interval has passed. */
  | 'session-expired'
  /** `expire()` was called. */
  | 'administrative'
  /** The grant ended and nothing was left of its grace. */
  | 'grant-expired'
  /** The server took the grant away. */
  | 'revoked'
  | 'shutdown'

/** What a session begins with. */
export interface SessionInput {
  /** Unique for the life of the process; `clientId` is known from CONNECT on only. */
  readonly sessionId: string
  /** Broker time at which its first connection was accepted. */
  readonly startedAtMs: number
  readonly connection: ConnectionInfo
}

/** How a session has ended. */
export interface SessionOutput {
  readonly reason: SessionEnd
  readonly reasonCode: ReasonCode | undefined
}

/** What has become of the grant. */
export type Standing =
  /** It holds; during `limits.grantGraceMs` after its end too. The end of one whose session is offline is not watched. */
  | 'valid'
  /** It ended, grace included, while its client was online. */
  | 'expired'
  /** The server took it away. It gives no right, and its will is never sent. */
  | 'revoked'

/** What the chart of a session keeps: no secret, no payload, no socket. */
export interface SessionContext {
  readonly sessionId: string
  readonly startedAtMs: number
  /** The connection it has, or had last. */
  readonly connection: ConnectionInfo
  /** What the client said of itself in its last CONNECT. */
  readonly connect: ConnectRequest | undefined
  readonly grant: Grant | undefined
  readonly standing: Standing
  /** Written by the server, gone with the session. */
  readonly sessionAttributes: Attributes
  /** Written by the server, gone with the connection. */
  readonly connectionAttributes: Attributes
  readonly will: WillSummary | undefined
  /** As granted; DISCONNECT may change it. 0 ends with the connection, 4294967295 never expires. */
  readonly sessionExpiryIntervalSeconds: number
  /** Broker time at which an offline session expires; undefined while online or when it never does. */
  readonly expiresAtMs: number | undefined
  /** Connections it has had; fences what an earlier connection set off. */
  readonly epoch: number
  /** Whether the current connection found session state (Session Present). */
  readonly resumed: boolean
  readonly end: SessionOutput | undefined
}

/** Whose decision it was, for the history of a session. The chart goes by none of it. */
export interface Decided {
  /** Default: as the type of the event says, the operator's for `session.disconnect` and `session.revoke`. */
  readonly decision?: Decision
}

/** Who asked for it, where a person did: for the history of a session. The chart goes by none of it. */
export interface Operated {
  /** Name of the login. Default: nobody said. */
  readonly by?: string
}

/** Why a client is sent away. */
export interface Farewell extends Decided {
  readonly reasonCode: ReasonCode
  readonly reason: string
  /** With 0x9C or 0x9D: where to go instead. */
  readonly serverReference?: string
}

/** A decision against the client. */
export interface Denial extends Farewell {
  readonly type: 'denied'
}

/** What the `authenticate` actor finds out. Data of a challenge stays with the host. */
export type AuthenticationOutcome =
  | {
      readonly type: 'allowed'
      readonly grant: Grant
      /** Those that the session has at the moment of the change stay, with their sources (semantics 7.14). */
      readonly keepsProperties?: boolean
    }
  | Denial
  | ({ readonly type: 'challenged' } & Decided)

/** A newcomer and the session that lives under its client identifier. */
export interface Takeover {
  /** Undefined: anonymous. */
  readonly previousPrincipal: string | undefined
  readonly nextPrincipal: string | undefined
  readonly previousState: 'online' | 'offline'
  /** The option of the listener that the newcomer came through. */
  readonly policy: TakeoverPolicy
  /** `onTakeover` has allowed it, whoever owns the session. */
  readonly isAllowedByHook: boolean
}

/** What the `admit` actor finds out: `incumbent` is the session that it was decided against. */
export type AdmissionOutcome =
  | (Decided & {
      readonly type: 'admitted'
      readonly incumbent: string | undefined
      readonly sessionExpiryIntervalSeconds: number
      /** What the client asked for, under the client identifier that it gets. Default: as it was. */
      readonly connect?: ConnectRequest
      /** Where there is an incumbent. Default: nobody has to be asked. */
      readonly takeover?: Takeover
    })
  | Denial

/** What a newcomer hands to the session that already lives. */
export interface Handover extends Decided {
  readonly connection: ConnectionInfo
  readonly connect: ConnectRequest
  readonly grant: Grant
  readonly will: WillSummary | undefined
  readonly sessionExpiryIntervalSeconds: number
}

/** What the chart of a session is told. */
export type SessionEvent =
  | { readonly type: 'packet.connect'; readonly connect: ConnectRequest; readonly will: WillSummary | undefined }
  | { readonly type: 'packet.auth'; readonly reasonCode: number; readonly authenticationMethod: string | undefined }
  | {
      readonly type: 'packet.disconnect'
      readonly reasonCode: number
      readonly sessionExpiryIntervalSeconds: number | undefined
    }
  /** The stream ended. */
  | ({ readonly type: 'connection.closed' } & Decided)
  /** The codec or the session found that the peer broke the protocol. */
  | {
      readonly type: 'connection.failed'
      readonly reasonCode: ReasonCode
      readonly reason: string
      readonly silent: boolean
    }
  | { readonly type: 'keepalive.lost' }
  | { readonly type: 'deadline.connect' }
  | { readonly type: 'deadline.authentication' }
  | { readonly type: 'deadline.session' }
  /** A newcomer was admitted while this session was offline. */
  | ({ readonly type: 'session.resume' } & Handover)
  /** A newcomer was admitted while this session was online. */
  | ({ readonly type: 'session.takeover' } & Handover)
  /** A newcomer starts afresh under this client identifier. */
  | ({ readonly type: 'session.discard' } & Decided)
  | ({ readonly type: 'session.disconnect' } & Farewell & Operated)
  | ({ readonly type: 'session.expire' } & Operated)
  /** The grant is about to end. */
  | { readonly type: 'deadline.expiring' }
  /** It has ended; in its grace: that is over too. */
  | { readonly type: 'deadline.grant' }
  /** The connection has lasted as long as it may. */
  | { readonly type: 'deadline.connection' }
  /** Raised by the chart itself: a re-authentication has succeeded, its grant is in the context. */
  | { readonly type: 'grant.renewed' }
  /** Raised by the chart itself. */
  | ({ readonly type: 'reauthentication.failed' } & Farewell)
  /** The server takes the grant away. */
  | ({ readonly type: 'session.revoke'; readonly reason: string } & Decided & Operated)
  | ({ readonly type: 'roles.change'; readonly roles: readonly string[] } & Operated)
  /** All properties that the session has from now on, with who gave them. */
  | ({
      readonly type: 'properties.change'
      readonly properties: SessionProperties
      readonly propertySources: Readonly<Record<string, PropertySource>>
    } & Operated)
  /** All attributes that the scope has from now on. */
  | { readonly type: 'attributes.change'; readonly scope: AttributeScope; readonly attributes: Attributes }
  | { readonly type: 'delivery.ready' }
  | { readonly type: 'delivery.blocked' }
  | { readonly type: 'delivery.drained' }
  | { readonly type: 'will.settled' }
  | { readonly type: 'broker.drain' }
  /** One of your own, for states of your own (`extendSession`); the chart that comes with the broker has no use for any. */
  | { readonly type: `custom.${string}`; readonly details?: unknown }

/** By name: the value now and before; undefined where there is none. */
export type Changes<T> = Readonly<Record<string, { readonly value: T | undefined; readonly previous: T | undefined }>>

/** What the chart of a session tells whoever listens to its actor. */
export type SessionEmitted =
  | {
      readonly type: 'session.online'
      readonly resumed: boolean
      readonly grant: Grant
      readonly protocolVersion: ProtocolVersion
      readonly connection: ConnectionInfo
    }
  | { readonly type: 'session.offline'; readonly cause: SessionEvent['type'] }
  | { readonly type: 'session.taken-over' }
  | { readonly type: 'session.refused'; readonly reasonCode: ReasonCode; readonly reason: string }
  | { readonly type: 'session.reauthenticated'; readonly grant: Grant }
  | { readonly type: 'session.reauthentication-failed'; readonly reasonCode: ReasonCode; readonly reason: string }
  | { readonly type: 'authority.expiring'; readonly expiresAtMs: number }
  | { readonly type: 'authority.expired' }
  | { readonly type: 'authority.revoked'; readonly reason: string }
  | { readonly type: 'roles.changed'; readonly roles: readonly string[]; readonly previous: readonly string[] }
  | { readonly type: 'properties.changed'; readonly changes: Changes<string> }
  | { readonly type: 'attributes.changed'; readonly scope: AttributeScope; readonly changes: Changes<AttributeValue> }
  /** An event that the current state has no use for, and says so instead of losing it silently. */
  | { readonly type: 'session.ignored'; readonly event: SessionEvent['type'] }
