import { brokerMachine, sessionMachine, willMachine } from '../../machines/index.ts'
import { describeChart } from '../inspect/chart.ts'
import { toMermaid, type ChartDetail } from '../inspect/mermaid.ts'
import { drawPicture, type PictureTheme } from '../inspect/svg.ts'
import { pictureTitles } from '../inspect/titles.ts'

/** The machines that can be shown. */
export const charts = {
  session: () => describeChart(sessionMachine),
  will: () => describeChart(willMachine),
  broker: () => describeChart(brokerMachine),
}

export type ChartName = keyof typeof charts
export const chartFormats = ['mermaid', 'json', 'svg'] as const

export interface ChartRequest {
  readonly machine: ChartName
  readonly format: (typeof chartFormats)[number]
  /** Of mermaid. */
  readonly detail: ChartDetail
  /** Of SVG. */
  readonly theme: PictureTheme
}

/** The machine as it runs: for people (mermaid, SVG) or for tools (JSON that an XState viewer opens). */
export async function renderChart({ machine, format, detail, theme }: ChartRequest): Promise<string> {
  const chart = charts[machine]()
  switch (format) {
    case 'mermaid':
      return toMermaid(chart, detail)
    case 'json':
      return `${JSON.stringify(chart, null, 2)}\n`
    case 'svg':
      return drawPicture(chart, { theme, title: pictureTitles[machine] })
  }
}
