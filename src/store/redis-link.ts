import type { RedisQueueBackend } from 'bullmq'
import type { Redis } from 'ioredis'

import type { JobLink } from '../scheduled.ts'
import { connectAll, plainError, type Connecting, type RedisModules } from './redis-connect.ts'
import { judge, factsOf, needsWaitAof, type RedisDurability } from './redis-server.ts'
import type { RedisKeys } from './redis-keys.ts'
import type { RedisOwner } from './redis-owner.ts'
import type { RedisTarget } from './redis-url.ts'

export interface LinkOptions {
  readonly target: RedisTarget
  readonly keys: RedisKeys
  readonly durability: RedisDurability
  /** A command that takes longer has failed, and its connection with it. */
  readonly timeoutMs: number
}

/** What was read when a link was made. */
export interface Opened {
  readonly link: RedisLink
  readonly about: Map<string, string>
  /** What the server keeps less well than it could. */
  readonly faults: readonly string[]
}

/** Those that are written to all the time are among them; each is a kilobyte. */
const MAX_KNOWN_QUEUES = 1_000

/**
 * Two connections to Redis: one that only commits, so that the `WATCH` of its fence is nobody else's to
 * end, and one for everything else. When anything about them fails both end, and the next link is made
 * in a new term: nothing is ever sent again on its own.
 */
export class RedisLink {
  readonly writer: Redis
  readonly reader: Redis
  /** BullMQ over the reader. */
  readonly queues: RedisQueueBackend
  readonly waitsForAof: boolean
  readonly timeoutMs: number
  readonly #connecting: Connecting
  readonly #prefix: string
  readonly #connections = new Set<Redis>()
  readonly #end = new AbortController()
  readonly #known = new Map<string, RedisQueueBackend>()
  #watched: Promise<string | null> | undefined
  #isReleased = false
  #failure: Error | undefined
  #onFailure: (error: Error) => void = () => {}

  private constructor(
    writer: Redis,
    reader: Redis,
    queues: RedisQueueBackend,
    connecting: Connecting,
    prefix: string,
    waitsForAof: boolean,
  ) {
    this.writer = writer
    this.reader = reader
    this.queues = queues
    this.timeoutMs = connecting.timeoutMs
    this.waitsForAof = waitsForAof
    this.#connecting = connecting
    this.#prefix = prefix
    for (const connection of [writer, reader]) this.#keep(connection)
  }

  /** Rejects with a `SMQ_STORE_…` error where nothing is gained by trying again, else with any other. */
  static async open(modules: RedisModules, options: LinkOptions, owner: RedisOwner): Promise<Opened> {
    const { target, keys, durability, timeoutMs } = options
    const connecting: Connecting = { modules, target, key: keys.owner, timeoutMs }
    const [writer, reader] = (await connectAll(connecting, ['commands', 'commands'])) as [Redis, Redis]
    try {
      const facts = await factsOf(reader)
      if (facts.isLoading) throw new Error('the server is loading what it had')
      const faults = judge(facts, durability, target.kind === 'cluster')
      if (facts.isReplica) throw new Error('the server is a replica')
      const about = await owner.claim(reader)
      const queues = await backendOf(modules, reader, keys.prefix)
      const link = new RedisLink(writer, reader, queues, connecting, keys.prefix, needsWaitAof(facts, durability))
      return { link, about, faults }
    } catch (error) {
      for (const redis of [writer, reader]) redis.disconnect()
      throw plainError(error)
    }
  }

  get isUp(): boolean {
    return this.#failure === undefined
  }

  /**
   * What the owner's key says, watched since it was read: a transaction is void if it has changed. Asked for behind
   * every transaction already, so that the next one waits for no answer but its own.
   */
  fence(): Promise<string | null> {
    if (this.#watched === undefined) {
      this.#watched = this.#watch()
      // Whoever asks next is told.
      this.#watched.catch(() => {})
    }
    return this.#watched
  }

  async #watch(): Promise<string | null> {
    const { key } = this.#connecting
    const replies = await this.writer.pipeline().watch(key).get(key).exec()
    for (const [error] of replies ?? []) if (error) throw error
    return (replies?.[1]?.[1] ?? null) as string | null
  }

  /** A transaction ends every watch of its connection, whatever becomes of it. */
  forgetFence(): void {
    this.#watched = undefined
  }

  /** Called once, when it ends. */
  set onFailure(tell: (error: Error) => void) {
    this.#onFailure = tell
  }

  /** Something about it is not as it should be: it ends. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.disconnect()
    this.#onFailure(error)
  }

  disconnect(): void {
    this.#failure ??= new Error('the link was closed')
    for (const redis of this.#connections) redis.disconnect()
    this.#end.abort()
  }

  /** For whoever does the jobs of the store. */
  get forJobs(): JobLink {
    return {
      prefix: this.#prefix,
      signal: this.#end.signal,
      connect: async () => {
        const made = await connectAll(this.#connecting, ['commands', 'blocking'])
        for (const redis of made) this.#keep(redis)
        return made as unknown as readonly [Redis, Redis]
      },
      release: () => {
        this.#isReleased = true
      },
    }
  }

  /** A connection that is a part of it: with any of them all end. */
  #keep(redis: Redis): void {
    if (!this.isUp) return redis.disconnect()
    this.#connections.add(redis)
    redis.on('close', () => {
      if (!this.#isReleased || redis === this.writer || redis === this.reader)
        this.fail(new Error('the connection to Redis was closed'))
    })
  }

  /** A queue's part of BullMQ, without a connection of its own. */
  queue(name: string): RedisQueueBackend {
    let queue = this.#known.get(name)
    if (queue === undefined) {
      if (this.#known.size >= MAX_KNOWN_QUEUES) this.#known.clear()
      queue = this.queues.forQueue(name) as RedisQueueBackend
      this.#known.set(name, queue)
    }
    return queue
  }
}

/** Also teaches the connection the names of BullMQ's scripts. */
async function backendOf(modules: RedisModules, redis: Redis, prefix: string): Promise<RedisQueueBackend> {
  const options = { connection: redis, prefix, skipVersionCheck: true, skipMetasUpdate: true } as const
  const backend = modules.createRedisBackend('sessions', options) as RedisQueueBackend
  backend.on('error', () => {})
  await backend.waitUntilReady()
  return backend
}
