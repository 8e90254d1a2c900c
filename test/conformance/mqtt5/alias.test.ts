/** MQTT 5 section 3.3.2.3.4: topic aliases, from clients and to clients. */
import { describe, expect, test } from 'vitest'

import { startBroker } from '../../support/test-broker.ts'
import type { Publish } from '../../support/wire-decode.ts'
import { publish } from '../../support/wire.ts'

describe('from a client', () => {
  test('MQTT-3.3.2-12 every alias from 1 to the announced maximum is accepted and remembered', async () => {
    const t = startBroker()
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    const client = await t.connect()
    const maximum = client.connack?.properties.topicAliasMaximum ?? 0
    expect(maximum).toBe(10)
    for (let alias = 1; alias <= maximum; alias += 1) {
      client.send(publish({ topic: `t/${alias}`, payload: 'set', properties: { topicAlias: alias } }))
      await watcher.expectPublish({ topic: `t/${alias}`, payload: 'set' })
    }
    for (let alias = maximum; alias >= 1; alias -= 1) {
      client.send(publish({ topic: '', payload: 'used', properties: { topicAlias: alias } }))
      await watcher.expectPublish({ topic: `t/${alias}`, payload: 'used' })
    }
  })

  test('MQTT-3.3.2-12 an alias can be given to another topic', async () => {
    const t = startBroker()
    const watcher = await t.connect()
    await watcher.subscribe([['#', { qos: 1 }]])
    const client = await t.connect()
    for (const topic of ['a', 'b', '', 'a', '']) client.send(publish({ topic, properties: { topicAlias: 1 } }))
    for (const topic of ['a', 'b', 'b', 'a', 'a']) await watcher.expectPublish({ topic })
  })

  test.each([
    ['MQTT-3.3.2-8 alias 0', 0],
    ['MQTT-3.3.2-9 MQTT-3.2.2-17 an alias above the maximum', 11],
    ['MQTT-3.3.2-9 MQTT-3.2.2-17 the highest number', 65_535],
  ])('%s gets 0x94', async (_name, topicAlias) => {
    const t = startBroker()
    for (const topic of ['t', '']) {
      const client = await t.connect()
      client.send(publish({ topic, properties: { topicAlias } }))
      await client.expectDisconnect(0x94)
    }
  })

  test('MQTT-3.2.2-18 where none is announced, any alias gets 0x94', async () => {
    const t = startBroker({ limits: { topicAliasMaximum: 0 } })
    const client = await t.connect()
    expect(client.connack?.properties.topicAliasMaximum ?? 0).toBe(0)
    client.send(publish({ topic: 't', properties: { topicAlias: 1 } }))
    await client.expectDisconnect(0x94)
  })

  test('an alias that was never set, and no topic and no alias, are protocol errors', async () => {
    const t = startBroker()
    for (const bytes of [publish({ topic: '', properties: { topicAlias: 3 } }), publish({ topic: '' })]) {
      const client = await t.connect()
      client.send(bytes)
      await client.expectDisconnect(0x82)
    }
  })

  test('MQTT-3.3.2-7 aliases end with the connection, also where the session goes on', async () => {
    const t = startBroker()
    const session = { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 100 } }
    const client = await t.connect(session)
    client.send(publish({ topic: 't', properties: { topicAlias: 1 } }))
    await client.expectNothing()
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    again.send(publish({ topic: '', properties: { topicAlias: 1 } }))
    await again.expectDisconnect(0x82)
  })

  test('MQTT-3.3.2-7 aliases of one client mean nothing to another', async () => {
    const t = startBroker()
    const one = await t.connect()
    one.send(publish({ topic: 't', properties: { topicAlias: 1 } }))
    await one.expectNothing()
    const other = await t.connect()
    other.send(publish({ topic: '', properties: { topicAlias: 1 } }))
    await other.expectDisconnect(0x82)
  })
})

describe('to a client', () => {
  /** Publishes to topics in turn and reads the deliveries as a client with an alias table does. */
  async function deliveries(topicAliasMaximum: number | undefined, topics: readonly string[]) {
    const t = startBroker()
    const client = await t.connect({
      clientId: 'a',
      properties: topicAliasMaximum === undefined ? {} : { topicAliasMaximum },
    })
    await client.subscribe(['#'])
    const publisher = await t.connect()
    for (const topic of topics) await publisher.publish({ topic, payload: topic })
    const table = new Map<number, string>()
    const packets: Publish[] = []
    for (const topic of topics) {
      const packet = await client.expectPacket('publish', { payload: topic })
      packets.push(packet)
      const alias = packet.properties.topicAlias
      if (alias !== undefined && packet.topic !== '') table.set(alias, packet.topic)
      expect(packet.topic === '' ? table.get(alias ?? 0) : packet.topic).toBe(topic)
    }
    return packets.map(({ properties }) => properties.topicAlias ?? 0)
  }

  const topics = ['a', 'b', 'a', 'b', 'c', 'd', 'a', 'e', 'e', 'b', 'a', 'a', 'c'].map(
    (topic) => `long/enough/${topic}`,
  )

  test.each([1, 2, 3])(
    'MQTT-3.1.2-26 MQTT-3.3.2-11 aliases stay within its maximum of %s, and name the right topic',
    async (maximum) => {
      const aliases = await deliveries(maximum, topics)
      expect(Math.max(...aliases)).toBeLessThanOrEqual(maximum)
    },
  )

  test('aliases are used where the client allows them', async () => {
    expect((await deliveries(5, ['same/topic', 'same/topic', 'same/topic'])).at(-1)).toBeGreaterThan(0)
  })

  test.each([
    ['absent', undefined],
    ['0', 0],
  ] as const)('MQTT-3.1.2-27 none is used when its maximum is %s', async (_name, maximum) => {
    expect(new Set(await deliveries(maximum, topics))).toEqual(new Set([0]))
  })

  test('MQTT-3.3.2-7 after a reconnect the client is told anew', async () => {
    const t = startBroker()
    const session = {
      clientId: 's',
      cleanStart: false,
      properties: { sessionExpiryInterval: 100, topicAliasMaximum: 5 },
    }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    for (let round = 0; round < 3; round += 1) await publisher.publish({ topic: 't', payload: 'x', qos: 1 })
    for (let round = 0; round < 3; round += 1) await client.expectPacket('publish', { payload: 'x' })
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    const first = await again.expectPacket('publish', { dup: true })
    expect(first.topic).toBe('t')
  })

  test('MQTT-3.3.2-7 an alias of the publisher is not forwarded', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a' })
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await t.connect()
    for (const [topic, qos] of [
      ['t', 0],
      ['', 0],
      ['', 1],
      ['', 2],
    ] as const) {
      await publisher.publish({ topic, payload: 'x', qos, properties: { topicAlias: 4, contentType: 'c' } })
      await client.acknowledge(
        await client.expectPublish({ topic: 't', payload: 'x', qos, properties: { contentType: 'c' } }),
      )
    }
  })
})
