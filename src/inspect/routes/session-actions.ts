import type { z } from 'zod'

import { StatemqError } from '../../errors.ts'
import { ReasonCode } from '../../reason-codes.ts'
import type { Audit } from '../audit.ts'
import { jsonRoute, type AnyRoute, type Ask } from '../route.ts'
import {
  disconnectOne,
  manySessions,
  oneSession,
  outcome,
  outcomes,
  propertiesOfOne,
  revokeOne,
  rolesOfOne,
  type SessionAction,
} from '../schemas-asked.ts'

type Target = { readonly clientId: string } | { readonly filter: string }
type Outcome = z.input<typeof outcome>
/** Of any operation; what there was before stays inside. */
type Outcomes = readonly (Omit<Outcome, 'error' | 'reason'> & {
  readonly error: string | undefined
  readonly reason: string | undefined
})[]

/** What is done in the name of a login: the history of a session has it. */
type Doing = Pick<Ask<unknown, unknown>, 'host' | 'audit' | 'identity'>

function perform({ host, identity }: Doing, target: Target, action: SessionAction): Promise<Outcomes> {
  const sessions = host.broker.sessions.by(identity?.name ?? '')
  switch (action.type) {
    case 'roles':
      return sessions.changeRoles(target, action)
    case 'properties':
      return sessions.setProperties(target, action.properties)
    case 'disconnect':
      return sessions.disconnect(target, reasonCodeOf(action.reasonCode), action.reason)
    case 'revoke':
      return sessions.revoke(target, action.reason)
    case 'expire':
      return sessions.expire(target)
  }
}

/** Those that a server may send with DISCONNECT. */
const disconnectCodes: ReadonlySet<number> = new Set([
  ReasonCode.UnspecifiedError,
  ReasonCode.NotAuthorized,
  ReasonCode.ServerBusy,
  ReasonCode.ServerShuttingDown,
  ReasonCode.KeepAliveTimeout,
  ReasonCode.SessionTakenOver,
  ReasonCode.MessageRateTooHigh,
  ReasonCode.QuotaExceeded,
  ReasonCode.AdministrativeAction,
  ReasonCode.UseAnotherServer,
  ReasonCode.ServerMoved,
  ReasonCode.ConnectionRateExceeded,
  ReasonCode.MaximumConnectTime,
])

function reasonCodeOf(code: number | undefined): ReasonCode | undefined {
  if (code === undefined || disconnectCodes.has(code)) return code as ReasonCode | undefined
  throw new StatemqError('SMQ_SESSION_CHANGE_INVALID', `${code} is no reason code that a broker disconnects with`)
}

function told({ clientId, sessionId, outcome: came, error, reason }: Outcomes[number]): Outcome {
  return { clientId, sessionId, outcome: came, error: error ?? null, reason: reason ?? null }
}

/** The names of what changed, never the values of properties. */
function summary(action: SessionAction): string {
  if (action.type === 'roles') return `add ${(action.add ?? []).join(',')} remove ${(action.remove ?? []).join(',')}`
  return action.type === 'properties' ? Object.keys(action.properties).join(',') : ''
}

async function actOnOne(doing: Doing, clientId: string, action: SessionAction): Promise<Outcome> {
  const what = { clientId, change: summary(action) }
  const [came] = await audited(doing.audit, `session.${action.type}`, what, () => perform(doing, { clientId }, action))
  return told(came!)
}

async function audited(
  audit: Audit,
  operation: string,
  what: Readonly<Record<string, string>>,
  run: () => Promise<Outcomes>,
): Promise<Outcomes> {
  try {
    const all = await run()
    const failed = all.filter((one) => one.outcome === 'failed').length
    audit.done(operation, { ...what, sessions: all.length }, failed > 0 ? `${failed} failed` : 'done')
    return all
  } catch (error) {
    audit.done(operation, what, error instanceof StatemqError ? error.code : 'failed')
    throw error
  }
}

async function actOnMany(ask: Ask<undefined, z.output<typeof manySessions>>) {
  const { target, action } = ask.body
  const what = {
    ...('filter' in target ? { filter: target.filter } : { clientIds: target.clientIds.join(' ') }),
    change: summary(action),
  }
  const all = await audited(ask.audit, `sessions.${action.type}`, what, () =>
    'filter' in target ? perform(ask, target, action) : performEach(ask, target.clientIds, action),
  )
  const counts = { done: 0, unchanged: 0, failed: 0 }
  for (const { outcome: came } of all) counts[came]++
  const max = ask.host.broker.limits.maxInspectOutcomes
  const failed = all.filter((one) => one.outcome === 'failed')
  const others = all.length > max ? all.filter((one) => one.outcome !== 'failed') : []
  const shown = all.length > max ? [...failed, ...others].slice(0, max) : all
  return { ...counts, outcomes: shown.map(told) }
}

/** One that is gone is an outcome, not the end of the others. */
async function performEach(doing: Doing, clientIds: readonly string[], action: SessionAction): Promise<Outcomes> {
  const all: Outcomes[number][] = []
  for (const clientId of new Set(clientIds)) {
    try {
      all.push(...(await perform(doing, { clientId }, action)))
    } catch (error) {
      if (!(error instanceof StatemqError) || error.code !== 'SMQ_SESSION_UNKNOWN') throw error
      all.push({ clientId, sessionId: '', outcome: 'failed', error: error.code, reason: 'no such session' })
    }
  }
  return all
}

const one = { role: 'operate', answer: outcome } as const

/** What an operator does to sessions. */
export const sessionActionRoutes: readonly AnyRoute[] = [
  jsonRoute({
    ...one,
    method: 'PATCH',
    path: '/api/v1/session/properties',
    id: 'setSessionProperties',
    summary: 'Sets properties of a session; null removes one',
    body: propertiesOfOne,
    handle: (ask) => actOnOne(ask, ask.body.clientId, { type: 'properties', properties: ask.body.properties }),
  }),
  jsonRoute({
    ...one,
    method: 'POST',
    path: '/api/v1/session/roles',
    id: 'changeSessionRoles',
    summary: 'Takes roles away and gives others',
    body: rolesOfOne,
    handle: (ask) => {
      const { clientId, ...change } = ask.body
      return actOnOne(ask, clientId, { type: 'roles', ...change })
    },
  }),
  jsonRoute({
    ...one,
    method: 'POST',
    path: '/api/v1/session/disconnect',
    id: 'disconnectSession',
    summary: 'Ends the connection of a session',
    body: disconnectOne,
    handle: (ask) => {
      const { clientId, ...how } = ask.body
      return actOnOne(ask, clientId, { type: 'disconnect', ...how })
    },
  }),
  jsonRoute({
    ...one,
    method: 'POST',
    path: '/api/v1/session/revoke',
    id: 'revokeSession',
    summary: 'Takes the grant of a session away',
    body: revokeOne,
    handle: (ask) => {
      const { clientId, ...why } = ask.body
      return actOnOne(ask, clientId, { type: 'revoke', ...why })
    },
  }),
  jsonRoute({
    ...one,
    method: 'POST',
    path: '/api/v1/session/expire',
    id: 'expireSession',
    summary: 'Ends a session, and its connection',
    body: oneSession,
    handle: (ask) => actOnOne(ask, ask.body.clientId, { type: 'expire' }),
  }),
  jsonRoute({
    method: 'POST',
    path: '/api/v1/sessions/actions',
    id: 'actOnSessions',
    role: 'operate',
    summary: 'Does one thing to many sessions, and tells what came of it for each',
    body: manySessions,
    answer: outcomes,
    handle: actOnMany,
  }),
]
