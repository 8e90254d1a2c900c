/** Wills and ends of sessions of a broker whose store is in Redis: delayed jobs of BullMQ, by the system's time. */
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { expect, onTestFinished, test, vi } from 'vitest'

import { createBroker, type Broker, type BrokerEvent, type BrokerOptions } from '../../src/index.ts'
import type { JobRow } from '../../src/inspection.ts'
import { TestLog } from '../identity/authn-scene.ts'
import { RawClient } from '../support/raw-client.ts'
import { startRedis, withLateOwner, type TestRedis } from '../support/redis-server.ts'
import { publish } from '../support/wire.ts'
import { elapsed } from '../support/moments.ts'

async function redisServer(): Promise<TestRedis> {
  const redis = await startRedis()
  onTestFinished(() => redis.end())
  return redis
}

interface Scene {
  readonly broker: Broker
  /** All of some types since the start, oldest first. */
  events<Type extends BrokerEvent['type']>(...types: Type[]): Extract<BrokerEvent, { type: Type }>[]
  connect(input: Parameters<RawClient['connect']>[0]): Promise<RawClient>
}

async function brokerOn(url: string, options: BrokerOptions = {}): Promise<Scene> {
  const store = { type: 'redis', url, timeoutMs: 2_000 } as const
  const broker = createBroker({ store, limits: { maxConnectsPerSecond: Infinity }, ...options })
  onTestFinished(() => broker.close({ drainTimeoutMs: 0 }))
  const seen: BrokerEvent[] = []
  broker.events$.subscribe((event) => seen.push(event))
  const { address } = await broker.listen({ transport: 'tcp', port: 0 })
  const port = 'port' in address ? address.port : 0
  return {
    broker,
    events: (...types) => seen.filter((event) => (types as string[]).includes(event.type)) as never,
    connect: async (input) => {
      const client = await RawClient.tcp(port)
      await client.connect(input)
      return client
    },
  }
}

async function withQueue<T>(url: string, use: (queue: Queue) => Promise<T>, prefix = 'statemq'): Promise<T> {
  const connection = new Redis(url, { maxRetriesPerRequest: null })
  const queue = new Queue('{jobs}', { prefix, connection })
  try {
    return await use(queue)
  } finally {
    await queue.close()
    connection.disconnect()
  }
}

const counts = { delayed: 0, waiting: 0, active: 0, failed: 0 }

async function countJobs(url: string): Promise<unknown> {
  return withQueue(url, (queue) => queue.getJobCounts('delayed', 'waiting', 'active', 'failed'))
}

const lasting = (seconds: number) => ({ cleanStart: false, properties: { sessionExpiryInterval: seconds } }) as const
const will = (topic: string, delaySeconds: number) =>
  ({ topic, qos: 1, properties: { willDelayInterval: delaySeconds } }) as const

async function eventually(check: () => void | Promise<void>): Promise<void> {
  await vi.waitFor(check, { timeout: 15_000, interval: 10 })
}

test('a will and the end of a session are jobs with a time, done at it, once, and gone then', async () => {
  const { url } = await redisServer()
  const { events, connect } = await brokerOn(url)
  const watcher = await connect({ clientId: 'w', ...lasting(3_600) })
  await watcher.subscribe([['gone/#', { qos: 1 }]])
  const droppedAtMs = Date.now()
  ;(await connect({ clientId: 'c', ...lasting(2), will: will('gone/c', 1) })).drop()
  await eventually(async () => expect(await countJobs(url)).toEqual({ ...counts, delayed: 2 }))
  const jobs = await withQueue(url, (queue) => queue.getDelayed())
  expect(jobs.map(({ name, data, opts }) => [name, (data as { epoch: number }).epoch, opts.attempts])).toEqual([
    ['will', expect.any(Number), 5],
    ['session-expiry', expect.any(Number), 5],
  ])
  expect(JSON.stringify(jobs.map(({ id, data }) => [id, data as unknown]))).not.toContain('gone')
  await eventually(() => expect(events('will.published', 'session.expired').map(({ type }) => type)).toHaveLength(2))
  const lateMs = events('will.published', 'session.expired').map(
    ({ atMs }, at) => atMs - droppedAtMs - (at + 1) * 1_000,
  )
  for (const late of lateMs) expect(late > -50 && late < 1_000 ? 'in time' : late).toBe('in time')
  await watcher.expectPacket('publish', { topic: 'gone/c' })
  await eventually(async () => expect(await countJobs(url)).toEqual(counts))
})

test('a client that comes back in time calls both back', async () => {
  const { url } = await redisServer()
  const { events, connect } = await brokerOn(url)
  ;(await connect({ clientId: 'c', ...lasting(60), will: will('gone', 30) })).drop()
  await eventually(async () => expect(await countJobs(url)).toEqual({ ...counts, delayed: 2 }))
  await connect({ clientId: 'c', ...lasting(60) })
  expect(events('will.cancelled')).toHaveLength(1)
  await eventually(async () => expect(await countJobs(url)).toEqual(counts))
})

test('what fell due while nobody ran is done by the next broker; what is later waits for it', async () => {
  const { url } = await redisServer()
  const before = await brokerOn(url)
  const watcher = await before.connect({ clientId: 'w', ...lasting(3_600) })
  await watcher.subscribe([['gone/#', { qos: 1 }]])
  watcher.drop()
  ;(await before.connect({ clientId: 'soon', ...lasting(1), will: will('gone/soon', 1) })).drop()
  ;(await before.connect({ clientId: 'later', ...lasting(60), will: will('gone/later', 50) })).drop()
  await eventually(async () => expect(await countJobs(url)).toEqual({ ...counts, delayed: 5 }))
  await before.broker.close()
  expect(await countJobs(url)).toMatchObject({ failed: 0, active: 0 })
  await elapsed(1_100)
  const after = await brokerOn(url)
  await eventually(() => expect(after.events('will.published').map(({ clientId }) => clientId)).toEqual(['soon']))
  await eventually(() => expect([...after.broker.sessions.keys()].toSorted()).toEqual(['later', 'w']))
  const back = await after.connect({ clientId: 'w', ...lasting(3_600) })
  await back.expectPacket('publish', { topic: 'gone/soon' })
  await eventually(async () => expect(await countJobs(url)).toEqual({ ...counts, delayed: 2 }))
})

test('threat 100: a will that is due while its client comes back has one outcome', async () => {
  const { url } = await redisServer()
  const { events, connect } = await brokerOn(url)
  for (let round = 0; round < 10; round++) {
    ;(await connect({ clientId: `c${round}`, ...lasting(60), will: will('gone', 1) })).drop()
  }
  await elapsed(960)
  await Promise.all(Array.from({ length: 10 }, (_, round) => connect({ clientId: `c${round}`, ...lasting(60) })))
  await eventually(() => expect(events('will.published', 'will.cancelled', 'will.withheld')).toHaveLength(10))
  await eventually(async () => expect(await countJobs(url)).toEqual(counts))
  expect(events('will.published', 'will.cancelled', 'will.withheld')).toHaveLength(10)
})

test('while Redis is away nothing is done, and all of it when it is back', async () => {
  const redis = await redisServer()
  const { events, connect, broker } = await brokerOn(redis.url)
  ;(await connect({ clientId: 'c', ...lasting(1), will: will('gone', 1) })).drop()
  await eventually(async () => expect(await countJobs(redis.url)).toEqual({ ...counts, delayed: 2 }))
  await redis.kill()
  await elapsed(1_500)
  expect(events('will.published', 'session.expired')).toEqual([])
  await redis.start()
  await eventually(() => expect(events('will.published', 'session.expired')).toHaveLength(2))
  expect(broker.sessions.size).toBe(0)
  await eventually(async () => expect(await countJobs(redis.url)).toEqual(counts))
})

test('threat 19: a full Redis puts wills off, and ends sessions all the same', async () => {
  const redis = await redisServer()
  const { events, connect, broker } = await brokerOn(redis.url, { limits: { jobBackoffMs: 100 } })
  const watcher = await connect({ clientId: 'w', ...lasting(3_600) })
  await watcher.subscribe([['gone/#', { qos: 1 }]])
  const away = await connect({ clientId: 'away', ...lasting(3_600) })
  await away.subscribe([['t', { qos: 1 }]])
  away.drop()
  // One will is due with its job, one with its session's end, and one as soon as its connection breaks.
  const delayed = await connect({ clientId: 'delayed', ...lasting(3_600), will: will('gone/delayed', 2) })
  const ending = await connect({ clientId: 'ending', ...lasting(2), will: will('gone/ending', 3_600) })
  const sudden = await connect({ clientId: 'sudden', will: will('gone/sudden', 0) })
  for (const client of [delayed, ending]) client.drop()
  await eventually(async () => expect(await countJobs(redis.url)).toEqual({ ...counts, delayed: 5 }))
  await redis.admin.config('SET', 'maxmemory', '1mb')
  const publisher = await connect({ clientId: 'p' })
  publisher.send(publish({ topic: 't', qos: 1, packetId: 1 }))
  await publisher.expectDisconnect(0x97)
  sudden.drop()
  await eventually(() => expect(broker.sessions.has('ending')).toBe(false))
  await elapsed(500)
  expect(events('will.published')).toEqual([])
  await redis.admin.config('SET', 'maxmemory', '0')
  const topics = new Set<string>()
  while (topics.size < 3) topics.add((await watcher.takePublish()).topic)
  expect([...topics].toSorted()).toEqual(['gone/delayed', 'gone/ending', 'gone/sudden'])
  await eventually(() => expect(events('will.published')).toHaveLength(3))
})

test('wills that wait for room when their broker is closed are sent by the next one, once', async () => {
  const redis = await redisServer()
  const before = await brokerOn(redis.url)
  const watcher = await before.connect({ clientId: 'w', ...lasting(3_600) })
  await watcher.subscribe([
    ['gone', { qos: 1 }],
    ['t', { qos: 1 }],
  ])
  const sudden = await before.connect({ clientId: 'sudden', will: will('gone', 0) })
  await redis.admin.config('SET', 'maxmemory', '1mb')
  const publisher = await before.connect({ clientId: 'p' })
  publisher.send(publish({ topic: 't', qos: 1, packetId: 1 }))
  await publisher.expectDisconnect(0x97)
  sudden.drop()
  await eventually(() => expect(before.broker.sessions.has('sudden')).toBe(false))
  await before.broker.close()
  expect(before.events('will.published')).toEqual([])
  await redis.admin.config('SET', 'maxmemory', '0')
  const after = await brokerOn(redis.url)
  await eventually(() => expect(after.events('will.published')).toHaveLength(1))
  const back = await after.connect({ clientId: 'w', ...lasting(3_600) })
  await back.expectPacket('publish', { topic: 'gone' })
  await back.expectNothing()
})

test('brokers with a prefix each share a server, and do their own jobs only', async () => {
  const { url } = await redisServer()
  const scenes = await Promise.all(
    ['one', 'two'].map((prefix) => brokerOn(url, { store: { type: 'redis', url, prefix, timeoutMs: 2_000 } })),
  )
  for (const [at, { connect }] of scenes.entries())
    (await connect({ clientId: `c${at}`, ...lasting(60), will: will('gone', 1) })).drop()
  for (const [at, { events }] of scenes.entries()) {
    await eventually(() => expect(events('will.published').map(({ clientId }) => clientId)).toEqual([`c${at}`]))
  }
})

/** What was given up, by the client that it is about. */
async function deadJobs(broker: Broker): Promise<Record<string, JobRow>> {
  const { total, rows } = await broker.inspection.jobs({ kind: 'dead', offset: 0, limit: 10 })
  expect(rows).toHaveLength(total)
  return Object.fromEntries(rows.map((row) => [row.clientId, row]))
}

test('jobs that were given up are shown by the inspection, and can be done or dropped there', async () => {
  const redis = await redisServer()
  const once = { limits: { maxJobAttempts: 1, maxConnectsPerSecond: Infinity } }
  const { broker, events, connect } = await brokerOn(redis.url, once)
  for (const clientId of ['sent', 'dropped'])
    (await connect({ clientId, ...lasting(3_600), will: will('gone', 1) })).drop()
  ;(await connect({ clientId: 'ended', ...lasting(1) })).drop()
  await eventually(async () => expect(await countJobs(redis.url)).toEqual({ ...counts, delayed: 5 }))
  await withLateOwner(redis, () =>
    eventually(async () => expect(await countJobs(redis.url)).toEqual({ ...counts, delayed: 2, failed: 3 })),
  )
  await withQueue(redis.url, (queue) => queue.add('x', { kind: 'will' }, { jobId: 'somebody-elses' }))
  await eventually(async () => expect(Object.keys(await deadJobs(broker))).toHaveLength(4))
  const { sent, dropped, ended, '': foreign } = await deadJobs(broker)
  const failure = 'a claim of an earlier term came late'
  const common = { attempts: 1, failure, canRetry: true, canDrop: true }
  expect([sent, dropped, ended, foreign]).toMatchObject([
    { ...common, kind: 'will', topic: 'gone' },
    { ...common, kind: 'will', topic: 'gone' },
    { ...common, kind: 'session-expiry', topic: null, canDrop: false },
    { ...common, kind: 'unknown', dueAtMs: null, failure: 'it is no job of a broker' },
  ])
  await expect(broker.inspection.dropJob(ended!.id)).rejects.toMatchObject({ code: 'SMQ_JOB_FIXED' })
  for (const row of [sent, ended]) expect(await broker.inspection.retryJob(row!.id)).toBe(true)
  for (const row of [dropped, foreign]) expect(await broker.inspection.dropJob(row!.id)).toBe(true)
  await eventually(() => expect(broker.sessions.has('ended')).toBe(false))
  await eventually(() => expect(events('will.published').map(({ clientId }) => clientId)).toEqual(['sent']))
  expect(events('will.withheld')).toMatchObject([{ clientId: 'dropped', reason: 'dropped by the operator' }])
  await eventually(async () => expect(await countJobs(redis.url)).toEqual({ ...counts, delayed: 2 }))
  expect((await broker.inspection.jobs({ kind: 'will', offset: 0, limit: 10 })).rows).toEqual([])
  for (const row of [sent, dropped]) expect(await broker.inspection.dropJob(row!.id)).toBe(false)
})

test('a will whose job was dropped is not sent by the next broker', async () => {
  const redis = await redisServer()
  const once = { limits: { maxJobAttempts: 1, maxConnectsPerSecond: Infinity } }
  const before = await brokerOn(redis.url, once)
  for (const clientId of ['kept', 'dropped'])
    (await before.connect({ clientId, ...lasting(3_600), will: will('gone', 1) })).drop()
  await eventually(async () => expect(await countJobs(redis.url)).toEqual({ ...counts, delayed: 4 }))
  await withLateOwner(redis, () =>
    eventually(async () => expect(await countJobs(redis.url)).toMatchObject({ failed: 2 })),
  )
  const { dropped } = await deadJobs(before.broker)
  expect(await before.broker.inspection.dropJob(dropped!.id)).toBe(true)
  await before.broker.close()
  const after = await brokerOn(redis.url, once)
  await after.broker.ready
  // What is late when a broker begins is tried at once: nothing is left of the job that was given up.
  await eventually(() => expect(after.events('will.published').map(({ clientId }) => clientId)).toEqual(['kept']))
  await eventually(async () => expect(await countJobs(redis.url)).toEqual({ ...counts, delayed: 2 }))
  expect(await after.broker.inspection.jobs({ kind: 'dead', offset: 0, limit: 10 })).toMatchObject({ total: 0 })
})

test('a thousand sessions whose ends fall together end at most a second late, while others publish', async () => {
  const { url } = await redisServer()
  const { broker, events, connect } = await brokerOn(url)
  const publisher = await connect({ clientId: 'p' })
  const clients = await Promise.all(
    Array.from({ length: 1_000 }, (_, at) => broker.client({ clientId: `c${at}`, sessionExpiryIntervalSeconds: 3 })),
  )
  for (const client of clients) client.abort()
  await eventually(() => expect(events('session.offline')).toHaveLength(1_000))
  const publishing = (async () => {
    while (events('session.expired').length < 1_000) await publisher.publish({ topic: 't', qos: 1 })
  })()
  await publishing
  const offline = new Map(events('session.offline').map(({ clientId, atMs }) => [clientId, atMs]))
  const lateMs = events('session.expired').map(({ clientId, atMs }) => atMs - offline.get(clientId)! - 3_000)
  expect([Math.min(...lateMs) > -50, Math.max(...lateMs) < 1_000]).toEqual([true, true])
})

test('that Redis has gone while jobs were being done is one warning each time, and no error', async () => {
  const redis = await redisServer()
  const log = new TestLog()
  const { connect, events } = await brokerOn(redis.url, { logger: log })
  const names = Array.from({ length: 100 }, (_, at) => `c${at}`)
  for (let round = 1; round <= 4; round++) {
    for (const clientId of names) (await connect({ clientId, ...lasting(60), will: will('gone', 1) })).drop()
    await eventually(() => expect(events('will.published').length).toBeGreaterThan((round - 1) * names.length))
    await redis.kill()
    await redis.start()
    await eventually(() => expect(events('will.published')).toHaveLength(round * names.length))
    await eventually(async () => expect(await countJobs(redis.url)).toEqual({ ...counts, delayed: names.length }))
  }
  expect(log.lines.filter(({ level }) => level === 'error')).toEqual([])
  expect(log.lines.filter(({ message }) => message.startsWith('jobs wait')).length).toBeLessThanOrEqual(4)
})
