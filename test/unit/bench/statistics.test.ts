import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { faultOf, median, parseProcessorList, ratio } from '../../bench/statistics.ts'

describe('median', () => {
  test('is the middle value, whatever the order', () => {
    expect(median([9, 1, 100, 2, 10])).toBe(9)
  })

  test('is the mean of the two middle values of an even number', () => {
    expect(median([4, 1, 10, 2])).toBe(3)
  })

  test('compares numbers, not their texts', () => {
    expect(median([9, 10, 100])).toBe(10)
  })

  test('of nothing is undefined, of one value that value', () => {
    expect([median([]), median([7])]).toEqual([undefined, 7])
  })

  test('has as many values below as above, and leaves its argument alone', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const before = [...values]
        const middle = median(values) ?? NaN
        const below = values.filter((value) => value < middle).length
        const above = values.filter((value) => value > middle).length
        expect(values).toEqual(before)
        expect(Math.max(below, above) * 2).toBeLessThanOrEqual(values.length)
      }),
    )
  })
})

describe('ratio', () => {
  test('divides', () => {
    expect(ratio(3, 12)).toBe(0.25)
  })

  test('is undefined without one of the two, or with a baseline of nothing', () => {
    expect([ratio(undefined, 1), ratio(1, undefined), ratio(1, 0)]).toEqual([undefined, undefined, undefined])
  })
})

describe('faultOf', () => {
  const clean = { ok: true, lost: 0, dups: 0, reordered: 0, bad: 0, closed_early: 0 }

  test('finds none in a clean run, nor in a loss that QoS 0 allows', () => {
    expect([faultOf(clean), faultOf({ ...clean, lost: 3 })]).toEqual([undefined, undefined])
  })

  test('counts what went wrong', () => {
    expect(faultOf({ ...clean, ok: false, lost: 2, reordered: 1, closed_early: 4 })).toBe(
      'lost 2, reordered 1, closed_early 4',
    )
  })

  test('takes a duplicate for a fault even where the generator forgives it', () => {
    expect(faultOf({ ...clean, dups: 2 })).toBe('dups 2')
  })

  test('takes a session that was not kept for a fault even where the generator does not', () => {
    expect([faultOf({ ...clean, session_present: 0 }), faultOf({ ...clean, session_present: 1 })]).toEqual([
      'the session was not kept',
      undefined,
    ])
  })

  test('passes on why there is no result, and trusts no result that says nothing', () => {
    expect([faultOf({ error: 'a connection failed (3 up)' }), faultOf({})]).toEqual([
      'a connection failed (3 up)',
      'the run did not end well',
    ])
  })
})

describe('parseProcessorList', () => {
  test('reads single processors and ranges', () => {
    expect(parseProcessorList('0-2,5,8-9\n')).toEqual([0, 1, 2, 5, 8, 9])
  })

  test('reads an empty list', () => {
    expect(parseProcessorList('')).toEqual([])
  })
})
