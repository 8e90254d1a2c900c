/** MQTT 3.1.1 sections 3.8 to 3.11: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK. */
import { describe, expect, test } from 'vitest'

import { deny, next } from '../../../src/hooks.ts'
import { publish4, startBroker4, subscribe4, unsubscribe4 } from '../../support/mqtt3.ts'
import { frame, hex, pubcomp, pubrec, u16, utf8 } from '../../support/wire.ts'

describe('packets that close the connection', () => {
  test.each([
    ['MQTT-3.8.1-1 SUBSCRIBE with flags 0000', subscribe4({ first: 0x80, filters: ['t'] })],
    ['MQTT-3.8.3-1 a filter that is not UTF-8', subscribe4({ filters: [hex('c3 28')] })],
    ['MQTT-3.8.3-3 SUBSCRIBE without a filter', frame(0x82, u16(1))],
    ['MQTT-3.8.3-4 QoS 3', subscribe4({ filters: [['t', 3]] })],
    ['MQTT-3.8.3-4 a reserved bit', subscribe4({ filters: [['t', 0x04]] })],
    ['MQTT-3.8.3-4 the highest reserved bit, in the second filter', subscribe4({ filters: ['t', ['u', 0x80]] })],
    ['MQTT-3.8.3-3 a filter without its QoS', frame(0x82, u16(1), utf8('t'))],
    ['MQTT-3.10.1-1 UNSUBSCRIBE with flags 0000', unsubscribe4({ first: 0xa0, filters: ['t'] })],
    ['MQTT-3.10.3-1 a filter of UNSUBSCRIBE that is not UTF-8', unsubscribe4({ filters: [hex('c3 28')] })],
    ['MQTT-3.10.3-2 UNSUBSCRIBE without a filter', frame(0xa2, u16(1))],
    ['MQTT-3.10.3-1 a filter longer than the packet', frame(0xa2, u16(1), hex('0005 74'))],
  ])('%s', async (_name, bytes) => {
    const t = startBroker4()
    const client = await t.connect({ clientId: 'a' })
    client.send(bytes)
    await client.expectClosed()
    expect(t.state('a')).toBeUndefined()
  })
})

describe('SUBACK', () => {
  test('MQTT-3.8.4-1 MQTT-3.8.4-2 MQTT-3.8.4-4 MQTT-3.8.4-5 MQTT-3.9.3-1 MQTT-3.9.3-2 one answer, with one code for each filter in their order', async () => {
    const t = startBroker4()
    const client = await t.connect()
    client.send(
      subscribe4({
        packetId: 0x0102,
        filters: [['a', { qos: 2 }], 'b/#/c', ['b', { qos: 1 }], 'c', ['+d', { qos: 2 }]],
      }),
    )
    await client.expectBytes('90 07 0102 02 80 01 00 80')
    await client.expectNothing()
  })

  test('MQTT-3.9.3-2 MQTT-3.8.3-2 every refusal is 0x80, and the other filters count', async () => {
    const t = startBroker4({
      wildcardSubscriptionAvailable: false,
      limits: { maxSubscriptionsPerSession: 3 },
      hooks: { onSubscribe: ({ filter }) => (filter === 'secret' ? deny(0x87, 'no') : next()) },
    })
    const client = await t.connect()
    client.send(subscribe4({ filters: ['secret', 'a/+', '#', 'b', 'c', 'd', 'one too many'] }))
    await client.expectPacket('suback', { reasonCodes: [0x80, 0x80, 0x80, 0, 0, 0, 0x80] })
    for (const topic of ['secret', 'a/x', 'b', 'd', 'one too many']) client.send(publish4({ topic }))
    await client.expectPublish({ topic: 'b' })
    await client.expectPublish({ topic: 'd' })
    await client.expectNothing()
  })

  test('MQTT-3.8.4-5 MQTT-3.9.3-2 a QoS that is not offered is lowered', async () => {
    const t = startBroker4({ maximumQoS: 1 })
    const client = await t.connect()
    client.send(subscribe4({ filters: [['a', { qos: 2 }], ['b', { qos: 1 }], 'c'] }))
    await client.expectPacket('suback', { reasonCodes: [1, 1, 0] })
  })

  test.each(['', 'a#', '#/a', 'a/#/b', 'a+', '+a/b', 'a/b+'])(
    'MQTT-4.7.1-2 MQTT-4.7.1-3 MQTT-4.7.3-1 the filter "%s" is refused with 0x80',
    async (filter) => {
      const t = startBroker4()
      const client = await t.connect()
      client.send(subscribe4({ filters: [filter] }))
      await client.expectPacket('suback', { reasonCodes: [0x80] })
    },
  )
})

describe('what a subscription does', () => {
  test('MQTT-3.8.4-3 the same filter again replaces it: new QoS, one delivery, retained messages once more', async () => {
    const t = startBroker4()
    const client = await t.connect()
    const publisher = await t.connect()
    await publisher.publish({ topic: 'a/b', payload: 'r', qos: 2, retain: true })
    for (const qos of [0, 2, 1]) {
      await client.subscribe([['a/+', { qos }]])
      await client.acknowledge(await client.expectPublish({ topic: 'a/b', payload: 'r', qos, retain: true }))
      await publisher.publish({ topic: 'a/c', payload: 'live', qos: 2 })
      await client.acknowledge(await client.expectPublish({ topic: 'a/c', payload: 'live', qos }))
      await client.expectNothing()
    }
  })

  test('MQTT-3.8.4-3 the flow of messages is not interrupted meanwhile', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['t'])
    const publisher = await t.connect()
    const payloads = Array.from({ length: 20 }, (_value, index) => `${index}`)
    for (const payload of payloads) {
      client.send(subscribe4({ filters: ['t'] }))
      publisher.send(publish4({ topic: 't', payload }))
    }
    await t.settle()
    const seen = (await client.drain()).flatMap((packet) => (packet.type === 'publish' ? [packet.payload] : []))
    expect(seen).toEqual(payloads)
  })

  test('MQTT-3.8.4-4 several filters in one SUBSCRIBE act as several packets: each has its retained messages', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.publish({ topic: 'a', payload: 'r', retain: true })
    client.send(subscribe4({ packetId: 9, filters: ['a', '+'] }))
    await client.expectPacket('suback', { packetId: 9, reasonCodes: [0, 0] })
    await client.expectPublish({ topic: 'a', payload: 'r', retain: true })
    await client.expectPublish({ topic: 'a', payload: 'r', retain: true })
    await client.expectNothing()
  })

  test('MQTT-3.3.5-1 MQTT-3.8.4-6 overlapping filters: the highest QoS is honoured, and one copy is enough', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['a/b', ['a/+', { qos: 2 }], ['#', { qos: 1 }]])
    const publisher = await t.connect()
    for (const qos of [0, 1, 2]) {
      await publisher.publish({ topic: 'a/b', payload: `${qos}`, qos })
      await client.acknowledge(await client.expectPublish({ topic: 'a/b', payload: `${qos}`, qos }))
      await client.expectNothing()
    }
    await publisher.publish({ topic: 'a', payload: 'one filter', qos: 2 })
    await client.acknowledge(await client.expectPublish({ topic: 'a', payload: 'one filter', qos: 1 }))
    await client.expectNothing()
  })
})

describe('UNSUBSCRIBE', () => {
  test('MQTT-3.10.4-1 MQTT-3.10.4-2 only the same filter, character by character, is removed', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['a/+', 'a/#', 'A/x', 'a/x', 'a/x/'])
    client.send(unsubscribe4({ filters: ['a/y', 'a', 'A/+'] }))
    await client.expectPacket('unsuback')
    client.send(publish4({ topic: 'a/x', payload: '1' }))
    await client.expectPublish({ topic: 'a/x', payload: '1' })
    await client.expectNothing()
    client.send(unsubscribe4({ filters: ['a/+', 'a/#'] }), publish4({ topic: 'a/x', payload: '2' }))
    await client.expectPacket('unsuback')
    await client.expectPublish({ topic: 'a/x', payload: '2' })
    client.send(
      unsubscribe4({ filters: ['a/x'] }),
      publish4({ topic: 'a/x', payload: '3' }),
      publish4({ topic: 'A/x', payload: '4' }),
    )
    await client.expectPacket('unsuback')
    await client.expectPublish({ topic: 'A/x', payload: '4' })
    await client.expectNothing()
  })

  test('MQTT-3.10.4-3 deliveries that have begun are completed', async () => {
    const t = startBroker4()
    const session = { clientId: 's', cleanStart: false }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: '1', qos: 2 })
    await publisher.publish({ topic: 't', payload: '2', qos: 1 })
    const first = await client.expectPublish({ topic: 't', payload: '1', qos: 2 })
    const second = await client.expectPublish({ topic: 't', payload: '2', qos: 1 })
    client.send(unsubscribe4({ filters: ['t'] }))
    await client.expectPacket('unsuback')
    client.send(pubrec(first.packetId))
    await client.expectPacket('pubrel', { packetId: first.packetId })
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    await again.expectPacket('pubrel', { packetId: first.packetId })
    await again.expectPublish({ topic: 't', payload: '2', qos: 1, dup: true, packetId: second.packetId })
    again.send(pubcomp(first.packetId))
    await again.expectNothing()
  })

  test('MQTT-3.10.4-4 MQTT-3.10.4-5 MQTT-3.10.4-6 one UNSUBACK, whatever was removed', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['a', 'b', 'c'])
    client.send(unsubscribe4({ packetId: 0x0a0b, filters: ['a', 'never', 'b'] }))
    await client.expectBytes('b0 02 0a0b')
    client.send(unsubscribe4({ packetId: 0x0a0c, filters: ['never'] }))
    await client.expectBytes('b0 02 0a0c')
    for (const topic of ['a', 'b', 'c']) client.send(publish4({ topic }))
    await client.expectPublish({ topic: 'c' })
    await client.expectNothing()
  })
})
