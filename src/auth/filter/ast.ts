/** How two ordered values compare. */
export type FilterComparator = '<' | '<=' | '>' | '>='

/** What a filter may compare for equality. On `$StartTime` and `$ExpiryTime` a string is an ISO 8601 time. */
export type FilterValue = string | number | boolean

/**
 * A session filter, read. `key` is a fixed property (`$Principal`), an attribute (`@session.level`,
 * `@connection.level`) or the name of a user-defined property. `parseFilter` makes one of a text,
 * `formatFilter` a text of it.
 */
export type FilterExpression =
  | { readonly type: 'all' }
  | { readonly type: 'not'; readonly operand: FilterExpression }
  | { readonly type: 'and' | 'or'; readonly operands: readonly FilterExpression[] }
  | { readonly type: 'has'; readonly key: string }
  /** All of these roles. */
  | { readonly type: 'hasRoles'; readonly roles: readonly string[] }
  /** `ne` is true where there is no such value. */
  | { readonly type: 'is' | 'ne'; readonly key: string; readonly value: FilterValue }
  | { readonly type: 'in'; readonly key: string; readonly values: readonly FilterValue[] }
  /** A glob: `*` stands for any text, `?` for one character, `\` makes the next one an ordinary one. */
  | { readonly type: 'like'; readonly key: string; readonly pattern: string }
  /** With a number or, as a string, an ISO 8601 time. */
  | {
      readonly type: 'compare'
      readonly key: string
      readonly comparator: FilterComparator
      readonly value: number | string
    }

/** A session as a filter sees it. */
export interface FilterSubject {
  /** The value under a key of the filter; undefined where there is none. Times are milliseconds since the epoch. */
  get(key: string): string | number | boolean | undefined
  hasRole(role: string): boolean
}

/** Budgets of one filter, out of the broker's limits. */
export interface FilterLimits {
  readonly maxFilterLength: number
  readonly maxFilterDepth: number
  readonly maxFilterSteps: number
}
