/** MQTT 3.1.1 sections 3.1.2.4, 3.2.2.2, 4.1 and 4.4: clean session and what a session keeps. */
import { describe, expect, test } from 'vitest'

import { connect4, publish4, startBroker4, unsubscribe4 } from '../../support/mqtt3.ts'
import { disconnect, puback, pubrec, pubrel } from '../../support/wire.ts'

const kept = { clientId: 's', cleanStart: false }

describe('session present', () => {
  test('MQTT-3.2.2-1 MQTT-3.1.4-3 it is 0 after Clean Session 1, whatever was stored', async () => {
    const t = startBroker4()
    ;(await t.connect(kept)).drop()
    await t.settle()
    const client = t.first(connect4({ clientId: 's' }))
    await client.expectBytes('20 02 00 00')
  })

  test('MQTT-3.2.2-2 MQTT-3.2.2-3 MQTT-3.1.2-4 after Clean Session 0 it tells whether there was a session', async () => {
    const t = startBroker4()
    const client = t.first(connect4(kept))
    await client.expectBytes('20 02 00 00')
    client.drop()
    await t.settle()
    await t.first(connect4(kept)).expectBytes('20 02 01 00')
    // The takeover of a session that is connected.
    await t.first(connect4(kept)).expectBytes('20 02 01 00')
  })

  test('MQTT-3.2.2-3 MQTT-3.1.2-6 Clean Session 0 after Clean Session 1 finds nothing', async () => {
    const t = startBroker4()
    const clean = await t.connect({ clientId: 's' })
    await clean.subscribe([['t', { qos: 1 }]])
    clean.drop()
    await t.settle()
    const client = await t.connect(kept)
    expect(client.connack?.sessionPresent).toBe(false)
    await (await t.connect()).publish({ topic: 't', qos: 1 })
    await client.expectNothing()
  })
})

describe('clean session', () => {
  test('MQTT-3.1.2-6 MQTT-3.1.4-3 with 1 the old session is discarded: subscriptions, waiting and unacknowledged messages', async () => {
    const t = startBroker4()
    const client = await t.connect(kept)
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: 'unacknowledged', qos: 1 })
    await client.expectPublish({ topic: 't', payload: 'unacknowledged', qos: 1 })
    client.drop()
    await t.settle()
    await publisher.publish({ topic: 't', payload: 'waiting', qos: 1 })
    const clean = await t.connect({ clientId: 's' })
    await publisher.publish({ topic: 't', payload: 'later', qos: 1 })
    await clean.expectNothing()
    clean.send(disconnect())
    await clean.expectClosed()
    await t.settle()
    expect(t.state('s')).toBeUndefined()
    const again = await t.connect(kept)
    expect(again.connack?.sessionPresent).toBe(false)
    await again.expectNothing()
  })

  test.each([
    ['DISCONNECT', true],
    ['a lost network', false],
  ])('MQTT-3.1.2-6 MQTT-4.1.0-2 with 1 the session ends with its connection, after %s', async (_name, orderly) => {
    const t = startBroker4()
    const client = await t.connect({ clientId: 's' })
    expect(t.state('s')).toBe('online')
    if (orderly) client.send(disconnect())
    else client.drop()
    await t.settle()
    expect(t.state('s')).toBeUndefined()
  })

  test('MQTT-3.1.2-4 MQTT-4.1.0-1 with 0 the session is kept, for as long as nobody discards it', async () => {
    const t = startBroker4()
    const client = await t.connect(kept)
    await client.subscribe([
      ['a/+', { qos: 2 }],
      ['b', { qos: 1 }],
    ])
    client.send(unsubscribe4({ filters: ['b'] }))
    await client.expectPacket('unsuback')
    client.drop()
    await t.advance(365 * 86_400_000)
    expect(t.state('s')).toBe('offline')
    const again = await t.connect(kept)
    const publisher = await t.connect()
    await publisher.publish({ topic: 'a/x', payload: '1', qos: 2 })
    await publisher.publish({ topic: 'b', payload: '2', qos: 1 })
    expect((await again.takePublish()).payload).toBe('1')
    await again.expectNothing()
  })

  test('the longest time of a session is an option', async () => {
    const t = startBroker4({ limits: { maxSessionExpirySeconds: 60 } })
    ;(await t.connect(kept)).drop()
    await t.advance(59_999)
    expect(t.state('s')).toBe('offline')
    await t.advance(1)
    expect(t.state('s')).toBeUndefined()
  })

  test('MQTT-3.1.2-5 MQTT-4.5.0-1 messages with QoS 1 and 2 wait for a client that is away, in order; QoS 0 does not', async () => {
    const t = startBroker4()
    const client = await t.connect(kept)
    await client.subscribe([
      ['t', { qos: 2 }],
      ['zero', { qos: 0 }],
    ])
    client.send(disconnect())
    await client.expectClosed()
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: '0', qos: 0 })
    await publisher.publish({ topic: 'zero', payload: '0', qos: 2 })
    for (const [payload, qos] of [
      ['1', 1],
      ['2', 2],
      ['3', 1],
      ['4', 2],
    ] as const)
      await publisher.publish({ topic: 't', payload, qos })
    const again = await t.connect(kept)
    for (const [payload, qos] of [
      ['1', 1],
      ['2', 2],
      ['3', 1],
      ['4', 2],
    ] as const)
      await again.expectPublish({ topic: 't', payload, qos })
    await again.expectNothing()
  })

  test('MQTT-3.1.2-7 retained messages belong to no session', async () => {
    const t = startBroker4()
    const client = await t.connect({ clientId: 's' })
    await client.publish({ topic: 't', payload: 'r', retain: true, qos: 1 })
    client.send(disconnect())
    await client.expectClosed()
    const clean = await t.connect({ clientId: 's' })
    await clean.subscribe(['t'])
    await clean.expectPublish({ topic: 't', payload: 'r', retain: true })
  })

  test('MQTT-3.1.4-2 MQTT-3.1.2-4 a takeover goes on with the session', async () => {
    const t = startBroker4()
    const older = await t.connect(kept)
    await older.subscribe([['t', { qos: 1 }]])
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos: 1 })
    const { packetId } = await older.expectPublish({ topic: 't', payload: 'x', qos: 1 })
    const newer = await t.connect(kept)
    await older.expectClosed()
    await newer.expectPublish({ topic: 't', payload: 'x', qos: 1, dup: true, packetId })
  })

  test('MQTT-3.1.2-6 Clean Session 1 then Clean Session 0 on one connection after the other: the second is a new session that is kept', async () => {
    const t = startBroker4()
    const clean = await t.connect({ clientId: 's' })
    await clean.subscribe([['t', { qos: 1 }]])
    const newer = await t.connect(kept)
    await clean.expectClosed()
    expect(newer.connack?.sessionPresent).toBe(false)
    newer.drop()
    await t.settle()
    expect(t.state('s')).toBe('offline')
  })
})

describe('resumption', () => {
  test('MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.1.0-1 unacknowledged PUBLISH and PUBREL packets are sent again with their identifiers, in order', async () => {
    const t = startBroker4()
    const client = await t.connect(kept)
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await t.connect()
    for (const [payload, qos] of [
      ['1', 1],
      ['2', 2],
      ['3', 2],
      ['4', 1],
    ] as const)
      await publisher.publish({ topic: 't', payload, qos })
    const { packetId: one } = await client.expectPublish({ topic: 't', payload: '1', qos: 1 })
    const { packetId: two } = await client.expectPublish({ topic: 't', payload: '2', qos: 2 })
    const { packetId: three } = await client.expectPublish({ topic: 't', payload: '3', qos: 2 })
    const { packetId: four } = await client.expectPublish({ topic: 't', payload: '4', qos: 1 })
    client.send(pubrec(two), puback(four))
    await client.expectPacket('pubrel', { packetId: two })
    client.drop()
    await t.settle()
    for (let round = 0; round < 2; round += 1) {
      const again = await t.connect(kept)
      await again.expectPublish({ topic: 't', payload: '1', qos: 1, dup: true, packetId: one })
      await again.expectPacket('pubrel', { packetId: two })
      await again.expectPublish({ topic: 't', payload: '3', qos: 2, dup: true, packetId: three })
      await again.expectNothing()
      again.drop()
      await t.settle()
    }
  })

  test('MQTT-4.4.0-1 what was acknowledged is not sent again', async () => {
    const t = startBroker4()
    const client = await t.connect(kept)
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: '1', qos: 1 })
    await publisher.publish({ topic: 't', payload: '2', qos: 2 })
    await client.takePublish()
    await client.takePublish()
    await client.expectNothing()
    client.drop()
    await t.settle()
    await (await t.connect(kept)).expectNothing()
  })

  test('MQTT-4.1.0-1 MQTT-4.3.3-2 the identifiers of QoS 2 messages on their way in are kept', async () => {
    const t = startBroker4()
    const watcher = await t.connect()
    await watcher.subscribe([['t', { qos: 2 }]])
    const client = await t.connect(kept)
    client.send(publish4({ topic: 't', payload: 'once', qos: 2, packetId: 5 }))
    await client.expectPacket('pubrec', { packetId: 5 })
    await watcher.takePublish()
    client.drop()
    await t.settle()
    const again = await t.connect(kept)
    again.send(publish4({ topic: 't', payload: 'once', qos: 2, packetId: 5, dup: true }))
    await again.expectPacket('pubrec', { packetId: 5 })
    again.send(pubrel(5))
    await again.expectPacket('pubcomp', { packetId: 5 })
    await t.settle()
    await watcher.expectNothing()
  })

  test('no message is sent again while the connection lasts', async () => {
    const t = startBroker4()
    const client = await t.connect(kept)
    await client.subscribe([['t', { qos: 1 }]])
    await (await t.connect()).publish({ topic: 't', payload: '1', qos: 1 })
    await client.expectPublish({ topic: 't', payload: '1', qos: 1 })
    await t.advance(3_600_000)
    await client.expectNothing()
  })
})
