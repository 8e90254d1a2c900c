import type { SessionKey } from './stored.ts'

/** Something that is to happen at a time: a will that is sent, a session that ends. */
export interface Job {
  readonly kind: 'will' | 'session-expiry'
  readonly session: SessionKey
  /** Of the session, when the job was scheduled: what happened since makes the job outdated. */
  readonly epoch: number
  /** By the broker's clock. */
  readonly dueAtMs: number
}

/** What tells a job from others: there is one of a kind, session and epoch at a time. */
export type JobName = Pick<Job, 'kind' | 'session' | 'epoch'>

/** Names a job in a queue: not a number, and without a colon, as BullMQ wants it; nothing in it is a client's (threat 25). */
export function idOfJob({ kind, session, epoch }: JobName): string {
  return `${kind}-${session}-${epoch}`
}

/** Undefined: no broker has made it. */
export function readJobId(id: string): JobName | undefined {
  const match = /^(will|session-expiry)-(\d{1,15})-(\d{1,15})$/.exec(id)
  if (match === null) return undefined
  return { kind: match[1] as JobName['kind'], session: Number(match[2]), epoch: Number(match[3]) }
}

/** A job that was tried as often as it may be. */
export interface DeadJob {
  /** Names it among all that are kept. */
  readonly id: string
  /** Undefined: it is none of this broker's making. */
  readonly job: Job | undefined
  readonly attempts: number
  /** What went wrong last. */
  readonly reason: string
}

/** Who does what is due. */
export interface JobHost {
  /** Asked right before: a job that is late, or comes twice, does nothing (threat 23). */
  isCurrent(job: Job): boolean
  /**
   * Resolves when it is done, and what it changed is durable. Rejects: it is tried again, after a while,
   * up to a limit; with a {@link JobPostponed} without one.
   */
  run(job: Job): Promise<void>
}

/** It can't be done just now, and nobody is to blame: the store takes nothing. */
export class JobPostponed extends Error {
  override readonly name = 'JobPostponed'
}

/**
 * Wills and ends of sessions, at their times. Scheduling and cancelling take effect at once and are
 * durable with the writes to the store of the same turn: what the store says of a session and what is
 * scheduled for it never differ after a crash.
 */
export interface Jobs {
  /** Begins to do what is due. What was scheduled before is what there is to do: anything else that is found goes. */
  open(host: JobHost): Promise<void>
  /** Another one of the same name takes its place. */
  schedule(job: Job): void
  /** One that is not there is let be; one that is being done goes on. */
  cancel(job: JobName): void
  /** Those that were given up, the latest first, until somebody retries or drops them: at most so many. */
  dead(max: number): Promise<readonly DeadJob[]>
  /** How many were given up. */
  deadCount(): Promise<number>
  /** One that was given up begins anew. False: there is none of that name. */
  retry(id: string): Promise<boolean>
  /** One that was given up is forgotten. False: there is none of that name. */
  drop(id: string): Promise<boolean>
  /** Waits for what is being done. Nothing is done or cancelled any more: it is there for the next process. */
  close(): Promise<void>
}

/** The queue of BullMQ that the jobs of one store are in. */
export const jobQueue = '{jobs}'

/** A job as the store hands it to BullMQ. */
export interface QueuedJob {
  readonly kind: Job['kind']
  /** JSON. */
  readonly data: string
  /** By `Date.now()`, which is what BullMQ goes by. */
  readonly dueAtMs: number
  /** BullMQ's, besides the delay. */
  readonly options: Readonly<Record<string, unknown>>
  /** There may be one of its identifier, whatever became of it: this one takes its place. */
  readonly isAnew: boolean
}

/** A job, or its end: undefined lets one be that a worker has just taken, null does not. */
export type JobChange = QueuedJob | undefined | null

/** What a store in Redis offers to whoever does its jobs: they are written with its commits. */
export interface JobLedger {
  /** Takes effect with the next commit. */
  put(id: string, change: JobChange): void
  /** Rejects where another broker has the store by now, or Redis does not answer. */
  assertOwner(): Promise<void>
  /** Calls back with each connection to the server, the current one first; what it makes with it ends with it. */
  onLink(listener: (link: JobLink) => void): void
}

/** A connection of the store to its server, for as long as it lasts. */
export interface JobLink {
  /** What BullMQ's keys begin with. */
  readonly prefix: string
  /** Two connections of ioredis, the second one for commands that block. They end with the link, and it with them. */
  connect(): Promise<readonly [commands: object, blocking: object]>
  /** They are about to be closed, and nothing is wrong with them. */
  release(): void
  /** Aborted when it ends. */
  readonly signal: AbortSignal
}
