import { StatemqError } from '../errors.ts'
import type { DeadJobSource, JobPage } from '../inspection.ts'
import { JobPostponed, readJobId, type DeadJob, type Job, type JobHost, type JobName, type Jobs } from '../scheduled.ts'
import type { SessionKey, SessionStore } from '../stored.ts'
import type { Session } from './session.ts'
import type { WillHost } from './will-host.ts'

/**
 * What sessions and wills have scheduled, and what is done when it is due. Each of them knows the job
 * that it waits for, with its epoch: any other one is out of date, however it came (threat 23).
 */
export class SessionJobs implements JobHost, DeadJobSource {
  readonly #jobs: Jobs
  readonly #store: SessionStore | undefined
  readonly #sessions = new Map<SessionKey, Session>()
  readonly #wills = new Map<string, WillHost>()
  /** Where no store gives numbers. */
  #lastKey = 0

  constructor(jobs: Jobs, store: SessionStore | undefined) {
    this.#jobs = jobs
    this.#store = store
  }

  /** Everything that an earlier process left is scheduled: from now on it is done. */
  open(): Promise<void> {
    return this.#jobs.open(this)
  }

  close(): Promise<void> {
    return this.#jobs.close()
  }

  scheduleExpiry(session: Session, epoch: number, dueAtMs: number): void {
    this.cancelExpiry(session)
    const job: Job = { kind: 'session-expiry', session: session.keeper?.key ?? this.#newKey(), epoch, dueAtMs }
    session.expiry = job
    this.#sessions.set(job.session, session)
    this.#jobs.schedule(job)
  }

  cancelExpiry(session: Session): void {
    const { expiry } = session
    if (expiry === undefined) return
    session.expiry = undefined
    this.#sessions.delete(expiry.session)
    this.#jobs.cancel(expiry)
  }

  scheduleWill(will: WillHost, key: SessionKey | undefined, epoch: number, dueAtMs: number): Job {
    const job: Job = { kind: 'will', session: key ?? this.#newKey(), epoch, dueAtMs }
    this.#wills.set(nameOf(job), will)
    this.#jobs.schedule(job)
    return job
  }

  cancelWill(job: Job): void {
    this.#wills.delete(nameOf(job))
    this.#jobs.cancel(job)
  }

  isCurrent(job: Job): boolean {
    const waiting = job.kind === 'will' ? this.#wills.get(nameOf(job))?.job : this.#sessions.get(job.session)?.expiry
    return waiting !== undefined && waiting.epoch === job.epoch && waiting.dueAtMs === job.dueAtMs
  }

  async run(job: Job): Promise<void> {
    if (job.kind === 'will') await this.#fire(this.#wills.get(nameOf(job)))
    else this.#sessions.get(job.session)?.send({ type: 'deadline.session' })
    await this.#store?.durable()
  }

  /** Whoever the will is kept for could not get it: it is nobody's fault, and there will be room or an answer again. */
  async #fire(will: WillHost | undefined): Promise<void> {
    if (this.#store?.fault !== undefined) throw new JobPostponed(this.#store.fault.code)
    await will?.fired()
  }

  // --- jobs that were given up ----------------------------------------------------------------

  async page(offset: number, limit: number): Promise<JobPage> {
    const dead = await this.#jobs.dead(offset + limit)
    const rows = dead.slice(offset, offset + limit).map((one) => this.#row(one))
    return { total: await this.#jobs.deadCount(), offset, rows }
  }

  #row({ id, job, attempts, reason }: DeadJob): JobPage['rows'][number] {
    const will = job?.kind === 'will' ? this.#wills.get(nameOf(job)) : undefined
    const session = job && this.#ending(job)
    return {
      id: deadPrefix + id,
      kind: job?.kind ?? 'unknown',
      clientId: will?.clientId ?? session?.clientId ?? '',
      dueAtMs: job?.dueAtMs ?? null,
      messages: null,
      bytes: null,
      topic: will?.summary.topic ?? null,
      attempts,
      failure: reason,
      canRetry: true,
      canDrop: session === undefined,
    }
  }

  async retry(id: string): Promise<boolean> {
    return this.#jobs.retry(id.slice(deadPrefix.length))
  }

  /** A will goes with its job: otherwise it would wait for ever, and the next process would send it. */
  async drop(id: string): Promise<boolean> {
    const name = readJobId(id.slice(deadPrefix.length))
    if (name !== undefined && this.#ending(name) !== undefined)
      throw new StatemqError('SMQ_JOB_FIXED', 'how long a session is kept was agreed on with its client')
    const isThere = await this.#jobs.drop(id.slice(deadPrefix.length))
    if (isThere && name?.kind === 'will') this.#wills.get(nameOf(name))?.withhold('dropped by the operator')
    return isThere
  }

  /** The session that the job is to end. */
  #ending({ kind, session, epoch }: JobName): Session | undefined {
    const found = kind === 'session-expiry' ? this.#sessions.get(session) : undefined
    return found?.expiry?.epoch === epoch ? found : undefined
  }

  #newKey(): SessionKey {
    return this.#store?.nextSessionKey() ?? ++this.#lastKey
  }
}

function nameOf({ session, epoch }: JobName): string {
  return `${session}.${epoch}`
}

/** Before the identifier that whoever does the jobs has for one, as the inspection names it. */
const deadPrefix = 'dead:'
