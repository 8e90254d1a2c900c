import type { Observable } from 'rxjs'

import { countersNow } from '../counters.ts'
import type { Transport } from '../messages.ts'
import type { BrokerInspection, BrokerStats, RoleSummary, SlowSubscriber, StatsSample } from '../inspection.ts'
import { packageVersion } from '../version.ts'
import type { RoleDefinitions } from '../roles.ts'
import type { SessionCore } from './core.ts'
import { summariseRoles } from './role-summary.ts'
import { JobTable } from './inspect-jobs.ts'
import { Orders } from './inspect-order.ts'
import { RetainedTree } from './inspect-retained.ts'
import { detailOf } from './inspect-session.ts'
import { SessionTable } from './inspect-sessions.ts'
import { censusOf } from './transition-history.ts'
import { transitionsOf } from './transition-stream.ts'
import type { Wills } from './wills.ts'

/** What only the broker itself knows of what is so now. */
export interface BrokerFacts {
  readonly state: () => BrokerStats['state']
  readonly store: BrokerStats['store']['name']
  readonly listeners: () => Iterable<OpenListener>
  readonly roles: () => RoleDefinitions | undefined
}

interface OpenListener {
  readonly name: string
  readonly transport: Transport
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string }
  readonly connections: number
}

/** Takes samples from when it is made until it is closed. */
export interface StatsSampler {
  readonly history: readonly StatsSample[]
  readonly loopLagMs: BrokerStats['loopLagMs']
  close(): void
}

export interface InspectionParts {
  readonly core: SessionCore
  readonly wills: Wills
  readonly facts: BrokerFacts
  /** Keeps the broker from what an observer throws. */
  readonly guard: <T>(observable: Observable<T>) => Observable<T>
}

/**
 * Everything that can be asked of a broker from outside, each answer from the piece that knows it. Made
 * when somebody asks for the first time: until then nothing is sampled, recorded or kept.
 */
export class Inspection implements BrokerInspection {
  readonly #core: SessionCore
  readonly #facts: BrokerFacts
  readonly #sessions: SessionTable
  readonly #retained: RetainedTree
  readonly #jobs: JobTable

  constructor({ core, wills, facts, guard }: InspectionParts) {
    this.#core = core
    this.transitions$ = guard(transitionsOf(core))
    this.#facts = facts
    const orders = new Orders()
    this.#sessions = new SessionTable(core, orders)
    this.#retained = new RetainedTree(core, orders)
    this.#jobs = new JobTable(core, wills, orders)
  }

  // --- what is counted ------------------------------------------------------------------------

  stats(): BrokerStats {
    const { clock, registry, router, counters, startedAtMs, store } = this.#core
    const { state, store: name, listeners } = this.#facts
    const { rss, heapUsed, external } = process.memoryUsage()
    const { user, system } = process.cpuUsage()
    return {
      atMs: clock.nowMs(),
      startedAtMs,
      version: packageVersion(),
      state: state(),
      counters: countersNow(counters),
      sessions: { ...counters.levels.states },
      connections: registry.hosts.size - registry.offline,
      subscriptions: counters.levels.subscriptions,
      sharedSubscriptions: counters.levels.sharedSubscriptions,
      retainedMessages: router.retained.count,
      retainedBytes: router.retained.bytes,
      queuedMessages: 0,
      queuedBytes: 0,
      inflightMessages: 0,
      pendingWills: counters.levels.delayedWills,
      loopLagMs: { mean: 0, p99: 0, max: 0 },
      memory: { rssBytes: rss, heapUsedBytes: heapUsed, externalBytes: external },
      cpuSeconds: (user + system) / 1_000_000,
      store: { name, fault: store?.fault?.code ?? null },
      listeners: [...listeners()].map(listenerNow),
    }
  }

  statsHistory(): readonly StatsSample[] {
    return []
  }

  slowSubscribers(_max: number): readonly SlowSubscriber[] {
    return []
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

  retryJob(id: string): Promise<boolean> {
    return this.#jobs.retry(id)
  }

  dropJob(id: string): Promise<boolean> {
    return this.#jobs.drop(id)
  }
}

function listenerNow({ name, transport, address, connections }: OpenListener): BrokerStats['listeners'][number] {
  const shown = 'path' in address ? address.path : addressText(address)
  return { name, transport, address: shown, connections }
}

function addressText({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
