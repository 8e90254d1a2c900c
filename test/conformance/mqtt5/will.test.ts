/** MQTT 5 sections 3.1.2.5 and 3.1.3.2: the will, when it is published and when it is not. */
import { describe, expect, test } from 'vitest'

import { deny, next } from '../../../src/hooks.ts'
import { startBroker } from '../../support/test-broker.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { connect, disconnect, hex, type ConnectInput, type WillInput } from '../../support/wire.ts'

/** A broker, a client that watches `w`, and one with the will under test. */
async function scene(will: Partial<WillInput> = {}, input: ConnectInput = {}) {
  const t = startBroker()
  const watcher = await t.connect({ clientId: 'watcher' })
  await watcher.subscribe([['w', { qos: 2, retainAsPublished: true }]])
  const settings: ConnectInput = { clientId: 'c', ...input, will: { topic: 'w', payload: 'gone', ...will } }
  const client = await t.connect(settings)
  const nothing = async (): Promise<void> => {
    await t.settle()
    await watcher.expectNothing()
  }
  return { ...t, watcher, client, settings, nothing }
}

const outlives = { properties: { sessionExpiryInterval: 100 } }
const delay = (willDelayInterval: number): Partial<WillInput> => ({ properties: { willDelayInterval } })

describe('the end of the connection', () => {
  const violations: ReadonlyArray<readonly [string, (client: RawClient) => void]> = [
    ['the network is gone', (client) => client.drop()],
    ['the client ends the stream without DISCONNECT', (client) => client.stream.end()],
    ['a malformed packet', (client) => client.send(hex('c1 00'))],
    ['a protocol error', (client) => client.send(connect({ clientId: 'c' }))],
    ['DISCONNECT 0x04, with will', (client) => client.send(disconnect(0x04))],
    ['DISCONNECT 0x80', (client) => client.send(disconnect(0x80))],
    ['DISCONNECT 0x81, the client found a fault', (client) => client.send(disconnect(0x81))],
  ]
  test.each(violations)('MQTT-3.1.2-7 MQTT-3.1.2-8 the will is published when %s', async (_name, leave) => {
    const { client, watcher, nothing } = await scene()
    await nothing()
    leave(client)
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
    await nothing()
  })

  test('MQTT-3.1.2-8 MQTT-3.1.2-22 the will is published when the keep alive is lost', async () => {
    const { watcher, advance } = await scene({}, { keepAlive: 10 })
    // The watcher has keep alive 0.
    await advance(21_000)
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
  })

  test('MQTT-3.1.2-10 MQTT-3.14.4-3 DISCONNECT 0x00 discards the will', async () => {
    for (const bytes of ['e0 00', 'e0 01 00', 'e0 02 00 00']) {
      const { client, nothing, advance } = await scene()
      client.send(bytes)
      await client.expectClosed()
      await advance(1000)
      await nothing()
    }
  })

  test('MQTT-3.1.2-10 MQTT-3.14.4-3 also for a session that goes on, and for its expiry later', async () => {
    const { client, nothing, advance, state } = await scene(delay(10), outlives)
    client.send(disconnect())
    await client.expectClosed()
    await advance(101_000)
    expect(state('c')).toBeUndefined()
    await nothing()
  })

  test('MQTT-3.1.2-10 it is published once: not again at the end of the session, not on the next connection', async () => {
    const { client, watcher, nothing, advance, connect: online } = await scene({}, outlives)
    client.drop()
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
    const again = await online({ clientId: 'c', cleanStart: false, ...outlives })
    again.drop()
    await nothing()
    await advance(101_000)
    await nothing()
  })

  test('a server that shuts down publishes it', async () => {
    const t = startBroker()
    const published: string[] = []
    t.broker.events$.subscribe((event) => {
      if (event.type === 'will.published') published.push(event.topic)
    })
    const client = await t.connect({ clientId: 'c', will: { topic: 'w', payload: 'gone' } })
    await t.close()
    await client.expectDisconnect(0x8b)
    expect(published).toEqual(['w'])
  })

  test('a new connection brings its own will, or none', async () => {
    const { client, watcher, nothing, settle, connect: online } = await scene(delay(10), outlives)
    client.drop()
    await settle()
    const second = await online({
      clientId: 'c',
      cleanStart: false,
      ...outlives,
      will: { topic: 'w', payload: 'second' },
    })
    second.drop()
    await watcher.expectPublish({ topic: 'w', payload: 'second' })
    const third = await online({ clientId: 'c', cleanStart: false, ...outlives })
    third.drop()
    await nothing()
  })
})

describe('the message', () => {
  test.each([
    ['MQTT-3.1.2-14 not retained', 0, false],
    ['MQTT-3.1.2-15 retained', 0, true],
    ['MQTT-3.1.2-12 MQTT-3.1.2-14 with QoS 1', 1, false],
    ['MQTT-3.1.2-12 MQTT-3.1.2-15 with QoS 2, retained', 2, true],
  ])('%s', async (_name, qos, retain) => {
    const { client, watcher, connect: online } = await scene({ qos, retain })
    client.drop()
    await watcher.acknowledge(await watcher.expectPublish({ topic: 'w', payload: 'gone', qos, retain }))
    const late = await online({ clientId: 'late' })
    await late.subscribe([['w', { qos: 2 }]])
    if (retain) await late.acknowledge(await late.expectPublish({ topic: 'w', payload: 'gone', qos, retain: true }))
    await late.expectNothing()
  })

  test('MQTT-3.1.2-15 MQTT-3.3.1-6 a retained will without payload removes what is stored', async () => {
    const { client, watcher, connect: online } = await scene({ payload: '', retain: true })
    const other = await online()
    await other.publish({ topic: 'w', payload: 'old', retain: true })
    await watcher.expectPublish({ topic: 'w', payload: 'old', retain: true })
    client.drop()
    await watcher.expectPublish({ topic: 'w', retain: true })
    await other.subscribe(['w'])
    await other.expectNothing()
  })

  test('MQTT-3.1.3-10 MQTT-3.1.2-9 it carries its properties, user properties in their order', async () => {
    const properties = {
      payloadFormatIndicator: 1,
      contentType: 'type',
      responseTopic: 'answer',
      correlationData: hex('00 01'),
      userProperties: [
        ['b', '1'],
        ['a', '2'],
        ['b', '3'],
      ],
    } as const
    const { client, watcher } = await scene({ properties: { ...properties, willDelayInterval: 0 } })
    client.drop()
    await watcher.expectPublish({ topic: 'w', payload: 'gone', properties })
  })

  test('its Message Expiry Interval counts from the publication', async () => {
    const { client, watcher, advance } = await scene(
      { properties: { willDelayInterval: 30, messageExpiryInterval: 20 } },
      outlives,
    )
    client.drop()
    await advance(30_000)
    await watcher.expectPublish({ topic: 'w', payload: 'gone', properties: { messageExpiryInterval: 20 } })
  })

  test('No Local: the client that comes back does not get its own will', async () => {
    const t = startBroker()
    const session = { clientId: 'c', cleanStart: false, ...outlives, will: { topic: 'w', payload: 'gone', qos: 1 } }
    const client = await t.connect(session)
    await client.subscribe([
      ['w', { noLocal: true, qos: 1 }],
      ['w2', { qos: 1 }],
    ])
    client.drop()
    await t.settle()
    await (await t.connect(session)).expectNothing()
  })

  test('a hook that denies it when it is due withholds it', async () => {
    const t = startBroker({
      hooks: { onPublish: ({ will, message }) => (will && message.topic === 'w' ? deny(0x87, 'no') : next()) },
    })
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    const refused = t.first(connect({ clientId: 'c', will: { topic: 'w' } }))
    // Asked at CONNECT already (semantics 7.2); a broker that only asks later accepts the client.
    const answer = await refused.expectPacket('connack')
    if (answer.reasonCode === 0) refused.drop()
    else expect(answer.reasonCode).toBe(0x87)
    await t.settle()
    await watcher.expectNothing()
  })
})

describe('delay', () => {
  test('MQTT-3.1.2-8 it is published when the delay is over', async () => {
    const { client, watcher, nothing, advance } = await scene(delay(10), outlives)
    client.drop()
    await advance(9_999)
    await nothing()
    await advance(1)
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
  })

  test.each([
    ['expires before the delay is over', 5, 10, 5],
    ['ends with its connection', 0, 10, 0],
  ])('MQTT-3.1.2-8 or when the session %s', async (_name, sessionExpiryInterval, willDelayInterval, dueSeconds) => {
    const { client, watcher, nothing, advance } = await scene(delay(willDelayInterval), {
      properties: { sessionExpiryInterval },
    })
    client.drop()
    if (dueSeconds > 0) {
      await advance(dueSeconds * 1000 - 1)
      await nothing()
      await advance(1)
    }
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
    await advance(60_000)
    await nothing()
  })

  test('MQTT-3.1.3-9 a connection that continues the session in time suppresses it', async () => {
    const { client, nothing, advance, connect: online } = await scene(delay(10), outlives)
    client.drop()
    await advance(9_000)
    const again = await online({ clientId: 'c', cleanStart: false, ...outlives })
    expect(again.connack?.sessionPresent).toBe(true)
    await advance(60_000)
    await nothing()
  })

  test('MQTT-3.1.3-9 also when it ends again: the new will and the new delay count', async () => {
    const { client, watcher, nothing, advance, connect: online } = await scene(delay(10), outlives)
    client.drop()
    await advance(9_000)
    const again = await online({
      clientId: 'c',
      cleanStart: false,
      ...outlives,
      will: { topic: 'w', payload: 'new', ...delay(20) },
    })
    again.drop()
    await advance(19_999)
    await nothing()
    await advance(1)
    await watcher.expectPublish({ topic: 'w', payload: 'new' })
  })

  test('MQTT-3.1.2-8 a clean start ends the session and publishes a will that waits', async () => {
    const { client, watcher, nothing, advance, connect: online } = await scene(delay(10), outlives)
    client.drop()
    await advance(5_000)
    await nothing()
    await online({ clientId: 'c', cleanStart: true })
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
    await advance(60_000)
    await nothing()
  })

  test.each([
    ['with DISCONNECT 0x04', 0x04],
    ['with DISCONNECT 0x82', 0x82],
  ])('MQTT-3.1.2-8 it applies to a client that leaves %s', async (_name, code) => {
    const { client, watcher, nothing, advance } = await scene(delay(10), outlives)
    client.send(disconnect(code))
    await client.expectClosed()
    await advance(9_999)
    await nothing()
    await advance(1)
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
  })

  test('DISCONNECT 0x04 with expiry 0 ends the session and publishes it at once', async () => {
    const { client, watcher, state } = await scene(delay(10), outlives)
    client.send(disconnect(0x04, { sessionExpiryInterval: 0 }))
    await client.expectClosed()
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
    expect(state('c')).toBeUndefined()
  })

  test('a delay of more than 2^31 ms is a long delay, not a short one', async () => {
    const never = { properties: { sessionExpiryInterval: 0xffffffff } }
    const { client, watcher, nothing, advance } = await scene(delay(0xffffffff), never)
    client.drop()
    await advance(30 * 86_400_000)
    await nothing()
    await advance(0xffffffff * 1000 - 30 * 86_400_000)
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
  })
})

describe('takeover (section 3.1.4)', () => {
  // Semantics 5: published unless the new CONNECT has Clean Start 0 and the will has a delay.
  test.each([
    ['published: no delay, the session goes on', 0, false, true],
    ['published: no delay, clean start', 0, true, true],
    ['suppressed: a delay, and the session goes on', 10, false, false],
    ['published: a delay, but a clean start ends the session', 10, true, true],
  ])('MQTT-3.1.4-3 MQTT-3.1.2-8 %s', async (_name, willDelayInterval, cleanStart, published) => {
    const {
      client,
      watcher,
      nothing,
      advance,
      settings,
      connect: online,
    } = await scene(delay(willDelayInterval), outlives)
    await online({ ...settings, cleanStart, will: { topic: 'other' } })
    await client.expectDisconnect(0x8e)
    if (published) await watcher.expectPublish({ topic: 'w', payload: 'gone' })
    await advance(60_000)
    await nothing()
  })

  test('MQTT-3.1.4-3 a session that ends with its connection: published with and without delay, for a clean start', async () => {
    for (const willDelayInterval of [0, 10]) {
      const { client, watcher, nothing, connect: online } = await scene(delay(willDelayInterval))
      await online({ clientId: 'c', cleanStart: true })
      await client.expectDisconnect(0x8e)
      await watcher.expectPublish({ topic: 'w', payload: 'gone' })
      await nothing()
    }
  })
})

describe('a will that is not valid', () => {
  test.each([
    ['MQTT-3.1.3-11 a wildcard in its topic', { topic: 'w/#' }, 0x90],
    ['MQTT-3.1.3-11 an empty topic', { topic: '' }, 0x90],
    ['a response topic with a wildcard', { topic: 'w', properties: { responseTopic: '+' } }, 0x82],
    ['a property of servers', { topic: 'w', properties: { serverReference: 'x' } }, 0x82],
    ['a topic alias', { topic: 'w', properties: { topicAlias: 1 } }, 0x82],
  ] as const)('%s refuses the CONNECT', async (_name, will, code) => {
    const { first, state } = startBroker()
    await first(connect({ clientId: 'c', will })).expectRefused(code)
    expect(state('c')).toBeUndefined()
  })
})
