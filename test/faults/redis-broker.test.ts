/** A broker whose store is in Redis: what comes back after a restart, and what it does while Redis is away. */
import { expect, onTestFinished, test, vi } from 'vitest'

import type { BrokerOptions } from '../../src/index.ts'
import { startRedis, type TestRedis } from '../support/redis-server.ts'
import { startBroker, type TestBroker } from '../support/test-broker.ts'
import { connect as connectPacket, publish, pubrec } from '../support/wire.ts'

async function redisServer(): Promise<TestRedis> {
  const redis = await startRedis()
  onTestFinished(() => redis.end())
  return redis
}

async function brokerOn({ url }: TestRedis, options: BrokerOptions = {}): Promise<TestBroker> {
  const broker = startBroker({ store: { type: 'redis', url, timeoutMs: 500 }, ...options })
  await broker.broker.ready
  return broker
}

const persistent = { cleanStart: false, properties: { sessionExpiryInterval: 3600 } } as const

test('a session is there after a restart, with what waits for it, what is under way and what was retained', async () => {
  const redis = await redisServer()
  const before = await brokerOn(redis)
  const client = await before.connect({ clientId: 'c', ...persistent })
  await client.subscribe([['a/#', { qos: 2 }]])
  const publisher = await before.connect({ clientId: 'p' })
  await publisher.publish({ topic: 'a/released', qos: 2 })
  const released = await client.expectPacket('publish', { dup: false })
  client.send(pubrec(released.packetId!))
  await client.expectPacket('pubrel', { packetId: released.packetId! })
  await publisher.publish({ topic: 'a/sent', qos: 2 })
  const sent = await client.expectPacket('publish', { dup: false })
  client.drop()
  await before.settle()
  for (const topic of ['a/1', 'a/2']) await publisher.publish({ topic, qos: 1 })
  await publisher.publish({ topic: 'r', payload: 'kept', qos: 1, retain: true })
  await before.close()

  const after = await brokerOn(redis)
  const back = await after.connect({ clientId: 'c', ...persistent })
  expect(back.connack?.sessionPresent).toBe(true)
  // They are read from Redis now, which takes what it takes.
  const packets = [await back.next(), await back.next(), await back.next(), await back.next()]
  expect(packets).toMatchObject([
    { type: 'pubrel', packetId: released.packetId },
    { type: 'publish', topic: 'a/sent', packetId: sent.packetId, dup: true },
    { type: 'publish', topic: 'a/1', dup: false },
    { type: 'publish', topic: 'a/2', dup: false },
  ])
  await back.subscribe(['r'])
  await back.expectPacket('publish', { topic: 'r', payload: 'kept', retain: true })
})

test('a will and the end of a session are kept in time although nobody runs meanwhile', async () => {
  const redis = await redisServer()
  const before = await brokerOn(redis)
  const watcher = await before.connect({ clientId: 'w', ...persistent })
  await watcher.subscribe([['gone', { qos: 1 }]])
  watcher.drop()
  const will = { topic: 'gone', qos: 1, properties: { willDelayInterval: 30 } } as const
  ;(await before.connect({ clientId: 'c', cleanStart: false, properties: { sessionExpiryInterval: 60 }, will })).drop()
  await before.settle()
  await before.close()
  const after = await brokerOn(redis)
  expect(after.state('c')).toBe('offline')
  await after.advance(61_000)
  expect(after.state('c')).toBeUndefined()
  const back = await after.connect({ clientId: 'w', ...persistent })
  expect(await back.expectPacket('publish')).toMatchObject({ topic: 'gone' })
  await back.expectNothing()
})

test('threat 16: while Redis is away nothing is acknowledged that must be kept, the rest goes on, and all resumes', async () => {
  const redis = await redisServer()
  const { broker, connect, settle } = await brokerOn(redis)
  const reader = await connect({ clientId: 'r', ...persistent })
  await reader.subscribe([['kept', { qos: 1 }]])
  reader.drop()
  const live = await connect({ clientId: 'live' })
  await live.subscribe(['live'])
  const publisher = await connect({ clientId: 'p' })
  await publisher.publish({ topic: 'kept', payload: 'before', qos: 1 })
  await settle()
  redis.freeze()

  publisher.send(publish({ topic: 'kept', payload: 'withheld', qos: 1, packetId: 100 }))
  // Not acknowledged, and told so when it has taken too long.
  await publisher.expectDisconnect(0x97)
  const other = await connect({ clientId: 'p2' })
  const refused = await other.publish({ topic: 'kept', payload: 'refused', qos: 1 })
  expect(refused?.reasonCode).toBe(0x97)
  await other.publish({ topic: 'live', qos: 0 })
  await live.expectPacket('publish', { topic: 'live' })

  redis.thaw()
  await vi.waitFor(
    async () =>
      expect(await other.publish({ topic: 'kept', payload: 'after', qos: 1 })).toMatchObject({ reasonCode: 0 }),
    {
      timeout: 10_000,
    },
  )
  const back = await connect({ clientId: 'r', ...persistent })
  const payloads: string[] = []
  while (payloads.at(-1) !== 'after') payloads.push((await back.expectPacket('publish')).payload)
  expect(payloads).not.toContain('refused')
  expect([payloads[0], payloads.at(-1)]).toEqual(['before', 'after'])
  expect([...broker.sessions.keys()]).toContain('r')
})

test('threat 20: while Redis takes five seconds to answer, clients that need no store are served as ever', async () => {
  const redis = await redisServer()
  const { connect, settle } = await brokerOn(redis, { store: { type: 'redis', url: redis.url, timeoutMs: 30_000 } })
  const reader = await connect({ clientId: 'r', ...persistent })
  await reader.subscribe([['kept', { qos: 1 }]])
  const live = await connect({ clientId: 'live' })
  await live.subscribe([['live', { qos: 1 }]])
  const [keeping, publisher] = [await connect({ clientId: 'k' }), await connect({ clientId: 'p' })]
  await settle()
  redis.freeze()
  keeping.send(publish({ topic: 'kept', payload: 'late', qos: 1, packetId: 1 }))
  const beganAt = performance.now()
  const tookMs: number[] = []
  while (performance.now() - beganAt < 5_000) {
    const sentAt = performance.now()
    await publisher.publish({ topic: 'live', qos: 1, packetId: 1 })
    await live.takePublish()
    tookMs.push(performance.now() - sentAt)
  }
  expect(keeping.waitingPackets).toBe(0)
  redis.thaw()
  await keeping.expectPacket('puback', { packetId: 1, reasonCode: 0 })
  await reader.expectPacket('publish', { topic: 'kept', payload: 'late' })
  // A wait for Redis would be seconds; a busy machine is not.
  const p99 = tookMs.toSorted((a, b) => a - b)[Math.floor(tookMs.length * 0.99)]!
  expect([tookMs.length > 100, p99 < 250]).toEqual([true, true])
})

test('threat 16: a broker whose Redis is down at the start is not ready, and says why', async () => {
  const redis = await redisServer()
  await redis.kill()
  await expect(brokerOn(redis)).rejects.toMatchObject({ code: 'SMQ_STORE_UNAVAILABLE' })
})

test('threat 4: a client that comes anew on another connection is sent again only what the store has', async () => {
  const redis = await redisServer()
  const { attach, connect, settle } = await brokerOn(redis, {
    store: { type: 'redis', url: redis.url, timeoutMs: 30_000 },
  })
  const reader = await connect({ clientId: 'r', ...persistent })
  await reader.subscribe([['kept', { qos: 2 }]])
  const publisher = await connect({ clientId: 'p' })
  await settle()
  redis.freeze()
  // The first is in the commit under way, the second waits for the next, and so does what the reader is told of it.
  for (const packetId of [1, 2]) {
    publisher.send(publish({ topic: 'kept', payload: `${packetId}`, qos: 2, packetId }))
    await settle()
  }
  const again = attach().send(connectPacket({ clientId: 'r', ...persistent }))
  await settle()
  expect(again.waitingPackets).toBe(0)

  redis.thaw()
  await again.expectPacket('connack', { sessionPresent: true })
  for (const payload of ['1', '2']) await again.expectPacket('publish', { payload, qos: 2, dup: true })
})
