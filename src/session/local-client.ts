import { randomInt } from 'node:crypto'
import { Observable, Subject } from 'rxjs'

import type { Counters } from '../counters.ts'
import { StatemqError } from '../errors.ts'
import {
  PacketType,
  type ConnackPacket,
  type ConnectionInfo,
  type ConnectPacket,
  type Message,
  type MessageInput,
  type QoS,
} from '../messages.ts'
import { Publication } from '../publication.ts'
import { ReasonCode, isFailure } from '../reason-codes.ts'
import { isTopicFilter, parseShared, topicMatches } from '../router/topics.ts'
import type { AcknowledgementType, Connection } from './connection.ts'
import { LocalConnection, type LocalPeer } from './local-connection.ts'
import { checkedPayload, type MessageLimits } from './message-check.ts'
import { assertClientOptions } from './option-check.ts'

/** What `broker.client` takes. */
export interface ClientOptions {
  /** Default: one of the broker's making. */
  readonly clientId?: string
  readonly username?: string
  readonly password?: string | Uint8Array
  /** Default true. */
  readonly cleanStart?: boolean
  /** Default 0: the session ends with the client. */
  readonly sessionExpiryIntervalSeconds?: number
  readonly will?: MessageInput & { readonly delaySeconds?: number }
  /** QoS 1 and 2 messages that the client takes unacknowledged. Default 65535. */
  readonly receiveMaximum?: number
}

/** How an in-process client subscribes. */
export interface ClientSubscribeOptions {
  /** Default 2. */
  readonly qos?: QoS
  /** Default false. */
  readonly noLocal?: boolean
  /** Default true: `message.retain` is as published. */
  readonly retainAsPublished?: boolean
  /** Default 0: retained messages come first. */
  readonly retainHandling?: 0 | 1 | 2
}

interface Feed {
  readonly subject: Subject<Message>
  readonly identifier: number
  count: number
}

interface Pending {
  readonly resolve: (reasonCodes: readonly number[]) => void
  readonly reject: (error: Error) => void
}

/** A message that has its place in the line for the window. */
interface Waiting {
  readonly start: () => void
  readonly reject: (error: Error) => void
}

const MAX_PACKET_ID = 65_535
/** Messages under way at most, whatever the broker allows: SUBSCRIBE and UNSUBSCRIBE need identifiers too. */
const MAX_WINDOW = 32_767
/** Subscription identifiers go up to 268,435,455; a client begins below this and counts up. */
const MAX_FIRST_IDENTIFIER = 200_000_000

const inProcess: ConnectionInfo = {
  listener: 'in-process',
  transport: 'memory',
  remoteAddress: undefined,
  remotePort: undefined,
  localPort: undefined,
  proxyAddress: undefined,
  tls: undefined,
}

/**
 * A client inside the broker's process. It has a session like any other, with the same limits,
 * hooks and authorization, but no socket and no bytes.
 */
export class LocalClient implements LocalPeer {
  readonly #connection: LocalConnection
  readonly #feeds = new Map<string, Feed>()
  readonly #byIdentifier = new Map<number, Feed>()
  readonly #pending = new Map<number, Pending>()
  #connack: { resolve: (packet: ConnackPacket) => void; reject: (error: Error) => void } | undefined = undefined
  #closedWith: ReasonCode | undefined = undefined
  #resolveClosed!: (reasonCode: ReasonCode | undefined) => void
  /** QoS 1 and 2 messages that may be under way (MQTT-3.3.4-7), those that are, and those that wait for them. */
  #window = MAX_WINDOW
  #underWay = 0
  #waiting: Waiting[] = []
  #waitingAt = 0
  #lastPacketId = 0
  /** Begins where no earlier client of a session that goes on is likely to have been. */
  readonly #firstIdentifier = randomInt(MAX_FIRST_IDENTIFIER)
  #lastIdentifier = this.#firstIdentifier
  #isClosed = false
  clientId = ''
  /** Whether the session was there before. */
  sessionPresent = false
  /** Resolves when the connection has ended, with the reason code of the broker's DISCONNECT if there was one. */
  readonly closed: Promise<ReasonCode | undefined>

  readonly #guard: <T>(observable: Observable<T>) => Observable<T>
  #limits: MessageLimits
  /** It may have a password, and is kept until it is sent. */
  #packet: ConnectPacket | undefined

  /**
   * `guard` keeps what a consumer throws from reaching the broker; `madeClientId` is for options without an identifier.
   * Throws SMQ_OPTION_INVALID, and SMQ_TOPIC_INVALID or SMQ_MESSAGE_INVALID for the will.
   */
  constructor(
    guard: <T>(observable: Observable<T>) => Observable<T>,
    limits: MessageLimits,
    counters: Counters,
    options: ClientOptions,
    madeClientId: string,
  ) {
    this.#guard = guard
    this.#limits = limits
    this.#packet = connectPacketOf(options, madeClientId, limits)
    this.#connection = new LocalConnection(inProcess, this, counters)
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
  }

  /** For the broker, which gives it a session. */
  get connection(): Connection {
    return this.#connection
  }

  /** Sends CONNECT, once; rejects with SMQ_CLIENT_REFUSED. */
  async connect(): Promise<void> {
    const packet = this.#packet!
    this.#packet = undefined
    const accepted = new Promise<ConnackPacket>((resolve, reject) => {
      this.#connack = { resolve, reject }
    })
    this.clientId = packet.clientId
    this.#connection.push(packet)
    const connack = await accepted
    this.#window = Math.min(MAX_WINDOW, connack.receiveMaximum ?? MAX_WINDOW)
    this.#limits = { ...this.#limits, maxPacketBytes: connack.maximumPacketSizeBytes ?? Infinity }
    this.sessionPresent = connack.sessionPresent
    this.clientId = connack.assignedClientIdentifier ?? this.clientId
  }

  /**
   * The messages of a filter. Subscribing to the Observable subscribes to the filter, the last one
   * to leave unsubscribes; a refusal is the Observable's error (SMQ_SUBSCRIBE_REFUSED).
   */
  messages(filter: string, options: ClientSubscribeOptions = {}): Observable<Message> {
    if (typeof filter !== 'string' || !isTopicFilter(filter, Infinity))
      throw new StatemqError('SMQ_FILTER_INVALID', String(filter))
    const messages$ = new Observable<Message>((observer) => {
      const feed = this.#feeds.get(filter) ?? this.#open(filter, options)
      feed.count++
      const subscription = feed.subject.subscribe(observer)
      return () => {
        subscription.unsubscribe()
        if (--feed.count === 0) this.#close(filter, feed)
      }
    })
    return this.#guard(messages$)
  }

  /**
   * Resolves when the broker has accepted the message (QoS 1, 2) or taken it (QoS 0); rejects with SMQ_PUBLISH_REFUSED,
   * SMQ_TOPIC_INVALID, SMQ_MESSAGE_INVALID or SMQ_CLIENT_CLOSED.
   * More QoS 1 and 2 messages than the broker takes at once wait their turn, in order.
   */
  async publish(input: MessageInput): Promise<void> {
    this.#assertOpen()
    const payload = checkedPayload(input, this.#limits)
    const { topic, qos = 0, retain = false, properties } = input
    const send = (packetId: number): void => {
      const publication = new Publication(topic, qos, retain, false, packetId, payload, 0, payload.length)
      publication.properties = properties
      this.#connection.push(publication)
    }
    if (qos === 0) return send(0)
    const [code = 0] = await this.#inWindow(send)
    if (isFailure(code))
      throw new StatemqError('SMQ_PUBLISH_REFUSED', `reason code ${code}`, { reasonCode: code as ReasonCode })
  }

  /** DISCONNECT; with `withWill` the will is published (reason code 0x04). */
  async close(options: { readonly withWill?: boolean } = {}): Promise<void> {
    if (!this.#isClosed) {
      const reasonCode = options.withWill ? ReasonCode.DisconnectWithWill : ReasonCode.Success
      const nothing = { sessionExpiryIntervalSeconds: undefined, reasonString: undefined, serverReference: undefined }
      this.#connection.push({ type: PacketType.Disconnect, reasonCode, userProperties: [], ...nothing })
    }
    await this.closed
  }

  /** Ends as a broken connection would. */
  abort(): void {
    this.#connection.abort()
  }

  onConnack(packet: ConnackPacket): void {
    if (!isFailure(packet.reasonCode)) return this.#connack?.resolve(packet)
    const { reasonCode } = packet
    this.#connack?.reject(new StatemqError('SMQ_CLIENT_REFUSED', packet.reasonString, { reasonCode }))
  }

  onMessage(message: Message, subscriptionIdentifiers: readonly number[]): void {
    let isOwn = false
    for (const identifier of subscriptionIdentifiers) {
      if (identifier > this.#firstIdentifier && identifier <= this.#lastIdentifier) isOwn = true
      this.#byIdentifier.get(identifier)?.subject.next(message)
    }
    if (isOwn) return
    // From a subscription of an earlier client of this session: its identifier says nothing here.
    for (const [filter, { subject }] of this.#feeds) {
      if (topicMatches(parseShared(filter)?.filter ?? filter, message.topic)) subject.next(message)
    }
  }

  onAcknowledgement(type: AcknowledgementType, packetId: number, reasonCode: number): void {
    if (type === PacketType.Pubrec && !isFailure(reasonCode)) {
      this.#connection.push({ type: PacketType.Pubrel, packetId, reasonCode: ReasonCode.Success })
      return
    }
    if (!this.#pending.has(packetId)) return
    this.#underWay--
    this.onSubscribed(packetId, [reasonCode])
    this.#sendWaiting()
  }

  onSubscribed(packetId: number, reasonCodes: readonly number[]): void {
    this.#pending.get(packetId)?.resolve(reasonCodes)
    this.#pending.delete(packetId)
  }

  onClosed(reasonCode: ReasonCode | undefined): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#closedWith = reasonCode
    const error = this.#closedError()
    this.#connack?.reject(error)
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
    for (const { reject } of this.#waiting.slice(this.#waitingAt)) reject(error)
    this.#waiting = []
    for (const { subject } of this.#feeds.values()) subject.complete()
    this.#resolveClosed(reasonCode)
  }

  #open(filter: string, options: ClientSubscribeOptions): Feed {
    this.#assertOpen()
    const feed: Feed = { subject: new Subject(), identifier: ++this.#lastIdentifier, count: 0 }
    this.#feeds.set(filter, feed)
    this.#byIdentifier.set(feed.identifier, feed)
    const packetId = this.#nextPacketId()
    const { qos = 2, noLocal = false, retainAsPublished = true, retainHandling = 0 } = options
    const answer = this.#wait(packetId)
    this.#connection.push({
      type: PacketType.Subscribe,
      packetId,
      subscriptions: [{ filter, qos, noLocal, retainAsPublished, retainHandling }],
      subscriptionIdentifier: feed.identifier,
      userProperties: [],
    })
    answer.then(
      ([code = ReasonCode.UnspecifiedError]) => {
        if (isFailure(code))
          feed.subject.error(new StatemqError('SMQ_SUBSCRIBE_REFUSED', filter, { reasonCode: code as ReasonCode }))
      },
      (error: unknown) => feed.subject.error(error),
    )
    return feed
  }

  #close(filter: string, feed: Feed): void {
    if (this.#feeds.get(filter) === feed) this.#feeds.delete(filter)
    this.#byIdentifier.delete(feed.identifier)
    if (this.#isClosed || feed.subject.hasError) return
    this.#connection.push({
      type: PacketType.Unsubscribe,
      packetId: this.#nextPacketId(),
      filters: [filter],
      userProperties: [],
    })
  }

  #wait(packetId: number): Promise<readonly number[]> {
    return new Promise((resolve, reject) => this.#pending.set(packetId, { resolve, reject }))
  }

  /** Sends a QoS 1 or 2 message as soon as the window has room, and waits for its answer. */
  #inWindow(send: (packetId: number) => void): Promise<readonly number[]> {
    return new Promise((resolve, reject) => {
      const start = (): void => {
        const packetId = this.#nextPacketId()
        this.#pending.set(packetId, { resolve, reject })
        send(packetId)
      }
      this.#waiting.push({ start, reject })
      this.#sendWaiting()
    })
  }

  #sendWaiting(): void {
    while (this.#waitingAt < this.#waiting.length && this.#underWay < this.#window) {
      this.#underWay++
      this.#waiting[this.#waitingAt++]!.start()
    }
    if (this.#waitingAt < this.#waiting.length) return
    this.#waiting = []
    this.#waitingAt = 0
  }

  #nextPacketId(): number {
    if (this.#pending.size >= MAX_PACKET_ID)
      throw new StatemqError('SMQ_CLIENT_REFUSED', 'every packet identifier is in use')
    do {
      this.#lastPacketId = (this.#lastPacketId % MAX_PACKET_ID) + 1
    } while (this.#pending.has(this.#lastPacketId))
    return this.#lastPacketId
  }

  #assertOpen(): void {
    if (this.#isClosed) throw this.#closedError()
  }

  #closedError(): StatemqError {
    const reasonCode = this.#closedWith
    return new StatemqError('SMQ_CLIENT_CLOSED', undefined, reasonCode === undefined ? {} : { reasonCode })
  }
}

function connectPacketOf(options: ClientOptions, madeClientId: string, limits: MessageLimits): ConnectPacket {
  assertClientOptions(options)
  const { will, password } = options
  return {
    type: PacketType.Connect,
    protocolVersion: 5,
    clientId: options.clientId ?? madeClientId,
    cleanStart: options.cleanStart ?? true,
    keepAliveSeconds: 0,
    username: options.username,
    password: password === undefined ? undefined : Buffer.from(password),
    will: will && {
      topic: will.topic,
      payload: checkedPayload(will, limits),
      qos: will.qos ?? 0,
      retain: will.retain ?? false,
      delaySeconds: will.delaySeconds ?? 0,
      properties: will.properties ?? {},
    },
    sessionExpiryIntervalSeconds: options.sessionExpiryIntervalSeconds ?? 0,
    receiveMaximum: options.receiveMaximum ?? 65_535,
    maximumPacketSizeBytes: undefined,
    topicAliasMaximum: 0,
    requestResponseInformation: false,
    requestProblemInformation: true,
    userProperties: [],
    authenticationMethod: undefined,
    authenticationData: undefined,
  }
}
