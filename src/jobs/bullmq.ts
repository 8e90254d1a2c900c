import type { Job as BullJob, Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'

import type { DeadJob, Job, JobHost, Jobs } from './jobs.ts'

export interface BullJobsOptions {
  /** `redis://`, `rediss://` or the path of a socket. */
  readonly url: string
  /** As the store's; default `statemq`. */
  readonly prefix?: string
  /** Default 5,000: what Redis doesn't answer in this time has failed. */
  readonly timeoutMs?: number
  /** Default 16: jobs that this process does at once, and takes ahead. */
  readonly concurrency?: number
  /** Default 5. */
  readonly maxAttempts?: number
  /** Default 1,000: before the second attempt, then twice as long each time. */
  readonly backoffMs?: number
  /** Default 30,000, the same for all brokers: how often one looks for jobs whose process has died. */
  readonly stalledCheckMs?: number
  readonly onError?: (error: unknown) => void
}

/** The queue that all brokers of a prefix share. */
const QUEUE = '{jobs}'

/** A worker that stands still loses its job to another one: by default the second time would be its end (threat 23). */
const MAX_STALLS = 10

/** Jobs as delayed jobs of BullMQ: one queue, one worker a process, three connections. */
export class BullJobs implements Jobs {
  readonly #host: JobHost
  readonly #options: Required<BullJobsOptions>
  #connections: Redis[] = []
  #queue: Queue<Job> | undefined
  #worker: Worker<Job> | undefined

  constructor(host: JobHost, options: BullJobsOptions) {
    this.#host = host
    const defaults = { prefix: 'statemq', timeoutMs: 5_000, concurrency: 16, maxAttempts: 5, backoffMs: 1_000 }
    const stalledCheckMs = 30_000
    this.#options = { ...defaults, stalledCheckMs, onError: () => {}, ...options }
  }

  async open(): Promise<void> {
    // Loaded where it is used: both are optional.
    const [{ Redis }, bullmq] = await Promise.all([import('ioredis'), import('bullmq')])
    const { url, prefix, timeoutMs, concurrency, backoffMs, maxAttempts, stalledCheckMs, onError } = this.#options
    const commands = new Redis(url, {
      commandTimeout: timeoutMs,
      connectTimeout: timeoutMs,
      // Whoever schedules is told that it failed; nothing waits for a server that is away (threat 21).
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      lazyConnect: true,
    })
    const blocking = new Redis(url, { connectTimeout: timeoutMs, maxRetriesPerRequest: null })
    this.#connections = [commands, blocking]
    for (const redis of this.#connections) redis.on('error', onError)
    await commands.connect().catch((error: unknown) => {
      for (const redis of this.#connections) redis.disconnect()
      throw error
    })
    const options = { prefix, skipVersionCheck: true } as const
    this.#queue = new bullmq.Queue<Job>(QUEUE, {
      ...options,
      connection: commands,
      defaultJobOptions: {
        attempts: maxAttempts,
        backoff: { type: 'exponential', delay: backoffMs },
        removeOnComplete: true,
        removeOnFail: false,
      },
    })
    this.#worker = new bullmq.Worker<Job>(QUEUE, (job) => this.#run(job), {
      ...options,
      connection: blocking,
      concurrency,
      maxStalledCount: MAX_STALLS,
      stalledInterval: stalledCheckMs,
    })
    this.#queue.on('error', onError)
    this.#worker.on('error', onError)
    await this.#worker.waitUntilReady()
  }

  async schedule(job: Job): Promise<void> {
    const queue = this.#open
    const jobId = idOf(job)
    // BullMQ keeps the one that is there.
    await queue.remove(jobId)
    await queue.add(job.kind, { ...job }, { jobId, delay: Math.max(0, job.dueAtMs - Date.now()) })
  }

  async cancel(job: Pick<Job, 'kind' | 'session' | 'epoch'>): Promise<void> {
    await this.#open.remove(idOf(job))
  }

  async dead(max: number): Promise<readonly DeadJob[]> {
    const jobs = await this.#open.getFailed(0, max - 1)
    return jobs.map(({ data, attemptsMade, failedReason }) => ({
      job: data,
      attempts: attemptsMade,
      reason: failedReason,
    }))
  }

  async close(): Promise<void> {
    await this.#worker?.close()
    await this.#queue?.close()
    this.#worker = undefined
    this.#queue = undefined
    for (const redis of this.#connections.splice(0)) redis.disconnect()
  }

  get #open(): Queue<Job> {
    if (this.#queue === undefined) throw new Error('the jobs are not open')
    return this.#queue
  }

  async #run({ data }: BullJob<Job>): Promise<void> {
    if (await this.#host.isCurrent(data)) await this.#host.run(data)
  }
}

/** Not a number, and without a colon, as BullMQ wants it; nothing in it is a client's (threat 25). */
function idOf({ kind, session, epoch }: Pick<Job, 'kind' | 'session' | 'epoch'>): string {
  return `${kind}-${session}-${epoch}`
}
