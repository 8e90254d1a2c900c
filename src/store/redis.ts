import { setTimeout as sleep } from 'node:timers/promises'

import { StatemqError } from '../errors.ts'
import type { Publication } from '../publication.ts'
import type { JobLedger, JobLink } from '../scheduled.ts'
import { GatheringStore, type KnownPacketIds } from './gathering-store.ts'
import type { PendingWrites } from './pending.ts'
import { RedisAway } from './redis-away.ts'
import { commit, commitAlthoughFull } from './redis-commit.ts'
import { loadModules, plainError } from './redis-connect.ts'
import { inOneSlot, RedisKeys } from './redis-keys.ts'
import type { Opened, RedisLink } from './redis-link.ts'
import { RedisLinks } from './redis-links.ts'
import { RedisOwner, replaced } from './redis-owner.ts'
import type { RedisPlan } from './redis-plan.ts'
import { RedisReader, type OnDamage } from './redis-reader.ts'
import type { RedisDurability } from './redis-server.ts'
import { readRedisUrl, type RedisTarget } from './redis-url.ts'
import { LAST_KEY, LAST_MESSAGE, RedisWriter } from './redis-writer.ts'
import type { Store } from './store.ts'
import type { QueuedMessage, SessionKey, StoredSession, StoredWill } from '../stored.ts'

export interface RedisStoreOptions {
  /** See `readRedisUrl`. */
  readonly url: string
  /** Default `everysec`. */
  readonly durability?: RedisDurability
  /** What the names of all keys begin with; brokers that share a server have one each. Default `statemq`. */
  readonly prefix?: string
  /** Default 5,000: what Redis doesn't answer in this time has failed. */
  readonly timeoutMs?: number
  /** Default 10,000: how long a broker that is gone is waited for. */
  readonly leaseMs?: number
  /** A record that can't be read is left where it is and told of; the rest goes on. */
  readonly onDamage?: OnDamage
  /** Told at the start of what the server keeps less well than it could. */
  readonly onFault?: (fault: string) => void
  /** It does not answer, or nothing can be written any more. */
  readonly onAway?: (error: StatemqError) => void
  readonly onBack?: () => void
}

/** How often a store that is full looks whether there is room again. */
const RETRY_MS = 1_000
/** Between two attempts at a commit that Redis refused for a reason that passes. */
const PAUSE_MS = 100
/** A commit that Redis goes on failing in the middle of has something wrong in it. */
const MAX_FAILURES = 10

/**
 * A commit is a round trip and some half a millisecond of the processor's time, however little is in it; a client that keeps
 * 64 messages under way sends the next ones within this time of its acknowledgements.
 */
const GATHER_MS = 0.25

/**
 * A store in Redis. What waits for a session are the jobs of a BullMQ queue of its own: a job is what
 * was committed for it together. One transaction a commit, fenced by its owner, and done again until
 * it is known to be done: meanwhile nothing that waits for it is acknowledged.
 */
export class RedisStore extends GatheringStore implements Store {
  readonly name = 'redis'
  readonly #options: Required<RedisStoreOptions>
  readonly #target: RedisTarget
  readonly #keys: RedisKeys
  readonly #owner: RedisOwner
  readonly #away: RedisAway
  #links: RedisLinks | undefined
  #reader: RedisReader | undefined
  #writer: RedisWriter | undefined
  #retry: NodeJS.Timeout | undefined
  #onLink: ((link: JobLink) => void) | undefined
  /** Of the last commit that is durable. */
  #committed = 0

  /** Throws SMQ_OPTION_INVALID where the URL can't be read. */
  constructor(options: RedisStoreOptions) {
    super()
    this.#options = {
      durability: 'everysec',
      prefix: 'statemq',
      timeoutMs: 5_000,
      leaseMs: 10_000,
      onDamage: () => {},
      onFault: () => {},
      onAway: () => {},
      onBack: () => {},
      ...options,
    }
    const { prefix, leaseMs, timeoutMs, onAway, onBack } = this.#options
    this.#target = readRedisUrl(options.url)
    this.#keys = new RedisKeys(this.#target.kind === 'cluster' ? inOneSlot(prefix) : prefix)
    this.#owner = new RedisOwner(this.#keys, leaseMs)
    this.#away = new RedisAway(timeoutMs, { onAway, onBack })
  }

  protected override get gatherMs(): number {
    return GATHER_MS
  }

  async open(): Promise<void> {
    const modules = await loadModules()
    const { durability, timeoutMs, leaseMs } = this.#options
    const links = new RedisLinks(
      modules,
      {
        target: this.#target,
        keys: this.#keys,
        durability,
        timeoutMs,
        leaseMs,
        onOpened: (opened) => this.#opened(opened),
        onDown: () => this.#away.begin('link'),
        onLost: (error) => this.#lost(error),
      },
      this.#owner,
    )
    this.#links = links
    try {
      await links.open()
    } catch (error) {
      this.#links = undefined
      throw error
    }
  }

  /** See {@link JobLedger}. */
  readonly jobs: JobLedger = {
    put: (id, change) => void this.group.writes.jobs.set(id, change),
    assertOwner: () => this.#assertOwner(),
    onLink: (listener) => {
      this.#onLink = listener
      void this.#open.links.current().then(({ forJobs }) => listener(forJobs))
    },
  }

  async #assertOwner(): Promise<void> {
    const { links } = this.#open
    if (!links.isUp) throw new StatemqError('SMQ_STORE_UNAVAILABLE')
    const link = await links.current()
    this.#owner.check(await link.reader.get(this.#keys.owner))
  }

  async close(): Promise<void> {
    const links = this.#links
    if (links === undefined) return
    // While Redis is away there is nothing that can be waited for.
    await Promise.race([this.group.settled(), this.#away.told])
    clearTimeout(this.#retry)
    this.#links = undefined
    this.#away.stop()
    await links.close()
  }

  get #open(): { readonly reader: RedisReader; readonly writer: RedisWriter; readonly links: RedisLinks } {
    const reader = this.#reader
    const writer = this.#writer
    const links = this.#links
    if (!reader || !writer || !links) throw new StatemqError('SMQ_STORE_CLOSED')
    return { reader, writer, links }
  }

  protected override get packetIds(): KnownPacketIds | undefined {
    return this.#writer?.packetIds
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

  async page(key: SessionKey, from: number, maxMessages: number, maxBytes: number): Promise<readonly QueuedMessage[]> {
    const { reader } = this.#open
    const page: QueuedMessage[] = []
    let bytes = 0
    let next = from
    const take = (message: QueuedMessage): boolean => {
      const size = message.publication.sizeBytes
      if (page.length > 0 && (page.length >= maxMessages || bytes + size > maxBytes)) return false
      page.push(message)
      bytes += size
      next = message.sequence + 1
      return page.length < maxMessages
    }
    const waits = (message: QueuedMessage): boolean => message.sequence >= next && this.#waits(key, message.sequence)
    for (;;) {
      const [batch] = this.lines.get(key)?.batchesFrom(next) ?? []
      if (batch === undefined) break
      for (const message of await this.#overLinks(1, (link) => reader.batch(link, key, batch.first))) {
        if (waits(message) && !take(message)) return page.filter(({ sequence }) => this.#waits(key, sequence))
      }
      next = Math.max(next, batch.last + 1)
    }
    const { committing, gathering } = this.group
    for (const messages of [committing?.appended.get(key), gathering.appended.get(key)]) {
      for (const message of messages?.values() ?? []) if (waits(message) && !take(message)) break
    }
    return page.filter(({ sequence }) => this.#waits(key, sequence))
  }

  /**
   * Tries over one connection after the other until it is done: what a broken one left, the next one does. Where Redis
   * itself says no, and not for a reason that passes, it is asked so often.
   */
  async #overLinks<T>(maxFailures: number, attempt: (link: RedisLink) => Promise<T>): Promise<T> {
    for (let failures = 0; ;) {
      const { links } = this.#open
      const link = await links.current()
      try {
        return await attempt(link)
      } catch (error) {
        if (error instanceof StatemqError) throw error
        // What Redis said it is, it may say again for a while; a connection is not to be trusted further.
        if (link.isUp && isReply(error) && !passes(error) && ++failures >= maxFailures) throw error
        links.fail(link, error)
        await sleep(PAUSE_MS)
      }
    }
  }

  /** Whether a message is in a line, written or not, and not settled. */
  #waits(key: SessionKey, sequence: number): boolean {
    const { committing, gathering } = this.group
    if (gathering.deletedSessions.has(key) || committing?.deletedSessions.has(key) === true) return false
    if (gathering.settledEarly.get(key)?.has(sequence) === true) return false
    return (
      gathering.appended.get(key)?.has(sequence) === true ||
      committing?.appended.get(key)?.has(sequence) === true ||
      this.lines.get(key)?.has(sequence) === true
    )
  }

  durable(): Promise<void> | undefined {
    const durable = this.group.durable()
    return this.#isLost ? durable : this.#away.bound(durable)
  }

  get fault(): StatemqError | undefined {
    return this.group.fault ?? this.#away.fault
  }

  protected override async commit(writes: PendingWrites): Promise<void> {
    const plan = this.#open.writer.plan(writes)
    this.#away.begin('commit')
    try {
      await this.#untilDone(plan)
    } finally {
      this.#away.end('commit')
    }
    plan.apply()
  }

  /** The same plan again and again: whether an attempt that failed was one, only Redis knows. */
  async #untilDone(plan: RedisPlan): Promise<void> {
    await this.#overLinks(MAX_FAILURES, async (link) => {
      const number = this.#committed + 1
      const write = this.group.fault === undefined ? commit : commitAlthoughFull
      await write({ link, keys: this.#keys, owner: this.#owner, plan, number })
      this.#committed = number
    })
  }

  protected override faultOf(error: unknown): StatemqError {
    const fault =
      error instanceof StatemqError
        ? error
        : new StatemqError('SMQ_STORE_FAILED', String(error), { cause: plainError(error) })
    if (fault.code === 'SMQ_STORE_FULL') this.#retryLater()
    else if (this.group.fault !== fault) this.#lost(fault)
    return fault
  }

  #opened({ about, faults, link }: Opened): void {
    const number = Number(about.get('commit'))
    const isLater = this.#writer !== undefined
    if (this.#writer === undefined) {
      const last = (field: string): number => Number(about.get(field) ?? 0)
      const { onDamage, onFault } = this.#options
      this.#writer = new RedisWriter(this.#keys, this.lines, last(LAST_KEY), last(LAST_MESSAGE))
      const current = async () => this.#open.links.current()
      this.#reader = new RedisReader(current, this.#keys, this.lines, this.#writer, onDamage)
      this.#committed = number
      for (const fault of faults) onFault(fault)
    } else if (number < this.#committed) {
      throw replaced(`its last commit is ${number} and was ${this.#committed}`)
    }
    if (link.isUp) this.#away.end('link')
    if (isLater) this.#onLink?.(link.forJobs)
  }

  get #isLost(): boolean {
    return this.group.fault !== undefined && this.group.fault.code !== 'SMQ_STORE_FULL'
  }

  /** Nothing can be written any more; where a commit is under way, it finds out by itself. */
  #lost(error: StatemqError): void {
    this.group.fault = error
    this.#links?.stop(error)
    this.#away.stop()
    this.#options.onAway(error)
  }

  #retryLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      void this.#lookForRoom()
    }, RETRY_MS).unref()
  }

  async #lookForRoom(): Promise<void> {
    if (this.#links === undefined || this.fault?.code !== 'SMQ_STORE_FULL') return
    // One that makes room may be under way, on the same connection.
    if (this.group.committing !== undefined) return this.#retryLater()
    try {
      const link = await this.#open.links.current()
      await link.reader.hset(this.#keys.about, 'room', '1')
    } catch {
      this.#retryLater()
      return
    }
    if (this.group.fault?.code === 'SMQ_STORE_FULL') this.group.resume()
  }
}

/** Redis answered, as opposed to a connection that broke. */
function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}

/** What a server says while it starts, fails over, or is busy. */
function passes(error: unknown): boolean {
  const texts = [error, ...((error as { previousErrors?: unknown[] }).previousErrors ?? [])]
  return texts.some((one) =>
    /^(READONLY|LOADING|MASTERDOWN|NOREPLICAS|BUSY|MISCONF|TRYAGAIN|CLUSTERDOWN|MOVED|ASK|NOSCRIPT)/.test(
      (one as Error).message,
    ),
  )
}
