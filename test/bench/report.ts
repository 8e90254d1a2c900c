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
}

/** Three significant digits: the noise is larger than the fourth. */
export function shortNumber(value: number): string {
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3)
}

/** `aim` and `pass` are inside the targets, `missed` is not; `failed` lost or reordered; undefined can't be told. */
export function verdictOf({ measure, medians, faults }: Row): 'aim' | 'pass' | 'missed' | 'failed' | undefined {
  if (faults > 0) return 'failed'
  if (medians.statemq === undefined) return undefined
  if (measure.target === undefined) return 'pass'
  const judged = measure.judged === 'value' ? medians.statemq : ratio(medians.statemq, medians.aedes)
  if (judged === undefined) return undefined
  if (judged <= measure.target.aim) return 'aim'
  return judged <= measure.target.most ? 'pass' : 'missed'
}

function targetCells({ target, judged, unit }: Measure): [string, string] {
  if (target === undefined) return ['all, once, in order', '']
  const suffix = judged === 'value' ? ` ${unit}` : ''
  return [`${target.most}${suffix}`, `${target.aim}${suffix}`]
}

function cells(row: Row, columns: readonly Column[]): string[] {
  const { measure, medians } = row
  const figures = columns.map(({ name }) => {
    const value = medians[name]
    return value === undefined ? '–' : `${shortNumber(value)}${measure.unit === 'µs' ? '' : ` ${measure.unit}`}`
  })
  const toAedes = ratio(medians.statemq, medians.aedes)
  const verdict = verdictOf(row)
  return [
    measure.label,
    ...figures,
    toAedes === undefined ? '–' : shortNumber(toAedes),
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
  const head = ['CPU µs per delivered message', ...titles, 'ratio to Aedes', 'must be at most', 'aim', 'result']
  const rule = head.map((_, index) => (index === 0 || index > columns.length + 1 ? '---' : '---:'))
  const raised = about.raised.map(({ scenario, settings }) => `${scenario}: \`${settings.join(' ')}\``)
  return [
    tableLine(head),
    `|${rule.join('|')}|`,
    ...rows.map((row) => tableLine(cells(row, columns))),
    '',
    `${about.date}, ${about.machine}, ${about.processors} processors, ${about.pinning}. Node ${about.node}. Medians of ` +
      `${about.repetitions}, brokers in turn. statemq with its default options` +
      (raised.length > 0 ? `, and these limits raised: ${raised.join('; ')}.` : '.'),
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
