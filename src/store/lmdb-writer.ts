import type { Publication } from '../publication.ts'
import { writeBatch } from './batch-record.ts'
import { Line, type Batch } from './line.ts'
import type { Table, Tables } from './lmdb-environment.ts'
import {
  behindSession,
  epochKey,
  filterKey,
  numberKey,
  packetKey,
  sequenceKey,
  sessionKey,
  topicKey,
} from './lmdb-keys.ts'
import { writeMessage } from './message-record.ts'
import type { PendingWrites } from './pending.ts'
import { PacketIds } from './packet-ids.ts'
import { RecordWriter, seal } from './record.ts'
import { References } from './references.ts'
import type { QueuedMessage, SessionKey, StoredInflight } from '../stored.ts'

/** Messages of one session in one record at most: a page that is read is not much more than what was asked for. */
const MAX_BATCH_MESSAGES = 256
const MAX_BATCH_BYTES = 262_144

/** Turns gathered writes into records. Called within one transaction. */
export class LmdbWriter {
  readonly references = new References()
  /** Of messages that came in, and of messages on their way out. */
  readonly packetIds = { received: new PacketIds(), inflight: new PacketIds() }
  readonly #tables: Tables
  readonly #lines: Map<SessionKey, Line>
  readonly #out = new RecordWriter(65_536)
  #lastKey: number
  #keyIsStored = true
  /** Batches of the commit under way: they never were, if it fails. */
  #written: { readonly line: Line; readonly batch: Batch }[] = []

  constructor(tables: Tables, lines: Map<SessionKey, Line>) {
    this.#tables = tables
    this.#lines = lines
    this.#lastKey = tables.counters.getBinary(LAST_KEY)?.readUInt32BE(0) ?? 0
  }

  /** Also after a restart never one that was given before. */
  nextSessionKey(): SessionKey {
    this.#keyIsStored = false
    return ++this.#lastKey
  }

  write(writes: PendingWrites): void {
    this.#written = []
    this.references.settle()
    if (!this.#keyIsStored) {
      this.#keyIsStored = true
      put(this.#tables.counters, LAST_KEY, sessionKey(this.#lastKey))
    }
    for (const key of writes.deletedSessions) this.#deleteSession(key)
    for (const [key, { clientId, record }] of writes.sessions) this.#putSession(key, clientId, record)
    for (const [key, filters] of writes.subscriptions) {
      for (const [filter, record] of filters) this.#putSubscription(key, filter, record)
    }
    for (const [key, ids] of writes.received) {
      for (const [id, present] of ids) this.#putPacket('received', key, id, present ? seal(NOTHING) : undefined)
    }
    for (const [key, entries] of writes.inflight) {
      for (const [id, entry] of entries) {
        this.#putPacket('inflight', key, id, entry && this.#inflightRecord(entry))
      }
    }
    for (const [key, epochs] of writes.wills) {
      for (const [epoch, record] of epochs) put(this.#tables.wills, epochKey(key, epoch), record && seal(record))
    }
    this.#writeMessages(writes)
    for (const [topic, publication] of writes.retained) {
      put(this.#tables.retained, topicKey(topic), publication && this.#messageRecord(publication))
    }
  }

  /** Writes what changes nothing. */
  touch(): void {
    put(this.#tables.counters, LAST_KEY, sessionKey(this.#lastKey))
  }

  /** The commit failed. */
  undo(): void {
    for (const { line, batch } of this.#written) line.remove(batch)
    this.#written = []
    this.#keyIsStored = false
    this.references.undo()
  }

  #deleteSession(key: SessionKey): void {
    const { sessions, subscriptions, received, inflight, batches, settled } = this.#tables
    remove(sessions, sessionKey(key))
    remove(settled, sessionKey(key))
    const range = { start: sessionKey(key), end: behindSession(key) }
    for (const table of [subscriptions, received, inflight, batches]) {
      for (const entry of table.getKeys(range)) remove(table, entry)
    }
    for (const number of this.references.release(key)) remove(this.#tables.messages, numberKey(number))
    this.packetIds.received.forget(key)
    this.packetIds.inflight.forget(key)
    this.#lines.delete(key)
  }

  #putPacket(table: 'received' | 'inflight', key: SessionKey, packetId: number, record: Buffer | undefined): void {
    if (record === undefined) this.packetIds[table].delete(key, packetId)
    else this.packetIds[table].add(key, packetId)
    put(this.#tables[table], packetKey(key, packetId), record)
  }

  #putSession(key: SessionKey, clientId: string, record: Buffer): void {
    this.#out.reset().text(clientId).bytes(record)
    put(this.#tables.sessions, sessionKey(key), seal(this.#out.content()))
  }

  #putSubscription(key: SessionKey, filter: string, record: Buffer | undefined): void {
    const sealed = record && seal(this.#out.reset().text(filter).bytes(record).content())
    put(this.#tables.subscriptions, filterKey(key, filter), sealed)
  }

  #inflightRecord({ sequence, qos, released }: StoredInflight): Buffer {
    return seal(
      this.#out
        .reset()
        .varint(sequence)
        .uint8(qos)
        .uint8(released ? 1 : 0)
        .content(),
    )
  }

  #messageRecord(publication: Publication): Buffer {
    this.#out.reset()
    writeMessage(this.#out, publication)
    return seal(this.#out.content())
  }

  #writeMessages(writes: PendingWrites): void {
    for (const [key, firsts] of writes.endedBatches) {
      for (const first of firsts) {
        remove(this.#tables.batches, sequenceKey(key, first))
        for (const number of this.references.releaseBatch(key, first)) {
          remove(this.#tables.messages, numberKey(number))
        }
      }
    }
    for (const key of writes.settled) {
      const sequences = this.#lines.get(key)?.settledSequences() ?? []
      put(this.#tables.settled, sessionKey(key), sequences.length === 0 ? undefined : this.#settledRecord(sequences))
    }
    const numbers = this.#keepShared(writes.appended)
    for (const [key, messages] of writes.appended) {
      let batch: QueuedMessage[] = []
      let bytes = 0
      for (const message of messages.values()) {
        batch.push(message)
        bytes += message.publication.sizeBytes
        if (batch.length < MAX_BATCH_MESSAGES && bytes < MAX_BATCH_BYTES) continue
        this.#writeBatch(key, batch, bytes, numbers)
        batch = []
        bytes = 0
      }
      if (batch.length > 0) this.#writeBatch(key, batch, bytes, numbers)
    }
  }

  /** Writes the messages that more than one session waits for, each once; returns their numbers. */
  #keepShared(appended: PendingWrites['appended']): Map<Publication, number> {
    const numbers = new Map<Publication, number>()
    if (appended.size < 2) return numbers
    const seen = new Set<Publication>()
    for (const messages of appended.values()) {
      for (const { publication } of messages.values()) {
        if (!seen.has(publication)) seen.add(publication)
        else if (!numbers.has(publication)) numbers.set(publication, this.references.nextNumber())
      }
    }
    for (const [publication, number] of numbers) {
      put(this.#tables.messages, numberKey(number), this.#messageRecord(publication))
    }
    return numbers
  }

  #writeBatch(
    key: SessionKey,
    messages: readonly QueuedMessage[],
    bytes: number,
    shared: Map<Publication, number>,
  ): void {
    const first = messages[0]!.sequence
    writeBatch(this.#out.reset(), first, messages, { numberOf: (publication) => shared.get(publication) })
    put(this.#tables.batches, sequenceKey(key, first), seal(this.#out.content()))
    const line = lineOf(this.#lines, key)
    const batch = line.add(first, messages.at(-1)!.sequence, messages.length, bytes)
    this.#written.push({ line, batch })
    if (shared.size === 0) return
    const numbers = messages.flatMap(({ publication }) => shared.get(publication) ?? [])
    if (numbers.length > 0) this.references.refer(key, first, numbers)
  }

  #settledRecord(sequences: readonly number[]): Buffer {
    this.#out.reset().varint(sequences.length)
    let before = 0
    for (const sequence of sequences) {
      this.#out.varint(sequence - before)
      before = sequence
    }
    return seal(this.#out.content())
  }
}

const LAST_KEY = Buffer.from('last-session-key')
const NOTHING = Buffer.alloc(0)

/** The line of a session, made where there is none. */
export function lineOf(lines: Map<SessionKey, Line>, key: SessionKey): Line {
  let line = lines.get(key)
  if (line === undefined) {
    line = new Line()
    lines.set(key, line)
  }
  return line
}

// Whether a write succeeds is its transaction's to say.

function put(table: Table, key: Buffer, record: Buffer | undefined): void {
  if (record === undefined) remove(table, key)
  else void table.put(key, record)
}

function remove(table: Table, key: Buffer): void {
  void table.remove(key)
}
