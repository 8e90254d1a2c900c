import type { Changes } from './session.types.ts'

/** What is different in `after`, by name, with the values before. Null prototype: the names are anybody's text. */
export function changesBetween<T>(before: Readonly<Record<string, T>>, after: Readonly<Record<string, T>>): Changes<T> {
  const changes = Object.create(null) as Record<string, { value: T | undefined; previous: T | undefined }>
  for (const name of Object.keys(before)) {
    if (!Object.hasOwn(after, name)) changes[name] = { value: undefined, previous: before[name] }
  }
  for (const [name, value] of Object.entries(after)) {
    const previous = Object.hasOwn(before, name) ? before[name] : undefined
    if (!Object.is(value, previous)) changes[name] = { value, previous }
  }
  return changes
}

export function isChange(changes: Changes<unknown>): boolean {
  return Object.keys(changes).length > 0
}

/** A copy that nobody can write to. */
export function frozenRecord<T>(values: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.freeze(Object.assign(Object.create(null) as Record<string, T>, values))
}

export function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index])
}
