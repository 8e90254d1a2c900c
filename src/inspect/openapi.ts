import { z } from 'zod'
import { createDocument, type ZodOpenApiOperationObject, type ZodOpenApiPathsObject } from 'zod-openapi'

import { textRoute, type AnyRoute } from './route.ts'
import { problem } from './schemas.ts'

const security = [{ token: [] }, { password: [] }, { login: [], csrf: [] }]

/** The API as an OpenAPI 3.1 document, made of the routes themselves. */
function openApiDocument(routes: readonly AnyRoute[], version: string): object {
  const paths: ZodOpenApiPathsObject = {}
  for (const route of routes) {
    const method = route.method.toLowerCase() as Lowercase<AnyRoute['method']>
    paths[route.path] = { ...paths[route.path], [method]: operationOf(route) }
  }
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'statemq admin API',
      version,
      description: 'Looks into a broker and steers it. Each operation names the role that it needs.',
    },
    paths,
    components: {
      schemas: eventSchemas(routes),
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        password: { type: 'http', scheme: 'basic' },
        login: { type: 'apiKey', in: 'cookie', name: 'statemq-login' },
        csrf: { type: 'apiKey', in: 'header', name: 'x-csrf-token' },
      },
    },
  })
}

function operationOf(route: AnyRoute): ZodOpenApiOperationObject {
  const failed = { description: 'It was refused, or failed', content: { 'application/json': { schema: problem } } }
  const content = contentOf(route)
  const others = route.kind === 'json' ? (route.statuses ?? []) : []
  return {
    operationId: route.id,
    summary: route.summary,
    'x-role': route.role,
    ...eventsOf(route),
    security: route.role === 'none' ? [] : security,
    ...(route.query ? { requestParams: { query: route.query as unknown as z.ZodObject } } : {}),
    ...(route.body ? { requestBody: { required: true, content: { 'application/json': { schema: route.body } } } } : {}),
    responses: {
      200: { description: 'Done', content },
      ...Object.fromEntries(others.map((status) => [status, { description: 'Not now', content }])),
      '4XX': failed,
      '5XX': failed,
    },
  }
}

/** By the names that a stream's events have in `x-events`. */
function eventSchemas(routes: readonly AnyRoute[]): Record<string, z.ZodType> {
  const schemas = routes.flatMap((route) => (route.kind === 'stream' ? Object.values(route.events) : []))
  return Object.fromEntries(schemas.map((schema) => [idOf(schema), schema]))
}

function idOf(schema: z.ZodType): string {
  return schema.meta()?.id ?? ''
}

function eventsOf(route: AnyRoute): object {
  if (route.kind !== 'stream') return {}
  const refs = Object.entries(route.events).map(([name, schema]) => [
    name,
    { $ref: `#/components/schemas/${idOf(schema)}` },
  ])
  return { 'x-events': Object.fromEntries(refs) as object }
}

function contentOf(route: AnyRoute): Record<string, { schema: z.ZodType }> {
  switch (route.kind) {
    case 'json':
      return { 'application/json': { schema: route.answer } }
    case 'text':
      return Object.fromEntries(
        route.types.map((type) => [type, { schema: type === 'application/json' ? z.looseObject({}) : z.string() }]),
      )
    case 'stream':
      return { 'text/event-stream': { schema: z.string() } }
  }
}

/** The route that serves the document, itself in it. */
export function openApiRoute(routes: readonly AnyRoute[], version: string): AnyRoute {
  let text: string | undefined = undefined
  const route: AnyRoute = textRoute({
    method: 'GET',
    path: '/api/v1/openapi.json',
    id: 'getOpenApi',
    role: 'read',
    summary: 'This document',
    types: ['application/json'],
    handle: () => {
      text ??= JSON.stringify(openApiDocument([...routes, route], version))
      return { type: 'application/json; charset=utf-8', text }
    },
  })
  return route
}
