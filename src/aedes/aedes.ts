import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

import type { Broker } from '../api.ts'
import { createBroker } from '../broker.ts'
import type { BrokerEvent, EventOf } from '../events.ts'
import type { Message } from '../messages.ts'
import { AedesClient, answer } from './client.ts'
import { authenticatorOf, hooksOf, packetOf, type HandlerHost } from './hooks.ts'
import { watchPings } from './pings.ts'
import type {
  AedesEvents,
  AedesHandlers,
  AedesOptions,
  DeliverHandler,
  PublishPacket,
  PublishedHandler,
} from './types.ts'

const SYS_PREFIX = '$SYS/'
/** Milliseconds from a connection to the end of its CONNECT. */
const DEFAULT_CONNECT_TIMEOUT_MS = 30_000
/** Of MQTT 3.1; later versions have none. */
const DEFAULT_MAX_CLIENT_ID_CHARACTERS = 23
const DEFAULT_MAX_TOPIC_LEVELS = 100

/**
 * A statemq broker that is used as an Aedes: `aedes.handle(stream)`, handlers with callbacks, and its events. It is for
 * moving an application step by step; `aedes.broker` is the broker behind it. What differs is in docs/from-aedes.md.
 */
export class Aedes extends EventEmitter<AedesEvents> implements AedesHandlers {
  readonly id: string
  /** The broker behind it. */
  readonly broker: Broker
  /** Who is connected, by client identifier. Null prototype: identifiers are anybody's text. */
  readonly clients: Record<string, AedesClient> = Object.create(null) as Record<string, AedesClient>
  connectedClients = 0
  closed = true
  preConnect: AedesHandlers['preConnect']
  authenticate: AedesHandlers['authenticate']
  authorizePublish: AedesHandlers['authorizePublish']
  authorizeSubscribe: AedesHandlers['authorizeSubscribe']
  authorizeForward: AedesHandlers['authorizeForward']
  published: PublishedHandler
  /** By what the broker knows of a connection: the same object from its first byte to its last. */
  readonly #byConnection = new WeakMap<object, AedesClient>()
  readonly #bySession = new Map<string, AedesClient>()
  readonly #subscriptions = new Map<string, Map<DeliverHandler, { unsubscribe(): void }>>()
  readonly #failures = new WeakSet<AedesClient>()
  /** Whose connection the broker is just being given. */
  #arriving: AedesClient | undefined = undefined

  /** Throws what `createBroker` throws. */
  constructor(options: AedesOptions = {}) {
    super()
    this.id = options.id ?? randomUUID()
    this.preConnect = options.preConnect ?? ((_client, _packet, callback) => callback(null, true))
    this.authenticate = options.authenticate ?? ((_client, _username, _password, callback) => callback(null, true))
    this.authorizePublish = options.authorizePublish ?? refuseReserved
    this.authorizeSubscribe = options.authorizeSubscribe ?? ((_client, asked, callback) => callback(null, asked))
    this.authorizeForward = options.authorizeForward ?? ((_client, packet) => packet)
    this.published = options.published ?? ((_packet, _client, callback) => callback(null))
    this.broker = this.#makeBroker(options)
    this.broker.events$.subscribe((event) => this.#tell(event))
    // Aedes tells of everything; `#` leaves topics that begin with `$` out.
    for (const filter of ['#', `${SYS_PREFIX}#`])
      this.broker.messages(filter).subscribe((message) => this.#tellPublished(message))
  }

  /** An Aedes that is ready, as `Aedes.createBroker` of Aedes gives one. */
  static async createBroker(options: AedesOptions = {}): Promise<Aedes> {
    const aedes = new Aedes(options)
    await aedes.listen()
    return aedes
  }

  /** Opens the store, where there is one. It opens no port: give `handle` what your servers accept. */
  async listen(): Promise<void> {
    await this.broker.ready
    this.closed = false
  }

  /** Serves MQTT on a stream; bound, so that it can be given to `net.createServer`. */
  readonly handle = (stream: Duplex, request?: IncomingMessage): AedesClient => {
    const client = new AedesClient(this.broker, stream, request)
    stream.on('error', (error) => this.#failed(client, error))
    stream.once('close', () => this.#gone(client))
    void this.#attach(client)
    return client
  }

  /** Publishes as the broker. Called back when every subscriber has been given it, and the store has it. */
  publish(packet: PublishPacket, callback?: (error?: Error) => void): void
  publish(packet: PublishPacket, client: AedesClient | null, callback?: (error?: Error) => void): void
  publish(
    { topic, payload = '', qos = 0, retain = false }: PublishPacket,
    clientOrCallback?: AedesClient | null | ((error?: Error) => void),
    last?: (error?: Error) => void,
  ): void {
    const callback = typeof clientOrCallback === 'function' ? clientOrCallback : last
    void answer(this.broker.publish({ topic, payload, qos, retain }), callback)
  }

  /** Gives a listener every message of a filter. */
  subscribe(topic: string, deliver: DeliverHandler, callback?: (error?: Error) => void): void {
    void answer(this.#subscribe(topic, deliver), callback)
  }

  async #subscribe(topic: string, deliver: DeliverHandler): Promise<void> {
    this.#unsubscribe(topic, deliver)
    const subscription = this.broker.messages(topic).subscribe((message) => {
      deliver(packetOf(message, this.id), () => {})
    })
    const listeners = this.#subscriptions.get(topic) ?? new Map<DeliverHandler, { unsubscribe(): void }>()
    this.#subscriptions.set(topic, listeners.set(deliver, subscription))
  }

  unsubscribe(topic: string, deliver: DeliverHandler, callback?: () => void): void {
    this.#unsubscribe(topic, deliver)
    void answer(Promise.resolve(), callback)
  }

  #unsubscribe(topic: string, deliver: DeliverHandler): void {
    const listeners = this.#subscriptions.get(topic)
    listeners?.get(deliver)?.unsubscribe()
    listeners?.delete(deliver)
    if (listeners?.size === 0) this.#subscriptions.delete(topic)
  }

  /** Drains: clients that speak MQTT 5 are told, wills are published by the rules. */
  close(callback?: () => void): void {
    this.closed = true
    void answer(this.#close(), callback)
  }

  async #close(): Promise<void> {
    await this.broker.close()
    this.emit('closed')
  }

  #makeBroker({ statemq = {}, ...options }: AedesOptions): Broker {
    const host = this.#host(options)
    const hooks = [statemq.hooks ?? []].flat()
    return createBroker({
      // By MQTT 3.1.1 alone: Aedes ends the connection of whoever publishes what it may not.
      deniedPublish: { mqtt3: 'disconnect', mqtt5: 'acknowledge' },
      takeover: 'anyone',
      ...statemq,
      limits: {
        connectTimeoutMs: options.connectTimeout ?? DEFAULT_CONNECT_TIMEOUT_MS,
        maxTopicLevels: options.maxTopicLevels ?? DEFAULT_MAX_TOPIC_LEVELS,
        ...statemq.limits,
      },
      authenticators: [authenticatorOf(host)],
      hooks: [{ ...hooksOf(host), onConnection: (connection) => this.#arrived(connection) }, ...hooks],
    })
  }

  #host(options: AedesOptions): HandlerHost {
    return {
      id: this.id,
      keepaliveLimit: options.keepaliveLimit ?? 0,
      maxClientsIdLength: options.maxClientsIdLength ?? DEFAULT_MAX_CLIENT_ID_CHARACTERS,
      preConnect: (...given) => this.preConnect(...given),
      authenticate: (...given) => this.authenticate(...given),
      authorizePublish: (...given) => this.authorizePublish(...given),
      authorizeSubscribe: (...given) => this.authorizeSubscribe(...given),
      authorizeForward: (...given) => this.authorizeForward(...given),
      published: (...given) => this.published(...given),
      clientOf: ({ connection, clientId }) => this.#byConnection.get(connection) ?? this.clients[clientId] ?? null,
      reject: (client, error) => this.#rejected(client, error),
    }
  }

  async #attach(client: AedesClient): Promise<void> {
    try {
      await this.broker.ready
      this.#arriving = client
      this.broker.attach(client.conn)
      if (this.listenerCount('ping') > 0) watchPings(client.conn, () => this.emit('ping', { cmd: 'pingreq' }, client))
    } catch {
      client.conn.destroy()
    } finally {
      this.#arriving = undefined
    }
  }

  /** The broker asks about a connection while it is given one: this tells which is which. */
  #arrived(connection: object): { readonly type: 'next' } {
    if (this.#arriving) this.#byConnection.set(connection, this.#arriving)
    return { type: 'next' }
  }

  #tell(event: BrokerEvent): void {
    if (event.type === 'connection.opened') {
      const client = this.#byConnection.get(event.connection)
      if (client) this.#bySession.set(event.sessionId, client)
    } else if (event.type === 'session.online') this.#online(event)
    else if ('sessionId' in event) this.#tellOfClient(event, this.#bySession.get(event.sessionId))
    else if (event.type === 'message.acknowledged') {
      const client = this.clients[event.clientId]
      if (client) this.emit('ack', { cmd: 'publish', topic: event.topic, qos: event.qos }, client)
    }
  }

  #tellOfClient(event: BrokerEvent & { readonly sessionId: string }, client: AedesClient | undefined): void {
    if (!client) return
    switch (event.type) {
      case 'subscription.added':
        return void this.emit('subscribe', [{ topic: event.filter, qos: event.qos }], client)
      case 'subscription.removed':
        return void this.emit('unsubscribe', [event.filter], client)
      case 'session.refused':
        return this.#failed(client, new Error(event.reason))
      case 'session.failed':
        return this.#failed(client, event.error instanceof Error ? event.error : new Error(String(event.error)))
      case 'session.transition':
        if (event.cause === 'keepalive.lost') {
          this.emit('keepaliveTimeout', client)
          this.#failed(client, new Error('keep alive timeout'))
        } else if (event.cause === 'connection.failed') this.#failed(client, new Error('the client broke the protocol'))
        else if (event.cause === 'deadline.connect') this.#failed(client, new Error('connect did not arrive in time'))
        return
      case 'session.expired':
        // What else there is to tell of it follows within the turn.
        return void setImmediate(() => this.#bySession.delete(event.sessionId))
      default:
    }
  }

  #online({ connection, clientId, sessionId }: EventOf<'session.online'>): void {
    const client = this.#byConnection.get(connection)
    if (!client) return
    // Another connection of the same client: its own end follows.
    this.#forget(this.clients[clientId])
    this.#bySession.set(sessionId, client)
    client.id = clientId
    client.connecting = false
    client.connected = true
    this.clients[clientId] = client
    this.connectedClients++
    this.emit('client', client)
    this.emit('clientReady', client)
    client.emit('connected')
    // It may have gone within the turn in which it came.
    if (client.conn.destroyed) this.#gone(client)
  }

  #gone(client: AedesClient): void {
    client.closed = true
    client.connecting = false
    this.#forget(client)
  }

  #forget(client: AedesClient | undefined): void {
    if (!client?.connected) return
    client.connected = false
    this.connectedClients--
    if (this.clients[client.id] === client) delete this.clients[client.id]
    this.emit('clientDisconnect', client)
  }

  #failed(client: AedesClient, error: Error): void {
    // One end has one reason.
    if (this.#failures.has(client)) return
    this.#failures.add(client)
    this.emit(client.id === '' ? 'connectionError' : 'clientError', client, error)
  }

  #rejected(client: AedesClient | null, error: Error): void {
    if (!client) return
    this.#failed(client, error)
    setImmediate(() => client.conn.destroy())
  }

  #tellPublished(message: Message): void {
    const packet = packetOf(message, this.id)
    const client = this.clients[message.publisher] ?? null
    this.published(packet, client, () => {})
    this.emit('publish', packet, client)
  }
}

const refuseReserved: AedesHandlers['authorizePublish'] = (_client, { topic }, callback) => {
  callback(topic.startsWith(SYS_PREFIX) ? new Error('topics that begin with $SYS/ are reserved') : null)
}
