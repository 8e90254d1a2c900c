import type { SessionContext } from '../../machines/session.machine.ts'
import { StatemqError } from '../errors.ts'
import type { MessageProperties, SubscriptionRequest, WillPacket } from '../messages.ts'
import type { HookClient } from '../hooks.ts'

const VERSION = 1

/** What outlives the process of a session's chart: all of its context, which holds no secret and no payload. */
export interface SessionRecord {
  /** It was online: it has been without a connection since the process ended. */
  readonly wasOnline: boolean
  readonly context: SessionContext
}

export function encodeSession({ wasOnline, context }: SessionRecord): Buffer {
  return Buffer.from(JSON.stringify({ version: VERSION, wasOnline, context }))
}

/** Throws SMQ_STORE_DAMAGED. */
export function decodeSession(record: Buffer): SessionRecord {
  const { wasOnline, context } = parse(record) as unknown as SessionRecord
  const { grant } = context
  return {
    wasOnline,
    context: {
      ...context,
      // JSON has no `undefined`: names that are missing are those.
      connect: context.connect,
      will: context.will,
      expiresAtMs: context.expiresAtMs,
      end: undefined,
      sessionAttributes: bare(context.sessionAttributes),
      // They went with the connection.
      connectionAttributes: bare({}),
      grant: grant && {
        ...grant,
        principal: grant.principal,
        method: grant.method,
        expiresAtMs: grant.expiresAtMs,
        roles: Object.freeze(grant.roles),
        properties: bare(grant.properties),
        propertySources: bare(grant.propertySources),
      },
    },
  }
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

function parse(record: Buffer): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = JSON.parse(record.toString())
  } catch (error) {
    throw new StatemqError('SMQ_STORE_DAMAGED', 'a record of a session cannot be read', { cause: error })
  }
  const found = parsed as Record<string, unknown> | null
  if (found?.['version'] !== VERSION) {
    throw new StatemqError('SMQ_STORE_VERSION', `a record of a session has version ${String(found?.['version'])}`)
  }
  return found
}

/** Names that came from outside must not meet a prototype. */
function bare<T extends object>(from: T): T {
  return Object.freeze(Object.assign(Object.create(null) as T, from))
}
