import { z } from 'zod'

import { list } from './schemas.ts'

/**
 * What the admin API takes. Everything is strict: a misspelt `filter` must not become an action on all sessions.
 */

/** A query holds text only; the document says what the text is. */
export function become(jsonSchema: object, other: object): void {
  for (const name of Object.keys(jsonSchema)) Reflect.deleteProperty(jsonSchema, name)
  Object.assign(jsonSchema, other)
}

/** A whole number in a query: digits only, so that `1e9`, ` 1` and an empty text are none. */
export function numberInQuery(min: number, max: number, fallback: number) {
  return z
    .string()
    .regex(/^\d{1,10}$/, 'expected a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .default(fallback)
    .meta({
      override: ({ jsonSchema }) =>
        become(jsonSchema, { type: 'integer', minimum: min, maximum: max, default: fallback }),
    })
}

export const booleanInQuery = z
  .enum(['true', 'false'])
  .transform((value) => value === 'true')
  .default(false)
  .meta({ override: ({ jsonSchema }) => become(jsonSchema, { type: 'boolean', default: false }) })

/** Far beyond what a broker holds, so that nothing overflows. */
const MAX_OFFSET = 1_000_000_000

export const page = {
  offset: numberInQuery(0, MAX_OFFSET, 0),
  limit: numberInQuery(1, 1_000, 100),
}

/** Text that UTF-8 can carry: half a surrogate pair is none. */
export const wellFormed = z.string().refine((text) => text.isWellFormed(), 'expected well-formed text')
export const clientId = wellFormed.min(1).max(65_535)
export const topic = wellFormed.max(65_535)
export const filterText = wellFormed
  .max(1_000_000)
  .meta({ description: 'The filter language of docs/sessions.md; empty: all' })
const reason = wellFormed.max(1_000)
const roles = list(wellFormed.min(1).max(256))

const change = {
  roles: { add: roles.exactOptional(), remove: roles.exactOptional() },
  properties: { properties: z.record(wellFormed, wellFormed.nullable()) },
  disconnect: {
    reasonCode: z.int().min(0).max(255).exactOptional().meta({ description: 'Of a DISCONNECT. Default 152 (0x98)' }),
    reason: reason.exactOptional(),
  },
  revoke: { reason: reason.exactOptional() },
  expire: {},
}

export const propertiesOfOne = z.strictObject({ clientId, ...change.properties }).meta({ id: 'PropertyChange' })
export const rolesOfOne = z.strictObject({ clientId, ...change.roles }).meta({ id: 'RoleChange' })
export const disconnectOne = z.strictObject({ clientId, ...change.disconnect }).meta({ id: 'Disconnection' })
export const revokeOne = z.strictObject({ clientId, ...change.revoke }).meta({ id: 'Revocation' })
export const oneSession = z.strictObject({ clientId }).meta({ id: 'OneSession' })

/** What can be done to many sessions. */
export const action = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('roles'), ...change.roles }),
    z.strictObject({ type: z.literal('properties'), ...change.properties }),
    z.strictObject({ type: z.literal('disconnect'), ...change.disconnect }),
    z.strictObject({ type: z.literal('revoke'), ...change.revoke }),
    z.strictObject({ type: z.literal('expire'), ...change.expire }),
  ])
  .meta({ id: 'SessionAction' })
export type SessionAction = z.output<typeof action>

const target = z
  .union([
    z.strictObject({ filter: filterText.min(1, 'expected a filter; all sessions are: all') }),
    z.strictObject({ clientIds: list(clientId).refine(atMostThousand, 'expected at most 1,000') }),
  ])
  .meta({ id: 'ActionTarget' })

function atMostThousand(all: readonly string[]): boolean {
  return all.length >= 1 && all.length <= 1_000
}

export const manySessions = z.strictObject({ target, action }).meta({ id: 'ManySessions' })

const outcomeOfOne = {
  clientId: z.string(),
  sessionId: z.string(),
  outcome: z.enum(['done', 'unchanged', 'failed']),
  error: z.string().nullable(),
  reason: z.string().nullable(),
}
export const outcome = z.object(outcomeOfOne).meta({ id: 'SessionOutcome' })
export const outcomes = z
  .object({
    done: z.int(),
    unchanged: z.int(),
    failed: z.int(),
    outcomes: list(outcome).meta({ description: 'Those that failed first; maxInspectOutcomes at most' }),
  })
  .meta({ id: 'SessionOutcomes' })

const qos = z.literal([0, 1, 2])

export const question = z
  .discriminatedUnion('action', [
    z.strictObject({ clientId, action: z.literal('connect') }),
    z.strictObject({
      clientId,
      action: z.literal(['publish', 'subscribe', 'deliver']),
      topic: topic.min(1),
      qos: qos.exactOptional(),
      retain: z.boolean().exactOptional(),
      group: wellFormed.exactOptional(),
    }),
  ])
  .meta({ id: 'Question' })

export const publication = z
  .strictObject({
    topic: topic.min(1),
    payload: wellFormed.exactOptional(),
    payloadBase64: z.base64().exactOptional(),
    qos: qos.exactOptional(),
    retain: z.boolean().exactOptional(),
    properties: z
      .strictObject({
        payloadFormatIndicator: z.boolean().exactOptional(),
        messageExpiryIntervalSeconds: z.int().min(0).max(4_294_967_295).exactOptional(),
        contentType: wellFormed.exactOptional(),
        responseTopic: wellFormed.exactOptional(),
        correlationDataBase64: z.base64().exactOptional(),
        userProperties: list(z.tuple([wellFormed, wellFormed])).exactOptional(),
      })
      .exactOptional(),
  })
  .refine(({ payload, payloadBase64 }) => payload === undefined || payloadBase64 === undefined, {
    error: 'expected payload or payloadBase64, not both',
  })
  .meta({ id: 'Publication' })
