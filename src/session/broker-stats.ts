import { countersNow } from '../counters.ts'
import type { BrokerStats, SlowSubscriber } from '../inspection.ts'
import type { Transport } from '../messages.ts'
import type { RoleDefinitions } from '../roles.ts'
import { packageVersion } from '../version.ts'
import { BacklogSurvey } from './backlog.ts'
import type { SessionCore } from './core.ts'

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

/** Reads what has been counted, and what is so now. It costs nothing but when it is asked. */
export class BrokerStatsReader {
  readonly #core: SessionCore
  readonly #facts: BrokerFacts
  readonly #survey: BacklogSurvey
  /** Of whoever measures it. */
  loopLagMs: () => BrokerStats['loopLagMs'] = () => ({ mean: 0, p99: 0, max: 0 })

  constructor(core: SessionCore, facts: BrokerFacts) {
    this.#core = core
    this.#facts = facts
    this.#survey = new BacklogSurvey(core)
  }

  readonly now = (): BrokerStats => {
    const { clock, registry, router, counters, startedAtMs, store } = this.#core
    const { levels } = counters
    const { state, store: name, listeners } = this.#facts
    const { queuedMessages, queuedBytes, inflightMessages } = this.#survey.backlog
    const { rss, heapUsed, external } = process.memoryUsage()
    const { user, system } = process.cpuUsage()
    return {
      atMs: clock.nowMs(),
      startedAtMs,
      version: packageVersion(),
      state: state(),
      counters: countersNow(counters),
      sessions: { ...levels.states },
      connections: registry.hosts.size - registry.offline,
      subscriptions: levels.subscriptions,
      sharedSubscriptions: levels.sharedSubscriptions,
      retainedMessages: router.retained.clientCount,
      retainedBytes: router.retained.bytes,
      queuedMessages,
      queuedBytes,
      inflightMessages,
      pendingWills: levels.delayedWills,
      loopLagMs: this.loopLagMs(),
      memory: { rssBytes: rss, heapUsedBytes: heapUsed, externalBytes: external },
      cpuSeconds: (user + system) / 1_000_000,
      store: { name, fault: store?.fault?.code ?? null },
      listeners: Array.from(listeners(), listenerNow),
    }
  }

  slowSubscribers(max: number): readonly SlowSubscriber[] {
    return this.#survey.slowest(max)
  }
}

function listenerNow({ name, transport, address, connections }: OpenListener): BrokerStats['listeners'][number] {
  const shown = 'path' in address ? address.path : addressText(address)
  return { name, transport, address: shown, connections }
}

function addressText({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
