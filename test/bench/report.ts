import type { BrokerName } from './brokers.ts'
import type { Measure } from './scenarios.ts'
import { ratio } from './statistics.ts'

/** A row of the table before it is text: the medians of one measure. */
export interface Row {
  readonly measure: Measure
  /** No entry: not measured, or every run failed. */
  readonly medians: Readonly<Partial<Record<BrokerName, number>>>
  /** Runs of statemq that lost, duplicated or reordered. */
  readonly faults: number
}

/** A broker of this run as the table's head names it: `Aedes 1.2.0`. */
export interface Column {
  readonly name: BrokerName
  readonly title: string
}

/** Where and how it was measured. */
export interface Circumstances {
  readonly machine: string
  readonly processors: number
  readonly pinning: string
  readonly node: string
  readonly date: string
  readonly repetitions: number
  /** Per scenario the limits of statemq that were raised for it. */
  readonly raised: ReadonlyArray<{ readonly scenario: string; readonly settings: readonly string[] }>
  /** What ratios are to. Default: Aedes. */
  readonly baseline?: Column
  /** Sentences that follow. */
  readonly notes?: readonly string[]
}

/** Three significant digits: the noise is larger than the fourth. */
export function shortNumber(value: number): string {
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3)
}

/** `aim` and `pass` are inside the targets, `missed` is not; `failed` lost or reordered; undefined can't be told. */
export function verdictOf(
  { measure, medians, faults }: Row,
  baseline: BrokerName = 'aedes',
): 'aim' | 'pass' | 'missed' | 'failed' | undefined {
  if (faults > 0) return 'failed'
  if (medians.statemq === undefined) return undefined
  if (measure.target === undefined) return 'pass'
  const judged = measure.judged === 'value' ? medians.statemq : ratio(medians.statemq, medians[baseline])
  if (judged === undefined) return undefined
  const { target } = measure
  if ('least' in target) return judged >= target.aim ? 'aim' : judged >= target.least ? 'pass' : 'missed'
  return judged <= target.aim ? 'aim' : judged <= target.most ? 'pass' : 'missed'
}

function targetCells({ target, judged, unit }: Measure): [string, string] {
  if (target === undefined) return ['all, once, in order', '']
  const suffix = judged === 'value' ? ` ${unit}` : ''
  const bound = 'least' in target ? `at least ${target.least}` : `${target.most}`
  return [`${bound}${suffix}`, `${target.aim}${suffix}`]
}

function cells(row: Row, columns: readonly Column[], baseline: BrokerName): string[] {
  const { measure, medians } = row
  const figures = columns.map(({ name }) => {
    const value = medians[name]
    return value === undefined ? '–' : `${shortNumber(value)}${measure.unit === 'µs' ? '' : ` ${measure.unit}`}`
  })
  const toBaseline = ratio(medians.statemq, medians[baseline])
  const verdict = verdictOf(row, baseline)
  return [
    measure.label,
    ...figures,
    toBaseline === undefined ? '–' : shortNumber(toBaseline),
    ...targetCells(measure),
    verdict === 'aim' ? 'pass, aim met' : (verdict ?? '–'),
  ]
}

function tableLine(texts: readonly string[]): string {
  return `| ${texts.join(' | ')} |`
}

/** The table and, below it, all that is needed to judge it. */
export function markdownReport(rows: readonly Row[], columns: readonly Column[], about: Circumstances): string {
  const titles = columns.map(({ title }) => title)
  const { baseline = { name: 'aedes', title: 'Aedes' }, notes = [] } = about
  const head = [
    'CPU µs per delivered message',
    ...titles,
    `ratio to ${baseline.title}`,
    'must be at most',
    'aim',
    'result',
  ]
  const rule = head.map((_, index) => (index === 0 || index > columns.length + 1 ? '---' : '---:'))
  const raised = about.raised.map(({ scenario, settings }) => `${scenario}: \`${settings.join(' ')}\``)
  return [
    tableLine(head),
    `|${rule.join('|')}|`,
    ...rows.map((row) => tableLine(cells(row, columns, baseline.name))),
    '',
    `${about.date}, ${about.machine}, ${about.processors} processors, ${about.pinning}. Node ${about.node}. Medians of ` +
      `${about.repetitions}, brokers in turn. statemq with its default options` +
      (raised.length > 0 ? `, and these limits raised: ${raised.join('; ')}.` : '.') +
      notes.map((note) => ` ${note}`).join(''),
  ].join('\n')
}

const begin = '<!-- bench:begin -->'
const end = '<!-- bench:end -->'

/** The page with the report between its marks; marks are added at its end where it has none. */
export function withReport(page: string, report: string): string {
  const block = `${begin}\n${report}\n${end}`
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from < 0 && to < 0) return `${page.trimEnd()}\n\n## Speed\n\n${block}\n`
  if (from < 0 || to < from) throw new Error(`the page has only one of ${begin} and ${end}, or has them reversed`)
  return page.slice(0, from) + block + page.slice(to + end.length)
}
