import { StatemqError } from '../errors.ts'
import type { JobKind, JobPage, JobQuery, JobRow } from '../inspection.ts'
import type { SessionCore } from './core.ts'
import { emptyQueue } from './empty-queue.ts'
import { compareTexts, type Orders, pageOf, type Slices, sortInSlices } from './inspect-order.ts'
import { named } from './session-operations.ts'
import type { Session } from './session.ts'
import type { WillHost } from './will-host.ts'
import type { Wills } from './wills.ts'

const NO_JOBS: readonly JobRow[] = []

/** How a job is named: by its kind and what it is about. */
const prefixes = { 'offline-queue': 'queue:', will: 'will:', 'session-expiry': 'expiry:', dead: 'dead:' } as const

type LiveKind = Exclude<JobQuery['kind'], 'dead'>

/** What is to happen later: messages that wait for clients which are away, wills, ends of sessions, and jobs that were given up. */
export class JobTable {
  readonly #core: SessionCore
  readonly #wills: Wills
  readonly #orders: Orders

  constructor(core: SessionCore, wills: Wills, orders: Orders) {
    this.#core = core
    this.#wills = wills
    this.#orders = orders
  }

  async page({ kind, offset, limit }: JobQuery): Promise<JobPage> {
    const max = Math.min(limit, this.#core.limits.maxInspectedRows)
    if (kind === 'dead') return (await this.#core.deadJobs?.page(offset, max)) ?? { total: 0, offset, rows: NO_JOBS }
    if (kind === 'will') {
      const wills = await this.#orders.get('wills', (slices) => this.#waitingWills(slices))
      return { total: wills.length, offset, rows: pageOf(wills, offset, max).map(willJob) }
    }
    const sessions = await this.#orders.get(kind, (slices) => this.#sessions(kind, slices))
    const rowOf = kind === 'offline-queue' ? queueJob : expiryJob
    return { total: sessions.length, offset, rows: pageOf(sessions, offset, max).map(rowOf) }
  }

  /** Rejects with SMQ_JOB_FIXED for a queue. */
  async retry(id: string, by: string): Promise<boolean> {
    if (id.startsWith(prefixes.dead)) return (await this.#core.deadJobs?.retry(id)) ?? false
    if (id.startsWith(prefixes['offline-queue'])) {
      throw new StatemqError('SMQ_JOB_FIXED', 'messages go out when their client is back')
    }
    const will = this.#will(id)
    will?.due()
    if (will !== undefined) return true
    const session = this.#session(id, 'session-expiry')
    session?.send({ type: 'session.expire', ...named(by) })
    return session !== undefined
  }

  /** Rejects with SMQ_JOB_FIXED for the end of a session. */
  async drop(id: string): Promise<boolean> {
    if (id.startsWith(prefixes.dead)) return (await this.#core.deadJobs?.drop(id)) ?? false
    if (id.startsWith(prefixes['session-expiry'])) {
      throw new StatemqError('SMQ_JOB_FIXED', 'how long a session is kept was agreed on with its client')
    }
    const will = this.#will(id)
    will?.withhold('dropped by the operator')
    if (will !== undefined) return true
    const session = this.#session(id, 'offline-queue')
    return session === undefined ? false : emptyQueue(session)
  }

  async #waitingWills(slices: Slices): Promise<readonly WillHost[]> {
    const waiting: WillHost[] = []
    for (const host of [...this.#wills.all()]) {
      // One whose client is connected is not due at any time.
      if (host.dueAtMs !== undefined) waiting.push(host)
      const pause = slices.next()
      if (pause) await pause
    }
    return sortInSlices(waiting, byDueTime, slices)
  }

  async #sessions(kind: Exclude<LiveKind, 'will'>, slices: Slices): Promise<readonly Session[]> {
    const isOne = kind === 'offline-queue' ? hasOfflineQueue : hasExpiry
    const found: Session[] = []
    for (const session of [...this.#core.registry.sessions.values()]) {
      if (isOne(session)) found.push(session)
      const pause = slices.next()
      if (pause) await pause
    }
    return sortInSlices(found, kind === 'offline-queue' ? byQueue : byExpiry, slices)
  }

  #will(id: string): WillHost | undefined {
    if (!id.startsWith(prefixes.will)) return undefined
    const host = this.#wills.get(id.slice(prefixes.will.length))
    return host?.dueAtMs === undefined ? undefined : host
  }

  #session(id: string, kind: Exclude<LiveKind, 'will'>): Session | undefined {
    const prefix = prefixes[kind]
    const session = id.startsWith(prefix) ? this.#core.registry.hosts.get(id.slice(prefix.length)) : undefined
    const isOne = kind === 'offline-queue' ? hasOfflineQueue : hasExpiry
    return session && isOne(session) ? session : undefined
  }
}

function hasOfflineQueue({ isOffline, outbound }: Session): boolean {
  return isOffline && outbound !== undefined && outbound.queued > 0
}

function hasExpiry({ isOffline, expiresAtMs }: Session): boolean {
  return isOffline && expiresAtMs !== undefined
}

/** The longest first. */
function byQueue(a: Session, b: Session): number {
  return (b.outbound?.queued ?? 0) - (a.outbound?.queued ?? 0) || compareTexts(a.clientId, b.clientId)
}

function byExpiry(a: Session, b: Session): number {
  return (a.expiresAtMs ?? 0) - (b.expiresAtMs ?? 0) || compareTexts(a.clientId, b.clientId)
}

function byDueTime(a: WillHost, b: WillHost): number {
  return (a.dueAtMs ?? 0) - (b.dueAtMs ?? 0) || compareTexts(a.id, b.id)
}

function job(kind: JobKind, key: string, clientId: string): JobRow {
  const none = { dueAtMs: null, messages: null, bytes: null, topic: null, attempts: 0, failure: null }
  return { id: prefixes[kind] + key, kind, clientId, ...none, canRetry: true, canDrop: true }
}

function queueJob(session: Session): JobRow {
  const { id, clientId, outbound, context } = session
  return {
    ...job('offline-queue', id, clientId),
    dueAtMs: context.expiresAtMs ?? null,
    messages: outbound?.queued ?? 0,
    bytes: outbound?.queuedBytes ?? 0,
    canRetry: false,
  }
}

function expiryJob({ id, clientId, context }: Session): JobRow {
  return { ...job('session-expiry', id, clientId), dueAtMs: context.expiresAtMs ?? null, canDrop: false }
}

function willJob({ id, clientId, dueAtMs, summary }: WillHost): JobRow {
  return { ...job('will', id, clientId), dueAtMs: dueAtMs ?? null, topic: summary.topic, bytes: summary.payloadBytes }
}
