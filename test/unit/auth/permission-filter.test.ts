import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { covers, filterLevels, overlaps } from '../../../src/auth/permission-filter.ts'
import { topicMatches } from '../../../src/router/topics.ts'

/** Filters speak of `a` and `b` only; topics also of a level that no filter names, and are one level longer. */
const level = fc.constantFrom('a', 'b', '', '$x', '+')
const filter = fc
  .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([levels, rest]) => [...levels, ...(rest ? ['#'] : [])].join('/'))
const filters = fc.oneof({ weight: 9, arbitrary: filter }, { weight: 1, arbitrary: fc.constant('#') })

const texts = ['a', 'b', '', '$x', 'other']
const topics = texts.flatMap((one) => [
  one,
  ...texts.flatMap((two) => [
    `${one}/${two}`,
    ...texts.flatMap((three) => [`${one}/${two}/${three}`, ...texts.map((four) => `${one}/${two}/${three}/${four}`)]),
  ]),
])
const topicsOf = (wanted: string): string[] => topics.filter((topic) => topicMatches(wanted, topic))

describe('the algebra of filters agrees with all topics tried', () => {
  test('covers', () => {
    fc.assert(
      fc.property(filters, filters, (held, wanted) => {
        const expected = topicsOf(wanted).every((topic) => topicMatches(held, topic))
        expect(covers(filterLevels(held), filterLevels(wanted))).toBe(expected)
      }),
      { numRuns: 1_000 },
    )
  })

  test('overlaps', () => {
    fc.assert(
      fc.property(filters, filters, (one, other) => {
        const expected = topicsOf(one).some((topic) => topicMatches(other, topic))
        expect(overlaps(filterLevels(one), filterLevels(other))).toBe(expected)
      }),
      { numRuns: 1_000 },
    )
  })
})

/** [permission, filter, covers, overlaps] */
const table: readonly (readonly [string, string, boolean, boolean])[] = [
  ['a/#', 'a', true, true],
  ['a/#', 'a/#', true, true],
  ['a/#', '#', false, true],
  ['#', 'a/+/c', true, true],
  ['#', '$SYS/#', false, false],
  ['+/x', '$SYS/x', false, false],
  ['$SYS/#', '+/x', false, false],
  ['$SYS/#', '$SYS/+', true, true],
  ['+/+', '+/#', false, true],
  ['+/#', '+/+', true, true],
  ['a/+', 'a', false, false],
  ['a/+/c', 'a/b/#', false, true],
]

test.each(table)('%s and %s', (held, wanted, covering, overlapping) => {
  expect(covers(filterLevels(held), filterLevels(wanted))).toBe(covering)
  expect(overlaps(filterLevels(held), filterLevels(wanted))).toBe(overlapping)
})
