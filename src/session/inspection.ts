import { EMPTY } from 'rxjs'

import { countersNow } from '../counters.ts'
import type { Transport } from '../messages.ts'
import type { BrokerInspection, BrokerStats, SlowSubscriber, StatsSample } from '../inspection.ts'
import { packageVersion } from '../version.ts'
import type { SessionCore } from './core.ts'
import type { Wills } from './wills.ts'

/** What only the broker itself knows of what is so now. */
export interface BrokerFacts {
  readonly state: () => BrokerStats['state']
  readonly store: BrokerStats['store']['name']
  readonly listeners: () => Iterable<OpenListener>
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
}

/**
 * Everything that can be asked of a broker from outside, each answer from the piece that knows it. Made
 * when somebody asks for the first time: until then nothing is sampled, recorded or kept.
 */
export class Inspection implements BrokerInspection {
  readonly #core: SessionCore
  readonly #facts: BrokerFacts

  constructor({ core, facts }: InspectionParts) {
    this.#core = core
    this.#facts = facts
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

  // --- steps of charts ------------------------------------------------------------------------

  readonly transitions$: BrokerInspection['transitions$'] = EMPTY

  census(): Readonly<Record<string, number>> {
    return {}
  }

  flows(): ReturnType<BrokerInspection['flows']> {
    return []
  }

  history(_clientId: string): ReturnType<BrokerInspection['history']> {
    return []
  }

  // --- sessions -------------------------------------------------------------------------------

  sessions({ offset }: Parameters<BrokerInspection['sessions']>[0]): ReturnType<BrokerInspection['sessions']> {
    return Promise.resolve({ total: 0, offset, rows: [] })
  }

  session(_clientId: string): ReturnType<BrokerInspection['session']> {
    return Promise.resolve(undefined)
  }

  // --- retained messages ----------------------------------------------------------------------

  retained({ offset }: Parameters<BrokerInspection['retained']>[0]): ReturnType<BrokerInspection['retained']> {
    return Promise.resolve({ total: 0, offset, levels: [] })
  }

  retainedMessage(_topic: string): ReturnType<BrokerInspection['retainedMessage']> {
    return undefined
  }

  deleteRetained(_topic: string): Promise<boolean> {
    return Promise.resolve(false)
  }

  // --- jobs -----------------------------------------------------------------------------------

  jobs({ offset }: Parameters<BrokerInspection['jobs']>[0]): ReturnType<BrokerInspection['jobs']> {
    return Promise.resolve({ total: 0, offset, rows: [] })
  }

  retryJob(_id: string): Promise<boolean> {
    return Promise.resolve(false)
  }

  dropJob(_id: string): Promise<boolean> {
    return Promise.resolve(false)
  }
}

function listenerNow({ name, transport, address, connections }: OpenListener): BrokerStats['listeners'][number] {
  const shown = 'path' in address ? address.path : addressText(address)
  return { name, transport, address: shown, connections }
}

function addressText({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
