import { z } from 'zod'

import { StatemqError } from '../../errors.ts'
import type { MessageInput, MessageProperties } from '../../messages.ts'
import { ApiError } from '../problem.ts'
import { jsonRoute, type AnyRoute } from '../route.ts'
import { page, publication, topic } from '../schemas-asked.ts'
import { empty, retainedMessage, retainedPage } from '../schemas.ts'

function messageOf({ payload, payloadBase64, properties, ...message }: z.output<typeof publication>): MessageInput {
  const bytes = payloadBase64 === undefined ? undefined : Buffer.from(payloadBase64, 'base64')
  return {
    ...message,
    ...(payload === undefined ? {} : { payload }),
    ...(bytes === undefined ? {} : { payload: bytes }),
    ...(properties === undefined ? {} : { properties: propertiesOf(properties) }),
  }
}

function propertiesOf({
  correlationDataBase64,
  ...properties
}: NonNullable<z.output<typeof publication>['properties']>): MessageProperties {
  if (correlationDataBase64 === undefined) return properties
  return { ...properties, correlationData: Buffer.from(correlationDataBase64, 'base64') }
}

const oneTopic = z.strictObject({ topic: topic.min(1) })

/** Retained messages, and a message of the operator's. */
export const messageRoutes: readonly AnyRoute[] = [
  jsonRoute({
    method: 'GET',
    path: '/api/v1/retained',
    id: 'listRetained',
    role: 'read',
    summary: 'One level of the tree of retained topics',
    query: z.strictObject({ under: topic.exactOptional(), ...page }),
    answer: retainedPage,
    handle: ({ host, query: { under = null, offset, limit } }) =>
      host.broker.inspection.retained({ under, offset, limit }),
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/retained/message',
    id: 'getRetainedMessage',
    role: 'read',
    summary: 'A retained message with its payload, cut at maxInspectedPayloadBytes',
    query: oneTopic,
    answer: retainedMessage,
    handle: ({ host, query }) => {
      const message = host.broker.inspection.retainedMessage(query.topic)
      if (!message) throw new ApiError(404, 'nothing is retained there')
      return message
    },
  }),
  jsonRoute({
    method: 'DELETE',
    path: '/api/v1/retained/message',
    id: 'deleteRetainedMessage',
    role: 'operate',
    summary: 'Takes a retained message away',
    query: oneTopic,
    answer: empty,
    handle: async ({ host, query, audit }) => {
      const isGone = await host.broker.inspection.deleteRetained(query.topic)
      audit.done('retained.delete', { topic: query.topic }, isGone ? 'done' : 'not found')
      if (!isGone) throw new ApiError(404, 'nothing is retained there')
      return {}
    },
  }),
  jsonRoute({
    method: 'POST',
    path: '/api/v1/publish',
    id: 'publish',
    role: 'operate',
    summary: 'Publishes a message as the broker itself',
    body: publication,
    answer: z.object({ reached: z.int() }).meta({ id: 'Reached' }),
    handle: async ({ host, body, audit }) => {
      const what = { topic: body.topic, qos: body.qos ?? 0, retain: String(body.retain ?? false) }
      try {
        const reached = await host.broker.publish(messageOf(body))
        audit.done('publish', what, `reached ${reached}`)
        return { reached }
      } catch (error) {
        audit.done('publish', what, error instanceof StatemqError ? error.code : 'failed')
        throw error
      }
    },
  }),
]
