import type { Grant } from '../src/hooks.ts'
import { Code } from './session.setup.ts'
import type {
  AdmissionOutcome,
  AuthenticationOutcome,
  Farewell,
  SessionEnd,
  SessionEvent,
  SessionOutput,
  Standing,
} from './session.types.ts'

type FailureCode = Farewell['reasonCode']
type Failed = Extract<SessionEvent, { type: 'connection.failed' }>
type Answered<T> = { readonly event: { readonly output: T } }
type Outcome = AuthenticationOutcome | AdmissionOutcome

/** An answer that the guards before it have narrowed. One that is of no known kind ends the session: never a grant. */
export function only<O extends Outcome, T extends O['type']>(outcome: O, type: T): Extract<O, { type: T }> {
  if (outcome.type !== type) throw new Error(`sessionMachine: an outcome "${type}" was due, not "${outcome.type}"`)
  return outcome as Extract<O, { type: T }>
}

export function farewellOf({ reasonCode, reason, serverReference }: Farewell): Farewell {
  return serverReference === undefined ? { reasonCode, reason } : { reasonCode, reason, serverReference }
}

function failureOf({ event }: { event: Failed }): Farewell & { silent: boolean } {
  return { ...farewellOf(event), silent: event.silent }
}

// Actions with their parameters, as the chart repeats them.
export const ended = (reason: SessionEnd, reasonCode?: FailureCode) =>
  ({ type: 'end', params: { reason, reasonCode } }) as const
export const endedAsTold = (reason: SessionEnd) =>
  ({
    type: 'end',
    params: ({ event }: { event: Farewell }): SessionOutput => ({ reason, reasonCode: event.reasonCode }),
  }) as const
const refused = (reasonCode: FailureCode, reason: string) =>
  ({ type: 'refuse', params: { reasonCode, reason, silent: false } }) as const
export const disconnected = (reasonCode: FailureCode, reason: string) =>
  ({ type: 'disconnect', params: { reasonCode, reason } }) as const
export const disconnectedForFailure = { type: 'disconnect', params: failureOf } as const
export const disconnectedAsTold = {
  type: 'disconnect',
  params: ({ event }: { event: Farewell }) => farewellOf(event),
} as const
export const connectionFailed = (reasonCode: FailureCode, reason: string) =>
  ({ type: 'failConnection', params: { reasonCode, reason } }) as const
export const reauthenticationFailed = (reasonCode: FailureCode, reason: string) =>
  ({ type: 'failReauthentication', params: { reasonCode, reason } }) as const
export const failureEmitted = {
  type: 'emitReauthenticationFailed',
  params: ({ event }: { event: Farewell }) => ({ reasonCode: event.reasonCode, reason: event.reason }),
} as const
export const disconnectedForReauthentication = {
  type: 'disconnectForReauthentication',
  params: ({ event }: { event: Farewell }) => farewellOf(event),
} as const
export const grantKept = {
  type: 'keepGrant',
  params: ({ event }: Answered<AuthenticationOutcome>): { grant: Grant; keepsProperties: boolean | undefined } => {
    const { grant, keepsProperties } = only(event.output, 'allowed')
    return { grant, keepsProperties }
  },
} as const
const standing = (now: Standing) => ({ type: 'keepStanding', params: { standing: now } }) as const
const revokedFor = {
  type: 'emitRevoked',
  params: ({ event }: { event: { readonly reason: string } }) => ({ reason: event.reason }),
} as const
export const armedUntil = (until: 'warning' | 'end' | 'grace') =>
  ({ type: 'armGrantDeadline', params: { until } }) as const
export const admissionKept = {
  type: 'keepAdmission',
  params: ({ event }: Answered<AdmissionOutcome>) => {
    const { sessionExpiryIntervalSeconds, connect } = only(event.output, 'admitted')
    return { sessionExpiryIntervalSeconds, connect }
  },
} as const

// Guards with their parameters.
export const whenChallenged = {
  type: 'isChallenged',
  params: ({ event }: Answered<AuthenticationOutcome>) => ({ outcome: event.output }),
} as const
export const whenDenied = {
  type: 'isDenied',
  params: ({ event }: Answered<Outcome>) => ({ outcome: event.output }),
} as const

export const whenIncumbentChanged = {
  type: 'incumbentChanged',
  params: ({ event }: Answered<AdmissionOutcome>) => {
    const { incumbent, takeover } = only(event.output, 'admitted')
    return { incumbent, takeover }
  },
} as const
export const whenTakeoverAllowed = {
  type: 'mayTakeOver',
  // Asked behind `isUnclaimed`, so there is one.
  params: ({ event }: Answered<AdmissionOutcome>) => only(event.output, 'admitted').takeover!,
} as const
export const whenUnclaimed = {
  type: 'isUnclaimed',
  params: ({ event }: Answered<AdmissionOutcome>) => ({ takeover: only(event.output, 'admitted').takeover }),
} as const

// Transitions that several states share. Their targets are top-level states.

/** The decision is against the client (semantics 7.3: nothing has changed yet). */
export const denied = {
  guard: whenDenied,
  target: '#session.expired',
  actions: [
    {
      type: 'refuse',
      params: ({ event }: Answered<Outcome>) => ({ ...farewellOf(only(event.output, 'denied')), silent: false }),
    },
    { type: 'emitRefused', params: ({ event }: Answered<Outcome>) => only(event.output, 'denied') },
    {
      type: 'end',
      params: ({ event }: Answered<Outcome>): SessionOutput => ({
        reason: 'refused',
        reasonCode: only(event.output, 'denied').reasonCode,
      }),
    },
  ],
} as const

/** A decision that fails is a refusal (semantics 7.11), whatever the hook threw. */
export const undecided = (reason: string) => refusedFor(reason)

export const refusedFor = (reason: string, end: SessionEnd = 'refused', reasonCode: FailureCode = Code.NotAuthorized) =>
  ({
    target: '#session.expired',
    actions: [
      refused(reasonCode, reason),
      { type: 'emitRefused', params: { reasonCode, reason } },
      ended(end, reasonCode),
    ],
  }) as const

/** The client breaks the rules before it is accepted. */
export const breach = (reasonCode: FailureCode, reason: string) =>
  ({ target: '#session.expired', actions: [refused(reasonCode, reason), ended('protocol-error', reasonCode)] }) as const

export const lostBeforeOnline = {
  'connection.closed': { target: '#session.expired', actions: ended('connection-lost') },
  'connection.failed': {
    target: '#session.expired',
    actions: [{ type: 'refuse', params: failureOf }, endedAsTold('protocol-error')],
  },
} as const

/** CONNECT is there and not answered yet, whoever's turn it is. MQTT-3.14.0-1: the answer is CONNACK, not DISCONNECT. */
export const unanswered = {
  ...lostBeforeOnline,
  'packet.disconnect': { target: '#session.expired', actions: ['closeConnection', ended('client-disconnect')] },
  // MQTT-3.1.0-2, MQTT-3.1.2-30, MQTT-4.12.0-3: the client speaks only when it was asked to, and only in AUTH.
  'packet.*': breach(Code.ProtocolError, 'out of turn during authentication'),
  'deadline.connect': {
    target: '#session.expired',
    actions: [
      refused(Code.NotAuthorized, 'authentication took too long'),
      ended('connect-timeout', Code.NotAuthorized),
    ],
  },
  'session.disconnect': {
    target: '#session.expired',
    actions: [
      {
        type: 'refuse',
        params: ({ event }: { event: Farewell }) => ({ ...farewellOf(event), silent: false }),
      },
      endedAsTold('server-disconnect'),
    ],
  },
  // Whatever is being decided: nobody comes in with what was taken away.
  'session.revoke': refusedFor('revoked', 'revoked'),
  'broker.drain': {
    target: '#session.expired',
    actions: [refused(Code.ServerUnavailable, 'shutting down'), ended('shutdown')],
  },
} as const

/** A connection ends; MQTT-3.1.2-23, MQTT-4.1.0-2: the session does only where nothing was granted beyond. */
export const dropped = <F extends object | string, E extends object>(farewell: readonly F[], end: E) =>
  [
    { guard: 'outlivesConnection', target: '#session.offline', actions: [...farewell, 'releaseWill'] },
    { target: '#session.expired', actions: [...farewell, end] },
  ] as const

/** The session ends under a client that is there. */
export const endedOnline = (reason: SessionEnd, reasonCode: FailureCode, text: string) =>
  ({ target: '#session.expired', actions: [disconnected(reasonCode, text), ended(reason, reasonCode)] }) as const

/** MQTT-3.1.4-3: the old connection is told, the session goes on with the new one. */
export const takeover = {
  target: '#session.online',
  reenter: true,
  actions: [
    disconnected(Code.SessionTakenOver, 'taken over'),
    'supersedeWill',
    'emitTakenOver',
    'keepHandover',
    'adoptConnection',
    'reauthorise',
  ],
} as const

/** MQTT-3.1.3-9: back before the will was due. */
export const resumption = {
  target: '#session.online',
  actions: ['cancelWill', 'keepHandover', 'adoptConnection', 'reauthorise'],
} as const

// The end of a grant, and what the server does to it.

const expiry = [standing('expired'), 'emitExpired'] as const

/** After the grace; `lapsed` keeps the connection, which may do nothing until it authenticates again. */
export const graceOver = [
  { guard: 'staysWithoutRights', target: '#session.online.authority.lapsed', actions: [...expiry, 'reauthorise'] },
  ...dropped(
    [...expiry, disconnected(Code.NotAuthorized, 'the grant has ended')],
    ended('grant-expired', Code.NotAuthorized),
  ),
] as const

export const grantOver = [{ guard: 'hasGrace', target: '#session.online.authority.grace' }, ...graceOver] as const

/** Rights, messages and will go; what was subscribed stays, for the day that its principal is trusted again. */
const revocation = [standing('revoked'), revokedFor, 'withholdWill', 'giveUpMessages', 'reauthorise'] as const

export const revokedOffline = { actions: revocation } as const

/** The operator's reason is for the operator; the client learns that it is not authorised any more. */
export const revokedOnline = [
  {
    guard: 'outlivesConnection',
    target: '#session.offline',
    actions: [disconnected(Code.NotAuthorized, 'revoked'), ...revocation],
  },
  {
    target: '#session.expired',
    actions: [disconnected(Code.NotAuthorized, 'revoked'), ...revocation, ended('revoked', Code.NotAuthorized)],
  },
] as const

const attributesChanged = ['emitAttributesChanged', 'keepAttributes'] as const

/** What the server changes of a session, with or without a connection. What changes nothing is ignored. */
const changedByServer = {
  'roles.change': { guard: 'changesRoles', actions: ['emitRolesChanged', 'keepRoles', 'renewWill', 'reauthorise'] },
  // Permissions may name properties.
  'properties.change': {
    guard: 'changesProperties',
    actions: ['emitPropertiesChanged', 'keepProperties', 'renewWill', 'reauthorise'],
  },
} as const

export const changedOnline = {
  ...changedByServer,
  'attributes.change': { guard: 'changesAttributes', actions: attributesChanged },
} as const

export const changedOffline = {
  ...changedByServer,
  'attributes.change': { guard: 'changesSessionAttributes', actions: attributesChanged },
} as const
