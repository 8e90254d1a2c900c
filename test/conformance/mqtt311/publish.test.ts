/** MQTT 3.1.1 sections 3.3 and 4.6: PUBLISH, retained messages, order. */
import { describe, expect, test } from 'vitest'

import { deny, next } from '../../../src/hooks.ts'
import { publish4, startBroker4 } from '../../support/mqtt3.ts'
import { disconnect, hex, puback, pubrel } from '../../support/wire.ts'

describe('fixed header and topic name', () => {
  test.each([
    ['MQTT-3.3.1-2 DUP with QoS 0', publish4({ topic: 't', dup: true })],
    ['MQTT-3.3.1-4 QoS 3', publish4({ topic: 't', first: 0x36, packetId: 1 })],
    ['MQTT-3.3.1-4 QoS 3 with DUP and RETAIN', publish4({ topic: 't', first: 0x3f, packetId: 1 })],
    ['MQTT-3.3.2-1 a topic that is not UTF-8', publish4({ topic: hex('ff fe') })],
    ['MQTT-3.3.2-1 a topic longer than the packet', hex('30 03 0005 74')],
    ['MQTT-3.3.2-2 MQTT-4.7.1-1 a topic with #', publish4({ topic: 'a/#' })],
    ['MQTT-3.3.2-2 MQTT-4.7.1-1 a topic with +', publish4({ topic: 'a/+/b', qos: 1 })],
    ['MQTT-4.7.3-1 an empty topic', publish4({ topic: '' })],
  ])('%s closes the connection', async (_name, bytes) => {
    const t = startBroker4()
    const client = await t.connect()
    client.send(bytes)
    await client.expectClosed()
  })

  test('MQTT-3.3.2-1 MQTT-3.3.2-3 the topic name comes first, then what was published, byte for byte', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['#'])
    client.send(publish4({ topic: 'ä/b', payload: hex('00 ff 80') }))
    await client.expectBytes('30 09 0004 c3a42f62 00ff80')
  })

  test('MQTT-3.3.2-3 what is delivered matches the filter', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['a/+', 'b/#'])
    for (const topic of ['a', 'a/1', 'a/1/2', 'b', 'b/1/2', 'c']) client.send(publish4({ topic, payload: topic }))
    const packets = await client.drain()
    expect(packets.map((packet) => (packet.type === 'publish' ? packet.topic : packet.type))).toEqual([
      'a/1',
      'b',
      'b/1/2',
    ])
  })

  test("MQTT-3.3.1-3 MQTT-3.3.1-2 DUP on delivery is the delivery's own, whatever came in", async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await t.connect()
    publisher.send(
      publish4({ topic: 't', payload: '1', qos: 1, packetId: 1, dup: true }),
      publish4({ topic: 't', payload: '2', qos: 2, packetId: 2, dup: true }),
    )
    await client.expectPublish({ topic: 't', payload: '1', qos: 1, dup: false })
    await client.expectPublish({ topic: 't', payload: '2', qos: 2, dup: false })
  })

  test('MQTT-3.3.1-1 DUP is 1 when a message is delivered again', async () => {
    const t = startBroker4()
    const session = { clientId: 's', cleanStart: false }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    await (await t.connect()).publish({ topic: 't', qos: 1 })
    await client.expectPublish({ topic: 't', qos: 1, dup: false })
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    await again.expectPublish({ topic: 't', qos: 1, dup: true })
  })

  test('MQTT-3.3.4-1 every QoS has its answer', async () => {
    const t = startBroker4()
    const client = await t.connect()
    client.send(publish4({ topic: 't' }))
    await client.expectNothing()
    client.send(publish4({ topic: 't', qos: 1, packetId: 7 }))
    await client.expectBytes('40 02 0007')
    client.send(publish4({ topic: 't', qos: 2, packetId: 8 }))
    await client.expectBytes('50 02 0008')
  })
})

describe('a PUBLISH that is not authorised', () => {
  // Section 3.3.5: acknowledged as if it were accepted, or closed. Ours is to close (semantics 7.17).
  test.each([0, 1, 2])('MQTT-3.3.5-2 with QoS %s closes the connection and reaches nobody', async (qos) => {
    const t = startBroker4({
      hooks: { onPublish: ({ message }) => (message.topic.startsWith('secret') ? deny(0x87, 'no') : next()) },
    })
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    const client = await t.connect()
    client.send(publish4({ topic: 'secret/t', qos }))
    await client.expectClosed()
    await t.settle()
    await watcher.expectNothing()
  })

  test('MQTT-3.3.5-2 the same holds for the topics of the broker itself', async () => {
    const t = startBroker4()
    const client = await t.connect()
    client.send(publish4({ topic: '$SYS/x', qos: 1 }))
    await client.expectClosed()
  })
})

describe('retained messages', () => {
  test('MQTT-3.3.1-5 MQTT-3.3.1-6 MQTT-3.3.1-8 the last one of each topic goes to a new subscription, with its QoS and RETAIN 1', async () => {
    const t = startBroker4()
    const publisher = await t.connect()
    await publisher.publish({ topic: 'a/1', payload: 'old', qos: 2, retain: true })
    await publisher.publish({ topic: 'a/1', payload: 'new', qos: 1, retain: true })
    await publisher.publish({ topic: 'a/2', payload: 'two', qos: 2, retain: true })
    await publisher.publish({ topic: 'b', payload: 'other', retain: true })
    const client = await t.connect()
    await client.subscribe([['a/+', { qos: 2 }]])
    const found = [await client.expectPacket('publish'), await client.expectPacket('publish')]
    await client.expectNothing()
    expect(
      found
        .map(({ topic, payload, qos, retain, dup }) => ({ topic, payload, qos, retain, dup }))
        .toSorted((a, b) => (a.topic < b.topic ? -1 : 1)),
    ).toEqual([
      { topic: 'a/1', payload: 'new', qos: 1, retain: true, dup: false },
      { topic: 'a/2', payload: 'two', qos: 2, retain: true, dup: false },
    ])
  })

  test('MQTT-3.3.1-7 one with QoS 0 takes the place of an earlier one', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.publish({ topic: 't', payload: 'old', qos: 1, retain: true })
    await client.publish({ topic: 't', payload: 'new', retain: true })
    await client.subscribe([['t', { qos: 2 }]])
    await client.expectPublish({ topic: 't', payload: 'new', retain: true })
    await client.expectNothing()
  })

  test.each([0, 1, 2])('MQTT-3.3.1-9 an established subscription sees RETAIN 0 (QoS %s)', async (qos) => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 2 }]])
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos, retain: true })
    await client.expectPublish({ topic: 't', payload: 'x', qos, retain: false })
  })

  test('MQTT-3.3.1-9 also when the message waited for the client', async () => {
    const t = startBroker4()
    const session = { clientId: 's', cleanStart: false }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    client.drop()
    await t.settle()
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos: 1, retain: true })
    await (await t.connect(session)).expectPublish({ topic: 't', payload: 'x', qos: 1, retain: false })
  })

  test('MQTT-3.3.1-10 MQTT-3.3.1-11 an empty one is delivered as usual, removes what is stored and is not stored', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['t'])
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: 'x', retain: true })
    await client.expectPublish({ topic: 't', payload: 'x' })
    await publisher.publish({ topic: 't', payload: '', retain: true })
    await client.expectPublish({ topic: 't', payload: '', retain: false })
    await client.subscribe(['t'])
    await client.expectNothing()
  })

  test('MQTT-3.3.1-12 RETAIN 0 neither stores nor removes', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.publish({ topic: 'a', payload: 'kept', retain: true })
    await client.publish({ topic: 'a', payload: 'passing' })
    await client.publish({ topic: 'a', payload: '' })
    await client.publish({ topic: 'b', payload: 'passing' })
    await client.subscribe(['a', 'b'])
    await client.expectPublish({ topic: 'a', payload: 'kept', retain: true })
    await client.expectNothing()
  })

  test('a client that asks for what is not offered is closed', async () => {
    const t = startBroker4({ retainAvailable: false, maximumQoS: 1 })
    for (const bytes of [publish4({ topic: 't', payload: 'x', retain: true }), publish4({ topic: 't', qos: 2 })]) {
      const client = await t.connect()
      client.send(bytes)
      await client.expectClosed()
    }
  })
})

describe('order', () => {
  test('MQTT-4.6.0-5 MQTT-4.6.0-6 messages of one publisher and topic are delivered in their order, at each QoS', async () => {
    const t = startBroker4()
    const subscribers = await Promise.all([0, 1, 2].map(() => t.connect()))
    for (const [qos, client] of subscribers.entries()) await client.subscribe([['t', { qos }]])
    for (const qos of [0, 1, 2]) {
      const publisher = await t.connect()
      const payloads = Array.from({ length: 15 }, (_value, index) => `${qos}.${index}`)
      publisher.send(
        ...payloads.map((payload, index) =>
          publish4({ topic: 't', payload, qos, ...(qos > 0 ? { packetId: index + 1 } : {}) }),
        ),
      )
      for (const client of subscribers) {
        const packets = []
        for (let count = 0; count < payloads.length; count += 1) packets.push(await client.expectPacket('publish'))
        expect(packets.map(({ payload }) => payload)).toEqual(payloads)
        for (const packet of packets) await client.acknowledge(packet)
      }
    }
  })

  test('MQTT-4.6.0-6 also from an outbox, and after the connection was lost in the middle', async () => {
    const t = startBroker4({ limits: { maxInflightMessages: 4 } })
    const session = { clientId: 's', cleanStart: false }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    for (let count = 0; count < 12; count += 1) await publisher.publish({ topic: 't', payload: `${count}`, qos: 1 })
    for (let count = 0; count < 3; count += 1) {
      const { payload, packetId } = await client.expectPacket('publish', { qos: 1, dup: false })
      expect(payload).toBe(`${count}`)
      // The second stays unacknowledged.
      if (count !== 1) client.send(puback(packetId))
    }
    await client.drain()
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    const seen: string[] = []
    for (let count = 0; count < 10; count += 1) seen.push((await again.takePublish()).payload)
    expect(seen).toEqual(['1', '3', '4', '5', '6', '7', '8', '9', '10', '11'])
    await again.expectNothing()
    again.send(disconnect())
  })

  test('MQTT-4.5.0-1 an accepted message goes to every session that matches, once', async () => {
    const t = startBroker4()
    const filters = ['a/b', 'a/+', 'a/#', '#', '+/b']
    const clients = await Promise.all(filters.map(() => t.connect()))
    for (const [index, client] of clients.entries()) await client.subscribe([[filters[index] ?? '', { qos: 2 }]])
    const publisher = await t.connect()
    publisher.send(
      publish4({ topic: 'a/b', payload: 'x', qos: 2, packetId: 3 }),
      publish4({ topic: 'a/b', payload: 'x', qos: 2, packetId: 3, dup: true }),
      pubrel(3),
    )
    for (const client of clients) {
      await client.acknowledge(await client.expectPublish({ topic: 'a/b', payload: 'x', qos: 2 }))
      await client.expectNothing()
    }
  })
})
