import type { Duplex } from 'node:stream'
import { generate, type Packet } from 'mqtt-packet'

import type { MessageInput, MessageProperties, ProtocolVersion, QoS } from '../messages.ts'
import { PacketQueue } from './packet-queue.ts'

/** A packet with the fields that mqtt-packet gives it. */
export type AnyPacket = Packet
/** The names of the packets that a broker sends. */
export type PacketType = Packet['cmd']
/** The packet of one type. */
export type PacketOf<Type extends PacketType> = Extract<Packet, { cmd: Type }>

/** What a scripted client takes. */
export interface TestClientOptions {
  /** Default 5; `connect` sets it from its own options. */
  readonly protocolVersion?: ProtocolVersion
  /** Milliseconds of real time that one wait may take, whatever clock the broker has. Default 3,000. */
  readonly timeoutMs?: number
  /** Added to what a failed wait says. */
  readonly context?: () => string
}

/** What CONNECT says. */
export interface ConnectOptions {
  /** Default: empty, the broker makes one. */
  readonly clientId?: string
  /** Default 5. */
  readonly protocolVersion?: ProtocolVersion
  /** Clean Session in 3.1 and 3.1.1. Default true. */
  readonly cleanStart?: boolean
  /** Default 0: none. The client sends PINGREQ only where a test says so. */
  readonly keepAliveSeconds?: number
  readonly username?: string
  readonly password?: string | Uint8Array
  readonly will?: MessageInput & { readonly delaySeconds?: number }
  /** Properties of MQTT 5, by the names that mqtt-packet gives them: `sessionExpiryInterval`, `receiveMaximum`, … */
  readonly properties?: NonNullable<PacketOf<'connect'>['properties']>
}

/** The broker's answer to CONNECT: `reasonCode` holds the return code of MQTT 3 too. */
export interface ConnectAnswer {
  readonly reasonCode: number
  readonly sessionPresent: boolean
  readonly properties: NonNullable<PacketOf<'connack'>['properties']>
}

/** What a scripted client asks of one subscription. */
export interface SubscribeOptions {
  /** Default 0. */
  readonly qos?: QoS
  /** MQTT 5. Default false. */
  readonly noLocal?: boolean
  /** MQTT 5. Default false. */
  readonly retainAsPublished?: boolean
  /** MQTT 5. Default 0. */
  readonly retainHandling?: 0 | 1 | 2
}

/** A PUBLISH from the broker. */
export interface ReceivedMessage {
  readonly topic: string
  /** As UTF-8. */
  readonly payload: string
  readonly bytes: Buffer
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  /** Undefined at QoS 0. */
  readonly packetId: number | undefined
  readonly properties: Readonly<MessageProperties>
}

/** What is compared of a message: what is given, and nothing else. */
export type ExpectedMessage = Partial<Omit<ReceivedMessage, 'bytes'>> & { readonly topic: string }

/**
 * An MQTT client for tests: it says what the test tells it to, and takes what comes in the order in
 * which it comes. Every wait fails with what it waited for and what was received instead. It sends
 * nothing by itself, but for the acknowledgements of messages that `expectMessage` takes.
 */
export class TestClient {
  readonly stream: Duplex
  readonly #queue: PacketQueue
  #version: ProtocolVersion
  #lastPacketId = 0

  /** On any stream; see `testBroker` for one that has a broker on its other end. */
  constructor(stream: Duplex, options: TestClientOptions = {}) {
    this.stream = stream
    this.#version = options.protocolVersion ?? 5
    this.#queue = new PacketQueue(stream, options.timeoutMs ?? 3_000, options.context ?? (() => ''))
    this.#queue.setVersion(this.#version)
  }

  get isClosed(): boolean {
    return this.#queue.isClosed
  }

  /** Sends a packet as it is given, right or wrong. */
  send(packet: AnyPacket): void {
    if (this.stream.destroyed || this.stream.writableEnded) return
    this.stream.write(generate(packet, { protocolVersion: this.#version }))
  }

  /** Sends CONNECT; fails where the answer is not a CONNACK that accepts. */
  async connect(options: ConnectOptions = {}): Promise<ConnectAnswer> {
    this.sendConnect(options)
    const packet = await this.#take('connack', 'CONNACK')
    const answer = answerOf(packet)
    if (answer.reasonCode !== 0) throw this.#queue.mismatch('CONNACK that accepts', packet)
    return answer
  }

  /** Sends CONNECT and waits for nothing: for brokers that ask back, or refuse. */
  sendConnect(options: ConnectOptions = {}): void {
    this.#version = options.protocolVersion ?? 5
    this.#queue.setVersion(this.#version)
    this.send(connectPacketOf(options, this.#version))
  }

  /** Sends SUBSCRIBE for one filter; gives the QoS that was granted, or the code of the refusal. */
  async subscribe(filter: string, options: SubscribeOptions = {}): Promise<number> {
    const { qos = 0, noLocal = false, retainAsPublished = false, retainHandling = 0 } = options
    const messageId = this.#nextPacketId()
    const of5 = this.#version === 5 ? { nl: noLocal, rap: retainAsPublished, rh: retainHandling } : {}
    this.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: filter, qos, ...of5 }] })
    const { granted } = await this.#answer('suback', messageId, `SUBACK for ${filter}`)
    return Number(granted[0])
  }

  /** Sends UNSUBSCRIBE for one filter; gives the code of the answer, 0 with MQTT 3. */
  async unsubscribe(filter: string): Promise<number> {
    const messageId = this.#nextPacketId()
    this.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [filter] })
    // MQTT 3 has no codes in it, whatever the library's types say.
    const { granted }: { granted?: readonly number[] } = await this.#answer(
      'unsuback',
      messageId,
      `UNSUBACK for ${filter}`,
    )
    return granted?.[0] ?? 0
  }

  /**
   * Sends PUBLISH and does what its QoS asks for; gives the reason code of PUBACK or PUBREC. Without QoS it is 0, and
   * a PINGREQ makes sure that the broker has read the message.
   */
  async publish(message: MessageInput): Promise<number> {
    const { topic, payload = '', qos = 0, retain = false } = message
    const messageId = qos === 0 ? undefined : this.#nextPacketId()
    const properties = this.#version === 5 ? packetProperties(message.properties) : undefined
    this.send({
      cmd: 'publish',
      topic,
      payload: Buffer.from(payload),
      qos,
      retain,
      dup: false,
      ...(messageId === undefined ? {} : { messageId }),
      ...(properties ? { properties } : {}),
    })
    if (messageId === undefined) {
      await this.ping()
      return 0
    }
    if (qos === 1) return (await this.#answer('puback', messageId, `PUBACK for ${topic}`)).reasonCode ?? 0
    const { reasonCode = 0 } = await this.#answer('pubrec', messageId, `PUBREC for ${topic}`)
    if (reasonCode >= 0x80) return reasonCode
    this.send({ cmd: 'pubrel', messageId })
    await this.#answer('pubcomp', messageId, `PUBCOMP for ${topic}`)
    return reasonCode
  }

  /** Sends PINGREQ and waits for its answer: the broker has read everything before it. */
  async ping(): Promise<void> {
    this.send({ cmd: 'pingreq' })
    await this.#queue.answer('PINGRESP', ({ cmd }) => cmd === 'pingresp')
  }

  /** The next packet is of this type and has these values. */
  async expect<Type extends PacketType>(type: Type, fields: Partial<PacketOf<Type>> = {}): Promise<PacketOf<Type>> {
    const packet = await this.#take(type, type.toUpperCase())
    this.#queue.compare(packet, fields, type.toUpperCase())
    return packet
  }

  /** The next packet is a PUBLISH with these values; it is acknowledged, unless `acknowledge` is false. */
  async expectMessage(expected: ExpectedMessage, options: { readonly acknowledge?: boolean } = {}) {
    const message = messageOf(await this.#take('publish', `a message of ${expected.topic}`))
    this.#queue.compare(message, expected, 'the message')
    if (options.acknowledge !== false) await this.acknowledge(message)
    return message
  }

  /** Acknowledges a message to the end of its QoS. */
  async acknowledge({ qos, packetId: messageId = 0, topic }: ReceivedMessage): Promise<void> {
    if (qos === 1) this.send({ cmd: 'puback', messageId })
    if (qos !== 2) return
    this.send({ cmd: 'pubrec', messageId })
    await this.#answer('pubrel', messageId, `PUBREL for ${topic}`)
    this.send({ cmd: 'pubcomp', messageId })
  }

  /** Nothing has come that was not taken, up to the answer to a PINGREQ. Let the broker settle first. */
  async expectNothing(): Promise<void> {
    this.#queue.assertEmpty()
    await this.ping()
    this.#queue.assertEmpty()
  }

  /** The next packet is the CONNACK that refuses, with this code, and then the connection ends. */
  async expectRefused(reasonCode: number): Promise<ConnectAnswer> {
    const answer = answerOf(await this.#take('connack', 'CONNACK'))
    this.#queue.compare(answer, { reasonCode }, 'CONNACK')
    await this.expectClosed()
    return answer
  }

  /** The connection ends; with a code, DISCONNECT with this one comes first (MQTT 5). No other packet does. */
  async expectClosed(reasonCode?: number): Promise<void> {
    if (reasonCode !== undefined) await this.expect('disconnect', { reasonCode })
    const packet = await this.#queue.next('the end of the connection')
    if (packet !== 'closed') throw this.#queue.mismatch('the end of the connection', packet)
  }

  /** Sends DISCONNECT and waits for the end of the connection. 0x04: the will is published (MQTT 5). */
  async disconnect(reasonCode = 0): Promise<void> {
    this.send({ cmd: 'disconnect', ...(this.#version === 5 ? { reasonCode } : {}) })
    await this.expectClosed()
  }

  /** The network is gone: the stream ends without a word. */
  drop(): void {
    this.stream.destroy()
  }

  async #take<Type extends PacketType>(type: Type, what: string): Promise<PacketOf<Type>> {
    const packet = await this.#queue.next(what)
    if (packet === 'closed' || packet.cmd !== type) throw this.#queue.mismatch(what, packet)
    return packet as PacketOf<Type>
  }

  async #answer<Type extends PacketType>(type: Type, messageId: number, what: string): Promise<PacketOf<Type>> {
    const packet = await this.#queue.answer(what, (one) => one.cmd === type && one.messageId === messageId)
    return packet as PacketOf<Type>
  }

  #nextPacketId(): number {
    this.#lastPacketId = (this.#lastPacketId % 65_535) + 1
    return this.#lastPacketId
  }
}

function connectPacketOf(options: ConnectOptions, protocolVersion: ProtocolVersion): PacketOf<'connect'> {
  const { clientId = '', cleanStart = true, keepAliveSeconds = 0, username, password, will, properties } = options
  return {
    cmd: 'connect',
    protocolId: protocolVersion === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion,
    clientId,
    clean: cleanStart,
    keepalive: keepAliveSeconds,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: Buffer.from(password) }),
    ...(will ? { will: willOf(will, protocolVersion) } : {}),
    ...(properties && protocolVersion === 5 ? { properties } : {}),
  }
}

function willOf(will: NonNullable<ConnectOptions['will']>, version: ProtocolVersion) {
  const { topic, payload = '', qos = 0, retain = false, delaySeconds = 0 } = will
  const properties = { ...packetProperties(will.properties), willDelayInterval: delaySeconds }
  return { topic, payload: Buffer.from(payload), qos, retain, ...(version === 5 ? { properties } : {}) }
}

function answerOf({ reasonCode, returnCode, sessionPresent, properties = {} }: PacketOf<'connack'>): ConnectAnswer {
  return { reasonCode: reasonCode ?? returnCode ?? 0, sessionPresent, properties }
}

function messageOf(packet: PacketOf<'publish'>): ReceivedMessage {
  const bytes = Buffer.from(packet.payload as Uint8Array)
  const { topic, qos, retain, dup, messageId } = packet
  const properties = messageProperties(packet.properties ?? {})
  return { topic, payload: bytes.toString(), bytes, qos, retain, dup, packetId: messageId, properties }
}

function packetProperties(properties: Readonly<MessageProperties> | undefined) {
  if (!properties) return undefined
  const { messageExpiryIntervalSeconds, userProperties, correlationData, ...same } = properties
  const users: Record<string, string[]> = {}
  for (const [name, value] of userProperties ?? []) (users[name] ??= []).push(value)
  return {
    ...same,
    ...(messageExpiryIntervalSeconds === undefined ? {} : { messageExpiryInterval: messageExpiryIntervalSeconds }),
    ...(correlationData ? { correlationData: Buffer.from(correlationData) } : {}),
    ...(userProperties ? { userProperties: users } : {}),
  }
}

/** By the names that statemq gives them. User properties of one name stand together: the library keeps no other order. */
function messageProperties(found: NonNullable<PacketOf<'publish'>['properties']>): MessageProperties {
  const { messageExpiryInterval, userProperties, payloadFormatIndicator, contentType, responseTopic } = found
  const users = Object.entries(userProperties ?? {}).flatMap(([name, values]) =>
    [values].flat().map((value): readonly [string, string] => [name, value]),
  )
  return {
    ...(payloadFormatIndicator === undefined ? {} : { payloadFormatIndicator }),
    ...(messageExpiryInterval === undefined ? {} : { messageExpiryIntervalSeconds: messageExpiryInterval }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(found.correlationData === undefined ? {} : { correlationData: found.correlationData }),
    ...(users.length > 0 ? { userProperties: users } : {}),
  }
}
