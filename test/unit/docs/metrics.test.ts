import { expect, test } from 'vitest'

import { newCounters } from '../../../src/counters.ts'
import { metrics } from '../../../src/observe/metric-table.ts'
import { sysLoads, sysTopics } from '../../../src/observe/sys-topics.ts'
import { readFiles } from '../../support/source-files.ts'

const [page] = readFiles('docs/metrics.md')
const text = page!.text

/** The cells of the rows whose first cell begins so. */
function rows(beginning: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith(`| \`${beginning}`))
  return lines.map((line) => line.slice(2, -2).split(' | '))
}

test('docs/metrics.md lists every metric as it is, and no other', () => {
  const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ') || '–'
  expect(rows('statemq_')).toEqual(
    metrics.map(({ name, type, labels, help }) => [`\`${name}\``, type, code(labels), help]),
  )
})

test('docs/metrics.md explains every value of the labels that have a fixed number of them', () => {
  const { dropped } = newCounters()
  const [, reasons = ''] = /^- `reason` of a drop:([\s\S]*?)^- /m.exec(text) ?? []
  expect([...reasons.matchAll(/`([\w-]+)`/g)].map(([, reason]) => reason)).toEqual(Object.keys(dropped))
  const labels = [...text.matchAll(/^- (`[\w`, ]+?`)(?: of [^:]*)?:/gm)].flatMap(([, names]) =>
    names!.split(', ').map((name) => name.slice(1, -1)),
  )
  const used = new Set(metrics.flatMap((metric) => metric.labels))
  expect(labels.toSorted()).toEqual([...used].filter((name) => !['version', 'store'].includes(name)).toSorted())
})

test('docs/metrics.md lists every $SYS topic as it is, and no other', () => {
  const expected = [
    ...sysTopics.map(({ topic, unit, meaning }) => [`\`${topic}\``, unit, meaning]),
    ...sysLoads.map(({ topic, unit, meaning }) => [`\`${topic}/1min\``, unit, meaning]),
  ]
  expect(rows('$SYS/')).toEqual(expected)
})
