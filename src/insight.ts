import { StatemqError } from './errors.ts'
import type { BrokerStats } from './inspection.ts'
import type { BrokerOptions } from './options.ts'
import type { MetricsText } from './observe/metrics.ts'
import { StatsSampler } from './observe/stats-sampler.ts'
import { SysTopics } from './observe/sys-topics.ts'
import { BrokerStatsReader, type BrokerFacts } from './session/broker-stats.ts'
import { Inspection, type InspectionParts } from './session/inspection.ts'
import { systemPublication } from './session/system-publication.ts'

/** What the inspection is made of, besides what is made here. */
export interface InsightParts
  extends Pick<InspectionParts, 'core' | 'wills' | 'guard'>, Pick<BrokerFacts, 'state' | 'listeners'> {
  /** Those in force. */
  readonly options: () => BrokerOptions
}

/**
 * What a broker tells of itself: its inspection, its metrics and its `$SYS` topics. Each is made when
 * somebody wants it, and what nobody wants costs nothing.
 */
export class Insight {
  readonly #parts: InsightParts
  readonly #facts: BrokerFacts
  readonly #stats: BrokerStatsReader
  #sampler: StatsSampler | undefined = undefined
  #inspection: Inspection | undefined = undefined
  #sysTopics: SysTopics | undefined = undefined

  /** Throws SMQ_OPTION_INVALID. */
  constructor(parts: InsightParts) {
    const { core, options, state, listeners } = parts
    intervalOf(options())
    this.#parts = parts
    this.#facts = { state, listeners, store: options().store?.type ?? 'memory', roles: () => options().roles }
    this.#stats = new BrokerStatsReader(core, this.#facts)
  }

  get inspection(): Inspection {
    return (this.#inspection ??= this.#inspect())
  }

  #inspect(): Inspection {
    const sampler = new StatsSampler(this.#parts.core.clock, this.#stats.now)
    this.#sampler = sampler
    this.#stats.loopLagMs = () => sampler.loopLagMs
    return new Inspection({ ...this.#parts, facts: this.#facts, stats: this.#stats, sampler })
  }

  async metrics(): Promise<MetricsText> {
    const { metricsText } = await import('./observe/metrics.ts')
    return metricsText(this.#stats.now())
  }

  /** `$SYS` is published from when clients are taken in until the broker has stopped. */
  follow(state: BrokerStats['state']): void {
    if (state === 'running') this.#publish()
    if (state === 'stopped') this.#close()
  }

  #publish(): void {
    const { core } = this.#parts
    const intervalSeconds = intervalOf(this.#parts.options())
    if (intervalSeconds === 0) return
    this.#sysTopics = new SysTopics({
      clock: core.clock,
      intervalSeconds,
      read: this.#stats.now,
      mostOnline: () => core.counters.levels.mostOnline,
      publish: (topic, payload) => void core.router.publish(systemPublication(topic, payload)),
    })
  }

  #close(): void {
    this.#sysTopics?.close()
    this.#sampler?.close()
  }
}

/** 0: nothing is published. */
function intervalOf({ sysTopics = { intervalSeconds: 0 } }: BrokerOptions): number {
  const { intervalSeconds = 10 } = sysTopics
  if (Number.isInteger(intervalSeconds) && intervalSeconds >= 0 && intervalSeconds <= 86_400) return intervalSeconds
  throw new StatemqError('SMQ_OPTION_INVALID', 'sysTopics.intervalSeconds: expected a whole number from 0 to 86400')
}
