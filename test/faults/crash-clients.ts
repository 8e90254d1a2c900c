/**
 * Clients that outlive the broker: each has a session that is to be kept, remembers what it owes and is
 * owed as MQTT asks of it, and goes on with that when it is connected again.
 */
import { connect as connectSocket, type Socket } from 'node:net'

import { decode, splitFrame, type Publish, type ServerPacket } from '../support/wire-decode.ts'
import {
  connect,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  unsubscribe,
  type ConnectInput,
} from '../support/wire.ts'
import type { History } from './crash-history.ts'

const SESSION_SECONDS = 3_600

abstract class CrashClient {
  readonly name: string
  protected readonly history: History
  /** 4: MQTT 3.1.1. */
  readonly version: 4 | 5
  #socket: Socket | undefined
  #pending: Buffer = Buffer.alloc(0)
  /** A CONNACK said so: from now on every one must find the session. */
  #hasSession = false
  protected isOnline = false

  constructor(history: History, name: string, version: 4 | 5 = 5) {
    this.history = history
    this.name = name
    this.version = version
  }

  open(port: number): void {
    const socket = connectSocket({ port, host: '127.0.0.1', noDelay: true })
    this.#socket = socket
    this.#pending = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#socket === socket) this.isOnline = false
    })
    socket.on('data', (chunk: Buffer) => {
      if (this.#socket === socket) this.#read(socket, chunk)
    })
    const input = {
      version: this.version,
      clientId: this.name,
      cleanStart: false,
      ...(this.version === 5 ? { properties: { sessionExpiryInterval: SESSION_SECONDS } } : {}),
      ...this.connectInput(),
    } satisfies ConnectInput
    socket.write(connect(input))
  }

  /** The network is gone. */
  drop(): void {
    this.isOnline = false
    this.#socket?.destroy()
    this.#socket = undefined
  }

  protected connectInput(): ConnectInput {
    return {}
  }

  protected send(packet: Buffer): void {
    this.#socket?.write(packet)
  }

  #read(socket: Socket, chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk])
    for (let next = splitFrame(this.#pending); next !== undefined; next = splitFrame(this.#pending)) {
      this.#pending = next.rest
      this.#take(decode(next.frame, this.version))
      this.history.tick()
      // What came behind it is lost with the connection.
      if (this.#socket !== socket) return
    }
  }

  #take(packet: ServerPacket): void {
    if (packet.type === 'disconnect') {
      return this.history.violation(`${this.name} was disconnected: 0x${packet.reasonCode.toString(16)}`)
    }
    if (packet.type !== 'connack') return this.onPacket(packet)
    if (packet.reasonCode !== 0) return this.history.violation(`${this.name} was refused: ${packet.reasonCode}`)
    if (this.#hasSession && !packet.sessionPresent) this.history.violation(`the session of ${this.name} is lost`)
    this.#hasSession = true
    this.isOnline = true
    this.onConnected()
  }

  protected abstract onConnected(): void
  protected abstract onPacket(packet: ServerPacket): void
}

interface Outstanding {
  readonly payload: string
  readonly qos: 1 | 2
  isReleased: boolean
}

/** Publishes at QoS 1 and 2 in turn, so many at once, until it is told to finish. */
export class CrashPublisher extends CrashClient {
  readonly #window: number
  /** In the order of sending. */
  readonly #outstanding = new Map<number, Outstanding>()
  #number = 0
  #lastId = 0
  isFinishing = false

  constructor(history: History, name: string, window: number, version: 4 | 5 = 5) {
    super(history, name, version)
    this.#window = window
  }

  get isDone(): boolean {
    return this.isFinishing && this.#outstanding.size === 0
  }

  protected override onConnected(): void {
    // MQTT-4.4.0-1
    for (const [packetId, { payload, qos, isReleased }] of this.#outstanding) {
      this.send(isReleased ? pubrel(packetId) : this.#packet(packetId, payload, qos, true))
    }
    this.#fill()
  }

  #packet(packetId: number, payload: string, qos: 1 | 2, dup: boolean): Buffer {
    return publish({ version: this.version, topic: `p/${this.name}`, payload, qos, packetId, dup })
  }

  #fill(): void {
    while (!this.isFinishing && this.isOnline && this.#outstanding.size < this.#window) {
      do this.#lastId = (this.#lastId % 65_535) + 1
      while (this.#outstanding.has(this.#lastId))
      const number = this.#number++
      const payload = `${this.name}:${number}`
      const qos = number % 2 === 0 ? 1 : 2
      this.history.sent(payload, qos)
      this.#outstanding.set(this.#lastId, { payload, qos, isReleased: false })
      this.send(this.#packet(this.#lastId, payload, qos, false))
    }
  }

  protected override onPacket(packet: ServerPacket): void {
    if (packet.type !== 'puback' && packet.type !== 'pubrec' && packet.type !== 'pubcomp') return
    const { type, packetId, reasonCode } = packet
    const outstanding = this.#outstanding.get(packetId)
    if (outstanding === undefined) return
    if (reasonCode >= 0x80 && !(type === 'pubcomp' && reasonCode === 0x92)) {
      this.history.violation(`${outstanding.payload} was refused: 0x${reasonCode.toString(16)}`)
    }
    if (type !== 'pubcomp') this.history.accepted(outstanding.payload)
    if (type === 'pubrec') {
      outstanding.isReleased = true
      this.send(pubrel(packetId))
    } else {
      this.#outstanding.delete(packetId)
      this.#fill()
    }
  }
}

/** Gets everything; subscribes once. */
export class CrashSubscriber extends CrashClient {
  readonly #qos: 1 | 2
  /** Received at QoS 2 and not released, by packet identifier. */
  readonly #unreleased = new Map<number, string>()
  isSubscribed = false

  readonly #share: string | undefined

  /** `share`: a group that it is a member of; what any of them gets, the group has. */
  constructor(history: History, name: string, qos: 1 | 2, version: 4 | 5 = 5, share?: string) {
    super(history, name, version)
    this.#qos = qos
    this.#share = share
  }

  /** Under which name what it gets is counted. */
  get #account(): string {
    return this.#share ?? this.name
  }

  protected override onConnected(): void {
    if (this.isSubscribed) return
    const names = this.#share === undefined ? ['p/#', 'will/#'] : [`$share/${this.#share}/p/#`]
    const filters = names.map((name) => [name, { qos: this.#qos }] as const)
    this.send(subscribe({ version: this.version, packetId: 1, filters }))
  }

  protected override onPacket(packet: ServerPacket): void {
    switch (packet.type) {
      case 'suback':
        this.isSubscribed = true
        return this.history.subscribed(this.#account, this.#qos, this.#share === undefined ? [] : ['will'])
      case 'publish':
        return this.#onPublish(packet)
      case 'pubrel':
        this.#unreleased.delete(packet.packetId)
        return this.send(pubcomp(packet.packetId))
      default:
    }
  }

  #onPublish({ payload, qos, packetId }: Publish): void {
    if (qos < 2) {
      this.history.received(this.#account, payload)
      return this.send(puback(packetId))
    }
    const known = this.#unreleased.get(packetId)
    if (known === undefined) this.history.received(this.#account, payload)
    else if (known !== payload) this.history.violation(`${this.name} got ${payload} as ${packetId}, which is ${known}`)
    this.#unreleased.set(packetId, payload)
    this.send(pubrec(packetId))
  }
}

/** Leaves a will at QoS 2 with every connection, and never says goodbye. */
export class CrashWill extends CrashClient {
  readonly #delaySeconds: number
  #number = 0
  #armed: string | undefined

  /** With a delay it is to come online once: a connection that follows in time would call its will back. */
  constructor(history: History, name: string, delaySeconds = 0) {
    super(history, name)
    this.#delaySeconds = delaySeconds
  }

  protected override connectInput(): ConnectInput {
    const payload = `will:${this.name}:${this.#number++}`
    this.#armed = payload
    this.history.sent(payload, 2)
    const properties = this.#delaySeconds === 0 ? {} : { properties: { willDelayInterval: this.#delaySeconds } }
    return { will: { topic: 'will/x', payload, qos: 2, ...properties } }
  }

  protected override onConnected(): void {
    // It is to be published: nothing but the end of this connection can follow.
    this.history.accepted(this.#armed!)
  }

  protected override onPacket(): void {}
}

const CHURN_FILTERS = 4

/**
 * Subscribes and unsubscribes. After each restart it sends a message to each of its topics: those come
 * that it has, at the QoS that it was given, and no others.
 */
export class CrashChurn extends CrashClient {
  /** By filter: the QoS that was granted; undefined: none; 'asked' while no answer has come. */
  readonly #granted = new Map<number, 0 | 1 | 2 | undefined | 'asked'>()
  #isReady = false
  #packetId = 10
  #round = 0
  /** The QoS of each probe that came. */
  #probes = new Map<number, number>()
  #under: { readonly filter: number; readonly packetId: number } | undefined
  isFinishing = false
  /** Rounds whose probes were looked at. */
  checks = 0

  protected override onConnected(): void {
    this.#under = undefined
    if (!this.#isReady) return this.send(subscribe({ packetId: 1, filters: [['x/end', { qos: 1 }]] }))
    this.#probe()
  }

  #probe(): void {
    this.#round++
    this.#probes = new Map()
    const topics = [...Array.from({ length: CHURN_FILTERS }, (_, at) => `x/${at}`), 'x/end']
    for (const topic of topics) {
      this.send(publish({ topic, payload: `${this.#round}`, qos: 2, packetId: this.#nextId() }))
    }
  }

  #nextId(): number {
    this.#packetId = 10 + ((this.#packetId + 1) % 60_000)
    return this.#packetId
  }

  #change(): void {
    if (this.isFinishing) return
    const filter = this.#packetId % CHURN_FILTERS
    const packetId = this.#nextId()
    this.#under = { filter, packetId }
    const isThere = typeof this.#granted.get(filter) === 'number'
    this.#granted.set(filter, 'asked')
    const qos = (this.#packetId % 3) as 0 | 1 | 2
    if (isThere) this.send(unsubscribe({ packetId, filters: [`x/${filter}`] }))
    else this.send(subscribe({ packetId, filters: [[`x/${filter}`, { qos }]] }))
  }

  protected override onPacket(packet: ServerPacket): void {
    switch (packet.type) {
      case 'suback':
        if (!this.#isReady) {
          this.#isReady = true
          return this.#change()
        }
        return this.#answered(packet.packetId, packet.reasonCodes[0] as 0 | 1 | 2)
      case 'unsuback':
        return this.#answered(packet.packetId, undefined)
      case 'pubrec':
        return this.send(pubrel(packet.packetId))
      case 'pubrel':
        return this.send(pubcomp(packet.packetId))
      case 'publish':
        return this.#onPublish(packet)
      default:
    }
  }

  #answered(packetId: number, granted: 0 | 1 | 2 | undefined): void {
    if (this.#under?.packetId !== packetId) return
    this.#granted.set(this.#under.filter, granted)
    this.#change()
  }

  #onPublish({ topic, payload, qos, packetId }: Publish): void {
    if (qos === 1) this.send(puback(packetId))
    if (qos === 2) this.send(pubrec(packetId))
    // Those of earlier processes come late.
    if (payload !== `${this.#round}`) return
    if (topic !== 'x/end') return void this.#probes.set(Number(topic.slice(2)), qos)
    for (const [filter, granted] of this.#granted) {
      const got = this.#probes.get(filter)
      if (granted !== 'asked' && granted !== got) {
        this.history.violation(`${this.name} has x/${filter} at QoS ${granted} and got its message at ${got}`)
      }
    }
    this.checks++
    // What was asked for when the process ended may be or not.
    for (const [filter, granted] of this.#granted) {
      if (granted === 'asked') this.#granted.set(filter, this.#probes.get(filter) as 0 | 1 | 2 | undefined)
    }
    this.#change()
  }
}

/** Keeps one retained message after the other, each once the one before is acknowledged. */
export class CrashRetainer extends CrashClient {
  #number = 0
  #waiting: { readonly topic: string; readonly payload: string } | undefined
  isFinishing = false

  get isDone(): boolean {
    return this.isFinishing && this.#waiting === undefined
  }

  protected override onConnected(): void {
    this.#next()
  }

  #next(): void {
    if (this.#waiting === undefined) {
      if (this.isFinishing) return
      const payload = `${this.name}:${++this.#number}`
      this.#waiting = { topic: `r/${this.#number % 3}`, payload }
      this.history.retainedSent(this.#waiting.topic, payload)
    }
    this.send(publish({ ...this.#waiting, qos: 1, retain: true, packetId: 1 }))
  }

  protected override onPacket({ type }: ServerPacket): void {
    if (type !== 'puback' || this.#waiting === undefined) return
    this.history.retainedAccepted(this.#waiting.topic, this.#waiting.payload)
    this.#waiting = undefined
    this.#next()
  }
}
