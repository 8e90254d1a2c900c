/** MQTT 5: sizes and counts at their limits, where an answer has to fit and where a packet has too much in it. */
import { describe, expect, test } from 'vitest'

import type { RawClient } from '../../support/raw-client.ts'
import { startBroker, type TestBroker } from '../../support/test-broker.ts'
import { connect, publish, subscribe, unsubscribe, type PublishInput } from '../../support/wire.ts'
import type { WireProperties } from '../../support/wire-properties.ts'

type Prepare = (t: TestBroker, client: RawClient, publisher: RawClient, message: PublishInput) => Promise<RawClient>

/** Deliveries that are more than a copy of what came in, each with what makes it so. */
const deliveries: ReadonlyArray<readonly [string, WireProperties, PublishInput, Prepare]> = [
  [
    'a subscription identifier',
    {},
    { topic: 't', payload: 'x'.repeat(70), qos: 1 },
    async (_t, client, publisher, message) => {
      await client.subscribe([['t', { qos: 1 }]], { subscriptionIdentifiers: [300] })
      await publisher.publish(message)
      return client
    },
  ],
  [
    'a topic alias',
    { topicAliasMaximum: 5 },
    { topic: 't', payload: 'x'.repeat(70) },
    async (_t, client, publisher, message) => {
      await client.subscribe(['t'])
      await publisher.publish(message)
      return client
    },
  ],
  [
    'a message expiry interval',
    {},
    { topic: 't', payload: 'x'.repeat(70), properties: { messageExpiryInterval: 9, contentType: 'c' } },
    async (_t, client, publisher, message) => {
      await client.subscribe(['t'])
      await publisher.publish(message)
      return client
    },
  ],
  [
    'RETAIN',
    {},
    { topic: 't', payload: 'x'.repeat(70), retain: true },
    async (_t, client, publisher, message) => {
      await publisher.publish(message)
      await client.subscribe(['t'])
      return client
    },
  ],
]

describe('Maximum Packet Size of the client', () => {
  test.each(deliveries)(
    'MQTT-3.1.2-24 MQTT-3.1.2-25 it holds to the byte for a delivery with %s',
    async (_name, properties, message, prepare) => {
      const lengths: Array<number | undefined> = []
      let size = 10_000
      // First without a limit, then with the size that it turned out to have, then with one byte less.
      for (const less of [0, 0, 1]) {
        const t = startBroker()
        const publisher = await t.connect()
        const client = await t.connect({ clientId: 'c', properties: { ...properties, maximumPacketSize: size - less } })
        await prepare(t, client, publisher, message)
        await t.settle()
        const packets = await client.drainFrames()
        lengths.push(packets.at(0)?.length)
        size = packets.at(0)?.length ?? size
      }
      expect(lengths).toEqual([size, size, undefined])
    },
  )

  test('MQTT-3.1.2-24 a repeated delivery (DUP) that no longer fits is given up', async () => {
    const t = startBroker()
    const session = (maximumPacketSize: number) => ({
      clientId: 's',
      cleanStart: false,
      properties: { sessionExpiryInterval: 100, maximumPacketSize },
    })
    const client = await t.connect(session(1000))
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: 'x'.repeat(200), qos: 1 })
    await publisher.publish({ topic: 't', payload: 'small', qos: 1 })
    await client.expectPublish({ topic: 't', payload: 'x'.repeat(200), qos: 1 })
    client.drop()
    await t.settle()
    const again = await t.connect(session(100))
    await again.acknowledge(await again.expectPublish({ topic: 't', payload: 'small', qos: 1, dup: true }))
    await again.expectNothing()
  })

  // What CONNACK says cannot be left unsaid, so a client that has no room for it cannot be served.
  test.each([1, 4, 8])(
    'MQTT-3.1.2-24 a client with no room for CONNACK is closed: %s bytes',
    async (maximumPacketSize) => {
      const t = startBroker()
      const client = t.first(connect({ clientId: 'c', properties: { maximumPacketSize } }))
      const answer = await client.next()
      if (answer === 'closed') return
      expect(answer).toMatchObject({ type: 'connack', reasonCode: 0x95 })
      expect(client.lastFrame.length).toBeLessThanOrEqual(maximumPacketSize)
      await client.expectClosed()
    },
  )
})

describe('user properties', () => {
  const properties = (count: number) => ({
    userProperties: Array.from({ length: count }, (_value, index) => [`n${index}`, 'v'] as const),
  })

  test.each([
    ['PUBLISH', publish({ topic: 't', properties: properties(101) })],
    ['SUBSCRIBE', subscribe({ filters: ['t'], properties: properties(101) })],
    ['UNSUBSCRIBE', unsubscribe({ filters: ['t'], properties: properties(3000) })],
  ])('threat 41: more than the limit in %s gets 0x97', async (_name, bytes) => {
    const t = startBroker()
    const client = await t.connect()
    client.send(bytes)
    await client.expectDisconnect(0x97)
  })

  test('threat 41: more than the limit in CONNECT and its will together gets CONNACK 0x97', async () => {
    const t = startBroker()
    await t.first(connect({ clientId: 'c', properties: properties(101) })).expectRefused(0x97)
    const will = { topic: 'w', properties: properties(51) }
    await t.first(connect({ clientId: 'c', properties: properties(50), will })).expectRefused(0x97)
    await t.connect({ clientId: 'c', properties: properties(50), will: { topic: 'w', properties: properties(50) } })
  })
})

describe('before CONNACK', () => {
  test('threat 34: a CONNECT that declares 256 MB is closed by its header', async () => {
    const t = startBroker()
    await t.first('10 ff ff ff 7f').expectClosed()
    expect(t.broker.sessions.size).toBe(0)
  })

  test('threat 34: 64 KiB are enough for a CONNECT, one byte more is not', async () => {
    const t = startBroker({ limits: { maxUserProperties: 10 } })
    const sized = (payload: number) => connect({ clientId: 'c', will: { topic: 'w', payload: Buffer.alloc(payload) } })
    const fits = 65_536 - (sized(60_000).length - 60_000)
    expect(sized(fits).length).toBe(65_536)
    await t.first(sized(fits)).expectPacket('connack', { reasonCode: 0 })
    await t.first(sized(fits + 1)).expectClosed()
  })
})
