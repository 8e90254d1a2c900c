import { createServer } from 'node:net'
import type { AddressInfo, ListenOptions, Server, Socket } from 'node:net'

import { StatemqError } from '../errors.ts'
import type { ConnectionInfo, Transport } from '../messages.ts'
import type { TlsOptions } from '../options.ts'
import { Handshake, ignoreError } from './handshake.ts'
import type { ProxyTrust } from './proxy-trust.ts'
import { readProxyHeader } from './proxy-reader.ts'
import { describeSocket } from './stream-info.ts'
import { withoutTls, type ListenContext, type Listener } from './types.ts'

/** Dead peers that send no MQTT keepalive are noticed by the system's probes after this idle time. */
const tcpKeepAliveDelayMs = 60_000

/** After the system ran out of file descriptors or memory, accepting rests this long. */
const acceptPauseMs = 500

const exhaustion: ReadonlySet<string | undefined> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'])

export interface SocketServerOptions {
  readonly transport: Transport
  readonly name: string | undefined
  readonly bind: ListenOptions
  readonly proxyTrust?: ProxyTrust | undefined
  /** Runs whenever the server has begun to listen, before it can accept. */
  readonly prepare?: () => void
  readonly setSecureContext?: (options: TlsOptions) => void
  /** TLS or the WebSocket upgrade; it calls `accept` in the end. Without it sockets are accepted as they are. */
  readonly upgrade?: (socket: Socket, handshake: Handshake) => void
}

function listenOnce(server: Server, bind: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      server.removeListener('listening', onListening)
      reject(error)
    }
    const onListening = (): void => {
      server.removeListener('error', onError)
      resolve()
    }
    server.once('error', onError)
    server.once('listening', onListening)
    server.listen(bind)
  })
}

function where(bind: ListenOptions): string {
  return bind.path ?? `${bind.host ?? ''}:${bind.port ?? 0}`
}

/** The server below every listener that opens an address of its own. */
export class SocketServer implements Listener {
  readonly transport: Transport
  readonly #options: SocketServerOptions
  readonly #context: ListenContext
  readonly #server: Server
  readonly #pending = new Set<Handshake>()
  #name = ''
  #address: { host: string; port: number } | { path: string } = { path: '' }
  #localPort: number | undefined
  #connections = 0
  #closed = false
  #pauseTimer: unknown
  #exhaustionLogged = false

  private constructor(options: SocketServerOptions, context: ListenContext) {
    this.transport = options.transport
    this.#options = options
    this.#context = context
    // Half-open connections are of no use to MQTT, and nagling only delays small packets.
    this.#server = createServer({
      allowHalfOpen: false,
      noDelay: options.bind.path === undefined,
      // Of a plain TCP client the connection takes care itself, once it knows its keepalive: four system calls each.
      keepAlive: options.transport !== 'tcp' && options.bind.path === undefined,
      keepAliveInitialDelay: tcpKeepAliveDelayMs,
    })
  }

  static async open(options: SocketServerOptions, context: ListenContext): Promise<SocketServer> {
    const server = new SocketServer(options, context)
    try {
      await server.#listen(options.bind)
    } catch (error) {
      server.#server.close()
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown error'
      throw new StatemqError('SMQ_LISTEN_FAILED', `${options.transport} ${where(options.bind)}: ${code}`, {
        cause: error,
      })
    }
    server.#server.on('error', (error: NodeJS.ErrnoException) => server.#onServerError(error))
    return server
  }

  get name(): string {
    return this.#name
  }

  get address(): { host: string; port: number } | { path: string } {
    return this.#address
  }

  get connections(): number {
    return this.#connections
  }

  setSecureContext(options: TlsOptions): void {
    const { setSecureContext = withoutTls } = this.#options
    setSecureContext(options)
    this.#context.logger.info({ listener: this.#name }, 'the TLS context was replaced')
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#context.clock.clearTimeout(this.#pauseTimer)
    // Its callback would wait for every accepted connection; the address is free as soon as this returns.
    this.#server.close()
    for (const handshake of this.#pending) handshake.abandon()
  }

  async #listen(bind: ListenOptions): Promise<void> {
    await listenOnce(this.#server, bind)
    this.#options.prepare?.()
    this.#setAddress()
    if (!this.#server.listeners('connection').includes(this.#onConnection))
      this.#server.on('connection', this.#onConnection)
  }

  #setAddress(): void {
    const address = this.#server.address() as AddressInfo | string
    if (typeof address === 'string') {
      this.#address = { path: address }
      this.#name = this.#options.name ?? `${this.transport}:${address}`
      return
    }
    this.#address = { host: address.address, port: address.port }
    this.#localPort = address.port
    const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
    this.#name = this.#options.name ?? `${this.transport}:${host}:${address.port}`
  }

  readonly #onConnection = (socket: Socket): void => {
    socket.on('error', ignoreError)
    if (this.#closed || !this.#context.admit()) {
      socket.destroy()
      return
    }
    this.#connections += 1
    socket.on('close', this.#onSocketClose)
    const { proxyTrust, upgrade } = this.#options
    const info = describeSocket(socket, this.#name, this.transport, this.#localPort)
    const proxied =
      proxyTrust !== undefined && info.remoteAddress !== undefined && proxyTrust.includes(info.remoteAddress)
    // The address of a proxy is nobody's: that of the client comes with its header.
    if (!proxied && this.#context.isBanned(info.remoteAddress)) return this.#refuse(socket, info)
    // Threat 75: bytes of peers that are not trusted are never looked at as a PROXY header.
    if (!proxied && upgrade === undefined) {
      this.#context.accept(socket, info)
      return
    }
    const handshake = new Handshake(socket, info, this.#context, this.#pending)
    if (proxied) readProxyHeader(socket, handshake, (changed) => this.#afterProxyHeader(socket, handshake, changed))
    else upgrade?.(socket, handshake)
  }

  #afterProxyHeader(socket: Socket, handshake: Handshake, info: ConnectionInfo): void {
    handshake.info = info
    if (this.#context.isBanned(info.remoteAddress)) return handshake.refuse('banned')
    const { upgrade } = this.#options
    if (upgrade !== undefined) upgrade(socket, handshake)
    else if (handshake.complete()) this.#context.accept(socket, info)
  }

  #refuse(socket: Socket, info: ConnectionInfo): void {
    this.#context.refused(info, 'banned')
    socket.destroy()
  }

  readonly #onSocketClose = (): void => {
    this.#connections -= 1
  }

  /**
   * Threat 59. When descriptors run out, the event loop usually sheds the waiting connections by
   * itself and nothing is seen here. Where it can't, it would report the same failure without end,
   * so the address is given up for a moment and taken again, unchanged.
   */
  #onServerError(error: NodeJS.ErrnoException): void {
    if (!exhaustion.has(error.code) || this.#closed || this.#pauseTimer !== undefined) return
    if (!this.#exhaustionLogged) {
      this.#exhaustionLogged = true
      this.#context.logger.error(
        { listener: this.#name, code: error.code },
        'accepting is paused: the system is out of descriptors or memory',
      )
    }
    this.#server.close()
    this.#pauseTimer = this.#context.clock.setTimeout(() => void this.#resume(), acceptPauseMs)
  }

  async #resume(): Promise<void> {
    const { bind } = this.#options
    try {
      await this.#listen(this.#localPort === undefined ? bind : { ...bind, port: this.#localPort })
      this.#pauseTimer = undefined
      if (this.#closed) this.#server.close()
      else if (this.#exhaustionLogged) this.#context.logger.info({ listener: this.#name }, 'accepting again')
      this.#exhaustionLogged = false
    } catch {
      this.#server.close()
      if (!this.#closed) this.#pauseTimer = this.#context.clock.setTimeout(() => void this.#resume(), acceptPauseMs)
    }
  }
}
