import { StatemqError } from '../errors.ts'
import type { Publication } from '../publication.ts'
import { GatheringStore, type KnownPacketIds } from './gathering-store.ts'
import { openEnvironment, type Durability, type Environment } from './lmdb-environment.ts'
import { LmdbReader } from './lmdb-reader.ts'
import { LmdbWriter } from './lmdb-writer.ts'
import type { PendingWrites } from './pending.ts'
import type { Store } from './store.ts'
import type { QueuedMessage, SessionKey, StoredSession, StoredWill } from '../stored.ts'

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
export class LmdbStore extends GatheringStore implements Store {
  readonly name = 'lmdb'
  readonly #options: LmdbStoreOptions
  readonly #openDirectory: typeof openEnvironment
  #environment: Environment | undefined
  #reader: LmdbReader | undefined
  #writer: LmdbWriter | undefined
  #retry: NodeJS.Timeout | undefined

  /** `openDirectory` is for tests that make commits fail. */
  constructor(options: LmdbStoreOptions, openDirectory: typeof openEnvironment = openEnvironment) {
    super()
    this.#options = options
    this.#openDirectory = openDirectory
  }

  async open(): Promise<void> {
    const { directory, durability = 'disk', onDamage } = this.#options
    const onFault = (fault: StatemqError): void => {
      this.group.fault ??= this.faultOf(fault)
    }
    const options = { onFault, ...(onDamage && { onDamage }) }
    const environment = await this.#openDirectory(directory, durability, options).catch((error: unknown) => {
      if (error instanceof StatemqError) throw error
      // The system refuses: no permission, no directory, a read-only disk.
      throw new StatemqError('SMQ_STORE_FAILED', `${directory}: ${(error as Error).message}`, { cause: error })
    })
    this.#environment = environment
    this.#writer = new LmdbWriter(environment.tables, this.lines)
    this.#reader = new LmdbReader(environment.tables, this.lines, this.#writer, onDamage ?? (() => {}))
  }

  async close(): Promise<void> {
    await this.group.settled()
    clearTimeout(this.#retry)
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
    return this.#read((reader) => reader.sessions())
  }

  wills(): AsyncIterable<readonly StoredWill[]> {
    return this.#read((reader) => reader.wills())
  }

  retained(): AsyncIterable<readonly Publication[]> {
    return this.#read((reader) => reader.retained())
  }

  /** Whole tables are read as LMDB has them: with all that was committed so far. */
  async *#read<T>(pages: (reader: LmdbReader) => AsyncIterable<T>): AsyncGenerator<T, void> {
    await this.#open.environment.checkpoint()
    yield* pages(this.#open.reader)
  }

  nextSessionKey(): SessionKey {
    return this.#open.writer.nextSessionKey()
  }

  async page(key: SessionKey, from: number, maxMessages: number, maxBytes: number): Promise<readonly QueuedMessage[]> {
    const { reader } = this.#open
    const { gathering, committing } = this.group
    const page: QueuedMessage[] = []
    if (gathering.deletedSessions.has(key) || committing?.deletedSessions.has(key) === true) return page
    let bytes = 0
    const take = (message: QueuedMessage): boolean => {
      if (message.sequence < from) return true
      const size = message.publication.sizeBytes
      if (page.length > 0 && (page.length >= maxMessages || bytes + size > maxBytes)) return false
      page.push(message)
      bytes += size
      return page.length < maxMessages
    }
    if (!reader.queued(key, from, take)) return page
    const early = gathering.settledEarly.get(key)
    for (const message of committing?.appended.get(key)?.values() ?? []) {
      if (early?.has(message.sequence) !== true && !take(message)) return page
    }
    for (const message of gathering.appended.get(key)?.values() ?? []) if (!take(message)) return page
    return page
  }

  protected override get packetIds(): KnownPacketIds | undefined {
    return this.#writer?.packetIds
  }

  durable(): Promise<void> | undefined {
    return this.group.durable()
  }

  get fault(): StatemqError | undefined {
    return this.group.fault
  }

  protected override async commit(writes: PendingWrites): Promise<void> {
    const { writer, environment } = this.#open
    const plan = writer.plan(writes)
    try {
      await environment.commit(plan.steps)
    } catch (error) {
      plan.abandon()
      throw error
    }
    plan.apply()
  }

  protected override faultOf(error: unknown): StatemqError {
    const fault =
      error instanceof StatemqError ? error : new StatemqError('SMQ_STORE_FAILED', String(error), { cause: error })
    if (fault.code === 'SMQ_STORE_FULL') this.#retryLater()
    return fault
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
      for (let commit = 0; commit < 3; commit++) {
        const { writer, environment } = this.#open
        await environment.checkpoint()
        await environment.commit(writer.planTouch().steps)
      }
    } catch (error) {
      if (this.#environment === undefined) return
      if (error instanceof StatemqError && error.code === 'SMQ_STORE_FAILED') this.group.fault = error
      else this.#retryLater()
      return
    }
    if (this.fault?.code === 'SMQ_STORE_FULL') this.group.resume()
  }
}
