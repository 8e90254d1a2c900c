import type { Duplex } from 'node:stream'

import type { createRedisBackend } from 'bullmq'
import type { Redis } from 'ioredis'

import { StatemqError } from '../errors.ts'
import type { RedisOptions, RedisTarget } from './redis-url.ts'

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

/** To whom, and how. */
export interface Connecting {
  readonly modules: RedisModules
  readonly target: RedisTarget
  /** All keys of the store are in the slot of this one. */
  readonly key: string
  /** What takes longer has failed. */
  readonly timeoutMs: number
}

/** What a connection is for: `blocking` ones wait for answers as long as BullMQ has them wait. */
type Use = 'commands' | 'blocking'

/** BullMQ's limit on how long a command blocks. */
const MAX_BLOCK_MS = 10_000

/**
 * Connections to the one server that has the store's keys: for sentinels the master that they know now,
 * for a cluster the node with the slot. Each ends for good with its first failure, and sends nothing
 * again on its own. Rejects with what went wrong, in which no secret is.
 */
export async function connectAll(connecting: Connecting, uses: readonly Use[]): Promise<Redis[]> {
  const options = await optionsFor(connecting)
  const connections = uses.map((use) => make(connecting, options, use))
  try {
    await Promise.all(connections.map(connect))
    return connections
  } catch (error) {
    for (const redis of connections) redis.disconnect()
    throw error
  }
}

/** Rejects with why, which ioredis says by an event and not here. */
async function connect(redis: Redis): Promise<void> {
  let reason: Error | undefined
  const note = (error: Error): void => {
    reason ??= error
  }
  redis.on('error', note)
  try {
    await redis.connect()
  } catch (error) {
    throw plainError(reason ?? error)
  } finally {
    redis.off('error', note)
  }
}

function make({ modules, timeoutMs }: Connecting, options: RedisOptions, use: Use): Redis {
  const all: RedisOptions = {
    ...options,
    lazyConnect: true,
    connectTimeout: timeoutMs,
    ...(use === 'commands' ? { commandTimeout: timeoutMs } : { socketTimeout: MAX_BLOCK_MS + timeoutMs }),
    // A connection does not come back: the next one does.
    retryStrategy: null,
    sentinelRetryStrategy: () => null,
    sentinelReconnectStrategy: () => null,
    sentinelCommandTimeout: timeoutMs,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: null,
  }
  const redis = new modules.Redis(all)
  // A TLS socket may say more than once what is wrong with it, and ioredis listens to the first time only.
  redis.on('error', () => (redis as unknown as { readonly stream?: Duplex }).stream?.on('error', () => {}))
  return redis
}

async function optionsFor(connecting: Connecting): Promise<RedisOptions> {
  const { target, key } = connecting
  if (target.kind !== 'cluster') return target.options
  let failure: unknown
  for (const node of target.nodes) {
    const redis = make(connecting, { ...target.options, ...node }, 'commands')
    try {
      await connect(redis)
      return { ...target.options, ...(await masterOf(redis, key, node)) }
    } catch (error) {
      failure = error
    } finally {
      redis.disconnect()
    }
  }
  throw plainError(failure)
}

type SlotRange = readonly [first: number, last: number, master: readonly [host: string | null, port: number]]

/** The master of the slot of a key, as a node of the cluster knows it. */
async function masterOf(redis: Redis, key: string, asked: { readonly host: string }): Promise<RedisOptions> {
  const [slot, ranges] = await Promise.all([
    redis.cluster('KEYSLOT', key),
    redis.cluster('SLOTS') as Promise<unknown> as Promise<readonly SlotRange[]>,
  ])
  const range = ranges.find(([first, last]) => first <= slot && slot <= last)
  if (range === undefined) throw new Error(`no node of the cluster has slot ${slot}`)
  const [host, port] = range[2]
  // A node that does not know its own name is where it was found.
  return { host: host || asked.host, port }
}

/**
 * What went wrong, without the command that went wrong with it: ioredis keeps that in its errors, with
 * passwords and payloads, and loggers print whatever an error has (threat 94).
 */
export function plainError(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error))
  const inner = (error as { previousErrors?: unknown[] }).previousErrors
  for (const one of [error, ...(inner ?? [])]) delete (one as { command?: unknown }).command
  return error
}
