/** MQTT 5 section 3.3.1.3 and the retain options of 3.8.3.1: RETAIN, Retain Handling, Retain As Published. */
import { describe, expect, test } from 'vitest'

import { startBroker } from '../../support/test-broker.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { disconnect, publish, subscribe } from '../../support/wire.ts'

/** What is retained under a filter: topic and payload, sorted, as a fresh client sees it. */
async function retained(t: ReturnType<typeof startBroker>, filter = '#'): Promise<string[]> {
  const client = await t.connect()
  await client.subscribe([[filter, { qos: 2 }]])
  await t.settle()
  const packets = await client.drain()
  client.send(disconnect())
  await client.expectClosed()
  return packets
    .map((packet) => (packet.type === 'publish' && packet.retain ? `${packet.topic}=${packet.payload}` : packet.type))
    .toSorted()
}

describe('the stored message', () => {
  test('MQTT-3.3.1-5 RETAIN 1 replaces what is stored for the topic, and only for that', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.publish({ topic: 'a', payload: 'old', retain: true })
    await client.publish({ topic: 'b', payload: 'other', retain: true, qos: 1 })
    await client.publish({ topic: 'a', payload: 'new', retain: true, qos: 2 })
    expect(await retained(t)).toEqual(['a=new', 'b=other'])
  })

  test('MQTT-3.3.1-5 with its QoS, payload and properties', async () => {
    const t = startBroker()
    const publisher = await t.connect()
    const properties = {
      contentType: 'c',
      userProperties: [
        ['b', '1'],
        ['a', '2'],
      ],
      payloadFormatIndicator: 1,
    } as const
    for (const qos of [0, 1, 2])
      await publisher.publish({ topic: `q${qos}`, payload: `p${qos}`, qos, retain: true, properties })
    publisher.send(disconnect())
    await publisher.expectClosed()
    const client = await t.connect()
    for (const qos of [0, 1, 2]) {
      await client.subscribe([[`q${qos}`, { qos: 2 }]])
      await client.acknowledge(
        await client.expectPublish({ topic: `q${qos}`, payload: `p${qos}`, qos, retain: true, properties }),
      )
    }
  })

  test('MQTT-3.3.1-6 MQTT-3.3.1-7 an empty payload is delivered, removes the stored one and is not stored', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.publish({ topic: 'a', payload: 'x', retain: true })
    await client.subscribe(['a'])
    await client.expectPublish({ topic: 'a', payload: 'x', retain: true })
    client.send(publish({ topic: 'a', retain: true }))
    await client.expectPublish({ topic: 'a' })
    await client.subscribe(['a'])
    await client.expectNothing()
    await client.publish({ topic: 'never stored', retain: true })
    expect(await retained(t)).toEqual([])
  })

  test('MQTT-3.3.1-8 RETAIN 0 stores nothing and leaves what is stored', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.publish({ topic: 'a', payload: 'kept', retain: true })
    await client.publish({ topic: 'a', payload: 'passing' })
    await client.publish({ topic: 'a', payload: '' })
    await client.publish({ topic: 'b', payload: 'passing', qos: 1 })
    expect(await retained(t)).toEqual(['a=kept'])
  })

  test('it does not end with the session that published it', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'p' })
    await client.publish({ topic: 'a', payload: 'x', retain: true })
    client.drop()
    await t.advance(1000)
    expect(await retained(t)).toEqual(['a=x'])
  })

  test('wildcards find it by the rules for live messages', async () => {
    const t = startBroker()
    const client = await t.connect()
    for (const topic of ['a', 'a/b', 'a/b/c', 'a/c', '/a', 'x/b'])
      await client.publish({ topic, payload: '1', retain: true })
    expect(await retained(t, 'a/#')).toEqual(['a/b/c=1', 'a/b=1', 'a/c=1', 'a=1'])
    expect(await retained(t, '+/b')).toEqual(['a/b=1', 'x/b=1'])
    expect(await retained(t, '+')).toEqual(['a=1'])
    expect(await retained(t, '/+')).toEqual(['/a=1'])
    expect(await retained(t, 'a/+/c')).toEqual(['a/b/c=1'])
  })

  test('the granted QoS caps the QoS of a retained message', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.publish({ topic: 'a', payload: 'x', qos: 2, retain: true })
    for (const qos of [0, 1, 2]) {
      await client.subscribe([['a', { qos }]])
      await client.acknowledge(await client.expectPublish({ topic: 'a', payload: 'x', qos, retain: true }))
    }
  })
})

describe('Retain Handling', () => {
  const subscribeTwice = async (retainHandling: number): Promise<[RawClient, number[]]> => {
    const t = startBroker()
    const client = await t.connect()
    await client.publish({ topic: 'a', payload: 'x', retain: true })
    const counts: number[] = []
    for (let round = 0; round < 2; round += 1) {
      await client.subscribe([['a', { retainHandling }]])
      counts.push((await client.drain()).length)
    }
    return [client, counts]
  }

  test('MQTT-3.3.1-9 handling 0: retained messages come with every SUBSCRIBE', async () => {
    expect((await subscribeTwice(0))[1]).toEqual([1, 1])
  })

  test('MQTT-3.3.1-10 handling 1: only when the subscription is new', async () => {
    const [client, counts] = await subscribeTwice(1)
    expect(counts).toEqual([1, 0])
    client.send('a2 06 0007 00 0001 61')
    await client.expectPacket('unsuback', { packetId: 7, reasonCodes: [0] })
    await client.subscribe([['a', { retainHandling: 1 }]])
    await client.expectPublish({ topic: 'a', payload: 'x', retain: true })
  })

  test('MQTT-3.3.1-10 handling 1 over a resumed session: the subscription is not new', async () => {
    const t = startBroker()
    const session = { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 100 } }
    const client = await t.connect(session)
    await client.publish({ topic: 'a', payload: 'x', retain: true })
    await client.subscribe([['a', { retainHandling: 1 }]])
    await client.expectPublish({ topic: 'a', payload: 'x', retain: true })
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    await again.subscribe([['a', { retainHandling: 1 }]])
    await again.expectNothing()
  })

  test('MQTT-3.3.1-11 handling 2: never', async () => {
    expect((await subscribeTwice(2))[1]).toEqual([0, 0])
  })

  test('handling 3 is a protocol error', async () => {
    const t = startBroker()
    const client = await t.connect()
    client.send(subscribe({ filters: [['a', 0x30]] }))
    await client.expectDisconnect(0x82)
  })

  // Section 4.8.2: a shared subscription gets no retained messages when it is made.
  test('shared subscriptions get no retained messages', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.publish({ topic: 'a', payload: 'x', retain: true })
    await client.subscribe(['$share/g/a'])
    await client.expectNothing()
  })
})

describe('Retain As Published', () => {
  test.each([
    ['MQTT-3.3.1-12 0: RETAIN is cleared on live messages', false, [true, false], [false, false]],
    ['MQTT-3.3.1-13 1: RETAIN is forwarded as received', true, [true, false], [true, false]],
  ])('%s', async (_name, retainAsPublished, sent, expected) => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe([['t', { retainAsPublished, qos: 1 }]])
    const got: boolean[] = []
    for (const retain of sent) {
      for (const qos of [0, 1]) {
        client.send(publish({ topic: 't', payload: 'x', qos, retain }))
        const [packet] = (await client.drain()).filter(({ type }) => type === 'publish')
        got.push(packet?.type === 'publish' && packet.retain)
      }
    }
    expect(got).toEqual(expected.flatMap((retain) => [retain, retain]))
  })

  test('MQTT-3.3.1-12 MQTT-3.3.1-13 subscribers of one message each get their own', async () => {
    const t = startBroker()
    const asPublished = await t.connect()
    const plain = await t.connect()
    await asPublished.subscribe([['t', { retainAsPublished: true }]])
    await plain.subscribe(['t'])
    await (await t.connect()).publish({ topic: 't', payload: 'x', retain: true })
    await asPublished.expectPublish({ topic: 't', payload: 'x', retain: true })
    await plain.expectPublish({ topic: 't', payload: 'x', retain: false })
  })

  test('a retained message on SUBSCRIBE has RETAIN 1, whatever Retain As Published says', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.publish({ topic: 't', payload: 'x', retain: true })
    for (const retainAsPublished of [false, true]) {
      await client.subscribe([['t', { retainAsPublished }]])
      await client.expectPublish({ topic: 't', payload: 'x', retain: true })
    }
  })
})
