import { ANY, type FilterLevels } from './permission-filter.ts'
import { PermissionIndex } from './permission-index.ts'
import { PUBLISH_BITS, type Rule } from './permission.ts'
import type { LevelTemplate } from './template.ts'

/** A rule as a role set keeps it: variables are numbers, the same for all levels that bind alike. */
interface NumberedRule {
  readonly rule: Rule
  readonly levels: readonly (string | number)[]
  readonly rest: boolean
  readonly isPlain: false
}
interface PlainRule extends FilterLevels {
  readonly rule: Rule
  readonly isPlain: true
}
export type SetRule = PlainRule | NumberedRule

/** The two indexes of one variant: permissions that are the same for all sessions, and those that are not. */
interface Indexes {
  readonly plain: PermissionIndex
  readonly varying: PermissionIndex | undefined
}

const NO_VALUES: readonly (string | undefined)[] = []

/**
 * All permissions of one set of roles, shared by every session that has these roles. There is one
 * variant of the indexes for each shared group that a permission names, and variant 0 for all others:
 * it is made when it is first needed.
 */
export class RoleSet {
  readonly roles: readonly string[]
  readonly rules: readonly SetRule[]
  /** What a session has to fill in. */
  readonly templates: readonly LevelTemplate[]
  readonly #groups: readonly string[]
  readonly #variants: (Indexes | undefined)[]
  // One message is asked about for its publisher, then for many subscribers. A larger memory was slower than a walk.
  #lastTopic = ''
  #lastVariant = 0
  #lastRights = 0

  constructor(roles: readonly string[], rules: readonly Rule[]) {
    const templates = new Map<string, { readonly slot: number; readonly template: LevelTemplate }>()
    this.roles = roles
    this.rules = rules.map((rule) => numbered(rule, templates))
    this.templates = [...templates.values()].map(({ template }) => template)
    this.#groups = [...new Set(rules.flatMap(({ group }) => (group === undefined ? [] : [group])))]
    this.#variants = Array.from<Indexes | undefined>({ length: this.#groups.length + 1 })
  }

  variantOf(group: string | undefined): number {
    return group === undefined || this.#groups.length === 0 ? 0 : this.#groups.indexOf(group) + 1
  }

  /** What the rules say about a topic: see `permitted`. */
  rightsAt(topic: string, variant: number, values: readonly (string | undefined)[]): number {
    const { plain, varying } = (this.#variants[variant] ??= this.#makeIndexes(variant))
    if (topic !== this.#lastTopic || variant !== this.#lastVariant) {
      this.#lastRights = plain.rightsAt(topic, NO_VALUES, 0)
      this.#lastTopic = topic
      this.#lastVariant = variant
    }
    return varying === undefined ? this.#lastRights : varying.rightsAt(topic, values, this.#lastRights)
  }

  #makeIndexes(variant: number): Indexes {
    const group = variant === 0 ? undefined : this.#groups[variant - 1]
    const indexed = this.rules.map(({ rule, levels, rest, isPlain }) => {
      // The name of a group is about receiving; what the rule says about publishing holds all the same.
      const bits = rule.group === undefined || rule.group === group ? rule.bits : rule.bits & PUBLISH_BITS
      return { levels, rest, isPlain, effect: rule.effect, bits }
    })
    const varying = indexed.filter(({ isPlain }) => !isPlain)
    return {
      plain: new PermissionIndex(indexed.filter(({ isPlain }) => isPlain)),
      varying: varying.length === 0 ? undefined : new PermissionIndex(varying),
    }
  }

  /** A rule's filter with the session's values in it; undefined: it allows, and a value is missing. */
  bind({ rule, levels, rest }: SetRule, values: readonly (string | undefined)[]): FilterLevels | undefined {
    if (rule.effect === 'allow' && levels.some((level) => typeof level === 'number' && values[level] === undefined))
      return undefined
    return { levels: levels.map((level) => (typeof level === 'number' ? (values[level] ?? ANY) : level)), rest }
  }
}

function numbered(
  rule: Rule,
  templates: Map<string, { readonly slot: number; readonly template: LevelTemplate }>,
): SetRule {
  const { rest } = rule.topic
  const levels = rule.topic.levels.map((level) => {
    if (typeof level === 'string') return level
    const known = templates.get(level.id)
    if (known) return known.slot
    const slot = templates.size
    templates.set(level.id, { slot, template: level })
    return slot
  })
  if (levels.every((level) => typeof level === 'string')) return { rule, levels, rest, isPlain: true }
  return { rule, levels, rest, isPlain: false }
}
