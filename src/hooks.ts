import type {
  ConnectionInfo,
  Message,
  MessageProperties,
  ProtocolVersion,
  QoS,
  SubscriptionRequest,
  UserProperties,
} from './messages.ts'
import type { ObserverHooks } from './observers.ts'
import type { GrantLimits } from './limits.ts'
import type { GrantFeatures } from './options.ts'
import type { FixedProperties, PropertySource, SessionProperties } from './properties.ts'
import { isFailure, type FailureReasonCode } from './reason-codes.ts'

/**
 * Who a session is, decided once per CONNECT by an authenticator and changed by the server only.
 * It carries no secret, is frozen, and lives in the session machine's context.
 */
export interface Grant {
  /** Undefined: anonymous. */
  readonly principal: string | undefined
  readonly roles: readonly string[]
  /** Name of the authenticator that decided. */
  readonly authenticator: string
  /** The MQTT 5 authentication method, where one was used. */
  readonly method: string | undefined
  /** Broker time, milliseconds since the epoch. */
  readonly authenticatedAtMs: number
  /** Broker time at which it ends; undefined: never. */
  readonly expiresAtMs: number | undefined
  /** Version of the role definitions at the time of the grant; see `Broker.policyVersion`. */
  readonly policyVersion: number
  /** User-defined session properties, and the fixed ones that the authenticator set. */
  readonly properties: SessionProperties
  /** Who gave each of them; the same names. */
  readonly propertySources: Readonly<Record<string, PropertySource>>
}

/** Accepts the client. What is left out keeps its default. */
export interface Allow {
  readonly type: 'allow'
  /**
   * Default: the user name, if one was sent; none with an authentication method, whose result is what names the client
   * (semantics 7.9). There it has to be the user name, if one was sent (`BrokerOptions.enhancedUsername`).
   */
  readonly principal?: string
  /** Default: none. */
  readonly roles?: readonly string[]
  /**
   * User-defined session properties, all of them: what the client proposed counts only where it is
   * repeated here. `$Country`, `$Language`, `$Latitude` and `$Longitude` may be set too. Default: none;
   * in a re-authentication see `BrokerOptions.reauthenticationProperties`.
   */
  readonly properties?: Readonly<Record<string, string>>
  /** When the grant ends, milliseconds since the epoch. Default: never. */
  readonly expiresAtMs?: number
  /** Limits of this session in place of its listener's; CONNACK tells the client. */
  readonly limits?: GrantLimits
  /** What is offered to this session in place of what the broker offers; CONNACK tells the client. */
  readonly connack?: GrantFeatures
  /** Sent with the CONNACK, or with AUTH 0x00 after a re-authentication (MQTT 5). */
  readonly authenticationData?: Uint8Array
  /**
   * Names what the client has proved, such as one version of a password, for {@link Authenticator.review}: text of at most
   * 256 bytes that is no secret itself. Kept in memory for as long as the connection, and shown to nobody.
   */
  readonly credential?: string
}

/** A grant that its authenticator looks at again. */
export interface GrantReview {
  readonly grant: Grant
  /** The connection that the session has, or had last. */
  readonly connection: ConnectionInfo
  /** `Allow.credential` of the connection that there is; undefined: none was given, or there is no connection. */
  readonly credential: string | undefined
}

/**
 * What becomes of a grant that was looked at again. `withdrawn`: it is taken away as by `sessions.revoke`. `outdated`: the
 * principal is still trusted, its connection is not, and ends with DISCONNECT 0x87; the session stays what it is.
 */
export type GrantVerdict = 'holds' | 'outdated' | 'withdrawn'

/** Refuses: the code goes to an MQTT 5 client as it is, to older ones as the nearest return code. */
export interface Deny {
  readonly type: 'deny'
  readonly reasonCode: FailureReasonCode
  /** For the operator's log and, where the client wants problem information, for the client. */
  readonly reason: string
  /** With 0x9C or 0x9D: where to go instead. */
  readonly serverReference?: string
}

/** Has no opinion: the next one in the chain decides. */
export interface Next {
  readonly type: 'next'
}

/** Asks for another round of the exchange: sends AUTH 0x18 with this data. */
export interface Challenge {
  readonly type: 'challenge'
  readonly authenticationData?: Uint8Array
}

/** What an authenticator answers. */
export type Verdict = Allow | Deny | Next | Challenge

/** Lets pass: a client, a takeover, a message or a subscription, by what is given. */
export function allow(details?: Omit<Allow, 'type'>): Allow
export function allow(details: Omit<AllowTakeover, 'type'>): AllowTakeover
export function allow(details: Omit<AllowPublish, 'type'>): AllowPublish
export function allow(details: Omit<AllowSubscription, 'type'>): AllowSubscription
export function allow(details: object = {}): Allow | AllowTakeover | AllowPublish | AllowSubscription {
  return { type: 'allow', ...details }
}

/** Throws a TypeError for a code that does not mean failure, which as any failure of a hook is a refusal with 0x87. */
export function deny(reasonCode: FailureReasonCode, reason: string, serverReference?: string): Deny {
  if (!isFailure(reasonCode)) throw new TypeError(`reason code ${String(reasonCode)} does not mean failure`)
  return serverReference === undefined
    ? { type: 'deny', reasonCode, reason }
    : { type: 'deny', reasonCode, reason, serverReference }
}

/** Has no opinion: the next one in the chain decides. */
export function next(): Next {
  return { type: 'next' }
}

/** Asks for another round of the exchange, with AUTH 0x18. */
export function challenge(authenticationData?: Uint8Array): Challenge {
  return authenticationData ? { type: 'challenge', authenticationData } : { type: 'challenge' }
}

/** Whether a hook takes its time. Most don't, and what is decided at once need not wait a turn. */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value
}

/** What a client says of itself in CONNECT, without its secrets: safe to log, store and show. */
export interface ConnectRequest {
  readonly clientId: string
  readonly protocolVersion: ProtocolVersion
  readonly username: string | undefined
  readonly cleanStart: boolean
  readonly keepAliveSeconds: number
  readonly sessionExpiryIntervalSeconds: number
  readonly authenticationMethod: string | undefined
  readonly userProperties: UserProperties
  readonly connection: ConnectionInfo
}

/** Kinds of channel binding that a TLS connection may have. */
export type ChannelBindingType = 'tls-exporter' | 'tls-unique' | 'tls-server-end-point'

/** What an authenticator gets. `password` and `authenticationData` are its to read, not to keep. */
export interface AuthenticationRequest extends ConnectRequest {
  /** Of the actor that asks; a client that resumes a session goes on under that one's. */
  readonly sessionId: string
  /** What the broker knows of the session: `$SessionId`, `$ClientIP` and so on, after the first grant also its own. */
  readonly fixedProperties: FixedProperties
  /** User properties of CONNECT that begin with `BrokerOptions.proposedPropertyPrefix`, without it. Null prototype. */
  readonly proposedProperties: SessionProperties
  readonly password: Buffer | undefined
  /** Data of the CONNECT or of the last AUTH packet. */
  readonly authenticationData: Buffer | undefined
  /** 0 for the CONNECT (or the AUTH 0x19 that opens a re-authentication), then one more per round. */
  readonly round: number
  /** True when an online client authenticates again; `grant` is then the one it has. */
  readonly reauthentication: boolean
  readonly grant: Grant | undefined
  /** Scratch space of this exchange: the same object in every round, gone with the exchange. */
  readonly exchange: Map<string, unknown>
  /**
   * The channel binding of the TLS connection (RFC 5929, RFC 9266); undefined where there is none of
   * that type.
   */
  channelBinding(type: ChannelBindingType): Buffer | undefined
  /** Aborted when the connection or the time limit ends first. */
  readonly signal: AbortSignal
}

/**
 * Decides who a client is. Authenticators are asked in order; the first verdict that is not
 * {@link next} stands, and when all abstain the client is refused with 0x87.
 */
export interface Authenticator {
  /** Shown in grants, events and logs. */
  readonly name: string
  /** MQTT 5 authentication methods that it speaks. Default: none, it is asked about CONNECTs without a method. */
  readonly methods?: readonly string[]
  /** Whether it is asked about CONNECTs without a method. Default: where it has no `methods`. */
  readonly withoutMethod?: boolean
  /** It judges a User Name beside an authentication method itself; `BrokerOptions.enhancedUsername` does not apply. Default false. */
  readonly comparesUsername?: boolean
  authenticate(request: AuthenticationRequest): Verdict | Promise<Verdict>
  /**
   * Whether a grant under this name still holds, by what is known now. It is asked about each of them when `follow` has
   * told of a change, when a reload of options has brought an authenticator of this name, and when a listener gets its
   * sessions back from the store. One that fails changes nothing. Default: grants hold until they end.
   */
  review?(review: GrantReview): GrantVerdict
  /**
   * Called by each broker that uses it. `changed` says that `review` may answer differently now, and resolves when every
   * session has been looked at. Gives what ends it.
   */
  follow?(changed: () => Promise<void>): () => void
  /** A grant of this principal was revoked, whoever gave it: no answer that is remembered lets it in again. */
  forget?(principal: string | undefined): void
  /** Called when no listener uses it any more: files and timers end. */
  close?(): void | Promise<void>
}

/** The session that a hook is called for. */
export interface HookClient {
  readonly clientId: string
  readonly sessionId: string
  readonly protocolVersion: ProtocolVersion
  readonly grant: Grant
  readonly connection: ConnectionInfo
}

/** A message that a hook decides on. */
export interface PublishRequest {
  readonly message: Message
  /** Also called for wills, with the session's own grant. */
  readonly will: boolean
}

/** Lets another connection have a session, whoever owns it. */
export interface AllowTakeover {
  readonly type: 'allow'
  /** The newcomer starts afresh; the session that was there ends. Default false. */
  readonly cleanStart?: boolean
}

/** Lets a delivery pass, changed where fields are given. */
export interface AllowMessage {
  readonly type: 'allow'
  readonly topic?: string
  readonly payload?: Uint8Array
  /** All of them: what is not repeated here is gone. */
  readonly properties?: Readonly<MessageProperties>
}

/** Lets a PUBLISH or a will pass, changed where fields are given. */
export interface AllowPublish extends AllowMessage {
  /** With which it is routed; the client is answered as it asked. */
  readonly qos?: QoS
  readonly retain?: boolean
  /** The client is read again only after so many milliseconds, 3,600,000 at most. No effect on a will. */
  readonly throttleMs?: number
}

/** What `onSubscribe` lets a client have instead of what it asked for. */
export interface AllowSubscription {
  readonly type: 'allow'
  /** Replaces the filter that is subscribed; the client goes on using its own. */
  readonly filter?: string
  /** Caps the granted QoS. */
  readonly qos?: QoS
}

/** What `onUnsubscribe` ends instead of what the client asked for. */
export interface AllowUnsubscription {
  readonly type: 'allow'
  /** The subscription that is removed instead, by the name that the client gave it. */
  readonly filter?: string
}

/**
 * The points at which an embedder decides, in the order of a session's life. They are awaited, all
 * plugins of one point together within `limits.decisionTimeoutMs`, and deny when they throw or are
 * late; while one is pending its connection is not read, so order is kept.
 */
export interface DecisionHooks {
  /** A socket was accepted, nothing was read yet. Deny closes it without a byte. */
  onConnection?(connection: ConnectionInfo): Next | Deny | Promise<Next | Deny>
  /**
   * The client is authenticated, nothing has changed yet: last word before takeover and session.
   * Deny with 0x9C or 0x9D and a server reference redirects it.
   */
  onRegister?(request: ConnectRequest, grant: Grant): Next | Deny | Promise<Next | Deny>
  /** A session lives under this client identifier. `next`: `BrokerOptions.takeover` decides. */
  onTakeover?(
    request: ConnectRequest,
    next: Grant,
    previous: HookClient,
  ): Next | Deny | AllowTakeover | Promise<Next | Deny | AllowTakeover>
  /** One filter of a SUBSCRIBE. */
  onSubscribe?(
    subscription: SubscriptionRequest,
    client: HookClient,
  ): Next | Deny | AllowSubscription | Promise<Next | Deny | AllowSubscription>
  /** A PUBLISH came in; for a will: a CONNECT brings it, and again when it is due. */
  onPublish?(
    request: PublishRequest,
    client: HookClient,
  ): Next | Deny | AllowPublish | Promise<Next | Deny | AllowPublish>
  /** A message is about to be put into a session's outbox. Synchronous: it is on the hot path. */
  onDeliver?(message: Message, client: HookClient): Next | Deny | AllowMessage
  /** One filter of an UNSUBSCRIBE, before it is removed. It can't be refused; nothing returned is `next`. */
  onUnsubscribe?(
    filter: string,
    client: HookClient,
  ): void | Next | AllowUnsubscription | Promise<void | Next | AllowUnsubscription>
}

/**
 * A plugin: what an embedder decides and observes. Several are asked in their order, and the first
 * verdict but `next` stands; one that allows with changes passes the changed thing on to the next
 * one. See `docs/hooks.md`.
 */
export interface Hooks extends DecisionHooks, ObserverHooks {
  /** Shown in events and by `explain`. */
  readonly name?: string
}
