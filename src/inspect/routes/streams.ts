import { z } from 'zod'

import type { Broker } from '../../api.ts'
import { StatemqError } from '../../errors.ts'
import type { BrokerEvent } from '../../events.ts'
import type { Message } from '../../messages.ts'
import type { EventStream } from '../event-stream.ts'
import { ApiError } from '../problem.ts'
import { streamRoute, type AnyRoute, type Ask } from '../route.ts'
import { become, clientId, numberInQuery, topic, wellFormed } from '../schemas-asked.ts'
import { brokerStats, flow, list, states, transitionRecord } from '../schemas.ts'

const EVERY_MS = 1_000

const kinds = ['stats', 'census', 'transitions', 'events'] as const
type Kind = (typeof kinds)[number]

const kindsInQuery = wellFormed
  .transform((text) => text.split(','))
  .pipe(z.array(z.enum(kinds)).min(1))
  .meta({
    override: ({ jsonSchema }) =>
      become(jsonSchema, { type: 'string', description: 'Some of stats, census, transitions, events, with commas' }),
  })

const eventsQuery = z.strictObject({
  streams: kindsInQuery,
  clientId: clientId.exactOptional(),
  types: wellFormed.max(1_000).exactOptional().meta({ description: 'Types of events, separated by commas' }),
})

const lost = z.object({ records: z.int() }).meta({ id: 'Lost' })

/** An event as JSON has it. What an implementation threw may hold anything, so only ours is told. */
function eventJson(event: BrokerEvent): object {
  if (!('error' in event)) return event
  const { error, ...others } = event
  const told =
    error instanceof StatemqError
      ? { code: error.code, message: error.message }
      : { code: null, message: 'the log says more' }
  return { ...others, error: told }
}

function onEvents({ host, query }: Ask<z.output<typeof eventsQuery>, undefined>, out: EventStream): () => void {
  const { broker } = host
  const wanted = new Set<Kind>(query.streams)
  const ends: (() => void)[] = []
  const tick = (): void => {
    if (wanted.has('stats')) out.send('stats', broker.inspection.stats())
    if (wanted.has('census')) out.send('census', censusOf(broker))
  }
  if (wanted.has('stats') || wanted.has('census')) {
    tick()
    const timer = setInterval(tick, EVERY_MS)
    ends.push(() => clearInterval(timer))
  }
  if (wanted.has('transitions')) {
    const subscription = broker.inspection.transitions$.subscribe((record) => {
      if (query.clientId === undefined || record.clientId === query.clientId) out.send('transition', record)
    })
    ends.push(() => subscription.unsubscribe())
  }
  if (wanted.has('events')) {
    const types = query.types === undefined ? undefined : new Set<string>(query.types.split(','))
    const subscription = broker.events$.subscribe((event) => {
      if (types && !types.has(event.type)) return
      if (query.clientId !== undefined && (event as { clientId?: string }).clientId !== query.clientId) return
      out.send('event', eventJson(event))
    })
    ends.push(() => subscription.unsubscribe())
  }
  return () => {
    for (const end of ends) end()
  }
}

function censusOf({ inspection }: Broker) {
  return { atMs: inspection.stats().atMs, states: inspection.census(), flows: inspection.flows() }
}

const message = z
  .object({
    atMs: z.number(),
    topic: z.string(),
    qos: z.literal([0, 1, 2]),
    retain: z.boolean(),
    publisher: z.string(),
    payloadBase64: z.string(),
    payloadBytes: z.int(),
  })
  .meta({ id: 'TappedMessage' })

const tapQuery = z.strictObject({ filter: topic.min(1), rate: numberInQuery(1, 1_000_000, 20) })

/** So many messages in every second; of the others only how many they are. */
function onTap({ host, query, audit }: Ask<z.output<typeof tapQuery>, undefined>, out: EventStream): () => void {
  const { broker, clock } = host
  const { maxTapPayloadBytes } = broker.limits
  let left = query.rate
  let leftOut = 0
  const timer = setInterval(() => {
    left = query.rate
    if (leftOut > 0) out.lost(leftOut)
    leftOut = 0
  }, EVERY_MS)
  const subscription = broker
    .messages(query.filter)
    .subscribe(({ topic: to, payload, qos, retain, publisher }: Message) => {
      if (left === 0) {
        leftOut += 1
        return
      }
      left -= 1
      out.send('message', {
        atMs: clock.nowMs(),
        topic: to,
        qos,
        retain,
        publisher,
        payloadBase64: payload.toString('base64', 0, maxTapPayloadBytes),
        payloadBytes: payload.length,
      })
    })
  audit.done('tap', { filter: query.filter }, 'opened')
  return () => {
    clearInterval(timer)
    subscription.unsubscribe()
  }
}

/** What happens, as it happens. */
export const streamRoutes: readonly AnyRoute[] = [
  streamRoute({
    method: 'GET',
    path: '/api/v1/events',
    id: 'streamEvents',
    role: 'read',
    summary: 'Figures every second, transitions and events as they happen',
    query: eventsQuery,
    events: {
      stats: brokerStats,
      census: z.object({ atMs: z.number(), states, flows: list(flow) }).meta({ id: 'CensusRecord' }),
      transition: transitionRecord,
      event: z.looseObject({ type: z.string(), atMs: z.number() }).meta({ id: 'BrokerEvent' }),
      lost,
    },
    handle: onEvents,
  }),
  streamRoute({
    method: 'GET',
    path: '/api/v1/tap',
    id: 'streamMessages',
    role: 'read',
    summary: 'Messages of a topic filter, as many a second as asked for',
    query: tapQuery,
    events: { message, lost },
    judge: ({ host, query }) => {
      const max = host.broker.limits.maxTapMessagesPerSecond
      if (query.rate > max) throw new ApiError(400, `the query, rate: expected at most ${max}`)
      // Throws where the filter is none, while there still is an answer to give.
      host.broker.messages(query.filter)
    },
    handle: onTap,
  }),
]
