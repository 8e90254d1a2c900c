import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'

import { Audit } from './audit.ts'
import type { Identity } from './credentials.ts'
import { EventStream } from './event-stream.ts'
import type { Gate } from './gate.ts'
import type { InspectHost } from './host.ts'
import { ApiError } from './problem.ts'
import { addressOf, type AnyRoute, type Ask, type RouteRole } from './route.ts'
import type { OpenStreams } from './streams.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Absent: nobody gets in. */
    readonly role?: RouteRole
  }
  interface FastifyRequest {
    identity: Identity | undefined
  }
}

/** What routes share. */
export interface RouteParts {
  readonly host: InspectHost
  readonly gate: Gate
  readonly streams: OpenStreams
}

/** Puts the routes into the server. Their roles are checked before a body is read, by a hook of the server. */
export function registerRoutes(app: FastifyInstance, routes: readonly AnyRoute[], parts: RouteParts): void {
  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.path,
      config: { role: route.role },
      // Load balancers ask with HEAD; other routes have no use for it.
      exposeHeadRoute: route.role === 'none' && route.method === 'GET',
      handler: (request, reply) => answer(route, request, reply, parts),
    })
  }
}

async function answer(route: AnyRoute, request: FastifyRequest, reply: FastifyReply, parts: RouteParts) {
  const { host, gate } = parts
  const ask: Ask<unknown, undefined> = {
    host,
    gate,
    identity: request.identity,
    query: read(route.query ?? nothing, request.query, 'the query'),
    body: read(route.body ?? noBody, request.body, 'the body') as undefined,
    audit: new Audit(host.logger, request.identity, addressOf(request)),
    request,
    reply,
  }
  if (route.kind === 'stream') {
    route.judge?.(ask)
    const out = openStream(request, reply, parts)
    out.onClose(route.handle(ask, out))
    return reply
  }
  if (route.kind === 'text') {
    const { type, text } = await route.handle(ask)
    return reply.type(type).send(text)
  }
  return reply.send(route.answer.parse(await route.handle(ask)))
}

const nothing = z.strictObject({})
const noBody = z.union([z.undefined(), z.null(), nothing])

function read(schema: z.ZodType, value: unknown, what: string): unknown {
  const { success, data, error } = schema.safeParse(value)
  if (success) return data
  const issue = error.issues[0]!
  const place = issue.path.length > 0 ? `${what}, ${issue.path.join('.')}` : what
  throw new ApiError(400, `${place.slice(0, 200)}: ${issue.message.slice(0, 500)}`)
}

function openStream(request: FastifyRequest, reply: FastifyReply, { host, streams }: RouteParts): EventStream {
  streams.assertRoom()
  const { identity } = request
  reply.hijack()
  const headers = reply.getHeaders() as Record<string, string>
  reply.raw.writeHead(200, {
    ...headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    // For nginx, which else keeps what comes until it has a few kilobytes.
    'x-accel-buffering': 'no',
  })
  reply.raw.flushHeaders()
  const out = new EventStream(reply.raw, {
    maxWaitingBytes: host.broker.limits.maxInspectStreamBytes,
    isAllowed: () => identity?.isValid() ?? false,
  })
  out.onClose(streams.add(out))
  return out
}
