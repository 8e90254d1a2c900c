import type { Allow } from '../hooks.ts'
import type { Limits } from '../limits.ts'
import type { GrantFeatures } from '../options.ts'
import type { Features, SessionPolicy } from './core.ts'
import type { Session } from './session.ts'

/** What an authenticator wants in one CONNACK; gone with it. */
const ONCE = [
  'sessionExpiryIntervalSeconds',
  'keepAliveSeconds',
  'responseInformation',
  'reasonString',
  'userProperties',
] as const satisfies readonly (keyof GrantFeatures)[]

/** Changed policies by what was changed: sessions that get the same share one. */
const known = new WeakMap<SessionPolicy, Map<string, SessionPolicy>>()
/** Of one listener. Authenticators give few kinds of clients few kinds of limits; one that does not costs memory per session only. */
const MAX_KNOWN = 256

/**
 * Puts what an authenticator set for one session in place of what its listener has: from now on the
 * session has a policy of its own. Of a CONNECT only, since the client is told in CONNACK.
 */
export function applyModifiers(session: Session, { limits = {}, connack = {} }: Allow): void {
  const base = session.policy.base ?? session.policy
  const features = Object.entries(connack).filter(([name]) => !(ONCE as readonly string[]).includes(name))
  session.connackChanges = connack
  session.policy = changedPolicy(base, defined(Object.entries(limits)), defined(features))
}

/** Hooks are written in JavaScript too, where a field may be there and undefined. */
function defined(fields: readonly (readonly [string, unknown])[]): object {
  return Object.fromEntries(fields.filter(([, value]) => value !== undefined))
}

function changedPolicy(base: SessionPolicy, limits: Partial<Limits>, features: Partial<Features>): SessionPolicy {
  if (Object.keys(limits).length === 0 && Object.keys(features).length === 0) return base
  // JSON writes Infinity as null, which no limit may be otherwise.
  const key = JSON.stringify([limits, features])
  const policies = known.get(base) ?? new Map<string, SessionPolicy>()
  known.set(base, policies)
  const found = policies.get(key)
  if (found !== undefined) return found
  const policy: SessionPolicy = {
    ...base,
    base,
    limits: Object.freeze({ ...base.limits, ...limits }),
    features: { ...base.features, ...features },
  }
  if (policies.size >= MAX_KNOWN) policies.clear()
  policies.set(key, policy)
  return policy
}

/**
 * How long the session is kept when its connection ends: as the authenticator says, else as the client
 * asks, and never longer than the limit. Clients before MQTT 5 that want a clean session have none to
 * keep (MQTT-3.1.2-6 of 3.1.1).
 */
export function grantedExpiry(session: Session): number {
  const { sessionExpiryIntervalSeconds: asked, protocolVersion, cleanStart } = session.request!
  if (protocolVersion < 5 && cleanStart) return 0
  const wanted = session.connackChanges?.sessionExpiryIntervalSeconds ?? asked
  return Math.min(wanted, session.policy.limits.maxSessionExpirySeconds)
}
