import { Option, type Command } from 'commander'

import { brokerMachine, sessionMachine, willMachine } from '../../machines/index.ts'
import { StatemqError } from '../errors.ts'
import { describeChart, withCensus, type ChartState } from '../inspect/chart.ts'
import { toMermaid, type ChartDetail } from '../inspect/mermaid.ts'
import { drawPicture, pictureThemes, type PictureTheme } from '../inspect/svg.ts'
import { pictureTitles } from '../inspect/titles.ts'
import { AdminClient } from './admin-client.ts'
import { targetOf, withTarget, type TargetFlags } from './admin-target.ts'

/** The machines that can be shown. */
const charts = {
  session: () => describeChart(sessionMachine),
  will: () => describeChart(willMachine),
  broker: () => describeChart(brokerMachine),
}

type ChartName = keyof typeof charts
const chartFormats = ['mermaid', 'json', 'svg'] as const

interface ChartFlags extends TargetFlags {
  readonly machine: ChartName
  readonly format: (typeof chartFormats)[number]
  /** Of mermaid: guards and actions are left out. */
  readonly brief?: true
  /** Of SVG. */
  readonly theme: PictureTheme
  readonly live?: true
}

const help = `
With --live the chart is that of a broker that runs, with the states that its embedder has added, and each state says how
many sessions are in it; in JSON as meta.sessions. The broker is --url, or STATEMQ_URL (default: http://127.0.0.1:7883); the
token is found as for "statemq sessions".`

/** `statemq chart`: the machines as they run, for people (mermaid, SVG) or for tools (JSON that an XState viewer opens). */
export function addChartCommand(program: Command, write: (text: string) => void): void {
  const command = program
    .command('chart')
    .description('print a statechart that the broker runs')
    .addOption(new Option('--format <format>', 'for people or for tools').choices(chartFormats).default('mermaid'))
    .addOption(new Option('--machine <name>', 'which one').choices(Object.keys(charts)).default('session'))
    .option('--brief', 'mermaid without guards and actions: which events lead from state to state')
    .addOption(new Option('--theme <theme>', 'colours of svg').choices(pictureThemes).default('light'))
    .option('--live', 'ask a running broker, and show how many sessions are in each state')
  withTarget(command)
    .allowExcessArguments(false)
    .addHelpText('after', help)
    .action(async (flags: ChartFlags) => {
      write(await render(flags.live ? await liveChart(flags) : charts[flags.machine](), flags))
    })
}

async function liveChart(flags: ChartFlags): Promise<ChartState> {
  if (flags.machine !== 'session')
    throw new StatemqError('SMQ_USAGE', 'only sessions are counted: --live has no --machine')
  const client = new AdminClient(await targetOf(flags, process.env))
  const [chart, { states }] = await Promise.all([
    client.get<ChartState>('/machines/session.json'),
    client.get<{ readonly states: Readonly<Record<string, number>> }>('/api/v1/census'),
  ])
  return withCensus(chart, states)
}

async function render(chart: ChartState, { machine, format, brief, theme }: ChartFlags): Promise<string> {
  const detail: ChartDetail = brief ? 'brief' : 'full'
  switch (format) {
    case 'mermaid':
      return toMermaid(chart, detail)
    case 'json':
      return `${JSON.stringify(chart, null, 2)}\n`
    case 'svg':
      return drawPicture(chart, { theme, title: pictureTitles[machine], known: charts[machine]() })
  }
}
