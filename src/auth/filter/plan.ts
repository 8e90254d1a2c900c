import type { FilterExpression } from './ast.ts'

/** What sessions can be looked up by. */
export type FilterIndex = 'role' | 'principal' | 'clientId'

/**
 * Where the sessions that a filter may select are to be found. A plan narrows and does not decide:
 * the predicate has the last word on every session that it leads to.
 */
export type FilterPlan =
  /** Nothing narrows it: all sessions. */
  | { readonly type: 'scan' }
  | { readonly type: 'lookup'; readonly index: FilterIndex; readonly value: string }
  /** In each of these; the smallest is enough. */
  | { readonly type: 'all-of'; readonly plans: readonly FilterPlan[] }
  /** In one of these at least. */
  | { readonly type: 'any-of'; readonly plans: readonly FilterPlan[] }

const scan: FilterPlan = { type: 'scan' }
const indexOfKey: ReadonlyMap<string, FilterIndex> = new Map([
  ['$Principal', 'principal'],
  ['$ClientId', 'clientId'],
])

/** The index lookups that narrow a filter down. */
export function planFilter(expression: FilterExpression): FilterPlan {
  switch (expression.type) {
    case 'hasRoles':
      return allOf(expression.roles.map((value) => ({ type: 'lookup', index: 'role', value })))
    case 'is':
      return lookup(expression.key, [expression.value])
    case 'in':
      return lookup(expression.key, expression.values)
    case 'and':
      return allOf(expression.operands.map(planFilter).filter(({ type }) => type !== 'scan'))
    case 'or':
      return anyOf(expression.operands.map(planFilter))
    default:
      return scan
  }
}

function lookup(key: string, values: readonly unknown[]): FilterPlan {
  const index = indexOfKey.get(key)
  if (index === undefined) return scan
  // Both hold text, so that another value finds nobody.
  const texts = values.filter((value) => typeof value === 'string')
  return anyOf(texts.map((value) => ({ type: 'lookup', index, value })))
}

function allOf(plans: readonly FilterPlan[]): FilterPlan {
  if (plans.length === 0) return scan
  return plans.length === 1 ? plans[0]! : { type: 'all-of', plans }
}

function anyOf(plans: readonly FilterPlan[]): FilterPlan {
  if (plans.some(({ type }) => type === 'scan')) return scan
  return plans.length === 1 ? plans[0]! : { type: 'any-of', plans }
}
