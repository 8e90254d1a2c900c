import type { SessionKey } from '../stored.ts'

/** Something that is to happen at a time, whoever runs then: a will that is sent, a session that ends. */
export interface Job {
  readonly kind: 'will' | 'session-expiry'
  readonly session: SessionKey
  /** Of the session, when the job was scheduled: what happened since makes the job outdated. */
  readonly epoch: number
  readonly dueAtMs: number
}

/** A job that was tried as often as it may be. */
export interface DeadJob {
  readonly job: Job
  readonly attempts: number
  /** What went wrong last. */
  readonly reason: string
}

/** Who does what is due. */
export interface JobHost {
  /** Asked right before: a job that is late, or comes twice, does nothing (threat 23). */
  isCurrent(job: Job): boolean | Promise<boolean>
  /** Rejects: it is tried again, after a while, up to a limit. */
  run(job: Job): Promise<void>
}

/**
 * Jobs that outlive the process that scheduled them, for brokers that share sessions: whichever of
 * them runs does what is due. A broker that has its sessions for itself needs none of it: the deadlines
 * are in what it stored of its sessions and wills, and it does at its start what fell due meanwhile.
 */
export interface Jobs {
  /** Begins to do what is due. */
  open(): Promise<void>
  /** Resolves when it is kept. Another one of the same kind, session and epoch takes its place. */
  schedule(job: Job): Promise<void>
  /** One that is not there, or is being done, is let be. */
  cancel(job: Pick<Job, 'kind' | 'session' | 'epoch'>): Promise<void>
  /** Those that were given up, the latest first, until somebody removes them: at most so many. */
  dead(max: number): Promise<readonly DeadJob[]>
  /** Waits for what is being done. */
  close(): Promise<void>
}
