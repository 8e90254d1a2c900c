/** MQTT 5 sections 3.3.4, 4.6 and 4.9: receive maximum both ways, and the order of messages. */
import { describe, expect, test } from 'vitest'

import { startBroker } from '../../support/test-broker.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { puback, pubcomp, publish, pubrec, pubrel, subscribe } from '../../support/wire.ts'

describe('Receive Maximum of the broker', () => {
  test('MQTT-3.3.4-7 one QoS 2 message more than announced gets 0x93', async () => {
    const t = startBroker({ limits: { receiveMaximumMessages: 3 } })
    const client = await t.connect()
    expect(client.connack?.properties.receiveMaximum).toBe(3)
    client.send(...[1, 2, 3].map((packetId) => publish({ topic: 't', qos: 2, packetId })))
    for (const packetId of [1, 2, 3]) await client.expectPacket('pubrec', { packetId })
    await client.expectNothing()
    client.send(publish({ topic: 't', qos: 2, packetId: 4 }))
    await client.expectDisconnect(0x93)
  })

  test('MQTT-3.3.4-7 PUBREL opens the window again, a repeated PUBLISH does not count twice', async () => {
    const t = startBroker({ limits: { receiveMaximumMessages: 2 } })
    const client = await t.connect()
    for (let packetId = 1; packetId <= 6; packetId += 1) {
      client.send(publish({ topic: 't', qos: 2, packetId }), publish({ topic: 't', qos: 2, packetId, dup: true }))
      await client.expectPacket('pubrec', { packetId })
      await client.expectPacket('pubrec', { packetId })
      if (packetId === 1) continue
      client.send(pubrel(packetId - 1))
      await client.expectPacket('pubcomp', { packetId: packetId - 1, reasonCode: 0 })
    }
    await client.expectNothing()
  })

  test('MQTT-3.3.4-7 QoS 0, and QoS 1 that is acknowledged, do not fill it', async () => {
    const t = startBroker({ limits: { receiveMaximumMessages: 1 } })
    const client = await t.connect()
    for (let packetId = 1; packetId <= 5; packetId += 1) {
      client.send(publish({ topic: 't', qos: 1, packetId }), publish({ topic: 't' }))
      await client.expectPacket('puback', { packetId })
    }
    await client.expectNothing()
  })
})

describe('Receive Maximum of the client', () => {
  const publishMany = async (publisher: RawClient, qos: number, count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) await publisher.publish({ topic: 't', payload: `${index}`, qos })
  }

  test.each([
    [1, 1],
    [1, 5],
    [2, 1],
    [2, 5],
  ])(
    'MQTT-3.3.4-9 MQTT-4.9.0-1 MQTT-4.9.0-2 with QoS %s at most %s are unacknowledged',
    async (qos, receiveMaximum) => {
      const t = startBroker()
      const client = await t.connect({ clientId: 'a', properties: { receiveMaximum } })
      await client.subscribe([['t', { qos }]])
      await publishMany(await t.connect(), qos, receiveMaximum + 3)
      await t.settle()
      const window = await client.drain()
      expect(window.map((packet) => (packet.type === 'publish' ? packet.payload : packet.type))).toEqual(
        Array.from({ length: receiveMaximum }, (_value, index) => `${index}`),
      )
      // Each settled message lets exactly one more through.
      for (const [index, packet] of window.entries()) {
        if (packet.type !== 'publish') continue
        await client.acknowledge(packet)
        const more = await client.drain()
        expect(more.map((each) => (each.type === 'publish' ? each.payload : each.type))).toEqual(
          index < 3 ? [`${receiveMaximum + index}`] : [],
        )
        if (index >= 2) break
      }
    },
  )

  test('MQTT-3.3.4-9 QoS 2: PUBREC does not free a place, PUBCOMP does', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a', properties: { receiveMaximum: 1 } })
    await client.subscribe([['t', { qos: 2 }]])
    await publishMany(await t.connect(), 2, 2)
    const { packetId } = await client.expectPublish({ topic: 't', payload: '0', qos: 2 })
    client.send(pubrec(packetId))
    await client.expectPacket('pubrel', { packetId })
    await client.expectNothing()
    client.send(pubcomp(packetId))
    await client.expectPublish({ topic: 't', payload: '1', qos: 2 })
  })

  test('MQTT-3.3.4-10 MQTT-4.9.0-3 other packets are handled and sent while the window is full', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a', properties: { receiveMaximum: 1 } })
    await client.subscribe([
      ['t', { qos: 1 }],
      ['zero', { qos: 0 }],
    ])
    await publishMany(await t.connect(), 1, 3)
    const { packetId } = await client.expectPublish({ topic: 't', payload: '0', qos: 1 })
    await client.expectNothing()
    client.send(subscribe({ packetId: 7, filters: ['x'] }))
    await client.expectPacket('suback', { packetId: 7 })
    client.send(publish({ topic: 'y', qos: 1, packetId: 8 }))
    await client.expectPacket('puback', { packetId: 8 })
    client.send(publish({ topic: 'y', qos: 2, packetId: 9 }))
    await client.expectPacket('pubrec', { packetId: 9 })
    client.send(pubrel(9))
    await client.expectPacket('pubcomp', { packetId: 9 })
    // QoS 0 is not counted and may pass.
    client.send(publish({ topic: 'zero', payload: 'z' }))
    await client.expectPublish({ topic: 'zero', payload: 'z' })
    client.send(puback(packetId))
    await client.expectPublish({ topic: 't', payload: '1', qos: 1 })
  })

  test('MQTT-4.9.0-1 what was unacknowledged counts again on the next connection, by its new maximum', async () => {
    const t = startBroker()
    const session = (receiveMaximum: number) => ({
      clientId: 's',
      cleanStart: false,
      properties: { sessionExpiryInterval: 100, receiveMaximum },
    })
    const client = await t.connect(session(3))
    await client.subscribe([['t', { qos: 1 }]])
    await publishMany(await t.connect(), 1, 4)
    for (const payload of ['0', '1', '2']) await client.expectPublish({ topic: 't', payload, qos: 1 })
    client.drop()
    await t.settle()
    const again = await t.connect(session(1))
    for (const payload of ['0', '1', '2', '3']) {
      const packet = await again.expectPublish({ topic: 't', payload, qos: 1, dup: payload !== '3' })
      await again.expectNothing()
      await again.acknowledge(packet)
    }
    await again.expectNothing()
  })

  test('MQTT-4.9.0-1 without one the maximum is 65535, and the broker keeps to its own limit', async () => {
    const t = startBroker({ limits: { maxInflightMessages: 4 } })
    const client = await t.connect({ clientId: 'a' })
    await client.subscribe([['t', { qos: 1 }]])
    await publishMany(await t.connect(), 1, 10)
    await t.settle()
    expect((await client.drain()).length).toBe(4)
  })
})

describe('order', () => {
  test('MQTT-4.6.0-5 MQTT-4.6.0-6 per topic and QoS, what one client publishes arrives in its order', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a', properties: { receiveMaximum: 7 } })
    await client.subscribe([['+', { qos: 2 }]])
    const publisher = await t.connect()
    const sent: Record<string, string[]> = {}
    for (let index = 0; index < 60; index += 1) {
      const qos = index % 3
      const topic = `t${index % 4}`
      ;(sent[`${topic}/${qos}`] ??= []).push(`${index}`)
      publisher.send(publish({ topic, payload: `${index}`, qos, ...(qos ? { packetId: index + 1 } : {}) }))
      if (qos === 2) publisher.send(pubrel(index + 1))
    }
    const received: Record<string, string[]> = {}
    for (let count = 0; count < 60;) {
      const packet = await client.next()
      if (packet === 'closed') throw new Error('closed')
      if (packet.type === 'pubrel') client.send(pubcomp(packet.packetId))
      if (packet.type !== 'publish') continue
      ;(received[`${packet.topic}/${packet.qos}`] ??= []).push(packet.payload)
      if (packet.qos === 1) client.send(puback(packet.packetId))
      if (packet.qos === 2) client.send(pubrec(packet.packetId))
      count += 1
    }
    expect(received).toEqual(sent)
  })

  test('MQTT-4.6.0-5 also over a reconnect: unacknowledged first, then waiting, then live', async () => {
    const t = startBroker()
    const session = { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 100, receiveMaximum: 2 } }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    const order: string[] = []
    for (let index = 0; index < 5; index += 1) await publisher.publish({ topic: 't', payload: `${index}`, qos: 1 })
    client.drop()
    await t.settle()
    await publisher.publish({ topic: 't', payload: '5', qos: 1 })
    const again = await t.connect(session)
    await publisher.publish({ topic: 't', payload: '6', qos: 1 })
    for (let index = 0; index < 7; index += 1) order.push((await again.takePublish()).payload)
    expect(order).toEqual(['0', '1', '2', '3', '4', '5', '6'])
    await again.expectNothing()
  })

  test('MQTT-4.6.0-5 a decision that takes its time does not change the order', async () => {
    const waiting: Array<() => void> = []
    const t = startBroker({
      hooks: {
        onPublish: async ({ message }) => {
          if (message.payload.toString() === 'slow') await new Promise<void>((resolve) => waiting.push(resolve))
          return { type: 'next' }
        },
      },
    })
    const client = await t.connect()
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    publisher.send(
      publish({ topic: 't', payload: 'slow', qos: 1, packetId: 1 }),
      publish({ topic: 't', payload: 'fast', qos: 1, packetId: 2 }),
    )
    await t.settle()
    await client.expectNothing()
    waiting[0]?.()
    await publisher.expectPacket('puback', { packetId: 1 })
    await publisher.expectPacket('puback', { packetId: 2 })
    await client.expectPublish({ topic: 't', payload: 'slow', qos: 1 })
    await client.expectPublish({ topic: 't', payload: 'fast', qos: 1 })
  })
})
