import type { Allow, Grant } from '../hooks.ts'
import type { UserProperties } from '../messages.ts'
import type { PropertySource, SessionProperties } from '../properties.ts'
import type { Session } from './session.ts'

/** What a client says of its session in the user properties of CONNECT; nothing of it counts unless an authenticator repeats it. */
export function proposedProperties(userProperties: UserProperties, prefix: string): SessionProperties {
  if (userProperties.length === 0) return NONE
  const proposed = Object.create(null) as Record<string, string>
  for (const [name, value] of userProperties) {
    if (name.startsWith(prefix) && name.length > prefix.length) proposed[name.slice(prefix.length)] = value
  }
  return Object.freeze(proposed)
}

/** The grant of a verdict: frozen, without secrets (semantics 7.1). */
export function makeGrant(session: Session, verdict: Allow, authenticator: string, method: string | undefined): Grant {
  const { request, core } = session
  // A name that nobody has verified is no principal; of an enhanced authentication the result names it (semantics 7.9).
  const named = authenticator === 'anonymous' || method !== undefined ? undefined : request?.username
  const given = verdict.properties
  const [properties, propertySources] = given ? withSources(given, session) : NO_PROPERTIES
  return Object.freeze({
    principal: verdict.principal ?? named,
    roles: rolesOf(verdict),
    authenticator,
    method,
    authenticatedAtMs: session.nowMs(),
    expiresAtMs: verdict.expiresAtMs,
    policyVersion: core.policyVersion,
    properties,
    propertySources,
  })
}

function rolesOf({ roles }: Allow): readonly string[] {
  return roles === undefined || roles.length === 0 ? NO_ROLES : Object.freeze([...new Set(roles)])
}

type Sources = Readonly<Record<string, PropertySource>>

function withSources(given: Readonly<Record<string, string>>, session: Session): readonly [SessionProperties, Sources] {
  const proposed = proposedProperties(session.request?.userProperties ?? [], session.policy.proposedPropertyPrefix)
  const properties = Object.create(null) as Record<string, string>
  const sources = Object.create(null) as Record<string, PropertySource>
  for (const [name, value] of Object.entries(given)) {
    properties[name] = value
    sources[name] = proposed[name] === value ? 'client' : 'authenticator'
  }
  return [Object.freeze(properties), Object.freeze(sources)]
}

const NO_ROLES: readonly string[] = Object.freeze([])
const NONE: SessionProperties = Object.freeze(Object.create(null) as Record<string, string>)
const NO_PROPERTIES: readonly [SessionProperties, Sources] = [NONE, NONE as unknown as Sources]
