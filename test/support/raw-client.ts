/**
 * An MQTT client that is nothing but bytes: it sends what the test gives it and reads frames with
 * its own decoder (`wire-decode.ts`). It never acknowledges, pings or answers by itself.
 *
 * ```ts
 * const client = new RawClient(duplex)               // or testBroker.attach() / .connect(), see test-broker.ts
 * client.send(connect({ clientId: 'a' }), '82 09 …') // Buffers and hex, several at once
 * await client.expectPacket('connack', { reasonCode: 0, sessionPresent: false })
 * await client.expectBytes('20 03 00 00 00')         // the next packet, byte for byte
 * await client.expectPublish({ topic: 't', payload: 'x', qos: 1 }) // whole value; what is left out has its default
 * await client.expectDisconnect(0x82)                // DISCONNECT with this code, then the end of the stream
 * await client.expectRefused(0x87)                   // CONNACK with this code, then the end of the stream
 * await client.expectClosed()                        // the end of the stream, and no packet before it
 * await client.expectNothing()                       // PINGREQ barrier: PINGRESP is the next packet
 * await client.subscribe(['a/#', ['b', { qos: 2 }]]) // SUBSCRIBE and its SUBACK, refusals fail
 * await client.publish({ topic: 't', qos: 2 })       // PUBLISH and the whole handshake; gives the first answer
 * client.drop()                                      // the network is gone: no DISCONNECT
 * ```
 *
 * Every wait has a time limit (`timeoutMs`, default 3 s of real time, whatever clock the broker
 * runs on) that fails with everything that was received. The limit is a guard, not a wait.
 */
import { connect as connectSocket } from 'node:net'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'

import {
  decode,
  splitFrame,
  type Acknowledgement,
  type Connack,
  type PacketOf,
  type Publish,
  type ServerPacket,
  type ServerPacketType,
  type Suback,
} from './wire-decode.ts'
import {
  connect,
  hex,
  pingreq,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  type ConnectInput,
  type FilterInput,
  type PropertyInput,
  type PublishInput,
  type Version,
} from './wire.ts'

export interface RawClientOptions {
  /** As which version to decode. Default 5; `connect()` sets it from its own input. */
  readonly version?: Version
  /** Real milliseconds that one expectation may take. Default 3000. */
  readonly timeoutMs?: number
}

/** What is compared of a PUBLISH; the rest is compared with its default. `packetId` is compared when it is given. */
export interface ExpectedPublish {
  readonly topic: string
  /** Default: empty. */
  readonly payload?: string
  /** Default 0. */
  readonly qos?: number
  /** Default false. */
  readonly retain?: boolean
  /** Default false. */
  readonly dup?: boolean
  readonly packetId?: number
  /** Default: none. */
  readonly properties?: Publish['properties']
}

export class RawClient {
  readonly stream: Duplex
  version: Version
  /** The bytes of the packet that was taken last. */
  lastFrame: Buffer = Buffer.alloc(0)
  /** The CONNACK that `connect()` got. */
  connack: Connack | undefined
  readonly #timeoutMs: number
  readonly #frames: Buffer[] = []
  /** The last packets, for messages; undefined stands for the end. */
  readonly #log: (Buffer | undefined)[] = []
  #pending: Buffer = Buffer.alloc(0)
  #closed = false
  /** Above what tests choose by hand. */
  #packetId = 1000
  #wake: () => void = () => {}

  constructor(stream: Duplex, options: RawClientOptions = {}) {
    this.stream = stream
    this.version = options.version ?? 5
    this.#timeoutMs = options.timeoutMs ?? 3000
    stream.on('data', (chunk: Buffer) => this.#receive(chunk))
    // A server that destroys the connection resets it; for the tests that is a close like any other.
    stream.on('error', () => this.#end())
    stream.on('end', () => this.#end())
    stream.on('close', () => this.#end())
  }

  /** A client on a TCP port, for tests of listeners. */
  static async tcp(port: number, options: RawClientOptions = {}): Promise<RawClient> {
    const socket = connectSocket({ port, host: '127.0.0.1' })
    await once(socket, 'connect')
    return new RawClient(socket, options)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Whole packets that were received and not yet taken. */
  get waitingPackets(): number {
    return this.#frames.length
  }

  /** Sends all parts as one chunk; a string is hex. */
  send(...parts: ReadonlyArray<Buffer | string>): this {
    if (!this.stream.destroyed && !this.stream.writableEnded) {
      this.stream.write(Buffer.concat(parts.map((part) => (typeof part === 'string' ? hex(part) : part))))
    }
    return this
  }

  /** Sends CONNECT, decodes as its version from now on, and expects a CONNACK that accepts. */
  async connect(input: ConnectInput = {}): Promise<Connack> {
    this.version = input.version ?? 5
    this.send(connect(input))
    this.connack = await this.expectPacket('connack', { reasonCode: 0 })
    return this.connack
  }

  /** Sends SUBSCRIBE and expects a SUBACK that refuses nothing; retained messages come after it. */
  async subscribe(filters: readonly FilterInput[], properties: PropertyInput = {}): Promise<Suback> {
    const packetId = this.#takePacketId()
    this.send(subscribe({ version: this.version, packetId, filters, properties }))
    const suback = await this.expectPacket('suback', { packetId })
    expect(suback.reasonCodes.map((code) => code < 0x80)).toEqual(filters.map(() => true))
    return suback
  }

  /**
   * Sends PUBLISH and goes through the handshake of its QoS. Gives PUBACK or PUBREC whatever code it
   * has, undefined for QoS 0, where a PINGREQ makes sure that the broker has taken the packet.
   */
  async publish(input: PublishInput): Promise<Acknowledgement | undefined> {
    const { qos = 0, packetId = this.#takePacketId() } = input
    this.send(publish({ version: this.version, ...input, ...(qos > 0 ? { packetId } : {}) }))
    if (qos === 0) {
      await this.expectNothing()
      return undefined
    }
    if (qos === 1) return this.expectPacket('puback', { packetId })
    const answer = await this.expectPacket('pubrec', { packetId })
    if (answer.reasonCode < 0x80) {
      this.send(pubrel(packetId))
      await this.expectPacket('pubcomp', { packetId, reasonCode: 0 })
    }
    return answer
  }

  /** The next packet, or `closed`. Fails when neither comes in time, or when the bytes are not MQTT. */
  async next(): Promise<ServerPacket | 'closed'> {
    await this.#until(() => this.#frames.length > 0 || this.#closed, 'a packet or the end')
    const frame = this.#frames.shift()
    if (frame) {
      this.lastFrame = frame
      return decode(frame, this.version)
    }
    if (this.#pending.length > 0)
      throw new Error(`closed in the middle of a packet: ${this.#pending.toString('hex')}${this.#history()}`)
    return 'closed'
  }

  /** The next packet has this type and, field by field, exactly these values. */
  async expectPacket<Type extends ServerPacketType>(
    type: Type,
    fields: Partial<PacketOf<Type>> = {},
  ): Promise<PacketOf<Type>> {
    const packet = await this.next()
    if (packet === 'closed' || packet.type !== type) {
      throw new Error(`expected ${type} ${show(fields)}, got ${show(packet)}${this.#history()}`)
    }
    const found = packet as PacketOf<Type>
    const compared = Object.fromEntries(Object.keys(fields).map((key) => [key, found[key as keyof PacketOf<Type>]]))
    if (!isDeepStrictEqual(compared, fields)) expect(compared, `${type}${this.#history()}`).toEqual(fields)
    return found
  }

  /** The next packet is a PUBLISH with exactly these values. */
  async expectPublish(expected: ExpectedPublish): Promise<Publish> {
    return this.expectPacket('publish', {
      payload: '',
      qos: 0,
      retain: false,
      dup: false,
      properties: {},
      ...expected,
    })
  }

  /** The next packet is these bytes. */
  async expectBytes(expected: Buffer | string): Promise<void> {
    const packet = await this.next()
    const bytes = typeof expected === 'string' ? hex(expected) : expected
    const found = packet === 'closed' ? 'closed' : this.lastFrame.toString('hex')
    if (found !== bytes.toString('hex'))
      throw new Error(`expected ${bytes.toString('hex')}, got ${found}${this.#history()}`)
  }

  /** The stream ends, and no packet comes before. */
  async expectClosed(): Promise<void> {
    const packet = await this.next()
    if (packet !== 'closed') throw new Error(`expected the end, got ${show(packet)}${this.#history()}`)
  }

  /** DISCONNECT with this reason code, then the end of the stream (MQTT-4.13.2-1). */
  async expectDisconnect(reasonCode: number): Promise<PacketOf<'disconnect'>> {
    const packet = await this.expectPacket('disconnect', { reasonCode })
    await this.expectClosed()
    return packet
  }

  /** CONNACK with this code and no session, then the end of the stream (MQTT-3.2.2-7). */
  async expectRefused(reasonCode: number): Promise<Connack> {
    const packet = await this.expectPacket('connack', { reasonCode, sessionPresent: false })
    await this.expectClosed()
    return packet
  }

  /**
   * Nothing was sent to this client: the answer to a PINGREQ is the next packet. It shows what the
   * broker had decided to send by now; where the cause lies with another client, let the broker
   * settle first (`TestBroker.settle`).
   */
  async expectNothing(): Promise<void> {
    this.send(pingreq())
    await this.expectPacket('pingresp')
  }

  /** Takes packets up to the answer of a PINGREQ: everything that was under way. */
  async drain(): Promise<ServerPacket[]> {
    this.send(pingreq())
    const packets: ServerPacket[] = []
    for (;;) {
      const packet = await this.next()
      if (packet === 'closed') throw new Error(`closed while draining${this.#history()}`)
      if (packet.type === 'pingresp') return packets
      packets.push(packet)
    }
  }

  /** The same as bytes, for what counts is their size. */
  async drainFrames(): Promise<Buffer[]> {
    this.send(pingreq())
    const frames: Buffer[] = []
    for (;;) {
      const packet = await this.next()
      if (packet === 'closed') throw new Error(`closed while draining${this.#history()}`)
      if (packet.type === 'pingresp') return frames
      frames.push(this.lastFrame)
    }
  }

  /** Takes the next PUBLISH and acknowledges it to the end of its QoS. */
  async takePublish(): Promise<Publish> {
    const packet = await this.expectPacket('publish')
    await this.acknowledge(packet)
    return packet
  }

  /** Acknowledges a delivery to the end of its QoS. */
  async acknowledge(packet: Publish): Promise<void> {
    if (packet.qos === 1) this.send(puback(packet.packetId))
    if (packet.qos === 2) {
      this.send(pubrec(packet.packetId))
      await this.expectPacket('pubrel', { packetId: packet.packetId })
      this.send(pubcomp(packet.packetId))
    }
  }

  /** The network is gone: closes the stream without a DISCONNECT. */
  drop(): void {
    this.stream.destroy()
  }

  #takePacketId(): number {
    this.#packetId += 1
    return this.#packetId
  }

  #receive(chunk: Buffer): void {
    let bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk
    for (let cut = splitFrame(bytes); cut; cut = splitFrame(bytes)) {
      bytes = cut.rest
      this.#frames.push(Buffer.from(cut.frame))
      this.#log.push(cut.frame)
      if (this.#log.length > 40) this.#log.splice(0, 20)
    }
    this.#pending = Buffer.from(bytes)
    this.#wake()
  }

  #end(): void {
    if (!this.#closed) this.#log.push(undefined)
    this.#closed = true
    this.#wake()
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return
    const reached = await new Promise<boolean>((resolve) => {
      const guard = setTimeout(() => resolve(false), this.#timeoutMs)
      this.#wake = () => {
        if (!condition()) return
        clearTimeout(guard)
        resolve(true)
      }
    })
    this.#wake = () => {}
    if (!reached) throw new Error(`waited ${this.#timeoutMs} ms for ${what}${this.#history()}`)
  }

  #history(): string {
    const lines = this.#log.slice(-20).map((frame) => (frame ? excerpt(frame) : 'closed'))
    if (this.#pending.length > 0) lines.push(`(incomplete) ${excerpt(this.#pending)}`)
    return `\nreceived so far:\n  ${lines.join('\n  ') || '(nothing)'}`
  }
}

function excerpt(bytes: Buffer): string {
  return bytes.length > 120 ? `${bytes.toString('hex', 0, 120)}… (${bytes.length} bytes)` : bytes.toString('hex')
}

function show(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    each instanceof Uint8Array ? Buffer.from(each).toString('hex') : each,
  )
}
