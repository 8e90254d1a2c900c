import fc from 'fast-check'

import type { FilterExpression, FilterSubject } from '../../../src/auth/filter/ast.ts'

/** A session of the property tests: everything that a filter can ask for, by key. */
export interface Sample {
  readonly values: Readonly<Record<string, string | number | boolean>>
  readonly roles: readonly string[]
}

export function subjectOf({ values, roles }: Sample): FilterSubject {
  const map = new Map(Object.entries(values))
  return { get: (key) => map.get(key), hasRole: (role) => roles.includes(role) }
}

const textKeys = ['Department', 'all', 'a<b', 'NOT', 'constructor', '$Principal', '$ClientId', '$Country']
const timeKeys = ['$StartTime', '$ExpiryTime']
const attributeKeys = ['@session.level', '@connection.level', '@session.toString', '@session.a>b']
const keys = [...textKeys, ...timeKeys, ...attributeKeys]

// Few of each, so that filters and sessions meet.
const text = fc.oneof(
  fc.constantFrom(
    '',
    'a',
    'ab',
    'A',
    'b',
    '3',
    'true',
    'constructor',
    `it's`,
    '"',
    '\\',
    '*',
    'a*',
    '🙂',
    '2026-08-01',
  ),
  fc.string({ unit: 'grapheme', maxLength: 8 }),
)
const number = fc.oneof(
  fc.constantFrom(0, 3, -3, 1.5, 1_785_542_400_000),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
)
const plainNumber = number.map((value) => value + 0)
const time = fc.oneof(
  plainNumber,
  fc.constantFrom('2026-08-01', '2026-08-01T02:00:00+02:00', '2026-07-31T23:59:59.999Z'),
)
const attribute = fc.oneof(text, plainNumber, fc.boolean())
const glob = fc
  .array(fc.constantFrom('*', '?', 'a', 'b', '3', '🙂', '\\*', '\\?', '\\\\', "'", '"', 'it'), { maxLength: 6 })
  .map((parts) => parts.join(''))
const key = fc.constantFrom(...keys)
const list = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(item, { minLength: 1, maxLength: 3 })
const role = fc.constantFrom('operator', 'admin', "o'brien", 'constructor')

/** A key together with a value that the grammar lets stand beside it. */
const keyAndValue = fc.oneof(
  fc.tuple(fc.constantFrom(...textKeys), text),
  fc.tuple(fc.constantFrom(...timeKeys), time),
  fc.tuple(fc.constantFrom(...attributeKeys), attribute),
)
const keyAndValues = fc.oneof(
  fc.tuple(fc.constantFrom(...textKeys), list(text)),
  fc.tuple(fc.constantFrom(...timeKeys), list(time)),
  fc.tuple(fc.constantFrom(...attributeKeys), list(attribute)),
)

const clause: fc.Arbitrary<FilterExpression> = fc.oneof(
  fc.constant<FilterExpression>({ type: 'all' }),
  key.map((key): FilterExpression => ({ type: 'has', key })),
  list(role).map((roles): FilterExpression => ({ type: 'hasRoles', roles })),
  fc
    .tuple(fc.constantFrom('is' as const, 'ne' as const), keyAndValue)
    .map(([type, [key, value]]): FilterExpression => ({ type, key, value })),
  keyAndValues.map(([key, values]): FilterExpression => ({ type: 'in', key, values })),
  fc
    .tuple(fc.constantFrom(...textKeys, ...attributeKeys), glob)
    .map(([key, pattern]): FilterExpression => ({ type: 'like', key, pattern })),
  fc
    .tuple(fc.constantFrom(...timeKeys, ...attributeKeys), fc.constantFrom('<', '<=', '>', '>='), time)
    .map(([key, comparator, value]): FilterExpression => ({ type: 'compare', key, comparator, value })),
)

/** Any expression that a text can stand for. */
export const anyFilter: fc.Arbitrary<FilterExpression> = fc.letrec<{ filter: FilterExpression }>((tie) => ({
  filter: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    clause,
    tie('filter').map((operand): FilterExpression => ({ type: 'not', operand })),
    fc
      .tuple(fc.constantFrom('and' as const, 'or' as const), fc.array(tie('filter'), { minLength: 2, maxLength: 3 }))
      .map(([type, operands]): FilterExpression => ({ type, operands })),
  ),
})).filter

/** Any session, with values of the wrong type under attributes. */
export const anySample: fc.Arbitrary<Sample> = fc.record({
  values: fc
    .tuple(
      fc.dictionary(fc.constantFrom(...textKeys), text),
      fc.dictionary(fc.constantFrom(...timeKeys), plainNumber),
      fc.dictionary(fc.constantFrom(...attributeKeys), attribute),
    )
    .map((parts) => Object.assign(Object.create(null), ...parts) as Sample['values']),
  roles: fc.uniqueArray(role),
})
