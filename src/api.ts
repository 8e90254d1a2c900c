import type { Duplex } from 'node:stream'
import type { Observable } from 'rxjs'

import type { SessionMachine } from '../machines/session.machine.ts'
import type { BrokerBans } from './bans.ts'
import type { BrokerEvent } from './events.ts'
import type { ConnectionInfo, Message, MessageInput } from './messages.ts'
import type { Listener } from './net/listen.ts'
import type { BrokerInspection } from './inspection.ts'
import type { Limits } from './limits.ts'
import type { MetricsText } from './observe/metrics.ts'
import type { CommonListenerOptions, InspectOptions, ListenerOptions, ReloadOptions } from './options.ts'
import type { DrainOptions } from './session/draining.ts'
import type { Explanation, ExplainRequest } from './session/explain.ts'
import type { ClientOptions, LocalClient } from './session/local-client.ts'
import type { BrokerSessions } from './session/sessions.ts'
import type { Trace, TraceOptions, TraceTarget } from './session/traces.ts'

/** An open listener of a broker. */
export interface BrokerListener extends Listener {
  /**
   * Takes other options for those who connect from now on: authenticators, client identifiers, limits,
   * hooks. What is not given goes back to the broker's. Rejects with SMQ_OPTION_INVALID or
   * SMQ_LISTEN_UNPROTECTED, and has then changed nothing.
   */
  reload(options: CommonListenerOptions): Promise<void>
}

/** An open admin API with the inspector's page. */
export interface Inspector {
  readonly address: { readonly host: string; readonly port: number }
  /** Of the page. Where a token was made for this run the URL has it behind `#`: it logs in whoever opens it, for good or ill. */
  readonly url: string
  /** The token that was made for this run; undefined where there are tokens or users. */
  readonly token: string | undefined
  /** Takes other tokens, users and names. Rejects with SMQ_OPTION_INVALID or SMQ_INSPECT_UNPROTECTED, and has then changed nothing. */
  reload(options: Pick<InspectOptions, 'tokens' | 'users' | 'hosts'>): Promise<void>
  /** Takes another key and certificate. Throws SMQ_TLS_INVALID. */
  setSecureContext(tls: NonNullable<InspectOptions['tls']>): void
  close(): Promise<void>
}

/** A running broker. Made by {@link createBroker}. */
export interface Broker {
  readonly state: 'starting' | 'running' | 'draining' | 'stopped'
  /** The session machine in use, with all its implementations. */
  readonly machine: SessionMachine
  readonly sessions: BrokerSessions
  /**
   * Resolves when the store is open and every session that it kept is back; `listen`, `client` and `publish`
   * wait for it. Rejects with SMQ_STORE_LOCKED, SMQ_STORE_VERSION, SMQ_STORE_DAMAGED or SMQ_STORE_FAILED, and with
   * SMQ_BROKER_CLOSED where the broker was closed before.
   */
  readonly ready: Promise<void>
  /** The admin API of `createBroker({ inspect })`; undefined without, and until `ready`. */
  readonly inspector: Inspector | undefined
  /**
   * Opens the inspector's page and the admin API; what they need is loaded only then. Rejects with
   * SMQ_INSPECT_UNPROTECTED, SMQ_OPTION_INVALID, SMQ_LISTEN_FAILED, SMQ_TLS_INVALID or SMQ_BROKER_CLOSED.
   */
  inspect(options?: InspectOptions): Promise<Inspector>
  /**
   * What the broker tells those who look into it. Samples are taken from the first time that statistics are asked
   * for, by an open inspector too; steps of charts are kept where the option `history` says so.
   */
  readonly inspection: BrokerInspection
  /** What is counted, in the text format of Prometheus, with the metrics of the process. See docs/metrics.md. */
  metrics(): Promise<MetricsText>
  /** Everything that happens; see docs/hooks.md for how observers are run. */
  readonly events$: Observable<BrokerEvent>
  readonly limits: Limits
  /**
   * Opens a listener. Rejects with SMQ_LISTEN_UNPROTECTED, SMQ_LISTEN_FAILED, SMQ_TLS_INVALID,
   * SMQ_OPTION_INVALID, SMQ_BROKER_CLOSED, or with what `ready` does.
   */
  listen(options: ListenerOptions): Promise<BrokerListener>
  /**
   * Serves MQTT on any byte stream. `info` states what cannot be read off the stream. Throws SMQ_OPTION_INVALID for
   * what is no stream, and SMQ_BROKER_CLOSED.
   */
  attach(stream: Duplex, info?: Partial<ConnectionInfo>): void
  /** Live messages of a filter, every one of them once, at the end of the turn they came in. Throws SMQ_FILTER_INVALID. */
  messages(filter: string): Observable<Message>
  /**
   * Publishes as the broker itself; resolves with how many sessions it was given to. Rejects with
   * SMQ_TOPIC_INVALID, SMQ_MESSAGE_INVALID or SMQ_BROKER_CLOSED.
   */
  publish(message: MessageInput): Promise<number>
  /** Connects a client inside this process. Rejects with SMQ_CLIENT_REFUSED. */
  client(options?: ClientOptions): Promise<LocalClient>
  /**
   * Takes other options while clients are connected. What decides on a CONNECT (authenticators, client
   * identifiers, takeover, limits, hooks) holds for those who connect from now on; changed roles hold for
   * everybody at once, and when the promise resolves every session has been looked at again. Limits of the
   * whole broker that are read at its start (retained messages, turns, wills per second) stay. Rejects
   * with SMQ_OPTION_INVALID, SMQ_ROLES_INVALID or SMQ_LISTEN_UNPROTECTED, and has then changed nothing.
   */
  reload(changes: ReloadOptions): Promise<void>
  /**
   * What a client may do and why, or why it was refused last. For `connect` no session need live: the last
   * refusal of that client identifier is remembered, `limits.maxRememberedRefusals` of them. Hooks have
   * their own say, and are not asked.
   */
  explain(question: ExplainRequest): Explanation
  /**
   * Logs every packet of one client, or of every client of one principal, every step of its chart and who decided,
   * at level `info` and without payloads and secrets, until the time is over. `limits.maxTraces` of them at once.
   * Throws SMQ_OPTION_INVALID.
   */
  trace(target: TraceTarget, options: TraceOptions): Trace
  /** Those that run, the oldest first. */
  traces(): readonly Trace[]
  /** Who may not connect. What is added here is forgotten at a restart: see docs/operations.md. */
  readonly bans: BrokerBans
  /**
   * Sends clients away one after the other and lets nobody else in: CONNACK 0x9C or 0x9D with the server
   * reference, 0x88 without. Resolves with how many were sent away; the broker goes on refusing until
   * `signal` is aborted or it is closed. Sessions stay what they are, wills go out by the rules, and clients
   * of this process stay. Rejects with SMQ_OPTION_INVALID or SMQ_BROKER_CLOSED.
   */
  drain(options?: DrainOptions): Promise<number>
  /**
   * Drains and stops: no new connections, DISCONNECT 0x8B to MQTT 5 clients, wills by the rules.
   * Persistent sessions stay in the store, where there is one. What has not ended after `drainTimeoutMs` (default 5000) is cut. May be called twice.
   */
  close(options?: { readonly drainTimeoutMs?: number }): Promise<void>
  /** `close()` at the end of a block that begins with `await using broker = createBroker()`. */
  [Symbol.asyncDispose](): Promise<void>
}
