import { StatemqError } from '../errors.ts'
import type { RoleDefinitions } from '../roles.ts'
import { Access } from './access.ts'
import { readPermission, type Rule } from './permission.ts'
import { RoleSet } from './role-set.ts'
import { bindLevel, type Identity } from './template.ts'

export type { Identity }

/** Sets of roles that are kept compiled; one more makes the one that was used longest ago be forgotten. */
const MAX_ROLE_SETS = 1_000

/** A role, checked. */
interface Role {
  readonly include: readonly string[]
  readonly rules: readonly Rule[]
}

/** Checks role definitions and compiles them. Throws SMQ_ROLES_INVALID, naming role and permission. */
export function compileRoles(definitions: RoleDefinitions, version: number): RolePolicy {
  const given: unknown = definitions
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw invalid('roles are not an object')
  const roles = new Map<string, Role>()
  for (const [name, definition] of Object.entries(given)) roles.set(name, readRole(name, definition))
  for (const [name, { include }] of roles) {
    const unknown = include.find((included) => !roles.has(included))
    if (unknown !== undefined)
      throw invalid(`role ${JSON.stringify(name)}, include: there is no role ${JSON.stringify(unknown)}`)
  }
  refuseCircles(roles)
  return new RolePolicy(roles, version)
}

function readRole(name: string, given: unknown): Role {
  const where = `role ${JSON.stringify(name)}`
  if (name === '') throw invalid(`${where}: a role has a name`)
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw invalid(`${where}: is not an object`)
  for (const key of Object.keys(given))
    if (key !== 'include' && key !== 'permissions') throw invalid(`${where}: has no use for "${key}"`)
  const { include = [], permissions = [] } = given as { readonly include?: unknown; readonly permissions?: unknown }
  if (!Array.isArray(include) || !include.every((one) => typeof one === 'string'))
    throw invalid(`${where}: "include" is not a list of names`)
  if (!Array.isArray(permissions)) throw invalid(`${where}: "permissions" is not a list`)
  return { include, rules: permissions.map((permission, index) => readPermission(name, index, permission)) }
}

/** Depth first, with a stack of its own: a chain of roles may be long. */
function refuseCircles(roles: ReadonlyMap<string, Role>): void {
  const done = new Set<string>()
  for (const start of roles.keys()) {
    const path: { readonly name: string; next: number }[] = [{ name: start, next: 0 }]
    const onPath = new Set([start])
    while (path.length > 0) {
      const top = path.at(-1)!
      const included = done.has(top.name) ? undefined : roles.get(top.name)!.include[top.next]
      top.next += 1
      if (included === undefined) {
        done.add(top.name)
        onPath.delete(top.name)
        path.pop()
      } else if (onPath.has(included)) {
        const circle = [...path.slice(path.findIndex(({ name }) => name === included)), { name: included }]
        throw invalid(`role ${JSON.stringify(included)}, include: ${circle.map(({ name }) => name).join(' → ')}`)
      } else {
        path.push({ name: included, next: 0 })
        onPath.add(included)
      }
    }
  }
}

function invalid(detail: string): StatemqError {
  return new StatemqError('SMQ_ROLES_INVALID', detail)
}

/** One version of the roles. */
export class RolePolicy {
  readonly version: number
  readonly #roles: ReadonlyMap<string, Role>
  /** By the sorted names of its roles, in the order of last use. */
  readonly #sets = new Map<string, { readonly set: RoleSet; readonly shared: Access | undefined }>()

  constructor(roles: ReadonlyMap<string, Role>, version: number) {
    this.#roles = roles
    this.version = version
  }

  /** Names of all roles. */
  get roleNames(): readonly string[] {
    return [...this.#roles.keys()]
  }

  /** Role sets that are kept compiled. */
  get compiledSets(): number {
    return this.#sets.size
  }

  /** What an identity may do. Roles that are not defined add nothing. */
  accessFor(identity: Identity): Access {
    const names = [...new Set(identity.roles)].filter((name) => this.#roles.has(name)).sort()
    const key = JSON.stringify(names)
    const known = this.#sets.get(key) ?? this.#compile(names)
    this.#sets.delete(key)
    this.#sets.set(key, known)
    if (this.#sets.size > MAX_ROLE_SETS) this.#sets.delete(this.#sets.keys().next().value!)
    const { set, shared } = known
    return (
      shared ??
      new Access(
        this.version,
        set,
        set.templates.map((template) => bindLevel(template, identity)),
      )
    )
  }

  #compile(names: readonly string[]): { readonly set: RoleSet; readonly shared: Access | undefined } {
    const all = new Set(names)
    // What is added meanwhile is visited as well.
    for (const name of all) for (const included of this.#roles.get(name)!.include) all.add(included)
    const roles = [...all].sort()
    const rules = roles.flatMap((name) => this.#roles.get(name)!.rules)
    const set = new RoleSet(roles, rules)
    return { set, shared: set.templates.length === 0 ? new Access(this.version, set, []) : undefined }
  }
}
