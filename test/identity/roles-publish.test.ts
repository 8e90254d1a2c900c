/** What roles say to what clients publish: semantics 7.17 and its threats, over connections. */
import { describe, expect, test } from 'vitest'

import { allow, next, type BrokerEvent, type BrokerOptions, type Permission } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { publish, pubrel } from '../support/wire.ts'
import { subackCodes } from './roles-scene.ts'
import { startScene } from './sessions-scene.ts'

/** A broker with one role `r`, and a subscriber that sees everything. */
async function scene(permissions: readonly Permission[], options: BrokerOptions = {}) {
  const all: readonly Permission[] = ['#', '$private/#'].map((topic) => ({ topic, allow: 'subscribe' }))
  const t = startScene({ roles: { r: { permissions }, all: { permissions: all } }, ...options })
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => events.push(event))
  const watcher = await t.join('watcher', { roles: ['all'] })
  await watcher.subscribe(['#', '$private/#'])
  const dropped = () => events.flatMap((event) => (event.type === 'message.dropped' ? [event] : []))
  /** Topics that the subscriber has got since the last look. */
  const seen = async (): Promise<string[]> => {
    await t.settle()
    return (await watcher.drain()).map((packet) => (packet.type === 'publish' ? packet.topic : packet.type))
  }
  return { ...t, watcher, dropped, seen }
}

const roles: readonly Permission[] = [
  { topic: 'ok/#', allow: 'publish' },
  { topic: 'ok/secret', deny: 'publish' },
]

async function withClient(version: 4 | 5, options?: BrokerOptions) {
  const t = await scene(roles, options)
  return { ...t, client: await t.join('c', { roles: ['r'] }, { version }) }
}

test.each([4, 5] as const)('what is allowed goes on its way, with every QoS, MQTT version %i', async (version) => {
  const { client, seen } = await withClient(version)
  for (const qos of [0, 1, 2]) await client.publish({ topic: `ok/${qos}`, qos })
  expect(await seen()).toEqual(['ok/0', 'ok/1', 'ok/2'])
})

describe('semantics 7.17: a denied publish of MQTT 5', () => {
  test('is acknowledged with 0x87, and the client stays', async () => {
    const { client, seen, dropped } = await withClient(5)
    expect((await client.publish({ topic: 'ok/secret', qos: 1 }))?.reasonCode).toBe(0x87)
    expect((await client.publish({ topic: 'elsewhere', qos: 2 }))?.reasonCode).toBe(0x87)
    await client.publish({ topic: 'ok/secret', qos: 0 })
    expect(await seen()).toEqual([])
    const rule = { role: 'r', index: 1, effect: 'deny', topic: 'ok/secret' }
    expect(dropped()).toMatchObject([
      { clientId: 'c', topic: 'ok/secret', qos: 1, reason: 'denied', rule },
      { clientId: 'c', topic: 'elsewhere', qos: 2, reason: 'denied' },
      { clientId: 'c', topic: 'ok/secret', qos: 0, reason: 'denied', rule },
    ])
    expect(dropped()[1]).not.toHaveProperty('rule')
  })

  test.each([0, 1, 2])('disconnects with 0x87 where that is wanted, QoS %i', async (qos) => {
    const { client, seen } = await withClient(5, { deniedPublish: { mqtt5: 'disconnect' } })
    client.send(publish({ topic: 'elsewhere', qos, ...(qos > 0 ? { packetId: 7 } : {}) }))
    await client.expectDisconnect(0x87)
    expect(await seen()).toEqual([])
  })
})

describe('semantics 7.17: a denied publish of MQTT 3.1.1', () => {
  const version = 4

  test.each([0, 1, 2])('closes the connection, QoS %i', async (qos) => {
    const { client, seen } = await withClient(version)
    client.send(publish({ version, topic: 'elsewhere', qos, ...(qos > 0 ? { packetId: 7 } : {}) }))
    await client.expectClosed()
    expect(await seen()).toEqual([])
  })

  test('is acknowledged and given to nobody where that is wanted', async () => {
    const { client, seen, dropped } = await withClient(version, { deniedPublish: { mqtt3: 'drop' } })
    for (const qos of [0, 1, 2]) await client.publish({ topic: 'elsewhere', qos, packetId: 7 + qos })
    // The same QoS 2 message again, before its PUBREL: answered again, as one that was taken.
    const again = publish({ version, topic: 'elsewhere', qos: 2, packetId: 20 })
    client.send(again, again)
    await client.expectPacket('pubrec', { packetId: 20 })
    await client.expectPacket('pubrec', { packetId: 20 })
    client.send(pubrel(20))
    await client.expectPacket('pubcomp', { packetId: 20 })
    expect(await seen()).toEqual([])
    expect(dropped().map(({ qos }) => qos)).toEqual([0, 1, 2, 2])
  })
})

describe('permissions to publish', () => {
  test('speak of QoS and of RETAIN', async () => {
    const { join } = await scene([
      { topic: 'low', allow: 'publish', qos: [0, 1] },
      { topic: 'kept', allow: 'publish', retain: true },
      { topic: 'live', allow: 'publish', retain: false },
    ])
    const client = await join('c', { roles: ['r'] })
    const code = async (topic: string, qos: number, retain: boolean): Promise<number | undefined> =>
      (await client.publish({ topic, qos, retain }))?.reasonCode
    expect(await code('low', 1, false)).toBe(0)
    expect(await code('low', 2, false)).toBe(0x87)
    expect(await code('kept', 1, true)).toBe(0)
    expect(await code('kept', 1, false)).toBe(0x87)
    expect(await code('live', 1, false)).toBe(0)
    expect(await code('live', 1, true)).toBe(0x87)
  })

  test('topic aliases hide nothing', async () => {
    const { join, seen } = await scene([{ topic: 'ok', allow: 'publish' }])
    const client = await join('c', { roles: ['r'] })
    client.send(publish({ topic: 'ok', properties: { topicAlias: 1 } }))
    client.send(publish({ topic: '', properties: { topicAlias: 1 } }))
    client.send(publish({ topic: 'not', properties: { topicAlias: 1 } }))
    client.send(publish({ topic: '', properties: { topicAlias: 1 } }))
    await client.expectNothing()
    expect(await seen()).toEqual(['ok', 'ok'])
  })

  test('without a role that is defined nothing is allowed, nor with an empty map', async () => {
    const { join } = await scene([{ topic: '#', allow: 'publish' }])
    for (const roles of [[], ['unknown'], ['toString']]) {
      const client = await join('c', { roles })
      expect((await client.publish({ topic: 'a', qos: 1 }))?.reasonCode).toBe(0x87)
    }
    const empty = startScene({ roles: {} })
    const client = await empty.join('c', { roles: ['r'] })
    expect((await client.publish({ topic: 'a', qos: 1 }))?.reasonCode).toBe(0x87)
  })

  test('the broker and its embedder need none', async () => {
    const { broker, seen } = await scene([])
    await broker.publish({ topic: 'anything' })
    expect(await seen()).toEqual(['anything'])
  })
})

test('a grant that has ended gives no right, whatever its roles allow; the client may stay', async () => {
  const t = await scene([{ topic: '#', allow: ['publish', 'subscribe'] }], { grantExpiry: 'stay-without-rights' })
  const client = await t.join('c', { roles: ['r'], expiresAtMs: t.clock.nowMs() + 5_000 })
  await client.subscribe(['a'])
  await t.advance(5_000)
  expect((await client.publish({ topic: 'a', qos: 1 }))?.reasonCode).toBe(0x87)
  expect(await subackCodes(client, 'b')).toEqual([0x87])
  await t.broker.publish({ topic: 'a' })
  await t.settle()
  await client.expectNothing()
  expect(t.dropped()[0]).toMatchObject({ clientId: 'c', topic: 'a', reason: 'denied' })
  expect(t.dropped()[0]).not.toHaveProperty('rule')
})

describe('hooks', () => {
  test('are not asked about what roles deny, and cannot give back what they took', async () => {
    const asked: string[] = []
    const { join, seen } = await scene([{ topic: 'ok/#', allow: 'publish' }], {
      hooks: {
        onPublish: ({ message }) => {
          asked.push(message.topic)
          if (message.topic === 'ok/out') return { type: 'allow', topic: 'elsewhere' }
          if (message.topic === 'ok/in') return { type: 'allow', topic: 'ok/changed' }
          return next()
        },
      },
    })
    const client = await join('c', { roles: ['r'] })
    expect((await client.publish({ topic: 'elsewhere', qos: 1 }))?.reasonCode).toBe(0x87)
    expect((await client.publish({ topic: 'ok/out', qos: 1 }))?.reasonCode).toBe(0x87)
    expect((await client.publish({ topic: 'ok/in', qos: 1 }))?.reasonCode).toBe(0)
    expect(asked).toEqual(['ok/out', 'ok/in'])
    expect(await seen()).toEqual(['ok/changed'])
  })
})

test('threat 79: $SYS and other internal topics are nobody’s to publish to, and wildcards do not reach them', async () => {
  const { join, seen } = await scene([
    { topic: '#', allow: ['publish', 'subscribe'] },
    { topic: '+/+', allow: ['publish', 'subscribe'] },
    { topic: '$SYS/#', allow: 'publish' },
  ])
  const client = await join('c', { roles: ['r'] })
  expect((await client.publish({ topic: '$SYS/x', qos: 1 }))?.reasonCode).toBe(0x87)
  expect((await client.publish({ topic: '$private/x', qos: 1 }))?.reasonCode).toBe(0x87)
  expect(await subackCodes(client, '$SYS/#')).toEqual([0x87])
  expect(await subackCodes(client, '$private/x')).toEqual([0x87])
  expect(await seen()).toEqual([])
})

describe('threat 84: a publish that is being decided on goes by the roles of the moment', () => {
  test.each([1, 2])('roles taken while a hook thinks, QoS %i', async (qos) => {
    let decide = (): void => {}
    const { join, view, seen, settle } = await scene([{ topic: 'ok', allow: 'publish' }], {
      hooks: { onPublish: () => new Promise((resolve) => (decide = () => resolve({ type: 'next' }))) },
    })
    const client = await join('c', { roles: ['r'] })
    client.send(publish({ topic: 'ok', qos, packetId: 5 }))
    await settle()
    view('c').changeRoles({ remove: ['r'] })
    decide()
    await client.expectPacket(qos === 1 ? 'puback' : 'pubrec', { packetId: 5, reasonCode: 0x87 })
    expect(await seen()).toEqual([])
  })
})

describe('threat 85: values of a session never widen a permission', () => {
  const start = (permissions: readonly Permission[]) =>
    startScene({
      roles: { r: { permissions } },
      authenticators: [
        {
          name: 'by name',
          authenticate: ({ username, proposedProperties }) =>
            allow({ roles: ['r'], properties: proposedProperties, ...(username ? { principal: username } : {}) }),
        },
      ],
    })
  const code = async (client: RawClient, topic: string): Promise<number | undefined> =>
    (await client.publish({ topic, qos: 1 }))?.reasonCode

  test('a value is one level of text', async () => {
    const t = start([
      { topic: 'in/%c/%u/#', allow: 'publish' },
      { topic: 'room/%p{room}', allow: 'publish' },
    ])
    const properties = { userProperties: [['session.room', 'r1']] as const }
    const client = await t.connect({ clientId: 'c1', username: 'ann', properties })
    expect(await code(client, 'in/c1/ann/x')).toBe(0x10)
    expect(await code(client, 'in/c2/ann/x')).toBe(0x87)
    expect(await code(client, 'in/c1/bob/x')).toBe(0x87)
    expect(await code(client, 'room/r1')).toBe(0x10)
    expect(await code(client, 'room/r2')).toBe(0x87)
  })

  test.each(['+', '#', 'a/b', '/', '+/+'])('a client identifier %j allows nothing', async (clientId) => {
    const t = start([
      { topic: 'in/%c', allow: ['publish', 'subscribe'] },
      { topic: 'in/%c/#', allow: ['publish', 'subscribe'] },
    ])
    const client = await t.connect({ clientId, username: 'ann' })
    for (const topic of ['in/a', 'in/a/b', 'in/', 'in//', 'in']) expect(await code(client, topic)).toBe(0x87)
    for (const filter of [`in/${clientId}`, 'in/#', 'in/a']) expect(await subackCodes(client, filter)).toEqual([0x87])
  })

  test('where a denial depends on it, everything is denied', async () => {
    const t = start([
      { topic: '#', allow: 'publish' },
      { topic: 'private/%u/#', deny: 'publish' },
    ])
    const client = await t.connect({ clientId: 'c', username: '+' })
    expect(await code(client, 'private/ann')).toBe(0x87)
    expect(await code(client, 'private')).toBe(0x10)
  })

  test('a client cannot name itself into $SYS', async () => {
    const t = start([{ topic: '%c/#', allow: ['publish', 'subscribe'] }])
    const client = await t.connect({ clientId: '$SYS', username: 'ann' })
    expect(await subackCodes(client, '$SYS/#')).toEqual([0x87])
  })
})
