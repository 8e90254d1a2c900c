/**
 * What roles allow, by the letter of `src/roles.ts` and in the plainest way: every permission, one
 * after the other. Tests hold the compiled roles, and whole brokers, equal to it.
 */
import type { Identity } from '../../src/auth/access-policy.ts'
import type { QoS } from '../../src/messages.ts'
import type { Permission, RoleDefinitions } from '../../src/roles.ts'

/** A level's text for the identity, `undefined` where a value may not be used. */
function filledIn(level: string, isFirst: boolean, who: Identity): string | undefined {
  let usable = true
  const text = level.replace(/%(%|c|u|p\{([^}]*)\})/g, (_all, kind: string, key: string, at: number) => {
    if (kind === '%') return '%'
    const value =
      kind === 'c' ? who.clientId : kind === 'u' ? who.principal : new Map(Object.entries(who.properties)).get(key)
    if (!value || ['+', '#', '/'].some((special) => value.includes(special))) usable = false
    if (isFirst && at === 0 && value?.[0] === '$') usable = false
    return value ?? ''
  })
  return usable ? text : undefined
}

/** Whether a permission's topic is about a topic name. */
export function speaksOfTopic(permission: Permission, topic: string, who: Identity): boolean {
  const wanted = permission.topic.split('/')
  const given = topic.split('/')
  for (let i = 0; i < wanted.length; i++) {
    const level = wanted[i]!
    if (level === '#') return i > 0 || !topic.startsWith('$')
    if (i >= given.length) return false
    if (level === '+') {
      if (i === 0 && topic.startsWith('$')) return false
      continue
    }
    const text = filledIn(level, i === 0, who)
    if (text === undefined ? permission.allow !== undefined : text !== given[i]) return false
  }
  return wanted.length === given.length
}

/** `allow` and `deny` take one action or several. */
export function includesAction(actions: unknown, action: string): boolean {
  return Array.isArray(actions) ? actions.includes(action) : actions === action
}

function allRoles(definitions: RoleDefinitions, names: readonly string[], seen = new Set<string>()): Set<string> {
  for (const name of names) {
    if (!Object.hasOwn(definitions, name) || seen.has(name)) continue
    seen.add(name)
    allRoles(definitions, definitions[name]!.include ?? [], seen)
  }
  return seen
}

/** Whether an identity may do it: a denial wins, and without a permission nothing is allowed. */
export function isAllowed(
  definitions: RoleDefinitions,
  who: Identity,
  ask: { action: 'publish' | 'subscribe'; topic: string; qos: QoS; retain?: boolean; group?: string | undefined },
): boolean {
  let allowed = false
  for (const name of allRoles(definitions, who.roles)) {
    for (const permission of definitions[name]!.permissions ?? []) {
      if (!includesAction(permission.allow ?? permission.deny, ask.action)) continue
      if (permission.qos && !permission.qos.includes(ask.qos)) continue
      if (ask.action === 'publish') {
        if (permission.retain !== undefined && permission.retain !== ask.retain) continue
      } else {
        if (permission.shared !== undefined && permission.shared !== (ask.group !== undefined)) continue
        if (permission.group !== undefined && permission.group !== ask.group) continue
      }
      if (!speaksOfTopic(permission, ask.topic, who)) continue
      if (permission.deny !== undefined) return false
      allowed = true
    }
  }
  return allowed
}
