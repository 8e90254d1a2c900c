import { appendFileSync } from 'node:fs'

import { startBroker, type BrokerKind, type BrokerName, type RunningBroker } from './brokers.ts'
import { runLoad } from './load-generator.ts'
import type { Pinning } from './machine.ts'
import type { Row } from './report.ts'
import { figure, type LoadResult, type Scenario } from './scenarios.ts'
import { seedStore } from './seed-store.ts'
import { faultOf, median } from './statistics.ts'

/** All that the scenarios of one `npm run bench` have in common. */
export interface Bench {
  readonly kinds: readonly BrokerKind[]
  /** The file that runs statemq. */
  readonly entry: string
  readonly repetitions: number
  readonly loadGenerator: string
  readonly pinning: Pinning
  readonly workFolder: string
  /** Every result is appended to it, one JSON object a line. */
  readonly resultsFile: string
  say(line: string): void
}

interface Outcome {
  readonly broker: BrokerName
  readonly result: LoadResult
  readonly fault: string | undefined
}

export interface Measured {
  readonly rows: readonly Row[]
  /** Runs, of whichever broker, that lost, duplicated or reordered; their figures are left out. */
  readonly faults: readonly string[]
}

function describe(scenario: Scenario, { result, fault }: Outcome): string {
  if (fault !== undefined) return `FAILED: ${fault}`
  const figures = scenario.measures.map((measure) => `${measure.of(result)?.toFixed(2) ?? '–'} ${measure.unit}`)
  const lost = figure(result, 'lost') ?? 0
  return `${figures.join(', ')}${lost > 0 ? ` (${lost} lost, which QoS 0 allows)` : ''}`
}

function rowsOf(scenario: Scenario, kinds: readonly BrokerKind[], outcomes: readonly Outcome[]): Row[] {
  return scenario.measures.map((measure) => {
    const medians: Partial<Record<BrokerName, number>> = {}
    for (const { name } of kinds) {
      const clean = outcomes.filter(({ broker, fault }) => broker === name && fault === undefined)
      const middle = median(clean.map(({ result }) => measure.of(result)).filter((value) => value !== undefined))
      if (middle !== undefined) medians[name] = middle
    }
    const faults = outcomes.filter(({ broker, fault }) => broker === 'statemq' && fault !== undefined).length
    return { measure, medians, faults }
  })
}

/**
 * The brokers take turns, A B C A B C, so that what else the machine does hits all of them alike. A
 * scenario starts its brokers once and keeps them warm, or starts one per run where it is `fresh`.
 */
export async function measureScenario(bench: Bench, scenario: Scenario): Promise<Measured> {
  const { entry, repetitions, loadGenerator, pinning, workFolder, resultsFile, say } = bench
  // Only statemq has a store that can be seeded.
  const kinds = scenario.seed ? bench.kinds.filter(({ name }) => name === 'statemq') : bench.kinds
  const outcomes: Outcome[] = []
  const live = new Map<BrokerName, RunningBroker>()
  const seeded = scenario.seed && seedStore(bench, scenario.seed)
  const startOne = (kind: BrokerKind): Promise<RunningBroker> =>
    startBroker(kind, pinning, { entry, raised: scenario.raised, data: seeded?.directory }, workFolder)
  try {
    if (!scenario.fresh) for (const kind of kinds) live.set(kind.name, await startOne(kind))
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      for (const kind of kinds) {
        const broker = live.get(kind.name) ?? (await startOne(kind))
        const target = { port: broker.port, pid: broker.pid, label: kind.name }
        const result = seeded
          ? { ok: true, start_s: broker.startedInMs / 1000, disk_bytes: seeded.bytes }
          : runLoad(loadGenerator, pinning, scenario, target)
        const outcome = { broker: kind.name, result, fault: faultOf(result) }
        outcomes.push(outcome)
        say(`${scenario.name} ${repetition}/${repetitions} ${kind.name}: ${describe(scenario, outcome)}`)
        if (outcome.fault !== undefined) say(broker.lastWords())
        const about = { at: new Date().toISOString(), scenario: scenario.name, broker: kind.title, repetition }
        appendFileSync(resultsFile, `${JSON.stringify({ ...about, ...result })}\n`)
        if (scenario.fresh) await broker.stop()
      }
    }
  } finally {
    for (const broker of live.values()) await broker.stop()
    seeded?.remove()
  }
  const faults = outcomes.filter(({ fault }) => fault !== undefined)
  return {
    rows: rowsOf(scenario, kinds, outcomes),
    faults: faults.map(({ broker, fault }) => `${scenario.name}, ${broker}: ${fault}`),
  }
}
