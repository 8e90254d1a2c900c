import type { IRedisTransaction, JobJson } from 'bullmq'
import type { ChainableCommander } from 'ioredis'

import { StatemqError } from '../errors.ts'
import { jobQueue } from '../scheduled.ts'
import { plainError } from './redis-connect.ts'
import type { RedisOwner } from './redis-owner.ts'
import { jobOf, queueOf, type RedisKeys } from './redis-keys.ts'
import type { RedisLink } from './redis-link.ts'
import type { RedisPlan } from './redis-plan.ts'

/** Fields that go in one command: more would be a long array on both sides. */
const FIELDS_PER_COMMAND = 500

/**
 * KEYS owner, then hashes. ARGV the fence, then for each hash: how many fields are put, how many go
 * (-1: all), the fields and values that are put, the fields that go. Answers what the fence was. Done
 * although there is no room: what makes room must be written. (A transaction can't be: Redis queues
 * nothing for one then.)
 */
const WRITE_ALTHOUGH_FULL = `#!lua flags=allow-oom
local fence = redis.call('GET', KEYS[1])
if fence ~= ARGV[1] then return fence end
local at = 2
for k = 2, #KEYS do
  local puts, removals = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 2
  if removals < 0 then redis.call('UNLINK', KEYS[k]) end
  for _ = 1, puts do
    redis.call('HSET', KEYS[k], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  for _ = 1, removals do
    redis.call('HDEL', KEYS[k], ARGV[at])
    at = at + 1
  end
end
return fence`

/** Tokens of BullMQ that stand for no lock: the fence is the store's own. */
export const NO_LOCK = '0'

export interface Commit {
  readonly link: RedisLink
  readonly keys: RedisKeys
  readonly owner: RedisOwner
  readonly plan: RedisPlan
  /** Counts up with every commit. */
  readonly number: number
}

/**
 * One transaction: all of a plan, if the fence says what it should. Rejects with SMQ_STORE_FULL and
 * SMQ_STORE_LOCKED, where nothing was done; with anything else nobody knows, and the same plan may be
 * tried again.
 */
export async function commit(commit: Commit): Promise<void> {
  const { link } = commit
  // The fence may have been touched since the last commit, and be as it was: then it is looked at once more.
  const results = (await transact(commit)) ?? (await transact(commit))
  if (results === null) throw new Error('the store changed hands while it was written to')
  for (const [error] of results) if (error) throw error
  void link.fence()
  if (link.waitsForAof) await waitForAof(link)
}

/** Null: nothing was done, because somebody touched the fence after it had been read. */
async function transact(commit: Commit): Promise<[error: Error | null, result: unknown][] | null> {
  const { link, owner } = commit
  owner.check(await link.fence())
  const transaction = link.writer.multi()
  write(transaction, commit)
  try {
    return await transaction.exec()
  } catch (error) {
    throw refusal(error)
  } finally {
    link.forgetFence()
  }
}

/** Only what makes room, with no message in it. Its jobs go afterwards: without the rest they are nobody's. */
export async function commitAlthoughFull({ link, keys, owner, plan, number }: Commit): Promise<void> {
  const { writer } = link
  const names: string[] = [keys.owner]
  const values: (string | Buffer | number)[] = [owner.fence]
  for (const hash of plan.dropped) {
    names.push(hash)
    values.push(0, -1)
  }
  plan.put(keys.about, 'commit', `${number}`)
  for (const [hash, fields] of plan.hashes) {
    const put = [...fields].flatMap(([field, value]) => (value === undefined ? [] : [field, value]))
    const removed = [...fields].flatMap(([field, value]) => (value === undefined ? [field] : []))
    names.push(hash)
    values.push(put.length / 2, removed.length, ...put, ...removed)
  }
  owner.check((await writer.eval(WRITE_ALTHOUGH_FULL, names.length, ...names, ...values)) as string | null)
  const pipeline = writer.pipeline()
  for (const { key, firsts } of plan.droppedQueues) dropQueue(pipeline, link, queueOf(key), firsts)
  writeJobs(pipeline, link, plan)
  for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error
  if (link.waitsForAof) await waitForAof(link)
}

function write(transaction: ChainableCommander, { link, keys, plan, number }: Commit): void {
  for (const hash of plan.dropped) transaction.unlink(hash)
  for (const { key, firsts } of plan.droppedQueues) dropQueue(transaction, link, queueOf(key), firsts)
  plan.put(keys.about, 'commit', `${number}`)
  for (const [hash, fields] of plan.hashes) writeHash(transaction, hash, fields)
  writeJobs(transaction, link, plan)
}

function writeHash(
  transaction: ChainableCommander,
  hash: string,
  fields: ReadonlyMap<string, Buffer | string | undefined>,
): void {
  let put: (string | Buffer)[] = []
  let removed: string[] = []
  const flush = (): void => {
    if (put.length > 0) transaction.hset(hash, ...put)
    if (removed.length > 0) transaction.hdel(hash, ...removed)
    put = []
    removed = []
  }
  for (const [field, value] of fields) {
    if (value === undefined) removed.push(field)
    else put.push(field, value)
    if (put.length + removed.length >= FIELDS_PER_COMMAND) flush()
  }
  flush()
}

/** Everything that BullMQ keeps of a queue, by the names that it gives. */
function dropQueue(transaction: ChainableCommander, link: RedisLink, name: string, firsts: readonly number[]): void {
  const queue = link.queue(name)
  const { keys } = queue
  const jobs = firsts.map((first) => queue.toKey(jobOf(first)))
  const all = [...Object.values(keys), ...jobs]
  for (let at = 0; at < all.length; at += FIELDS_PER_COMMAND)
    transaction.unlink(...all.slice(at, at + FIELDS_PER_COMMAND))
}

/**
 * BullMQ's scripts go by name, and it asks one method of a transaction. The reader knows the scripts; on the writer every
 * transaction would begin with a copy of all their names, which costs more than the rest of it.
 */
function scriptsOver(transaction: ChainableCommander, { reader }: RedisLink): IRedisTransaction {
  const scripts = reader as unknown as Record<string, (this: ChainableCommander, args: unknown[]) => void>
  const runCommand = (name: string, args: unknown[]): void => scripts[name]!.call(transaction, args)
  return { runCommand } as unknown as IRedisTransaction
}

function writeJobs(transaction: ChainableCommander, link: RedisLink, { added, ended, scheduled }: RedisPlan): void {
  const scripts = scriptsOver(transaction, link)
  writeScheduled(scripts, transaction, link, scheduled)
  const timestamp = Date.now()
  let last: string | undefined
  for (const { key, first, data } of added) {
    const name = queueOf(key)
    const queue = link.queue(name)
    // A queue keeps no log of what happened in it: there may be very many of them.
    if (name !== last) transaction.hset(queue.keys['meta']!, 'opts.maxLenEvents', '0')
    last = name
    const id = jobOf(first)
    const job = { id, name: JOB_NAME, data, opts: { jobId: id, removeOnComplete: true }, timestamp, attemptsMade: 0 }
    void queue.addJobToTransaction(scripts, job as unknown as JobJson, id)
  }
  for (const { key, first, wasTaken } of ended) {
    const queue = link.queue(queueOf(key))
    const id = jobOf(first)
    if (wasTaken) {
      const args = queue.moveToCompletedArgs({ id, opts: { attempts: 1 } } as never, null, true, NO_LOCK, false)
      queue.execCommand(scripts, 'moveToFinished', args)
    } else {
      queue.execCommand(scripts, 'removeJob', [queue.toKey(id), queue.toKey('repeat'), id, 0, queue.toKey('')])
    }
  }
}

/** Wills and ends of sessions. One that is replaced may be another process's that has died, with its lock. */
function writeScheduled(
  scripts: IRedisTransaction,
  transaction: ChainableCommander,
  link: RedisLink,
  jobs: RedisPlan['scheduled'],
): void {
  if (jobs.size === 0) return
  const queue = link.queue(jobQueue)
  const timestamp = Date.now()
  transaction.hset(queue.keys['meta']!, 'opts.maxLenEvents', '0')
  for (const [id, job] of jobs) {
    if (!job || job.isAnew) {
      const key = queue.toKey(id)
      if (job !== undefined) transaction.unlink(`${key}:lock`)
      queue.execCommand(scripts, 'removeJob', [key, queue.toKey('repeat'), id, 0, queue.toKey('')])
    }
    if (!job) continue
    const delay = Math.max(0, Math.ceil(job.dueAtMs - timestamp))
    const json = {
      id,
      name: job.kind,
      data: job.data,
      opts: { ...job.options, jobId: id, delay },
      timestamp,
      attemptsMade: 0,
    }
    void queue.addJobToTransaction(scripts, json as unknown as JobJson, id)
  }
}

/** What the jobs of a session's queue are called. */
const JOB_NAME = 'deliver'

async function waitForAof(link: RedisLink): Promise<void> {
  const reply = (await link.writer.call('WAITAOF', 1, 0, link.timeoutMs)) as [number, number]
  if (reply[0] < 1) throw new Error('the server did not flush in time')
}

/** What a transaction that was refused as a whole was refused for. */
function refusal(error: unknown): unknown {
  const { message = '', previousErrors = [] } = error as { message?: string; previousErrors?: Error[] }
  const texts = [message, ...previousErrors.map((one) => one.message)]
  if (!texts.some((text) => text.startsWith('OOM'))) return error
  return new StatemqError('SMQ_STORE_FULL', 'Redis has come to its maxmemory', { cause: plainError(error) })
}
