import { assign, initialTransition, transition } from 'xstate'
import type { EventFromLogic, SnapshotFrom } from 'xstate'

import { sessionMachine } from '../../machines/index.ts'
import type { AdmissionOutcome, Handover, SessionContext, SessionEvent, WillSummary } from '../../machines/index.ts'
import type { ConnectRequest, Grant } from '../../src/hooks.ts'
import type { ConnectionInfo } from '../../src/messages.ts'

export const connection: ConnectionInfo = {
  listener: 'tests',
  transport: 'memory',
  remoteAddress: undefined,
  remotePort: undefined,
  localPort: undefined,
  proxyAddress: undefined,
  tls: undefined,
}

export function connectRequest(changes: Partial<ConnectRequest> = {}): ConnectRequest {
  return {
    clientId: 'new',
    protocolVersion: 5,
    username: 'alice',
    cleanStart: true,
    keepAliveSeconds: 60,
    sessionExpiryIntervalSeconds: 0,
    authenticationMethod: 'TICKET',
    userProperties: [],
    connection,
    ...changes,
  }
}

export const grant: Grant = {
  principal: 'alice',
  roles: ['reader'],
  authenticator: 'tests',
  method: 'TICKET',
  authenticatedAtMs: 1_700_000_000_000,
  expiresAtMs: 1_700_000_600_000,
  policyVersion: 1,
  properties: {},
  propertySources: {},
}

export const will: WillSummary = { topic: 'gone/alice', qos: 1, retain: false, delaySeconds: 30, payloadBytes: 4 }

const handover: Handover = {
  connection: { ...connection, listener: 'second' },
  connect: connectRequest({ username: 'known', cleanStart: false, sessionExpiryIntervalSeconds: 60 }),
  grant: { ...grant, authenticatedAtMs: grant.authenticatedAtMs + 1 },
  will: { ...will, topic: 'gone/again' },
  sessionExpiryIntervalSeconds: 60,
}

export const input = { sessionId: 's1', startedAtMs: 0, connection }

interface Acting {
  readonly context: SessionContext
}

/** What a listener sets in a broker; here it goes by what the client said, so that one model has all of it. */
export const policyGuards = {
  hasGrace: ({ context }: Acting) => context.sessionExpiryIntervalSeconds > 0,
  staysWithoutRights: ({ context }: Acting) => context.connect?.username === 'known',
  staysAfterFailure: ({ context }: Acting) => context.connect?.username === 'known',
}

/**
 * The machine with doubles that read only what a path puts into events, so that one set of events
 * leads everywhere: an incumbent "stale" is another one by now, the client "returning" has a session,
 * and the user "known" needs no waiting for.
 */
export const modelMachine = sessionMachine.provide({
  actions: {
    startExpiry: assign({ expiresAtMs: 1_700_000_060_000 }),
    keepImmediate: assign({ grant, sessionExpiryIntervalSeconds: 60, epoch: 1 }),
  },
  guards: {
    isAdmittedAtOnce: ({ context }) => context.connect?.username === 'known',
    incumbentChanged: (_, { incumbent }) => incumbent === 'stale',
    takesOverTooOften: () => false,
    exceedsQuota: () => false,
    resumesIncumbent: ({ context }) => context.connect?.clientId === 'returning',
    nothingToWake: ({ context }) => !context.resumed,
    ...policyGuards,
  },
})

export type SessionSnapshot = SnapshotFrom<typeof modelMachine>
export type ModelEvent = EventFromLogic<typeof modelMachine>

/** The name under which an answer of an invoked actor comes back; XState types only the events of a machine. */
function answer(kind: 'done' | 'error', state: string, value: unknown): ModelEvent {
  const actorId = `0.session.${state}`
  const outcome = kind === 'done' ? { output: value } : { error: value }
  return { type: `xstate.${kind}.actor.${actorId}`, actorId, ...outcome } as unknown as ModelEvent
}

export const identity = 'authenticating.identity'
export const admission = 'authenticating.admission'
export const deciding = 'online.reauthentication.underway.deciding'

const allowed = { type: 'allowed', grant } as const
const denied = { type: 'denied', reasonCode: 0x87, reason: 'not you' } as const
const moved = { type: 'denied', reasonCode: 0x9c, reason: 'over there', serverReference: 'other.example' } as const

export function admitted(sessionExpiryIntervalSeconds: number, incumbent?: string): AdmissionOutcome {
  return { type: 'admitted', incumbent, sessionExpiryIntervalSeconds }
}

/** Every event of a client, the host and the operator, in each variant that the chart tells apart. */
export const events = {
  connect: { type: 'packet.connect', connect: connectRequest(), will },
  'connect, lasting': {
    type: 'packet.connect',
    connect: connectRequest({ sessionExpiryIntervalSeconds: 60 }),
    will,
  },
  'connect, returning': {
    type: 'packet.connect',
    connect: connectRequest({ clientId: 'returning', cleanStart: false, sessionExpiryIntervalSeconds: 60 }),
    will: undefined,
  },
  'connect, at once': {
    type: 'packet.connect',
    connect: connectRequest({ username: 'known', sessionExpiryIntervalSeconds: 60 }),
    will,
  },
  'auth 0x18': { type: 'packet.auth', reasonCode: 0x18, authenticationMethod: 'TICKET' },
  'auth 0x19': { type: 'packet.auth', reasonCode: 0x19, authenticationMethod: 'TICKET' },
  'auth 0x18, other method': { type: 'packet.auth', reasonCode: 0x18, authenticationMethod: 'OTHER' },
  'disconnect 0x00': { type: 'packet.disconnect', reasonCode: 0, sessionExpiryIntervalSeconds: undefined },
  'disconnect 0x04': { type: 'packet.disconnect', reasonCode: 4, sessionExpiryIntervalSeconds: undefined },
  'disconnect 0x00, expiry 0': { type: 'packet.disconnect', reasonCode: 0, sessionExpiryIntervalSeconds: 0 },
  'disconnect 0x00, expiry 90': { type: 'packet.disconnect', reasonCode: 0, sessionExpiryIntervalSeconds: 90 },
  'disconnect 0x04, expiry 0': { type: 'packet.disconnect', reasonCode: 4, sessionExpiryIntervalSeconds: 0 },
  'connection closed': { type: 'connection.closed' },
  'connection failed': { type: 'connection.failed', reasonCode: 0x81, reason: 'malformed', silent: false },
  'connection failed, silent': { type: 'connection.failed', reasonCode: 0x81, reason: 'malformed', silent: true },
  'keepalive lost': { type: 'keepalive.lost' },
  'connect deadline': { type: 'deadline.connect' },
  'authentication deadline': { type: 'deadline.authentication' },
  'session deadline': { type: 'deadline.session' },
  resume: { type: 'session.resume', ...handover },
  takeover: { type: 'session.takeover', ...handover },
  discard: { type: 'session.discard' },
  'server disconnect': {
    type: 'session.disconnect',
    reasonCode: 0x9c,
    reason: 'over there',
    serverReference: 'other.example',
  },
  expire: { type: 'session.expire' },
  ready: { type: 'delivery.ready' },
  blocked: { type: 'delivery.blocked' },
  drained: { type: 'delivery.drained' },
  'will settled': { type: 'will.settled' },
  'expiring deadline': { type: 'deadline.expiring' },
  'grant deadline': { type: 'deadline.grant' },
  'connection deadline': { type: 'deadline.connection' },
  revoke: { type: 'session.revoke', reason: 'laptop stolen' },
  'change roles': { type: 'roles.change', roles: ['writer'] },
  'change roles, same': { type: 'roles.change', roles: ['reader'] },
  'change properties': {
    type: 'properties.change',
    properties: { department: 'sales' },
    propertySources: { department: 'server' },
  },
  'change properties, same': { type: 'properties.change', properties: {}, propertySources: {} },
  'change attributes': { type: 'attributes.change', scope: 'session', attributes: { trusted: true } },
  'change attributes of the connection': {
    type: 'attributes.change',
    scope: 'connection',
    attributes: { tries: 3 },
  },
  'change attributes, same': { type: 'attributes.change', scope: 'connection', attributes: {} },
  // Only the chart itself raises these two.
  renewed: { type: 'grant.renewed' },
  're-authentication failed': {
    type: 'reauthentication.failed',
    reasonCode: 0x9c,
    reason: 'over there',
    serverReference: 'other.example',
  },
  drain: { type: 'broker.drain' },
} as const satisfies Record<string, SessionEvent>

/** What the invoked actors answer, by the state that waits for it. */
export const answers = {
  'identity: allowed': answer('done', identity, allowed),
  'identity: challenged': answer('done', identity, { type: 'challenged' }),
  'identity: denied': answer('done', identity, denied),
  'identity: fails': answer('error', identity, new Error('authenticator broke')),
  'admission: admitted': answer('done', admission, admitted(0)),
  'admission: admitted, lasting': answer('done', admission, admitted(60)),
  'admission: incumbent changed': answer('done', admission, admitted(60, 'stale')),
  'admission: denied': answer('done', admission, moved),
  'admission: fails': answer('error', admission, new Error('hook broke')),
  're-authentication: allowed': answer('done', deciding, {
    type: 'allowed',
    grant: handover.grant,
    keepsProperties: true,
  }),
  're-authentication: challenged': answer('done', deciding, { type: 'challenged' }),
  're-authentication: denied': answer('done', deciding, denied),
  're-authentication: fails': answer('error', deciding, new Error('authenticator broke')),
} as const

export type StepName = keyof typeof events | keyof typeof answers

export function eventOf(step: StepName): ModelEvent {
  return step in events ? events[step as keyof typeof events] : answers[step as keyof typeof answers]
}

/** What to do to come into a state, shortest first; the states of the chart by the names used in tables. */
export const routes = {
  connecting: [],
  'authenticating.identity': ['connect'],
  'authenticating.admission': ['connect', 'identity: allowed'],
  'enhanced-auth': ['connect', 'identity: challenged'],
  // Ends with its connection; nothing to wake.
  online: ['connect', 'identity: allowed', 'admission: admitted'],
  // Outlives its connection.
  'online, lasting': ['connect, lasting', 'identity: allowed', 'admission: admitted, lasting'],
  'online.waking': ['connect, lasting', 'identity: allowed', 'admission: admitted, lasting', 'takeover'],
  'online.throttled': ['connect, lasting', 'identity: allowed', 'admission: admitted, lasting', 'blocked'],
  'online.deciding': ['connect, lasting', 'identity: allowed', 'admission: admitted, lasting', 'auth 0x19'],
  'online.challenged': [
    'connect, lasting',
    'identity: allowed',
    'admission: admitted, lasting',
    'auth 0x19',
    're-authentication: challenged',
  ],
  'online.expiring': ['connect, at once', 'expiring deadline'],
  'online.grace': ['connect, at once', 'expiring deadline', 'grant deadline'],
  'online.lapsed': ['connect, at once', 'grant deadline', 'grant deadline'],
  'online.lapsed, deciding': ['connect, at once', 'grant deadline', 'grant deadline', 'auth 0x19'],
  'online.grace, challenged': [
    'connect, lasting',
    'identity: allowed',
    'admission: admitted, lasting',
    'grant deadline',
    'auth 0x19',
    're-authentication: challenged',
  ],
  offline: ['connect, lasting', 'identity: allowed', 'admission: admitted, lasting', 'connection closed'],
  'offline, revoked': ['connect, at once', 'revoke'],
  expired: ['connection closed'],
} as const satisfies Record<string, readonly StepName[]>

export type StateName = keyof typeof routes

export function reach(state: StateName): SessionSnapshot {
  let [snapshot] = initialTransition(modelMachine, input)
  for (const step of routes[state]) [snapshot] = transition(modelMachine, snapshot, eventOf(step))
  return snapshot
}

interface Effect {
  readonly type: string
  readonly params?: unknown
}

/** One line per thing that a transition does, in order: actions with what they are told, emitted events, actors. */
export function effectsOf(actions: readonly Effect[]): string[] {
  return actions.map(({ type, params }) => {
    const details = params as { event?: unknown; src?: string } | undefined
    if (type === 'xstate.emit') return `emits ${JSON.stringify(details?.event)}`
    if (type === 'xstate.raise') return `raises ${JSON.stringify(details?.event)}`
    if (type === 'xstate.spawnChild') return `starts ${String(details?.src)}`
    if (type === 'xstate.stopChild') return `stops ${String(details?.src)}`
    return details === undefined ? type : `${type} ${JSON.stringify(details)}`
  })
}

/** Objects of the context by the name of where they come from: what a table shows instead of all their fields. */
const known = new Map<unknown, string>([
  [will, 'the will of the CONNECT'],
  [grant, 'the grant'],
  [connection, 'the first connection'],
  [handover.connection, 'the connection handed over'],
  [handover.connect, 'the CONNECT handed over'],
  [handover.grant, 'the newer grant'],
  [handover.will, 'the will handed over'],
  [events.connect.connect, 'the CONNECT'],
  [events['connect, lasting'].connect, 'the CONNECT, lasting'],
  [events['connect, returning'].connect, 'the CONNECT, returning'],
  [events['connect, at once'].connect, 'the CONNECT, at once'],
])

/** What a step changes in the context, one line per field. */
function changesOf(before: SessionSnapshot['context'], after: SessionSnapshot['context']): string[] {
  const keys = Object.keys(after) as (keyof typeof after)[]
  return keys
    .filter((key) => after[key] !== before[key])
    .map((key) => `${key} = ${known.get(after[key]) ?? JSON.stringify(after[key]) ?? 'undefined'}`)
}

/** The leaves of a state value: `online` is `online(valid, flowing)`, and names a re-authentication under way as well. */
export function leavesOf(value: SessionSnapshot['value']): string {
  if (typeof value === 'string') return value
  if ('authenticating' in value) return `authenticating.${value.authenticating}`
  const { authority, reauthentication, delivery } = value.online
  const underway = typeof reauthentication === 'string' ? [] : [reauthentication.underway]
  return `online(${[authority, ...underway, delivery].join(', ')})`
}

export interface Outcome {
  readonly next: SessionSnapshot
  /** Where the session ends up. */
  readonly leaves: string
  readonly changes: readonly string[]
  readonly effects: readonly string[]
  /** Nothing happens, and the session says so. */
  readonly ignored: boolean
}

/** What one step does to a session in this state. */
export function outcomeOf(snapshot: SessionSnapshot, step: StepName): Outcome {
  const event = eventOf(step)
  const [next, actions] = transition(modelMachine, snapshot, event)
  const leaves = leavesOf(next.value)
  const changes = changesOf(snapshot.context, next.context)
  const effects = effectsOf(actions)
  const said = `emits ${JSON.stringify({ type: 'session.ignored', event: event.type })}`
  const ignored =
    leaves === leavesOf(snapshot.value) && changes.length === 0 && effects.length === 1 && effects[0] === said
  return { next, leaves, changes, effects, ignored }
}
