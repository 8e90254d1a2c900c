import type { Job } from '../scheduled.ts'

/** How often a job that fails is tried, and what is kept of those that were given up. */
export interface JobLimits {
  /** Jobs of BullMQ that are being done at once. */
  readonly maxConcurrentJobs: number
  /** Attempts at one job before it is given up. */
  readonly maxJobAttempts: number
  /** Before the second attempt, then twice as long each time. */
  readonly jobBackoffMs: number
  /** Jobs that were given up and are kept for somebody to look at; the oldest go first. */
  readonly maxDeadJobs: number
}

/** Told of what goes wrong with jobs. */
export interface JobReports {
  /** It was tried as often as it may be. */
  onDead(job: Job | undefined, reason: string): void
  /** The server that keeps them is away: they wait. Once for each connection to it. */
  onAway(error: unknown): void
  onError(error: unknown): void
}

/** Undefined: it is none of a broker's. */
export function readJob(data: unknown): Job | undefined {
  const { kind, session, epoch, dueAtMs } = (data ?? {}) as Partial<Record<keyof Job, unknown>>
  if (kind !== 'will' && kind !== 'session-expiry') return undefined
  if (typeof session !== 'number' || typeof epoch !== 'number' || typeof dueAtMs !== 'number') return undefined
  return { kind, session, epoch, dueAtMs }
}
