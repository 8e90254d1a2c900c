/** MQTT 3.1.1 section 4.7: topic names and filters. */
import { describe, expect, test } from 'vitest'

import { publish4, startBroker4, subscribe4 } from '../../support/mqtt3.ts'

async function matched(filter: string, topics: readonly string[]): Promise<string[]> {
  const t = startBroker4()
  const client = await t.connect()
  await client.subscribe([filter])
  for (const topic of topics) client.send(publish4({ topic }))
  return (await client.drain()).flatMap((packet) => (packet.type === 'publish' ? [packet.topic] : []))
}

describe('matching', () => {
  test.each([
    ['MQTT-4.7.1-2', '#', ['a', '/', 'a/b', '/a'], ['$SYS', '$a/b']],
    ['MQTT-4.7.1-2', 'a/#', ['a', 'a/', 'a/b', 'a/b/c'], ['b', 'A', 'ab', '/a']],
    ['MQTT-4.7.1-2', '/#', ['/', '/a', '//'], ['a']],
    ['MQTT-4.7.1-3', '+', ['a', ' '], ['/', 'a/', '/a', '$a']],
    ['MQTT-4.7.1-3', 'a/+', ['a/', 'a/b'], ['a', 'a/b/', 'a/b/c']],
    ['MQTT-4.7.1-3', '+/+', ['/', 'a/b', '/a'], ['a', 'a/b/c', '$a/b']],
    ['MQTT-4.7.1-3', '/+', ['/', '/a'], ['a', '/a/b']],
    ['MQTT-4.7.1-2 MQTT-4.7.1-3', '+/b/#', ['a/b', '/b', 'a/b/c/d'], ['b', 'a/c', '$a/b']],
    ['MQTT-4.7.2-1', '+/monitor/Clients', ['x/monitor/Clients'], ['$x/monitor/Clients']],
    ['MQTT-4.7.2-1', '$a/#', ['$a', '$a/b'], ['a', '$b']],
    ['MQTT-4.7.2-1', '$a/+', ['$a/b', '$a/$b'], ['$a/b/c']],
    ['MQTT-4.7.2-1', 'a/+/#', ['a/$b', 'a/$b/c'], ['a']],
    ['MQTT-4.7.3-4', 'Ä/e\u0301', ['Ä/e\u0301'], ['ä/e\u0301', 'Ä/é']],
    ['MQTT-4.7.3-4', 'a b/\u{1f600}', ['a b/\u{1f600}'], ['ab/\u{1f600}', 'A b/\u{1f600}']],
  ])('%s "%s" matches %j and not %j', async (_id, filter, yes, no) => {
    const topics = [...yes, ...no].filter((topic) => !topic.startsWith('$SYS'))
    expect(await matched(filter, topics)).toEqual(yes)
  })

  test('MQTT-4.7.2-1 what the broker publishes below $SYS is not for # and +', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['#', '+/up', '$SYS/up'])
    await t.broker.publish({ topic: '$SYS/up', payload: 'x' })
    await client.expectPublish({ topic: '$SYS/up', payload: 'x' })
    await client.expectNothing()
  })

  test('MQTT-4.7.2-1 nor are retained messages of such topics', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.publish({ topic: '$a/b', payload: 'x', retain: true })
    await client.subscribe(['#', '+/b'])
    await client.expectNothing()
    await client.subscribe(['$a/#'])
    await client.expectPublish({ topic: '$a/b', payload: 'x', retain: true })
  })
})

describe('length', () => {
  test('MQTT-4.7.3-3 names and filters of 65535 bytes are taken as they are', async () => {
    const t = startBroker4()
    const client = await t.connect()
    const topic = 'ä'.repeat(32_767) + 'x'
    await client.subscribe([topic])
    client.send(publish4({ topic, payload: 'p' }))
    await client.expectPublish({ topic, payload: 'p' })
  })

  test('MQTT-4.7.3-1 MQTT-4.7.3-3 a level may be empty or one character, a name may not be empty', async () => {
    expect(await matched('/', ['/'])).toEqual(['/'])
    expect(await matched('//', ['/', '//', '///'])).toEqual(['//'])
    const t = startBroker4()
    const client = await t.connect()
    client.send(subscribe4({ filters: [''] }))
    await client.expectPacket('suback', { reasonCodes: [0x80] })
    client.send(publish4({ topic: '' }))
    await client.expectClosed()
  })
})
