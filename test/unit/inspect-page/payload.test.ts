/** Payloads as text, JSON and bytes; a tap that is paused and overrun; filters that are none. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { bestForm, hexLines, indented, payloadOf, preview } from '../../../src/inspect/page/topics/payload.ts'
import { filterFault, maxKept, TapBuffer } from '../../../src/inspect/page/topics/tap-buffer.ts'
import { aboveOf, linesOf, type Branch } from '../../../src/inspect/page/topics/tree-lines.ts'
import { isTopicFilter } from '../../../src/router/topics.ts'

const base64 = (bytes: string | Uint8Array): string => Buffer.from(bytes).toString('base64')
const of = (bytes: string | Uint8Array, isCut = false) => payloadOf(base64(bytes), isCut)

describe('a payload', () => {
  test('JSON is indented with every number and string as it was written', () => {
    expect(indented('{"n":9007199254740993,"x":1.50,"s":"a, {b}: \\"c\\"","e":{},"l":[1,[ ]]}')).toBe(
      [
        '{',
        '  "n": 9007199254740993,',
        '  "x": 1.50,',
        '  "s": "a, {b}: \\"c\\"",',
        '  "e": {},',
        '  "l": [',
        '    1,',
        '    []',
        '  ]',
        '}',
      ].join('\n'),
    )
    expect(indented('{"a":')).toBeUndefined()
  })

  test('indented JSON is the same JSON', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(JSON.parse(indented(json)!)).toEqual(JSON.parse(json))
      }),
    )
  })

  test('shows in the form that says most', () => {
    expect(bestForm(of('{"a":1}'))).toBe('json')
    expect(bestForm(of('21.5'))).toBe('text')
    expect(bestForm(of('plain'))).toBe('text')
    expect(bestForm(of(''))).toBe('text')
    expect(bestForm(of(Uint8Array.of(0xff, 0xfe)))).toBe('hex')
    expect(bestForm(of(Uint8Array.of(0, 1, 2, 3, 0x41)))).toBe('hex')
  })

  test('one that was cut within a character is text all the same, and never JSON', () => {
    const bytes = Buffer.from('a€').subarray(0, 3)
    expect(of(bytes).text).toBeUndefined()
    expect(of(bytes, true).text).toBe('a')
    expect(of('[1]', true).json).toBeUndefined()
  })

  test('bytes are listed sixteen a line', () => {
    const bytes = Uint8Array.from({ length: 18 }, (_, index) => index + 0x3f)
    expect(hexLines(bytes, 10)).toEqual([
      '000000  3f 40 41 42 43 44 45 46  47 48 49 4a 4b 4c 4d 4e  ?@ABCDEFGHIJKLMN',
      '000010  4f 50                                             OP',
    ])
    expect(hexLines(bytes, 1)).toHaveLength(1)
  })

  test('a list shows the beginning, bytes where it is no text', () => {
    expect(preview(of('x'.repeat(500)), 10)).toBe('x'.repeat(10))
    expect(preview(of(Uint8Array.of(0xff, 1)))).toBe('ff 01')
  })
})

describe('a tap', () => {
  const message = (topic: string) => ({
    atMs: 1,
    topic,
    qos: 0 as const,
    retain: false,
    publisher: '',
    payloadBase64: '',
    payloadBytes: 0,
  })
  const topics = (buffer: TapBuffer): string[] => buffer.shown.map(({ topic }) => topic)

  test('shows the newest first, and no more than one can read', () => {
    const buffer = new TapBuffer()
    for (let number = 0; number < maxKept + 5; number += 1) buffer.take(message(String(number)))
    expect(buffer.seen).toBe(maxKept + 5)
    expect(buffer.shown).toHaveLength(maxKept)
    expect(topics(buffer)[0]).toBe(String(maxKept + 4))
  })

  test('stays as it is while it is paused, counts what comes, and shows it afterwards', () => {
    const buffer = new TapBuffer()
    buffer.take(message('a'))
    buffer.pause(true)
    buffer.take(message('b'))
    buffer.take(message('c'))
    expect([topics(buffer), buffer.waiting]).toEqual([['a'], 2])
    buffer.pause(false)
    expect([topics(buffer), buffer.waiting]).toEqual([['c', 'b', 'a'], 0])
  })

  test('says what is wrong with a filter where the broker would', () => {
    const level = fc.constantFrom('a', '+', '#', '', 'a+', 'b#', '$share', '\0')
    fc.assert(
      fc.property(
        fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/')),
        (filter) => {
          const isTapped = isTopicFilter(filter, Infinity) && !filter.startsWith('$share/')
          expect(filterFault(filter) === undefined).toBe(isTapped)
        },
      ),
    )
  })
})

describe('the tree of topics', () => {
  const level = (topic: string, hasChildren: boolean) => {
    const name = topic.split('/').at(-1)!
    return { level: name, topic, hasMessage: !hasChildren, hasChildren, payloadBytes: null, qos: null }
  }
  const branch = (levels: ReturnType<typeof level>[], total = levels.length): Branch => {
    return { levels, total, isLoading: false, error: undefined }
  }
  const branches = new Map<string | null, Branch>([
    [null, branch([level('', true), level('a', true)])],
    ['', branch([level('/x', false)])],
    ['a', branch([level('a/b', false)], 300)],
  ])

  test('has the levels that are open, and what is not fetched yet', () => {
    const told = linesOf(branches, new Set(['', 'a'])).map((line) =>
      line.type === 'level' ? [line.depth, line.level.topic, line.isOpen] : [line.depth, line.type, line.under],
    )
    expect(told).toEqual([
      [1, '', true],
      [2, '/x', false],
      [1, 'a', true],
      [2, 'a/b', false],
      [2, 'more', 'a'],
    ])
    expect(linesOf(branches, new Set())).toHaveLength(2)
  })

  test('knows what a topic lies below', () => {
    expect(aboveOf('a/b/c')).toEqual(['a', 'a/b'])
    expect(aboveOf('/a')).toEqual([''])
    expect(aboveOf('a')).toEqual([])
  })
})
