/** Both ways to do what is due at a time: the engine's own deadlines, and delayed jobs of BullMQ. */
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { BullJobs } from '../../src/jobs/bullmq.ts'
import { EmbeddedJobs } from '../../src/jobs/embedded.ts'
import type { JobReports } from '../../src/jobs/jobs.ts'
import { JobPostponed, type Job, type JobHost, type Jobs } from '../../src/scheduled.ts'
import { Deadlines } from '../../src/session/deadlines.ts'
import { systemClock } from '../../src/session/system-clock.ts'
import { RedisStore } from '../../src/store/redis.ts'
import { startRedis, type TestRedis } from '../support/redis-server.ts'
import { elapsed } from '../support/moments.ts'

let server: TestRedis | undefined
let prefix = ''
let count = 0
const opened: { close(): Promise<void> }[] = []

beforeEach(() => {
  prefix = `j${++count}`
})
afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one.close()
})
afterAll(() => server?.end())

/** A host that notes what it ran. */
class NotingHost implements JobHost {
  readonly ran: Job[] = []
  readonly epochs = new Map<number, number>()
  failures = 0
  failure: Error = new Error('not now')
  /** What runs waits for it. */
  gate: Promise<void> | undefined

  isCurrent({ session, epoch }: Job): boolean {
    return (this.epochs.get(session) ?? epoch) === epoch
  }

  async run(job: Job): Promise<void> {
    this.ran.push(job)
    await this.gate
    if (this.failures-- > 0) throw this.failure
  }
}

const limits = { maxConcurrentJobs: 10, maxJobAttempts: 3, jobBackoffMs: 10, maxDeadJobs: 2 }

class Reports implements JobReports {
  readonly dead: string[] = []
  onDead(_job: Job | undefined, reason: string): void {
    this.dead.push(reason)
  }
  onAway(): void {}
  onError(): void {}
}

interface Made {
  readonly jobs: Jobs
  readonly reports: Reports
  /** What was scheduled and cancelled is durable. */
  settled(): Promise<void>
  end(): Promise<void>
}

function embedded(): Made {
  const reports = new Reports()
  const timers = new Deadlines(systemClock, 100, () => {})
  const { nowMs } = systemClock
  const { onDead, onAway, onError } = {
    onDead: reports.onDead.bind(reports),
    onAway: () => {},
    onError: reports.onError.bind(reports),
  }
  const jobs = new EmbeddedJobs({ timers, limits, nowMs, onDead, onAway, onError })
  const end = async (): Promise<void> => {
    await jobs.close()
    timers.close()
  }
  return { jobs, reports, settled: async () => {}, end }
}

interface BullOptions {
  readonly leaseMs?: number
  readonly lockMs?: number
  readonly lateMs?: number
}

async function redis(): Promise<TestRedis> {
  return (server ??= await startRedis())
}

/** Late only where a test says so: it is BullMQ that is looked at. */
async function inRedis({ leaseMs = 1_000, lateMs = 60_000, ...options }: BullOptions = {}): Promise<
  Made & { readonly store: RedisStore }
> {
  const reports = new Reports()
  const store = new RedisStore({ url: (await redis()).url, prefix, timeoutMs: 1_000, leaseMs })
  await store.open()
  for await (const _ of store.sessions()) continue
  const { onDead, onAway, onError } = {
    onDead: reports.onDead.bind(reports),
    onAway: () => {},
    onError: reports.onError.bind(reports),
  }
  const timers = new Deadlines(systemClock, 100, () => {})
  const jobs = new BullJobs({
    ledger: store.jobs,
    timers,
    limits,
    nowMs: systemClock.nowMs,
    onDead,
    onAway,
    onError,
    lateMs,
    ...options,
  })
  const end = async (): Promise<void> => {
    await jobs.close()
    await store.close()
    timers.close()
  }
  return { jobs, reports, store, settled: async () => store.durable(), end }
}

const kinds: readonly (readonly [string, () => Made | Promise<Made>])[] = [
  ['embedded', embedded],
  ['BullMQ', inRedis],
]

const will = (session: number, inMs: number, epoch = 1): Job => ({
  kind: 'will',
  session,
  epoch,
  dueAtMs: Math.floor(systemClock.nowMs()) + inMs,
})

async function ran(host: NotingHost, jobs: readonly Job[]): Promise<void> {
  await vi.waitFor(() => expect(host.ran).toEqual(jobs), { timeout: 10_000, interval: 5 })
}

/** Keeps it for the end of the test. */
function kept<T extends Made>(made: T): T {
  opened.push({ close: () => made.end() })
  return made
}

describe.each(kinds)('jobs, %s', (_name, make) => {
  let made: Made
  let host: NotingHost
  let jobs: Jobs

  beforeEach(async () => {
    made = kept(await make())
    host = new NotingHost()
    jobs = made.jobs
  })

  test('are done when they are due, not before, at most a second late, in the order of their times', async () => {
    await jobs.open(host)
    const [late, soon] = [will(1, 300), will(2, 100)]
    jobs.schedule(late)
    jobs.schedule(soon)
    const times: number[] = []
    const run = host.run.bind(host)
    host.run = async (job) => {
      times.push(systemClock.nowMs() - job.dueAtMs)
      return run(job)
    }
    await made.settled()
    await ran(host, [soon, late])
    for (const lateMs of times) expect(lateMs >= -1 && lateMs < 1_000 ? 'in time' : lateMs).toBe('in time')
  })

  test('that were scheduled before anybody does them are done then', async () => {
    const job = will(1, -5_000)
    jobs.schedule(job)
    await jobs.open(host)
    await ran(host, [job])
  })

  test('are not done when they were cancelled, and cancelling one that is not there is nothing', async () => {
    await jobs.open(host)
    const [cancelled, other] = [will(1, 50), will(2, 150)]
    jobs.schedule(cancelled)
    jobs.schedule(other)
    await made.settled()
    jobs.cancel(cancelled)
    jobs.cancel(will(99, 0))
    await ran(host, [other])
  })

  test('that are scheduled again are done once, at the later word', async () => {
    await jobs.open(host)
    for (const [first, again] of [
      [will(1, 3_600_000), will(1, 20)],
      [will(2, 40), will(2, 400)],
    ] as const) {
      host.ran.length = 0
      jobs.schedule(first)
      await made.settled()
      jobs.schedule(again)
      await ran(host, [again])
      expect(systemClock.nowMs() >= again.dueAtMs).toBe(true)
    }
  })

  test('threat 23: one whose session has moved on does nothing', async () => {
    await jobs.open(host)
    host.epochs.set(1, 2)
    jobs.schedule(will(1, 10, 1))
    const current = will(1, 60, 2)
    jobs.schedule(current)
    await ran(host, [current])
  })

  test('that fail are tried again after a while, and are dead for all to see after the last time', async () => {
    await jobs.open(host)
    host.failures = 2
    const hard = will(1, 0)
    jobs.schedule(hard)
    await ran(host, [hard, hard, hard])
    expect(await jobs.dead(10)).toEqual([])
    host.failures = 3
    const hopeless = will(2, 0)
    jobs.schedule(hopeless)
    const dead = { id: 'will-2-1', job: hopeless, attempts: 3, reason: 'not now' }
    await vi.waitFor(async () => expect(await jobs.dead(10)).toEqual([dead]), { timeout: 10_000 })
    expect([await jobs.deadCount(), made.reports.dead]).toEqual([1, ['not now']])
    // The others go on.
    const next = will(3, 0)
    jobs.schedule(next)
    await vi.waitFor(() => expect(host.ran.at(-1)).toEqual(next), { timeout: 10_000 })
  })

  test('that were given up are done when somebody retries them, and forgotten when somebody drops them', async () => {
    await jobs.open(host)
    host.failures = 6
    const [first, second] = [will(1, 0), will(2, 0)]
    jobs.schedule(first)
    jobs.schedule(second)
    await vi.waitFor(async () => expect(await jobs.deadCount()).toBe(2), { timeout: 10_000 })
    host.ran.length = 0
    const [toRetry, toDrop] = ['will-1-1', 'will-2-1']
    expect([await jobs.retry(toRetry), await jobs.drop(toDrop), await jobs.retry(toDrop)]).toEqual([true, true, false])
    await ran(host, [first])
    await vi.waitFor(async () => expect(await jobs.deadCount()).toBe(0), { timeout: 10_000 })
    expect([await jobs.retry(toRetry), await jobs.drop('will-9-1')]).toEqual([false, false])
  })

  test('of which no more are kept when they are dead than there may be', async () => {
    await jobs.open(host)
    host.failures = 100
    const all = [1, 2, 3].map((session) => will(session, session * 100))
    for (const job of all) jobs.schedule(job)
    await vi.waitFor(() => expect(made.reports.dead).toHaveLength(3), { timeout: 10_000 })
    expect((await jobs.dead(10)).map(({ job }) => job?.session)).toEqual([3, 2])
  })

  test('that nobody is to blame for are tried as long as it takes', async () => {
    await jobs.open(host)
    host.failure = new JobPostponed('full')
    host.failures = 7
    const job = will(1, 0)
    jobs.schedule(job)
    await ran(
      host,
      Array.from({ length: 8 }, () => job),
    )
    expect(await jobs.deadCount()).toBe(0)
  })

  test('of which a thousand are due at once are done once each', async () => {
    await jobs.open(host)
    const all = Array.from({ length: 1_000 }, (_, session) => will(session, 50))
    for (const job of all) jobs.schedule(job)
    await vi.waitFor(() => expect(host.ran).toHaveLength(1_000), { timeout: 10_000 })
    expect(new Set(host.ran.map(({ session }) => session)).size).toBe(1_000)
  })

  test('are waited for when they are under way at the end, and no others are begun', async () => {
    await jobs.open(host)
    const gate = Promise.withResolvers<void>()
    host.gate = gate.promise
    const [under, other] = [will(1, 0), will(2, 300)]
    jobs.schedule(under)
    jobs.schedule(other)
    await ran(host, [under])
    let isClosed = false
    const closing = jobs.close().then(() => (isClosed = true))
    await new Promise((resolve) => setImmediate(resolve))
    expect(isClosed).toBe(false)
    gate.resolve()
    await closing
    expect(host.ran).toEqual([under])
  })
})

async function withQueue<T>(use: (queue: Queue, connection: Redis) => Promise<T>): Promise<T> {
  const connection = new Redis((await redis()).url, { maxRetriesPerRequest: null })
  const queue = new Queue('{jobs}', { prefix, connection })
  try {
    return await use(queue, connection)
  } finally {
    await queue.close()
    connection.disconnect()
  }
}

describe('jobs of BullMQ', () => {
  test('are done by whoever has the store when they are due, once', async () => {
    const gone = await inRedis()
    const jobs = [1, 2, 3, 4].map((session) => will(session, 500))
    await gone.jobs.open(new NotingHost())
    for (const job of jobs) gone.jobs.schedule(job)
    await gone.settled()
    await gone.end()
    const next = kept(await inRedis())
    const host = new NotingHost()
    for (const job of jobs) next.jobs.schedule(job)
    await next.jobs.open(host)
    await vi.waitFor(() => expect(host.ran.toSorted((a, b) => a.session - b.session)).toEqual(jobs), {
      timeout: 10_000,
    })
    expect(await withQueue((queue) => queue.getJobCounts('delayed', 'waiting', 'active', 'failed'))).toEqual({
      delayed: 0,
      waiting: 0,
      active: 0,
      failed: 0,
    })
  })

  test('are written with the store: one that was scheduled with what is not durable is not there', async () => {
    const { jobs, store } = kept(await inRedis())
    await jobs.open(new NotingHost())
    await withQueue(async (_queue, connection) => {
      // Somebody else has the store by now: nothing of the commit is done, the job as little as the session.
      await connection.set(`${prefix}:{store}:owner`, 'somebody#1')
      const key = store.nextSessionKey()
      store.putSession(key, 'c', Buffer.from('r'))
      jobs.schedule(will(key, 3_600_000))
      await expect(store.durable()).rejects.toMatchObject({ code: 'SMQ_STORE_LOCKED' })
      expect(await connection.exists(`${prefix}:{jobs}:will-${key}-1`, `${prefix}:{s${key}}:session`)).toBe(0)
    })
  })

  test('threat 102: an owner whose process stood still does nothing that its successor does', async () => {
    const stale = await inRedis({ leaseMs: 60_000 })
    const host = new NotingHost()
    await stale.jobs.open(host)
    const job = will(1, 400)
    stale.jobs.schedule(job)
    await stale.settled()
    await withQueue((_queue, connection) => connection.set(`${prefix}:{store}:owner`, 'somebody#1'))
    await vi.waitFor(() => expect(stale.reports.dead.length + host.ran.length).toBe(1), { timeout: 10_000 })
    expect([stale.reports.dead, host.ran]).toEqual([[expect.stringMatching(/another broker/)], []])
    await stale.end()
    // What it was to do is there, for its successor.
    expect(await withQueue((queue) => queue.getFailedCount())).toBe(1)
  })

  test('threat 26: a job that is none of ours ends among the dead, and the queue goes on', async () => {
    const { jobs, reports } = kept(await inRedis())
    const host = new NotingHost()
    await jobs.open(host)
    await withQueue(async (queue) => {
      await queue.add("x'); redis.call('FLUSHALL')", { session: '{evil}' })
      await queue.add('will', { ...will(7, 0) }, { jobId: 'another-name' })
    })
    const good = will(1, 10)
    jobs.schedule(good)
    await ran(host, [good])
    await vi.waitFor(() => expect(reports.dead).toEqual(Array(2).fill('it is no job of a broker')), { timeout: 10_000 })
    // They are shown, and somebody can take them away.
    const dead = await jobs.dead(10)
    expect(Object.fromEntries(dead.map(({ id, job }) => [id, job?.session]))).toEqual({
      1: undefined,
      'another-name': 7,
    })
    expect(await Promise.all(['meta', 'wait', ''].map((id) => jobs.drop(id)))).toEqual([false, false, false])
    for (const { id } of dead) expect(await jobs.drop(id)).toBe(true)
    expect([await jobs.dead(10), await jobs.deadCount()]).toEqual([[], 0])
  })

  test('threat 23: one that was taken by a process that died is done by the next one, at once', async () => {
    const first = await inRedis()
    await first.jobs.open(new NotingHost())
    const job = will(1, 0)
    // Nobody is there to take it: another worker does, and dies with it.
    await first.jobs.close()
    first.jobs.schedule(job)
    await first.settled()
    await first.store.close()
    await withQueue(async (_queue, connection) => {
      const dying = new Worker('{jobs}', null, { prefix, connection, autorun: false, lockDuration: 600_000 })
      expect(await dying.getNextJob('a token')).toBeDefined()
      await dying.close(true)
    })
    const next = kept(await inRedis())
    const host = new NotingHost()
    next.jobs.schedule(job)
    await next.jobs.open(host)
    await ran(host, [job])
  })

  test('threat 27: one whose lock is lost while the loop stands still is done once', async () => {
    const { jobs, reports } = kept(await inRedis({ lockMs: 200 }))
    const host = new NotingHost()
    await jobs.open(host)
    const [slow, next] = [will(1, 0), will(2, 800)]
    const run = host.run.bind(host)
    host.run = async (job) => {
      // Nothing renews a lock meanwhile, and then BullMQ takes the job for stalled.
      if (job.session === 1) for (const until = Date.now() + 600; Date.now() < until;);
      await run(job)
      if (job.session === 1) await elapsed(500)
    }
    jobs.schedule(slow)
    jobs.schedule(next)
    await ran(host, [slow, next])
    await vi.waitFor(
      async () =>
        expect(await withQueue((queue) => queue.getJobCounts('delayed', 'waiting', 'active'))).toEqual({
          delayed: 0,
          waiting: 0,
          active: 0,
        }),
      { timeout: 10_000 },
    )
    expect([host.ran, reports.dead]).toEqual([[slow, next], []])
  })

  test('that somebody has removed are done all the same, if late', async () => {
    const { jobs, settled } = kept(await inRedis({ lateMs: 300 }))
    const host = new NotingHost()
    await jobs.open(host)
    const job = will(1, 200)
    jobs.schedule(job)
    await settled()
    expect(await withQueue((queue) => queue.remove('will-1-1'))).toBe(1)
    await ran(host, [job])
  })

  test('of which more are due than BullMQ hands out in time are done from memory, once, and leave nothing', async () => {
    const { jobs, settled, reports } = kept(await inRedis({ lateMs: 20 }))
    const host = new NotingHost()
    await jobs.open(host)
    const all = Array.from({ length: 2_000 }, (_, session) => will(session, 200))
    for (const job of all) jobs.schedule(job)
    await vi.waitFor(() => expect(host.ran).toHaveLength(2_000), { timeout: 10_000 })
    expect(new Set(host.ran.map(({ session }) => session)).size).toBe(2_000)
    await settled()
    await vi.waitFor(
      async () => expect(await withQueue((queue) => queue.getJobCountByTypes('delayed', 'waiting', 'active'))).toBe(0),
      { timeout: 10_000 },
    )
    expect([host.ran.length, reports.dead]).toEqual([2_000, []])
  })

  test('that nobody scheduled any more are not done by the next process, and go', async () => {
    const first = await inRedis()
    await first.jobs.open(new NotingHost())
    for (const session of [1, 2]) first.jobs.schedule(will(session, session === 1 ? 0 : 3_600_000))
    await first.settled()
    await first.end()
    const next = kept(await inRedis())
    await next.jobs.open(new NotingHost())
    await next.settled()
    expect(await withQueue((queue) => queue.getJobCountByTypes('delayed', 'waiting', 'active'))).toBe(0)
  })
})
