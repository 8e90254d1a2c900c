import { z } from 'zod'

import { count, list, pair, qos, rule, sessionState, text, time } from './schemas.ts'

const row = {
  clientId: text,
  sessionId: text,
  state: sessionState,
  principal: text.nullable(),
  roles: list(text),
  listener: text,
  address: text,
  protocolVersion: z.literal([3, 4, 5]).nullable(),
  connectedAtMs: time,
  expiresAtMs: time.nullable(),
  subscriptions: count,
  queuedMessages: count,
  queuedBytes: count,
  inflightMessages: count,
}

const sessionRow = z.object(row).meta({ id: 'SessionRow' })
export const sessionPage = z.object({ total: count, offset: count, rows: list(sessionRow) }).meta({ id: 'SessionPage' })

export const grant = z
  .object({
    principal: text.nullable(),
    roles: list(text),
    authenticator: text,
    method: text.nullable(),
    authenticatedAtMs: time,
    expiresAtMs: time.nullable(),
    policyVersion: count,
    properties: z.record(text, text),
    propertySources: z.record(text, z.enum(['client', 'authenticator', 'server'])),
  })
  .meta({ id: 'Grant' })

const certificate = z
  .object({
    subject: text,
    issuer: text,
    commonName: text.nullable(),
    subjectAltName: text.nullable(),
    subjectAltNames: list(z.object({ type: text, value: text })),
    fingerprint256: text,
    serialNumber: text,
    validFromMs: time,
    validToMs: time,
  })
  .meta({ id: 'ClientCertificate' })

const connection = z
  .object({
    listener: text,
    transport: text,
    remoteAddress: text.nullable(),
    remotePort: count.nullable(),
    localPort: count.nullable(),
    proxyAddress: text.nullable(),
    tls: z
      .object({
        version: text,
        cipher: text,
        serverName: text.nullable(),
        resumed: z.boolean(),
        authorized: z.boolean(),
        clientCertificate: certificate.nullable(),
      })
      .nullable(),
  })
  .meta({ id: 'ConnectionInfo' })

const subscription = z
  .object({
    filter: text,
    requestedQoS: qos,
    grantedQoS: qos.nullable(),
    noLocal: z.boolean(),
    retainAsPublished: z.boolean(),
    retainHandling: qos,
    subscriptionIdentifier: count.nullable(),
    share: text.nullable(),
    replacedBy: text.nullable(),
    withheld: text.nullable(),
  })
  .meta({ id: 'SubscriptionDetail' })

const inflight = z
  .object({
    direction: z.enum(['to-client', 'from-client']),
    packetId: count,
    topic: text.nullable(),
    qos,
    step: z.enum(['awaiting-puback', 'awaiting-pubrec', 'awaiting-pubcomp', 'awaiting-pubrel']),
    sinceMs: time.nullable(),
  })
  .meta({ id: 'InflightDetail' })

const queued = z
  .object({ topic: text, qos, payloadBytes: count, sinceMs: time.nullable(), expiresAtMs: time.nullable() })
  .meta({ id: 'QueuedDetail' })

const will = z
  .object({
    topic: text,
    qos,
    retain: z.boolean(),
    delaySeconds: count,
    payloadBytes: count,
    state: z.enum(['armed', 'delayed']),
    dueAtMs: time.nullable(),
    ifFiredNow: z.object({ verdict: z.enum(['publish', 'withhold']), reason: text, rule: rule.nullable() }),
  })
  .meta({ id: 'WillDetail' })

const attributes = z.record(text, z.union([text, z.number(), z.boolean()]))

export const sessionDetail = z
  .object({
    ...row,
    active: list(text),
    grant: grant.nullable(),
    standing: z.enum(['valid', 'expired', 'revoked']),
    connection,
    connect: z
      .object({
        cleanStart: z.boolean(),
        keepAliveSeconds: count,
        authenticationMethod: text.nullable(),
        userProperties: list(pair),
      })
      .nullable(),
    maxInflightMessages: count.nullable(),
    sessionExpiryIntervalSeconds: count,
    epoch: count,
    resumed: z.boolean(),
    isPersistent: z.boolean(),
    properties: list(
      z.object({ name: text, value: text, source: z.enum(['client', 'authenticator', 'server', 'fixed']) }),
    ),
    fixedProperties: z.record(text, text),
    attributes: z.object({ connection: attributes, session: attributes }),
    subscriptionList: list(subscription),
    inflight: list(inflight),
    queue: z.object({ messages: count, bytes: count, oldestAtMs: time.nullable(), first: list(queued) }),
    will: will.nullable(),
    deadlines: list(z.object({ name: text, atMs: time })),
  })
  .meta({ id: 'SessionDetail' })
