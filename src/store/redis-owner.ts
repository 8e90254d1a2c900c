import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Redis } from 'ioredis'

import { StatemqError } from '../errors.ts'
import type { RedisKeys } from './redis-keys.ts'

/** How what is kept is laid out. */
const FORMAT = 1

/** How often an owner that does not renew its lease is looked for, and how often in vain until it is taken for dead. */
const LOOK_MS = 250
const ABSENCES = 3

/** A lease is renewed this often while it lasts. */
export const RENEWALS_PER_LEASE = 5

/**
 * KEYS owner, lease, about. ARGV this broker, its term, 1 where it is to be the first, the lease in ms,
 * an identity for a store that is new, whose lease it is that means nothing any more. Answers what stood in the way, or '', then what about says.
 *
 * The owner changes only where nobody lives that had it, or where it is this broker's own of an
 * earlier term; a claim that was on its way for long finds a later term and does nothing. It is done
 * although there is no room: without it nothing could make room.
 */
const CLAIM = `#!lua flags=allow-oom
local owner = redis.call('GET', KEYS[1]) or ''
local broker, term = owner:match('^(.*)#(%d+)$')
local isNew = redis.call('EXISTS', KEYS[3]) == 0
if ARGV[3] == '1' then
  local lease = redis.call('GET', KEYS[2])
  if lease and lease ~= ARGV[1] and lease ~= ARGV[6] then return {'locked', lease, redis.call('PTTL', KEYS[2])} end
  if isNew then redis.call('HSET', KEYS[3], 'format', '${FORMAT}', 'id', ARGV[5], 'commit', '0') end
elseif isNew then
  return {'replaced'}
elseif broker ~= ARGV[1] or tonumber(term) >= tonumber(ARGV[2]) then
  return {'fenced'}
end
redis.call('SET', KEYS[1], ARGV[1] .. '#' .. ARGV[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[4])
return {'', redis.call('HGETALL', KEYS[3])}
`

/** KEYS owner, lease. ARGV this broker, the lease in ms; 0: it ends now. Answers whether it is the owner. */
const RENEW = `#!lua flags=allow-oom
local owner = redis.call('GET', KEYS[1]) or ''
if owner:match('^(.*)#%d+$') ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) end
return 1
`

/**
 * Whose a store in Redis is. Two keys say so: a lease that goes by itself when its owner is gone, so
 * that another one may follow, and a fence that every write compares, so that an owner that was only
 * away writes nothing any more (threats 23, 102). Each connection writes in a term of its own: what an
 * earlier one had under way is void.
 */
export class RedisOwner {
  readonly #keys: RedisKeys
  readonly #leaseMs: number
  readonly #broker = randomUUID()
  #term = 0
  #storeId: string | undefined

  constructor(keys: RedisKeys, leaseMs: number) {
    this.#keys = keys
    this.#leaseMs = leaseMs
  }

  /** What the owner's key must say for a write to count. */
  get fence(): string {
    return `${this.#broker}#${this.#term}`
  }

  /** Throws SMQ_STORE_LOCKED where the fence names another broker, SMQ_STORE_REPLACED where there is none. */
  check(fence: string | null): void {
    if (fence === this.fence) return
    if (fence === null) throw replaced('its owner is not in it any more')
    if (!fence.startsWith(`${this.#broker}#`)) throw lockedByAnother()
    throw new Error('a claim of an earlier term came late')
  }

  /**
   * Makes the store this broker's, and returns what it says about itself. Waits for the lease of an
   * owner that has died. Rejects with SMQ_STORE_LOCKED where there is another one, SMQ_STORE_REPLACED where the
   * store isn't the one that it was, SMQ_STORE_VERSION.
   */
  async claim(redis: Redis): Promise<Map<string, string>> {
    // By it everybody can see that this broker lives.
    await redis.client('SETNAME', nameOf(this.#broker))
    let endsAtMs = Infinity
    let absences = 0
    let gone = ''
    for (;;) {
      const [obstacle, facts, leftMs] = await this.#tryClaim(redis, gone)
      if (obstacle === '') return this.#accept(facts as string[])
      if (obstacle === 'fenced') throw lockedByAnother()
      if (obstacle === 'replaced') throw replaced('it is empty')
      const other = facts as string
      // One that lives renews its lease well before the end.
      const left = Number(leftMs)
      if (performance.now() + left > endsAtMs + this.#leaseMs / 10) throw lockedByAnother()
      endsAtMs = Math.min(endsAtMs, performance.now() + left)
      absences = (await isThere(redis, other)) ? 0 : absences + 1
      // One that was killed has no connection, and one that only comes back late writes nothing any more.
      if (absences >= ABSENCES) gone = other
      else await sleep(Math.min(Math.max(left, 0) + 10, LOOK_MS))
    }
  }

  async #tryClaim(redis: Redis, gone: string): Promise<unknown[]> {
    const { owner, lease, about } = this.#keys
    const isFirst = this.#storeId === undefined ? '1' : '0'
    const term = ++this.#term
    return (await redis.eval(
      CLAIM,
      3,
      owner,
      lease,
      about,
      this.#broker,
      term,
      isFirst,
      this.#leaseMs,
      randomUUID(),
      gone,
    )) as unknown[]
  }

  #accept(pairs: readonly string[]): Map<string, string> {
    const about = new Map<string, string>()
    for (let at = 0; at < pairs.length; at += 2) about.set(pairs[at]!, pairs[at + 1]!)
    const format = about.get('format')
    if (format !== `${FORMAT}`) {
      throw new StatemqError('SMQ_STORE_VERSION', `it has format ${format}, this version reads ${FORMAT}`)
    }
    const id = about.get('id')
    if (this.#storeId !== undefined && this.#storeId !== id) throw replaced('it has another identity')
    this.#storeId = id
    return about
  }

  /** Rejects with SMQ_STORE_LOCKED where it has another owner. */
  async renew(redis: Redis): Promise<void> {
    const { owner, lease } = this.#keys
    if ((await redis.eval(RENEW, 2, owner, lease, this.#broker, this.#leaseMs)) !== 1) throw lockedByAnother()
  }

  /** Lets the next owner begin at once. */
  async release(redis: Redis): Promise<void> {
    await redis.eval(RENEW, 2, this.#keys.owner, this.#keys.lease, this.#broker, 0)
  }
}

/** What the connections of a broker are called in `CLIENT LIST`. */
function nameOf(broker: string): string {
  return `statemq-${broker}`
}

/** Managed servers may not tell: then it may be. */
async function isThere(redis: Redis, broker: string): Promise<boolean> {
  const list = await redis.client('LIST').catch(() => undefined)
  return typeof list !== 'string' || list.includes(` name=${nameOf(broker)} `)
}

function lockedByAnother(): StatemqError {
  return new StatemqError('SMQ_STORE_LOCKED', 'another broker has this store in Redis')
}

export function replaced(how: string): StatemqError {
  return new StatemqError('SMQ_STORE_REPLACED', `${how}: what was acknowledged before may be lost`)
}
