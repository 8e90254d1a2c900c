import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import type { FilterExpression, FilterSubject } from '../../../src/auth/filter/ast.ts'
import { compileFilter } from '../../../src/auth/filter/compile.ts'
import { formatFilter } from '../../../src/auth/filter/format.ts'
import { compileGlob } from '../../../src/auth/filter/glob.ts'
import { parseFilter } from '../../../src/auth/filter/parse.ts'
import { planFilter, type FilterPlan, type NarrowPlan } from '../../../src/auth/filter/plan.ts'
import { defaultLimits } from '../../../src/limits.ts'
import { anyFilter, anySample, subjectOf, type Sample } from './filter-arbitrary.ts'

const unlimited = { maxFilterLength: Infinity, maxFilterDepth: 1_000, maxFilterSteps: Infinity }

/** What a filter says of a session, straight from its definition. */
function naively(expression: FilterExpression, sample: Sample): boolean {
  const isTime = (key: string): boolean => key === '$StartTime' || key === '$ExpiryTime'
  const meaning = (key: string, value: unknown): unknown =>
    isTime(key) && typeof value === 'string' ? Date.parse(value) : value
  switch (expression.type) {
    case 'all':
      return true
    case 'not':
      return !naively(expression.operand, sample)
    case 'and':
      return expression.operands.reduce((all, operand) => naively(operand, sample) && all, true)
    case 'or':
      return expression.operands.reduce((any, operand) => naively(operand, sample) || any, false)
    case 'has':
      return Object.keys(sample.values).includes(expression.key)
    case 'hasRoles':
      return expression.roles.filter((role) => !sample.roles.includes(role)).length === 0
    case 'is':
      return sample.values[expression.key] === meaning(expression.key, expression.value)
    case 'ne':
      return !naively({ ...expression, type: 'is' }, sample)
    case 'in':
      return expression.values.some((value) => naively({ type: 'is', key: expression.key, value }, sample))
    case 'like': {
      const value = sample.values[expression.key]
      return typeof value === 'string' && likeNaively(Array.from(expression.pattern), Array.from(value))
    }
    case 'compare': {
      const value = sample.values[expression.key]
      const limit = typeof expression.value === 'string' ? Date.parse(expression.value) : expression.value
      if (typeof value !== 'number') return false
      if (value === limit) return expression.comparator.endsWith('=')
      return value < limit === expression.comparator.startsWith('<')
    }
  }
}

/** By trying everything, which takes time without end for longer texts. */
function likeNaively([first, ...rest]: string[], text: string[]): boolean {
  if (first === undefined) return text.length === 0
  if (first === '*') return text.some((_, i) => likeNaively(rest, text.slice(i))) || likeNaively(rest, [])
  if (text.length === 0) return false
  if (first === '?') return likeNaively(rest, text.slice(1))
  const [wanted, behind] = first === '\\' ? [rest[0], rest.slice(1)] : [first, rest]
  return wanted === text[0] && likeNaively(behind, text.slice(1))
}

function selects(text: string, sample: Partial<Sample>): boolean {
  return compileFilter(parseFilter(text, defaultLimits))(subjectOf({ values: {}, roles: [], ...sample }))
}

describe('semantics 7.15', () => {
  test('what is printed reads as what it was', () => {
    fc.assert(
      fc.property(anyFilter, (filter) => {
        expect(parseFilter(formatFilter(filter), unlimited)).toEqual(filter)
      }),
      { numRuns: 1_000 },
    )
  })

  test('a compiled filter says what the naive evaluator says', () => {
    fc.assert(
      fc.property(anyFilter, anySample, (filter, sample) => {
        expect(compileFilter(filter)(subjectOf(sample))).toBe(naively(filter, sample))
      }),
      { numRuns: 2_000 },
    )
  })

  test('ne on an absent key is true, and so is ne on another type; every other comparison is false', () => {
    expect(selects(`Department ne 'x'`, {})).toBe(true)
    expect(selects(`@session.a ne 3`, { values: { '@session.a': '3' } })).toBe(true)
    for (const text of [`has a`, `a is 'x'`, `a in ['x']`, `a like '*'`, '$ExpiryTime < 1', '$ExpiryTime > 1'])
      expect(selects(text, {})).toBe(false)
  })

  test('a time is the same however it is written', () => {
    const values = { $StartTime: Date.UTC(2026, 7, 1) }
    expect(selects(`$StartTime is '2026-08-01T02:00:00+02:00'`, { values })).toBe(true)
    expect(selects(`$StartTime in [2026-08-01]`, { values })).toBe(true)
    expect(selects(`$StartTime ne 2026-08-01`, { values })).toBe(false)
    expect(selects(`$StartTime < 2026-08-01T00:00:00.001Z and $StartTime >= 2026-08-01`, { values })).toBe(true)
  })
})

describe('threat 88: types are not confused', () => {
  const subjects: [string, string | number | boolean][] = [
    ['text', '3'],
    ['number', 3],
    ['truth', true],
  ]
  test.each(subjects)('an attribute of %s equals its own kind only', (_, value) => {
    const values = { '@session.a': value }
    const equal = [`'3'`, '3', 'true'].filter((literal) => selects(`@session.a is ${literal}`, { values }))
    expect(equal).toEqual([typeof value === 'string' ? `'3'` : String(value)])
    expect(selects(`@session.a in ['3', 3, true]`, { values })).toBe(true)
    expect(selects(`@session.a > 2 or @session.a < 2 or @session.a >= 2 or @session.a <= 2`, { values })).toBe(
      value === 3,
    )
    expect(selects(`@session.a like '*'`, { values })).toBe(value === '3')
  })

  test('names that every object has are keys like others', () => {
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty', 'valueOf'])
      for (const key of [name, `@session.${name}`, `@connection.${name}`])
        expect([key, selects(`has ${key}`, {}), selects(`${key} ne 'x'`, {})]).toEqual([key, false, true])
  })

  test('whatever a subject answers, the predicate answers too', () => {
    const strange: unknown[] = [null, NaN, {}, [], Symbol('x'), () => 1, 10n, new Date(), Object.create(null)]
    fc.assert(
      fc.property(anyFilter, fc.constantFrom(...strange), (filter, value) => {
        const subject: FilterSubject = { get: () => value as string, hasRole: () => false }
        expect(typeof compileFilter(filter)(subject)).toBe('boolean')
      }),
    )
  })
})

describe('globs', () => {
  test('match what the naive matcher matches', () => {
    const pieces = fc.array(fc.constantFrom('a', 'b', '🙂', '*', '?', '\\*', '\\?', '\\\\'), { maxLength: 8 })
    const text = fc.array(fc.constantFrom('a', 'b', '🙂', '*', '?', '\\'), { maxLength: 10 })
    fc.assert(
      fc.property(pieces, text, (pattern, characters) => {
        const glob = pattern.join('')
        expect(compileGlob(glob)(characters.join(''))).toBe(likeNaively(Array.from(glob), characters))
      }),
      { numRuns: 5_000 },
    )
  })

  test('match over more than one word of bits', () => {
    const long = 'abcdefghij'.repeat(20)
    expect(compileGlob(`*${long}?${long}`)(`x${long}y${long}`)).toBe(true)
    expect(compileGlob(`*${long}?${long}`)(`x${long}${long}`)).toBe(false)
    for (let length = 29; length < 70; length++) {
      const pattern = `?${'a'.repeat(length)}*`
      expect([length, compileGlob(pattern)(`x${'a'.repeat(length)}`)]).toEqual([length, true])
      expect([length, compileGlob(pattern)(`x${'a'.repeat(length - 1)}`)]).toEqual([length, false])
    }
  })

  test('a predicate may be asked again', () => {
    const matches = compileGlob('*ab?')
    expect(['xabc', 'ab', 'abab', 'ababx'].map(matches)).toEqual([true, false, false, true])
  })

  test('threat 87: take time by the length of the text, whatever they are', () => {
    // What tries again after each failure would not end within the life of this test.
    const text = 'a'.repeat(100_000)
    expect(compileGlob(`${'*a'.repeat(1_000)}*b`)(text)).toBe(false)
    expect(compileGlob(`${'a*'.repeat(1_000)}`)(text)).toBe(true)
    expect(compileGlob(`*${'?'.repeat(2_000)}b`)(text)).toBe(false)
  })
})

describe('a plan', () => {
  /** Whether a session is among those that a plan leads to. */
  function leadsTo(plan: FilterPlan, sample: Sample): boolean {
    switch (plan.type) {
      case 'scan':
        return true
      case 'lookup':
        if (plan.index === 'role') return sample.roles.includes(plan.value)
        return sample.values[plan.index === 'principal' ? '$Principal' : '$ClientId'] === plan.value
      case 'all-of':
        return plan.plans.every((one) => leadsTo(one, sample))
      case 'any-of':
        return plan.plans.some((one) => leadsTo(one, sample))
    }
  }

  test('leads to every session that the filter selects', () => {
    fc.assert(
      fc.property(anyFilter, anySample, (filter, sample) => {
        if (naively(filter, sample)) expect(leadsTo(planFilter(filter), sample)).toBe(true)
      }),
      { numRuns: 5_000 },
    )
  })

  const role = (value: string): NarrowPlan => ({ type: 'lookup', index: 'role', value })
  const principal = (value: string): NarrowPlan => ({ type: 'lookup', index: 'principal', value })
  const clientId = (value: string): NarrowPlan => ({ type: 'lookup', index: 'clientId', value })
  test.each<[string, FilterPlan]>([
    [`hasRoles ['a']`, role('a')],
    [`hasRoles ['a' 'b']`, { type: 'all-of', plans: [role('a'), role('b')] }],
    [`$Principal is 'ann'`, principal('ann')],
    [`$ClientId in ['1' '2']`, { type: 'any-of', plans: [clientId('1'), clientId('2')] }],
    [`has x and $Principal is 'ann' and not hasRoles ['a']`, principal('ann')],
    [`$Principal is 'ann' or hasRoles ['a']`, { type: 'any-of', plans: [principal('ann'), role('a')] }],
    [`$Principal is 'ann' or has x`, { type: 'scan' }],
    [`not $Principal is 'ann'`, { type: 'scan' }],
    [`$Principal ne 'ann'`, { type: 'scan' }],
    [`$Principal like 'a*'`, { type: 'scan' }],
    ['all', { type: 'scan' }],
    ['has x and has y', { type: 'scan' }],
  ])('%s', (text, plan) => {
    expect(planFilter(parseFilter(text, defaultLimits))).toEqual(plan)
  })
})
