/** What a broker counts: every counter from outside, as a whole. */
import { describe, expect, test } from 'vitest'

import { sessionMachine } from '../../machines/session.machine.ts'
import { allow, deny, next, type BrokerOptions } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect, puback, publish, unsubscribe } from '../support/wire.ts'

const none = {
  'queue-full': 0,
  expired: 0,
  'too-large': 0,
  offline: 0,
  denied: 0,
  'store-full': 0,
  'retained-full': 0,
  'observer-slow': 0,
  'session-ended': 0,
  administrative: 0,
}

function scene(options: BrokerOptions = {}) {
  const t = startBroker(options)
  const stats = () => t.broker.inspection.stats()
  const counters = () => stats().counters
  return { ...t, stats, counters }
}

/** Bytes that went over the wire, both ways, from now on. */
function bytesOf(client: RawClient) {
  const bytes = { received: 0, sent: 0 }
  const write = client.stream.write.bind(client.stream) as (chunk: Buffer) => boolean
  client.stream.write = ((chunk: Buffer) => {
    bytes.received += chunk.length
    return write(chunk)
  }) as typeof client.stream.write
  client.stream.on('data', (chunk: Buffer) => {
    bytes.sent += chunk.length
  })
  return bytes
}

describe('traffic', () => {
  test('bytes, packets, messages and payloads as they come and go', async () => {
    const t = scene()
    const [reader, writer] = [t.attach(), t.attach()] as const
    const wires = [bytesOf(reader), bytesOf(writer)]
    await reader.connect({ clientId: 'reader' })
    await writer.connect({ clientId: 'writer' })
    await reader.subscribe([['a', { qos: 1 }]])
    await writer.publish({ topic: 'a', payload: 'hello', qos: 1 })
    await writer.publish({ topic: 'nobody', payload: 'hi' })
    await reader.takePublish()
    await reader.expectNothing()
    const sum = (way: 'received' | 'sent'): number => wires.reduce((bytes, wire) => bytes + wire[way], 0)
    expect(t.counters()).toMatchObject({
      bytesReceived: sum('received'),
      bytesSent: sum('sent'),
      // CONNECT, CONNECT, SUBSCRIBE, PUBLISH, PUBLISH, PINGREQ, PUBACK, PINGREQ
      packetsReceived: 8,
      // CONNACK, CONNACK, SUBACK, PUBLISH, PUBACK, PINGRESP, PINGRESP
      packetsSent: 7,
      messagesReceived: 2,
      messagesSent: 1,
      payloadBytesReceived: 7,
      payloadBytesSent: 5,
      connectionsOpened: 2,
      sessionsAdmitted: 2,
      dropped: none,
    })
  })

  test('a large payload in pieces, to many subscribers, with properties of its own for some', async () => {
    const t = scene()
    const payload = 'x'.repeat(70_000)
    const readers = [await t.connect({ clientId: 'r1' }), await t.connect({ clientId: 'r2', version: 4 })]
    for (const reader of readers) await reader.subscribe([['big', { qos: 1 }]])
    const third = await t.connect({ clientId: 'r3' })
    await third.subscribe(['big'], { subscriptionIdentifiers: [7] })
    const writer = await t.connect({ clientId: 'writer' })
    const before = t.counters()
    const wires = [...readers, third, writer].map(bytesOf)
    const bytes = publish({ topic: 'big', payload, qos: 1, packetId: 5 })
    for (let at = 0; at < bytes.length; at += 16_384) writer.send(bytes.subarray(at, at + 16_384))
    await writer.expectPacket('puback', { packetId: 5 })
    for (const reader of [...readers, third]) await reader.expectPacket('publish')
    await t.settle()
    const after = t.counters()
    const rise = (name: 'messagesSent' | 'payloadBytesSent' | 'bytesSent' | 'packetsReceived' | 'bytesReceived') =>
      after[name] - before[name]
    expect({ messages: rise('messagesSent'), payload: rise('payloadBytesSent'), bytes: rise('bytesSent') }).toEqual({
      messages: 3,
      payload: 210_000,
      bytes: wires.reduce((sum, wire) => sum + wire.sent, 0),
    })
    expect({ packets: rise('packetsReceived'), bytes: rise('bytesReceived') }).toEqual({
      packets: 1,
      bytes: bytes.length,
    })
  })

  test('a repeated message is sent, and counted, again', async () => {
    const t = scene()
    const input = { clientId: 'r', cleanStart: false, properties: { sessionExpiryInterval: 60 } }
    const first = await t.connect(input)
    await first.subscribe([['a', { qos: 1 }]])
    await t.broker.publish({ topic: 'a', payload: 'once', qos: 1 })
    await first.expectPacket('publish')
    first.drop()
    await t.settle()
    const second = await t.connect(input)
    await second.expectPacket('publish', { dup: true })
    expect(t.counters()).toMatchObject({ messagesReceived: 1, messagesSent: 2, payloadBytesSent: 8 })
  })

  test('clients inside the process have packets and messages, and no bytes', async () => {
    const t = scene()
    const client = await t.broker.client({ clientId: 'inside' })
    const messages: string[] = []
    const subscription = client.messages('a/#').subscribe(({ topic }) => messages.push(topic))
    await t.settle()
    await client.publish({ topic: 'a/1', payload: 'abc', qos: 1 })
    await t.broker.publish({ topic: 'a/2', payload: 'de' })
    await t.settle()
    subscription.unsubscribe()
    expect(messages).toEqual(['a/1', 'a/2'])
    const { messagesReceived, messagesSent, payloadBytesReceived, payloadBytesSent, bytesReceived, bytesSent } =
      t.counters()
    expect({
      messagesReceived,
      messagesSent,
      payloadBytesReceived,
      payloadBytesSent,
      bytesReceived,
      bytesSent,
    }).toEqual({
      messagesReceived: 2,
      messagesSent: 2,
      payloadBytesReceived: 5,
      payloadBytesSent: 5,
      bytesReceived: 0,
      bytesSent: 0,
    })
  })

  test('bytes that wait for the store are counted when they go out', async () => {
    const t = scene({ store: { type: 'lmdb', directory: tempFolder() } })
    await t.broker.ready
    const client = t.attach()
    const wire = bytesOf(client)
    await client.connect({ clientId: 'kept', properties: { sessionExpiryInterval: 60 } })
    await client.subscribe([['a', { qos: 1 }]])
    client.send(publish({ topic: 'a', payload: 'kept', qos: 1, packetId: 9 }))
    const packets = [await client.next(), await client.next()].map((packet) => packet !== 'closed' && packet.type)
    expect(new Set(packets)).toEqual(new Set(['puback', 'publish']))
    expect(t.counters()).toMatchObject({ bytesReceived: wire.received, bytesSent: wire.sent, packetsSent: 4 })
  })
})

describe('sessions', () => {
  test('refused by reason code, taken over, expired; in each state, and the most that were online', async () => {
    const t = scene({
      authenticators: [
        { name: 'door', authenticate: ({ clientId }) => (clientId === 'x' ? deny(0x87, 'no') : allow({})) },
      ],
    })
    await t.first(connect({ clientId: 'x' })).expectRefused(0x87)
    await t.first(connect({ clientId: 'x' })).expectRefused(0x87)
    const old = await t.connect({ clientId: 'a' })
    await t.connect({ clientId: 'a' })
    await old.expectDisconnect(0x8e)
    const leaving = await t.connect({ clientId: 'b', properties: { sessionExpiryInterval: 10 } })
    t.attach()
    leaving.drop()
    await t.settle()
    expect(t.stats()).toMatchObject({
      connections: 2,
      sessions: { connecting: 1, authenticating: 0, 'enhanced-auth': 0, online: 1, offline: 1, expired: 0 },
      counters: { sessionsRefused: { 135: 2 }, sessionsAdmitted: 3, takeovers: 1, sessionsExpired: 0 },
    })
    await t.advance(10_000)
    expect(t.stats()).toMatchObject({
      connections: 1,
      // Who never sent CONNECT is gone too.
      sessions: { connecting: 0, authenticating: 0, 'enhanced-auth': 0, online: 1, offline: 0, expired: 0 },
      counters: { sessionsExpired: 1, connectionsOpened: 6 },
    })
  })

  test('one whose chart fails is in no state any more', async () => {
    const fail = (): never => {
      throw new Error('a bug of the embedder')
    }
    const machine = sessionMachine.provide({ actions: { sendConnack: fail } } as Parameters<
      typeof sessionMachine.provide
    >[0])
    const t = scene({ machine })
    await t.first(connect({ clientId: 'a' })).expectClosed()
    expect(t.stats()).toMatchObject({
      connections: 0,
      sessions: { connecting: 0, authenticating: 0, 'enhanced-auth': 0, online: 0, offline: 0, expired: 0 },
    })
  })

  test('connections that a hook refuses', async () => {
    const t = scene({ hooks: { onConnection: () => deny(0x87, 'not here') } })
    await t.attach().expectClosed()
    expect(t.counters()).toMatchObject({ connectionsRefused: 1, connectionsOpened: 0, hooksDenied: 1 })
  })

  test('subscriptions, shared ones too; observers of messages are none', async () => {
    const t = scene()
    const levels = (): object => {
      const { subscriptions, sharedSubscriptions, counters } = t.stats()
      const { subscriptionsAdded: added, subscriptionsRemoved: removed } = counters
      return { subscriptions, sharedSubscriptions, added, removed }
    }
    const observer = t.broker.messages('#').subscribe()
    const client = await t.connect({ clientId: 'a' })
    await client.subscribe(['x', 'y', '$share/g/z'])
    // Again: the same subscription with other options.
    await client.subscribe([['x', { qos: 2 }]])
    expect(levels()).toEqual({ subscriptions: 3, sharedSubscriptions: 1, added: 3, removed: 0 })
    client.send(unsubscribe({ packetId: 3, filters: ['x', 'nothing'] }))
    await client.expectPacket('unsuback')
    expect(levels()).toEqual({ subscriptions: 2, sharedSubscriptions: 1, added: 3, removed: 1 })
    client.drop()
    await t.settle()
    observer.unsubscribe()
    expect(levels()).toEqual({ subscriptions: 0, sharedSubscriptions: 0, added: 3, removed: 3 })
  })

  test('what a store brings back is there and counted', async () => {
    const store = { type: 'lmdb', directory: tempFolder() } as const
    const before = scene({ store })
    await before.broker.ready
    const client = await before.connect({ clientId: 'kept', properties: { sessionExpiryInterval: 600 } })
    await client.subscribe([['a', { qos: 1 }], '$share/g/b'])
    client.drop()
    await before.settle()
    await before.broker.publish({ topic: 'a', payload: 'waits', qos: 1 })
    await before.close()
    const t = scene({ store, clock: before.clock })
    await t.broker.ready
    const { queue } = (await t.broker.inspection.session('kept'))!
    expect(t.stats()).toMatchObject({
      sessions: { online: 0, offline: 1 },
      connections: 0,
      subscriptions: 2,
      sharedSubscriptions: 1,
      queuedMessages: 1,
      queuedBytes: queue.bytes,
      store: { name: 'lmdb', fault: null },
    })
  })
})

describe('what is lost', () => {
  test('messages by the reason for it', async () => {
    const t = scene({
      limits: { maxQueuedMessages: 2, maxRetainedMessages: 1 },
      hooks: { onPublish: ({ message }) => (message.topic === 'secret' ? deny(0x87, 'no') : next()) },
    })
    const kept = { cleanStart: false, properties: { sessionExpiryInterval: 600 } }
    const away = await t.connect({ clientId: 'away', ...kept })
    await away.subscribe([['a', { qos: 1 }]])
    away.drop()
    const small = await t.connect({ clientId: 'small', properties: { maximumPacketSize: 50 } })
    await small.subscribe(['large'])
    const writer = await t.connect({ clientId: 'writer' })
    const properties = { messageExpiryInterval: 1 }
    for (let count = 0; count < 3; count++)
      await writer.publish({ topic: 'a', payload: `${count}`, qos: 1, properties })
    await writer.publish({ topic: 'a', payload: 'QoS 0' })
    await writer.publish({ topic: 'large', payload: 'x'.repeat(60) })
    await writer.publish({ topic: 'secret' })
    await writer.publish({ topic: 'r/1', payload: 'fits', retain: true })
    await writer.publish({ topic: 'r/2', payload: 'does not', retain: true })
    expect(t.counters().dropped).toEqual({
      ...none,
      'queue-full': 1,
      offline: 1,
      'too-large': 1,
      denied: 1,
      'retained-full': 1,
    })
    await t.advance(2_000)
    await (await t.connect({ clientId: 'away', ...kept })).expectNothing()
    expect(t.counters().dropped).toMatchObject({ expired: 2 })
  })

  test('with the session', async () => {
    const t = scene()
    const away = await t.connect({ clientId: 'away', properties: { sessionExpiryInterval: 10 } })
    await away.subscribe([['a', { qos: 1 }]])
    away.drop()
    await t.settle()
    await t.broker.publish({ topic: 'a', payload: 'late', qos: 1 })
    await t.advance(10_000)
    expect(t.counters().dropped).toEqual({ ...none, 'session-ended': 1 })
  })

  test('with an observer that is too slow', async () => {
    const t = scene({ limits: { maxDeliveriesPerTurn: Infinity } })
    const observer = t.broker.messages('#').subscribe()
    const published = Array.from({ length: 10_002 }, () => t.broker.publish({ topic: 'a', payload: '' }))
    await Promise.all(published)
    await t.settle()
    observer.unsubscribe()
    expect(t.counters().dropped).toEqual({ ...none, 'observer-slow': 2 })
  })
})

test('wills by what became of them, and those that wait', async () => {
  const t = scene()
  const willOf = (willDelayInterval: number) => ({ topic: 'w', payload: 'gone', properties: { willDelayInterval } })
  const properties = { sessionExpiryInterval: 60 }
  const [published, back] = [
    await t.connect({ clientId: 'published', will: willOf(0), properties }),
    await t.connect({ clientId: 'back', will: willOf(30), properties }),
  ]
  await t.connect({ clientId: 'left', will: willOf(0) })
  published.drop()
  back.drop()
  await t.settle()
  expect(t.stats()).toMatchObject({
    pendingWills: 1,
    counters: { willsPublished: 1, willsWithheld: 0, willsCancelled: 0 },
  })
  await t.connect({ clientId: 'back', cleanStart: false, properties })
  await t.settle()
  expect(t.stats()).toMatchObject({ pendingWills: 0, counters: { willsPublished: 1, willsCancelled: 1 } })
  await t.broker.sessions.revoke({ clientId: 'left' }, 'out')
  await t.settle()
  expect(t.counters()).toMatchObject({ willsPublished: 1, willsWithheld: 1, willsCancelled: 1 })
})

test('hooks that say no, and hooks that fail', async () => {
  const t = scene({
    hooks: {
      onPublish: ({ message }) => {
        if (message.topic === 'bug') throw new Error('broken')
        return message.topic === 'no' ? deny(0x87, 'no') : next()
      },
    },
  })
  const client = await t.connect({ clientId: 'a' })
  for (const topic of ['no', 'bug', 'yes']) await client.publish({ topic, qos: 1 })
  expect(t.counters()).toMatchObject({ hooksDenied: 1, hooksFailed: 1, dropped: { denied: 2 } })
})

test('what waits and what is unacknowledged, of all sessions together', async () => {
  const t = scene()
  const slow = await t.connect({ clientId: 'slow', properties: { receiveMaximum: 1 } })
  await slow.subscribe([['a', { qos: 1 }]])
  for (const payload of ['1', '2', '3']) await t.broker.publish({ topic: 'a', payload, qos: 1 })
  const first = await slow.expectPacket('publish')
  const { queue } = (await t.broker.inspection.session('slow'))!
  expect(t.stats()).toMatchObject({ queuedMessages: 2, queuedBytes: queue.bytes, inflightMessages: 1 })
  slow.send(puback(first.packetId))
  await slow.takePublish()
  await slow.takePublish()
  await slow.expectNothing()
  expect(t.stats()).toMatchObject({ queuedMessages: 0, queuedBytes: 0, inflightMessages: 0 })
})
