import type { Observable } from 'rxjs'

import type { DropReason, SessionState } from './events.ts'
import type { QoS } from './messages.ts'
import type { SessionDetail, SessionPage, SessionQuery } from './inspected-session.ts'
import type { ReasonCode } from './reason-codes.ts'
import type { DecidingPermission, PermissionAction } from './roles.ts'
import type { StatelyInspectionEvent, StatelyOptions } from './stately.ts'

export type {
  InflightDetail,
  QueuedDetail,
  SessionDetail,
  SessionPage,
  SessionQuery,
  SessionRow,
  SessionSort,
  SubscriptionDetail,
  WillDetail,
} from './inspected-session.ts'

/**
 * What a broker tells those who look into it: the inspector, the admin API, metrics, `$SYS`. All of it is
 * plain data that JSON carries, without secrets; payloads only where a retained message is asked for by name.
 * Times are broker time in milliseconds. Absent values are `null` where they cross HTTP.
 */
export interface BrokerInspection {
  /** What has been counted since the start, and what is so now. */
  stats(): BrokerStats
  /** The last hour, oldest first, one sample every {@link StatsSample.seconds}. */
  statsHistory(): readonly StatsSample[]
  /** How many sessions are in each state: by the path of every active leaf, `online.delivery.flowing`. */
  census(): Readonly<Record<string, number>>
  /** Transitions taken since the start, by `from`, `event` and `to`; what nobody looks at is not counted. */
  flows(): readonly TransitionFlow[]
  /** The steps of every chart as they happen, while somebody is subscribed. */
  readonly transitions$: Observable<TransitionRecord>
  /** XState's own inspection, for those who use Stately's tools: the sessions that there are, then each step of their charts. */
  stately(options?: StatelyOptions): Observable<StatelyInspectionEvent>
  /** The last steps of one client's sessions, oldest first, `limits.maxTransitionsPerSession` of them; its refused connections too. */
  history(clientId: string): readonly TransitionRecord[]
  sessions(query: SessionQuery): Promise<SessionPage>
  session(clientId: string): Promise<SessionDetail | undefined>
  retained(query: RetainedQuery): Promise<RetainedPage>
  retainedMessage(topic: string): RetainedMessage | undefined
  /** Takes a retained message away as an operator, durably; false: there was none. */
  deleteRetained(topic: string): Promise<boolean>
  jobs(query: JobQuery): Promise<JobPage>
  /** A dead job is tried again; a will or a session expiry is done now. False: it is not there any more. */
  retryJob(id: string, by?: string): Promise<boolean>
  /** It is not done. An offline queue is emptied. False: it is not there any more. */
  dropJob(id: string): Promise<boolean>
  /** Sessions that took longest to take what waits for them, the slowest first. */
  slowSubscribers(max: number): readonly SlowSubscriber[]
  /** The roles that are defined; undefined: none are, and everything is allowed. */
  roles(): readonly RoleSummary[] | undefined
}

/** Counters since the start of the process; they only rise. */
export interface BrokerCounters {
  readonly bytesReceived: number
  readonly bytesSent: number
  /** PUBLISH packets of clients, and of the embedder. */
  readonly messagesReceived: number
  /** PUBLISH packets to clients, repeats included. */
  readonly messagesSent: number
  /** Of the payloads of those messages. */
  readonly payloadBytesReceived: number
  readonly payloadBytesSent: number
  readonly packetsReceived: number
  readonly packetsSent: number
  readonly connectionsOpened: number
  readonly connectionsRefused: number
  /** CONNACK with success. */
  readonly sessionsAdmitted: number
  /** CONNECTs that were refused, by reason code in decimal. */
  readonly sessionsRefused: Readonly<Record<string, number>>
  /** Sessions whose time without a connection had passed. */
  readonly sessionsExpired: number
  readonly takeovers: number
  /** Those that a start brings back are among them: added less removed is how many there are. */
  readonly subscriptionsAdded: number
  readonly subscriptionsRemoved: number
  readonly dropped: Readonly<Record<DropReason, number>>
  readonly willsPublished: number
  readonly willsWithheld: number
  readonly willsCancelled: number
  readonly hooksDenied: number
  readonly hooksFailed: number
}

/** What there is at this moment, and what has been counted. */
export interface BrokerStats {
  readonly atMs: number
  readonly startedAtMs: number
  readonly version: string
  readonly state: 'starting' | 'running' | 'draining' | 'stopped'
  readonly counters: BrokerCounters
  readonly sessions: Readonly<Record<SessionState, number>>
  readonly connections: number
  readonly subscriptions: number
  readonly sharedSubscriptions: number
  readonly retainedMessages: number
  readonly retainedBytes: number
  /** Messages and bytes that wait for sessions, online and offline, in memory and in the store. */
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly inflightMessages: number
  readonly pendingWills: number
  /** Event loop delay since the last sample; zero while nobody measures. */
  readonly loopLagMs: { readonly mean: number; readonly p99: number; readonly max: number }
  readonly memory: { readonly rssBytes: number; readonly heapUsedBytes: number; readonly externalBytes: number }
  /** CPU seconds of this process. */
  readonly cpuSeconds: number
  readonly store: {
    readonly name: 'memory' | 'lmdb' | 'redis'
    /** Code of the error that keeps messages from being made durable just now. */
    readonly fault: string | null
  }
  readonly listeners: readonly {
    readonly name: string
    readonly transport: string
    readonly address: string
    readonly connections: number
  }[]
}

/** Rates and levels over some seconds. */
export interface StatsSample {
  readonly atMs: number
  readonly seconds: number
  readonly messagesReceivedPerSecond: number
  readonly messagesSentPerSecond: number
  readonly bytesReceivedPerSecond: number
  readonly bytesSentPerSecond: number
  readonly droppedPerSecond: number
  readonly connectsPerSecond: number
  readonly sessionsOnline: number
  readonly sessionsOffline: number
  readonly queuedMessages: number
  readonly inflightMessages: number
  readonly loopLagMaxMs: number
  readonly loopLagMeanMs: number
  readonly rssBytes: number
  readonly heapUsedBytes: number
  readonly cpuShare: number
}

/** Who or what decided on a step, and why. */
export interface Decision {
  readonly by:
    | 'authenticator'
    | 'hook'
    | 'guard'
    | 'role'
    | 'limit'
    | 'client'
    | 'operator'
    | 'deadline'
    | 'network'
    | 'broker'
  /** Name of the authenticator, hook with its plugin, guard, limit or role; empty where there is none. */
  readonly name: string
  /** In words. */
  readonly reason: string
  readonly reasonCode: ReasonCode | null
  readonly rule: DecidingPermission | null
}

/** One step of a session's chart that left it in other states, or was refused. */
export interface TransitionRecord {
  /** Rises by one with every record of the broker. */
  readonly sequence: number
  readonly atMs: number
  readonly sessionId: string
  /** Empty before CONNECT. */
  readonly clientId: string
  /** XState's event type; empty for the first, and for a step that needs none. */
  readonly event: string
  /** Paths of the active leaves before, without the machine's id: `online.authority.valid`. Empty for the first. */
  readonly from: readonly string[]
  /** The same afterwards. */
  readonly to: readonly string[]
  readonly decision: Decision | null
}

/** How often an arrow of the chart was taken. */
export interface TransitionFlow {
  /** Path of the state that has the transition; empty: where actors begin. */
  readonly from: string
  /** As the chart names it, `packet.*`; empty where the transition needs none. */
  readonly event: string
  /** Path of its target. */
  readonly to: string
  readonly count: number
}

export interface RetainedQuery {
  /**
   * Topics that begin with these levels: `a/b` lists the next level below; null: the top. Empty is a level as
   * any other, that of topics which begin with `/`.
   */
  readonly under: string | null
  readonly offset: number
  readonly limit: number
}

/** One level of the tree of retained topics. */
export interface RetainedPage {
  readonly total: number
  readonly offset: number
  readonly levels: readonly {
    /** The level's own text. */
    readonly level: string
    readonly topic: string
    /** Whether a message is retained at this very topic. */
    readonly hasMessage: boolean
    readonly hasChildren: boolean
    readonly payloadBytes: number | null
    readonly qos: QoS | null
  }[]
}

export interface RetainedMessage {
  readonly topic: string
  readonly qos: QoS
  /** The first bytes, `payloadBytes` says how many there are. */
  readonly payloadBase64: string
  readonly payloadBytes: number
  readonly atMs: number | null
  readonly expiresAtMs: number | null
  readonly publisher: string | null
  readonly contentType: string | null
  readonly userProperties: readonly (readonly [string, string])[]
}

export type JobKind = 'offline-queue' | 'will' | 'session-expiry'

/** Jobs that were given up by whoever does them for several brokers: behind `JobQuery.kind` `dead`. */
export interface DeadJobSource {
  /** The latest first. `id`s begin with `dead:`. */
  page(offset: number, limit: number): Promise<JobPage>
  retry(id: string): Promise<boolean>
  drop(id: string): Promise<boolean>
}

export interface JobQuery {
  readonly kind: JobKind | 'dead'
  readonly offset: number
  readonly limit: number
}

export interface JobRow {
  /** Names it in `retryJob` and `dropJob`. */
  readonly id: string
  /** `unknown`: a job that was given up, and that is none of this broker's making. */
  readonly kind: JobKind | 'unknown'
  /** Empty: not known here. */
  readonly clientId: string
  readonly dueAtMs: number | null
  /** Of a queue. */
  readonly messages: number | null
  readonly bytes: number | null
  readonly topic: string | null
  readonly attempts: number
  /** Why it was given up; null: it was not. */
  readonly failure: string | null
  /** Whether `retryJob` and `dropJob` have a meaning for it: others reject with SMQ_JOB_FIXED. */
  readonly canRetry: boolean
  readonly canDrop: boolean
}

export interface JobPage {
  readonly total: number
  readonly offset: number
  readonly rows: readonly JobRow[]
}

/** A session that is slow to take what waits for it. */
export interface SlowSubscriber {
  readonly clientId: string
  readonly principal: string | null
  /** How long the first message that waits has waited. */
  readonly waitingMs: number
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly inflightMessages: number
  /** Messages dropped because its outbox was full. */
  readonly droppedMessages: number
}

/** A role as it is defined, and how many sessions have it. */
export interface RoleSummary {
  readonly name: string
  readonly include: readonly string[]
  readonly permissions: readonly PermissionSummary[]
  readonly sessions: number
}

export interface PermissionSummary {
  readonly effect: 'allow' | 'deny'
  readonly actions: readonly PermissionAction[]
  /** As it is written. */
  readonly topic: string
  /** null: all levels. */
  readonly qos: readonly QoS[] | null
  readonly retain: boolean | null
  readonly shared: boolean | null
  readonly group: string | null
}
