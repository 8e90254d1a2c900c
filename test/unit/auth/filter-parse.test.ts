import { describe, expect, test } from 'vitest'

import type { FilterExpression } from '../../../src/auth/filter/ast.ts'
import { formatFilter } from '../../../src/auth/filter/format.ts'
import { parseFilter } from '../../../src/auth/filter/parse.ts'
import { StatemqError } from '../../../src/errors.ts'
import { defaultLimits } from '../../../src/limits.ts'

const parse = (text: string): FilterExpression => parseFilter(text, defaultLimits)

function faultOf(text: string, limits = defaultLimits): { offset: number | undefined; message: string } {
  try {
    parseFilter(text, limits)
  } catch (error) {
    if (!(error instanceof StatemqError)) throw error
    expect(error.code).toBe('SMQ_SESSION_FILTER_INVALID')
    return { offset: error.offset, message: error.message.replace('The session filter is not valid: ', '') }
  }
  throw new Error(`no fault in ${text}`)
}

describe('the grammar', () => {
  test('semantics 7.15: the examples of section 2 are read as they say', () => {
    expect(parse(`Department is "Accounts" and $Country ne "US"`)).toEqual({
      type: 'and',
      operands: [
        { type: 'is', key: 'Department', value: 'Accounts' },
        { type: 'ne', key: '$Country', value: 'US' },
      ],
    })
    expect(parse(`hasRoles ["operator"] and not hasRoles ["administrator"]`)).toEqual({
      type: 'and',
      operands: [
        { type: 'hasRoles', roles: ['operator'] },
        { type: 'not', operand: { type: 'hasRoles', roles: ['administrator'] } },
      ],
    })
    expect(parse(`$Country in ['UK','DE']`)).toEqual({ type: 'in', key: '$Country', values: ['UK', 'DE'] })
    expect(parse('has Department')).toEqual({ type: 'has', key: 'Department' })
    expect(parse('all')).toEqual({ type: 'all' })
  })

  test('and binds tighter than or, not tighter than both, and parentheses tighter than everything', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((key): FilterExpression => ({ type: 'has', key })) as [
      FilterExpression,
      FilterExpression,
      FilterExpression,
    ]
    expect(parse('has a or has b and has c')).toEqual({
      type: 'or',
      operands: [a, { type: 'and', operands: [b, c] }],
    })
    expect(parse('(has a or has b) and has c')).toEqual({
      type: 'and',
      operands: [{ type: 'or', operands: [a, b] }, c],
    })
    expect(parse('not has a and has b')).toEqual({ type: 'and', operands: [{ type: 'not', operand: a }, b] })
    expect(parse('not (has a or not not has b)')).toEqual({
      type: 'not',
      operand: { type: 'or', operands: [a, { type: 'not', operand: { type: 'not', operand: b } }] },
    })
  })

  test('operators are read in any case, keys and values in their own', () => {
    expect(parse(`HAS Key AND key EQ 'Value' or NOT ALL`)).toEqual(parse(`has Key and key is 'Value' or not all`))
    expect(parse(`HASROLES ['a' 'B'] Or x LIKE 'a'`)).toEqual(parse(`hasRoles ['a', 'B'] or x like 'a'`))
    expect(parse('has Key')).not.toEqual(parse('has key'))
  })

  test('strings stand in either quotes and escape quotes and backslashes', () => {
    expect(parse(String.raw`a is 'it\'s a "\\"'`)).toEqual({ type: 'is', key: 'a', value: `it's a "\\"` })
    expect(parse(String.raw`a is "it's a \"\\\""`)).toEqual({ type: 'is', key: 'a', value: `it's a "\\"` })
    expect(parse(`a is ''`)).toEqual({ type: 'is', key: 'a', value: '' })
    expect(parse(`a is 'und (so) [weiter], \n ende'`)).toEqual({
      type: 'is',
      key: 'a',
      value: 'und (so) [weiter], \n ende',
    })
  })

  test('globs keep their wildcards escaped', () => {
    expect(parse(String.raw`a like '*\*\?\\\'?'`)).toEqual({
      type: 'like',
      key: 'a',
      pattern: String.raw`*\*\?\\'?`,
    })
  })

  test('attributes hold text, numbers and truth values, and numbers have an order', () => {
    expect(parse(`@session.level is 3`)).toEqual({ type: 'is', key: '@session.level', value: 3 })
    expect(parse(`@connection.seen ne TRUE`)).toEqual({ type: 'ne', key: '@connection.seen', value: true })
    expect(parse(`@session.level in [1 -2.5e3, 'x' false]`)).toEqual({
      type: 'in',
      key: '@session.level',
      values: [1, -2500, 'x', false],
    })
    expect(parse('@session.level<=-.5')).toEqual({
      type: 'compare',
      key: '@session.level',
      comparator: '<=',
      value: -0.5,
    })
  })

  test('semantics 7.15: times are numbers or ISO 8601, in quotes or not', () => {
    const key = '$StartTime'
    expect(parse('$StartTime > 1785542400000')).toEqual({
      type: 'compare',
      key,
      comparator: '>',
      value: 1_785_542_400_000,
    })
    const value = '2026-08-01T00:00:00Z'
    expect(parse(`$StartTime >= ${value}`)).toEqual({ type: 'compare', key, comparator: '>=', value })
    expect(parse(`$StartTime >= '${value}'`)).toEqual({ type: 'compare', key, comparator: '>=', value })
    expect(parse(`$StartTime in ['${value}' 0]`)).toEqual({ type: 'in', key, values: [value, 0] })
  })

  test('a key that would read as something else stands in quotes', () => {
    expect(parse(`'all' is 'x' and "a<b" is 'y' and has "not"`)).toEqual({
      type: 'and',
      operands: [
        { type: 'is', key: 'all', value: 'x' },
        { type: 'is', key: 'a<b', value: 'y' },
        { type: 'has', key: 'not' },
      ],
    })
    expect(formatFilter(parse(`'ALL' is 'x' or "a<b" like 'y' or has 'has'`))).toBe(
      `'ALL' is 'x' or 'a<b' like 'y' or has 'has'`,
    )
  })
})

describe('errors name the place and what was expected', () => {
  test.each([
    ['', 0, 'expected a clause, found the end'],
    ['   ', 3, 'expected a clause, found the end'],
    ['all all', 4, 'expected and, or, or the end, found all'],
    ['all and', 7, 'expected a clause, found the end'],
    ['or all', 0, 'expected a clause, found or'],
    ['(all', 4, 'expected and, or, or ), found the end'],
    ['all)', 3, 'expected and, or, or the end, found )'],
    ['not', 3, 'expected a clause, found the end'],
    ['Department', 10, 'expected is, eq, ne, in, like, <, <=, > or >=, found the end'],
    ['Department = "x"', 11, 'expected is, eq, ne, in, like, <, <=, > or >=, found ='],
    ['Department is Accounts', 14, 'expected a string in quotes, which is what Department holds, found Accounts'],
    ['Department is 3', 14, 'expected a string in quotes, which is what Department holds, found 3'],
    ['Department > 3', 11, 'Department holds text, which has no order'],
    ['@session.a is x', 14, 'expected a string in quotes, a number, true or false, found x'],
    ['@session.a > "x"', 13, 'expected a number or an ISO 8601 time with its zone, found "x"'],
    ['@session.a > 1e999', 13, 'the number is too large'],
    ['$StartTime > 2026-02-30', 13, 'expected a number or an ISO 8601 time with its zone, found 2026-02-30'],
    [
      '$StartTime > "2026-02-03T10:00"',
      13,
      'expected a number or an ISO 8601 time with its zone, found "2026-02-03T10:00"',
    ],
    ['$StartTime like "2026*"', 11, '$StartTime holds a time, which like does not compare'],
    ['Department matches ".*"', 11, 'matches is not offered, expected like with a glob instead'],
    ['$principal is "x"', 0, 'there is no fixed property $principal, did you mean $Principal?'],
    ['all and $ClientIp is "x"', 8, 'there is no fixed property $ClientIp, did you mean $ClientIP?'],
    ['has $Nothing', 4, 'there is no fixed property $Nothing'],
    ['has @level', 4, 'expected @session.name or @connection.name'],
    ['has @session.', 4, 'expected the name of an attribute'],
    ['has @session.$x', 4, 'expected the name of an attribute'],
    ['has ""', 4, 'expected the name of a property'],
    ['"a b" is "x"', 0, 'expected the name of a property'],
    ['hasRoles "a"', 9, 'expected [, found "a"'],
    ['hasRoles []', 10, 'expected a role in quotes, found ]'],
    ['hasRoles ["a" b]', 14, 'expected a role in quotes, found b'],
    ['hasRoles ["a",]', 14, 'expected a role in quotes, found ]'],
    ['hasRoles ["a"', 13, 'expected ], found the end'],
    ['a in ["x" "y"', 13, 'expected ], found the end'],
    ['a is "x', 5, 'the string has no end'],
    ['a is "x\\"', 5, 'the string has no end'],
    ['a is "x\\n"', 7, '\\ stands before a quote or another \\'],
    ['a is "x\\*"', 7, '\\ stands before a quote or another \\'],
    ['a like "x\\n"', 9, '\\ stands before a quote, a wildcard or another \\'],
    ['a like 3', 7, 'expected a glob in quotes, found 3'],
    ['a like x', 7, 'expected a glob in quotes, found x'],
    // Offsets count UTF-16 units, as JavaScript's strings do.
    ['a is "\u{1F600}" b', 10, 'expected and, or, or the end, found b'],
  ])('%j', (text, offset, what) => {
    expect(faultOf(text)).toEqual({ offset, message: `at ${offset}: ${what}` })
  })

  test('what is no text is none', () => {
    expect(faultOf(undefined as unknown as string)).toEqual({ offset: 0, message: 'at 0: expected a text' })
  })
})

describe('threat 87: a filter has a budget', () => {
  test('of length', () => {
    const text = `a is '${'x'.repeat(100_000)}'`
    expect(faultOf(text)).toEqual({ offset: 4096, message: 'at 4096: longer than maxFilterLength, 4096' })
    expect(parseFilter(text, { ...defaultLimits, maxFilterLength: text.length }).type).toBe('is')
  })

  test('of nesting, in parentheses and in not', () => {
    const nested = (levels: number): string => `${'('.repeat(levels)}all${')'.repeat(levels)}`
    expect(parse(nested(32))).toEqual({ type: 'all' })
    expect(faultOf(nested(33))).toEqual({ offset: 32, message: 'at 32: deeper than maxFilterDepth, 32' })
    expect(faultOf('not '.repeat(1_000) + 'all').offset).toBe(32 * 4)
    expect(faultOf('(not '.repeat(100)).offset).toBe(16 * 5)
    // Side by side is not deep.
    expect(parse(Array.from({ length: 100 }, () => 'not (all)').join(' and ')).type).toBe('and')
  })

  test('of nesting, as deep as the limit can be set', () => {
    const limits = { maxFilterLength: 1_000_000, maxFilterDepth: 1_000, maxFilterSteps: 1_000 }
    const deep = parseFilter(`${'(not '.repeat(500)}all${')'.repeat(500)}`, limits)
    expect(parseFilter(formatFilter(deep), limits)).toEqual(deep)
    expect(faultOf('('.repeat(400_000), { ...defaultLimits, ...limits }).offset).toBe(1_000)
  })

  test('of comparisons, counted by clause, listed value, role and stretch of a glob', () => {
    const limits = { ...defaultLimits, maxFilterSteps: 3 }
    expect(parseFilter(`has a or has b or has c`, limits).type).toBe('or')
    expect(faultOf(`has a or has b or has c or has d`, limits)).toEqual({
      offset: 27,
      message: 'at 27: more comparisons than maxFilterSteps, 3',
    })
    expect(faultOf(`all or a in ['1' '2' '3']`, limits).offset).toBe(7)
    expect(faultOf(`hasRoles ['1' '2' '3' '4']`, limits).offset).toBe(0)
    expect(faultOf(`a like '${'x'.repeat(96)}'`, limits).offset).toBe(0)
  })
})
