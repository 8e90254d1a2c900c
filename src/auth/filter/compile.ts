import type { FilterComparator, FilterExpression, FilterSubject, FilterValue } from './ast.ts'
import { compileGlob } from './glob.ts'
import { kindOfKey } from './keys.ts'
import { parseTime } from './time.ts'

export type FilterPredicate = (subject: FilterSubject) => boolean

/**
 * Compiles a filter to a predicate. The predicate does not throw: a value of another type than the
 * filter's is not equal, not like, neither less nor greater (threat 88).
 */
export function compileFilter(expression: FilterExpression): FilterPredicate {
  switch (expression.type) {
    case 'all':
      return () => true
    case 'not': {
      const operand = compileFilter(expression.operand)
      return (subject) => !operand(subject)
    }
    case 'and': {
      const operands = expression.operands.map(compileFilter)
      return (subject) => operands.every((operand) => operand(subject))
    }
    case 'or': {
      const operands = expression.operands.map(compileFilter)
      return (subject) => operands.some((operand) => operand(subject))
    }
    case 'has': {
      const { key } = expression
      return (subject) => subject.get(key) !== undefined
    }
    case 'hasRoles': {
      const { roles } = expression
      return (subject) => roles.every((role) => subject.hasRole(role))
    }
    default:
      return compileComparison(expression)
  }
}

function compileComparison(
  expression: Extract<FilterExpression, { readonly type: 'is' | 'ne' | 'in' | 'like' | 'compare' }>,
): FilterPredicate {
  const { key } = expression
  switch (expression.type) {
    case 'is': {
      const value = comparable(key, expression.value)
      return (subject) => subject.get(key) === value
    }
    case 'ne': {
      const value = comparable(key, expression.value)
      return (subject) => subject.get(key) !== value
    }
    case 'in': {
      const values = new Set<unknown>(expression.values.map((value) => comparable(key, value)))
      return (subject) => values.has(subject.get(key))
    }
    case 'like': {
      const matches = compileGlob(expression.pattern)
      return (subject) => {
        const value = subject.get(key)
        return typeof value === 'string' && matches(value)
      }
    }
    case 'compare': {
      const { value } = expression
      return compileOrder(key, expression.comparator, typeof value === 'string' ? (parseTime(value) ?? NaN) : value)
    }
  }
}

/** A time is compared as the moment that it means, however it was written. */
function comparable(key: string, value: FilterValue): FilterValue {
  return typeof value === 'string' && kindOfKey(key) === 'time' ? (parseTime(value) ?? NaN) : value
}

function compileOrder(key: string, comparator: FilterComparator, limit: number): FilterPredicate {
  const number = (subject: FilterSubject): number => {
    const value = subject.get(key)
    // NaN is on neither side of anything.
    return typeof value === 'number' ? value : NaN
  }
  switch (comparator) {
    case '<':
      return (subject) => number(subject) < limit
    case '<=':
      return (subject) => number(subject) <= limit
    case '>':
      return (subject) => number(subject) > limit
    case '>=':
      return (subject) => number(subject) >= limit
  }
}
