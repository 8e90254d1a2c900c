/** MQTT 5 sections 3.1.2.4, 3.1.2.11.2 and 4.1: clean start, session state, session expiry. */
import { describe, expect, test } from 'vitest'

import { startBroker } from '../../support/test-broker.ts'
import { disconnect, publish, pubrel } from '../../support/wire.ts'

const never = 0xffffffff
const keeps = (sessionExpiryInterval: number) => ({
  clientId: 's',
  cleanStart: false,
  properties: { sessionExpiryInterval },
})

describe('clean start', () => {
  test('MQTT-3.1.2-4 MQTT-3.1.4-4 it throws subscriptions, waiting and unacknowledged messages away', async () => {
    const t = startBroker()
    const client = await t.connect(keeps(100))
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: 'unacknowledged', qos: 1 })
    await client.expectPublish({ topic: 't', payload: 'unacknowledged', qos: 1 })
    client.drop()
    await t.settle()
    await publisher.publish({ topic: 't', payload: 'waiting', qos: 1 })
    const clean = await t.connect({ ...keeps(100), cleanStart: true })
    expect(clean.connack?.sessionPresent).toBe(false)
    await publisher.publish({ topic: 't', payload: 'later', qos: 1 })
    await clean.expectNothing()
    // What the old session held does not come back with the next one either.
    clean.drop()
    await t.settle()
    const again = await t.connect(keeps(100))
    expect(again.connack?.sessionPresent).toBe(true)
    await again.expectNothing()
  })

  test('MQTT-3.1.2-4 it forgets the identifiers of unfinished QoS 2 messages', async () => {
    const t = startBroker()
    const client = await t.connect(keeps(100))
    client.send(publish({ topic: 't', qos: 2, packetId: 5 }))
    await client.expectPacket('pubrec', { packetId: 5 })
    client.drop()
    await t.settle()
    const clean = await t.connect({ ...keeps(100), cleanStart: true })
    clean.send(pubrel(5))
    await clean.expectPacket('pubcomp', { packetId: 5, reasonCode: 0x92 })
  })

  test('MQTT-3.1.2-5 MQTT-3.1.2-23 without it a stored session is resumed: subscriptions, waiting messages, QoS 2 state', async () => {
    const t = startBroker()
    const client = await t.connect(keeps(100))
    await client.subscribe([
      ['t', { qos: 2 }],
      ['u', { qos: 1 }],
    ])
    client.send(publish({ topic: 'elsewhere', qos: 2, packetId: 5 }))
    await client.expectPacket('pubrec', { packetId: 5 })
    client.drop()
    await t.settle()
    const publisher = await t.connect()
    for (const payload of ['1', '2', '3']) await publisher.publish({ topic: 't', payload, qos: 2 })
    await publisher.publish({ topic: 'u', payload: '4', qos: 1 })
    const again = await t.connect(keeps(100))
    expect(again.connack?.sessionPresent).toBe(true)
    for (const payload of ['1', '2', '3']) await again.expectPublish({ topic: 't', payload, qos: 2 })
    await again.acknowledge(await again.expectPublish({ topic: 'u', payload: '4', qos: 1 }))
    again.send(pubrel(5))
    await again.expectPacket('pubcomp', { packetId: 5, reasonCode: 0 })
    await publisher.publish({ topic: 'u', payload: '5', qos: 1 })
    await again.expectPublish({ topic: 'u', payload: '5', qos: 1 })
  })

  test('MQTT-3.1.2-6 without it and without a stored session a new one begins', async () => {
    const t = startBroker()
    const client = await t.connect(keeps(100))
    expect(client.connack?.sessionPresent).toBe(false)
    expect(t.state('s')).toBe('online')
  })

  test('MQTT-3.1.2-5 MQTT-3.1.4-3 a takeover without clean start goes on with the session', async () => {
    const t = startBroker()
    const older = await t.connect(keeps(100))
    await older.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: 'x', qos: 1 })
    const { packetId } = await older.expectPublish({ topic: 't', payload: 'x', qos: 1 })
    const newer = await t.connect(keeps(100))
    await older.expectDisconnect(0x8e)
    expect(newer.connack?.sessionPresent).toBe(true)
    await newer.expectPublish({ topic: 't', payload: 'x', qos: 1, dup: true, packetId })
  })

  test('MQTT-3.1.4-3 MQTT-4.1.0-2 a takeover of a session that ends with its connection begins a new one', async () => {
    const t = startBroker()
    const older = await t.connect(keeps(0))
    await older.subscribe(['t'])
    const newer = await t.connect(keeps(0))
    await older.expectDisconnect(0x8e)
    // The old connection is closed first, and with it its session (sections 3.1.4 and 4.1).
    expect(newer.connack?.sessionPresent).toBe(false)
    await (await t.connect()).publish({ topic: 't' })
    await newer.expectNothing()
  })
})

describe('session expiry', () => {
  test.each([
    ['is 0', { properties: { sessionExpiryInterval: 0 } }],
    ['is absent', {}],
  ])('MQTT-4.1.0-2 the session ends with its connection when the interval %s', async (_name, input) => {
    const t = startBroker()
    const client = await t.connect({ clientId: 's', cleanStart: false, ...input })
    await client.subscribe(['t'])
    client.drop()
    await t.settle()
    expect(t.state('s')).toBeUndefined()
    expect((await t.connect(keeps(0))).connack?.sessionPresent).toBe(false)
  })

  test('MQTT-4.1.0-1 MQTT-4.1.0-2 MQTT-3.1.2-23 it is kept while connected and until the interval has passed after that', async () => {
    const t = startBroker()
    const client = await t.connect(keeps(60))
    await client.subscribe([['t', { qos: 1 }]])
    await t.advance(3_600_000)
    expect(t.state('s')).toBe('online')
    client.drop()
    await t.advance(59_999)
    expect(t.state('s')).toBe('offline')
    await t.advance(1)
    expect(t.state('s')).toBeUndefined()
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos: 1 })
    const again = await t.connect(keeps(60))
    expect(again.connack?.sessionPresent).toBe(false)
    await again.expectNothing()
  })

  test('MQTT-3.1.2-23 0xFFFFFFFF never expires', async () => {
    const t = startBroker()
    const client = await t.connect(keeps(never))
    await client.subscribe([['t', { qos: 1 }]])
    client.drop()
    // Beyond 2^32 seconds, which is what the number would be as an interval.
    for (let round = 0; round < 3; round += 1) await t.advance(2 ** 31 * 1000)
    expect(t.state('s')).toBe('offline')
    expect((await t.connect(keeps(never))).connack?.sessionPresent).toBe(true)
  })

  test.each([0x7fffffff, 0x80000000, 0xfffffffe])('MQTT-4.1.0-2 %s seconds are that long', async (seconds) => {
    const t = startBroker()
    const client = await t.connect(keeps(seconds))
    client.drop()
    await t.advance(seconds * 1000 - 1)
    expect(t.state('s')).toBe('offline')
    await t.advance(1)
    expect(t.state('s')).toBeUndefined()
  })

  test('MQTT-3.1.2-23 the interval of the last CONNECT counts', async () => {
    const t = startBroker()
    const first = await t.connect(keeps(1000))
    first.drop()
    await t.settle()
    const second = await t.connect(keeps(10))
    second.drop()
    await t.advance(10_000)
    expect(t.state('s')).toBeUndefined()
  })
})

describe('the interval in DISCONNECT', () => {
  test.each([
    ['shorter', 100, 10, 10],
    ['longer', 10, 100, 100],
    ['the same when it is absent', 20, undefined, 20],
  ])('it may be changed: %s', async (_name, atConnect, atDisconnect, expected) => {
    const t = startBroker()
    const client = await t.connect(keeps(atConnect))
    client.send(atDisconnect === undefined ? disconnect() : disconnect(0, { sessionExpiryInterval: atDisconnect }))
    await client.expectClosed()
    await t.advance(expected * 1000 - 1)
    expect(t.state('s')).toBe('offline')
    await t.advance(1)
    expect(t.state('s')).toBeUndefined()
  })

  test('0 ends the session at once', async () => {
    const t = startBroker()
    const client = await t.connect(keeps(100))
    client.send(disconnect(0, { sessionExpiryInterval: 0 }))
    await client.expectClosed()
    await t.settle()
    expect(t.state('s')).toBeUndefined()
  })

  test('never, once and for all', async () => {
    const t = startBroker()
    const client = await t.connect(keeps(10))
    client.send(disconnect(0, { sessionExpiryInterval: never }))
    await client.expectClosed()
    await t.advance(2 ** 32 * 1000 + 1000)
    expect(t.state('s')).toBe('offline')
  })

  test('0 cannot be raised: 0x82, and that DISCONNECT does not count as one', async () => {
    const t = startBroker()
    const watcher = await t.connect()
    await watcher.subscribe(['w'])
    for (const sessionExpiryInterval of [1, never]) {
      const client = await t.connect({ clientId: 's', will: { topic: 'w', payload: 'gone' } })
      client.send(disconnect(0, { sessionExpiryInterval }))
      await client.expectDisconnect(0x82)
      await watcher.expectPublish({ topic: 'w', payload: 'gone' })
      await t.settle()
      expect(t.state('s')).toBeUndefined()
    }
  })

  test('0 to 0 is no change', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 's' })
    client.send(disconnect(0, { sessionExpiryInterval: 0 }))
    await client.expectClosed()
  })
})

describe('what a session keeps while its client is away', () => {
  test('MQTT-4.5.0-1 an accepted message is added to every matching session, online or offline', async () => {
    const t = startBroker()
    const here = await t.connect({ clientId: 'here' })
    await here.subscribe([['t/#', { qos: 1 }]])
    for (const clientId of ['away 1', 'away 2']) {
      const client = await t.connect({ ...keeps(100), clientId })
      await client.subscribe([[clientId === 'away 1' ? 't/+' : 't/x', { qos: 2 }]])
      client.drop()
    }
    await t.settle()
    await (await t.connect()).publish({ topic: 't/x', payload: 'm', qos: 2 })
    await here.expectPublish({ topic: 't/x', payload: 'm', qos: 1 })
    for (const clientId of ['away 1', 'away 2']) {
      const client = await t.connect({ ...keeps(100), clientId })
      await client.acknowledge(await client.expectPublish({ topic: 't/x', payload: 'm', qos: 2 }))
      await client.expectNothing()
    }
  })

  // Section 4.1 leaves it to the server whether QoS 0 messages wait for an offline client: they do not.
  test('QoS 0 messages do not wait', async () => {
    const t = startBroker()
    const client = await t.connect(keeps(100))
    await client.subscribe([
      ['t', { qos: 2 }],
      ['q0', { qos: 0 }],
    ])
    client.drop()
    await t.settle()
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: 'published with 0' })
    await publisher.publish({ topic: 'q0', payload: 'granted 0', qos: 1 })
    await publisher.publish({ topic: 't', payload: 'waits', qos: 1 })
    const again = await t.connect(keeps(100))
    await again.expectPublish({ topic: 't', payload: 'waits', qos: 1 })
    await again.expectNothing()
  })

  test('a queue that is full keeps the newest by default, and says nothing to the publisher', async () => {
    const t = startBroker({ limits: { maxQueuedMessages: 3 } })
    const client = await t.connect(keeps(100))
    await client.subscribe([['t', { qos: 1 }]])
    client.drop()
    await t.settle()
    const publisher = await t.connect()
    for (const payload of ['1', '2', '3', '4', '5']) {
      expect(await publisher.publish({ topic: 't', payload, qos: 1 })).toMatchObject({ reasonCode: 0 })
    }
    const again = await t.connect(keeps(100))
    expect(
      [await again.takePublish(), await again.takePublish(), await again.takePublish()].map(({ payload }) => payload),
    ).toEqual(['3', '4', '5'])
    await again.expectNothing()
  })
})
