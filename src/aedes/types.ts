import type { BrokerOptions } from '../options.ts'
import type { QoS } from '../messages.ts'
import type { AedesClient } from './client.ts'

/** A message by the names that Aedes gives its fields. */
export interface AedesPublishPacket {
  cmd: 'publish'
  topic: string
  payload: Buffer | string
  qos: QoS
  retain: boolean
  dup: boolean
  /** Of who published it; absent where the broker did. */
  clientId?: string
  /** The broker's `id`. */
  brokerId?: string
}

/** What `aedes.publish` and `client.publish` take. */
export interface PublishPacket {
  readonly cmd?: 'publish'
  readonly topic: string
  readonly payload?: Buffer | string
  readonly qos?: QoS
  readonly retain?: boolean
  readonly dup?: boolean
}

/** A subscription, as Aedes hands it over. */
export interface Subscription {
  topic: string
  qos: QoS
}

/** What `preConnect` is told: CONNECT without its password. */
export interface ConnectPacket {
  readonly cmd: 'connect'
  readonly clientId: string
  readonly protocolVersion: 3 | 4 | 5
  readonly clean: boolean
  readonly keepalive: number
  readonly username?: string
}

/** A refusal with a return code of MQTT 3.1.1: 2, 3, 4 or 5. Default 5. */
export type AuthenticateError = Error & { readonly returnCode?: number }

/** What is looked at before CONNECT, as in Aedes. */
export type PreConnectHandler = (
  client: AedesClient,
  packet: ConnectPacket,
  callback: (error: Error | null, success?: boolean) => void,
) => void

/** Who may connect, as in Aedes. */
export type AuthenticateHandler = (
  client: AedesClient,
  username: string | undefined,
  password: Buffer | undefined,
  callback: (error: AuthenticateError | null, success?: boolean | null) => void,
) => void

/** What may be published, as in Aedes. */
export type AuthorizePublishHandler = (
  client: AedesClient | null,
  packet: AedesPublishPacket,
  callback: (error?: Error | null) => void,
) => void

/** What may be subscribed to, as in Aedes. */
export type AuthorizeSubscribeHandler = (
  client: AedesClient,
  subscription: Subscription,
  callback: (error: Error | null, subscription?: Subscription | null) => void,
) => void

/** What a subscriber gets, as in Aedes. */
export type AuthorizeForwardHandler = (
  client: AedesClient,
  packet: AedesPublishPacket,
) => AedesPublishPacket | null | undefined | void

/** Called behind every publish, as in Aedes. */
export type PublishedHandler = (
  packet: AedesPublishPacket,
  client: AedesClient | null,
  callback: (error?: Error | null) => void,
) => void

/** What a listener of `aedes.subscribe` is: it calls back when it is done. */
export type DeliverHandler = (packet: AedesPublishPacket, callback: () => void) => void

/** The handlers of an Aedes application, by Aedes's names. */
export interface AedesHandlers {
  preConnect: PreConnectHandler
  authenticate: AuthenticateHandler
  authorizePublish: AuthorizePublishHandler
  authorizeSubscribe: AuthorizeSubscribeHandler
  authorizeForward: AuthorizeForwardHandler
  published: PublishedHandler
}

/** Options by the names that Aedes gives them. Those that statemq has no use for are named in docs/from-aedes.md. */
export interface AedesOptions extends Partial<AedesHandlers> {
  /** Default: a random one. */
  readonly id?: string
  /** Milliseconds for CONNECT and its answer. Default 30,000. */
  readonly connectTimeout?: number
  /** Highest keepalive in seconds, and then 0 is refused too. Default 0: any. */
  readonly keepaliveLimit?: number
  /** Default 23; of clients that speak MQTT 3.1. */
  readonly maxClientsIdLength?: number
  /** Default 100. */
  readonly maxTopicLevels?: number
  /** Everything else that statemq can do: `store`, `roles`, `limits`, `inspect`, … */
  readonly statemq?: Omit<BrokerOptions, 'authenticators' | 'allowAnonymous'>
}

/** What an `Aedes` emits, by name. */
export interface AedesEvents {
  client: [client: AedesClient]
  clientReady: [client: AedesClient]
  clientDisconnect: [client: AedesClient]
  clientError: [client: AedesClient, error: Error]
  connectionError: [client: AedesClient, error: Error]
  keepaliveTimeout: [client: AedesClient]
  publish: [packet: AedesPublishPacket, client: AedesClient | null]
  /** A message of QoS 1 or 2 that a subscriber has acknowledged. */
  ack: [packet: { readonly cmd: 'publish'; readonly topic: string; readonly qos: QoS }, client: AedesClient]
  ping: [packet: { readonly cmd: 'pingreq' }, client: AedesClient]
  subscribe: [subscriptions: Subscription[], client: AedesClient]
  unsubscribe: [unsubscriptions: string[], client: AedesClient]
  closed: []
  error: [error: unknown]
}
