import type { SessionContext, Standing } from '../../machines/session.machine.ts'
import { StatemqError } from '../errors.ts'
import type { ConnectionInfo, MessageProperties, SubscriptionRequest, WillPacket } from '../messages.ts'
import type { Grant, HookClient } from '../hooks.ts'

const VERSION = 1
const NEWLINE = 0x0a

/** What a broker must know of a session to begin with: the rest is read when somebody needs its chart. */
export interface SessionHead {
  /** It was online: it has been without a connection since the process ended. */
  readonly wasOnline: boolean
  readonly sessionId: string
  readonly isMqtt5: boolean
  /** Of its last connection. */
  readonly listener: string
  readonly grant: Grant | undefined
  readonly standing: Standing
  readonly sessionExpiryIntervalSeconds: number
  readonly expiresAtMs: number | undefined
  readonly epoch: number
}

/** What outlives the process of a session's chart: all of its context, which holds no secret and no payload. */
export interface SessionRecord {
  readonly wasOnline: boolean
  readonly context: SessionContext
}

/** Two lines of JSON: the head, and what else there is in the context. */
export function encodeSession({ wasOnline, context }: SessionRecord): Buffer {
  const { grant, sessionId, standing, sessionExpiryIntervalSeconds, expiresAtMs, epoch, ...rest } = context
  const head = {
    version: VERSION,
    wasOnline,
    sessionId,
    isMqtt5: context.connect?.protocolVersion === 5,
    listener: context.connection.listener,
    grant,
    standing,
    sessionExpiryIntervalSeconds,
    expiresAtMs,
    epoch,
  }
  return Buffer.from(`${JSON.stringify(head)}\n${JSON.stringify(rest)}`)
}

/** Throws SMQ_STORE_DAMAGED. */
export function decodeHead(record: Buffer): SessionHead {
  const end = record.indexOf(NEWLINE)
  const head = parse(record, 0, end < 0 ? record.length : end) as unknown as SessionHead
  const { grant } = head
  if (grant === undefined) return head
  const { principal, method, expiresAtMs, roles, properties, propertySources } = grant
  Object.assign(grant, {
    // JSON has no `undefined`: names that are missing are those.
    principal,
    method,
    expiresAtMs,
    roles: Object.freeze(roles),
    properties: bare(properties),
    propertySources: bare(propertySources),
  })
  return head
}

/** The context of a session whose head is known. Throws SMQ_STORE_DAMAGED. */
export function decodeContext(record: Buffer, head: Omit<SessionHead, 'wasOnline'>): SessionContext {
  const rest = readJson(record, record.indexOf(NEWLINE) + 1, record.length) as unknown as SessionContext
  const { sessionId, grant, standing, sessionExpiryIntervalSeconds, expiresAtMs, epoch } = head
  return {
    ...rest,
    sessionId,
    grant,
    standing,
    sessionExpiryIntervalSeconds,
    expiresAtMs,
    epoch,
    connection: wholeConnection(rest.connection),
    connect: rest.connect,
    will: rest.will,
    end: undefined,
    sessionAttributes: bare(rest.sessionAttributes),
    // They went with the connection.
    connectionAttributes: bare({}),
  }
}

const ABSENT = {
  connection: { remoteAddress: undefined, remotePort: undefined, localPort: undefined, proxyAddress: undefined },
  tls: { serverName: undefined, clientCertificate: undefined },
  certificate: { commonName: undefined, subjectAltName: undefined },
}

/** JSON leaves out what is undefined: whoever is told of the connection finds all the same what there is to know of one. */
function wholeConnection(stored: ConnectionInfo): ConnectionInfo {
  const { tls } = stored
  if (tls === undefined) return { ...ABSENT.connection, ...stored, tls }
  const { clientCertificate: shown } = tls
  const clientCertificate = shown && { ...ABSENT.certificate, ...shown }
  return { ...ABSENT.connection, ...stored, tls: { ...ABSENT.tls, ...tls, clientCertificate } }
}

/** A subscription as it was asked for; what roles leave of it is found out again. */
export interface SubscriptionRecord extends SubscriptionRequest {
  /** What a hook put in place of the client's filter. */
  readonly inner: string
  /** 0: none. */
  readonly identifier: number
}

export function encodeSubscription(subscription: SubscriptionRecord): Buffer {
  return Buffer.from(JSON.stringify({ version: VERSION, ...subscription }))
}

/** Throws SMQ_STORE_DAMAGED. */
export function decodeSubscription(record: Buffer): SubscriptionRecord {
  return parse(record) as unknown as SubscriptionRecord
}

/** A will with its payload, and who it speaks for. */
export interface WillRecord {
  readonly will: WillPacket
  readonly client: HookClient
  /** Undefined: the connection was there. */
  readonly dueAtMs: number | undefined
}

export function encodeWill({ will, client, dueAtMs }: WillRecord): Buffer {
  const { payload, properties, ...others } = will
  const { correlationData, ...named } = properties
  const plain = {
    version: VERSION,
    will: others,
    payload: payload.toString('base64'),
    properties: named,
    correlationData: correlationData && Buffer.from(correlationData).toString('base64'),
    client,
    dueAtMs,
  }
  return Buffer.from(JSON.stringify(plain))
}

/** Throws SMQ_STORE_DAMAGED. */
export function decodeWill(record: Buffer): WillRecord {
  const { will, payload, properties, correlationData, client, dueAtMs } = parse(record) as {
    readonly will: Omit<WillPacket, 'payload' | 'properties'>
    readonly payload: string
    readonly properties: Omit<MessageProperties, 'correlationData'>
    readonly correlationData?: string
    readonly client: HookClient
    readonly dueAtMs?: number
  }
  return {
    will: {
      ...will,
      payload: Buffer.from(payload, 'base64'),
      properties:
        correlationData === undefined
          ? properties
          : { ...properties, correlationData: Buffer.from(correlationData, 'base64') },
    },
    client,
    dueAtMs,
  }
}

function parse(record: Buffer, from = 0, to = record.length): Record<string, unknown> {
  const found = readJson(record, from, to) as Record<string, unknown> | null
  if (found?.['version'] !== VERSION) {
    throw new StatemqError('SMQ_STORE_VERSION', `a record of a session has version ${String(found?.['version'])}`)
  }
  return found
}

function readJson(record: Buffer, from: number, to: number): unknown {
  try {
    return JSON.parse(record.toString('utf8', from, to))
  } catch (error) {
    throw new StatemqError('SMQ_STORE_DAMAGED', 'a record of a session cannot be read', { cause: error })
  }
}

const NOTHING = Object.freeze(Object.create(null) as object)

/** Names that came from outside must not meet a prototype. */
function bare<T extends object>(from: T): T {
  for (const _ in from) return Object.freeze(Object.assign(Object.create(null) as T, from))
  return NOTHING as T
}
