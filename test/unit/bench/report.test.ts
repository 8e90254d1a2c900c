import { describe, expect, test } from 'vitest'

import { markdownReport, shortNumber, verdictOf, withReport, type Row } from '../../bench/report.ts'
import type { Measure } from '../../bench/scenarios.ts'

const byRatio: Measure = {
  label: 'fast',
  unit: 'µs',
  of: () => undefined,
  judged: 'ratio',
  target: { most: 0.5, aim: 0.25 },
}
const byValue: Measure = {
  label: 'small',
  unit: 'KB',
  of: () => undefined,
  judged: 'value',
  target: { most: 16, aim: 12 },
}
const complete: Measure = { label: 'whole', unit: 'µs', of: () => undefined, judged: 'ratio' }

function row(measure: Measure, statemq?: number, aedes?: number, faults = 0): Row {
  return {
    measure,
    medians: { ...(statemq === undefined ? {} : { statemq }), ...(aedes === undefined ? {} : { aedes }) },
    faults,
  }
}

describe('verdictOf', () => {
  test('holds the ratio to Aedes against the targets, their bounds included', () => {
    expect([2.5, 2.6, 5, 5.1].map((value) => verdictOf(row(byRatio, value, 10)))).toEqual([
      'aim',
      'pass',
      'pass',
      'missed',
    ])
  })

  test('holds the figure itself against the targets where these are absolute', () => {
    expect([12, 16, 16.1].map((value) => verdictOf(row(byValue, value)))).toEqual(['aim', 'pass', 'missed'])
  })

  test('of a rate, more is better', () => {
    const rate: Measure = { ...byValue, unit: 'messages/s', target: { least: 60, aim: 150 } }
    expect([150, 149, 60, 59].map((value) => verdictOf(row(rate, value)))).toEqual(['aim', 'pass', 'pass', 'missed'])
  })

  test('holds ratios to another baseline where there is one', () => {
    const durable = { ...row(byRatio, 5, 100), medians: { statemq: 5, aedes: 100, 'statemq-memory': 10 } }
    expect([verdictOf(durable), verdictOf(durable, 'statemq-memory')]).toEqual(['aim', 'pass'])
  })

  test('passes a row without targets', () => {
    expect(verdictOf(row(complete, 100, 1))).toBe('pass')
  })

  test('fails whatever lost a message, however fast it was', () => {
    expect([byRatio, byValue, complete].map((measure) => verdictOf(row(measure, 1, 10, 1)))).toEqual([
      'failed',
      'failed',
      'failed',
    ])
  })

  test('says nothing without statemq, or without the Aedes that a ratio needs', () => {
    expect([row(byRatio, undefined, 10), row(byRatio, 1), row(complete)].map((one) => verdictOf(one))).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })
})

test('shortNumber keeps about three significant digits', () => {
  expect([261.4, 80.26, 5.304, 0.4456, 0.04].map(shortNumber)).toEqual(['261', '80.3', '5.30', '0.446', '0.040'])
})

describe('markdownReport', () => {
  const about = {
    machine: 'Example 3000',
    processors: 2,
    pinning: 'nothing pinned (there is no taskset)',
    node: '24.1.0',
    date: '2026-01-02',
    repetitions: 5,
    raised: [{ scenario: 'whole', settings: ['limits.a=1', 'limits.b=2'] }],
  }

  test('is a table and the circumstances', () => {
    const rows = [
      row(byRatio, 2, 10),
      row(byValue, 14, 28),
      row(complete, 1, undefined),
      row(byRatio, undefined, 10, 1),
    ]
    const columns = [
      { name: 'statemq', title: 'statemq 1' },
      { name: 'aedes', title: 'Aedes 2' },
    ] as const
    expect(markdownReport(rows, columns, about).split('\n')).toEqual([
      '| CPU µs per delivered message | statemq 1 | Aedes 2 | ratio to Aedes | must be at most | aim | result |',
      '|---|---:|---:|---:|---|---|---|',
      '| fast | 2.00 | 10.0 | 0.200 | 0.5 | 0.25 | pass, aim met |',
      '| small | 14.0 KB | 28.0 KB | 0.500 | 16 KB | 12 KB | pass |',
      '| whole | 1.00 | – | – | all, once, in order |  | pass |',
      '| fast | – | 10.0 | – | 0.5 | 0.25 | failed |',
      '',
      '2026-01-02, Example 3000, 2 processors, nothing pinned (there is no taskset). Node 24.1.0. Medians of 5, brokers ' +
        'in turn. statemq with its default options, and these limits raised: whole: `limits.a=1 limits.b=2`.',
    ])
  })

  test('names another baseline, bounds that are the least, and what is to be noted', () => {
    const rate: Measure = { ...byValue, label: 'rate', unit: 'messages/s', target: { least: 60, aim: 150 } }
    const columns = [{ name: 'statemq', title: 'statemq 1' }] as const
    const baseline = { name: 'statemq-memory', title: 'memory' } as const
    const measured = { ...row(rate, 100), medians: { statemq: 100, 'statemq-memory': 200 } }
    const text = markdownReport([measured], columns, { ...about, raised: [], baseline, notes: ['One.', 'Two.'] })
    const [head, , line, , rest] = text.split('\n')
    expect([head, line]).toEqual([
      '| CPU µs per delivered message | statemq 1 | ratio to memory | must be at most | aim | result |',
      '| rate | 100 messages/s | 0.500 | at least 60 messages/s | 150 messages/s | pass |',
    ])
    expect(rest).toMatch(/ statemq with its default options\. One\. Two\.$/)
  })

  test('says that nothing was raised where nothing was', () => {
    const text = markdownReport([], [], { ...about, raised: [] })
    expect(text.endsWith(' statemq with its default options.')).toBe(true)
  })
})

describe('withReport', () => {
  const page = '# Name\n\n<!-- bench:begin -->\nold\n<!-- bench:end -->\n\nafter\n'

  test('replaces what stands between the marks and nothing else', () => {
    expect(withReport(page, 'new $& $1')).toBe(
      '# Name\n\n<!-- bench:begin -->\nnew $& $1\n<!-- bench:end -->\n\nafter\n',
    )
  })

  test('gives the same page when done twice', () => {
    const once = withReport(page, 'new')
    expect(withReport(once, 'new')).toBe(once)
  })

  test('adds marks at the end of a page without any', () => {
    expect(withReport('# Name\n', 'new')).toBe('# Name\n\n## Speed\n\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\n')
  })

  test('refuses a page with one mark, or with the marks reversed', () => {
    const damaged = ['a <!-- bench:begin -->', 'a <!-- bench:end -->', '<!-- bench:end --><!-- bench:begin -->']
    for (const text of damaged) {
      expect(() => withReport(text, 'new')).toThrow(
        'the page has only one of <!-- bench:begin --> and <!-- bench:end -->, or has them reversed',
      )
    }
  })
})
