import type { Publication } from '../publication.ts'
import { readBatch, readBatchHead, readSteps } from './batch-record.ts'
import { isUnsettled, lineOf, type Batch, type Line } from './line.ts'
import type { Tables } from './lmdb-environment.ts'
import { epochOf, numberKey, packetIdOf, sequenceKey, sequenceOf, sessionOf } from './lmdb-keys.ts'
import type { LmdbWriter } from './lmdb-writer.ts'
import { readMessage } from './message-record.ts'
import { StatemqError } from '../errors.ts'
import { RecordReader, unseal } from './record.ts'
import { SessionCursor, type Entry } from './session-cursor.ts'
import type { QoS } from '../messages.ts'
import type {
  QueuedMessage,
  SessionKey,
  StoredInflight,
  StoredSession,
  StoredSubscription,
  StoredWill,
} from '../stored.ts'

/** Entries that are read at once: batches are up to 256 KiB. */
const PAGE_ENTRIES = 128

export type OnDamage = (table: string, error: unknown) => void

/** Reads what {@link LmdbWriter} wrote. A record that is damaged is told of and passed over. */
export class LmdbReader {
  readonly #tables: Tables
  readonly #lines: Map<SessionKey, Line>
  readonly #writer: LmdbWriter
  readonly #onDamage: OnDamage
  readonly #turn = new Turn()
  /** The batch that was read last: pages are mostly parts of one. */
  #lastBatch: { readonly batch: Batch; readonly last: number; readonly messages: readonly QueuedMessage[] } | undefined

  constructor(tables: Tables, lines: Map<SessionKey, Line>, writer: LmdbWriter, onDamage: OnDamage) {
    this.#tables = tables
    this.#lines = lines
    this.#writer = writer
    this.#onDamage = onDamage
  }

  async *sessions(): AsyncIterable<readonly StoredSession[]> {
    let page: StoredSession[] = []
    const cursors = this.#cursors()
    for await (const entries of pages(this.#tables.sessions, this.#turn)) {
      for (const { key, value } of entries) {
        const session = await this.#session(sessionOf(key), value, cursors)
        if (session) page.push(session)
        if (!this.#turn.isOver) continue
        yield page
        page = []
        await this.#turn.next()
      }
    }
    if (page.length > 0) yield page
    this.#writer.references.complete()
  }

  async *wills(): AsyncIterable<readonly StoredWill[]> {
    for await (const page of pages(this.#tables.wills, this.#turn)) {
      yield page.flatMap(({ key, value }) => {
        const record = this.#content('wills', value)
        return record ? { session: sessionOf(key), epoch: epochOf(key), record: Buffer.from(record) } : []
      })
    }
  }

  async *retained(): AsyncIterable<readonly Publication[]> {
    for await (const page of pages(this.#tables.retained, this.#turn)) {
      yield page.flatMap(
        ({ value }) => this.#guard('retained', () => readMessage(new RecordReader(unseal(value)))) ?? [],
      )
    }
  }

  /** Gives the messages of a line from `from` on to `take`, until it answers false; then false. */
  queued(key: SessionKey, from: number, take: (message: QueuedMessage) => boolean): boolean {
    for (const batch of this.#lines.get(key)?.batchesFrom(from) ?? []) {
      for (const message of this.#batch(key, batch)) {
        if (message.sequence >= from && isUnsettled(batch, message.sequence) && !take(message)) return false
      }
    }
    return true
  }

  #cursors(): Cursors {
    const { subscriptions, received, inflight, batches, settled, lines } = this.#tables
    return {
      subscriptions: new SessionCursor(subscriptions),
      received: new SessionCursor(received),
      inflight: new SessionCursor(inflight),
      batches: new SessionCursor(batches),
      settled: new SessionCursor(settled),
      lines: new SessionCursor(lines),
    }
  }

  async #session(key: SessionKey, value: Buffer, cursors: Cursors): Promise<StoredSession | undefined> {
    const own = this.#guard('sessions', () => {
      const record = new RecordReader(unseal(value))
      return { clientId: record.text(), record: Buffer.from(record.bytes()) }
    })
    if (own === undefined) return undefined
    const line = this.#lines.get(key) ?? (await this.#readLine(key, cursors))
    const inflight = this.#inflight(key, cursors)
    for (const { sequence } of inflight) line.nextSequence = Math.max(line.nextSequence, sequence + 1)
    return {
      key,
      ...own,
      subscriptions: this.#subscriptions(key, cursors),
      received: [...cursors.received.of(key)].map((entry) => this.#packetId('received', key, entry)),
      // One whose message never came to the store is under way no more: nothing can be sent again.
      inflight: inflight.filter(({ released, sequence }) => released || line.has(sequence)),
      queued: { messages: line.messages, bytes: line.bytes },
      nextSequence: line.nextSequence,
    }
  }

  #packetId(table: 'received' | 'inflight', key: SessionKey, entry: Entry): number {
    const packetId = packetIdOf(entry.key)
    this.#writer.packetIds[table].add(key, packetId)
    return packetId
  }

  async #readLine(key: SessionKey, cursors: Cursors): Promise<Line> {
    const line = lineOf(this.#lines, key)
    const settled = this.#settled(key, cursors)
    for (const { key: entryKey, value } of cursors.batches.of(key)) {
      const first = sequenceOf(entryKey)
      this.#guard('batches', () => {
        this.#writer.know(key, readBatchHead(new RecordReader(unseal(value)), first), settled.get(first))
      })
      // A batch that can't be read still had its place.
      if (line.nextSequence <= first) line.nextSequence = first + 1
      if (this.#turn.isOver) await this.#turn.next()
    }
    for (const { value } of cursors.lines.of(key)) {
      const next = this.#guard('lines', () => new RecordReader(unseal(value)).varint())
      line.nextSequence = Math.max(line.nextSequence, next ?? 1)
    }
    return line
  }

  /** What is settled, by the first sequence of its batch. */
  #settled(key: SessionKey, cursors: Cursors): Map<number, readonly number[]> {
    const settled = new Map<number, readonly number[]>()
    for (const { key: entryKey, value } of cursors.settled.of(key)) {
      const first = sequenceOf(entryKey)
      const sequences = this.#guard('settled', () => readSteps(new RecordReader(unseal(value)), first))
      if (sequences) settled.set(first, sequences)
    }
    return settled
  }

  #subscriptions(key: SessionKey, cursors: Cursors): StoredSubscription[] {
    return [...cursors.subscriptions.of(key)].flatMap(({ value }) => {
      return (
        this.#guard('subscriptions', () => {
          const record = new RecordReader(unseal(value))
          return { filter: record.text(), record: Buffer.from(record.bytes()) }
        }) ?? []
      )
    })
  }

  #inflight(key: SessionKey, cursors: Cursors): StoredInflight[] {
    const entries = [...cursors.inflight.of(key)].flatMap((entry) => {
      const packetId = this.#packetId('inflight', key, entry)
      return (
        this.#guard('inflight', () => {
          const record = new RecordReader(unseal(entry.value))
          const sequence = record.varint()
          return { packetId, sequence, qos: record.uint8() as QoS, released: record.uint8() === 1 }
        }) ?? []
      )
    })
    return entries.sort((a, b) => a.sequence - b.sequence)
  }

  /** A batch may have grown since it was read; what it grows by is not its own before that commit is over. */
  #batch(key: SessionKey, batch: Batch): readonly QueuedMessage[] {
    if (this.#lastBatch?.batch === batch && this.#lastBatch.last === batch.last) return this.#lastBatch.messages
    const { first, last } = batch
    const value = this.#tables.batches.getBinary(sequenceKey(key, first))
    const messages = value === undefined ? [] : (this.#guard('batches', () => this.#decode(value, first)) ?? [])
    this.#lastBatch = { batch, last, messages }
    return messages
  }

  #decode(value: Buffer, first: number): QueuedMessage[] {
    const record = new RecordReader(unseal(value))
    const messages: QueuedMessage[] = []
    for (const entry of readBatch(record, readBatchHead(record, first))) {
      const { sequence, qos, retain, subscriptionIdentifiers, shared } = entry
      const publication = entry.publication ?? this.#message(entry.reference!)
      if (publication) messages.push({ sequence, publication, qos, retain, subscriptionIdentifiers, shared })
    }
    return messages
  }

  #message(number: number): Publication | undefined {
    const value = this.#tables.messages.getBinary(numberKey(number))
    return this.#guard('messages', () => {
      if (value === undefined) throw new StatemqError('SMQ_STORE_DAMAGED', `message ${number} is missing`)
      return readMessage(new RecordReader(unseal(value)))
    })
  }

  #content(table: string, value: Buffer): Buffer | undefined {
    return this.#guard(table, () => unseal(value))
  }

  #guard<T>(table: string, read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      this.#onDamage(table, error)
      return undefined
    }
  }
}

/** One for each table that has what belongs to a session. */
type Cursors = Readonly<
  Record<'subscriptions' | 'received' | 'inflight' | 'batches' | 'settled' | 'lines', SessionCursor>
>

/**
 * All entries of a table, some at a time: others go on in between, and no read transaction stays open.
 * Rejects with SMQ_STORE_DAMAGED where LMDB can't go on.
 */
async function* pages(table: Tables[keyof Tables], turn: Turn): AsyncGenerator<readonly Entry[], void> {
  for (let start: Buffer | undefined; ;) {
    const page: Entry[] = []
    try {
      for (const entry of table.getRange({ limit: PAGE_ENTRIES, ...(start && { start }) })) page.push(entry)
    } catch (error) {
      throw new StatemqError('SMQ_STORE_DAMAGED', String(error), { cause: error })
    }
    if (page.length > 0) yield page
    if (page.length < PAGE_ENTRIES) return
    // The next key in order: this one with a byte behind it.
    start = Buffer.concat([page.at(-1)!.key, Buffer.alloc(1)])
    if (turn.isOver) await turn.next()
  }
}

/** The time that reading takes at once, so that the loop goes round meanwhile. */
const TURN_MS = 5

class Turn {
  #endsAtMs = 0

  get isOver(): boolean {
    return performance.now() > this.#endsAtMs
  }

  async next(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve))
    this.#endsAtMs = performance.now() + TURN_MS
  }
}
