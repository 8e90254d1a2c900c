import type { Redis } from 'ioredis'

import { StatemqError } from '../errors.ts'

/**
 * `everysec`: as durable as the server is configured, with `appendfsync everysec` the last second may
 * be lost with it. `fsync`: what is acknowledged is on the server's disk.
 */
export type RedisDurability = 'everysec' | 'fsync'

/** What a server says of itself. */
export interface ServerFacts {
  readonly version: readonly [number, number]
  readonly isCluster: boolean
  readonly isReplica: boolean
  /** It reads what it had: what it says of its append-only file meanwhile is not so. */
  readonly isLoading: boolean
  readonly hasAppendOnlyFile: boolean
  /** Undefined where it does not tell. */
  readonly appendfsync: string | undefined
  readonly evictionPolicy: string
}

export async function factsOf(redis: Redis): Promise<ServerFacts> {
  const [info, config] = await Promise.all([
    redis.info(),
    // Managed servers often don't answer this.
    redis.config('GET', 'appendfsync').catch(() => [] as unknown),
  ])
  const facts = new Map(
    info.split(/\r?\n/).map((line): [string, string] => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon), line.slice(colon + 1)]
    }),
  )
  const [major = 0, minor = 0] = (facts.get('redis_version') ?? '').split('.').map(Number)
  return {
    version: [major, minor],
    isCluster: facts.get('cluster_enabled') === '1',
    isReplica: facts.get('role') === 'slave',
    isLoading: facts.get('loading') === '1',
    hasAppendOnlyFile: facts.get('aof_enabled') === '1',
    appendfsync: Array.isArray(config) ? (config[1] as string | undefined) : undefined,
    evictionPolicy: facts.get('maxmemory_policy') ?? 'noeviction',
  }
}

/** Where the acknowledgement of a write is not yet its flush, `WAITAOF` waits for that. */
export function needsWaitAof(facts: ServerFacts, durability: RedisDurability): boolean {
  return durability === 'fsync' && facts.appendfsync !== 'always'
}

/** Throws SMQ_STORE_UNSUITABLE where the server can't keep what is asked of it; returns what it keeps less well than it could. */
export function judge(facts: ServerFacts, durability: RedisDurability, inOneSlot: boolean): string[] {
  const unsuitable = (why: string): never => {
    throw new StatemqError('SMQ_STORE_UNSUITABLE', why)
  }
  const { version, evictionPolicy } = facts
  if (version[0] < 7) unsuitable(`it is Redis ${version.join('.')}, and 7.0 is needed`)
  if (facts.isCluster && !inOneSlot)
    unsuitable('it is a cluster: say redis+cluster://, so that all keys are in one slot')
  if (!facts.isCluster && inOneSlot) unsuitable('it is no cluster: say redis://')
  const faults: string[] = []
  if (evictionPolicy !== 'noeviction') {
    faults.push(
      `its eviction policy is ${evictionPolicy}: what is to be kept may be evicted; set maxmemory-policy noeviction`,
    )
  }
  if (!facts.hasAppendOnlyFile) {
    faults.push('it has no append-only file: what is acknowledged is lost when it ends; set appendonly yes')
  }
  if (durability === 'everysec') return faults
  if (faults.length > 0) unsuitable(`for durability fsync: ${faults.join('; ')}`)
  if (needsWaitAof(facts, durability) && (version[0] === 7 ? version[1] < 2 : false)) {
    unsuitable(
      `durability fsync needs WAITAOF, which Redis has from 7.2 on, or appendfsync always; ` +
        `this is ${version.join('.')} with appendfsync ${facts.appendfsync ?? 'unknown'}`,
    )
  }
  return []
}
