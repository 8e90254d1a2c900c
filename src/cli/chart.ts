import { brokerMachine, sessionMachine, willMachine } from '../../machines/index.ts'
import { describeChart } from '../inspect/chart.ts'
import { toMermaid, type ChartDetail } from '../inspect/mermaid.ts'

/** The machines that can be shown. */
export const charts = {
  session: () => describeChart(sessionMachine),
  will: () => describeChart(willMachine),
  broker: () => describeChart(brokerMachine),
}

export type ChartName = keyof typeof charts
export const chartFormats = ['mermaid', 'json'] as const

/** The machine as it runs, for people (mermaid) or for tools (JSON that an XState viewer opens). */
export function renderChart(
  name: ChartName,
  format: (typeof chartFormats)[number],
  detail: ChartDetail = 'full',
): string {
  const chart = charts[name]()
  return format === 'json' ? `${JSON.stringify(chart, null, 2)}\n` : toMermaid(chart, detail)
}
