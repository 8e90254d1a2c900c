import { z } from 'zod'

import type { Ban } from '../../bans.ts'
import { StatemqError } from '../../errors.ts'
import type { InspectHost } from '../host.ts'
import { ApiError } from '../problem.ts'
import { jsonRoute, type AnyRoute, type Ask } from '../route.ts'
import { clientId, wellFormed } from '../schemas-asked.ts'
import { ban, empty, list } from '../schemas.ts'

const filled = wellFormed.min(1).max(65_535)

const banAsked = z
  .strictObject({
    clientId: filled.exactOptional(),
    principal: filled.exactOptional(),
    address: filled.exactOptional(),
    reason: wellFormed.max(1_024).exactOptional(),
    seconds: z.number().positive().exactOptional(),
  })
  .meta({ id: 'BanInput' })

const drainAsked = z
  .strictObject({
    serverReference: filled.exactOptional(),
    permanent: z.boolean().exactOptional(),
    perSecond: z.number().positive().max(1_000_000).exactOptional(),
    timeoutMs: z.int().min(0).exactOptional(),
  })
  .meta({ id: 'DrainOptions' })

function told(one: Ban): z.input<typeof ban> {
  const { clientId, principal, address } = one
  return { ...one, clientId: clientId ?? null, principal: principal ?? null, address: address ?? null }
}

function addBan({ host, body, audit }: Ask<undefined, z.output<typeof banAsked>>): z.input<typeof ban> {
  const { reason: _, ...subject } = body
  try {
    const added = host.broker.bans.add(body)
    audit.done('ban.add', { ...subject, ban: added.id }, 'done')
    return told(added)
  } catch (error) {
    audit.done('ban.add', subject, error instanceof StatemqError ? error.code : 'failed')
    throw error
  }
}

/** What ends the drain that was begun here. */
const drains = new WeakMap<object, AbortController>()

/** Answers at once: it may take an hour, and `drain.ended` tells when it is over. */
function startDrain({ host, body, audit }: Ask<undefined, z.output<typeof drainAsked>>): { isDraining: boolean } {
  const controller = new AbortController()
  const { broker, logger } = host
  const running = broker.drain({ ...body, signal: controller.signal })
  running.catch((error: unknown) => logger.error({ err: error }, 'the drain that an operator began has failed'))
  drains.set(broker, controller)
  audit.done('drain.start', { serverReference: body.serverReference }, 'begun')
  return { isDraining: true }
}

function endDrain({ host, audit }: { readonly host: InspectHost; readonly audit: Ask<undefined, undefined>['audit'] }) {
  const controller = drains.get(host.broker)
  if (!controller) throw new ApiError(404, 'no drain was begun here')
  controller.abort()
  drains.delete(host.broker)
  audit.done('drain.end', {}, 'done')
  return { isDraining: host.isDraining() }
}

const drainState = z.object({ isDraining: z.boolean() }).meta({ id: 'DrainState' })

const traceAsked = z.strictObject({ clientId, seconds: z.int().min(0).max(86_400) }).meta({ id: 'TraceRequest' })
const trace = z.object({
  id: z.string(),
  clientId: z.string().nullable(),
  principal: z.string().nullable(),
  untilMs: z.number(),
})

/** One trace for one client: another time takes the place of the one there is. */
function traceClient({ host, body, audit }: Ask<undefined, z.output<typeof traceAsked>>) {
  const { clientId: client, seconds } = body
  for (const one of host.broker.traces()) if (one.target.clientId === client) one.end()
  const untilMs = seconds === 0 ? null : host.broker.trace({ clientId: client }, { forSeconds: seconds }).untilMs
  audit.done('session.trace', { clientId: client, seconds }, 'done')
  return { clientId: client, untilMs }
}

/** Who may come, and whether anybody may; who is watched closely. */
export const steeringRoutes: readonly AnyRoute[] = [
  jsonRoute({
    method: 'GET',
    path: '/api/v1/bans',
    id: 'listBans',
    role: 'read',
    summary: 'Who may not connect, the oldest ban first',
    answer: z.object({ bans: list(ban) }).meta({ id: 'Bans' }),
    handle: ({ host }) => ({ bans: host.broker.bans.list().map(told) }),
  }),
  jsonRoute({
    method: 'POST',
    path: '/api/v1/bans',
    id: 'addBan',
    role: 'operate',
    summary: 'Bans a client identifier, a principal or addresses, and sends away who is connected',
    body: banAsked,
    answer: ban,
    handle: addBan,
  }),
  jsonRoute({
    method: 'DELETE',
    path: '/api/v1/bans',
    id: 'removeBan',
    role: 'operate',
    summary: 'Ends a ban',
    query: z.strictObject({ id: filled }),
    answer: empty,
    handle: ({ host, query, audit }) => {
      const isGone = host.broker.bans.remove(query.id)
      audit.done('ban.remove', { ban: query.id }, isGone ? 'done' : 'not found')
      if (!isGone) throw new ApiError(404, 'there is no such ban')
      return {}
    },
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/traces',
    id: 'listTraces',
    role: 'read',
    summary: 'Clients whose packets and steps are written to the log',
    answer: z.object({ traces: list(trace) }).meta({ id: 'Traces' }),
    handle: ({ host }) => ({
      traces: host.broker.traces().map(({ id, untilMs, target }) => ({
        id,
        untilMs,
        clientId: target.clientId ?? null,
        principal: target.principal ?? null,
      })),
    }),
  }),
  jsonRoute({
    method: 'POST',
    path: '/api/v1/session/trace',
    id: 'traceSession',
    role: 'operate',
    summary: 'Writes what a client does to the log, for some time; 0 seconds: no more',
    body: traceAsked,
    answer: z.object({ clientId: z.string(), untilMs: z.number().nullable() }).meta({ id: 'TraceState' }),
    handle: traceClient,
  }),
  jsonRoute({
    method: 'GET',
    path: '/api/v1/drain',
    id: 'getDrain',
    role: 'read',
    summary: 'Whether clients are being sent away',
    answer: drainState,
    handle: ({ host }) => ({ isDraining: host.isDraining() }),
  }),
  jsonRoute({
    method: 'POST',
    path: '/api/v1/drain',
    id: 'startDrain',
    role: 'operate',
    summary: 'Sends clients away one after the other, and lets nobody in',
    body: drainAsked,
    answer: drainState,
    handle: startDrain,
  }),
  jsonRoute({
    method: 'DELETE',
    path: '/api/v1/drain',
    id: 'endDrain',
    role: 'operate',
    summary: 'Ends a drain that was begun here: clients may come again',
    answer: drainState,
    handle: endDrain,
  }),
]
