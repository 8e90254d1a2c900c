import type { Publication } from '../publication.ts'
import { writeBatch, writeSteps, type BatchHead } from './batch-record.ts'
import { lineOf, type Line } from './line.ts'
import { writeMessage } from './message-record.ts'
import { batchesOf, sharedAmong } from './gathered-messages.ts'
import { PacketIds } from './packet-ids.ts'
import type { PendingWrites } from './pending.ts'
import { RecordWriter, seal } from './record.ts'
import { Field, hashOf, willField, type RedisKeys } from './redis-keys.ts'
import { RedisPlan } from './redis-plan.ts'
import { References } from './references.ts'
import type { QueuedMessage, SessionKey, StoredInflight } from '../stored.ts'

/** Turns gathered writes into what Redis is to do, and knows which jobs there are. */
export class RedisWriter {
  readonly references: References
  readonly packetIds = { received: new PacketIds(), inflight: new PacketIds() }
  readonly #keys: RedisKeys
  readonly #lines: Map<SessionKey, Line>
  /** By session, then by the first sequence of the batch; true: it was taken out of the queue. */
  readonly #jobs = new Map<SessionKey, Map<number, boolean>>()
  readonly #out = new RecordWriter(65_536)
  #lastKey: number
  #storedKey: number
  #plan = new RedisPlan()

  constructor(keys: RedisKeys, lines: Map<SessionKey, Line>, lastKey: number, lastMessage: number) {
    this.#keys = keys
    this.#lines = lines
    this.#lastKey = this.#storedKey = lastKey
    this.references = new References(lastMessage)
  }

  /** Also after a restart never one that was given before. */
  nextSessionKey(): SessionKey {
    return ++this.#lastKey
  }

  plan(writes: PendingWrites): RedisPlan {
    const plan = new RedisPlan()
    this.#plan = plan
    const releases = this.references.release()
    plan.afterwards(() => releases.apply())
    this.#putLastKey()
    for (const key of writes.deletedSessions) {
      this.#deleteSession(key)
      releases.session(key)
    }
    for (const [key, { clientId, record }] of writes.sessions) {
      plan.put(this.#keys.sessions, `${key}`, '')
      this.#put(key, Field.Session, seal(this.#out.reset().text(clientId).bytes(record).content()))
    }
    for (const [key, filters] of writes.subscriptions) {
      for (const [filter, record] of filters) {
        const sealed = record && seal(this.#out.reset().text(filter).bytes(record).content())
        this.#put(key, Field.Subscription + hashOf(filter), sealed)
      }
    }
    for (const [key, ids] of writes.received) {
      for (const [id, isThere] of ids) this.#putPacket('received', key, id, isThere ? seal(NOTHING) : undefined)
    }
    for (const [key, entries] of writes.inflight) {
      for (const [id, entry] of entries) this.#putPacket('inflight', key, id, entry && this.#inflightRecord(entry))
    }
    for (const [key, epochs] of [...writes.wills, ...writes.sentWills]) {
      for (const [epoch, record] of epochs) plan.put(this.#keys.wills, willField(key, epoch), record && seal(record))
    }
    for (const [key, firsts] of writes.endedBatches) {
      for (const first of firsts) {
        this.#endBatch(key, first)
        releases.batch(key, first)
      }
      this.#putNextSequence(key)
    }
    for (const number of releases.messages) plan.put(this.#keys.messages, `${number}`, undefined)
    for (const [key, firsts] of writes.settledBatches) for (const first of firsts) this.#putSettled(key, first)
    this.#writeMessages(writes.appended)
    this.#dropDrained(writes)
    for (const [topic, publication] of writes.retained) {
      plan.put(this.#keys.retained, hashOf(topic), publication && this.#messageRecord(publication))
    }
    plan.scheduled = writes.jobs
    return plan
  }

  /** The store has a batch. */
  know(key: SessionKey, head: BatchHead, wasTaken: boolean, settled?: Iterable<number>): void {
    lineOf(this.#lines, key).add(head, settled)
    let jobs = this.#jobs.get(key)
    if (jobs === undefined) {
      jobs = new Map()
      this.#jobs.set(key, jobs)
    }
    jobs.set(head.first, wasTaken)
    if (head.references.length > 0) this.references.refer(key, head.first, head.references)
  }

  wasTaken(key: SessionKey, first: number): boolean {
    return this.#jobs.get(key)?.get(first) === true
  }

  /** A job was taken out of its queue. */
  take(key: SessionKey, first: number): void {
    const jobs = this.#jobs.get(key)
    if (jobs?.has(first) === true) jobs.set(first, true)
  }

  #put(key: SessionKey, field: string, value: Buffer | undefined): void {
    this.#plan.put(this.#keys.session(key), field, value)
  }

  #putLastKey(): void {
    const last = this.#lastKey
    if (last === this.#storedKey) return
    this.#plan.put(this.#keys.about, LAST_KEY, `${last}`)
    this.#plan.afterwards(() => {
      this.#storedKey = last
    })
  }

  #deleteSession(key: SessionKey): void {
    const plan = this.#plan
    plan.put(this.#keys.sessions, `${key}`, undefined)
    plan.dropped.push(this.#keys.session(key))
    const jobs = this.#jobs.get(key)
    if (jobs) plan.droppedQueues.push({ key, firsts: [...jobs.keys()] })
    plan.afterwards(() => {
      this.packetIds.received.forget(key)
      this.packetIds.inflight.forget(key)
      this.#lines.delete(key)
      this.#jobs.delete(key)
    })
  }

  #putPacket(table: 'received' | 'inflight', key: SessionKey, packetId: number, record: Buffer | undefined): void {
    this.#put(key, (table === 'received' ? Field.Received : Field.Inflight) + packetId, record)
    const ids = this.packetIds[table]
    this.#plan.afterwards(() => (record === undefined ? ids.delete(key, packetId) : ids.add(key, packetId)))
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

  #endBatch(key: SessionKey, first: number): void {
    this.#put(key, Field.Batch + first, undefined)
    this.#put(key, Field.Settled + first, undefined)
    const jobs = this.#jobs.get(key)
    if (jobs?.has(first) !== true) return
    this.#plan.ended.push({ key, first, wasTaken: jobs.get(first) === true })
    this.#plan.afterwards(() => {
      if (jobs.delete(first) && jobs.size === 0 && this.#jobs.get(key) === jobs) this.#jobs.delete(key)
    })
  }

  /** Where a line goes on, once its last batch is gone and nobody could tell any more. */
  #putNextSequence(key: SessionKey): void {
    const line = this.#lines.get(key)
    if (line === undefined || line.end >= line.nextSequence) return
    this.#put(key, Field.NextSequence, seal(this.#out.reset().varint(line.nextSequence).content()))
  }

  #putSettled(key: SessionKey, first: number): void {
    const batch = this.#lines.get(key)?.batchAt(first)
    // It has ended meanwhile.
    if (batch?.settled === undefined) return
    const sequences = [...batch.settled].sort((a, b) => a - b)
    writeSteps(this.#out.reset(), first, sequences)
    this.#put(key, Field.Settled + first, seal(this.#out.content()))
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
      this.#plan.put(this.#keys.messages, `${number}`, this.#messageRecord(publication))
      this.#plan.put(this.#keys.about, LAST_MESSAGE, `${number}`)
    }
    return numbers
  }

  #writeBatch(key: SessionKey, messages: readonly QueuedMessage[], shared: Map<Publication, number>): void {
    const entries = messages.map((message) => ({ ...message, reference: shared.get(message.publication) }))
    const head = writeBatch(this.#out.reset(), shared.size === 0 ? messages : entries)
    const { first, count } = head
    this.#plan.added.push({ key, first, count, data: jobData(head, seal(this.#out.content())) })
    this.#put(key, Field.Batch + first, this.#headRecord(head))
    this.#plan.afterwards(() => this.know(key, head, false))
  }

  /** What must be known of a batch at the start, so that its job need not be read for it. */
  #headRecord({ first, last, count, bytes, gaps, references }: BatchHead): Buffer {
    const out = this.#out.reset()
    out
      .varint(count)
      .varint(bytes)
      .varint(last - first)
    writeSteps(out, first, gaps ?? [])
    out.varint(references.length)
    for (const number of references) out.varint(number)
    return seal(out.content())
  }

  /** An empty queue would leave some keys behind: they go with its last job. */
  #dropDrained({ endedBatches, appended, deletedSessions }: PendingWrites): void {
    const drained = new Set<SessionKey>()
    for (const [key, ended] of endedBatches) {
      const jobs = this.#jobs.get(key)
      if (jobs === undefined || appended.has(key) || deletedSessions.has(key)) continue
      if ([...jobs.keys()].some((first) => !ended.has(first))) continue
      this.#plan.droppedQueues.push({ key, firsts: [...jobs.keys()] })
      drained.add(key)
    }
    if (drained.size > 0) this.#plan.ended = this.#plan.ended.filter(({ key }) => !drained.has(key))
  }
}

const NOTHING = Buffer.alloc(0)

/** The field in which the highest number that a session was given is counted. */
export const LAST_KEY = 'last-session'
/** The same of messages that several sessions wait for. */
export const LAST_MESSAGE = 'last-message'

/** A job's data is JSON, so that any tool can show it. */
function jobData({ first, last, count }: BatchHead, record: Buffer): string {
  return JSON.stringify({ first, last, messages: count, batch: record.toString('base64') })
}
