import type { AdmissionOutcome } from '../../machines/session.machine.ts'
import type { Deny, Grant, Next } from '../hooks.ts'
import { ReasonCode } from '../reason-codes.ts'
import { isReservedTopic } from '../router/topics.ts'
import { withTimeout } from './decide.ts'
import type { Session } from './session.ts'
import { decideWill } from './wills.ts'

type Refusal = Extract<AdmissionOutcome, { type: 'denied' }>

/**
 * The chart's `admit` actor: everything that may still refuse an authenticated client. Nothing has
 * changed until all of it has passed, so a refused CONNECT leaves the incumbent as it was and
 * learns nothing of it (semantics 7.3).
 */
export async function runAdmission(session: Session, grant: Grant): Promise<AdmissionOutcome> {
  const { core, policy, request: connect } = session
  if (!connect) throw new Error('nothing to admit')
  const { onRegister } = policy.hooks
  if (onRegister) {
    const refusal = await ask(session, 'onRegister', async () => onRegister(connect, grant))
    if (refusal) return refusal
  }
  const willRefusal = await refuseWill(session, grant)
  if (willRefusal) return willRefusal
  // Nobody reads the answer of a client that has left meanwhile, and nobody else is asked about it.
  if (session.state === 'expired') return denied(ReasonCode.ServerUnavailable, 'the client has left')
  const wanted = Math.min(connect.sessionExpiryIntervalSeconds, policy.limits.maxSessionExpirySeconds)
  const incumbent = core.registry.sessions.get(session.clientId)
  if (incumbent) {
    const refusal = await refuseTakeover(session, incumbent, grant)
    if (refusal) return refusal
  }
  // Who has a place keeps it; one that came first without a wish to stay has none (threat 52).
  if (wanted > 0 && !incumbent?.isPersistent && core.registry.offline >= core.limits.maxOfflineSessions) {
    return denied(ReasonCode.QuotaExceeded, 'too many sessions are kept')
  }
  return { type: 'admitted', incumbent: incumbent?.id, sessionExpiryIntervalSeconds: wanted }
}

/**
 * The expiry of a client whose admission nobody could refuse: no hook is asked, no session lives under
 * its identifier, its will needs nothing special. Undefined: the long way.
 */
export function admitAtOnce(session: Session): number | undefined {
  const { core, policy, pendingWill, request } = session
  if (!request || policy.hooks.onRegister || (pendingWill && policy.hooks.onPublish)) return undefined
  if (core.registry.sessions.has(session.clientId)) return undefined
  if (pendingWill && (pendingWill.qos > core.features.maximumQoS || pendingWill.retain)) return undefined
  if (pendingWill && isReservedTopic(pendingWill.topic)) return undefined
  const wanted = Math.min(request.sessionExpiryIntervalSeconds, policy.limits.maxSessionExpirySeconds)
  return wanted > 0 && core.registry.offline >= core.limits.maxOfflineSessions ? undefined : wanted
}

async function refuseTakeover(session: Session, incumbent: Session, grant: Grant): Promise<Refusal | undefined> {
  const { core, policy, request: connect } = session
  const { onTakeover } = policy.hooks
  if (onTakeover) {
    const decide = async (): Promise<Next | Deny> => {
      const verdict = await onTakeover(connect!, grant, incumbent.hookClient)
      return verdict?.type === 'allow' ? { type: 'next' } : verdict
    }
    const refusal = await ask(session, 'onTakeover', decide)
    if (refusal) return refusal
  } else if (incumbent.grant?.principal !== grant.principal) {
    // Semantics 7.4: a session belongs to its principal until it expires.
    return denied(ReasonCode.NotAuthorized, 'not authorized')
  }
  if (
    incumbent.state === 'online' &&
    !core.registry.mayTakeOver(session.clientId, session.nowMs(), policy.limits.maxTakeoversPerTenSeconds)
  ) {
    return denied(ReasonCode.ConnectionRateExceeded, 'too many takeovers')
  }
  return undefined
}

/** MQTT-3.2.2-12, MQTT-3.2.2-13, and the will's own authorization. */
async function refuseWill(session: Session, grant: Grant): Promise<Refusal | undefined> {
  const will = session.pendingWill
  const { features } = session.core
  if (!will) return undefined
  if (will.qos > features.maximumQoS)
    return denied(ReasonCode.QoSNotSupported, 'the will wants a QoS that is not offered')
  if (will.retain && !features.retainAvailable)
    return denied(ReasonCode.RetainNotSupported, 'the will wants to be retained')
  if (isReservedTopic(will.topic)) return denied(ReasonCode.NotAuthorized, 'the topic of the will is reserved')
  const verdict = await decideWill(session, grant, will)
  return verdict.type === 'deny' ? denied(verdict.reasonCode, verdict.reason) : undefined
}

async function ask(session: Session, hook: string, decide: () => Promise<Next | Deny>): Promise<Refusal | undefined> {
  const { core, policy } = session
  try {
    const verdict = await withTimeout(core.clock, policy.limits.decisionTimeoutMs, hook, decide())
    if (verdict?.type === 'next') return undefined
    if (verdict?.type === 'deny') return denied(verdict.reasonCode, verdict.reason, verdict.serverReference)
    throw new TypeError(`${hook} gave no verdict`)
  } catch (error) {
    core.events.emit({ type: 'hook.failed', hook, clientId: session.clientId, error })
    return denied(ReasonCode.NotAuthorized, 'not authorized')
  }
}

function denied(reasonCode: ReasonCode, reason: string, serverReference?: string): Refusal {
  return serverReference === undefined
    ? { type: 'denied', reasonCode, reason }
    : { type: 'denied', reasonCode, reason, serverReference }
}
