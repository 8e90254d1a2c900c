/** MQTT 5 sections 3.8 to 3.11: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, subscription identifiers. */
import { describe, expect, test } from 'vitest'

import { deny, next } from '../../../src/hooks.ts'
import { startBroker } from '../../support/test-broker.ts'
import {
  frame,
  hex,
  property,
  propertyBytes,
  puback,
  publish,
  subscribe,
  u16,
  unsubscribe,
} from '../../support/wire.ts'

describe('SUBSCRIBE', () => {
  test.each([
    ['MQTT-3.8.1-1 flags 0000', subscribe({ filters: ['a'], first: 0x80 }), 0x81],
    ['MQTT-3.8.1-1 flags 0011', subscribe({ filters: ['a'], first: 0x83 }), 0x81],
    ['MQTT-3.8.3-1 a filter that is not UTF-8', subscribe({ filters: [hex('ff')] }), 0x81],
    ['MQTT-3.8.3-2 no filter', subscribe({ filters: [] }), 0x82],
    [
      'MQTT-3.8.3-4 No Local on a shared subscription',
      subscribe({ filters: [['$share/g/a', { noLocal: true }]] }),
      0x82,
    ],
    ['MQTT-3.8.3-5 reserved bit 6', subscribe({ filters: [['a', 0x40]] }), 0x81],
    ['MQTT-3.8.3-5 reserved bit 7', subscribe({ filters: [['a', 0x80]] }), 0x81],
    ['a filter without its options', frame(0x82, u16(1), propertyBytes(), hex('0001 61')), 0x81],
    ['Subscription Identifier 0', subscribe({ filters: ['a'], properties: { subscriptionIdentifiers: [0] } }), 0x82],
    [
      'two Subscription Identifiers',
      subscribe({ filters: ['a'], properties: { subscriptionIdentifiers: [1, 2] } }),
      0x82,
    ],
    ['a property of PUBLISH', subscribe({ filters: ['a'], properties: [property('topicAlias', 1)] }), 0x82],
  ])('%s', async (_name, bytes, code) => {
    const t = startBroker()
    const client = await t.connect()
    client.send(bytes)
    await client.expectDisconnect(code)
  })

  test('MQTT-3.8.4-1 MQTT-3.8.4-2 it is answered by a SUBACK with its identifier', async () => {
    const t = startBroker()
    const client = await t.connect()
    client.send(subscribe({ packetId: 0x1234, filters: ['a'] }))
    await client.expectBytes('90 04 1234 00 00')
  })

  test('MQTT-3.8.4-5 MQTT-3.8.4-6 MQTT-3.8.4-7 MQTT-3.9.3-1 MQTT-3.9.3-2 one code for each filter, in their order', async () => {
    const t = startBroker({ hooks: { onSubscribe: ({ filter }) => (filter === 'no' ? deny(0x87, 'no') : next()) } })
    const client = await t.connect()
    client.send(subscribe({ filters: [['a', { qos: 2 }], 'no', ['b', { qos: 1 }], 'c', 'a/#/b', ['d', { qos: 2 }]] }))
    await client.expectPacket('suback', { reasonCodes: [2, 0x87, 1, 0, 0x8f, 2] })
    for (const topic of ['a', 'no', 'b', 'c', 'd']) client.send(publish({ topic }))
    const topics = (await client.drain()).map((packet) => (packet.type === 'publish' ? packet.topic : packet.type))
    expect(topics).toEqual(['a', 'b', 'c', 'd'])
  })

  test.each([
    [0, 0, 0],
    [0, 1, 0],
    [0, 2, 0],
    [1, 0, 0],
    [1, 1, 1],
    [1, 2, 1],
    [2, 0, 0],
    [2, 1, 1],
    [2, 2, 2],
  ])('MQTT-3.8.4-8 granted QoS %s, published with %s: delivered with %s', async (granted, published, delivered) => {
    const t = startBroker()
    const client = await t.connect()
    expect((await client.subscribe([['t', { qos: granted }]])).reasonCodes).toEqual([granted])
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos: published })
    await client.acknowledge(await client.expectPublish({ topic: 't', payload: 'x', qos: delivered }))
    await client.expectNothing()
  })

  test('MQTT-3.8.4-3 subscribing again replaces: one delivery, by the new options', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 0 }]], { subscriptionIdentifiers: [7] })
    await client.subscribe([['t', { qos: 1, retainAsPublished: true }]])
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos: 1, retain: true })
    await client.expectPublish({ topic: 't', payload: 'x', qos: 1, retain: true })
    await client.expectNothing()
  })

  test('MQTT-3.8.4-4 replacing with Retain Handling 0 sends retained messages again and loses nothing', async () => {
    const t = startBroker()
    const client = await t.connect()
    const publisher = await t.connect()
    await publisher.publish({ topic: 't/kept', payload: 'r', retain: true })
    await client.subscribe([['t/#', { qos: 1 }]])
    await client.expectPublish({ topic: 't/kept', payload: 'r', retain: true })
    for (let count = 0; count < 10; count += 1)
      publisher.send(publish({ topic: 't/live', payload: `${count}`, qos: 1, packetId: count + 1 }))
    client.send(subscribe({ packetId: 5, filters: [['t/#', { qos: 1 }]] }))
    const live: string[] = []
    const kept: string[] = []
    for (let acks = 0; live.length < 10 || kept.length < 1 || acks < 1;) {
      const packet = await client.next()
      if (packet === 'closed') throw new Error('closed')
      if (packet.type === 'suback') acks += 1
      if (packet.type !== 'publish') continue
      if (packet.retain) kept.push(packet.payload)
      else live.push(packet.payload)
      if (packet.qos === 1) client.send(puback(packet.packetId))
    }
    expect(live).toEqual(Array.from({ length: 10 }, (_value, index) => `${index}`))
    expect(kept).toEqual(['r'])
    await client.expectNothing()
  })

  test('MQTT-3.8.3-3 No Local: own messages do not come back, those of others do', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a' })
    const other = await t.connect({ clientId: 'b' })
    await client.subscribe([['t', { noLocal: true, qos: 1 }]])
    await client.publish({ topic: 't', payload: 'own', qos: 0 })
    expect(await client.publish({ topic: 't', payload: 'own', qos: 1 })).toMatchObject({ type: 'puback' })
    await other.publish({ topic: 't', payload: 'other', qos: 1 })
    await client.acknowledge(await client.expectPublish({ topic: 't', payload: 'other', qos: 1 }))
    await client.expectNothing()
  })

  test('MQTT-3.8.3-3 No Local beside an overlapping subscription without it: one copy', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe([['t', { noLocal: true }]], { subscriptionIdentifiers: [1] })
    await client.subscribe(['#'], { subscriptionIdentifiers: [2] })
    client.send(publish({ topic: 't', payload: 'own' }))
    await client.expectPublish({ topic: 't', payload: 'own', properties: { subscriptionIdentifiers: [2] } })
    await client.expectNothing()
  })

  test('more subscriptions than the limit get 0x97', async () => {
    const t = startBroker({ limits: { maxSubscriptionsPerSession: 2 } })
    const client = await t.connect()
    client.send(subscribe({ filters: ['a', 'b', 'c', 'a'] }))
    await client.expectPacket('suback', { reasonCodes: [0, 0, 0x97, 0] })
  })
})

describe('overlapping subscriptions', () => {
  test('MQTT-3.3.4-2 one copy with the highest granted QoS', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe(['a/b', ['a/+', { qos: 2 }], ['#', { qos: 1 }]])
    const publisher = await t.connect()
    await publisher.publish({ topic: 'a/b', payload: 'x', qos: 2 })
    await client.acknowledge(await client.expectPublish({ topic: 'a/b', payload: 'x', qos: 2 }))
    await publisher.publish({ topic: 'a/b', payload: 'y', qos: 1 })
    await client.acknowledge(await client.expectPublish({ topic: 'a/b', payload: 'y', qos: 1 }))
    await client.expectNothing()
  })

  test('MQTT-3.3.4-3 MQTT-3.3.4-4 the copy carries the identifiers of all that match', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe(['a/b'], { subscriptionIdentifiers: [1] })
    await client.subscribe(['a/+'], { subscriptionIdentifiers: [268_435_455] })
    await client.subscribe(['a/#'], { subscriptionIdentifiers: [1] })
    await client.subscribe(['#'])
    await client.subscribe(['x'], { subscriptionIdentifiers: [9] })
    await (await t.connect()).publish({ topic: 'a/b', payload: 'x' })
    const packet = await client.expectPacket('publish', { topic: 'a/b' })
    expect([...new Set(packet.properties.subscriptionIdentifiers)].toSorted((a, b) => a - b)).toEqual([1, 268_435_455])
    await client.expectNothing()
  })

  test('MQTT-3.3.4-3 identifiers stay with a session, and end with their subscription', async () => {
    const t = startBroker()
    const session = { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 100 } }
    const client = await t.connect(session)
    await client.subscribe([['a', { qos: 1 }]], { subscriptionIdentifiers: [5] })
    client.drop()
    await t.settle()
    const publisher = await t.connect()
    await publisher.publish({ topic: 'a', payload: 'x', qos: 1 })
    const again = await t.connect(session)
    await again.acknowledge(
      await again.expectPublish({ topic: 'a', payload: 'x', qos: 1, properties: { subscriptionIdentifiers: [5] } }),
    )
    await again.subscribe([['a', { qos: 1 }]])
    await publisher.publish({ topic: 'a', payload: 'y', qos: 1 })
    await again.acknowledge(await again.expectPublish({ topic: 'a', payload: 'y', qos: 1 }))
  })

  test('MQTT-3.3.4-5 separate copies carry each its own identifier: shared beside plain, retained for each', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe(['$share/g/a'], { subscriptionIdentifiers: [1] })
    await client.subscribe(['a'], { subscriptionIdentifiers: [2] })
    const publisher = await t.connect()
    await publisher.publish({ topic: 'a', payload: 'x' })
    await t.settle()
    const ids = (await client.drain()).map((packet) =>
      packet.type === 'publish' ? packet.properties.subscriptionIdentifiers : packet,
    )
    expect(new Set(ids.flat())).toEqual(new Set([1, 2]))
    expect(ids).toHaveLength(2)
    await publisher.publish({ topic: 'r', payload: 'x', retain: true })
    await client.subscribe(['r'], { subscriptionIdentifiers: [3] })
    await client.expectPublish({ topic: 'r', payload: 'x', retain: true, properties: { subscriptionIdentifiers: [3] } })
    await client.subscribe(['+'], { subscriptionIdentifiers: [4] })
    await client.expectPublish({ topic: 'r', payload: 'x', retain: true, properties: { subscriptionIdentifiers: [4] } })
  })
})

describe('UNSUBSCRIBE', () => {
  test.each([
    ['MQTT-3.10.1-1 flags 0000', unsubscribe({ filters: ['a'], first: 0xa0 }), 0x81],
    ['MQTT-3.10.1-1 flags 0110', unsubscribe({ filters: ['a'], first: 0xa6 }), 0x81],
    ['MQTT-3.10.3-1 a filter that is not UTF-8', unsubscribe({ filters: [hex('c3')] }), 0x81],
    ['MQTT-3.10.3-2 no filter', unsubscribe({ filters: [] }), 0x82],
    ['a filter that is cut off', frame(0xa2, u16(1), propertyBytes(), hex('0005 61')), 0x81],
  ])('%s', async (_name, bytes, code) => {
    const t = startBroker()
    const client = await t.connect()
    client.send(bytes)
    await client.expectDisconnect(code)
  })

  test('MQTT-3.10.4-1 MQTT-3.10.4-2 only the same filter, character by character, is removed, and nothing new is queued', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe(['a/b', 'a/+', 'A/b'])
    client.send(unsubscribe({ packetId: 3, filters: ['a/#', 'a/B', '+/b', 'a/+'] }))
    await client.expectPacket('unsuback', { packetId: 3, reasonCodes: [0x11, 0x11, 0x11, 0] })
    const publisher = await t.connect()
    await publisher.publish({ topic: 'a/c' })
    await publisher.publish({ topic: 'a/b' })
    await client.expectPublish({ topic: 'a/b' })
    await client.expectNothing()
  })

  test('MQTT-3.10.4-3 deliveries that have begun are completed', async () => {
    const t = startBroker()
    const session = { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 100 } }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: '1', qos: 1 })
    await publisher.publish({ topic: 't', payload: '2', qos: 2 })
    const first = await client.expectPublish({ topic: 't', payload: '1', qos: 1 })
    const second = await client.expectPublish({ topic: 't', payload: '2', qos: 2 })
    client.send(unsubscribe({ packetId: 9, filters: ['t'] }))
    await client.expectPacket('unsuback', { packetId: 9, reasonCodes: [0] })
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    await again.expectPublish({ topic: 't', payload: '1', qos: 1, dup: true, packetId: first.packetId })
    again.send(puback(first.packetId))
    await again.acknowledge(
      await again.expectPublish({ topic: 't', payload: '2', qos: 2, dup: true, packetId: second.packetId }),
    )
    await again.expectNothing()
  })

  test('MQTT-3.10.4-4 MQTT-3.10.4-5 it is answered by an UNSUBACK with its identifier, also when nothing was removed', async () => {
    const t = startBroker()
    const client = await t.connect()
    client.send(unsubscribe({ packetId: 0x4321, filters: ['never'] }))
    await client.expectBytes('b0 04 4321 00 11')
  })

  test('MQTT-3.10.4-6 MQTT-3.11.3-1 MQTT-3.11.3-2 several filters: one UNSUBACK with a code for each, in their order', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe(['a', 'b', '$share/g/c'])
    client.send(unsubscribe({ packetId: 2, filters: ['x', 'b', 'a', 'a', '$share/h/c', '$share/g/c'] }))
    await client.expectPacket('unsuback', { packetId: 2, reasonCodes: [0x11, 0, 0, 0x11, 0x11, 0] })
    for (const topic of ['a', 'b', 'c']) client.send(publish({ topic }))
    await client.expectNothing()
  })
})
