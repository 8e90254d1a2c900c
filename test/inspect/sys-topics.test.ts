/** `$SYS`: what is published there, when, for whom, and what it must not touch. */
import { expect, test } from 'vitest'

import type { BrokerOptions } from '../../src/index.ts'
import { sysLoads, sysTopics } from '../../src/observe/sys-topics.ts'
import type { RawClient } from '../support/raw-client.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker } from '../support/test-broker.ts'
import { subscribe } from '../support/wire.ts'

/** What a client has got so far, the last value of each topic. */
async function values(client: RawClient): Promise<Record<string, string>> {
  const packets = await client.drain()
  return Object.fromEntries(
    packets.flatMap((packet) => (packet.type === 'publish' ? [[packet.topic, packet.payload.toString()]] : [])),
  )
}

async function scene(options: BrokerOptions = {}) {
  const t = startBroker({ sysTopics: { intervalSeconds: 10 }, ...options })
  await t.broker.ready
  const watch = async (clientId: string, filter = '$SYS/#'): Promise<RawClient> => {
    const client = await t.connect({ clientId })
    await client.subscribe([filter])
    return client
  }
  return { ...t, watch }
}

test('every topic is retained, at QoS 0, from the start on, and told again when it has changed', async () => {
  const t = await scene()
  const watcher = await t.watch('watcher')
  const packets = await watcher.drain()
  const topics = packets.map((packet) => (packet.type === 'publish' ? packet.topic : packet.type))
  const loads = sysLoads.flatMap(({ topic }) => ['1min', '5min', '15min'].map((span) => `${topic}/${span}`))
  expect(topics.toSorted()).toEqual([...sysTopics.map(({ topic }) => topic), ...loads].toSorted())
  expect(packets.map((packet) => packet.type === 'publish' && [packet.qos, packet.retain])).toEqual(
    packets.map(() => [0, true]),
  )
  await t.advance(9_999)
  expect(await values(watcher)).toEqual({})
  await t.advance(1)
  const changed = await values(watcher)
  expect(changed).toMatchObject({
    '$SYS/broker/uptime': '10 seconds',
    '$SYS/broker/clients/connected': '1',
    '$SYS/broker/clients/maximum': '1',
    '$SYS/broker/subscriptions/count': '1',
  })
  // What is as it was is not told again.
  expect(Object.keys(changed)).not.toContain('$SYS/broker/version')
  expect(Object.keys(changed)).not.toContain('$SYS/broker/clients/expired')
})

test('counts what clients did', async () => {
  const t = await scene()
  const watcher = await t.watch('watcher')
  const away = await t.connect({ clientId: 'away', properties: { sessionExpiryInterval: 600 } })
  await away.subscribe([['a', { qos: 1 }], '$share/g/b'])
  away.drop()
  await t.settle()
  const writer = await t.connect({ clientId: 'writer' })
  await writer.publish({ topic: 'a', payload: 'waits', qos: 1 })
  await writer.publish({ topic: 'r', payload: 'stays', retain: true })
  writer.drop()
  await watcher.drain()
  await t.advance(10_000)
  expect(await values(watcher)).toMatchObject({
    '$SYS/broker/clients/connected': '1',
    '$SYS/broker/clients/active': '1',
    '$SYS/broker/clients/disconnected': '1',
    '$SYS/broker/clients/inactive': '1',
    '$SYS/broker/clients/total': '2',
    '$SYS/broker/clients/maximum': '2',
    '$SYS/broker/publish/messages/received': '2',
    '$SYS/broker/publish/bytes/received': '10',
    '$SYS/broker/retained messages/count': '1',
    '$SYS/broker/store/messages/count': '2',
    '$SYS/broker/messages/stored': '2',
    '$SYS/broker/subscriptions/count': '3',
    '$SYS/broker/shared_subscriptions/count': '1',
    '$SYS/broker/load/sockets/1min': (18 * (1 - Math.exp(-1 / 6))).toFixed(2),
    '$SYS/broker/load/connections/15min': (18 * (1 - Math.exp(-1 / 90))).toFixed(2),
  })
  await t.advance(600_000)
  expect(await values(watcher)).toMatchObject({ '$SYS/broker/clients/expired': '1' })
})

test('loads fall again, by the minutes that they speak of', async () => {
  const t = await scene()
  const watcher = await t.watch('watcher', '$SYS/broker/load/publish/received/+')
  for (let count = 0; count < 10; count++) await t.broker.publish({ topic: 'a', payload: 'x' })
  await t.advance(10_000)
  const after = (minutes: number, seconds: number): string =>
    (60 * (1 - Math.exp(-10 / (60 * minutes))) * Math.exp(-(seconds - 10) / (60 * minutes))).toFixed(2)
  const loads = (seconds: number): Record<string, string> =>
    Object.fromEntries(
      [1, 5, 15].map((minutes) => [`$SYS/broker/load/publish/received/${minutes}min`, after(minutes, seconds)]),
    )
  expect(await values(watcher)).toEqual(loads(10))
  await t.advance(50_000)
  expect(await values(watcher)).toEqual(loads(60))
})

test('wildcards do not reach them, and clients cannot publish there', async () => {
  const t = await scene()
  const [all, plus] = [await t.watch('all', '#'), await t.watch('plus', '+/broker/uptime')]
  expect((await all.publish({ topic: '$SYS/broker/uptime', payload: 'never', qos: 1 }))?.reasonCode).toBe(0x87)
  await t.advance(20_000)
  await all.expectNothing()
  await plus.expectNothing()
  expect(await values(await t.watch('watcher', '$SYS/broker/uptime'))).toEqual({
    '$SYS/broker/uptime': '20 seconds',
  })
})

test('roles decide who reads them', async () => {
  const t = await scene({
    anonymousRoles: ['reader'],
    roles: { reader: { permissions: [{ allow: 'subscribe', topic: '$SYS/broker/clients/+' }] } },
  })
  const watcher = await t.watch('watcher', '$SYS/broker/#')
  const expected = ['active', 'connected', 'disconnected', 'expired', 'inactive', 'maximum', 'total']
  expect(Object.keys(await values(watcher)).toSorted()).toEqual(expected.map((name) => `$SYS/broker/clients/${name}`))
  const other = await t.connect({ clientId: 'other' })
  other.send(subscribe({ packetId: 1, filters: ['$SYS/broker/uptime'] }))
  await other.expectPacket('suback', { reasonCodes: [0x87] })
})

test('they take nobody’s room, and are not counted among what is retained', async () => {
  const t = await scene({ limits: { maxRetainedMessages: 1, maxRetainedBytes: 1_000 } })
  const writer = await t.connect({ clientId: 'writer' })
  await writer.publish({ topic: 'r/1', payload: 'fits', retain: true, qos: 1 })
  const one = t.broker.inspection.stats()
  await writer.publish({ topic: 'r/2', payload: 'does not fit', retain: true, qos: 1 })
  await writer.publish({ topic: 'r/1', payload: 'FITS', retain: true, qos: 1 })
  await t.advance(10_000)
  const { retainedMessages, retainedBytes, counters } = t.broker.inspection.stats()
  expect({ retainedMessages, retainedBytes, full: counters.dropped['retained-full'] }).toEqual({
    retainedMessages: 1,
    retainedBytes: one.retainedBytes,
    full: 1,
  })
  // New values are retained although there is room for nothing.
  expect(await values(await t.watch('late', '$SYS/broker/uptime'))).toEqual({ '$SYS/broker/uptime': '10 seconds' })
  await writer.publish({ topic: 'r/1', retain: true })
  expect(t.broker.inspection.stats()).toMatchObject({ retainedMessages: 0, retainedBytes: 0 })
  expect(Object.keys(await values(await t.watch('watcher')))).toHaveLength(sysTopics.length + 3 * sysLoads.length)
})

test('nothing of them is in the store, and they wait for nobody', async () => {
  const store = { type: 'lmdb', directory: tempFolder() } as const
  const before = await scene({ store })
  const kept = { clientId: 'kept', cleanStart: false, properties: { sessionExpiryInterval: 3_600 } }
  const client = await before.connect(kept)
  await client.subscribe([['$SYS/#', { qos: 2, retainHandling: 2 }]])
  client.drop()
  await before.advance(30_000)
  expect(before.broker.inspection.stats()).toMatchObject({ queuedMessages: 0, retainedMessages: 0 })
  await before.close()
  const after = startBroker({ store, clock: before.clock })
  await after.broker.ready
  const back = await after.connect(kept)
  expect(back.connack?.sessionPresent).toBe(true)
  await back.expectNothing()
  const watcher = await after.connect({ clientId: 'watcher' })
  await watcher.subscribe(['$SYS/#'])
  await watcher.expectNothing()
})

test.each([{}, { sysTopics: { intervalSeconds: 0 } }])('are off with %o, and cost no timer', async (options) => {
  const t = startBroker(options)
  const watcher = await t.connect({ clientId: 'watcher' })
  await watcher.subscribe(['$SYS/#'])
  await t.advance(60_000)
  await watcher.expectNothing()
  await t.close()
  expect(t.clock.pending).toBe(0)
})

test('end with the broker', async () => {
  const t = await scene()
  await t.connect({ clientId: 'a' })
  await t.close()
  expect(t.clock.pending).toBe(0)
})

test.each([-1, 1.5, 86_401, Number.NaN])('an interval of %s is none', (intervalSeconds) => {
  expect(() => startBroker({ sysTopics: { intervalSeconds } })).toThrow(
    expect.objectContaining({ code: 'SMQ_OPTION_INVALID' }),
  )
})
