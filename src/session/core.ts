import type { SessionMachine } from '../../machines/session.machine.ts'
import type { EventSink } from '../events.ts'
import type { Authenticator, Hooks } from '../hooks.ts'
import type { QoS } from '../messages.ts'
import type {
  ClientIdRules,
  Clock,
  DeniedPublishPolicy,
  GrantExpiryPolicy,
  Limits,
  Logger,
  OverflowPolicy,
  TakeoverPolicy,
  WillPolicy,
} from '../options.ts'
import type { Router } from '../router/router.ts'
import type { Deadlines } from './deadlines.ts'
import type { Keepalive } from './keepalive.ts'
import type { RateLimit } from './rate-limit.ts'
import type { Registry } from './registry.ts'

/** What a listener sets for the sessions that come through it. */
export interface SessionPolicy {
  readonly limits: Limits
  readonly hooks: Hooks
  readonly authenticators: readonly Authenticator[]
  readonly allowAnonymous: boolean
  readonly anonymousRoles: readonly string[]
  readonly clientIds: ClientIdRules
  readonly takeover: TakeoverPolicy
  readonly willPolicy: WillPolicy
  readonly grantExpiry: GrantExpiryPolicy
  readonly failedReauthentication: 'disconnect' | 'keep'
  readonly reauthenticationProperties: 'keep' | 'replace'
  readonly proposedPropertyPrefix: string
  readonly deniedPublish: Required<DeniedPublishPolicy>
}

/** What the broker offers, as CONNACK announces it. */
export interface Features {
  readonly maximumQoS: QoS
  readonly retainAvailable: boolean
  readonly wildcardSubscriptionAvailable: boolean
  readonly subscriptionIdentifiersAvailable: boolean
  readonly sharedSubscriptionAvailable: boolean
  readonly responseInformation: string | undefined
  readonly overflowPolicy: OverflowPolicy
}

/** What all sessions of a broker share. */
export interface SessionCore {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly keepalive: Keepalive
  readonly registry: Registry
  readonly router: Router
  readonly events: EventSink
  readonly logger: Logger
  readonly features: Features
  /** The broker's own limits: quotas over all sessions. */
  readonly limits: Limits
  readonly wills: RateLimit
  /** Counts the changes of the role definitions. */
  policyVersion: number
  /** Authentication and admission are the broker's own, not an embedder's actors. */
  decidesAtOnce: boolean
  /** The session machine with its implementations: set once the host exists. */
  machine: SessionMachine
}
