/** Messages that do not come off the wire: nobody has checked them before. */
import { describe, expect, test } from 'vitest'

import { next, type AllowMessage, type Hooks } from '../../../src/hooks.ts'
import type { MessageInput } from '../../../src/messages.ts'
import { startBroker } from '../../support/test-broker.ts'
import { connect, publish } from '../../support/wire.ts'

const tooLong = 'x'.repeat(65_536)

const wrong: readonly (readonly [what: string, input: object])[] = [
  ['a content type that no field holds', { properties: { contentType: tooLong } }],
  ['a response topic with a wildcard', { properties: { responseTopic: 'a/#' } }],
  ['a NUL in a user property', { properties: { userProperties: [['a', '\0']] } }],
  ['half a surrogate pair', { properties: { userProperties: [['\ud800', 'a']] } }],
  ['a user property without a value', { properties: { userProperties: [['a']] } }],
  ['correlation data that no field holds', { properties: { correlationData: Buffer.alloc(65_536) } }],
  ['correlation data that is text', { properties: { correlationData: 'abc' } }],
  ['an expiry below zero', { properties: { messageExpiryIntervalSeconds: -1 } }],
  ['an expiry that is no whole number', { properties: { messageExpiryIntervalSeconds: 0.5 } }],
  ['an expiry above four bytes', { properties: { messageExpiryIntervalSeconds: 2 ** 32 } }],
  ['QoS 3', { qos: 3 }],
]

describe.each(wrong)('%s', (_, input) => {
  const message = { topic: 't', ...input } as MessageInput

  test('is refused by broker.publish', async () => {
    const t = startBroker()
    await expect(t.broker.publish(message)).rejects.toMatchObject({ code: 'SMQ_MESSAGE_INVALID' })
  })

  test('is refused by an in-process client, as message and as will', async () => {
    const t = startBroker()
    const client = await t.broker.client()
    await expect(client.publish(message)).rejects.toMatchObject({ code: 'SMQ_MESSAGE_INVALID' })
    await expect(t.broker.client({ will: message })).rejects.toMatchObject({ code: 'SMQ_MESSAGE_INVALID' })
  })
})

test('everything that MQTT allows goes through', async () => {
  const t = startBroker()
  const client = await t.connect()
  await client.subscribe(['t'])
  const properties = {
    payloadFormatIndicator: true,
    messageExpiryIntervalSeconds: 0xffffffff,
    contentType: 'x'.repeat(65_535),
    responseTopic: 'answers/1',
    correlationData: new Uint8Array([1]),
    userProperties: [
      ['a', '1'],
      ['a', ''],
    ],
  } as const
  expect(await t.broker.publish({ topic: 't', properties })).toBe(1)
  await client.expectPacket('publish', { topic: 't' })
})

describe.each<readonly [what: string, verdict: AllowMessage]>([
  ['a topic with a wildcard', { type: 'allow', topic: 'a/+' }],
  ['properties that cannot be sent', { type: 'allow', properties: { contentType: tooLong } }],
])('a hook that allows with %s', (_, verdict) => {
  const failed = (hooks: Hooks) => {
    const t = startBroker({ hooks })
    const events: string[] = []
    t.broker.events$.subscribe((event) => event.type === 'hook.failed' && events.push(event.hook))
    return { ...t, events }
  }

  test.each([
    ['at once', () => verdict],
    ['later', () => Promise.resolve(verdict)],
  ])('onPublish, %s: the message is refused and the client stays', async (_when, onPublish) => {
    const t = failed({ onPublish })
    const client = await t.connect()
    client.send(publish({ topic: 't', qos: 1, packetId: 1 }))
    await client.expectPacket('puback', { packetId: 1, reasonCode: 0x87 })
    await client.expectNothing()
    expect(t.events).toEqual(['onPublish'])
  })

  test('onDeliver: the subscriber does not get it, and stays', async () => {
    const t = failed({ onDeliver: ({ topic }) => (topic === 't' ? verdict : next()) })
    const client = await t.connect()
    await client.subscribe([['#', { qos: 1 }]])
    await t.broker.publish({ topic: 't', qos: 1 })
    await t.broker.publish({ topic: 'good', qos: 1 })
    await client.expectPublish({ topic: 'good', qos: 1 })
    expect(
      t.broker.sessions.get(client.connack?.properties['assignedClientIdentifier'] as string)?.inflightMessages,
    ).toBe(1)
    expect(t.events).toEqual(['onDeliver'])
  })

  test('onPublish for a will: CONNECT is refused', async () => {
    const t = failed({ onPublish: () => verdict })
    const client = t.attach()
    client.send(connect({ will: { topic: 't' } }))
    await client.expectRefused(0x87)
    await t.settle()
    expect(t.events).toEqual(['onPublish'])
  })
})
