/** Who or what decided on a step of a session's chart, from what the chart was given and which way it took. */
import type { AnyTransitionDefinition } from 'xstate'

import type { AdmissionOutcome, SessionContext, SessionEvent } from '../../machines/session.machine.ts'
import type { Decision } from '../inspection.ts'
import { ReasonCode } from '../reason-codes.ts'
import { exceededQuota } from './admission.ts'
import { decided } from './decided.ts'
import type { Session } from './session.ts'
import type { Cause } from './xstate-types.ts'

interface Step {
  readonly session: Session
  readonly event: Cause
  readonly transitions: readonly AnyTransitionDefinition[]
  readonly context: SessionContext
}

export const RESTORED = decided('broker', 'store', 'brought back from the store')
export const FAILED_CHART = decided(
  'broker',
  '',
  'an implementation of the chart threw',
  ReasonCode.ImplementationSpecificError,
)

/** `raisedBy`: the decision on the step in which the chart raised this event itself; undefined where it was sent. */
export function decidedBy(step: Step, raisedBy: Decision | null | undefined): Decision | null {
  const { event, transitions } = step
  if (transitions[0]?.eventType === '') return onTheWay(step)
  const stated = statedIn(event)
  if (stated) return stated
  if (event.type.startsWith('xstate.')) return onOutcome(step)
  // The client broke the protocol, and the chart says how.
  if (raisedBy !== undefined && event.type !== 'connection.failed') return raisedBy
  return byEvent(step, event as SessionEvent) ?? byGuard(step)
}

/** Whoever sends an event or answers for an actor knows best. */
function statedIn(event: Cause): Decision | undefined {
  const { decision, output } = event as { decision?: Decision; output?: { decision?: Decision } | undefined }
  return decision ?? output?.decision
}

/** By the type of an event that says nothing else; undefined: the chart has been extended with it. */
function byEvent({ session, context }: Step, event: SessionEvent): Decision | null | undefined {
  switch (event.type) {
    case 'packet.connect':
      return CONNECT
    case 'packet.auth':
      return AUTH
    case 'packet.disconnect':
      return event.reasonCode === 0 ? GOODBYE : decided('client', '', 'DISCONNECT', event.reasonCode as ReasonCode)
    case 'connection.closed':
      return CLOSED
    case 'connection.failed':
      return decided('client', '', event.reason, event.reasonCode)
    case 'keepalive.lost':
      return silence(session)
    case 'session.disconnect':
      return byOperator(event, event.reason, event.reasonCode)
    case 'session.revoke':
      return byOperator(event, event.reason, ReasonCode.NotAuthorized)
    case 'session.expire':
      return byOperator(event, 'session ended by the operator', ReasonCode.AdministrativeAction)
    case 'roles.change':
      return byOperator(event, `its roles are now: ${event.roles.join(', ') || 'none'}`)
    case 'properties.change':
      return byOperator(event, 'its properties were changed')
    case 'session.resume':
    case 'session.takeover':
    case 'session.discard':
      return NEWER
    case 'delivery.blocked':
      return BLOCKED
    case 'delivery.drained':
    case 'delivery.ready':
      return DRAINED
    case 'broker.drain':
      return DRAIN
    default:
      return byDeadline(session, context, event.type)
  }
}

/** Under the name of the person, where whoever asked for it has said it. */
function byOperator({ by = '' }: { readonly by?: string }, reason: string, reasonCode?: ReasonCode): Decision {
  return decided('operator', by, reason, reasonCode)
}

function byDeadline(session: Session, context: SessionContext, type: string): Decision | undefined {
  const { limits } = session.policy
  switch (type) {
    case 'deadline.connect': {
      const reason = `no end of CONNECT within ${limits.connectTimeoutMs} ms`
      // Whoever has not said a word is not answered.
      return decided('deadline', 'connectTimeoutMs', reason, context.connect ? ReasonCode.NotAuthorized : null)
    }
    case 'deadline.authentication':
      return decided('deadline', 'authTimeoutMs', `no end of the re-authentication within ${limits.authTimeoutMs} ms`)
    case 'deadline.session': {
      const seconds = context.sessionExpiryIntervalSeconds
      return decided('deadline', 'session expiry', `${seconds} s without a connection`)
    }
    case 'deadline.expiring':
      return decided('deadline', 'grantExpiringMs', 'the grant ends soon')
    case 'deadline.grant':
      return decided('deadline', 'grant', 'the grant has ended', ReasonCode.NotAuthorized)
    case 'deadline.connection':
      return decided(
        'deadline',
        'maxConnectionSeconds',
        `connected for ${limits.maxConnectionSeconds} s`,
        ReasonCode.MaximumConnectTime,
      )
    default:
      return undefined
  }
}

function silence({ keepAliveSeconds }: Session): Decision {
  const reason = `nothing came for one and a half times the keepalive of ${keepAliveSeconds} s`
  return decided('deadline', 'keepalive', reason, ReasonCode.KeepAliveTimeout)
}

/** Steps that need no event: what was decided before, or what the chart's guards say. */
function onTheWay(step: Step): Decision | null {
  const { session, transitions, context } = step
  const guard = guardOf(transitions)
  if (guard === 'isAdmittedAtOnce') return acceptedBy(context)
  if (guard === 'takesOverTooOften') {
    const reason = 'its client identifier was taken over too often'
    return decided('limit', 'maxTakeoversPerTenSeconds', reason, ReasonCode.ConnectionRateExceeded)
  }
  if (guard === 'exceedsQuota' && context.grant !== undefined) {
    const limit = exceededQuota(session, context.sessionExpiryIntervalSeconds, context.grant)
    if (limit !== undefined) return decided('limit', limit, 'one session too many', ReasonCode.QuotaExceeded)
  }
  return byGuard(step)
}

/** An actor that the chart invoked has answered, or failed. */
function onOutcome(step: Step): Decision | null {
  const { event, transitions, context } = step
  if (event.type.startsWith('xstate.error.'))
    return decided('broker', '', 'the decision failed', ReasonCode.NotAuthorized)
  const output = event.output as { type?: string; reasonCode?: ReasonCode; reason?: string } | undefined
  if (output?.type === 'allowed') return acceptedBy(context)
  if (output?.type === 'denied') {
    const by = transitions[0]?.source.key === 'admission' ? 'hook' : 'authenticator'
    return decided(by, '', output.reason ?? '', output.reasonCode)
  }
  const guard = guardOf(transitions)
  if (output?.type === 'admitted' && guard === undefined) return notTheirs(output as AdmissionOutcome)
  return byGuard(step)
}

/** The chart came past its guard `mayTakeOver`. */
function notTheirs(outcome: AdmissionOutcome): Decision {
  const { policy, previousState } = (outcome.type === 'admitted' && outcome.takeover) || {}
  const isInUse = policy === 'same-principal-when-offline' && previousState === 'online'
  const reason = isInUse ? 'its owner is online' : "the session is another principal's"
  return decided('guard', 'mayTakeOver', `takeover is ${policy ?? 'undefined'}: ${reason}`, ReasonCode.NotAuthorized)
}

const known = new Map<string, Decision>()
/** Authenticators and guards have few names; an actor of an embedder's may answer with any. */
const MAX_REMEMBERED = 1_000

/** What is decided for nearly everybody is kept once. */
function remembered(key: string, make: () => Decision): Decision {
  let decision = known.get(key)
  if (decision === undefined) {
    decision = make()
    if (known.size < MAX_REMEMBERED) known.set(key, decision)
  }
  return decision
}

function acceptedBy({ grant }: SessionContext): Decision {
  const name = (grant as Partial<SessionContext['grant']>)?.authenticator ?? ''
  if (name === 'anonymous') return ANONYMOUS
  return remembered(`authenticator ${name}`, () => decided('authenticator', name, 'accepted'))
}

/** The guard that let the chart go this way; where it went a way without one, nobody said anything. */
function byGuard({ transitions }: Step): Decision | null {
  const guard = guardOf(transitions)
  if (guard === undefined) return null
  return remembered(`guard ${guard}`, () => decided('guard', guard, GUARDS[guard] ?? 'it said yes'))
}

const GUARDS: Readonly<Record<string, string>> = {
  isUnclaimed: 'no session lives under the client identifier',
  mayTakeOver: 'the session may be taken over',
  incumbentChanged: 'the session under the client identifier has changed meanwhile',
  resumesIncumbent: 'the session under the client identifier goes on with this connection',
  nothingToWake: 'nothing waits for the client',
}

/** The first one by its name; one that is written into the chart has that of its function, or none. */
function guardOf(transitions: readonly AnyTransitionDefinition[]): string | undefined {
  for (const { guard } of transitions) {
    if (guard === undefined) continue
    if (typeof guard === 'string') return guard
    const { type, name } = guard as { type?: string; name?: string }
    return type ?? name ?? ''
  }
  return undefined
}

const CONNECT = decided('client', '', 'CONNECT')
const AUTH = decided('client', '', 'AUTH')
const GOODBYE = decided('client', '', 'DISCONNECT', ReasonCode.Success)
const CLOSED = decided('network', '', 'the connection ended without DISCONNECT')
const NEWER = decided('client', '', 'a newer connection under its client identifier')
const BLOCKED = decided('network', '', 'the client does not read')
const DRAINED = decided('network', '', 'the client reads')
const DRAIN = decided('broker', '', 'the broker stops', ReasonCode.ServerShuttingDown)
const ANONYMOUS = decided('broker', 'allowAnonymous', 'anonymous clients are let in')
