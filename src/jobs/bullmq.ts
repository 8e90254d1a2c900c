import type * as BullMq from 'bullmq'
import type { Job as BullJob, Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'

import { StatemqError } from '../errors.ts'
import {
  idOfJob,
  JobPostponed,
  jobQueue,
  readJobId,
  type DeadJob,
  type Job,
  type JobHost,
  type JobLedger,
  type JobLink,
  type JobName,
  type Jobs,
} from '../scheduled.ts'
import type { Timers } from './embedded.ts'
import { readJob, type JobLimits, type JobReports } from './jobs.ts'

export interface BullJobsOptions extends JobReports {
  readonly ledger: JobLedger
  readonly limits: JobLimits
  readonly nowMs: () => number
  /** Default 30,000: how long a worker has a job for itself without saying that it still does. */
  readonly lockMs?: number
  /** The engine's deadlines. */
  readonly timers: Timers
  /** Default 250: a job this late is done without BullMQ, which is behind, has lost it, or could not be given it. */
  readonly lateMs?: number
}

/** A worker that stands still loses its job to another one: by default the second time would be its end (threat 23). */
const MAX_STALLS = 10

/** Identifiers that are asked for at once. */
const PAGE_JOBS = 1_000

/** Between two looks at a late job that can't be done now. */
const LOOK_AGAIN_MS = 1_000

/** A job and the timer that looks whether it was done. */
interface Entry {
  readonly job: Job
  timer: unknown
}

/** What BullMQ runs on while one connection of the store lasts. */
interface Running {
  readonly link: JobLink
  readonly queue: Queue<unknown>
  readonly worker: Worker<unknown>
}

/**
 * Jobs as delayed jobs of BullMQ, in one queue, written in the transactions of the store: a session, its
 * end and its will are there together or not at all. One worker a process takes what is due. Whether it
 * still is, the broker knows best, which has all sessions of its store in memory; that it still has the
 * store, Redis is asked before each. What the worker has not come to in time, since a crowd is due at once,
 * is done from memory all the same, and its jobs go with what was done.
 */
export class BullJobs implements Jobs {
  readonly #options: Required<BullJobsOptions>
  /** Everything that is to be done. What BullMQ has besides is out of date. */
  readonly #jobs = new Map<string, Entry>()
  readonly #dead = new Set<string>()
  readonly #doing = new Map<string, Promise<void>>()
  #host: JobHost | undefined
  #bull: typeof BullMq | undefined
  #running: Running | undefined
  #owning: Promise<void> | undefined
  #isOpen = false
  #isClosed = false
  /** The last connection that was told to have broken. */
  #lost: JobLink | undefined

  constructor(options: BullJobsOptions) {
    this.#options = { lockMs: 30_000, lateMs: 250, ...options }
  }

  async open(host: JobHost): Promise<void> {
    this.#host = host
    // Loaded where it is used: it is optional.
    this.#bull = await import('bullmq')
    this.#isOpen = true
    await new Promise<void>((resolve, reject) => {
      this.#options.ledger.onLink((link) => void this.#begin(link).then(resolve, reject))
    })
  }

  schedule(job: Job): void {
    const id = idOfJob(job)
    const isAnew = this.#forget(id)
    const entry: Entry = { job, timer: undefined }
    this.#jobs.set(id, entry)
    this.#watch(entry, job.dueAtMs + this.#options.lateMs)
    this.#dead.delete(id)
    if (this.#isOpen) this.#put(id, job, isAnew)
  }

  cancel(job: JobName): void {
    const id = idOfJob(job)
    if (this.#isClosed || !this.#forget(id)) return
    this.#dead.delete(id)
    // The worker that has it takes it away.
    if (this.#isOpen && !this.#doing.has(id)) this.#options.ledger.put(id, undefined)
  }

  async dead(max: number): Promise<readonly DeadJob[]> {
    const jobs = await this.#queue.getFailed(0, max - 1)
    // What is none of ours is shown as well: nobody else would see it, and it counts.
    return jobs.map(({ id = '', data, attemptsMade, failedReason }) => ({
      id,
      job: readJob(data),
      attempts: attemptsMade,
      reason: failedReason,
    }))
  }

  async deadCount(): Promise<number> {
    return this.#queue.getFailedCount()
  }

  async retry(id: string): Promise<boolean> {
    const found = await this.#deadJob(id)
    if (found === undefined) return false
    await found.retry('failed', { resetAttemptsMade: true })
    this.#dead.delete(id)
    return true
  }

  async drop(id: string): Promise<boolean> {
    const found = await this.#deadJob(id)
    if (found === undefined) return false
    await found.remove()
    this.#dead.delete(id)
    this.#forget(id)
    return true
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const entry of this.#jobs.values()) this.#unwatch(entry)
    const running = this.#running
    this.#running = undefined
    running?.link.release()
    // Nothing is taken from here on; what was taken is finished.
    await running?.worker.close().catch(this.#options.onError)
    await Promise.allSettled(this.#doing.values())
    await running?.queue.close().catch(this.#options.onError)
  }

  get #queue(): Queue<unknown> {
    if (this.#running === undefined) throw new StatemqError('SMQ_STORE_UNAVAILABLE')
    return this.#running.queue
  }

  async #deadJob(id: string): Promise<BullJob<unknown> | undefined> {
    await this.#options.ledger.assertOwner()
    // Asked first: BullMQ has keys of other types under names that somebody may take for a job's.
    return (await this.#queue.getJobState(id)) === 'failed' ? this.#queue.getJob(id) : undefined
  }

  #put(id: string, job: Job, isAnew: boolean): void {
    const { limits, ledger, nowMs } = this.#options
    ledger.put(id, {
      kind: job.kind,
      data: JSON.stringify(job),
      // The broker's clock is steady, BullMQ's is the system's.
      dueAtMs: Date.now() + job.dueAtMs - nowMs(),
      isAnew,
      options: {
        attempts: limits.maxJobAttempts,
        backoff: { type: 'exponential', delay: limits.jobBackoffMs },
        removeOnComplete: true,
        removeOnFail: { count: limits.maxDeadJobs },
      },
    })
  }

  /** There is a connection: what BullMQ has is compared with what is to be done, and taken when it is due. */
  async #begin(link: JobLink): Promise<void> {
    if (this.#isClosed) return
    const { limits, lockMs } = this.#options
    const { Queue, Worker } = this.#bull!
    const [commands, blocking] = (await link.connect()) as readonly [Redis, Redis]
    // BullMQ makes its second connection like the first; it gets one that waits for as long as it asks.
    Object.assign(commands, { duplicate: () => blocking })
    // Not without a look at the version: BullMQ would wait for whole seconds, as very old servers need it.
    const options = { prefix: link.prefix, connection: commands } as const
    const queue = new Queue<unknown>(jobQueue, { ...options, skipMetasUpdate: true, skipVersionCheck: true })
    queue.on('error', () => {})
    await this.#reconcile(queue)
    if (this.#isClosed || link.signal.aborted) return
    const worker = new Worker<unknown>(jobQueue, (job, token) => this.#take(job, token), {
      ...options,
      concurrency: limits.maxConcurrentJobs,
      maxStalledCount: MAX_STALLS,
      lockDuration: lockMs,
      stalledInterval: lockMs,
    })
    const running = { link, queue, worker }
    this.#running = running
    // Those of a connection that ended are no news.
    worker.on('error', (error) => {
      // It was done from memory meanwhile, and its job went with it.
      if (!link.signal.aborted && !/^Missing (key|lock) for job/.test(error.message)) this.#report(link, error)
    })
    worker.on('failed', (job, error) => this.#failed(job, error))
    link.signal.addEventListener('abort', () => {
      if (this.#running === running) this.#running = undefined
      worker.close(true).catch(() => {})
    })
  }

  /**
   * What is to be done and is not there is put there, also where it was being done: nobody else may be doing
   * it, since the store has one owner. What is there and not to be done goes, but for
   * what others have put there and was given up.
   */
  async #reconcile(queue: Queue<unknown>): Promise<void> {
    const there = new Map<string, 'waits' | 'active' | 'failed'>()
    for (const [state, types] of [
      ['waits', ['delayed', 'waiting']],
      ['active', ['active']],
      ['failed', ['failed']],
    ] as const) {
      for (const type of types) for await (const id of idsOf(queue, type)) there.set(id, state)
    }
    for (const [id, { job }] of this.#jobs) {
      const state = there.get(id)
      if (state === 'failed') this.#dead.add(id)
      else if (state !== 'waits') this.#put(id, job, state === 'active')
    }
    for (const [id, state] of there) {
      // A dead one that nobody waits for any more is none: what it was about is over, or was done at the start.
      if (!this.#jobs.has(id) && (state !== 'failed' || readJobId(id) !== undefined)) this.#options.ledger.put(id, null)
    }
  }

  async #take(taken: BullJob<unknown>, token: string | undefined): Promise<void> {
    const { UnrecoverableError } = this.#bull!
    const named = readJob(taken.data)
    if (named === undefined || idOfJob(named) !== taken.id) throw new UnrecoverableError('it is no job of a broker')
    const entry = this.#jobs.get(taken.id)
    if (entry === undefined) return
    const { job } = entry
    const leftMs = job.dueAtMs - this.#options.nowMs()
    // The system's clock was put forward, or a later word came while it was on its way.
    if (leftMs > 1) return this.#later(taken, token, leftMs)
    // From here on it is BullMQ's, with its attempts.
    this.#unwatch(entry)
    try {
      await this.#do(taken.id, entry)
    } catch (error) {
      if (error instanceof JobPostponed) return this.#later(taken, token, this.#options.limits.jobBackoffMs)
      throw error
    }
  }

  async #later(taken: BullJob<unknown>, token: string | undefined, ms: number): Promise<never> {
    const { DelayedError } = this.#bull!
    await taken.moveToDelayed(Date.now() + Math.ceil(ms), token)
    throw new DelayedError()
  }

  /** Whoever comes while it is being done gets the same answer. */
  #do(id: string, entry: Entry): Promise<void> {
    const known = this.#doing.get(id)
    if (known !== undefined) return known
    const doing = this.#fenced(entry.job).then(
      () => {
        this.#doing.delete(id)
        if (this.#jobs.get(id) === entry) this.#forget(id)
      },
      (error: unknown) => {
        this.#doing.delete(id)
        throw error
      },
    )
    this.#doing.set(id, doing)
    return doing
  }

  async #fenced(job: Job): Promise<void> {
    const host = this.#host!
    if (!host.isCurrent(job)) return
    // An owner that stood still must not send what its successor sends (threat 102).
    await this.#assertOwner()
    if (host.isCurrent(job)) await host.run(job)
  }

  #failed(job: BullJob<unknown> | undefined, error: Error): void {
    // BullMQ says so of each attempt.
    if (job?.id === undefined || job.finishedOn === undefined) return
    const named = readJob(job.data)
    if (this.#jobs.has(job.id)) this.#dead.add(job.id)
    this.#options.onDead(named, error.message)
  }

  /** One question for all that are due in a turn: a thousand may be. */
  #assertOwner(): Promise<void> {
    if (this.#owning === undefined) {
      this.#owning = this.#options.ledger.assertOwner()
      setImmediate(() => {
        this.#owning = undefined
      })
    }
    return this.#owning
  }

  /** A link that ends takes all that is under way with it: that is one thing to tell, and nobody has to do anything. */
  #report(link: JobLink, error: unknown): void {
    if (!isOfConnection(error)) return this.#options.onError(error)
    if (this.#lost === link) return
    this.#lost = link
    this.#options.onAway(error)
  }

  #forget(id: string): boolean {
    const entry = this.#jobs.get(id)
    if (entry === undefined) return false
    this.#unwatch(entry)
    return this.#jobs.delete(id)
  }

  #watch(entry: Entry, atMs: number): void {
    entry.timer = this.#options.timers.schedule(atMs, () => {
      entry.timer = undefined
      this.#late(entry)
    })
  }

  #unwatch(entry: Entry): void {
    if (entry.timer !== undefined) this.#options.timers.cancel(entry.timer)
    entry.timer = undefined
  }

  #late(entry: Entry): void {
    const { nowMs, ledger } = this.#options
    const id = idOfJob(entry.job)
    if (this.#isClosed || this.#dead.has(id) || this.#doing.has(id)) return
    const again = (): void => {
      if (!this.#isClosed && this.#jobs.get(id) === entry) this.#watch(entry, nowMs() + LOOK_AGAIN_MS)
    }
    // Redis is away, or nobody does jobs yet.
    if (this.#running === undefined) return again()
    const { link } = this.#running
    this.#do(id, entry).then(
      () => ledger.put(id, null),
      (error: unknown) => {
        if (!(error instanceof JobPostponed)) this.#report(link, error)
        again()
      },
    )
  }
}

/** Whether it says that the server can't be reached, which is the server's fault and no job's. */
function isOfConnection(error: unknown): boolean {
  if (error instanceof StatemqError) return error.code === 'SMQ_STORE_UNAVAILABLE'
  const { code, message = '' } = (error ?? {}) as { readonly code?: unknown; readonly message?: string }
  return (
    connectionCodes.has(code) || message === 'Connection is closed.' || message.startsWith("Stream isn't writeable")
  )
}

const connectionCodes: ReadonlySet<unknown> = new Set([
  'EPIPE',
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
])

async function* idsOf(queue: Queue<unknown>, type: 'delayed' | 'waiting' | 'active' | 'failed') {
  for (let from = 0; ; from += PAGE_JOBS) {
    const ids = await queue.getRanges([type], from, from + PAGE_JOBS - 1)
    yield* ids
    if (ids.length < PAGE_JOBS) return
  }
}
