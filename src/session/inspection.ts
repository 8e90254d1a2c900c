import type { Observable } from 'rxjs'

import type { BrokerInspection, BrokerStats, RoleSummary, SlowSubscriber, StatsSample } from '../inspection.ts'
import type { BrokerFacts, BrokerStatsReader } from './broker-stats.ts'
import type { SessionCore } from './core.ts'
import type { StatelyInspectionEvent, StatelyOptions } from '../stately.ts'
import { summariseRoles } from './role-summary.ts'
import { JobTable } from './inspect-jobs.ts'
import { Orders } from './inspect-order.ts'
import { RetainedTree } from './inspect-retained.ts'
import { detailOf } from './inspect-session.ts'
import { SessionTable } from './inspect-sessions.ts'
import { statelyOf } from './stately-stream.ts'
import { censusOf } from './transition-history.ts'
import { transitionsOf } from './transition-stream.ts'
import type { Wills } from './wills.ts'

/** Takes samples of the broker meanwhile. */
export interface StatsSampler {
  readonly history: readonly StatsSample[]
  /** Takes them from now on; harmless where it does already. */
  begin(): void
}

export interface InspectionParts {
  readonly core: SessionCore
  readonly wills: Wills
  readonly facts: BrokerFacts
  readonly stats: BrokerStatsReader
  readonly sampler: StatsSampler
  /** Keeps the broker from what an observer throws. */
  readonly guard: <T>(observable: Observable<T>) => Observable<T>
}

/**
 * Everything that can be asked of a broker from outside, each answer from the piece that knows it. Made
 * when somebody asks for the first time: until then nothing is sampled, recorded or kept.
 */
export class Inspection implements BrokerInspection {
  readonly #core: SessionCore
  readonly #guard: InspectionParts['guard']
  readonly #facts: BrokerFacts
  readonly #stats: BrokerStatsReader
  readonly #sampler: StatsSampler
  readonly #sessions: SessionTable
  readonly #retained: RetainedTree
  readonly #jobs: JobTable

  constructor({ core, wills, facts, guard, stats, sampler }: InspectionParts) {
    this.#core = core
    this.#guard = guard
    this.transitions$ = guard(transitionsOf(core))
    this.#facts = facts
    this.#stats = stats
    this.#sampler = sampler
    const orders = new Orders()
    this.#sessions = new SessionTable(core, orders)
    this.#retained = new RetainedTree(core, orders)
    this.#jobs = new JobTable(core, wills, orders)
  }

  // --- what is counted ------------------------------------------------------------------------

  stats(): BrokerStats {
    this.#sampler.begin()
    return this.#stats.now()
  }

  statsHistory(): readonly StatsSample[] {
    this.#sampler.begin()
    return this.#sampler.history
  }

  slowSubscribers(max: number): readonly SlowSubscriber[] {
    return this.#stats.slowSubscribers(max)
  }

  roles(): readonly RoleSummary[] | undefined {
    const definitions = this.#facts.roles()
    return definitions && summariseRoles(definitions, this.#core.registry.index)
  }

  // --- steps of charts ------------------------------------------------------------------------

  readonly transitions$: BrokerInspection['transitions$']

  census(): Readonly<Record<string, number>> {
    return this.#core.history?.census() ?? censusOf(this.#core)
  }

  flows(): ReturnType<BrokerInspection['flows']> {
    return this.#core.history?.flows() ?? []
  }

  history(clientId: string): ReturnType<BrokerInspection['history']> {
    return this.#core.history?.of(clientId) ?? []
  }

  stately(options?: StatelyOptions): Observable<StatelyInspectionEvent> {
    return this.#guard(statelyOf(this.#core, options))
  }

  // --- sessions -------------------------------------------------------------------------------

  sessions(query: Parameters<BrokerInspection['sessions']>[0]): ReturnType<BrokerInspection['sessions']> {
    return this.#sessions.page(query)
  }

  async session(clientId: string): ReturnType<BrokerInspection['session']> {
    const session = this.#core.registry.sessions.get(clientId)
    return session && detailOf(session)
  }

  // --- retained messages ----------------------------------------------------------------------

  retained(query: Parameters<BrokerInspection['retained']>[0]): ReturnType<BrokerInspection['retained']> {
    return this.#retained.page(query)
  }

  retainedMessage(topic: string): ReturnType<BrokerInspection['retainedMessage']> {
    return this.#retained.message(topic)
  }

  deleteRetained(topic: string): Promise<boolean> {
    return this.#retained.delete(topic)
  }

  // --- jobs -----------------------------------------------------------------------------------

  jobs(query: Parameters<BrokerInspection['jobs']>[0]): ReturnType<BrokerInspection['jobs']> {
    return this.#jobs.page(query)
  }

  retryJob(id: string, by = ''): Promise<boolean> {
    return this.#jobs.retry(id, by)
  }

  dropJob(id: string): Promise<boolean> {
    return this.#jobs.drop(id)
  }
}
