import { createServer, STATUS_CODES } from 'node:http'
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

import { WebSocketServer } from 'ws'
import type { ServerOptions } from 'ws'

import { StatemqError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { WebSocketOptions } from '../options.ts'
import { ignoreError } from './handshake.ts'
import type { Handshake } from './handshake.ts'
import type { ListenContext } from './types.ts'
import { WebSocketStream } from './websocket-stream.ts'

/** How long a peer may take to answer a close frame. */
const closeTimeoutMs = 5_000

/** Chunks that one message may arrive in: no honest network cuts it finer than this many bytes each. */
const minAverageChunkBytes = 256
const minBufferedChunks = 4_096

const maxInt32 = 2_147_483_647

const defaultPath = '/mqtt'

/** Sub-protocols of MQTT: the one of 3.1.1 and 5, and the one that 3.1 clients offer. */
const subProtocols: readonly string[] = ['mqtt', 'mqttv3.1']

/** ws reads its limits as 32-bit integers and takes 0 for none. */
function wsLimit(value: number): number {
  return Number.isFinite(value) ? Math.min(Math.max(1, Math.floor(value)), maxInt32) : 0
}

function wsOptions(limits: Limits): ServerOptions & { closeTimeout: number } {
  const { maxWebSocketMessageBytes, maxWebSocketFragments } = limits
  return {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // Text ends the connection anyway, so what is in it need not be checked.
    skipUTF8Validation: true,
    maxPayload: wsLimit(maxWebSocketMessageBytes),
    maxFragments: wsLimit(maxWebSocketFragments),
    maxBufferedChunks: wsLimit(Math.max(minBufferedChunks, maxWebSocketMessageBytes / minAverageChunkBytes)),
    closeTimeout: closeTimeoutMs,
    // MQTT-6.0.0-4
    handleProtocols: (offered) => chooseSubProtocol(offered) ?? false,
  }
}

/** MQTT-6.0.0-4: `mqtt` before the older name, whatever the client lists first. */
function chooseSubProtocol(offered: Iterable<string>): string | undefined {
  const names = new Set(offered)
  return subProtocols.find((name) => names.has(name))
}

function offeredSubProtocols(request: IncomingMessage): string[] {
  return (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
}

/** A whole HTTP answer, after which the connection ends. */
function reply(socket: Duplex, status: number, headers: readonly string[] = []): void {
  const body = `${STATUS_CODES[status] ?? ''}\n`
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    'Content-Type: text/plain',
    `Content-Length: ${body.length}`,
    ...headers,
  ]
  socket.once('finish', () => socket.destroy())
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/** Decides on upgrade requests and makes streams of those that pass. */
export class WebSocketGate {
  readonly #path: string
  readonly #origins: ReadonlySet<string> | undefined
  readonly #context: ListenContext
  readonly #server: WebSocketServer
  readonly #handshakes = new WeakMap<object, Handshake>()

  constructor(options: WebSocketOptions, context: ListenContext) {
    const { path = defaultPath, origins } = options
    if (path !== '*' && !path.startsWith('/'))
      throw new StatemqError('SMQ_OPTION_INVALID', `path ${JSON.stringify(path)} of a WebSocket listener`)
    this.#path = path
    this.#origins = origins && new Set(origins)
    this.#context = context
    this.#server = new WebSocketServer(wsOptions(context.limits))
    this.#server.on('wsClientError', (error, socket) =>
      this.#refuse(socket, 400, error.message, ['Sec-WebSocket-Version: 13, 8']),
    )
  }

  /** Whether the request's path is the listener's; the query does not count. */
  matches(request: IncomingMessage): boolean {
    return this.#path === '*' || (request.url ?? '').split('?', 1)[0] === this.#path
  }

  /** Takes a connection whose requests are to come. */
  begin(socket: Duplex, handshake: Handshake): void {
    this.#handshakes.set(socket, handshake)
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Between the HTTP parser and ws nobody else listens.
    socket.on('error', ignoreError)
    if (request.method !== 'GET') return this.#refuse(socket, 405, 'not a GET request', ['Allow: GET'])
    if (!this.matches(request)) return this.#refuse(socket, 404, 'no such path')
    if (!this.#allowsOrigin(request)) return this.#refuse(socket, 403, 'origin not allowed')
    // MQTT-6.0.0-3
    if (chooseSubProtocol(offeredSubProtocols(request)) === undefined) {
      return this.#refuse(socket, 400, 'no MQTT sub-protocol was offered')
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      const handshake = this.#handshakes.get(socket)
      const stream = new WebSocketStream(webSocket)
      stream.on('error', ignoreError)
      if (handshake?.complete()) this.#context.accept(stream, handshake.info)
      else stream.destroy()
    })
  }

  /** A request that asks for a page: told what this port is for. */
  answer(request: IncomingMessage, response: ServerResponse): void {
    const status = this.matches(request) ? 426 : 404
    this.#handshakes.get(request.socket)?.report(`HTTP request without an upgrade, answered with ${status}`)
    const body = `${STATUS_CODES[status] ?? ''}\n`
    response.writeHead(status, {
      connection: 'close',
      'content-type': 'text/plain',
      ...(status === 426 ? { upgrade: 'websocket' } : {}),
    })
    response.end(body)
  }

  /** What can't be read as HTTP. */
  malformed(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy()
      return
    }
    this.#refuse(
      socket,
      error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400,
      `HTTP request malformed: ${error.code ?? error.message}`,
    )
  }

  #allowsOrigin(request: IncomingMessage): boolean {
    const { origin } = request.headers
    // Only browsers send it, and they always do: a client without one is none that a foreign page could steer.
    return this.#origins === undefined || origin === undefined || this.#origins.has(origin)
  }

  #refuse(socket: Duplex, status: number, reason: string, headers: readonly string[] = []): void {
    this.#handshakes.get(socket)?.report(`WebSocket upgrade refused with ${status}: ${reason}`)
    reply(socket, status, headers)
  }
}

/** Makes WebSocket streams of raw or TLS sockets. Throws SMQ_OPTION_INVALID. */
export function createWebSocketUpgrade(
  options: WebSocketOptions,
  context: ListenContext,
): (socket: Duplex, handshake: Handshake) => void {
  const gate = new WebSocketGate(options, context)
  // This server never listens; it reads the requests of the sockets it is given.
  const server: HttpServer = createServer((request, response) => gate.answer(request, response))
  server.on('upgrade', (request, socket, head) => gate.upgrade(request, socket, head))
  server.on('clientError', (error, socket) => gate.malformed(error, socket))
  return (socket, handshake) => {
    gate.begin(socket, handshake)
    server.emit('connection', socket)
  }
}
