import type { AdmissionOutcome } from '../../machines/session.machine.ts'
import type { AllowTakeover, Deny, Grant, Next } from '../hooks.ts'
import type { Decision } from '../inspection.ts'
import { ReasonCode } from '../reason-codes.ts'
import { isReservedTopic } from '../router/topics.ts'
import { decidedByHook, hookDenied, hookFailed, withTimeout } from './decide.ts'
import { decided, decidedByRoles, withRedirect } from './decided.ts'
import { doorName } from './door.ts'
import { grantedExpiry } from './modifiers.ts'
import { settleClientId, takeoverOf } from './ownership.ts'
import { isRevokedSince } from './registry.ts'
import { faultCode } from './keeping.ts'
import type { Session } from './session.ts'
import { decideWill } from './will-decision.ts'

type Refusal = Extract<AdmissionOutcome, { type: 'denied' }>

/**
 * The chart's `admit` actor: everything that may still refuse an authenticated client, but for who owns
 * the session that lives under its identifier: that is the chart's guard `mayTakeOver`. Nothing has
 * changed until all of it has passed, so a refused CONNECT leaves the incumbent as it was and
 * learns nothing of it (semantics 7.3).
 */
export async function runAdmission(session: Session, grant: Grant): Promise<AdmissionOutcome> {
  const { core, policy } = session
  if (!session.request) throw new Error('nothing to admit')
  const turnedAway = core.door.refusal(session, grant.principal)
  if (turnedAway) {
    const { type: _deny, reasonCode, reason, ...redirect } = turnedAway
    const decision = decided(
      'operator',
      doorName(reasonCode),
      withRedirect(reason, redirect.serverReference),
      reasonCode,
    )
    return { type: 'denied', reasonCode, reason, decision, ...redirect }
  }
  const fault = settleClientId(session, grant)
  if (fault !== undefined) return denied(ReasonCode.ClientIdentifierNotValid, fault, 'broker', 'clientIds')
  const connect = session.request
  const { onRegister } = policy.hooks
  if (onRegister) {
    const verdict = await ask<Next>(session, 'onRegister', () => onRegister(connect, grant))
    if (verdict.type === 'denied') return verdict
  }
  const willRefusal = await refuseWill(session, grant)
  if (willRefusal) return willRefusal
  // Nobody reads the answer of a client that has left meanwhile, and nobody else is asked about it.
  if (session.state === 'expired') return denied(ReasonCode.ServerUnavailable, 'the client has left', 'client', '')
  // Revocation is immediate (semantics 7.16), for whoever is on the way to the session too: it may have ended by it.
  if (core.registry.isRevoked(session, grant.principal)) return revokedMeanwhile()
  const unkept = refuseUnkept(session)
  if (unkept) return unkept
  const incumbent = core.registry.sessions.get(session.clientId)
  const owner = incumbent?.grant
  const permission = incumbent && (await askAboutTakeover(session, incumbent, grant))
  if (permission?.type === 'denied') return permission
  // Hooks took their time: who would be sent away at once must not take a session over first.
  if (hasEnded(session, grant)) return denied(ReasonCode.NotAuthorized, 'the grant has ended', 'deadline', 'grant')
  session.startsAfresh = permission?.cleanStart === true
  return {
    type: 'admitted',
    incumbent: incumbent?.id,
    sessionExpiryIntervalSeconds: grantedExpiry(session),
    connect,
    ...(incumbent ? { takeover: takeoverOf(session, incumbent, owner, grant, permission !== undefined) } : {}),
  }
}

/** A new session that is to be kept needs a store that keeps it. One that is there may be read, which makes room. */
function refuseUnkept(session: Session): Refusal | undefined {
  const { store, registry } = session.core
  const fault = store?.fault
  if (fault === undefined || grantedExpiry(session) === 0) return undefined
  if (registry.sessions.get(session.clientId)?.isPersistent === true) return undefined
  return denied(faultCode(fault), 'the store keeps nothing just now', 'broker', 'store')
}

/** Its rights go on during the grace. */
function hasEnded({ policy, core }: Session, { expiresAtMs }: Grant): boolean {
  return expiresAtMs !== undefined && expiresAtMs + policy.limits.grantGraceMs <= core.clock.nowMs()
}

/**
 * The expiry of a client whose admission nobody could refuse: no hook is asked, no session lives under
 * its identifier, no rule is about it, its will needs nothing special. Undefined: the long way.
 */
export function admitAtOnce(session: Session): number | undefined {
  const { core, policy, pendingWill, request } = session
  const { features, limits } = policy
  if (!request || policy.hooks.onRegister || (pendingWill && policy.hooks.onPublish)) return undefined
  if (policy.clientIds !== undefined || limits.maxSessionsPerPrincipal !== Infinity) return undefined
  if (core.registry.sessions.has(session.clientId)) return undefined
  if (pendingWill && core.roles.policy !== undefined) return undefined
  if (pendingWill && (pendingWill.qos > features.maximumQoS || pendingWill.retain)) return undefined
  if (pendingWill && isReservedTopic(pendingWill.topic)) return undefined
  const expiry = grantedExpiry(session)
  if (expiry > 0 && core.store?.fault !== undefined) return undefined
  return expiry > 0 && core.registry.lasting >= core.limits.maxOfflineSessions ? undefined : expiry
}

/**
 * The limit that one more session would break: more than the broker keeps, or than its principal may have (threat 52).
 * Asked in the step in which the newcomer gets its place, so that a crowd that was decided on together
 * does not get in together.
 */
export function exceededQuota(
  { core, policy, clientId }: Session,
  expirySeconds: number,
  grant: Grant,
): 'maxOfflineSessions' | 'maxSessionsPerPrincipal' | undefined {
  const { registry, limits } = core
  const incumbent = registry.sessions.get(clientId)
  // Who has a place keeps it; one that came first without a wish to stay has none.
  if (expirySeconds > 0 && !incumbent?.isPersistent && registry.lasting >= limits.maxOfflineSessions)
    return 'maxOfflineSessions'
  const { principal } = grant
  const { maxSessionsPerPrincipal } = policy.limits
  if (maxSessionsPerPrincipal === Infinity || principal === undefined) return undefined
  if (incumbent?.grant?.principal === principal) return undefined
  const count = registry.index.sizeOf('principal', principal)
  return count >= maxSessionsPerPrincipal ? 'maxSessionsPerPrincipal' : undefined
}

/** Undefined: `takeover` of the options decides. */
async function askAboutTakeover(
  session: Session,
  incumbent: Session,
  grant: Grant,
): Promise<AllowTakeover | Refusal | undefined> {
  // Nor does anybody else get it who was decided on before.
  if (isRevokedSince(session, incumbent)) return revokedMeanwhile()
  const { onTakeover } = session.policy.hooks
  if (!onTakeover) return undefined
  const verdict = await ask<Next | AllowTakeover>(session, 'onTakeover', () =>
    onTakeover(session.request!, grant, incumbent.hookClient),
  )
  return verdict.type === 'next' ? undefined : verdict
}

/** MQTT-3.2.2-12, MQTT-3.2.2-13, and the will's own authorization. */
async function refuseWill(session: Session, grant: Grant): Promise<Refusal | undefined> {
  const will = session.pendingWill
  const { features } = session.policy
  if (!will) return undefined
  if (will.qos > features.maximumQoS)
    return denied(ReasonCode.QoSNotSupported, 'the will wants a QoS that is not offered', 'broker', 'maximumQoS')
  if (will.retain && !features.retainAvailable)
    return denied(ReasonCode.RetainNotSupported, 'the will wants to be retained', 'broker', 'retainAvailable')
  if (isReservedTopic(will.topic))
    return denied(ReasonCode.NotAuthorized, 'the topic of the will is reserved', 'broker', '')
  const verdict = await decideWill(session, grant, will)
  if (verdict.type !== 'deny') return undefined
  const { reasonCode, reason } = verdict
  // Roles say which permission it was, or that there was none; a hook says neither.
  const decision =
    'rule' in verdict
      ? decidedByRoles('its will', reasonCode, verdict.rule)
      : decidedByHook('onPublish', verdict, reason, reasonCode)
  return { type: 'denied', reasonCode, reason, decision }
}

async function ask<V extends Next | AllowTakeover>(
  session: Session,
  hook: 'onRegister' | 'onTakeover',
  decide: () => V | Deny | Promise<V | Deny>,
): Promise<V | Refusal> {
  const { core, policy, clientId } = session
  try {
    const pending = Promise.resolve(decide())
    const verdict = await withTimeout(core.clock, policy.limits.decisionTimeoutMs, hook, pending)
    if (verdict.type !== 'deny') return verdict as V
    hookDenied(core.events, hook, clientId, verdict as Deny)
    const { reasonCode, reason, serverReference } = verdict as Deny
    const decision = decidedByHook(hook, verdict, withRedirect(reason, serverReference), reasonCode)
    return { type: 'denied', reasonCode, reason, decision, ...(serverReference !== undefined && { serverReference }) }
  } catch (error) {
    hookFailed(core.events, hook, clientId, error)
    const decision = decidedByHook(hook, error, 'it failed, which counts as no', ReasonCode.NotAuthorized)
    return { type: 'denied', reasonCode: ReasonCode.NotAuthorized, reason: 'not authorized', decision }
  }
}

function denied(reasonCode: ReasonCode, reason: string, by: Decision['by'], name: string): Refusal {
  return { type: 'denied', reasonCode, reason, decision: decided(by, name, reason, reasonCode) }
}

/** The client is not told why, its operator is. */
function revokedMeanwhile(): Refusal {
  const reasonCode = ReasonCode.NotAuthorized
  const decision = decided('operator', '', 'its grant was revoked while it was decided on', reasonCode)
  return { type: 'denied', reasonCode, reason: 'not authorized', decision }
}
