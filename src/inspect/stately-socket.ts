import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import { z } from 'zod'

import type { Gate } from './gate.ts'
import type { InspectHost } from './host.ts'
import { ApiError, failure, problemOf } from './problem.ts'
import type { OpenStreams } from './streams.ts'
import { clientId } from './schemas-asked.ts'

const path = '/inspect/stately'
/** Readers have nothing to say. */
const MAX_PAYLOAD_BYTES = 1_024
const HEARTBEAT_MS = 15_000

const asked = z.strictObject({ clientId: clientId.exactOptional(), ticket: z.string().max(100).exactOptional() })

interface Parts {
  readonly host: InspectHost
  readonly gate: Gate
  readonly streams: OpenStreams
}

/**
 * Serves XState's own inspection protocol over a WebSocket, one text for each event, as `createWebSocketReceiver`
 * of `@statelyai/inspect` reads it. A browser can put no token into a WebSocket's headers: it brings a ticket,
 * which is good for one connection within a minute, and for a page of any site since nobody else has it.
 */
export function serveStately(server: Server, parts: Parts): void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_PAYLOAD_BYTES, perMessageDeflate: false })
  server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    stream.on('error', () => {})
    judge(request, parts).then(
      ({ query, isAllowed }) => {
        sockets.handleUpgrade(request, stream, head, (socket) => send(socket, query.clientId, isAllowed, parts))
      },
      (error: unknown) => {
        const { status, body } = problemOf(error) ?? failure
        const text = JSON.stringify(body)
        stream.end(
          `HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n` +
            `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
        )
      },
    )
  })
}

async function judge(request: IncomingMessage, { gate, streams }: Parts) {
  const url = new URL(request.url ?? '', 'http://broker.invalid')
  if (request.url?.split('?', 1)[0] !== path) throw new ApiError(404, 'no such route')
  const { success, data: query } = asked.safeParse(Object.fromEntries(url.searchParams))
  if (!success) throw new ApiError(400, 'the query: expected clientId and ticket only')
  const asking = { headers: request.headers, method: 'GET', raw: request }
  const { ticket } = query
  gate.checkHost(asking, ticket !== undefined)
  const identity = ticket === undefined ? await gate.admit(asking, 'read') : gate.redeem(ticket)
  streams.assertRoom()
  return { query, isAllowed: () => identity?.isValid() ?? false }
}

function send(socket: WebSocket, client: string | undefined, isAllowed: () => boolean, { host, streams }: Parts): void {
  const { broker } = host
  const leave = streams.add({ close: () => socket.close(1001, 'the admin API closes') })
  const subscription = broker.inspection
    .stately(client === undefined ? {} : { clientId: client })
    .subscribe((event) => {
      if (!isAllowed()) socket.close(1008, 'the credentials are not valid any more')
      // The protocol has no word for what was lost, and a chart with a step missing would be wrong.
      else if (socket.bufferedAmount > broker.limits.maxInspectStreamBytes) socket.close(1013, 'too slow')
      else socket.send(JSON.stringify(event))
    })
  const heartbeat = setInterval(() => (isAllowed() ? socket.ping() : socket.close(1008)), HEARTBEAT_MS)
  socket.on('error', () => {})
  socket.on('close', () => {
    clearInterval(heartbeat)
    subscription.unsubscribe()
    leave()
  })
}
