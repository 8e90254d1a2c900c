import { collectDefaultMetrics, Counter, Gauge, prometheusContentType, Registry } from 'prom-client'

import type { BrokerStats } from '../inspection.ts'
import { metrics, type Metric } from './metric-table.ts'

/** What Prometheus is answered. */
export interface MetricsText {
  readonly contentType: string
  readonly text: string
}

/** Those of the process that Prometheus' own checker finds fault with: gauges that are named like counters. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total']

let processRegistry: Registry | undefined = undefined

/** What is told of the process is the same for all brokers in it, and is measured from the first time that it is asked for. */
function ofProcess(): Registry {
  if (processRegistry === undefined) {
    processRegistry = new Registry()
    collectDefaultMetrics({ register: processRegistry })
    for (const name of misnamed) processRegistry.removeSingleMetric(name)
  }
  return processRegistry
}

/** A broker's statistics in the text format of Prometheus, and those of its process. */
export async function metricsText(stats: BrokerStats): Promise<MetricsText> {
  const registry = new Registry()
  for (const metric of metrics) register(metric, stats, registry)
  const texts = [await registry.metrics(), await ofProcess().metrics()]
  return { contentType: prometheusContentType, text: texts.map((text) => `${text.trimEnd()}\n`).join('') }
}

function register({ name, help, type, labels, read }: Metric, stats: BrokerStats, registry: Registry): void {
  const options = { name, help, labelNames: [...labels], registers: [registry] }
  if (type === 'gauge') {
    const gauge = new Gauge(options)
    for (const [values, value] of read(stats)) gauge.set(values, value)
    return
  }
  const counter = new Counter(options)
  for (const [values, value] of read(stats)) counter.inc(values, value)
}
