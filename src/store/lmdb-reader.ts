import type { Publication } from '../publication.ts'
import { readBatch, readBatchHead, readSteps } from './batch-record.ts'
import { isUnsettled, type Line } from './line.ts'
import type { Tables } from './lmdb-environment.ts'
import {
  behindSession,
  epochOf,
  numberKey,
  packetIdOf,
  sequenceKey,
  sequenceOf,
  sessionKey,
  sessionOf,
} from './lmdb-keys.ts'
import { lineOf, type LmdbWriter } from './lmdb-writer.ts'
import { readMessage } from './message-record.ts'
import { StatemqError } from '../errors.ts'
import { RecordReader, unseal } from './record.ts'
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
  #lastBatch:
    | { readonly key: SessionKey; readonly first: number; readonly messages: readonly QueuedMessage[] }
    | undefined

  constructor(tables: Tables, lines: Map<SessionKey, Line>, writer: LmdbWriter, onDamage: OnDamage) {
    this.#tables = tables
    this.#lines = lines
    this.#writer = writer
    this.#onDamage = onDamage
  }

  async *sessions(): AsyncIterable<readonly StoredSession[]> {
    let page: StoredSession[] = []
    for await (const entries of pages(this.#tables.sessions, this.#turn)) {
      for (const { key, value } of entries) {
        const session = await this.#session(sessionOf(key), value)
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
      for (const message of this.#batch(key, batch.first)) {
        if (message.sequence >= from && isUnsettled(batch, message.sequence) && !take(message)) return false
      }
    }
    return true
  }

  async #session(key: SessionKey, value: Buffer): Promise<StoredSession | undefined> {
    const own = this.#guard('sessions', () => {
      const record = new RecordReader(unseal(value))
      return { clientId: record.text(), record: Buffer.from(record.bytes()) }
    })
    if (own === undefined) return undefined
    const line = await this.#readLine(key)
    const inflight = this.#inflight(key)
    for (const { sequence } of inflight) line.nextSequence = Math.max(line.nextSequence, sequence + 1)
    return {
      key,
      ...own,
      subscriptions: this.#subscriptions(key),
      received: this.#packetIds('received', key),
      // One whose message never came to the store is under way no more: nothing can be sent again.
      inflight: inflight.filter(({ released, sequence }) => released || line.has(sequence)),
      queued: { messages: line.messages, bytes: line.bytes },
      nextSequence: line.nextSequence,
    }
  }

  #packetIds(table: 'received' | 'inflight', key: SessionKey): number[] {
    const ids = [...this.#tables[table].getKeys(range(key))].map(packetIdOf)
    for (const id of ids) this.#writer.packetIds[table].add(key, id)
    return ids
  }

  async #readLine(key: SessionKey): Promise<Line> {
    const line = lineOf(this.#lines, key)
    const settled = this.#settled(key)
    for await (const page of pages(this.#tables.batches, this.#turn, key)) {
      for (const { key: entryKey, value } of page) {
        const first = sequenceOf(entryKey)
        this.#guard('batches', () => {
          this.#writer.know(key, readBatchHead(new RecordReader(unseal(value)), first), settled.get(first))
        })
        // A batch that can't be read still had its place.
        if (line.nextSequence <= first) line.nextSequence = first + 1
      }
    }
    const value = this.#tables.lines.getBinary(sessionKey(key))
    const next = value && this.#guard('lines', () => new RecordReader(unseal(value)).varint())
    line.nextSequence = Math.max(line.nextSequence, next ?? 1)
    return line
  }

  /** What is settled, by the first sequence of its batch. */
  #settled(key: SessionKey): Map<number, readonly number[]> {
    const settled = new Map<number, readonly number[]>()
    for (const { key: entryKey, value } of this.#tables.settled.getRange(range(key))) {
      const first = sequenceOf(entryKey)
      const sequences = this.#guard('settled', () => readSteps(new RecordReader(unseal(value)), first))
      if (sequences) settled.set(first, sequences)
    }
    return settled
  }

  #subscriptions(key: SessionKey): StoredSubscription[] {
    return [...this.#tables.subscriptions.getRange(range(key))].flatMap(({ value }) => {
      return (
        this.#guard('subscriptions', () => {
          const record = new RecordReader(unseal(value))
          return { filter: record.text(), record: Buffer.from(record.bytes()) }
        }) ?? []
      )
    })
  }

  #inflight(key: SessionKey): StoredInflight[] {
    this.#packetIds('inflight', key)
    const entries = [...this.#tables.inflight.getRange(range(key))].flatMap(({ key: entryKey, value }) => {
      return (
        this.#guard('inflight', () => {
          const record = new RecordReader(unseal(value))
          const sequence = record.varint()
          return {
            packetId: packetIdOf(entryKey),
            sequence,
            qos: record.uint8() as QoS,
            released: record.uint8() === 1,
          }
        }) ?? []
      )
    })
    return entries.sort((a, b) => a.sequence - b.sequence)
  }

  #batch(key: SessionKey, first: number): readonly QueuedMessage[] {
    if (this.#lastBatch?.key === key && this.#lastBatch.first === first) return this.#lastBatch.messages
    const value = this.#tables.batches.getBinary(sequenceKey(key, first))
    const messages = value === undefined ? [] : (this.#guard('batches', () => this.#decode(value, first)) ?? [])
    this.#lastBatch = { key, first, messages }
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

function range(key: SessionKey): { start: Buffer; end: Buffer } {
  return { start: sessionKey(key), end: behindSession(key) }
}

interface Entry {
  readonly key: Buffer
  readonly value: Buffer
}

/**
 * All entries of a table, or those of one session, some at a time: others go on in between, and no
 * read transaction stays open. Rejects with SMQ_STORE_DAMAGED where LMDB can't go on.
 */
async function* pages(
  table: Tables[keyof Tables],
  turn: Turn,
  session?: SessionKey,
): AsyncGenerator<readonly Entry[], void> {
  const { start: first, end } = session === undefined ? {} : range(session)
  for (let start = first; ;) {
    const page: Entry[] = []
    try {
      const options = { limit: PAGE_ENTRIES, ...(start && { start }), ...(end && { end }) }
      for (const entry of table.getRange(options)) page.push(entry)
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
const TURN_MS = 10

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
