import type { Publication } from '../publication.ts'
import { writeBatch, writeGrown, writeSteps, type BatchHead } from './batch-record.ts'
import { lineOf, type Batch, type Line } from './line.ts'
import type { Step, Table, Tables } from './lmdb-environment.ts'
import {
  LAST_KEY,
  epochKey,
  filterKey,
  numberKey,
  numberOf,
  packetKey,
  sequenceKey,
  sessionKey,
  topicKey,
} from './lmdb-keys.ts'
import { writeMessage } from './message-record.ts'
import { batchesOf, sharedAmong } from './gathered-messages.ts'
import { PacketIds } from './packet-ids.ts'
import type { PendingWrites } from './pending.ts'
import { RecordWriter, seal, unseal } from './record.ts'
import { References, type Releases } from './references.ts'
import type { QueuedMessage, SessionKey, StoredInflight } from '../stored.ts'

/** A commit as it will be: made in full before anything of it is written, so that it can't end half-way. */
export interface Plan {
  readonly steps: readonly Step[]
  /** It is durable: what the writer knows of the tables changes now. */
  apply(): void
  /** It is not, and the tables are as they were. */
  abandon(): void
}

/** A batch takes in what comes behind it as long as it is small: most lines grow by one message at a time. */
const MAX_GROWN_MESSAGES = 16
const MAX_GROWN_BYTES = 1_024

/** Turns gathered writes into records. */
export class LmdbWriter {
  readonly references: References
  /** Of messages that came in, and of messages on their way out. */
  readonly packetIds = { received: new PacketIds(), inflight: new PacketIds() }
  readonly #tables: Tables
  readonly #lines: Map<SessionKey, Line>
  readonly #out = new RecordWriter(65_536)
  #lastKey: number
  #storedKey: number
  #steps: Step[] = []
  #effects: (() => void)[] = []
  #growing: Batch[] = []

  constructor(tables: Tables, lines: Map<SessionKey, Line>) {
    this.#tables = tables
    this.#lines = lines
    const counted = tables.counters.getBinary(LAST_KEY)
    this.#lastKey = this.#storedKey = counted === undefined ? 0 : numberOf(counted)
    const last = tables.messages.lastKey()
    this.references = new References(last === undefined ? 0 : numberOf(last))
  }

  /** Also after a restart never one that was given before. */
  nextSessionKey(): SessionKey {
    return ++this.#lastKey
  }

  plan(writes: PendingWrites): Plan {
    this.#steps = []
    this.#effects = []
    this.#growing = []
    const releases = this.references.release()
    this.#effects.push(() => releases.apply())
    if (this.#lastKey !== this.#storedKey) this.#putLastKey()
    for (const key of writes.deletedSessions) {
      this.#deleteSession(key)
      releases.session(key)
    }
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
    for (const [key, epochs] of [...writes.wills, ...writes.sentWills]) {
      for (const [epoch, record] of epochs) this.#put(this.#tables.wills, epochKey(key, epoch), record && seal(record))
    }
    for (const [key, firsts] of writes.endedBatches) this.#endBatches(key, firsts, releases)
    for (const [key, firsts] of writes.settledBatches) {
      // One that was to grow may have lost its last message while that failed.
      const ended = [...firsts].filter((first) => !this.#putSettled(key, first))
      if (ended.length > 0) this.#endBatches(key, ended, releases)
    }
    for (const number of releases.messages) this.#put(this.#tables.messages, numberKey(number), undefined)
    this.#writeMessages(writes.appended)
    for (const [topic, publication] of writes.retained) {
      this.#put(this.#tables.retained, topicKey(topic), publication && this.#messageRecord(publication))
    }
    const effects = this.#effects
    const growing = this.#growing
    return {
      steps: this.#steps,
      apply: () => {
        for (const effect of effects) effect()
      },
      abandon: () => {
        for (const batch of growing) batch.isGrowing = false
      },
    }
  }

  /** What changes nothing, but takes a commit. */
  planTouch(): Plan {
    this.#steps = []
    this.#effects = []
    this.#putLastKey()
    return { steps: this.#steps, apply: () => {}, abandon: () => {} }
  }

  #put(table: Table, key: Buffer, record: Buffer | undefined): void {
    this.#steps.push({ table, key, record })
  }

  #putLastKey(): void {
    const last = this.#lastKey
    this.#put(this.#tables.counters, LAST_KEY, numberKey(last))
    this.#effects.push(() => {
      this.#storedKey = last
    })
  }

  #deleteSession(key: SessionKey): void {
    const { sessions, lines, subscriptions, received, inflight, batches, settled } = this.#tables
    this.#put(sessions, sessionKey(key), undefined)
    this.#put(lines, sessionKey(key), undefined)
    for (const table of [subscriptions, received, inflight, batches, settled]) {
      for (const entry of table.sessionKeys(key)) this.#put(table, entry, undefined)
    }
    this.#effects.push(() => {
      this.packetIds.received.forget(key)
      this.packetIds.inflight.forget(key)
      this.#lines.delete(key)
    })
  }

  #putPacket(table: 'received' | 'inflight', key: SessionKey, packetId: number, record: Buffer | undefined): void {
    this.#put(this.#tables[table], packetKey(key, packetId), record)
    const ids = this.packetIds[table]
    this.#effects.push(() => (record === undefined ? ids.delete(key, packetId) : ids.add(key, packetId)))
  }

  #putSession(key: SessionKey, clientId: string, record: Buffer): void {
    this.#out.reset().text(clientId).bytes(record)
    this.#put(this.#tables.sessions, sessionKey(key), seal(this.#out.content()))
  }

  #putSubscription(key: SessionKey, filter: string, record: Buffer | undefined): void {
    const sealed = record && seal(this.#out.reset().text(filter).bytes(record).content())
    this.#put(this.#tables.subscriptions, filterKey(key, filter), sealed)
  }

  #inflightRecord({ sequence, qos, released }: StoredInflight): Buffer {
    const isReleased = released ? 1 : 0
    return seal(this.#out.reset().varint(sequence).uint8(qos).uint8(isReleased).content())
  }

  #messageRecord(publication: Publication): Buffer {
    this.#out.reset()
    writeMessage(this.#out, publication)
    return seal(this.#out.content())
  }

  /** Where a line goes on, once its last batch is gone and nobody could tell any more. */
  #putLine(key: SessionKey): void {
    const line = this.#lines.get(key)
    if (line === undefined || line.end >= line.nextSequence) return
    this.#put(this.#tables.lines, sessionKey(key), seal(this.#out.reset().varint(line.nextSequence).content()))
  }

  #endBatches(key: SessionKey, firsts: Iterable<number>, releases: Releases): void {
    for (const first of firsts) {
      this.#put(this.#tables.batches, sequenceKey(key, first), undefined)
      this.#put(this.#tables.settled, sequenceKey(key, first), undefined)
      releases.batch(key, first)
    }
    this.#putLine(key)
  }

  /** False: it has ended meanwhile. */
  #putSettled(key: SessionKey, first: number): boolean {
    const batch = this.#lines.get(key)?.batchAt(first)
    if (batch?.settled === undefined) return false
    const sequences = [...batch.settled].sort((a, b) => a - b)
    writeSteps(this.#out.reset(), first, sequences)
    this.#put(this.#tables.settled, sequenceKey(key, first), seal(this.#out.content()))
    return true
  }

  #writeMessages(appended: PendingWrites['appended']): void {
    const numbers = this.#keepShared(appended)
    for (const [key, messages] of appended) {
      for (const batch of batchesOf(messages.values())) this.#writeBatch(key, batch, numbers)
    }
  }

  /** Writes the messages that more than one session waits for, each once; returns their numbers. */
  #keepShared(appended: PendingWrites['appended']): Map<Publication, number> {
    const numbers = new Map<Publication, number>()
    for (const publication of sharedAmong(appended)) {
      const number = this.references.nextNumber()
      numbers.set(publication, number)
      this.#put(this.#tables.messages, numberKey(number), this.#messageRecord(publication))
    }
    return numbers
  }

  #writeBatch(key: SessionKey, messages: readonly QueuedMessage[], shared: Map<Publication, number>): void {
    if (shared.size === 0 && this.#grow(key, messages)) return
    const entries = messages.map((message) => ({ ...message, reference: shared.get(message.publication) }))
    const head = writeBatch(this.#out.reset(), shared.size === 0 ? messages : entries)
    this.#put(this.#tables.batches, sequenceKey(key, head.first), seal(this.#out.content()))
    this.#effects.push(() => this.know(key, head))
  }

  /** Puts messages into the batch before them; false: there is none that takes them. */
  #grow(key: SessionKey, messages: readonly QueuedMessage[]): boolean {
    const first = messages[0]!.sequence
    const last = messages.at(-1)!.sequence
    const line = this.#lines.get(key)
    const batch = line?.batchBefore(first)
    if (line === undefined || batch === undefined || last - first + 1 !== messages.length) return false
    if (batch.left + messages.length > MAX_GROWN_MESSAGES || batch.bytesLeft > MAX_GROWN_BYTES) return false
    const record = this.#tables.batches.getBinary(sequenceKey(key, batch.first))
    if (record === undefined) return false
    const grown = grownOf(this.#out, record, batch, messages)
    if (grown === undefined) return false
    const bytes = grown.bytes - batch.bytesLeft
    batch.isGrowing = true
    this.#growing.push(batch)
    this.#put(this.#tables.batches, sequenceKey(key, batch.first), seal(this.#out.content()))
    this.#effects.push(() => line.grow(batch, last, messages.length, bytes))
    return true
  }

  /** The tables have a batch. */
  know(key: SessionKey, head: BatchHead, settled?: Iterable<number>): void {
    lineOf(this.#lines, key).add(head, settled)
    if (head.references.length > 0) this.references.refer(key, head.first, head.references)
  }
}

/** Undefined: what is there can't be read, or not be added to. */
function grownOf(
  out: RecordWriter,
  record: Buffer,
  batch: Batch,
  messages: readonly QueuedMessage[],
): BatchHead | undefined {
  try {
    return writeGrown(out.reset(), unseal(record), batch, messages)
  } catch {
    return undefined
  }
}

const NOTHING = Buffer.alloc(0)
