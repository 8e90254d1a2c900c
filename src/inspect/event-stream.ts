import type { ServerResponse } from 'node:http'

/** Proxies and browsers give up connections on which nothing comes. */
const HEARTBEAT_MS = 15_000

export interface EventStreamOptions {
  readonly maxWaitingBytes: number
  /** False: whoever reads has lost the right to. */
  readonly isAllowed: () => boolean
}

/**
 * Server-sent events to one reader. What the reader does not take is held up to a number of bytes; what
 * comes then is left out, and the first record that fits again is `lost`, with how many there were.
 */
export class EventStream {
  readonly #response: ServerResponse
  readonly #options: EventStreamOptions
  readonly #heartbeat: NodeJS.Timeout
  readonly #closers: (() => void)[] = []
  #lost = 0
  #isOpen = true

  constructor(response: ServerResponse, options: EventStreamOptions) {
    this.#response = response
    this.#options = options
    // A comment: it is nobody's event.
    this.#heartbeat = setInterval(() => this.#write(':\n\n'), HEARTBEAT_MS).unref()
    response.on('close', () => this.close())
    response.on('error', () => this.close())
    response.on('drain', () => this.#tellLost())
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** JSON has no line ends of its own, so that one line of data holds any record. */
  send(event: string, data: unknown): void {
    if (this.#isFull) this.#lost += 1
    else {
      this.#tellLost()
      this.#write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
    }
  }

  /** Records that were left out by whoever makes them. */
  lost(records: number): void {
    this.#lost += records
    this.#tellLost()
  }

  onClose(closer: () => void): void {
    if (this.#isOpen) this.#closers.push(closer)
    else closer()
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    clearInterval(this.#heartbeat)
    this.#response.end()
    for (const closer of this.#closers) closer()
  }

  get #isFull(): boolean {
    return this.#response.writableLength > this.#options.maxWaitingBytes
  }

  #tellLost(): void {
    if (this.#lost === 0 || this.#isFull) return
    const records = this.#lost
    this.#lost = 0
    this.#write(`event: lost\ndata: ${JSON.stringify({ records })}\n\n`)
  }

  #write(text: string): void {
    if (!this.#isOpen) return
    if (this.#options.isAllowed()) this.#response.write(text)
    else this.close()
  }
}
