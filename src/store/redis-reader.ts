import type { Redis } from 'ioredis'

import { StatemqError } from '../errors.ts'
import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import { readBatch, readBatchHead, readSteps } from './batch-record.ts'
import { readMessage } from './message-record.ts'
import { RecordReader, unseal } from './record.ts'
import { NO_LOCK } from './redis-commit.ts'
import { Field, jobOf, queueOf, type RedisKeys } from './redis-keys.ts'
import type { RedisLink } from './redis-link.ts'
import type { RedisWriter } from './redis-writer.ts'
import { lineOf, type Line } from './line.ts'
import type {
  QueuedMessage,
  SessionKey,
  StoredInflight,
  StoredSession,
  StoredSubscription,
  StoredWill,
} from '../stored.ts'

/** Entries of a hash that are asked for at once. */
const PAGE_ENTRIES = 200

export type OnDamage = (table: string, error: unknown) => void

type Fields = Record<string, Buffer>

/** Reads what the writer wrote. A record that is damaged is told of and passed over. */
export class RedisReader {
  readonly #link: () => Promise<RedisLink>
  readonly #keys: RedisKeys
  readonly #lines: Map<SessionKey, Line>
  readonly #writer: RedisWriter
  readonly #onDamage: OnDamage
  /** The batch that was read last: pages are mostly parts of one. */
  #lastBatch:
    | { readonly key: SessionKey; readonly first: number; readonly messages: readonly QueuedMessage[] }
    | undefined

  constructor(
    link: () => Promise<RedisLink>,
    keys: RedisKeys,
    lines: Map<SessionKey, Line>,
    writer: RedisWriter,
    onDamage: OnDamage,
  ) {
    this.#link = link
    this.#keys = keys
    this.#lines = lines
    this.#writer = writer
    this.#onDamage = onDamage
  }

  async *sessions(): AsyncIterable<readonly StoredSession[]> {
    const seen = new Set<SessionKey>()
    for await (const page of this.#scan(this.#keys.sessions)) {
      const keys = [...new Set(page.map(([field]) => Number(field)))].filter((key) => !seen.has(key))
      for (const key of keys) seen.add(key)
      if (keys.length > 0) yield await this.#sessions(keys)
    }
    this.#writer.references.complete()
  }

  async *wills(): AsyncIterable<readonly StoredWill[]> {
    const seen = new Set<string>()
    for await (const page of this.#scan(this.#keys.wills)) {
      yield page.flatMap(([field, value]) => {
        if (seen.has(field)) return []
        seen.add(field)
        const record = this.#guard('wills', () => Buffer.from(unseal(value)))
        const [session, epoch] = field.split('.').map(Number)
        return record ? { session: session!, epoch: epoch!, record } : []
      })
    }
  }

  async *retained(): AsyncIterable<readonly Publication[]> {
    const seen = new Set<string>()
    for await (const page of this.#scan(this.#keys.retained)) {
      yield page.flatMap(([field, value]) => {
        if (seen.has(field)) return []
        seen.add(field)
        return this.#guard('retained', () => readMessage(new RecordReader(unseal(value)))) ?? []
      })
    }
  }

  /**
   * The messages of a batch. Its job is taken out of the queue, and all those before it: nobody else
   * does, so that no lock is needed, and the order is the line's own.
   */
  async batch(link: RedisLink, key: SessionKey, first: number): Promise<readonly QueuedMessage[]> {
    if (this.#lastBatch?.key === key && this.#lastBatch.first === first) return this.#lastBatch.messages
    const data = (await this.#take(link, key, first)) ?? (await this.#dataOf(link, key, first))
    const messages = await this.#decode(link, data, first)
    this.#lastBatch = { key, first, messages }
    return messages
  }

  async #take(link: RedisLink, key: SessionKey, first: number): Promise<string | undefined> {
    const wanted = jobOf(first)
    while (!this.#writer.wasTaken(key, first)) {
      const moved = (await link.queue(queueOf(key)).moveToActive(NO_LOCK).catch(unlessFull)) as unknown[]
      const [job, id] = moved as [{ readonly data: string } | undefined, string | undefined]
      if (!job || !id) return undefined
      const taken = Number(id.slice(1))
      this.#writer.take(key, taken)
      if (id === wanted) return job.data
      // It was taken by a connection that broke before it could say so.
      if (taken > first) this.#writer.take(key, first)
    }
    return undefined
  }

  async #dataOf(link: RedisLink, key: SessionKey, first: number): Promise<string | null> {
    return link.reader.hget(link.queue(queueOf(key)).toKey(jobOf(first)), 'data')
  }

  async #decode(link: RedisLink, data: string | null, first: number): Promise<QueuedMessage[]> {
    const entries = this.#guard('batches', () => {
      if (data === null) throw new StatemqError('SMQ_STORE_DAMAGED', `a batch that begins with ${first} is missing`)
      const { batch } = JSON.parse(data) as { batch: string }
      const record = new RecordReader(unseal(Buffer.from(batch, 'base64')))
      return [...readBatch(record, readBatchHead(record, first))]
    })
    const numbers = new Set(entries?.flatMap(({ reference }) => reference ?? []))
    const shared = await this.#shared(link, [...numbers])
    const messages: QueuedMessage[] = []
    for (const { reference, publication, ...delivery } of entries ?? []) {
      const found = publication ?? shared.get(reference!)
      if (found) messages.push({ ...delivery, publication: found })
    }
    return messages
  }

  /** Messages that several sessions wait for. */
  async #shared(link: RedisLink, numbers: readonly number[]): Promise<Map<number, Publication>> {
    const found = new Map<number, Publication>()
    if (numbers.length === 0) return found
    const values = await link.reader.hmgetBuffer(this.#keys.messages, ...numbers.map(String))
    for (const [at, number] of numbers.entries()) {
      const value = values[at]
      const publication = this.#guard('messages', () => {
        if (!value) throw new StatemqError('SMQ_STORE_DAMAGED', `message ${number} is missing`)
        return readMessage(new RecordReader(unseal(value)))
      })
      if (publication) found.set(number, publication)
    }
    return found
  }

  async #sessions(keys: readonly SessionKey[]): Promise<StoredSession[]> {
    const link = await this.#link()
    const pipeline = link.reader.pipeline()
    for (const key of keys) {
      pipeline.hgetallBuffer(this.#keys.session(key))
      pipeline.lrange(link.queue(queueOf(key)).keys['active']!, 0, -1)
    }
    const results = (await pipeline.exec()) ?? []
    return keys.flatMap((key, at) => {
      const fields = valueOf<Fields>(results[at * 2])
      const active = valueOf<string[]>(results[at * 2 + 1])
      return this.#session(key, fields, new Set(active)) ?? []
    })
  }

  #session(key: SessionKey, fields: Fields, active: ReadonlySet<string>): StoredSession | undefined {
    const own = this.#guard('sessions', () => {
      const value = fields[Field.Session]
      if (!value) throw new StatemqError('SMQ_STORE_DAMAGED', `session ${key} is missing`)
      const record = new RecordReader(unseal(value))
      return { clientId: record.text(), record: Buffer.from(record.bytes()) }
    })
    if (own === undefined) return undefined
    const line = this.#readLine(key, fields, active)
    const inflight = this.#inflight(key, fields)
    for (const { sequence } of inflight) line.nextSequence = Math.max(line.nextSequence, sequence + 1)
    const received = [...entriesOf(fields, Field.Received)].map(([id]) => Number(id))
    for (const id of received) this.#writer.packetIds.received.add(key, id)
    return {
      key,
      ...own,
      subscriptions: this.#subscriptions(fields),
      received,
      // One whose message never came to the store is under way no more: nothing can be sent again.
      inflight: inflight.filter(({ released, sequence }) => released || line.has(sequence)),
      queued: { messages: line.messages, bytes: line.bytes },
      nextSequence: line.nextSequence,
    }
  }

  #readLine(key: SessionKey, fields: Fields, active: ReadonlySet<string>): Line {
    // Whoever reads it again finds what it found before.
    const known = this.#lines.get(key)
    if (known) return known
    const line = lineOf(this.#lines, key)
    const batches = [...entriesOf(fields, Field.Batch)].map(([first, value]) => ({ first: Number(first), value }))
    for (const { first, value } of batches.sort((a, b) => a.first - b.first)) {
      this.#guard('batches', () => {
        const head = readBatchHead(new RecordReader(unseal(value)), first)
        this.#writer.know(key, head, active.has(jobOf(first)), this.#settled(fields, first))
      })
      // A batch that can't be read still had its place.
      if (line.nextSequence <= first) line.nextSequence = first + 1
    }
    const value = fields[Field.NextSequence]
    const next = value && this.#guard('lines', () => new RecordReader(unseal(value)).varint())
    line.nextSequence = Math.max(line.nextSequence, next ?? 1)
    return line
  }

  #settled(fields: Fields, first: number): readonly number[] | undefined {
    const value = fields[Field.Settled + first]
    return value && this.#guard('settled', () => readSteps(new RecordReader(unseal(value)), first))
  }

  #subscriptions(fields: Fields): StoredSubscription[] {
    return [...entriesOf(fields, Field.Subscription)].flatMap(([, value]) => {
      return (
        this.#guard('subscriptions', () => {
          const record = new RecordReader(unseal(value))
          return { filter: record.text(), record: Buffer.from(record.bytes()) }
        }) ?? []
      )
    })
  }

  #inflight(key: SessionKey, fields: Fields): StoredInflight[] {
    const entries = [...entriesOf(fields, Field.Inflight)].flatMap(([id, value]) => {
      const packetId = Number(id)
      this.#writer.packetIds.inflight.add(key, packetId)
      return (
        this.#guard('inflight', () => {
          const record = new RecordReader(unseal(value))
          const sequence = record.varint()
          return { packetId, sequence, qos: record.uint8() as QoS, released: record.uint8() === 1 }
        }) ?? []
      )
    })
    return entries.sort((a, b) => a.sequence - b.sequence)
  }

  /** All entries of a hash, some at a time; one may come twice. */
  async *#scan(hash: string): AsyncGenerator<readonly (readonly [string, Buffer])[], void> {
    for (let cursor = '0'; ;) {
      const { reader } = await this.#link()
      const [next, flat] = await scan(reader, hash, cursor)
      const page: (readonly [string, Buffer])[] = []
      for (let at = 0; at < flat.length; at += 2) page.push([flat[at]!.toString(), flat[at + 1]!])
      if (page.length > 0) yield page
      cursor = next
      if (cursor === '0') return
    }
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

/** A server that is full gives no job; what is in it can be read all the same, and whoever reads makes room. */
function unlessFull(error: unknown): unknown[] {
  if (error instanceof Error && error.message.startsWith('OOM')) return []
  throw error
}

async function scan(reader: Redis, hash: string, cursor: string): Promise<[string, Buffer[]]> {
  const [next, flat] = await reader.hscanBuffer(hash, cursor, 'COUNT', PAGE_ENTRIES)
  return [next.toString(), flat as Buffer[]]
}

/** The entries whose fields begin with a letter, without it. */
function* entriesOf(fields: Fields, letter: string): Generator<[string, Buffer]> {
  for (const [field, value] of Object.entries(fields)) if (field.startsWith(letter)) yield [field.slice(1), value]
}

function valueOf<T>(result: readonly [Error | null, unknown] | undefined): T {
  if (result === undefined) throw new Error('Redis gave no answer')
  if (result[0]) throw result[0]
  return result[1] as T
}
