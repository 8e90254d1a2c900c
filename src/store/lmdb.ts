import { StatemqError } from '../errors.ts'
import type { Publication } from '../publication.ts'
import { GroupCommit } from './group-commit.ts'
import type { Line } from './line.ts'
import { openEnvironment, type Durability, type Environment } from './lmdb-environment.ts'
import { LmdbReader } from './lmdb-reader.ts'
import { LmdbWriter } from './lmdb-writer.ts'
import { inner, type PendingWrites } from './pending.ts'
import type { Store } from './store.ts'
import type { QueuedMessage, SessionKey, StoredInflight, StoredSession, StoredWill } from '../stored.ts'

export interface LmdbStoreOptions {
  readonly directory: string
  /** Default `disk`. */
  readonly durability?: Durability
  /** A record that can't be read is left where it is and told of; the rest goes on (threat 11). */
  readonly onDamage?: (table: string, error: unknown) => void
}

/** How often a full store looks whether there is room again. */
const RETRY_MS = 1_000

/**
 * The embedded store: one LMDB environment in a directory. A session's messages of one commit are one
 * record, and a message that several sessions wait for is kept once and referred to.
 */
export class LmdbStore implements Store {
  readonly name = 'lmdb'
  fault: StatemqError | undefined = undefined
  readonly #options: LmdbStoreOptions
  #environment: Environment | undefined
  #reader: LmdbReader | undefined
  #writer: LmdbWriter | undefined
  #retry: NodeJS.Timeout | undefined
  readonly #lines = new Map<SessionKey, Line>()
  readonly #group = new GroupCommit(
    (writes) => this.#commit(writes),
    (error) => this.#failed(error),
  )

  constructor(options: LmdbStoreOptions) {
    this.#options = options
  }

  async open(): Promise<void> {
    const { directory, durability = 'disk', onDamage } = this.#options
    const environment = await openEnvironment(directory, durability)
    this.#environment = environment
    this.#writer = new LmdbWriter(environment.tables, this.#lines)
    this.#reader = new LmdbReader(environment.tables, this.#lines, this.#writer, onDamage ?? (() => {}))
  }

  async close(): Promise<void> {
    clearTimeout(this.#retry)
    await this.durable()?.catch(() => {})
    const environment = this.#environment
    this.#environment = undefined
    this.#reader = undefined
    this.#writer = undefined
    await environment?.close()
  }

  get #open(): { readonly reader: LmdbReader; readonly writer: LmdbWriter; readonly environment: Environment } {
    const reader = this.#reader
    const writer = this.#writer
    const environment = this.#environment
    if (!reader || !writer || !environment) throw new StatemqError('SMQ_STORE_CLOSED')
    return { reader, writer, environment }
  }

  sessions(): AsyncIterable<readonly StoredSession[]> {
    return this.#open.reader.sessions()
  }

  wills(): AsyncIterable<readonly StoredWill[]> {
    return this.#open.reader.wills()
  }

  retained(): AsyncIterable<readonly Publication[]> {
    return this.#open.reader.retained()
  }

  nextSessionKey(): SessionKey {
    return this.#open.writer.nextSessionKey()
  }

  putSession(key: SessionKey, clientId: string, record: Buffer): void {
    this.#group.writes.sessions.set(key, { clientId, record })
  }

  deleteSession(key: SessionKey): void {
    this.#group.writes.deleteSession(key)
    this.#lines.get(key)?.clear()
  }

  putSubscription(key: SessionKey, filter: string, record: Buffer): void {
    inner(this.#group.writes.subscriptions, key).set(filter, record)
  }

  deleteSubscription(key: SessionKey, filter: string): void {
    inner(this.#group.writes.subscriptions, key).set(filter, undefined)
  }

  putReceived(key: SessionKey, packetId: number): void {
    inner(this.#group.writes.received, key).set(packetId, true)
  }

  deleteReceived(key: SessionKey, packetId: number): void {
    const isKept = this.#isKept('received', key, packetId)
    withdraw(this.#group.writes.received, key, packetId, isKept, false)
  }

  putWill(key: SessionKey, epoch: number, record: Buffer): void {
    inner(this.#group.writes.wills, key).set(epoch, record)
  }

  deleteWill(key: SessionKey, epoch: number): void {
    inner(this.#group.writes.wills, key).set(epoch, undefined)
  }

  append(key: SessionKey, message: QueuedMessage): void {
    this.#group.writes.append(key, message)
  }

  putInflight(key: SessionKey, inflight: StoredInflight): void {
    inner(this.#group.writes.inflight, key).set(inflight.packetId, inflight)
  }

  deleteInflight(key: SessionKey, packetId: number): void {
    const isKept = this.#isKept('inflight', key, packetId)
    withdraw(this.#group.writes.inflight, key, packetId, isKept, undefined)
  }

  /** Whether the tables have a packet identifier, or will have it with the commit under way. */
  #isKept(table: 'inflight' | 'received', key: SessionKey, packetId: number): boolean {
    return (
      this.#group.committing?.[table].get(key)?.has(packetId) === true ||
      this.#writer?.packetIds[table].has(key, packetId) === true
    )
  }

  settle(key: SessionKey, sequence: number): void {
    const { writes } = this.#group
    if (writes.takeBack(key, sequence)) return
    const settled = this.#lines.get(key)?.settle(sequence)
    if (settled === undefined) return
    writes.settled.add(key)
    if (!settled.ended) return
    const ended = writes.endedBatches.get(key)
    if (ended) ended.push(settled.batch.first)
    else writes.endedBatches.set(key, [settled.batch.first])
  }

  async page(key: SessionKey, from: number, maxMessages: number, maxBytes: number): Promise<readonly QueuedMessage[]> {
    const page: QueuedMessage[] = []
    let bytes = 0
    const take = (message: QueuedMessage): boolean => {
      if (message.sequence < from) return true
      const size = message.publication.sizeBytes
      if (page.length > 0 && (page.length >= maxMessages || bytes + size > maxBytes)) return false
      page.push(message)
      bytes += size
      return page.length < maxMessages
    }
    // What is being committed is in the line already, and read from memory.
    const committing = this.#group.committing?.appended.get(key)
    if (!this.#open.reader.queued(key, from, committing, take)) return page
    for (const message of this.#group.gathering.appended.get(key)?.values() ?? []) if (!take(message)) break
    return page
  }

  putRetained(publication: Publication): void {
    this.#group.writes.retained.set(publication.topic, publication)
  }

  deleteRetained(topic: string): void {
    this.#group.writes.retained.set(topic, undefined)
  }

  durable(): Promise<void> | undefined {
    return this.#group.durable()
  }

  async #commit(writes: PendingWrites): Promise<void> {
    // After an error of the medium nobody knows what it holds: it is not asked again (threat 10).
    if (this.fault?.code === 'SMQ_STORE_FAILED') throw this.fault
    const { writer, environment } = this.#open
    await environment.commit(() => writer.write(writes))
  }

  #failed(error: unknown): void {
    this.#writer?.undo()
    this.fault =
      error instanceof StatemqError ? error : new StatemqError('SMQ_STORE_FAILED', String(error), { cause: error })
    if (this.fault.code === 'SMQ_STORE_FULL') this.#retryLater()
  }

  #retryLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      void this.#lookForRoom()
    }, RETRY_MS).unref()
  }

  /** What a commit freed can be used from the next but one on, so that an empty one or two may be all it takes. */
  async #lookForRoom(): Promise<void> {
    try {
      for (let commit = 0; commit < 3; commit++) await this.#environment?.commit(() => this.#writer?.touch())
      this.fault = undefined
    } catch {
      this.#retryLater()
    }
  }
}

/** Takes a write back where the tables know nothing of it, else removes what they have. */
function withdraw<V>(
  writes: Map<SessionKey, Map<number, V>>,
  key: SessionKey,
  packetId: number,
  isKept: boolean,
  removal: V,
): void {
  const ids = inner(writes, key)
  if (isKept) ids.set(packetId, removal)
  else ids.delete(packetId)
  if (ids.size === 0) writes.delete(key)
}
