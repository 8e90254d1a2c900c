import type { SessionMachine } from '../../machines/session.machine.ts'
import type { Counters } from '../counters.ts'
import type { EventSink } from '../events.ts'
import type { DeadJobSource } from '../inspection.ts'
import type { Authenticator, DecisionHooks } from '../hooks.ts'
import type { QoS } from '../messages.ts'
import type { Limits } from '../limits.ts'
import type {
  Clock,
  DeniedPublishPolicy,
  GrantExpiryPolicy,
  Logger,
  OverflowPolicy,
  SharedSubscriptionStrategy,
  TakeoverPolicy,
  WillPolicy,
} from '../options.ts'
import type { Router } from '../router/router.ts'
import type { RolesInForce } from './access.ts'
import type { ChartSteps } from './chart-steps.ts'
import type { Deadlines } from './deadlines.ts'
import type { Door } from './door.ts'
import type { GrantReviews } from './grant-review.ts'
import type { Keepalive } from './keepalive.ts'
import type { ObserverCalls, Observers } from './observer-calls.ts'
import type { ClientIdPolicy } from './ownership.ts'
import type { RateLimit } from './rate-limit.ts'
import type { Refusals } from './refusals.ts'
import type { Registry } from './registry.ts'
import type { SessionJobs } from './session-jobs.ts'
import type { SessionStore } from '../stored.ts'
import type { Traces } from './traces.ts'
import type { TransitionHistory } from './transition-history.ts'

/** What a listener sets for the sessions that come through it, and what an authenticator changed of it for one of them. */
export interface SessionPolicy {
  /** The listener's, where this one was changed for a session. */
  readonly base?: SessionPolicy
  readonly limits: Limits
  readonly features: Features
  /** All plugins as one; a hook that nobody has is not there. */
  readonly hooks: DecisionHooks
  readonly observers: Observers | undefined
  readonly authenticators: readonly Authenticator[]
  readonly allowAnonymous: boolean
  readonly anonymousRoles: readonly string[]
  /** Undefined: any identifier. */
  readonly clientIds: ClientIdPolicy | undefined
  readonly takeover: TakeoverPolicy
  readonly willPolicy: WillPolicy
  readonly grantExpiry: GrantExpiryPolicy
  readonly enhancedUsername: 'same' | 'any'
  readonly failedReauthentication: 'disconnect' | 'keep'
  readonly reauthenticationProperties: 'keep' | 'replace'
  readonly proposedPropertyPrefix: string
  readonly deniedPublish: Required<DeniedPublishPolicy>
}

/** What is offered to a session, as CONNACK announces it, and what is done with its messages. */
export interface Features {
  readonly maximumQoS: QoS
  readonly retainAvailable: boolean
  readonly wildcardSubscriptionAvailable: boolean
  readonly subscriptionIdentifiersAvailable: boolean
  readonly sharedSubscriptionAvailable: boolean
  readonly responseInformation: string | undefined
  readonly sharedSubscriptionStrategy: SharedSubscriptionStrategy
  readonly overflowPolicy: OverflowPolicy
}

/** What all sessions of a broker share. */
export interface SessionCore {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly keepalive: Keepalive
  readonly registry: Registry
  /** The steps of all sessions' charts, for whoever looks. */
  readonly charts: ChartSteps
  /** What has become of clients; undefined: nobody asked for it. */
  history: TransitionHistory | undefined
  readonly traces: Traces
  readonly router: Router
  readonly events: EventSink
  /** When the broker was made. */
  readonly startedAtMs: number
  /** Those of `events`. */
  readonly counters: Counters
  readonly logger: Logger
  readonly observers: ObserverCalls
  /** The broker's own limits: quotas over all sessions. */
  readonly limits: Limits
  readonly wills: RateLimit
  /** CONNECTs that were refused, for whoever asks why. */
  readonly refusals: Refusals
  readonly door: Door
  readonly reviews: GrantReviews
  /** Undefined: nothing outlives the process. */
  readonly store: SessionStore | undefined
  /** Wills and ends of sessions, at their times. */
  readonly jobs: SessionJobs
  /** Jobs that were given up; undefined: this broker's sessions are its own, and so is what is due. */
  deadJobs?: DeadJobSource
  /** Counts the changes of the role definitions. */
  policyVersion: number
  roles: RolesInForce
  /** Authentication and admission are the broker's own, not an embedder's actors. */
  decidesAtOnce: boolean
  /** The session machine with its implementations: set once the host exists. */
  machine: SessionMachine
}
