import type { IncomingMessage, Server as HttpServer } from 'node:http'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

import type { WsListenerOptions } from '../options.ts'
import { Handshake } from './handshake.ts'
import { describeStream } from './stream-info.ts'
import { withoutTls, type ListenContext, type Listener } from './types.ts'
import { WebSocketGate } from './websocket.ts'

/** The listeners that serve one HTTP server, so that they can tell a path that nobody takes. */
const gatesByServer = new WeakMap<HttpServer, Set<WebSocketGate>>()

/** Serves the upgrades of an HTTP server of the embedder's, which stays the embedder's to open and close. */
class AttachedWebSocketListener implements Listener {
  readonly name: string
  readonly transport = 'ws'
  readonly setSecureContext = withoutTls
  readonly #server: HttpServer
  readonly #context: ListenContext
  readonly #gate: WebSocketGate
  readonly #pending = new Set<Handshake>()
  #connections = 0

  constructor(options: WsListenerOptions, server: HttpServer, context: ListenContext) {
    this.name = options.name ?? `ws:${options.path ?? '/mqtt'}`
    this.#server = server
    this.#context = context
    this.#gate = new WebSocketGate(options, context)
    const gates = gatesByServer.get(server) ?? new Set()
    gatesByServer.set(server, gates.add(this.#gate))
    server.on('upgrade', this.#onUpgrade)
  }

  /** Port 0 as long as the server does not listen. */
  get address(): { host: string; port: number } | { path: string } {
    const address = this.#server.address()
    if (typeof address === 'string') return { path: address }
    return address === null ? { host: '', port: 0 } : { host: address.address, port: address.port }
  }

  get connections(): number {
    return this.#connections
  }

  async close(): Promise<void> {
    this.#server.removeListener('upgrade', this.#onUpgrade)
    gatesByServer.get(this.#server)?.delete(this.#gate)
  }

  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (!this.#gate.matches(request) && !this.#mustAnswer(request)) return
    if (!this.#context.admit()) {
      socket.destroy()
      return
    }
    this.#connections += 1
    socket.once('close', () => {
      this.#connections -= 1
    })
    const transport = socket instanceof TLSSocket ? 'wss' : 'ws'
    const info = describeStream(socket, { listener: this.name, transport })
    const handshake = new Handshake(socket, info, this.#context, this.#pending)
    if (this.#context.isBanned(info.remoteAddress)) return handshake.refuse('banned')
    this.#gate.begin(socket, handshake)
    this.#gate.upgrade(request, socket, head)
  }

  /**
   * Other upgrades are left to the server's other handlers. But once an `upgrade` handler exists,
   * Node leaves every upgrade to handlers, and one that none of them takes would stay open for ever:
   * if all of them are ours, the first answers.
   */
  #mustAnswer(request: IncomingMessage): boolean {
    const gates = [...(gatesByServer.get(this.#server) ?? [])]
    const onlyOurs = this.#server.listenerCount('upgrade') === gates.length
    return onlyOurs && gates[0] === this.#gate && !gates.some((gate) => gate.matches(request))
  }
}

/** Throws SMQ_OPTION_INVALID. */
export function attachWebSocketListener(
  options: WsListenerOptions,
  server: HttpServer,
  context: ListenContext,
): Listener {
  return new AttachedWebSocketListener(options, server, context)
}
