/** MQTT 5 section 4.7: topic names, topic filters and what matches what. */
import { describe, expect, test } from 'vitest'

import { startBroker } from '../../support/test-broker.ts'
import { hex, publish, subscribe, unsubscribe } from '../../support/wire.ts'

/** Topics that reach a subscription of `filter`, out of `topics`. */
async function reached(filter: string, topics: readonly string[]): Promise<string[]> {
  const t = startBroker()
  const client = await t.connect()
  await client.subscribe([filter])
  await t.broker.publish({ topic: 'warm up' })
  for (const topic of topics) await t.broker.publish({ topic })
  await t.settle()
  return (await client.drain()).map((packet) => (packet.type === 'publish' ? packet.topic : packet.type))
}

describe('filters', () => {
  // Semantics and threat 38: a filter that is UTF-8 but no filter is refused in SUBACK, and its
  // neighbours in the same packet are not harmed.
  test.each(['a#', 'a/#/b', '#/a', 'a/b#', '##', 'a/##', '/#/'])(
    'MQTT-4.7.1-1 "#" in the wrong place is refused: %s',
    async (filter) => {
      const t = startBroker()
      const client = await t.connect()
      client.send(subscribe({ filters: [filter, 'good'] }))
      await client.expectPacket('suback', { reasonCodes: [0x8f, 0] })
      await client.expectNothing()
    },
  )

  test.each(['a+', '+a', 'a/+b', 'a/b+/c', '++', '+#', 'a/++/b'])(
    'MQTT-4.7.1-2 "+" must fill its level: %s',
    async (filter) => {
      const t = startBroker()
      const client = await t.connect()
      client.send(subscribe({ filters: [filter, 'good'] }))
      await client.expectPacket('suback', { reasonCodes: [0x8f, 0] })
      await client.expectNothing()
    },
  )

  const topics = ['a', '/a', 'a/', 'a/b', 'a//b', 'a/b/c', '/', '//', 'b', 'b/a', '$SYS/a', '$a', '$']
  test.each([
    ['#', ['warm up', 'a', '/a', 'a/', 'a/b', 'a//b', 'a/b/c', '/', '//', 'b', 'b/a']],
    ['+', ['warm up', 'a', 'b']],
    ['a/#', ['a', 'a/', 'a/b', 'a//b', 'a/b/c']],
    ['a/+', ['a/', 'a/b']],
    ['+/+', ['/a', 'a/', 'a/b', '/', 'b/a']],
    ['/+', ['/a', '/']],
    ['/#', ['/a', '/', '//']],
    ['+/b/#', ['a/b', 'a/b/c']],
    ['a/+/b', ['a//b']],
    ['+/a', ['/a', 'b/a']],
    ['$SYS/#', ['$SYS/a']],
    ['$SYS/+', ['$SYS/a']],
    ['$a', ['$a']],
    ['a', ['a']],
    ['A', []],
    ['/', ['/']],
  ])('MQTT-4.7.1-1 MQTT-4.7.1-2 MQTT-4.7.2-1 %s', async (filter, expected) => {
    expect(await reached(filter, topics)).toEqual(expected)
  })

  test('MQTT-4.7.2-1 also for retained messages, and for several levels', async () => {
    const t = startBroker()
    await t.broker.publish({ topic: '$x/y', payload: 'r', retain: true })
    const client = await t.connect()
    await client.subscribe(['#', '+/y', '+/#'])
    await client.expectNothing()
    await client.subscribe(['$x/+'])
    await client.expectPublish({ topic: '$x/y', payload: 'r', retain: true })
  })
})

describe('names and filters', () => {
  test('MQTT-4.7.3-1 at least one character', async () => {
    const t = startBroker()
    let client = await t.connect()
    client.send(publish({ topic: '' }))
    await client.expectDisconnect(0x82)
    client = await t.connect()
    client.send(subscribe({ filters: ['', 'good'] }))
    await client.expectPacket('suback', { reasonCodes: [0x8f, 0] })
    // Nothing can be subscribed to under it, so there is nothing to remove.
    client.send(unsubscribe({ filters: [''] }))
    const packet = await client.expectPacket('unsuback')
    expect([0x11, 0x8f]).toContain(packet.reasonCodes[0])
  })

  test('MQTT-4.7.3-2 no U+0000', async () => {
    const t = startBroker()
    const bad = hex('61 00')
    for (const bytes of [publish({ topic: bad }), subscribe({ filters: [bad] }), unsubscribe({ filters: [bad] })]) {
      const client = await t.connect()
      client.send(bytes)
      await client.expectDisconnect(0x81)
    }
  })

  test('MQTT-4.7.3-3 up to 65535 bytes', async () => {
    const t = startBroker()
    const client = await t.connect()
    const topic = 'ä'.repeat(32_767) + 'a'
    await client.subscribe([[topic, { qos: 1 }]])
    const other = await t.connect()
    await other.publish({ topic, payload: 'y', qos: 1 })
    await client.expectPublish({ topic, payload: 'y', qos: 1 })
    client.send(unsubscribe({ filters: [topic] }))
    await client.expectPacket('unsuback', { reasonCodes: [0] })
  })

  // U+00E4 and U+0061 U+0308 look alike; so do letters of two alphabets. Case counts, spaces too.
  test.each([
    ['\u00e4', 'a\u0308'],
    ['a', '\u0430'],
    ['a', 'A'],
    ['a', 'a '],
    ['a', ' a'],
    ['a', '\ufeffa'],
    ['a/b', 'a//b'],
    ['\u212b', '\u00c5'],
    ['\ufb01', 'fi'],
  ])('MQTT-4.7.3-4 MQTT-3.10.4-1 no normalisation: %j is not %j', async (one, other) => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe([one])
    const publisher = await t.connect()
    await publisher.publish({ topic: other, payload: 'other' })
    await publisher.publish({ topic: one, payload: 'same' })
    await client.expectPublish({ topic: one, payload: 'same' })
    client.send(unsubscribe({ filters: [other] }))
    await client.expectPacket('unsuback', { reasonCodes: [0x11] })
  })

  test('more levels than the limit: 0x90 for a name, 0x8F for a filter', async () => {
    const t = startBroker()
    const levels = (count: number): string => Array.from({ length: count }, () => 'x').join('/')
    const client = await t.connect()
    await client.subscribe([levels(128)])
    client.send(publish({ topic: levels(128) }))
    await client.expectPublish({ topic: levels(128) })
    client.send(subscribe({ filters: [levels(129)] }))
    await client.expectPacket('suback', { reasonCodes: [0x8f] })
    client.send(publish({ topic: levels(129) }))
    await client.expectDisconnect(0x90)
  })
})

describe('topics that begin with $', () => {
  test('threat 79: a client cannot publish into $SYS', async () => {
    const t = startBroker()
    const watcher = await t.connect()
    await watcher.subscribe([['$SYS/#', { qos: 1 }]])
    const client = await t.connect()
    const answer = await client.publish({ topic: '$SYS/broker/version', payload: 'mine', qos: 1 })
    expect(answer).toMatchObject({ type: 'puback', reasonCode: 0x87 })
    await watcher.expectNothing()
  })
})
