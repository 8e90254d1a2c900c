import { AssertionError } from 'node:assert'
import type { Duplex } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'
import { parser, type Packet, type Parser } from 'mqtt-packet'

import type { ProtocolVersion } from '../messages.ts'

/** Packets that a failed wait tells of. */
const MAX_TOLD_PACKETS = 20
/** Text of a packet that a failed wait tells of. */
const MAX_TOLD_CHARACTERS = 300

interface Waiter {
  readonly isReady: () => boolean
  readonly wake: () => void
}

/** What came in and was not taken yet, and who waits for it. Every wait has an end that says what it was for. */
export class PacketQueue {
  readonly #timeoutMs: number
  readonly #context: () => string
  readonly #waiting: Packet[] = []
  /** The last packets, `undefined` for the end. */
  readonly #received: (Packet | undefined)[] = []
  #waiters: Waiter[] = []
  #parser: Parser
  #fault: Error | undefined = undefined
  #isClosed = false

  constructor(stream: Duplex, timeoutMs: number, context: () => string) {
    this.#timeoutMs = timeoutMs
    this.#context = context
    this.#parser = this.#makeParser(5)
    stream.on('data', (chunk: Buffer) => {
      try {
        this.#parser.parse(chunk)
      } catch (error) {
        this.#fail(error)
      }
    })
    // A broker that destroys the connection resets it, which is an end like any other.
    for (const event of ['error', 'end', 'close']) stream.on(event, () => this.#end())
  }

  /** Packets are read as this version's from now on. */
  setVersion(version: ProtocolVersion): void {
    this.#parser = this.#makeParser(version)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** The next packet, whatever it is, or `closed`. */
  async next(what: string): Promise<Packet | 'closed'> {
    await this.#until(() => this.#waiting.length > 0 || this.#isClosed, what)
    return this.#waiting.shift() ?? 'closed'
  }

  /** The first packet that is an answer, past others that wait. The end of the connection is none. */
  async answer(what: string, isAnswer: (packet: Packet) => boolean): Promise<Packet> {
    await this.#until(() => this.#waiting.some(isAnswer) || this.#isClosed, what)
    const at = this.#waiting.findIndex(isAnswer)
    if (at < 0) throw this.#error(`the connection ended while waiting for ${what}`)
    return this.#waiting.splice(at, 1)[0]!
  }

  /** Nothing waits to be taken. */
  assertEmpty(): void {
    const [first] = this.#waiting
    if (first) throw this.#error(`expected nothing, got ${tell(first)}`, first, undefined)
  }

  /** Fails unless every field given is the same in what was found. */
  compare(found: object, expected: object, what: string): void {
    const compared = Object.fromEntries(Object.keys(expected).map((key) => [key, (found as Fields)[key]]))
    if (isDeepStrictEqual(compared, { ...expected })) return
    throw this.#error(`expected ${what} ${show(expected)}, got ${show(compared)}`, compared, expected)
  }

  mismatch(what: string, found: Packet | 'closed'): Error {
    return this.#error(`expected ${what}, got ${found === 'closed' ? 'the end of the connection' : tell(found)}`)
  }

  async #until(isReady: () => boolean, what: string): Promise<void> {
    if (!this.#fault && !isReady()) {
      await new Promise<void>((resolve, reject) => {
        const guard = setTimeout(() => {
          this.#waiters = this.#waiters.filter((one) => one !== waiter)
          reject(this.#error(`waited ${this.#timeoutMs} ms for ${what}`))
        }, this.#timeoutMs)
        const wake = (): void => {
          clearTimeout(guard)
          resolve()
        }
        const waiter: Waiter = { isReady, wake }
        this.#waiters.push(waiter)
      })
    }
    if (this.#fault) throw this.#error(`what the broker sent is not MQTT: ${this.#fault.message}`)
  }

  #makeParser(protocolVersion: ProtocolVersion): Parser {
    const made = parser({ protocolVersion })
    made.on('packet', (packet) => this.#receive(plain(packet)))
    made.on('error', (error: unknown) => this.#fail(error))
    return made
  }

  #receive(packet: Packet): void {
    this.#waiting.push(packet)
    this.#remember(packet)
    this.#wake()
  }

  #end(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#remember(undefined)
    this.#wake()
  }

  #fail(error: unknown): void {
    this.#fault ??= error instanceof Error ? error : new Error(String(error))
    this.#wake()
  }

  #remember(packet: Packet | undefined): void {
    this.#received.push(packet)
    if (this.#received.length > MAX_TOLD_PACKETS) this.#received.shift()
  }

  #wake(): void {
    const ready = this.#waiters.filter(({ isReady }) => this.#fault !== undefined || isReady())
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter))
    for (const { wake } of ready) wake()
  }

  #error(text: string, actual?: unknown, expected?: unknown): Error {
    const lines = this.#received.map((packet) => (packet ? tell(packet) : 'the end of the connection'))
    const message = `${text}\nreceived so far:\n  ${lines.join('\n  ') || '(nothing)'}${this.#context()}`
    return new AssertionError({ message, actual, expected, operator: 'deepStrictEqual' })
  }
}

type Fields = Readonly<Record<string, unknown>>

/** The library gives every packet the fields of a PUBLISH, and objects of its own class; what is compared is the data. */
function plain(packet: Packet): Packet {
  const { cmd, length: _length, ...fields } = { ...packet }
  const shown = Object.entries(fields).filter(([name]) => cmd === 'publish' || !ofPublish.has(name))
  return { cmd, ...Object.fromEntries(shown) } as unknown as Packet
}
const ofPublish: ReadonlySet<string> = new Set(['retain', 'qos', 'dup', 'topic', 'payload'])

function tell({ cmd, ...fields }: Packet): string {
  const text = `${cmd.toUpperCase()} ${show(fields)}`
  return text.length > MAX_TOLD_CHARACTERS ? `${text.slice(0, MAX_TOLD_CHARACTERS)}…` : text
}

/** As JSON, bytes as the text that they mostly are. */
function show(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    isJsonOfBytes(each) ? Buffer.from(each.data).toString() : each,
  )
}

function isJsonOfBytes(value: unknown): value is { readonly data: readonly number[] } {
  return typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer' && 'data' in value
}
