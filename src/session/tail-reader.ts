import { StatemqError } from '../errors.ts'
import type { QueuedMessage } from '../stored.ts'
import type { InflightEntry } from './inflight.ts'
import type { Keeper } from './keeper.ts'
import type { OutboundHost } from './outbound-host.ts'
import type { StoredTail } from './stored-tail.ts'

/** A walk through a part of the line, some messages at a time. */
export interface Sweep {
  /** The place of the next message, and the place behind the last. */
  at: number
  readonly end: number
  /** It ends when the client is there again. */
  readonly whileAway: boolean
  readonly visit: (message: QueuedMessage) => void
  /** True: it came to its end. */
  readonly done?: (completed: boolean) => void
}

const SWEEP_MESSAGES = 128
const SWEEP_BYTES = 262_144

/**
 * Reads a session's line from the store, one page at a time and one page to a turn of the event loop,
 * so that a million messages hold up nobody. What an earlier process had sent comes first, then what
 * the outbox has room for, then what is to be walked through. A page that comes when nobody wants
 * it any more is let go: its messages are in the store still.
 */
export class TailReader {
  readonly #host: OutboundHost
  readonly #keeper: Keeper
  readonly #tail: StoredTail
  readonly #onLost: (entry: InflightEntry) => void
  #isReading = false
  #isFilling = false
  #hasEnded = false
  #sweeps: Sweep[] = []

  constructor(host: OutboundHost, keeper: Keeper, tail: StoredTail, onLost: (entry: InflightEntry) => void) {
    this.#host = host
    this.#keeper = keeper
    this.#tail = tail
    this.#onLost = onLost
  }

  /** A page for the outbox is under way: what comes now is behind it. */
  get isFilling(): boolean {
    return this.#isFilling
  }

  read(): void {
    if (this.#isReading) return
    const page = this.#next()
    if (page === undefined) return
    this.#isReading = true
    void page.catch((error: unknown) => this.#onFailed(error)).finally(() => setImmediate(() => this.#rested()))
  }

  #rested(): void {
    this.#isReading = false
    this.read()
  }

  sweep(sweep: Sweep): void {
    this.#sweeps.push(sweep)
    this.read()
  }

  /** Nothing is read but for this last walk. */
  end(sweep: Sweep): void {
    this.#hasEnded = true
    this.#sweeps = [sweep]
    this.read()
  }

  /** The message at this place is dropped: reads it first, for those who want to know. */
  tellDropped(place: number): void {
    const settle = (): void => this.#keeper.settle(place)
    this.#keeper
      .page(place, 1, 1)
      .then(([message]) => {
        if (message?.sequence === place) this.#host.dropped(message.publication, message.qos, 'queue-full')
      })
      .then(settle, settle)
  }

  #next(): Promise<void> | undefined {
    const { unread, wanted } = this.#tail
    if (!this.#hasEnded && this.#host.connection !== undefined) {
      if (unread.size > 0) return this.#readUnread()
      if (wanted !== undefined) return this.#fill(wanted)
    }
    const [sweep] = this.#sweeps
    return sweep && this.#walk(sweep)
  }

  async #readUnread(): Promise<void> {
    const { unread } = this.#tail
    const page = await this.#keeper.page(Math.min(...unread.keys()), SWEEP_MESSAGES, SWEEP_BYTES)
    if (this.#hasEnded) return
    const end = page.at(-1)?.sequence ?? Infinity
    for (const message of page) {
      const entry = unread.get(message.sequence)
      if (entry === undefined) continue
      const { publication, retain, subscriptionIdentifiers, group } = this.#tail.deliveryOf(message)
      Object.assign(entry, { publication, retain, subscriptionIdentifiers, group })
      this.#tail.forgetUnread(message.sequence)
    }
    // What could not be read is lost, and its packet identifier with it.
    for (const [place, entry] of unread) if (place <= end) this.#lose(place, entry)
    this.#host.pump()
  }

  #lose(place: number, entry: InflightEntry): void {
    this.#tail.forgetUnread(place)
    this.#onLost(entry)
  }

  async #fill({ messages, bytes }: { readonly messages: number; readonly bytes: number }): Promise<void> {
    const tail = this.#tail
    const { from } = tail
    const end = this.#keeper.nextSequence
    const counted = { messages: tail.messages, bytes: tail.bytes }
    this.#isFilling = true
    const page = await this.#keeper.page(from, messages, bytes).finally(() => {
      this.#isFilling = false
    })
    // The outbox was given up meanwhile, and the tail begins before this page.
    if (this.#hasEnded || !this.#host.isFlowing || tail.from < from) return
    for (const message of page) tail.take(message)
    if (page.length === 0 && tail.from === from) {
      // A damaged record was passed over: what came meanwhile is there all the same.
      tail.clear(end, Math.max(0, tail.messages - counted.messages), Math.max(0, tail.bytes - counted.bytes))
    }
    this.#host.pump()
  }

  async #walk(sweep: Sweep): Promise<void> {
    const { end, whileAway, visit } = sweep
    let page: readonly QueuedMessage[] = []
    if (!whileAway || this.#host.connection === undefined) {
      page = await this.#keeper.page(sweep.at, SWEEP_MESSAGES, SWEEP_BYTES)
    }
    // The line has ended meanwhile, and another walk is the last.
    if (this.#sweeps[0] !== sweep) return
    for (const message of page) if (message.sequence >= sweep.at && message.sequence < end) visit(message)
    const last = page.at(-1)?.sequence ?? Infinity
    sweep.at = last + 1
    if (sweep.at < end) return
    this.#sweeps.shift()
    sweep.done?.(true)
  }

  #onFailed(error: unknown): void {
    for (const sweep of this.#sweeps.splice(0)) sweep.done?.(false)
    // The broker is closing: the next process goes on.
    if (error instanceof StatemqError && error.code === 'SMQ_STORE_CLOSED') return
    this.#host.handlerFailed(error)
  }
}
