import type { Publication } from '../publication.ts'
import { readBatch, readBatchHead } from './batch-record.ts'
import type { Line } from './line.ts'
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

/** Entries that are read in one turn at the start. */
const PAGE_ENTRIES = 500

export type OnDamage = (table: string, error: unknown) => void

/** Reads what {@link LmdbWriter} wrote. A record that is damaged is told of and passed over. */
export class LmdbReader {
  readonly #tables: Tables
  readonly #lines: Map<SessionKey, Line>
  readonly #writer: LmdbWriter
  readonly #onDamage: OnDamage
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
    for await (const page of pages(this.#tables.sessions)) {
      yield page.flatMap(({ key, value }) => this.#session(sessionOf(key), value) ?? [])
    }
  }

  async *wills(): AsyncIterable<readonly StoredWill[]> {
    for await (const page of pages(this.#tables.wills)) {
      yield page.flatMap(({ key, value }) => {
        const record = this.#content('wills', value)
        return record ? { session: sessionOf(key), epoch: epochOf(key), record: Buffer.from(record) } : []
      })
    }
  }

  async *retained(): AsyncIterable<readonly Publication[]> {
    for await (const page of pages(this.#tables.retained)) {
      yield page.flatMap(
        ({ value }) => this.#guard('retained', () => readMessage(new RecordReader(unseal(value)))) ?? [],
      )
    }
  }

  /**
   * Gives the messages of a line from `from` on to `take`, until it answers false; then false.
   * `committing`: those of the commit under way, which can't be read from the tables yet.
   */
  queued(
    key: SessionKey,
    from: number,
    committing: ReadonlyMap<number, QueuedMessage> | undefined,
    take: (message: QueuedMessage) => boolean,
  ): boolean {
    for (const batch of this.#lines.get(key)?.batchesFrom(from) ?? []) {
      const messages = committing?.has(batch.first) ? committing.values() : this.#batch(key, batch.first)
      for (const message of messages) {
        if (message.sequence < from || message.sequence > batch.last || batch.settled.has(message.sequence)) continue
        if (message.sequence < batch.first) continue
        if (!take(message)) return false
      }
    }
    return true
  }

  #session(key: SessionKey, value: Buffer): StoredSession | undefined {
    return this.#guard('sessions', () => {
      const record = new RecordReader(unseal(value))
      const clientId = record.text()
      const own = Buffer.from(record.bytes())
      const line = this.#readLine(key)
      return {
        key,
        clientId,
        record: own,
        subscriptions: this.#subscriptions(key),
        received: this.#packetIds('received', key),
        inflight: this.#inflight(key),
        queued: { messages: line.messages, bytes: line.bytes },
        nextSequence: line.nextSequence,
      }
    })
  }

  #packetIds(table: 'received' | 'inflight', key: SessionKey): number[] {
    const ids = [...this.#tables[table].getKeys(range(key))].map(packetIdOf)
    for (const id of ids) this.#writer.packetIds[table].add(key, id)
    return ids
  }

  #readLine(key: SessionKey): Line {
    const line = lineOf(this.#lines, key)
    const settled = this.#settled(key)
    for (const entry of this.#tables.batches.getRange(range(key))) {
      const first = sequenceOf(entry.key)
      this.#guard('batches', () => {
        const record = new RecordReader(unseal(entry.value))
        const { count, bytes } = readBatchHead(record)
        const entries = [...readBatch(record, first, count)]
        const last = entries.at(-1)?.sequence ?? first
        line.add(
          first,
          last,
          count,
          bytes,
          entries.flatMap(({ sequence }) => (settled.has(sequence) ? sequence : [])),
        )
        const numbers = entries.flatMap(({ reference }) => reference ?? [])
        if (numbers.length > 0) this.#writer.references.refer(key, first, numbers)
      })
    }
    return line
  }

  #settled(key: SessionKey): Set<number> {
    const value = this.#tables.settled.getBinary(sessionKey(key))
    const settled = new Set<number>()
    if (value === undefined) return settled
    this.#guard('settled', () => {
      const record = new RecordReader(unseal(value))
      let sequence = 0
      for (let left = record.varint(); left > 0; left--) settled.add((sequence += record.varint()))
    })
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
    const { count } = readBatchHead(record)
    const messages: QueuedMessage[] = []
    for (const entry of readBatch(record, first, count)) {
      const publication = entry.publication ?? this.#message(entry.reference!)
      if (publication) messages.push({ ...entry, publication })
    }
    return messages
  }

  #message(number: number): Publication | undefined {
    const value = this.#tables.messages.getBinary(numberKey(number))
    return value && this.#guard('messages', () => readMessage(new RecordReader(unseal(value))))
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

/** All entries of a table, some a turn: others go on in between, and no read transaction stays open. */
async function* pages(table: Tables[keyof Tables]): AsyncGenerator<readonly Entry[], void> {
  let start: Buffer | undefined
  while (true) {
    const page: Entry[] = []
    for (const entry of table.getRange(start ? { start, limit: PAGE_ENTRIES } : { limit: PAGE_ENTRIES }))
      page.push(entry)
    if (page.length === 0) return
    yield page
    // The next key in order: this one with a byte behind it.
    start = Buffer.concat([page.at(-1)!.key, Buffer.alloc(1)])
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
}
