import { sessionMachine } from '../../machines/session.machine.ts'
import type { EventSink } from '../events.ts'
import type { Limits } from '../limits.ts'
import type { BrokerOptions, Clock, Logger } from '../options.ts'
import { Router, type RouterOptions } from '../router/router.ts'
import type { Jobs } from '../scheduled.ts'
import type { SessionStore } from '../stored.ts'
import { rolesInForce } from './access.ts'
import { ChartSteps } from './chart-steps.ts'
import type { SessionCore } from './core.ts'
import { Deadlines } from './deadlines.ts'
import { deliverSafely } from './deliver.ts'
import { Door } from './door.ts'
import { GrantReviews } from './grant-review.ts'
import { Keepalive } from './keepalive.ts'
import { ObserverCalls } from './observer-calls.ts'
import { RateLimit } from './rate-limit.ts'
import { Refusals } from './refusals.ts'
import { Registry } from './registry.ts'
import { SessionJobs } from './session-jobs.ts'
import { Traces } from './traces.ts'
import { TransitionHistory } from './transition-history.ts'

/** What the core is made of, besides its options. */
export interface CoreParts {
  readonly options: BrokerOptions
  /** Those in force: a reload changes them. */
  readonly limits: () => Limits
  readonly clock: Clock
  readonly logger: Logger
  readonly events: EventSink
  /** What does wills and ends of sessions. */
  readonly jobs: (deadlines: Deadlines, limits: Limits, nowMs: () => number) => Jobs
  readonly store: (SessionStore & NonNullable<RouterOptions['store']>) | undefined
}

/** Makes what all sessions of a broker share. Its machine has no implementations yet: those need the core. */
export function makeCore(parts: CoreParts): SessionCore {
  const { options, limits: inForce, clock, logger, events, store } = parts
  const limits = inForce()
  const onError = (error: unknown): void => logger.error({ err: error }, 'a deadline failed')
  const deadlines = new Deadlines(clock, limits.maxDeadlinesPerTurn, onError)
  const registry = new Registry()
  const charts = new ChartSteps(registry, logger, () => clock.nowMs())
  const jobs = new SessionJobs(
    parts.jobs(deadlines, limits, () => clock.nowMs()),
    store,
  )
  const core: SessionCore = {
    clock,
    deadlines,
    keepalive: new Keepalive(clock),
    registry,
    charts,
    history: undefined,
    router: new Router({
      limits,
      strategy: options.sharedSubscriptionStrategy ?? 'round-robin',
      clock,
      events,
      store,
      deliver: deliverSafely(events),
    }),
    events,
    startedAtMs: clock.nowMs(),
    counters: events.counters,
    logger,
    observers: new ObserverCalls({ clock, events, maxCalls: () => inForce().maxObserverCalls }),
    limits,
    wills: new RateLimit(clock, limits.maxWillsPerSecond, limits.maxWillsPerSecond),
    store,
    jobs,
    deadJobs: jobs,
    refusals: new Refusals(limits.maxRememberedRefusals),
    reviews: new GrantReviews(registry, logger),
    door: new Door({ clock, deadlines, events, registry, limits }, inForce),
    traces: new Traces({ charts, registry, deadlines, clock, logger, limits }),
    policyVersion: 1,
    roles: rolesInForce(options, 1),
    decidesAtOnce: true,
    machine: sessionMachine,
  }
  if (options.history ?? options.inspect !== undefined) core.history = new TransitionHistory(core)
  // Where there is a store, what it has is scheduled first.
  if (store === undefined) void jobs.open()
  return core
}
