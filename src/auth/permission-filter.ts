/**
 * The algebra of topic filters: which topics two of them share, and whether one holds all topics of
 * the other. It is exact over all topics, with `a/#` matching `a` and leading wildcards passing by
 * topics that begin with `$` (MQTT-4.7.2-1). One exception: a topic is never empty, and these
 * functions take no notice of that.
 */

/** A level that matches any one level. */
export const PLUS = '+'
/**
 * Any one level, at the beginning also one with `$`: what a denying permission has in place of a
 * value that cannot be compared. No level is called `#`, so it cannot be mistaken for text.
 */
export const ANY = '#'

const DOLLAR = 0x24

/** A filter by its levels, of which there is at least one; `rest`: it ended in `#`. */
export interface FilterLevels {
  readonly levels: readonly string[]
  readonly rest: boolean
}

/** Splits a valid filter, without `$share/group/`. `#` alone is the same as `+/#`, and becomes that. */
export function filterLevels(filter: string): FilterLevels {
  if (filter === '#') return EVERYTHING
  const levels = filter.split('/')
  const rest = levels.at(-1) === '#'
  if (rest) levels.pop()
  return { levels, rest }
}

const EVERYTHING: FilterLevels = { levels: [PLUS], rest: true }

function isDollar(level: string): boolean {
  return level.charCodeAt(0) === DOLLAR
}

/** Whether `held`, at level `at` of a permission, holds every text that `level` matches there. */
function levelCovers(held: string, level: string, at: number): boolean {
  if (held === ANY) return true
  if (held === PLUS) return level !== ANY && (at > 0 || !isDollar(level))
  return held === level
}

function levelsMeet(one: string, other: string, at: number): boolean {
  if (one === ANY || other === ANY || one === other) return true
  if (one === PLUS) return at > 0 || !isDollar(other)
  if (other === PLUS) return at > 0 || !isDollar(one)
  return false
}

/** Whether every topic of `filter` is one of `permission`. */
export function covers(permission: FilterLevels, filter: FilterLevels): boolean {
  const held = permission.levels
  const { levels } = filter
  if (levels.length < held.length) return false
  for (let at = 0; at < held.length; at += 1) if (!levelCovers(held[at]!, levels[at]!, at)) return false
  return permission.rest || (levels.length === held.length && !filter.rest)
}

/** Whether a topic exists that both match. */
export function overlaps(one: FilterLevels, other: FilterLevels): boolean {
  const shared = Math.min(one.levels.length, other.levels.length)
  for (let at = 0; at < shared; at += 1) if (!levelsMeet(one.levels[at]!, other.levels[at]!, at)) return false
  if (one.levels.length === other.levels.length) return true
  return one.levels.length < other.levels.length ? one.rest : other.rest
}
