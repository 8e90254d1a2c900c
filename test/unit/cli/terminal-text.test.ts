import { expect, test } from 'vitest'

import { bytes, duration, facts, table, visible } from '../../../src/cli/terminal-text.ts'

test.each([
  ['plain text, ümläute and 名前', 'plain text, ümläute and 名前'],
  ['a\r\nb\tc', 'a\\r\\nb\\tc'],
  ['\u001b[31mred\u001b[0m', '\\e[31mred\\e[0m'],
  ['\u009b31m', '\\u{9b}31m'],
  ['\u0000\u007f', '\\u{0}\\u{7f}'],
  ['abc\u202edef', 'abc\\u{202e}def'],
  ['\u2066x\u2069', '\\u{2066}x\\u{2069}'],
  ['zero\u200bwidth\ufeff', 'zero\\u{200b}width\\u{feff}'],
  ['line\u2028end', 'line\\u{2028}end'],
  ['half \ud800', 'half \\u{d800}'],
  ['tag \u{e0041}', 'tag \\u{e0041}'],
  ['\\e is not an escape', '\\\\e is not an escape'],
])('%j is shown as %s', (text, shown) => {
  expect(visible(text)).toBe(shown)
})

test('a table has its columns under each other, whatever is in them', () => {
  const rows = [
    { name: 'short', count: 5 },
    { name: '名前', count: 12_345 },
    { name: 'e\u0301', count: null },
    { name: 'x\ny', count: 0 },
    { name: 'a'.repeat(60), count: 1 },
  ]
  const text = table<(typeof rows)[number]>(
    [
      { title: 'NAME', of: ({ name }) => name, maxColumns: 10 },
      { title: 'COUNT', of: ({ count }) => count },
    ],
    rows,
  )
  expect(text).toBe(
    [
      'NAME        COUNT',
      'short           5',
      '名前        12345',
      'e\u0301           -',
      'x\\ny            0',
      'aaaaaaaaa…      1',
      '',
    ]
      .join('\n')
      .replace('e\u0301           -', 'e\u0301           -    ')
      .replace('-    ', '-'.padEnd(5).trimEnd()),
  )
})

test('facts are one to a line', () => {
  expect(
    facts([
      ['a', 1],
      ['long', 'x\ny'],
      ['none', null],
    ]),
  ).toBe('a     1\nlong  x\\ny\nnone  -\n')
})

test('times and sizes have the two largest units, and one', () => {
  expect([0, 59_400, 61_000, 3_700_000, 90_000_000].map(duration)).toEqual(['0s', '59s', '1m 1s', '1h 1m', '1d 1h'])
  expect([0, 999, 1_000, 15_400, 2_000_000].map(bytes)).toEqual(['0 B', '999 B', '1.0 KB', '15 KB', '2.0 MB'])
})
