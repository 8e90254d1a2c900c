import type { createRedisBackend, RedisQueueBackend } from 'bullmq'
import type { Redis } from 'ioredis'

import { StatemqError } from '../errors.ts'
import { judge, factsOf, needsWaitAof, type RedisDurability } from './redis-server.ts'
import type { RedisKeys } from './redis-keys.ts'
import type { RedisOwner } from './redis-owner.ts'

/** The packages that only this store needs. */
export interface RedisModules {
  readonly Redis: typeof Redis
  readonly createRedisBackend: typeof createRedisBackend
}

/** Rejects with SMQ_STORE_MODULE where they are not installed. */
export async function loadModules(): Promise<RedisModules> {
  try {
    const [ioredis, bullmq] = await Promise.all([import('ioredis'), import('bullmq')])
    return { Redis: ioredis.Redis, createRedisBackend: bullmq.createRedisBackend }
  } catch (error) {
    throw new StatemqError('SMQ_STORE_MODULE', 'npm install ioredis bullmq', { cause: error })
  }
}

export interface LinkOptions {
  readonly url: string
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

/**
 * Two connections to Redis: one that only commits, so that the `WATCH` of its fence is nobody else's to
 * end, and one for everything else. When anything about them fails both end, and the next link is made
 * in a new term: nothing is ever sent again on its own.
 */
export class RedisLink {
  readonly writer: Redis
  readonly reader: Redis
  /** BullMQ over the reader, and with the names of its scripts over the writer. */
  readonly queues: RedisQueueBackend
  readonly waitsForAof: boolean
  readonly timeoutMs: number
  #failure: Error | undefined
  #onFailure: (error: Error) => void = () => {}

  private constructor(
    writer: Redis,
    reader: Redis,
    queues: RedisQueueBackend,
    timeoutMs: number,
    waitsForAof: boolean,
  ) {
    this.writer = writer
    this.reader = reader
    this.queues = queues
    this.timeoutMs = timeoutMs
    this.waitsForAof = waitsForAof
    for (const connection of [writer, reader]) {
      connection.on('close', () => this.fail(new Error('the connection to Redis was closed')))
    }
  }

  /** Rejects with a `SMQ_STORE_…` error where nothing is gained by trying again, else with any other. */
  static async open(modules: RedisModules, options: LinkOptions, owner: RedisOwner): Promise<Opened> {
    const { url, keys, durability, timeoutMs } = options
    const connections = [0, 1].map(() => {
      const redis = new modules.Redis(url, {
        lazyConnect: true,
        connectTimeout: timeoutMs,
        commandTimeout: timeoutMs,
        // A link does not come back: the next one does.
        retryStrategy: null,
        enableOfflineQueue: false,
        enableReadyCheck: false,
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: null,
      })
      redis.on('error', () => {})
      return redis
    })
    const [writer, reader] = connections as [Redis, Redis]
    try {
      await Promise.all(connections.map((redis) => redis.connect()))
      const facts = await factsOf(reader)
      const faults = judge(facts, durability)
      if (facts.isReplica) throw new Error('the server is a replica')
      const about = await owner.claim(reader)
      const queues = await backendOf(modules, reader, keys.prefix)
      await backendOf(modules, writer, keys.prefix)
      const link = new RedisLink(writer, reader, queues, timeoutMs, needsWaitAof(facts, durability))
      return { link, about, faults }
    } catch (error) {
      for (const redis of connections) redis.disconnect()
      throw error
    }
  }

  get isUp(): boolean {
    return this.#failure === undefined
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
    this.writer.disconnect()
    this.reader.disconnect()
  }

  /** A queue's part of BullMQ, without a connection of its own. */
  queue(name: string): RedisQueueBackend {
    return this.queues.forQueue(name) as RedisQueueBackend
  }
}

/** Also teaches the connection BullMQ's scripts. */
async function backendOf(modules: RedisModules, redis: Redis, prefix: string): Promise<RedisQueueBackend> {
  const options = { connection: redis, prefix, skipVersionCheck: true, skipMetasUpdate: true } as const
  const backend = modules.createRedisBackend('sessions', options) as RedisQueueBackend
  backend.on('error', () => {})
  await backend.waitUntilReady()
  return backend
}
