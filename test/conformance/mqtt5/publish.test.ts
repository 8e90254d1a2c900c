/** MQTT 5 section 3.3: PUBLISH, its flags and properties. QoS, retained messages and flow have files of their own. */
import { describe, expect, test } from 'vitest'

import { startBroker } from '../../support/test-broker.ts'
import { disconnect, hex, property, publish } from '../../support/wire.ts'

describe('fixed header', () => {
  test.each([
    ['MQTT-3.3.1-2 DUP with QoS 0', publish({ topic: 't', dup: true })],
    ['MQTT-3.3.1-4 QoS 3', publish({ topic: 't', first: 0x36, packetId: 1 })],
    ['MQTT-3.3.1-4 QoS 3 with DUP', publish({ topic: 't', first: 0x3e, packetId: 1 })],
    ['MQTT-3.3.2-1 a topic that is not UTF-8', publish({ topic: hex('ff fe') })],
    ['MQTT-3.3.2-1 a topic longer than the packet', hex('30 03 0005 74')],
    [
      'MQTT-3.3.2-13 a response topic that is not UTF-8',
      publish({ topic: 't', properties: [property('responseTopic', hex('ff'))] }),
    ],
    [
      'MQTT-3.3.2-19 a content type that is not UTF-8',
      publish({ topic: 't', properties: [property('contentType', hex('ff'))] }),
    ],
  ])('%s is malformed', async (_name, bytes) => {
    const t = startBroker()
    const client = await t.connect()
    client.send(bytes)
    await client.expectDisconnect(0x81)
  })

  test("MQTT-3.3.1-1 MQTT-3.3.1-3 DUP on delivery is the delivery's own, whatever came in", async () => {
    const t = startBroker()
    const session = { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 100 } }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: '1', qos: 1, dup: true })
    const delivered = await client.expectPublish({ topic: 't', payload: '1', qos: 1, dup: false })
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    await again.expectPublish({ topic: 't', payload: '1', qos: 1, dup: true, packetId: delivered.packetId })
  })
})

describe('topic name', () => {
  test.each(['a/+', '#', 'a/#', '+', 'a+b', 'a#'])(
    'MQTT-3.3.2-2 MQTT-4.7.0-1 wildcards in a topic name get 0x90: %s',
    async (topic) => {
      const t = startBroker()
      for (const qos of [0, 1, 2]) {
        const client = await t.connect()
        client.send(publish({ topic, qos }))
        await client.expectDisconnect(0x90)
      }
    },
  )

  test('MQTT-3.3.2-3 a message reaches the subscriptions that its topic matches, and no others', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe(['a/+/c', 'x/#', '/', '+/+'])
    for (const topic of ['a/b/c', 'a//c', 'a/b/c/d', 'a/c', 'x', 'x/y/z', 'y', '/', '/a', 'a'])
      client.send(publish({ topic }))
    const received = (await client.drain()).map((packet) => (packet.type === 'publish' ? packet.topic : packet.type))
    expect(received).toEqual(['a/b/c', 'a//c', 'a/c', 'x', 'x/y/z', '/', '/a'])
  })
})

describe('properties are forwarded', () => {
  test.each([
    ['MQTT-3.3.2-4 Payload Format Indicator 1', { payloadFormatIndicator: 1 }],
    ['MQTT-3.3.2-4 Payload Format Indicator 0', { payloadFormatIndicator: 0 }],
    ['MQTT-3.3.2-15 the response topic', { responseTopic: 'answer/ä' }],
    ['MQTT-3.3.2-16 correlation data', { correlationData: hex('00 ff 80 00') }],
    ['MQTT-3.3.2-20 the content type', { contentType: 'application/json; x=ä' }],
    ['MQTT-3.3.2-17 user properties', { userProperties: [['name', 'value']] }],
    [
      'MQTT-3.3.2-18 user properties in their order, repeated ones too',
      {
        userProperties: [
          ['b', '1'],
          ['a', '2'],
          ['b', '3'],
          ['__proto__', '4'],
          ['a', '2'],
          ['', ''],
        ],
      },
    ],
    [
      'MQTT-3.3.2-17 all of them at once',
      {
        contentType: 'c',
        payloadFormatIndicator: 1,
        userProperties: [
          ['z', '1'],
          ['y', '2'],
        ],
        responseTopic: 'r',
        correlationData: hex('01'),
      },
    ],
  ] as const)('%s', async (_name, properties) => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 2 }]])
    for (const qos of [0, 1, 2]) {
      const publisher = await t.connect()
      await publisher.publish({ topic: 't', payload: 'x', qos, properties })
      const packet = await client.expectPublish({ topic: 't', payload: 'x', qos, properties })
      await client.acknowledge(packet)
    }
  })

  test('MQTT-3.3.2-18 hundred user properties keep their order', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe(['t'])
    const userProperties = Array.from(
      { length: 100 },
      (_value, index) => [`n${(index * 37) % 100}`, `${index}`] as const,
    )
    client.send(publish({ topic: 't', properties: { userProperties } }))
    await client.expectPublish({ topic: 't', properties: { userProperties } })
  })

  test.each(['a/#', '+', 'a/+/b', ''])(
    'MQTT-3.3.2-14 a response topic with wildcards or without characters is a protocol error: "%s"',
    async (responseTopic) => {
      const t = startBroker()
      const client = await t.connect()
      client.send(publish({ topic: 't', properties: { responseTopic } }))
      await client.expectDisconnect(0x82)
    },
  )

  test('MQTT-3.3.4-6 a Subscription Identifier from a client is a protocol error', async () => {
    const t = startBroker()
    const client = await t.connect()
    client.send(publish({ topic: 't', properties: { subscriptionIdentifiers: [1] } }))
    await client.expectDisconnect(0x82)
  })

  // Checking a payload against its Payload Format Indicator is optional (section 3.3.2.3.2): it costs
  // a pass over every payload, so the broker forwards it as it came.
  test('a payload that is not the UTF-8 it claims to be is forwarded unchanged', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe(['t'])
    client.send(publish({ topic: 't', payload: hex('ff 00 fe'), properties: { payloadFormatIndicator: 1 } }))
    await client.expectBytes('30 09 0001 74 02 01 01 ff 00 fe')
  })
})

describe('message expiry', () => {
  const session = { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 1000 } }

  test('MQTT-3.3.2-5 MQTT-3.3.2-6 a waiting message counts down, and is dropped when its time is over', async () => {
    const t = startBroker()
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 2 }]])
    client.drop()
    await t.settle()
    const publisher = await t.connect()
    for (const [payload, messageExpiryInterval, qos] of [
      ['short', 3, 1],
      ['long', 10, 2],
      ['exact', 4, 1],
    ] as const) {
      await publisher.publish({ topic: 't', payload, qos, properties: { messageExpiryInterval } })
    }
    await publisher.publish({ topic: 't', payload: 'forever', qos: 1 })
    await t.advance(4_000)
    const again = await t.connect(session)
    await again.expectPublish({ topic: 't', payload: 'long', qos: 2, properties: { messageExpiryInterval: 6 } })
    await again.expectPublish({ topic: 't', payload: 'forever', qos: 1 })
    await again.expectNothing()
  })

  test('MQTT-3.3.2-6 a message that did not wait keeps its interval, for every QoS', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 2 }]])
    for (const qos of [0, 1, 2]) {
      const publisher = await t.connect()
      await publisher.publish({ topic: 't', qos, properties: { messageExpiryInterval: 7, contentType: 'x' } })
      await client.acknowledge(
        await client.expectPublish({ topic: 't', qos, properties: { messageExpiryInterval: 7, contentType: 'x' } }),
      )
    }
  })

  test('MQTT-3.3.2-5 MQTT-3.3.2-6 a retained message counts down too, and expires', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.publish({ topic: 't', payload: 'r', retain: true, properties: { messageExpiryInterval: 10 } })
    await t.advance(4_000)
    await client.subscribe(['t'])
    await client.expectPublish({ topic: 't', payload: 'r', retain: true, properties: { messageExpiryInterval: 6 } })
    await t.advance(6_000)
    await client.subscribe(['t'])
    await client.expectNothing()
  })

  test('MQTT-3.3.2-6 expiry does not touch what else the message carries', async () => {
    const t = startBroker()
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    client.send(disconnect())
    await client.expectClosed()
    const publisher = await t.connect()
    const properties = {
      userProperties: [
        ['a', '1'],
        ['b', '2'],
      ],
      contentType: 'c',
      correlationData: hex('02 00 00 00 05'),
    } as const
    await publisher.publish({ topic: 't', qos: 1, properties: { ...properties, messageExpiryInterval: 60 } })
    await t.advance(59_000)
    const again = await t.connect(session)
    await again.expectPublish({ topic: 't', qos: 1, properties: { ...properties, messageExpiryInterval: 1 } })
  })
})
