/** A store in Redis when Redis is away, refuses, forgets, or belongs to somebody else. */

import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { expect, onTestFinished, test, vi } from 'vitest'

import type { StatemqError } from '../../src/errors.ts'
import { RedisStore, type RedisStoreOptions } from '../../src/store/redis.ts'
import { contentsOf, lineOf, message } from '../contracts/store-cases.ts'
import { startRedis, type TestRedis } from '../support/redis-server.ts'
import { TestProxy } from '../support/tcp-proxy.ts'

async function serverWith(settings: Readonly<Record<string, string>> = {}): Promise<TestRedis> {
  const redis = await startRedis(settings)
  onTestFinished(() => redis.end())
  return redis
}

/** Fast enough for a test to wait for, slow enough for a busy machine. */
const timeoutMs = 500
const leaseMs = 1_000

function storeAt(url: string, options: Partial<RedisStoreOptions> = {}): RedisStore {
  const store = new RedisStore({ url, timeoutMs, leaseMs, ...options })
  onTestFinished(() => store.close())
  return store
}

async function opened(url: string, options: Partial<RedisStoreOptions> = {}): Promise<RedisStore> {
  const store = storeAt(url, options)
  await store.open()
  return store
}

async function outcome(promise: Promise<void> | undefined): Promise<string> {
  return (promise ?? Promise.resolve()).then(
    () => 'durable',
    (error: unknown) => (error as StatemqError).code,
  )
}

/** What tells one connection to the server from a later one. */
async function connectionsTo(redis: TestRedis): Promise<string[]> {
  const clients = (await redis.admin.client('LIST')) as string
  return [...clients.matchAll(/^id=(\d+) /gm)].map(([, id = '']) => id)
}

/** A session with one message that is durable. */
async function sessionWith(store: RedisStore): Promise<number> {
  const key = store.nextSessionKey()
  store.putSession(key, 'c', Buffer.from('record'))
  store.append(key, message(1, 'one'))
  await store.durable()
  return key
}

test('threat 16: a server that is down at the start is said to be, in time', async () => {
  const store = storeAt('/nowhere/redis.sock')
  await expect(store.open()).rejects.toMatchObject({ code: 'SMQ_STORE_UNAVAILABLE' })
})

test('threat 16: while the server is away nothing is promised, and all goes on when it is back', async () => {
  const redis = await serverWith({ appendfsync: 'always' })
  const told: string[] = []
  const store = await opened(redis.url, { onAway: ({ code }) => told.push(code), onBack: () => told.push('back') })
  const key = await sessionWith(store)
  await redis.kill()
  store.append(key, message(2, 'two'))
  expect(await outcome(store.durable())).toBe('SMQ_STORE_UNAVAILABLE')
  expect(store.fault?.code).toBe('SMQ_STORE_UNAVAILABLE')
  store.append(key, message(3, 'three'))
  // Whoever asks while it is away is told at once.
  expect(await outcome(store.durable())).toBe('SMQ_STORE_UNAVAILABLE')
  await redis.start()
  await vi.waitFor(() => expect(store.fault).toBeUndefined(), { timeout: 10_000 })
  store.append(key, message(4, 'four'))
  expect(await outcome(store.durable())).toBe('durable')
  expect(told).toEqual(['SMQ_STORE_UNAVAILABLE', 'back'])
  await store.close()
  const later = await opened(redis.url)
  expect((await contentsOf(later)).sessions).toMatchObject([{ line: ['one', 'two', 'three', 'four'] }])
})

test('threat 21: a connection that is open and silent costs the timeout, and what was under way is done once', async () => {
  const redis = await serverWith()
  const proxy = await TestProxy.to(redis.socket)
  const store = await opened(proxy.url)
  const key = await sessionWith(store)
  // The server takes the commit, and its answer is never seen.
  proxy.holdAnswers()
  store.append(key, message(2, 'two'))
  expect(await outcome(store.durable())).toBe('SMQ_STORE_UNAVAILABLE')
  proxy.forget()
  await vi.waitFor(() => expect(store.fault).toBeUndefined(), { timeout: 10_000 })
  store.append(key, message(3, 'three'))
  expect(await outcome(store.durable())).toBe('durable')
  expect(await lineOf(store, key)).toEqual(['one', 'two', 'three'])
  const jobs = await redis.admin.keys(`statemq:{s${key}}:b*`)
  expect(jobs.map((name) => name.split(':').at(-1)!).toSorted()).toEqual(['b1', 'b2', 'b3'])
})

test('threat 17: a server that is still loading what it had is waited for, and not judged by what it says meanwhile', async () => {
  const redis = await serverWith({ appendfsync: 'always' })
  const told: string[] = []
  const store = await opened(redis.url, { durability: 'fsync', onAway: ({ code }) => told.push(code) })
  const key = await sessionWith(store)
  const filling = redis.admin.pipeline()
  for (let at = 0; at < 20_000; at++) filling.set(`other${at}`, '')
  await filling.exec()
  await redis.kill()
  // About two seconds, in which it answers ten times a second, and says that it has no append-only file.
  await redis.start({ 'key-load-delay': '100' })
  await vi.waitFor(() => expect(store.fault).toBeUndefined(), { timeout: 10_000 })
  store.append(key, message(2, 'two'))
  expect(await outcome(store.durable())).toBe('durable')
  expect(told.filter((code) => code !== 'SMQ_STORE_UNAVAILABLE')).toEqual([])
})

test('threat 16: a line whose reading the connection broke under is read over the next one', async () => {
  const redis = await serverWith()
  const proxy = await TestProxy.to(redis.socket)
  const store = await opened(proxy.url)
  const key = await sessionWith(store)
  store.append(key, message(2, 'two'))
  await store.durable()
  // The server gives the first job, and its answer is never seen.
  proxy.holdAnswers()
  const page = store.page(key, 1, 1, 1_000)
  await vi.waitFor(async () => expect(await redis.admin.lrange(`statemq:{s${key}}:active`, 0, -1)).toEqual(['b1']))
  await vi.waitFor(() => expect(store.fault).toBeDefined(), { timeout: 10_000 })
  proxy.forget()
  expect((await page).map(({ sequence }) => sequence)).toEqual([1])
  store.settle(key, 1)
  await vi.waitFor(() => expect(store.fault).toBeUndefined(), { timeout: 10_000 })
  expect(await outcome(store.durable())).toBe('durable')
  expect(await redis.admin.lrange(`statemq:{s${key}}:active`, 0, -1)).toEqual(['b2'])
  expect(await lineOf(store, key)).toEqual(['two'])
})

test('a commit that comes late, from a connection that was given up, is void', async () => {
  const redis = await serverWith()
  const proxy = await TestProxy.to(redis.socket)
  const store = await opened(proxy.url)
  const key = await sessionWith(store)
  proxy.holdRequests('multi')
  store.putSession(key, 'c', Buffer.from('late'))
  const late = outcome(store.durable())
  await proxy.held
  // Another connection has come and gone on before what was held arrives.
  proxy.letNewOnesThrough()
  expect(await late).toMatch(/durable|SMQ_STORE_UNAVAILABLE/)
  await vi.waitFor(() => expect(store.fault).toBeUndefined(), { timeout: 10_000 })
  store.putSession(key, 'c', Buffer.from('last'))
  expect(await outcome(store.durable())).toBe('durable')
  await proxy.deliverHeld()
  expect((await contentsOf(store)).sessions).toMatchObject([{ record: 'last' }])
})

test('a commit waits for one answer: the fence that it compares was asked for behind the one before', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url, { leaseMs: 60_000 })
  const asked: string[] = []
  const monitor = await redis.admin.duplicate().monitor()
  onTestFinished(() => monitor.disconnect())
  monitor.on('monitor', (_time, [name = '', key]: string[]) => {
    if (['multi', 'exec'].includes(name) || key === 'statemq:{store}:owner') asked.push(name)
  })
  await sessionWith(store)
  await vi.waitFor(() => expect(asked).toEqual(['watch', 'get', 'multi', 'exec', 'watch', 'get']))
})

test('a fence that was touched between two commits, and is as it was, costs no message and no connection', async () => {
  const redis = await serverWith()
  const onAway = vi.fn<() => void>()
  const store = await opened(redis.url, { leaseMs: 60_000, onAway })
  const key = await sessionWith(store)
  const connections = await connectionsTo(redis)
  const fence = (await redis.admin.get('statemq:{store}:owner'))!
  await redis.admin.set('statemq:{store}:owner', 'somebody#1')
  await redis.admin.set('statemq:{store}:owner', fence)
  store.append(key, message(2, 'two'))
  expect(await outcome(store.durable())).toBe('durable')
  expect(await lineOf(store, key)).toEqual(['one', 'two'])
  expect(await connectionsTo(redis)).toEqual(connections)
  expect(onAway).not.toHaveBeenCalled()
})

test('threat 19: READONLY for a while is waited out', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url)
  const key = await sessionWith(store)
  await redis.admin.config('SET', 'min-replicas-to-write', '1')
  store.append(key, message(2, 'two'))
  expect(await outcome(store.durable())).toBe('SMQ_STORE_UNAVAILABLE')
  await redis.admin.config('SET', 'min-replicas-to-write', '0')
  await vi.waitFor(() => expect(store.fault).toBeUndefined(), { timeout: 10_000 })
  expect(await outcome(store.durable())).toBe('durable')
  expect(await lineOf(store, key)).toEqual(['one', 'two'])
})

test('threat 19: scripts that the server has forgotten are given to it again', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url)
  const key = await sessionWith(store)
  await redis.admin.script('FLUSH')
  store.append(key, message(2, 'two'))
  expect(await outcome(store.durable())).toBe('durable')
  await redis.admin.script('FLUSH')
  expect(await lineOf(store, key)).toEqual(['one', 'two'])
})

test('threat 19: a server without room takes what makes room, and messages again when there is some', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url)
  const key = store.nextSessionKey()
  store.putSession(key, 'c', Buffer.from('record'))
  for (const sequence of [1, 2]) store.append(key, message(sequence, `${sequence}`))
  await store.durable()
  await redis.admin.config('SET', 'maxmemory', '1mb')
  store.append(key, message(3, '3'))
  expect(await outcome(store.durable())).toBe('SMQ_STORE_FULL')
  expect(store.fault?.code).toBe('SMQ_STORE_FULL')
  // An acknowledgement needs a little room itself: where a batch is settled in part.
  store.settle(key, 1)
  expect(await outcome(store.durable())).toBe('durable')
  expect(store.fault?.code).toBe('SMQ_STORE_FULL')
  // Whoever reads makes room.
  expect(await lineOf(store, key)).toEqual(['2', '3'])
  await redis.admin.config('SET', 'maxmemory', '0')
  await vi.waitFor(() => expect(store.fault).toBeUndefined(), { timeout: 10_000 })
  expect(await outcome(store.durable())).toBe('durable')
  await store.close()
  const later = await opened(redis.url)
  expect((await contentsOf(later)).sessions).toMatchObject([{ line: ['2', '3'] }])
})

test('threat 22: a server that evicts keys, or has no append-only file, is refused for fsync and told of otherwise', async () => {
  const redis = await serverWith({ 'maxmemory-policy': 'allkeys-lru', appendonly: 'no' })
  const faults: string[] = []
  await opened(redis.url, { onFault: (fault) => faults.push(fault) })
  expect(faults).toEqual([expect.stringMatching(/allkeys-lru/), expect.stringMatching(/append-only/)])
  const strict = storeAt(redis.url, { durability: 'fsync', prefix: 'strict' })
  await expect(strict.open()).rejects.toMatchObject({
    code: 'SMQ_STORE_UNSUITABLE',
    message: expect.stringMatching(/allkeys-lru.*append-only/),
  })
})

test('threat 18: durability fsync is refused by a server that can neither flush always nor wait for it', async () => {
  const redis = await serverWith()
  const [, version = ''] = /redis_version:(\d+\.\d+)/.exec(await redis.admin.info()) ?? []
  const store = storeAt(redis.url, { durability: 'fsync' })
  if (Number(version) < 7.2) {
    await expect(store.open()).rejects.toMatchObject({
      code: 'SMQ_STORE_UNSUITABLE',
      message: expect.stringMatching(/WAITAOF/),
    })
    await redis.admin.config('SET', 'appendfsync', 'always')
  }
  await store.open()
  await sessionWith(store)
})

test('threat 17: a server that came back empty is found out, and nothing is promised any more', async () => {
  const redis = await serverWith({ appendonly: 'no' })
  const told: string[] = []
  const store = await opened(redis.url, { onAway: ({ code }) => told.push(code) })
  const key = await sessionWith(store)
  await redis.kill()
  await redis.start()
  store.append(key, message(2, 'two'))
  expect(await outcome(store.durable())).toBe('SMQ_STORE_REPLACED')
  expect(store.fault?.code).toBe('SMQ_STORE_REPLACED')
  expect(told.at(-1)).toBe('SMQ_STORE_REPLACED')
})

test('threat 29: FLUSHALL under a running broker is found out by the next commit', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url)
  const key = await sessionWith(store)
  await redis.admin.flushall()
  store.append(key, message(2, 'two'))
  expect(await outcome(store.durable())).toBe('SMQ_STORE_REPLACED')
})

test('threat 29: a record that is damaged, and a job that is gone, are told of and passed over', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url)
  const keys = [await sessionWith(store), await sessionWith(store)]
  store.append(keys[0]!, message(2, 'two'))
  await store.durable()
  await store.close()
  await redis.admin.del(`statemq:{s${keys[0]}}:b1`)
  const session = `statemq:{s${keys[1]}}:session`
  const record = (await redis.admin.hgetBuffer(session, 'c'))!
  record[record.length - 1]! ^= 1
  await redis.admin.hset(session, 'c', record)
  const damaged: string[] = []
  const later = await opened(redis.url, { onDamage: (table) => damaged.push(table) })
  // The line still counts the message of the job that is gone, until it is read.
  expect((await contentsOf(later, false)).sessions).toMatchObject([{ key: keys[0], line: ['two'] }])
  expect([...new Set(damaged)].toSorted()).toEqual(['batches', 'sessions'])
})

test('threat 23: two brokers on one store: the second is refused while the first lives', async () => {
  const redis = await serverWith()
  const first = await opened(redis.url)
  await expect(storeAt(redis.url).open()).rejects.toMatchObject({ code: 'SMQ_STORE_LOCKED' })
  await opened(redis.url, { prefix: 'other' })
  expect(await sessionWith(first)).toBe(1)
})

test('threats 23, 102: an owner that was away for too long writes nothing over its successor', async () => {
  const redis = await serverWith()
  const proxy = await TestProxy.to(redis.socket)
  const first = await opened(proxy.url)
  const key = await sessionWith(first)
  // The fence was right when it was looked at; then its packets don't get through any more, and its lease runs out.
  proxy.holdRequests('multi')
  first.putSession(key, 'c', Buffer.from('stale'))
  const stale = outcome(first.durable())
  await proxy.held
  proxy.holdRequests()
  const second = await opened(redis.url)
  await contentsOf(second)
  second.putSession(key, 'c', Buffer.from('mine'))
  await second.durable()
  await proxy.deliverHeld()
  proxy.letNewOnesThrough()
  expect(await stale).toMatch(/SMQ_STORE_(LOCKED|UNAVAILABLE)/)
  await vi.waitFor(() => expect(first.fault?.code).toBe('SMQ_STORE_LOCKED'), { timeout: 10_000 })
  first.putSession(key, 'c', Buffer.from('stale'))
  expect(await outcome(first.durable())).toBe('SMQ_STORE_LOCKED')
  expect((await contentsOf(second)).sessions).toMatchObject([{ record: 'mine' }])
})

test('threats 23, 102: an owner whose process stood still finds at its next write that it is one no more', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url, { leaseMs: 60_000 })
  const key = await sessionWith(store)
  await redis.admin.set('statemq:{store}:owner', 'somebody#1')
  store.putSession(key, 'c', Buffer.from('stale'))
  expect(await outcome(store.durable())).toBe('SMQ_STORE_LOCKED')
  expect((await redis.admin.hgetBuffer(`statemq:{s${key}}:session`, 'c'))!.includes('stale')).toBe(false)
})

test('a broker that was killed is followed when its lease has run out', async () => {
  const redis = await serverWith()
  const dead = await opened(redis.url)
  await sessionWith(dead)
  // What a process that is killed leaves: connections that end, and a lease.
  await redis.admin.set('statemq:{store}:owner', 'somebody#1')
  await redis.admin.set('statemq:{store}:lease', 'somebody', 'PX', leaseMs)
  const next = await opened(redis.url)
  expect((await contentsOf(next)).sessions).toHaveLength(1)
})

test('threat 25: what clients call themselves is in no key and in no job identifier', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url)
  const names = ['123', 'a:b', 'a:b:c', '{x}', 'evil\r\nFLUSHALL', '__proto__', 'é'.repeat(100), '*']
  for (const name of names) {
    const key = store.nextSessionKey()
    store.putSession(key, name, Buffer.from('r'))
    store.putSubscription(key, name, Buffer.from('s'))
    store.append(key, message(1, name))
  }
  await store.durable()
  for (const name of await redis.admin.keys('*')) expect(name).toMatch(/^statemq:\{(store|s\d+)\}:[a-z]+\d*$/)
  await store.close()
  const later = await opened(redis.url)
  const clients: string[] = []
  for await (const page of later.sessions()) clients.push(...page.map(({ clientId }) => clientId))
  expect(clients.toSorted()).toEqual([...names].toSorted())
})

test("threat 26: a job of somebody else's in a session's queue stops nothing, and comes to no client", async () => {
  const redis = await serverWith()
  const faults: unknown[] = []
  const store = await opened(redis.url, { onDamage: (_, error) => faults.push(error) })
  const key = await sessionWith(store)
  const connection = new Redis(redis.url, { maxRetriesPerRequest: null })
  const queue = new Queue(`{s${key}}`, { connection, prefix: 'statemq' })
  await queue.add('poison', { batch: "'); redis.call('FLUSHALL')" }, { lifo: true })
  await queue.add('poison', { batch: 7 })
  await queue.close()
  connection.disconnect()
  store.append(key, message(2, 'two'))
  await store.durable()
  expect(await lineOf(store, key)).toEqual(['one', 'two'])
  expect(faults).toEqual([])
})

test('threat 28: order is that of the sequences, however many jobs there are in a millisecond', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url)
  const key = store.nextSessionKey()
  store.putSession(key, 'c', Buffer.from('r'))
  const count = 4_200
  for (let at = 1; at <= count; at++) {
    store.append(key, message(at, `${at}`))
    if (at % 3 === 0) await store.durable()
  }
  await store.durable()
  await store.close()
  const later = await opened(redis.url)
  const [{ line }] = (await contentsOf(later)).sessions as [{ line: string[] }]
  expect(line).toEqual(Array.from({ length: count }, (_, at) => `${at + 1}`))
})

test('any number of sessions takes two connections', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url)
  const keys: number[] = []
  for (let at = 0; at < 200; at++) {
    const key = store.nextSessionKey()
    store.putSession(key, `c${at}`, Buffer.from('r'))
    store.append(key, message(1, 'one'))
    keys.push(key)
  }
  await store.durable()
  for (const key of keys) expect(await lineOf(store, key)).toEqual(['one'])
  const clients = (await redis.admin.client('LIST')) as string
  // And the one that counts them.
  expect(clients.trim().split('\n')).toHaveLength(3)
})

test('what a session has had, and a session that is gone, leave no queue behind', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url)
  const [drained, deleted] = [await sessionWith(store), await sessionWith(store)]
  expect(await lineOf(store, drained)).toEqual(['one'])
  store.settle(drained, 1)
  store.deleteSession(deleted)
  await store.durable()
  expect(await redis.admin.keys(`statemq:{s${drained}}:*`)).toEqual([`statemq:{s${drained}}:session`])
  expect(await redis.admin.keys(`statemq:{s${deleted}}:*`)).toEqual([])
})

test('a queue shows what waits and what is under way to tools of BullMQ', async () => {
  const redis = await serverWith()
  const store = await opened(redis.url)
  const key = await sessionWith(store)
  for (const sequence of [2, 3]) {
    store.append(key, message(sequence, `${sequence}`))
    await store.durable()
  }
  expect(await store.page(key, 1, 1, 1_000)).toHaveLength(1)
  const connection = new Redis(redis.url, { maxRetriesPerRequest: null })
  const queue = new Queue<{ first: number; messages: number }>(`{s${key}}`, { connection, prefix: 'statemq' })
  const counts = await queue.getJobCounts('active', 'waiting', 'failed')
  expect(counts).toEqual({ active: 1, waiting: 2, failed: 0 })
  const jobs = await queue.getJobs(['waiting'], 0, -1, true)
  expect(jobs.map(({ id, name, data }) => [id, name, data.first, data.messages])).toEqual([
    ['b2', 'deliver', 2, 1],
    ['b3', 'deliver', 3, 1],
  ])
  await queue.close()
  connection.disconnect()
})

test('threat 18: Redis is killed again and again while it is written to: what was durable is there, once and in order', async () => {
  const redis = await serverWith({ appendfsync: 'always' })
  const store = await opened(redis.url, { timeoutMs: 5_000 })
  const key = store.nextSessionKey()
  store.putSession(key, 'c', Buffer.from('r'))
  let sequence = 0
  let durable = 0
  let isOver = false
  const settled = new Set<number>()
  const writing = (async () => {
    while (!isOver) {
      const last = ++sequence
      store.append(key, message(last, `${last}`))
      // Some are settled as soon as they are there.
      await store.durable()
      durable = last
      if (last % 3 !== 0) continue
      settled.add(last)
      store.settle(key, last)
    }
  })()
  for (let kill = 0; kill < 10; kill++) {
    const enough = durable + 20 + kill * 7
    await vi.waitFor(() => expect(durable).toBeGreaterThan(enough), { timeout: 20_000, interval: 1 })
    await redis.kill()
    await redis.start()
  }
  isOver = true
  await writing
  await store.durable()
  await store.close()
  const expected = Array.from({ length: durable }, (_, at) => at + 1).filter((one) => !settled.has(one))
  const later = await opened(redis.url)
  const [{ line }] = (await contentsOf(later)).sessions as [{ line: string[] }]
  expect(line.map(Number)).toEqual(expected)
  const jobs = await redis.admin.keys(`statemq:{s${key}}:b*`)
  expect(jobs).toHaveLength(expected.length)
})
