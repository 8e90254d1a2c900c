import { idOfJob, JobPostponed, type DeadJob, type Job, type JobHost, type JobName, type Jobs } from '../scheduled.ts'
import type { JobLimits, JobReports } from './jobs.ts'

/** The engine's deadlines: absolute times under one timer, fired some at a time. */
export interface Timers<Timer = unknown> {
  schedule(atMs: number, callback: () => void): Timer
  cancel(timer: Timer): void
}

export interface EmbeddedJobsOptions extends JobReports {
  readonly timers: Timers
  readonly limits: JobLimits
  readonly nowMs: () => number
}

interface Entry {
  readonly job: Job
  timer: unknown
  attempts: number
}

/**
 * Jobs of a broker that has its sessions for itself: the times are in what its store says of sessions
 * and wills, so that nothing more has to be kept. What fell due while nobody ran is scheduled at the
 * start, and done then. A dead job is tried again by the next process.
 */
export class EmbeddedJobs implements Jobs {
  readonly #options: EmbeddedJobsOptions
  readonly #entries = new Map<string, Entry>()
  /** The oldest first. */
  readonly #dead = new Map<string, DeadJob>()
  readonly #running = new Set<Promise<void>>()
  /** Due before there was somebody to do them. */
  #early: Entry[] = []
  #host: JobHost | undefined
  #isClosed = false

  constructor(options: EmbeddedJobsOptions) {
    this.#options = options
  }

  async open(host: JobHost): Promise<void> {
    this.#host = host
    for (const entry of this.#early.splice(0)) this.#begin(host, entry)
  }

  schedule(job: Job): void {
    if (this.#isClosed) return
    this.cancel(job)
    const entry: Entry = { job, timer: undefined, attempts: 0 }
    this.#entries.set(idOfJob(job), entry)
    this.#arm(entry, job.dueAtMs)
  }

  cancel(job: JobName): void {
    const id = idOfJob(job)
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    this.#entries.delete(id)
    this.#dead.delete(id)
    if (entry.timer !== undefined) this.#options.timers.cancel(entry.timer)
  }

  async dead(max: number): Promise<readonly DeadJob[]> {
    return [...this.#dead.values()].toReversed().slice(0, max)
  }

  async deadCount(): Promise<number> {
    return this.#dead.size
  }

  async retry(id: string): Promise<boolean> {
    const entry = this.#entries.get(id)
    if (!this.#dead.delete(id) || entry === undefined) return false
    entry.attempts = 0
    this.#arm(entry, this.#options.nowMs())
    return true
  }

  async drop(id: string): Promise<boolean> {
    if (!this.#dead.delete(id)) return false
    this.#entries.delete(id)
    return true
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const { timer } of this.#entries.values()) if (timer !== undefined) this.#options.timers.cancel(timer)
    this.#entries.clear()
    this.#early = []
    await Promise.all(this.#running)
  }

  #arm(entry: Entry, atMs: number): void {
    entry.timer = this.#options.timers.schedule(atMs, () => {
      entry.timer = undefined
      if (this.#host === undefined) this.#early.push(entry)
      else this.#begin(this.#host, entry)
    })
  }

  /** The timers fire some at a time, and wills wait for their turn: nothing more is in the way of a crowd. */
  #begin(host: JobHost, entry: Entry): void {
    const run = this.#run(host, entry).finally(() => this.#running.delete(run))
    this.#running.add(run)
  }

  async #run(host: JobHost, entry: Entry): Promise<void> {
    const { job } = entry
    const id = idOfJob(job)
    const isScheduled = (): boolean => this.#entries.get(id) === entry
    if (!isScheduled()) return
    try {
      if (host.isCurrent(job)) await host.run(job)
      if (isScheduled()) this.#entries.delete(id)
    } catch (error) {
      if (isScheduled() && !this.#isClosed) this.#failed(entry, error)
    }
  }

  #failed(entry: Entry, error: unknown): void {
    const { limits, nowMs, onDead } = this.#options
    if (error instanceof JobPostponed) return this.#arm(entry, nowMs() + limits.jobBackoffMs)
    const reason = error instanceof Error ? error.message : String(error)
    if (++entry.attempts < limits.maxJobAttempts) {
      return this.#arm(entry, nowMs() + limits.jobBackoffMs * 2 ** (entry.attempts - 1))
    }
    const { job, attempts } = entry
    const id = idOfJob(job)
    this.#dead.set(id, { id, job, attempts, reason })
    const [oldest] = this.#dead.keys()
    if (this.#dead.size > limits.maxDeadJobs) this.#dead.delete(oldest!)
    onDead(job, reason)
  }
}
