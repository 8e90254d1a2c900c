import type { Server as HttpServer } from 'node:http'
import { isIPv4 } from 'node:net'

import type { SessionMachine } from '../machines/session.machine.ts'
import type { BanInput } from './bans.ts'
import type { Authenticator, Hooks } from './hooks.ts'
import type { Limits } from './limits.ts'
import type { QoS, UserProperties } from './messages.ts'
import type { PartialSubscriptions, RoleDefinitions } from './roles.ts'

/** What an authenticator may offer one session, in place of what the broker offers all. */
export interface GrantFeatures {
  readonly maximumQoS?: QoS
  readonly retainAvailable?: boolean
  readonly wildcardSubscriptionAvailable?: boolean
  readonly subscriptionIdentifiersAvailable?: boolean
  readonly sharedSubscriptionAvailable?: boolean
  /** How a member is chosen for what this session publishes. */
  readonly sharedSubscriptionStrategy?: SharedSubscriptionStrategy
  readonly overflowPolicy?: OverflowPolicy
  /** Sent only to clients that ask for it. */
  readonly responseInformation?: string
  /** In place of what the client asked for, longer or shorter; 4294967295: never. */
  readonly sessionExpiryIntervalSeconds?: number
  /** In place of what the client asked for; 0: none. */
  readonly keepAliveSeconds?: number
  /** For people to read. */
  readonly reasonString?: string
  readonly userProperties?: UserProperties
}

/** Who may have the session of a client identifier, besides what a hook decides. */
export type TakeoverPolicy =
  /** The principal that owns it. */
  | 'same-principal'
  /** Nobody, as long as the owner is online; afterwards the principal that owns it. */
  | 'same-principal-when-offline'
  /** Whoever authenticates. */
  | 'anyone'

/** Which client identifiers a client may use. Refused with 0x85 where it breaks a rule. */
export interface ClientIdRules {
  /** The principal is the client identifier, whatever the client sent. Anonymous clients are refused. */
  readonly fromPrincipal?: boolean
  /**
   * What it must begin with; `%u` stands for the principal, compared as text: `%u-` or `%u/`. Something must follow
   * `%u`, and principals that hold it themselves are refused, since `a-` would begin what is `a-b`'s. Anonymous clients
   * are refused where it holds `%u`. Identifiers that the broker makes get the prefix.
   */
  readonly prefix?: string
  /** A glob over the whole identifier: `*` stands for any text, `?` for one character, `\` makes the next one ordinary. */
  readonly pattern?: string
}

/** Whether the will of an expired grant is still sent (semantics 7.2). One that was revoked never is. */
export type WillPolicy = 'grant' | 'unexpired-grant'

/** What happens at the end of a grant that was not renewed, after `limits.grantGraceMs`. */
export type GrantExpiryPolicy =
  /** DISCONNECT 0x87. */
  | 'disconnect'
  /** It stays connected and may neither publish nor receive until it authenticates again. */
  | 'stay-without-rights'

/** What follows a publish that was denied (semantics 7.17). */
export interface DeniedPublishPolicy {
  /** Default `acknowledge`: PUBACK or PUBREC with the code. QoS 0 is dropped either way. */
  readonly mqtt5?: 'acknowledge' | 'disconnect'
  /** Default `disconnect`. `drop`: acknowledged and given to nobody, since 3.1.1 cannot say why. */
  readonly mqtt3?: 'disconnect' | 'drop'
}

/** What happens to a message for a session whose outbox is full. */
export type OverflowPolicy = 'drop-oldest' | 'drop-newest' | 'disconnect'

/** How a shared subscription chooses among its members. */
export type SharedSubscriptionStrategy = 'round-robin' | 'sticky' | 'random' | 'least-inflight'

/**
 * All the time that the broker knows. `nowMs` is the epoch plus steady elapsed time, so a stepped
 * wall clock moves no live deadline; after a restart deadlines continue by the wall clock.
 */
export interface Clock {
  nowMs(): number
  setTimeout(callback: () => void, delayMs: number): unknown
  clearTimeout(timer: unknown): void
}

/** Where the broker writes its log. A pino logger fits as it is. */
export interface Logger {
  debug(details: object, message: string): void
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
  /** Where it exists and is true for `debug`, every event of the broker is logged. */
  isLevelEnabled?(level: string): boolean
}

/** What every kind of listener takes. */
export interface CommonListenerOptions {
  /** Shown in events, logs and `$Listener`. Default: the transport and the address. */
  readonly name?: string
  /** On top of the broker's limits. */
  readonly limits?: Partial<Limits>
  /**
   * On top of the broker's: a decision hook is asked instead of the broker's of the same name, observers are called
   * besides the broker's.
   */
  readonly hooks?: Hooks | readonly Hooks[]
  /** Instead of the broker's. */
  readonly authenticators?: readonly Authenticator[]
  /** Instead of the broker's. */
  readonly allowAnonymous?: boolean
  /** Instead of the broker's. */
  readonly anonymousRoles?: readonly string[]
  /** Instead of the broker's. */
  readonly clientIds?: ClientIdRules
  /** Instead of the broker's. */
  readonly takeover?: TakeoverPolicy
  /** Instead of the broker's. */
  readonly willPolicy?: WillPolicy
}

/** Where a listener listens. */
export interface AddressOptions {
  /** Default 1883 (tcp), 8883 (tls), 8083 (ws), 8084 (wss). 0 takes a free port. */
  readonly port?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Connections that the system keeps waiting. Default 1024. */
  readonly backlog?: number
  /** Expect a PROXY protocol header (version 1 or 2) from these peers, and from them only. */
  readonly proxyProtocol?: ProxyProtocolOptions
}

/** Which peers speak for clients. */
export interface ProxyProtocolOptions {
  /** Addresses or CIDR ranges. A trusted peer must send the header, any other must not. */
  readonly trustedAddresses: readonly string[]
}

/** The certificates of a listener, and which of clients it asks for. */
export interface TlsOptions {
  /** PEM. */
  readonly key: string | Buffer
  /** PEM, with its chain. */
  readonly cert: string | Buffer
  /** PEM: authorities for client certificates. */
  readonly ca?: string | Buffer
  /** PEM: revocation lists. Where any is given, there has to be a current one of every authority in a client's chain. */
  readonly crl?: string | Buffer | readonly (string | Buffer)[]
  /** Ask clients for a certificate. Default: whether `ca` is given. */
  readonly requestCert?: boolean
  /** Close connections without a valid client certificate. Default: `requestCert`. */
  readonly rejectUnauthorized?: boolean
  /** Default `TLSv1.2`. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** Other certificates by server name (SNI); `*.example.org` stands for one label. */
  readonly serverNames?: Readonly<Record<string, { readonly key: string | Buffer; readonly cert: string | Buffer }>>
}

/** How a listener is reached over WebSocket. */
export interface WebSocketOptions {
  /** Default `/mqtt`; `*` takes any path. */
  readonly path?: string
  /** Origins that browsers may come from, exact; others get 403. Default: no check, since brokers serve many sites. */
  readonly origins?: readonly string[]
}

/** MQTT over TCP. */
export interface TcpListenerOptions extends CommonListenerOptions, AddressOptions {
  readonly transport: 'tcp'
}
/** MQTT over TLS. */
export interface TlsListenerOptions extends CommonListenerOptions, AddressOptions, TlsOptions {
  readonly transport: 'tls'
}
/** MQTT over WebSocket. */
export interface WsListenerOptions extends CommonListenerOptions, AddressOptions, WebSocketOptions {
  readonly transport: 'ws'
  /** Serve upgrades of this server instead of opening a port; closing the listener leaves it open. */
  readonly server?: HttpServer
}
/** MQTT over WebSocket and TLS. */
export interface WssListenerOptions extends CommonListenerOptions, AddressOptions, TlsOptions, WebSocketOptions {
  readonly transport: 'wss'
}
/** MQTT over a unix socket. */
export interface UnixListenerOptions extends CommonListenerOptions {
  readonly transport: 'unix'
  readonly path: string
  /** File mode of the socket. Default 0o600. */
  readonly mode?: number
}

/**
 * Whether other machines could connect to it: it has an address, and not a loopback one. A name
 * other than `localhost` counts as reachable, since what it resolves to may change.
 */
export function reachesOtherMachines(listener: {
  readonly transport: string
  readonly host?: string | undefined
}): boolean {
  if (listener.transport === 'unix' || listener.host === undefined) return false
  const host = listener.host.toLowerCase().replace(/^::ffff:(?=[\d.]+$)/, '')
  if (host === 'localhost' || host === '::1') return false
  return !(isIPv4(host) && host.startsWith('127.'))
}

/** What `broker.listen` takes. */
export type ListenerOptions =
  | TcpListenerOptions
  | TlsListenerOptions
  | WsListenerOptions
  | WssListenerOptions
  | UnixListenerOptions

/** Where what a broker keeps rests; see docs/durability.md. */
export type StoreOptions =
  /** Nothing outlives the process: sessions end with it. */
  | { readonly type: 'memory' }
  /** An LMDB environment in a directory of its own. */
  | {
      readonly type: 'lmdb'
      readonly directory: string
      /** Default `disk`: acknowledged means flushed. `os`: survives the end of the process, not of the machine. */
      readonly durability?: 'disk' | 'os'
    }
  /** A Redis server, with BullMQ; the packages `ioredis` and `bullmq` must be installed. */
  | {
      readonly type: 'redis'
      /**
       * `redis://[user:password@]host[:port][/database]`, `redis+sentinel://host:port,host:port/master-name`,
       * `redis+cluster://host:port,host:port`, each with `rediss` for TLS; or the path of a socket.
       */
      readonly url: string
      /** Default `everysec`: as durable as the server is configured. `fsync`: acknowledged means flushed. */
      readonly durability?: 'everysec' | 'fsync'
      /** What the names of all keys begin with: every broker on a server has one of its own. Default `statemq`. */
      readonly prefix?: string
      /** Default 5,000: what the server has not answered by then has failed, and nothing waits for it longer. */
      readonly timeoutMs?: number
    }

/**
 * What somebody may do in the admin API, each as much as those before it: `metrics` reads `/metrics`, `read` sees
 * everything, retained messages and a live tap included, `operate` changes things.
 */
export type InspectRole = 'metrics' | 'read' | 'operate'

/** Somebody who may use the admin API with a token. */
export interface InspectToken {
  /** For the log of what was done. */
  readonly name: string
  readonly role: InspectRole
  /** At least 32 characters that nobody can guess. */
  readonly token: string
}

/** Somebody who may use the admin API with a password. */
export interface InspectUser {
  readonly name: string
  readonly role: InspectRole
  /** Argon2id in PHC form, as `statemq passwd` writes it. */
  readonly passwordHash: string
}

/** The inspector's page and the admin API; see docs/admin-api.md. */
export interface InspectOptions {
  /** Default 7883. 0 takes a free port. */
  readonly port?: number
  /** Default 127.0.0.1. Others need `tls` or `allowPlaintext`, and `tokens` or `users`. */
  readonly host?: string
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer }
  /** Open it to other machines without TLS, because a proxy in front speaks TLS. Default false. */
  readonly allowPlaintext?: boolean
  /**
   * Names under which it is reached, without ports. Addresses and `localhost` always work; a request under another name
   * is refused, since a hostile site may have made its own name lead here. Default: none.
   */
  readonly hosts?: readonly string[]
  /** Default: without tokens and users, one is made for this run that may operate; {@link Inspector.url} has it. */
  readonly tokens?: readonly InspectToken[]
  readonly users?: readonly InspectUser[]
}

/** What the broker publishes under `$SYS`; see docs/metrics.md. */
export interface SysTopicsOptions {
  /** Between two looks at what has changed. Default 10; 0: nothing is published. */
  readonly intervalSeconds?: number
}

/** Everything that `createBroker` takes; all of it optional. */
export interface BrokerOptions {
  /** Default {@link defaultLimits}. */
  readonly limits?: Partial<Limits>
  /** Asked in order; the first verdict stands. Default: none, see `allowAnonymous`. */
  readonly authenticators?: readonly Authenticator[]
  /**
   * Let clients in that no authenticator decided on. Default: true without authenticators, false
   * with some. A listener that other machines can reach refuses to open without authenticators
   * unless this is set to true explicitly.
   */
  readonly allowAnonymous?: boolean
  /** Roles of clients that come in anonymously. Default: none. */
  readonly anonymousRoles?: readonly string[]
  /** Default: none, and everything is allowed. */
  readonly roles?: RoleDefinitions
  /** Default `filter`. */
  readonly partialSubscriptions?: PartialSubscriptions
  /** Default: any identifier. */
  readonly clientIds?: ClientIdRules
  /** Default `same-principal`. */
  readonly takeover?: TakeoverPolicy
  /** Default `grant`: the will of an expired grant is sent. */
  readonly willPolicy?: WillPolicy
  /** Default `disconnect`. */
  readonly grantExpiry?: GrantExpiryPolicy
  /**
   * A User Name in a CONNECT with an authentication method. `same` (the default): it has to be the principal of the
   * verdict, else 0x87 (semantics 7.9). `any`: of no account. An authenticator that compares it itself
   * ({@link Authenticator.comparesUsername}) goes by options of its own.
   */
  readonly enhancedUsername?: 'same' | 'any'
  /** Default `disconnect` (MQTT-4.12.1-2). `keep` leaves the client online under the grant it has. */
  readonly failedReauthentication?: 'disconnect' | 'keep'
  /** User-defined properties when a client authenticates again without the authenticator giving any. Default `keep`. */
  readonly reauthenticationProperties?: 'keep' | 'replace'
  /** User properties of CONNECT that begin with it are proposed session properties. Default `session.`. */
  readonly proposedPropertyPrefix?: string
  readonly deniedPublish?: DeniedPublishPolicy
  /** Retained messages whose author was revoked: default `keep`. */
  readonly retainedOfRevoked?: 'keep' | 'purge'
  /** Who may not connect, as long as these options hold. `broker.bans` has more at run time. */
  readonly bans?: readonly Omit<BanInput, 'seconds'>[]
  /** One plugin, or several that are asked in their order. */
  readonly hooks?: Hooks | readonly Hooks[]
  /** The session machine with implementations of your own: `sessionMachine.provide({ … })`. */
  readonly machine?: SessionMachine
  /** Default `drop-oldest`. */
  readonly overflowPolicy?: OverflowPolicy
  /** Default `round-robin`. */
  readonly sharedSubscriptionStrategy?: SharedSubscriptionStrategy
  /** Answer to Request Response Information; default: none is sent. */
  readonly responseInformation?: string
  /** Highest QoS offered. Default 2. */
  readonly maximumQoS?: QoS
  /** Default true. */
  readonly retainAvailable?: boolean
  /** Default true. */
  readonly wildcardSubscriptionAvailable?: boolean
  /** Default true. */
  readonly subscriptionIdentifiersAvailable?: boolean
  /** Default true. */
  readonly sharedSubscriptionAvailable?: boolean
  /** Where sessions, their messages, wills and retained messages rest. Default: in memory. */
  readonly store?: StoreOptions
  /**
   * Keeps the last steps of every client's chart, and who decided on them: `limits.maxTransitionsPerSession`. Default:
   * whether `inspect` is given.
   */
  readonly history?: boolean
  /** Opens the inspector's page and the admin API with the broker. Default: closed. */
  readonly inspect?: InspectOptions
  /** Publish statistics under `$SYS`, with mosquitto's names. Default: no; the command does. */
  readonly sysTopics?: SysTopicsOptions
  /** Time and timers. Default: the system's. */
  readonly clock?: Clock
  /** Default: silent. */
  readonly logger?: Logger
}

/** The options that a running broker can take anew. */
export type ReloadableOption =
  | 'limits'
  | 'authenticators'
  | 'allowAnonymous'
  | 'anonymousRoles'
  | 'roles'
  | 'partialSubscriptions'
  | 'clientIds'
  | 'takeover'
  | 'willPolicy'
  | 'grantExpiry'
  | 'enhancedUsername'
  | 'failedReauthentication'
  | 'reauthenticationProperties'
  | 'proposedPropertyPrefix'
  | 'deniedPublish'
  | 'retainedOfRevoked'
  | 'bans'
  | 'hooks'

/** What `Broker.reload` takes: an option that is not there stays, one that is undefined goes back to its default. */
export type ReloadOptions = { readonly [Name in ReloadableOption]?: BrokerOptions[Name] | undefined }
