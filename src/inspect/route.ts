import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'

import type { InspectRole } from '../options.ts'
import type { Audit } from './audit.ts'
import type { Identity } from './credentials.ts'
import type { EventStream } from './event-stream.ts'
import type { Gate } from './gate.ts'
import type { InspectHost } from './host.ts'

/** What a route needs of whoever asks. `none`: nobody is asked who they are. */
export type RouteRole = InspectRole | 'none'

/** One request, read: who asks, and what. */
export interface Ask<Query, Body> {
  readonly host: InspectHost
  /** Undefined only where a route needs no role and nobody said who asks. */
  readonly identity: Identity | undefined
  readonly query: Query
  readonly body: Body
  readonly audit: Audit
  readonly gate: Gate
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

/** An answer that is not JSON: written as it is. */
export interface TextAnswer {
  readonly type: string
  readonly text: string
}

interface Common<Query, Body> {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly path: `/${string}`
  /** Name of the operation in the OpenAPI document, and in the log of what was done. */
  readonly id: string
  readonly role: RouteRole
  readonly summary: string
  readonly query?: z.ZodType<Query>
  readonly body?: z.ZodType<Body>
}

/** Answers with JSON: what the schema does not name is left out, so that nothing leaves by accident. */
export interface JsonRoute<Query, Body, Answer> extends Common<Query, Body> {
  readonly kind: 'json'
  readonly answer: z.ZodType<unknown, Answer>
  /** Other statuses that it answers with, in the same form. */
  readonly statuses?: readonly number[]
  handle(ask: Ask<Query, Body>): Answer | Promise<Answer>
}

export interface TextRoute<Query> extends Common<Query, undefined> {
  readonly kind: 'text'
  readonly types: readonly string[]
  handle(ask: Ask<Query, undefined>): TextAnswer | Promise<TextAnswer>
}

/** Server-sent events, until one side closes. */
export interface StreamRoute<Query> extends Common<Query, undefined> {
  readonly kind: 'stream'
  /** What the `data:` of each event is, by the name of the event. */
  readonly events: Readonly<Record<string, z.ZodType>>
  /** Throws where it cannot be opened, as long as there can be another answer. */
  judge?(ask: Ask<Query, undefined>): void
  /** Returns what ends it. */
  handle(ask: Ask<Query, undefined>, out: EventStream): () => void
}

/** A route whose types nobody needs to know any more. */
export type AnyRoute = JsonRoute<unknown, unknown, unknown> | TextRoute<unknown> | StreamRoute<unknown>

export function jsonRoute<Query = undefined, Body = undefined, Answer = unknown>(
  route: Omit<JsonRoute<Query, Body, Answer>, 'kind'>,
): AnyRoute {
  return { ...route, kind: 'json' } as unknown as AnyRoute
}

export function textRoute<Query = undefined>(route: Omit<TextRoute<Query>, 'kind'>): AnyRoute {
  return { ...route, kind: 'text' } as unknown as AnyRoute
}

export function streamRoute<Query = undefined>(route: Omit<StreamRoute<Query>, 'kind'>): AnyRoute {
  return { ...route, kind: 'stream' } as unknown as AnyRoute
}

/** Who is at the other end of the socket; a proxy's word for somebody else is not asked for. */
export function addressOf(request: { readonly raw: IncomingMessage }): string {
  return request.raw.socket.remoteAddress ?? ''
}
