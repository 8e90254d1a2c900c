/**
 * An MQTT client with a session that keeps all the rules of QoS 1 and 2 (MQTT 5 section 4.3 and
 * 4.4), over a network that does not: tests cut its connection wherever they like. What comes in
 * waits until the test has it handled, one packet at a time, so that every interleaving can be
 * made. It complains (`violations`) about anything that a server may not send to such a client.
 */
import type { Duplex } from 'node:stream'

import { decode, splitFrame, type Acknowledgement, type Publish, type ServerPacket } from './wire-decode.ts'
import { connect, puback, pubcomp, publish, pubrec, pubrel, subscribe, type Version } from './wire.ts'

/** A message on its way to the server. */
interface Outgoing {
  readonly topic: string
  readonly payload: string
  readonly qos: 1 | 2
  packetId: number
  released: boolean
  transmissions: number
}

export interface CorrectClientOptions {
  readonly clientId: string
  readonly version: Version
  /** Receive Maximum that it asks for (MQTT 5). */
  readonly receiveMaximum: number
  /** Messages that it has under way towards a server that cannot say how many it takes (MQTT 3.1.1). */
  readonly maxUnderWay: number
  /** Opens a connection to the broker. */
  readonly open: () => Duplex
}

export class CorrectClient {
  readonly violations: string[] = []
  /** Payloads as the application got them, with the topic and DUP of their packet. */
  readonly delivered: { topic: string; payload: string; qos: number; dup: boolean }[] = []
  /** How often each payload was sent to the server. */
  readonly sent = new Map<string, Outgoing>()
  readonly #options: CorrectClientOptions
  #stream: Duplex | undefined
  #inbox: ServerPacket[] = []
  #pending: Buffer = Buffer.alloc(0)
  #isOnline = false
  #wasOnline = false
  #sendQuota = 0
  /** Messages of the application that wait for quota, and those under way in order of transmission. */
  readonly #waiting: Outgoing[] = []
  readonly #underWay: Outgoing[] = []
  #lastPacketId = 0
  /** QoS 2 messages that were received and not released (method A), and QoS>0 ones not acknowledged on this connection. */
  readonly #unreleased = new Map<number, string>()
  #unacknowledged = new Map<number, Publish>()

  constructor(options: CorrectClientOptions) {
    this.#options = options
  }

  get isIdle(): boolean {
    return this.#isOnline && this.#inbox.length === 0 && this.#waiting.length === 0 && this.#underWay.length === 0
  }

  get isConnected(): boolean {
    return this.#stream !== undefined
  }

  get isOnline(): boolean {
    return this.#isOnline
  }

  /** Opens a connection; one that is open still is given up without a word, for the server to find. */
  connect(): void {
    this.#forget()
    const stream = this.#options.open()
    this.#stream = stream
    stream.on('data', (chunk: Buffer) => this.#receive(stream, chunk))
    const end = (): void => {
      if (this.#stream === stream) this.#forget()
    }
    stream.on('error', end).on('end', end).on('close', end)
    const { clientId, version, receiveMaximum } = this.#options
    const properties = { sessionExpiryInterval: 0xffffffff, receiveMaximum }
    stream.write(connect({ version, clientId, cleanStart: false, properties }))
  }

  /** The network is gone. With `bytes`, that many of the next packet made it out before. */
  cut(bytes?: number): void {
    const stream = this.#stream
    if (!stream) return
    if (bytes !== undefined && this.#isOnline) {
      const half = publish({
        version: this.#options.version,
        topic: 'cut/off',
        payload: 'never whole',
        qos: 1,
        packetId: 65_535,
      })
      stream.write(half.subarray(0, Math.min(bytes, half.length - 1)))
    }
    this.#forget()
    stream.destroy()
  }

  pauseReading(): void {
    this.#stream?.pause()
  }

  resumeReading(): void {
    this.#stream?.resume()
  }

  publish(topic: string, payload: string, qos: 1 | 2): void {
    const message: Outgoing = { topic, payload, qos, packetId: 0, released: false, transmissions: 0 }
    this.sent.set(payload, message)
    this.#waiting.push(message)
    this.#pump()
  }

  subscribe(filter: string, qos: 0 | 1 | 2): void {
    this.#write(subscribe({ version: this.#options.version, packetId: 65_000, filters: [[filter, { qos }]] }))
  }

  /** Handles the next packet that came in; false: there is none. */
  handleNext(): boolean {
    const packet = this.#inbox.shift()
    if (!packet) return false
    this.#handle(packet)
    return true
  }

  #forget(): void {
    this.#stream = undefined
    this.#isOnline = false
    this.#inbox = []
    this.#pending = Buffer.alloc(0)
    this.#unacknowledged = new Map()
  }

  #receive(stream: Duplex, chunk: Buffer): void {
    if (this.#stream !== stream) return
    let bytes = Buffer.concat([this.#pending, chunk])
    for (let cut = splitFrame(bytes); cut; cut = splitFrame(bytes)) {
      bytes = Buffer.from(cut.rest)
      this.#inbox.push(decode(cut.frame, this.#options.version))
    }
    this.#pending = bytes
  }

  #write(bytes: Buffer): void {
    this.#stream?.write(bytes)
  }

  #handle(packet: ServerPacket): void {
    const { version, maxUnderWay } = this.#options
    switch (packet.type) {
      case 'connack':
        if (packet.reasonCode !== 0) this.#complain(`refused with ${packet.reasonCode}`)
        if (packet.sessionPresent !== this.#wasOnline) this.#complain(`session present: ${packet.sessionPresent}`)
        this.#isOnline = true
        this.#wasOnline = true
        this.#sendQuota = packet.properties.receiveMaximum ?? (version === 5 ? 65_535 : maxUnderWay)
        return this.#resume()
      case 'publish':
        return this.#onPublish(packet)
      case 'puback':
      case 'pubrec':
      case 'pubrel':
      case 'pubcomp':
        return this.#onAcknowledgement(packet)
      case 'suback':
        return
      case 'disconnect':
        // Taken over by itself: it will find the connection closed.
        if (packet.reasonCode !== 0x8e) this.#complain(`disconnected with 0x${packet.reasonCode.toString(16)}`)
        return
      default:
        this.#complain(`a ${packet.type} that nobody asked for`)
    }
  }

  #complain(text: string): void {
    this.violations.push(`${this.#options.clientId}: ${text}`)
  }

  // --- towards the server ---------------------------------------------------------------------

  /** MQTT-4.4.0-1: what is unacknowledged goes out again, in its order, under its identifier. */
  #resume(): void {
    for (const message of this.#underWay) {
      if (message.released) this.#write(pubrel(message.packetId))
      else this.#transmit(message)
      this.#sendQuota -= 1
    }
    this.#pump()
  }

  #pump(): void {
    while (this.#isOnline && this.#sendQuota > 0) {
      const message = this.#waiting.shift()
      if (!message) return
      message.packetId = this.#freePacketId()
      this.#underWay.push(message)
      this.#sendQuota -= 1
      this.#transmit(message)
    }
  }

  /** Few identifiers, so that they are used again soon. */
  #freePacketId(): number {
    do {
      this.#lastPacketId = (this.#lastPacketId % 40) + 1
    } while (this.#underWay.some((message) => message.packetId === this.#lastPacketId))
    return this.#lastPacketId
  }

  #transmit(message: Outgoing): void {
    const { topic, payload, qos, packetId } = message
    const dup = message.transmissions > 0
    message.transmissions += 1
    this.#write(publish({ version: this.#options.version, topic, payload, qos, packetId, dup }))
  }

  #onAcknowledgement({ type, packetId, reasonCode }: Acknowledgement): void {
    if (type === 'pubrel') return this.#onPubrel(packetId)
    const at = this.#underWay.findIndex((message) => message.packetId === packetId)
    const message = this.#underWay[at]
    const isDue =
      message !== undefined &&
      (message.qos === 1 ? type === 'puback' : type === (message.released ? 'pubcomp' : 'pubrec'))
    if (!isDue) return this.#complain(`a ${type} for ${packetId}, which waits for ${message ? 'another' : 'none'}`)
    if (type !== 'pubcomp' && reasonCode !== 0 && reasonCode !== 0x10) this.#complain(`${type} with ${reasonCode}`)
    if (type === 'pubrec') {
      message.released = true
      this.#write(pubrel(packetId))
      return
    }
    this.#underWay.splice(at, 1)
    this.#sendQuota += 1
    this.#pump()
  }

  // --- from the server ------------------------------------------------------------------------

  #onPublish(packet: Publish): void {
    const { packetId, qos, dup, topic } = packet
    const payload = packet.payload.toString()
    if (qos > 0) {
      if (this.#unacknowledged.has(packetId)) this.#complain(`identifier ${packetId} again on one connection`)
      this.#unacknowledged.set(packetId, packet)
      const maximum = this.#options.version === 5 ? this.#options.receiveMaximum : 65_535
      // What waits in the inbox counts for the server as well; this finds every excess sooner or later.
      if (this.#unacknowledged.size > maximum) this.#complain('more unacknowledged than the Receive Maximum')
    }
    if (qos === 2) {
      const known = this.#unreleased.get(packetId)
      if (known !== undefined) {
        if (known !== payload) this.#complain(`identifier ${packetId} is given to another message`)
        if (!dup) this.#complain(`a repeated message without DUP`)
      } else {
        this.#unreleased.set(packetId, payload)
        this.delivered.push({ topic, payload, qos, dup })
      }
      this.#write(pubrec(packetId))
      return
    }
    this.delivered.push({ topic, payload, qos, dup })
    if (qos === 1) {
      this.#unacknowledged.delete(packetId)
      this.#write(puback(packetId))
    }
  }

  #onPubrel(packetId: number): void {
    this.#unreleased.delete(packetId)
    this.#unacknowledged.delete(packetId)
    this.#write(pubcomp(packetId))
  }
}
