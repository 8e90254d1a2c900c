import fastifyStatic from '@fastify/static'
import { fastify, type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { AddressInfo } from 'node:net'
import type { Server } from 'node:https'

import type { Inspector } from '../api.ts'
import { StatemqError } from '../errors.ts'
import type { InspectOptions } from '../options.ts'
import { packageVersion } from '../version.ts'
import { Credentials } from './credentials.ts'
import { Gate } from './gate.ts'
import type { InspectHost } from './host.ts'
import { Logins } from './logins.ts'
import { openApiRoute } from './openapi.ts'
import { assetsIn, pageFolder } from './page-files.ts'
import { ApiError, failure, problemOf } from './problem.ts'
import { assertProtected } from './protection.ts'
import { registerRoutes } from './register.ts'
import { addressOf, type AnyRoute } from './route.ts'
import { filterRoutes } from './routes/filters.ts'
import { healthRoutes } from './routes/health.ts'
import { jobRoutes } from './routes/jobs.ts'
import { loginRoutes } from './routes/login.ts'
import { machineRoutes } from './routes/machines.ts'
import { messageRoutes } from './routes/messages.ts'
import { rightsRoutes } from './routes/rights.ts'
import { sessionActionRoutes } from './routes/session-actions.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { statsRoutes } from './routes/stats.ts'
import { steeringRoutes } from './routes/steering.ts'
import { streamRoutes } from './routes/streams.ts'
import { serveStately } from './stately-socket.ts'
import { OpenStreams } from './streams.ts'
import { Throttle } from './throttle.ts'
import { Tickets } from './tickets.ts'

const defaultPort = 7883
const defaultHost = '127.0.0.1'

/** All of the API but its own document. */
export const routes: readonly AnyRoute[] = [
  ...healthRoutes,
  ...loginRoutes,
  ...statsRoutes,
  ...sessionRoutes,
  ...sessionActionRoutes,
  ...filterRoutes,
  ...rightsRoutes,
  ...messageRoutes,
  ...jobRoutes,
  ...machineRoutes,
  ...steeringRoutes,
  ...streamRoutes,
]

/** Nothing inline, nothing from elsewhere, and nobody may put the page into a frame. */
const securityHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
}

/** Opens the admin API. Rejects with SMQ_INSPECT_UNPROTECTED, SMQ_OPTION_INVALID, SMQ_TLS_INVALID and SMQ_LISTEN_FAILED. */
export async function openInspector(host: InspectHost, options: InspectOptions): Promise<Inspector> {
  const passwords = await host.passwords()
  assertProtected(options, passwords.hashFault)
  const credentials = new Credentials(options, passwords, host.clock)
  const limits = (): InspectHost['broker']['limits'] => host.broker.limits
  const streams = new OpenStreams(limits)
  let port = options.port ?? defaultPort
  const gate = new Gate(
    {
      credentials,
      logins: new Logins(host.clock, limits),
      throttle: new Throttle(host.clock, () => limits().maxInspectFailuresPerMinute),
      tickets: new Tickets(host.clock),
      isTls: options.tls !== undefined,
      port: () => port,
    },
    options.hosts,
  )
  const app = makeServer(host, options)
  addHooks(app, host, gate)
  registerRoutes(app, [...routes, openApiRoute(routes, packageVersion())], { host, gate, streams })
  serveStately(app.server, { host, gate, streams })
  await servePage(app)
  const hostName = options.host ?? defaultHost
  try {
    await app.listen({ port, host: hostName })
  } catch (error) {
    await app.close()
    throw new StatemqError('SMQ_LISTEN_FAILED', `inspect on ${hostName}:${port}: ${(error as Error).message}`, {
      cause: error,
    })
  }
  const { address, port: opened } = app.server.address() as AddressInfo
  port = opened
  return {
    address: { host: address, port },
    url: urlOf(options, address, port, credentials.token),
    token: credentials.token,
    reload: async (changes) => {
      assertProtected({ ...options, ...changes }, passwords.hashFault)
      credentials.replace(changes)
      gate.hosts = new Set((changes.hosts ?? []).map((name) => name.toLowerCase()))
    },
    setSecureContext: (tls) => setSecureContext(app, options, tls),
    close: async () => {
      streams.close()
      await app.close()
    },
  }
}

/** What fastify itself finds wrong with a request is told in the same form. */
const frameworkErrors: NonNullable<FastifyServerOptions['frameworkErrors']> = (error, _request, reply) => {
  const { status, body } = problemOf(error) ?? failure
  void reply
    .code(status as never)
    .headers(securityHeaders)
    .send(body as never)
}

function makeServer({ broker }: InspectHost, { tls }: InspectOptions): FastifyInstance {
  const { maxInspectBodyBytes, maxInspectHeaderBytes, maxInspectConnections, inspectRequestTimeoutMs } = broker.limits
  const http = { maxHeaderSize: maxInspectHeaderBytes, headersTimeout: inspectRequestTimeoutMs }
  const common = {
    bodyLimit: maxInspectBodyBytes,
    requestTimeout: inspectRequestTimeoutMs,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    frameworkErrors,
  }
  try {
    const secured = tls && { ...common, https: { ...http, ...tls, minVersion: 'TLSv1.2' as const } }
    // The types of a server with TLS differ, and nothing else of it.
    const app = secured ? (fastify(secured) as unknown as FastifyInstance) : fastify({ ...common, http })
    app.server.maxConnections = maxInspectConnections
    app.removeContentTypeParser('text/plain')
    return app
  } catch (error) {
    throw new StatemqError('SMQ_TLS_INVALID', `inspect: ${(error as Error).message}`, { cause: error })
  }
}

function addHooks(app: FastifyInstance, host: InspectHost, gate: Gate): void {
  app.decorateRequest('identity', undefined)
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(securityHeaders)
    gate.checkHost(request)
    if (request.is404) return
    // A route without a role lets nobody in, so that none is open by mistake.
    request.identity = await gate.admit(request, request.routeOptions.config.role ?? 'operate')
  })
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]!
    const allowed = (['GET', 'POST', 'PATCH', 'DELETE'] as const).filter((method) =>
      app.hasRoute({ method, url: path }),
    )
    if (allowed.length > 0) void reply.header('allow', allowed.join(', '))
    throw allowed.length > 0 ? new ApiError(405, 'this route has other methods') : new ApiError(404, 'no such route')
  })
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error)
    if (!problem) host.logger.error({ err: error, route: request.routeOptions.url }, 'the admin API failed')
    const { status, body } = problem ?? failure
    if (status === 401) void reply.header('www-authenticate', 'Bearer realm="statemq"')
    return reply.code(status).headers(securityHeaders).send(body)
  })
  app.addHook('onSend', async (request, reply) => {
    if (reply.statusCode === 401 || reply.statusCode === 403)
      host.logger.debug(
        { address: addressOf(request), route: request.routeOptions.url },
        'the admin API refused a request',
      )
  })
}

/** The page itself is nobody's secret, and whoever is to log in needs it first. */
async function servePage(app: FastifyInstance): Promise<void> {
  const root = pageFolder()
  if (root === undefined) {
    app.get('/', { config: { role: 'none' } }, () => {
      throw new ApiError(404, 'the page has not been built: node .ci/build-page.ts')
    })
    return
  }
  await app.register(async (inner) => {
    inner.addHook('onRoute', (route) => {
      route.config = { ...route.config, role: 'none' }
    })
    // The files as they are there now, each a route of its own: no path is ever put together from a request.
    await inner.register(fastifyStatic, { root, wildcard: false, cacheControl: false })
    // One that was built since then has files of other names.
    inner.get<{ Params: { '*': string } }>('/assets/*', async ({ params }, reply) => {
      const name = params['*']
      if (!(await assetsIn(root)).includes(name)) return reply.callNotFound()
      return reply.sendFile(`assets/${name}`)
    })
  })
}

function urlOf({ tls }: InspectOptions, address: string, port: number, token: string | undefined): string {
  const host = address.includes(':') ? `[${address}]` : address
  return `${tls ? 'https' : 'http'}://${host}:${port}/${token === undefined ? '' : `#token=${token}`}`
}

function setSecureContext(
  app: FastifyInstance,
  options: InspectOptions,
  tls: NonNullable<InspectOptions['tls']>,
): void {
  if (!options.tls) throw new StatemqError('SMQ_TLS_INVALID', 'inspect: it was opened without TLS')
  try {
    const server = app.server as unknown as Server
    server.setSecureContext({ ...tls, minVersion: 'TLSv1.2' })
  } catch (error) {
    throw new StatemqError('SMQ_TLS_INVALID', `inspect: ${(error as Error).message}`, { cause: error })
  }
}
