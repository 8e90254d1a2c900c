import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { BullJobs } from '../../src/jobs/bullmq.ts'
import type { Job, JobHost, Jobs } from '../../src/jobs/jobs.ts'
import { startRedis, type TestRedis } from '../support/redis-server.ts'

let server: TestRedis
let prefix = ''
let count = 0
const opened: Jobs[] = []

beforeEach(async () => {
  server ??= await startRedis()
  prefix = `j${++count}`
})
afterEach(async () => {
  for (const jobs of opened.splice(0)) await jobs.close()
})
afterAll(() => server?.end())

/** A host that notes what it ran. */
class NotingHost implements JobHost {
  readonly ran: Job[] = []
  readonly epochs = new Map<number, number>()
  failures = 0

  isCurrent({ session, epoch }: Job): boolean {
    return (this.epochs.get(session) ?? epoch) === epoch
  }

  async run(job: Job): Promise<void> {
    this.ran.push(job)
    if (this.failures-- > 0) throw new Error('not now')
  }
}

async function open(host: JobHost): Promise<BullJobs> {
  const jobs = new BullJobs(host, {
    url: server.url,
    prefix,
    backoffMs: 10,
    maxAttempts: 3,
    timeoutMs: 1_000,
    stalledCheckMs: 100,
  })
  opened.push(jobs)
  await jobs.open()
  return jobs
}

const will = (session: number, inMs: number, epoch = 1): Job => ({
  kind: 'will',
  session,
  epoch,
  dueAtMs: Date.now() + inMs,
})

async function ran(host: NotingHost, jobs: readonly Job[]): Promise<void> {
  await vi.waitFor(() => expect(host.ran).toEqual(jobs), { timeout: 10_000, interval: 10 })
}

describe('jobs in BullMQ', () => {
  test('are done when they are due, not before, in the order of their times', async () => {
    const host = new NotingHost()
    const jobs = await open(host)
    const [late, soon] = [will(1, 300), will(2, 100)]
    await jobs.schedule(late)
    await jobs.schedule(soon)
    expect(host.ran).toEqual([])
    await ran(host, [soon, late])
    expect(Date.now()).toBeGreaterThanOrEqual(late.dueAtMs)
  })

  test('are not done when they were cancelled, and cancelling one that is not there is nothing', async () => {
    const host = new NotingHost()
    const jobs = await open(host)
    const [cancelled, other] = [will(1, 50), will(2, 150)]
    await jobs.schedule(cancelled)
    await jobs.schedule(other)
    await jobs.cancel(cancelled)
    await jobs.cancel(will(99, 0))
    await ran(host, [other])
  })

  test('that are scheduled again are done once, at the later word', async () => {
    const host = new NotingHost()
    const jobs = await open(host)
    await jobs.schedule(will(1, 3_600_000))
    const again = will(1, 20)
    await jobs.schedule(again)
    await ran(host, [again])
  })

  test('threat 23: one whose session has moved on does nothing', async () => {
    const host = new NotingHost()
    const jobs = await open(host)
    host.epochs.set(1, 2)
    await jobs.schedule(will(1, 10, 1))
    const current = will(1, 60, 2)
    await jobs.schedule(current)
    await ran(host, [current])
  })

  test('that fail are tried again after a while, and are dead for all to see after the last time', async () => {
    const host = new NotingHost()
    const jobs = await open(host)
    host.failures = 2
    const hard = will(1, 0)
    await jobs.schedule(hard)
    await ran(host, [hard, hard, hard])
    expect(await jobs.dead(10)).toEqual([])
    host.failures = 3
    const hopeless = will(2, 0)
    await jobs.schedule(hopeless)
    await vi.waitFor(
      async () => expect(await jobs.dead(10)).toEqual([{ job: hopeless, attempts: 3, reason: 'not now' }]),
      {
        timeout: 10_000,
      },
    )
    // The queue goes on.
    const next = will(3, 0)
    await jobs.schedule(next)
    await vi.waitFor(() => expect(host.ran.at(-1)).toEqual(next), { timeout: 10_000 })
  })

  test('are done by whoever runs when they are due, once', async () => {
    const hosts = [new NotingHost(), new NotingHost(), new NotingHost()]
    const gone = await open(hosts[0]!)
    const jobs = [1, 2, 3, 4].map((session) => will(session, 1_500))
    for (const job of jobs) await gone.schedule(job)
    await gone.close()
    for (const host of hosts.slice(1)) await open(host)
    await vi.waitFor(() => expect(hosts.flatMap((host) => host.ran)).toHaveLength(4), { timeout: 10_000 })
    const sessions = hosts.flatMap((host) => host.ran.map(({ session }) => session))
    expect(sessions.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4])
  })

  test('threat 21: with a server that does not answer, scheduling fails in time', async () => {
    const jobs = await open(new NotingHost())
    server.freeze()
    try {
      await expect(jobs.schedule(will(1, 0))).rejects.toThrow(/timed out/)
    } finally {
      server.thaw()
    }
  })

  test('threat 26: a job that is none of ours ends among the dead, and the queue goes on', async () => {
    const host = new NotingHost()
    const jobs = await open(host)
    const run = vi.spyOn(host, 'isCurrent').mockImplementation((job) => {
      if (typeof job.session !== 'number') throw new Error('no job of ours')
      return true
    })
    const connection = new Redis(server.url, { maxRetriesPerRequest: null })
    const queue = new Queue('{jobs}', { prefix, connection })
    await queue.add("x'); redis.call('FLUSHALL')", { session: '{evil}' })
    await queue.close()
    connection.disconnect()
    const good = will(1, 10)
    await jobs.schedule(good)
    await ran(host, [good])
    await vi.waitFor(async () => expect((await jobs.dead(10)).map(({ reason }) => reason)).toEqual(['no job of ours']))
    expect(run).toHaveBeenCalled()
  })
})

test('threat 23: one that was taken by a process that died is done by another one', async () => {
  const host = new NotingHost()
  const first = await open(host)
  const job = will(1, 0)
  await first.close()
  const connection = new Redis(server.url, { maxRetriesPerRequest: null })
  const queue = new Queue('{jobs}', { prefix, connection })
  await queue.add('will', job, { jobId: 'will-1-1' })
  const dying = new Worker('{jobs}', null, { prefix, connection, autorun: false, lockDuration: 50 })
  expect(await dying.getNextJob('a token')).toBeDefined()
  await dying.close(true)
  await queue.close()
  connection.disconnect()
  await open(host)
  await ran(host, [job])
})
