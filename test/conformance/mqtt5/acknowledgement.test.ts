/** Reason strings and user properties of the answers (3.4 to 3.7, 3.9, 3.11, 3.14): what fits, what is wanted. */
import { describe, expect, test } from 'vitest'

import { deny, next, type Hooks } from '../../../src/hooks.ts'
import { startBroker } from '../../support/test-broker.ts'
import {
  disconnect,
  hex,
  publish,
  pubrec,
  pubrel,
  subscribe,
  unsubscribe,
  type ConnectInput,
} from '../../support/wire.ts'

const reason = 'because of a reason that takes quite some space in a packet'
/** Refuses everything that can be refused, with a reason. */
const hooks: Hooks = {
  onPublish: ({ message }) => (message.topic === 'no' ? deny(0x87, reason) : next()),
  onSubscribe: ({ filter }) => (filter === 'no' ? deny(0x87, reason) : next()),
}
const tight: ConnectInput = { clientId: 'tight', properties: { maximumPacketSize: 40 } }
const uninterested: ConnectInput = { clientId: 'uninterested', properties: { requestProblemInformation: 0 } }

describe('reason strings', () => {
  test('a client with room that wants problem information is told why', async () => {
    const t = startBroker({ hooks })
    const client = await t.connect({ clientId: 'a', properties: { requestProblemInformation: 1 } })
    client.send(publish({ topic: 'no', qos: 1, packetId: 1 }), publish({ topic: 'no', qos: 2, packetId: 2 }))
    await client.expectPacket('puback', { packetId: 1, reasonCode: 0x87, properties: { reasonString: reason } })
    await client.expectPacket('pubrec', { packetId: 2, reasonCode: 0x87, properties: { reasonString: reason } })
    client.send(subscribe({ packetId: 3, filters: ['no'] }))
    await client.expectPacket('suback', { packetId: 3, reasonCodes: [0x87], properties: { reasonString: reason } })
  })

  test.each([
    ['MQTT-3.4.2-2 PUBACK', publish({ topic: 'no', qos: 1, packetId: 1 }), '40 03 0001 87'],
    ['MQTT-3.5.2-2 PUBREC', publish({ topic: 'no', qos: 2, packetId: 1 }), '50 03 0001 87'],
    ['MQTT-3.9.2-1 SUBACK', subscribe({ packetId: 1, filters: ['no'] }), '90 04 0001 00 87'],
  ])(
    'MQTT-3.1.2-29 %s leaves its reason string out when it does not fit, or is not wanted',
    async (_name, bytes, expected) => {
      const t = startBroker({ hooks })
      for (const input of [tight, uninterested]) {
        const client = await t.connect(input)
        client.send(bytes)
        await client.expectBytes(expected)
      }
    },
  )

  test.each([
    ['MQTT-3.6.2-2 PUBREL 0x92', pubrec(9), 0x62],
    ['MQTT-3.7.2-2 PUBCOMP 0x92', pubrel(9), 0x70],
    ['MQTT-3.11.2-1 UNSUBACK 0x11', unsubscribe({ packetId: 9, filters: ['nothing'] }), 0xb0],
  ])(
    "MQTT-3.1.2-29 %s stays within the client's size, and carries no reason string unless wanted",
    async (_name, bytes, first) => {
      const t = startBroker()
      for (const maximumPacketSize of [6, 40]) {
        const client = await t.connect({ clientId: 'a', properties: { maximumPacketSize: 200 } })
        client.drop()
        await t.settle()
        const small = t.attach()
        // CONNACK may not be sent at all where it cannot fit: nothing else is said about that here.
        await small.connect({
          clientId: 'b',
          properties: { maximumPacketSize: Math.max(maximumPacketSize, 40), requestProblemInformation: 0 },
        })
        small.send(bytes)
        const packet = await small.next()
        expect(small.lastFrame.readUInt8(0)).toBe(first)
        expect(small.lastFrame.length).toBeLessThanOrEqual(40)
        expect(packet).toMatchObject({ packetId: 9 })
        expect(packet).toHaveProperty('properties', {})
      }
    },
  )

  // Request Problem Information does not speak of DISCONNECT (section 3.1.2.11.7), Maximum Packet Size does.
  test('MQTT-3.14.2-3 DISCONNECT leaves its reason string out when it does not fit', async () => {
    const t = startBroker({ authenticators: [], hooks: {} })
    for (const maximumPacketSize of [30, 10_000]) {
      const client = await t.connect({ clientId: 'a', properties: { maximumPacketSize } })
      client.send(hex('c1 00'))
      await client.expectPacket('disconnect', { reasonCode: 0x81 })
      expect(client.lastFrame.length).toBeLessThanOrEqual(maximumPacketSize)
      await client.expectClosed()
    }
  })
})

describe('user properties', () => {
  const userProperties = [['of the', 'request']] as const

  // The broker has nothing to say in user properties, so there is nothing to leave out; these tests
  // fail when that changes, and with them the reason why the rules hold.
  test.each([
    ['MQTT-3.4.2-3 PUBACK', publish({ topic: 'no', qos: 1, packetId: 1, properties: { userProperties } })],
    ['MQTT-3.5.2-3 PUBREC', publish({ topic: 'no', qos: 2, packetId: 1, properties: { userProperties } })],
    ['MQTT-3.6.2-3 PUBREL', pubrec(1, 0, { userProperties })],
    ['MQTT-3.7.2-3 PUBCOMP', pubrel(1, 0, { userProperties })],
    ['MQTT-3.9.2-2 SUBACK', subscribe({ filters: ['no', 'yes'], properties: { userProperties } })],
    ['MQTT-3.11.2-2 UNSUBACK', unsubscribe({ filters: ['a'], properties: { userProperties } })],
    ['MQTT-3.14.2-4 DISCONNECT', publish({ topic: '#', properties: { userProperties } })],
  ])('MQTT-3.1.2-29 %s carries none, with or without room', async (_name, bytes) => {
    const t = startBroker({ hooks })
    for (const input of [tight, uninterested, { clientId: 'roomy' }]) {
      const client = await t.connect(input)
      client.send(bytes)
      const packet = await client.next()
      expect(packet).toMatchObject({ properties: expect.not.objectContaining({ userProperties: expect.anything() }) })
    }
  })

  test('a client may send them in every packet, and nothing but PUBLISH passes them on', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a', properties: { userProperties } })
    await client.subscribe(['t'], { userProperties })
    client.send(
      publish({ topic: 't', payload: 'x', qos: 2, packetId: 5, properties: { userProperties } }),
      pubrel(5, 0, { userProperties }),
    )
    await t.settle()
    expect((await client.drain()).map(({ type }) => type).toSorted()).toEqual(['pubcomp', 'publish', 'pubrec'])
    client.send(unsubscribe({ filters: ['t'], properties: { userProperties } }))
    await client.expectPacket('unsuback', { reasonCodes: [0] })
    client.send(disconnect(0, { userProperties, reasonString: 'bye' }))
    await client.expectClosed()
  })
})

describe('Maximum Packet Size of the client', () => {
  const session = {
    clientId: 's',
    cleanStart: false,
    properties: { sessionExpiryInterval: 100, maximumPacketSize: 60 },
  } as const

  test('MQTT-3.1.2-24 MQTT-3.1.2-25 a message that is too large is not sent and counts as delivered, exactly from the limit on', async () => {
    const t = startBroker()
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await t.connect()
    // 2 header, 3 topic, 2 identifier, 1 properties: 52 bytes of payload make 60.
    for (const qos of [1, 2]) {
      await publisher.publish({ topic: 't', payload: 'x'.repeat(53), qos })
      await publisher.publish({ topic: 't', payload: 'y'.repeat(52), qos })
      const packet = await client.expectPublish({ topic: 't', payload: 'y'.repeat(52), qos })
      expect(client.lastFrame.length).toBe(60)
      await client.acknowledge(packet)
    }
    await publisher.publish({ topic: 't', payload: 'x'.repeat(55) })
    await client.expectNothing()
    client.drop()
    await t.settle()
    await (await t.connect(session)).expectNothing()
  })

  test('MQTT-3.1.2-25 such messages take no room in the receive window', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a', properties: { receiveMaximum: 1, maximumPacketSize: 60 } })
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    for (let count = 0; count < 3; count += 1) await publisher.publish({ topic: 't', payload: 'x'.repeat(100), qos: 1 })
    await publisher.publish({ topic: 't', payload: 'fits', qos: 1 })
    await client.expectPublish({ topic: 't', payload: 'fits', qos: 1 })
  })

  test('MQTT-3.1.2-24 user properties of a message count too; other subscribers get it', async () => {
    const t = startBroker()
    const small = await t.connect({ clientId: 'small', properties: { maximumPacketSize: 60 } })
    const large = await t.connect({ clientId: 'large' })
    for (const client of [small, large]) await client.subscribe(['t'])
    const properties = { userProperties: [['name', 'v'.repeat(60)]] } as const
    await (await t.connect()).publish({ topic: 't', payload: 'x', properties })
    await large.expectPublish({ topic: 't', payload: 'x', properties })
    await small.expectNothing()
  })
})
