import { z } from 'zod'

/**
 * What the admin API answers with: the types of `src/inspection.ts` as schemas, for the OpenAPI document and so that
 * nothing leaves but what is named here. A type test holds both equal.
 */

/** A list whose readers do not change it. */
export function list<Item extends z.ZodType>(
  item: Item,
): z.ZodType<readonly z.output<Item>[], readonly z.input<Item>[]> {
  return z.array(item) as never
}

export const count = z.int().min(0)
/** Milliseconds since the epoch. */
export const time = z.number().meta({ description: 'Milliseconds since the epoch' })
export const text = z.string()
export const qos = z.literal([0, 1, 2])
export const pair = z.tuple([text, text]) as unknown as z.ZodType<readonly [string, string], readonly [string, string]>

export const problem = z
  .object({
    code: text.meta({ description: 'One of docs/errors.md' }),
    message: text,
    offset: z.int().exactOptional().meta({ description: 'Of a filter: where the fault is, in UTF-16 units from 0' }),
  })
  .meta({ id: 'Problem' })

export const empty = z.object({}).meta({ id: 'Empty' })

export const sessionState = z
  .enum(['connecting', 'authenticating', 'enhanced-auth', 'online', 'offline', 'expired'])
  .meta({ id: 'SessionState' })

const dropReason = z.enum([
  'queue-full',
  'expired',
  'too-large',
  'offline',
  'denied',
  'store-full',
  'retained-full',
  'observer-slow',
  'session-ended',
  'administrative',
])

const counters = z
  .object({
    bytesReceived: count,
    bytesSent: count,
    messagesReceived: count,
    messagesSent: count,
    payloadBytesReceived: count,
    payloadBytesSent: count,
    packetsReceived: count,
    packetsSent: count,
    connectionsOpened: count,
    connectionsRefused: count,
    sessionsAdmitted: count,
    sessionsRefused: z.record(text, count),
    sessionsExpired: count,
    takeovers: count,
    subscriptionsAdded: count,
    subscriptionsRemoved: count,
    dropped: z.record(dropReason, count),
    willsPublished: count,
    willsWithheld: count,
    willsCancelled: count,
    hooksDenied: count,
    hooksFailed: count,
  })
  .meta({ id: 'BrokerCounters' })

export const brokerStats = z
  .object({
    atMs: time,
    startedAtMs: time,
    version: text,
    state: z.enum(['starting', 'running', 'draining', 'stopped']),
    counters,
    sessions: z.record(sessionState, count),
    connections: count,
    subscriptions: count,
    sharedSubscriptions: count,
    retainedMessages: count,
    retainedBytes: count,
    queuedMessages: count,
    queuedBytes: count,
    inflightMessages: count,
    pendingWills: count,
    loopLagMs: z.object({ mean: z.number(), p99: z.number(), max: z.number() }),
    memory: z.object({ rssBytes: count, heapUsedBytes: count, externalBytes: count }),
    cpuSeconds: z.number(),
    store: z.object({ name: z.enum(['memory', 'lmdb', 'redis']), fault: text.nullable() }),
    listeners: list(z.object({ name: text, transport: text, address: text, connections: count })),
  })
  .meta({ id: 'BrokerStats' })

export const statsSample = z
  .object({
    atMs: time,
    seconds: z.number(),
    messagesReceivedPerSecond: z.number(),
    messagesSentPerSecond: z.number(),
    bytesReceivedPerSecond: z.number(),
    bytesSentPerSecond: z.number(),
    droppedPerSecond: z.number(),
    connectsPerSecond: z.number(),
    sessionsOnline: count,
    sessionsOffline: count,
    queuedMessages: count,
    inflightMessages: count,
    loopLagMaxMs: z.number(),
    loopLagMeanMs: z.number(),
    rssBytes: count,
    heapUsedBytes: count,
    cpuShare: z.number(),
  })
  .meta({ id: 'StatsSample' })

export const states = z.record(text, count).meta({
  id: 'States',
  description: 'How many sessions are in each state, by its path: online.delivery.flowing',
})

export const flow = z.object({ from: text, event: text, to: text, count }).meta({ id: 'TransitionFlow' })

export const rule = z
  .object({ role: text, index: count, effect: z.enum(['allow', 'deny']), topic: text })
  .meta({ id: 'DecidingPermission' })

const decision = z
  .object({
    by: z.enum([
      'authenticator',
      'hook',
      'guard',
      'role',
      'limit',
      'client',
      'operator',
      'deadline',
      'network',
      'broker',
    ]),
    name: text,
    reason: text,
    reasonCode: count.nullable(),
    rule: rule.nullable(),
  })
  .meta({ id: 'Decision' })

export const transitionRecord = z
  .object({
    sequence: count,
    atMs: time,
    sessionId: text,
    clientId: text,
    event: text,
    from: list(text),
    to: list(text),
    decision: decision.nullable(),
  })
  .meta({ id: 'TransitionRecord' })

export const slowSubscriber = z
  .object({
    clientId: text,
    principal: text.nullable(),
    waitingMs: z.number(),
    queuedMessages: count,
    queuedBytes: count,
    inflightMessages: count,
    droppedMessages: count,
  })
  .meta({ id: 'SlowSubscriber' })

export const retainedPage = z
  .object({
    total: count,
    offset: count,
    levels: list(
      z.object({
        level: text,
        topic: text,
        hasMessage: z.boolean(),
        hasChildren: z.boolean(),
        payloadBytes: count.nullable(),
        qos: qos.nullable(),
      }),
    ),
  })
  .meta({ id: 'RetainedPage' })

export const retainedMessage = z
  .object({
    topic: text,
    qos,
    payloadBase64: text,
    payloadBytes: count,
    atMs: time.nullable(),
    expiresAtMs: time.nullable(),
    publisher: text.nullable(),
    contentType: text.nullable(),
    userProperties: list(pair),
  })
  .meta({ id: 'RetainedMessage' })

export const jobKind = z.enum(['offline-queue', 'will', 'session-expiry'])

export const jobPage = z
  .object({
    total: count,
    offset: count,
    rows: list(
      z.object({
        id: text,
        kind: z.enum([...jobKind.options, 'unknown']),
        clientId: text,
        dueAtMs: time.nullable(),
        messages: count.nullable(),
        bytes: count.nullable(),
        topic: text.nullable(),
        attempts: count,
        failure: text.nullable(),
        canRetry: z.boolean(),
        canDrop: z.boolean(),
      }),
    ),
  })
  .meta({ id: 'JobPage' })

const actions = z.enum(['publish', 'subscribe'])
export const role = z
  .object({
    name: text,
    include: list(text),
    permissions: list(
      z.object({
        effect: z.enum(['allow', 'deny']),
        actions: list(actions),
        topic: text,
        qos: list(qos).nullable(),
        retain: z.boolean().nullable(),
        shared: z.boolean().nullable(),
        group: text.nullable(),
      }),
    ),
    sessions: count,
  })
  .meta({ id: 'RoleSummary' })

export const ban = z
  .object({
    id: text,
    clientId: text.nullable(),
    principal: text.nullable(),
    address: text.nullable(),
    reason: text,
    by: z.enum(['operator', 'configuration', 'broker']),
    createdAtMs: time,
    untilMs: time.nullable(),
  })
  .meta({ id: 'Ban' })

const point = z.object({ x: z.number(), y: z.number() })
const area = { x: z.number(), y: z.number(), width: z.number(), height: z.number() }
const chartEvent = z.object({ event: text, label: text, from: text })

export const chartLayout = z
  .object({
    id: text,
    width: z.number(),
    height: z.number(),
    states: list(
      z.object({
        path: text,
        name: text,
        type: z.enum(['atomic', 'compound', 'parallel', 'final']),
        parent: text.nullable(),
        isInitial: z.boolean(),
        loops: list(chartEvent),
        ...area,
      }),
    ),
    starts: list(z.object({ to: z.string(), points: list(point) })),
    arrows: list(
      z.object({
        from: text,
        to: text,
        events: list(chartEvent),
        points: list(point),
        label: z.object({ text, ...area }).nullable(),
      }),
    ),
  })
  .meta({ id: 'ChartLayout' })
