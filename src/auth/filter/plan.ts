import type { FilterExpression } from './ast.ts'

/** What sessions can be looked up by. */
export type FilterIndex = 'role' | 'principal' | 'clientId'

/** Sessions with one role or principal, or the one with a client identifier. */
export interface FilterLookup {
  readonly type: 'lookup'
  readonly index: FilterIndex
  readonly value: string
}

/** Where the sessions that a filter may select are to be found. */
export type NarrowPlan =
  | FilterLookup
  /** In each of these; the smallest is enough. */
  | { readonly type: 'all-of'; readonly plans: readonly NarrowPlan[] }
  /** In one of these at least. */
  | { readonly type: 'any-of'; readonly plans: readonly NarrowPlan[] }

/**
 * The same, or that nothing narrows it and all sessions have to be looked at. A plan does not
 * decide: the predicate has the last word on every session that it leads to.
 */
export type FilterPlan = { readonly type: 'scan' } | NarrowPlan

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
      return allOf(expression.operands.map(planFilter).filter((plan) => plan.type !== 'scan'))
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

function allOf(plans: readonly NarrowPlan[]): FilterPlan {
  if (plans.length === 0) return scan
  return plans.length === 1 ? plans[0]! : { type: 'all-of', plans }
}

function anyOf(plans: readonly FilterPlan[]): FilterPlan {
  const narrow = plans.filter((plan) => plan.type !== 'scan')
  if (narrow.length < plans.length) return scan
  return narrow.length === 1 ? narrow[0]! : { type: 'any-of', plans: narrow }
}
