/** What roles say to what clients subscribe to, and to each delivery: over connections. */
import { describe, expect, test } from 'vitest'

import type { BrokerOptions, Permission } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { publish, unsubscribe, type FilterInput } from '../support/wire.ts'
import { subackCodes } from './roles-scene.ts'
import { startScene } from './sessions-scene.ts'

const both = [
  { name: 'MQTT 5', version: 5 },
  { name: 'MQTT 3.1.1', version: 4 },
] as const

function scene(permissions: readonly Permission[], options: BrokerOptions = {}) {
  const t = startScene({ roles: { r: { permissions } }, ...options })
  const send = async (...topics: string[]): Promise<void> => {
    for (const topic of topics) await t.broker.publish({ topic, qos: 2 })
    await t.settle()
  }
  return { ...t, send }
}

/** Topics and QoS of what has come. */
async function received(client: RawClient): Promise<string[]> {
  return (await client.drain()).map((packet) =>
    packet.type === 'publish' ? `${packet.topic} ${packet.qos}` : packet.type,
  )
}

describe.each(both)('SUBACK, $name', ({ version }) => {
  const refused = version === 5 ? 0x87 : 0x80

  test('each filter is decided on by itself', async () => {
    const t = scene([
      { topic: 'a/#', allow: 'subscribe' },
      { topic: 'a/secret/#', deny: 'subscribe' },
      { topic: 'low/#', allow: 'subscribe', qos: [0, 1] },
    ])
    const client = await t.join('c', { roles: ['r'] }, { version })
    const filters: FilterInput[] = ['a/b', 'b', 'a/secret/x', '#', 'low/x', 'a/#', '$share/g/a/b', '$share/g/b']
    const asked = filters.map((filter) => [filter as string, { qos: 2 }] as const)
    expect(await subackCodes(client, ...asked)).toEqual([2, refused, refused, 2, 1, 2, 2, refused])
  })

  test('a filter that matches more than may be read is granted, and each delivery is checked', async () => {
    const t = scene([
      { topic: 'a/#', allow: 'subscribe' },
      { topic: 'a/secret', deny: 'subscribe' },
      { topic: 'a/low', deny: 'subscribe', qos: [1, 2] },
    ])
    const client = await t.join('c', { roles: ['r'] }, { version })
    expect(await subackCodes(client, ['#', { qos: 1 }])).toEqual([1])
    await t.send('a', 'a/b', 'a/secret', 'b', 'a/low', 'a/b/c')
    expect(await received(client)).toEqual(['a 1', 'a/b 1', 'a/low 0', 'a/b/c 1'])
  })

  test('or refused, where that is wanted', async () => {
    const permissions: readonly Permission[] = [
      { topic: 'a/#', allow: 'subscribe' },
      { topic: 'a/secret', deny: 'subscribe' },
    ]
    const t = scene(permissions, { partialSubscriptions: 'refuse' })
    const client = await t.join('c', { roles: ['r'] }, { version })
    expect(await subackCodes(client, '#', 'a/#', 'a/b', 'a/b/#')).toEqual([refused, refused, 0, 0])
    await t.send('a/b', 'a/secret', 'a/c')
    expect(await received(client)).toEqual(['a/b 0'])
  })
})

describe('deliveries', () => {
  test('overlapping subscriptions are one copy, and none where the topic is denied', async () => {
    const t = scene([
      { topic: 'a/#', allow: 'subscribe' },
      { topic: 'a/+/x', deny: 'subscribe' },
    ])
    const client = await t.join('c', { roles: ['r'] })
    await client.subscribe(['a/b/c', 'a/#', '+/b/+'])
    await t.send('a/b/c', 'a/b/x')
    expect(await received(client)).toEqual(['a/b/c 0'])
  })

  test('the publisher learns how many got it, not how many asked for it', async () => {
    const t = scene([
      { topic: 'a', allow: ['publish', 'subscribe'] },
      { topic: 'b', allow: 'publish' },
    ])
    const client = await t.join('c', { roles: ['r'] })
    await client.subscribe(['#'])
    expect((await client.publish({ topic: 'b', qos: 1 }))?.reasonCode).toBe(0x10)
    expect(await t.broker.publish({ topic: 'b' })).toBe(0)
    expect(await t.broker.publish({ topic: 'a' })).toBe(1)
  })

  test('retained messages are checked one by one', async () => {
    const t = scene([
      { topic: 'a/#', allow: 'subscribe' },
      { topic: 'a/2', deny: 'subscribe' },
    ])
    for (const topic of ['a/1', 'a/2', 'a/3', 'b']) await t.broker.publish({ topic, retain: true, payload: 'x' })
    const client = await t.join('c', { roles: ['r'] })
    await client.subscribe(['#'])
    await t.settle()
    expect((await received(client)).sort()).toEqual(['a/1 0', 'a/3 0'])
  })

  test('messages that wait for a client that is away, too', async () => {
    const t = scene([
      { topic: 'a/#', allow: 'subscribe' },
      { topic: 'a/no', deny: 'subscribe' },
    ])
    const client = await t.stay('c', { roles: ['r'] })
    await client.subscribe([['#', { qos: 1 }]])
    client.drop()
    await t.settle()
    await t.send('a/1', 'a/no', 'b', 'a/2')
    expect(t.view('c').queuedMessages).toBe(2)
    const back = await t.stay('c', { roles: ['r'] })
    expect(await received(back)).toEqual(['a/1 1', 'a/2 1'])
  })
})

describe('shared subscriptions', () => {
  const roles = {
    any: { permissions: [{ topic: '#', allow: 'subscribe' }] },
    some: {
      permissions: [
        { topic: '#', allow: 'subscribe' },
        { topic: 'secret', deny: 'subscribe' },
      ],
    },
    ofG: { permissions: [{ topic: '#', allow: 'subscribe', group: 'g' }] },
    alone: { permissions: [{ topic: '#', allow: 'subscribe', shared: false }] },
  } as const

  test('permissions speak of sharing and of groups', async () => {
    const t = startScene({ roles })
    const ofG = await t.join('1', { roles: ['ofG'] })
    expect(await subackCodes(ofG, '$share/g/a', '$share/h/a', 'a')).toEqual([0, 0x87, 0x87])
    const alone = await t.join('2', { roles: ['alone'] })
    expect(await subackCodes(alone, '$share/g/a', 'a')).toEqual([0x87, 0])
    const both2 = await t.join('3', { roles: ['ofG', 'alone'] })
    expect(await subackCodes(both2, '$share/g/a', '$share/h/a', 'a')).toEqual([0, 0x87, 0])
  })

  test.each(['round-robin', 'sticky', 'random', 'least-inflight'] as const)(
    'threat 78: a message that one member may not have goes to another, %s',
    async (sharedSubscriptionStrategy) => {
      const t = startScene({ roles, sharedSubscriptionStrategy })
      const some = await t.join('some', { roles: ['some'] })
      await some.subscribe([['$share/g/#', { qos: 1 }]])
      const any = await t.join('any', { roles: ['any'] })
      await any.subscribe([['$share/g/#', { qos: 1 }]])
      for (let n = 0; n < 10; n += 1) await t.broker.publish({ topic: 'secret', qos: 1 })
      await t.settle()
      expect(await received(some)).toEqual([])
      expect(await received(any)).toHaveLength(10)
    },
  )

  test('of members that may have it, one that is there comes first; else it waits for one that is away', async () => {
    const t = startScene({ roles })
    const some = await t.join('some', { roles: ['some'] })
    await some.subscribe([['$share/g/#', { qos: 1 }]])
    const any = await t.stay('any', { roles: ['any'] })
    await any.subscribe([['$share/g/#', { qos: 1 }]])
    any.drop()
    await t.settle()
    expect(await t.broker.publish({ topic: 'secret', qos: 1 })).toBe(1)
    await t.settle()
    expect(await received(some)).toEqual([])
    expect(await received(await t.stay('any', { roles: ['any'] }))).toEqual(['secret 1'])
  })

  test('what nobody may have goes nowhere', async () => {
    const t = startScene({ roles })
    const some = await t.join('some', { roles: ['some'] })
    await some.subscribe(['$share/g/#'])
    expect(await t.broker.publish({ topic: 'secret' })).toBe(0)
    expect(await received(some)).toEqual([])
  })

  test('a message that waited for one member is not given to another that may not have it', async () => {
    const t = startScene({ roles })
    const any = await t.stay(
      'any',
      { roles: ['any'] },
      { properties: { receiveMaximum: 1, sessionExpiryInterval: 60 } },
    )
    await any.subscribe([['$share/g/#', { qos: 1 }]])
    await t.broker.publish({ topic: 'first', qos: 1 })
    await t.broker.publish({ topic: 'secret', qos: 1 })
    await any.expectPacket('publish', { topic: 'first' })
    const some = await t.join('some', { roles: ['some'] })
    await some.subscribe([['$share/g/#', { qos: 1 }]])
    any.drop()
    await t.settle()
    expect(await received(some)).toEqual([])
    const back = await t.stay('any', { roles: ['any'] })
    expect(await received(back)).toEqual(['first 1', 'secret 1'])
  })

  test('and it keeps the name of its group while it waits', async () => {
    const t = startScene({ roles })
    const only = await t.stay('only', { roles: ['ofG'] })
    await only.subscribe([['$share/g/#', { qos: 1 }]])
    only.drop()
    await t.settle()
    await t.broker.publish({ topic: 'x', qos: 1 })
    expect(await received(await t.stay('only', { roles: ['ofG'] }))).toEqual(['x 1'])
  })
})

describe('hooks', () => {
  test('come after the roles, and what they put in place is checked', async () => {
    const asked: string[] = []
    const t = scene([{ topic: 'a/#', allow: 'subscribe' }], {
      hooks: {
        onSubscribe: async ({ filter }) => {
          asked.push(filter)
          if (filter === 'a/out') return { type: 'allow', filter: 'b' }
          if (filter === 'a/wide') return { type: 'allow', filter: '#' }
          if (filter === 'a/no') return { type: 'deny', reasonCode: 0x80, reason: 'no' }
          return { type: 'next' }
        },
      },
    })
    const client = await t.join('c', { roles: ['r'] })
    expect(await subackCodes(client, 'b', 'a/x', 'a/out', 'a/wide', 'a/no')).toEqual([0x87, 0, 0x87, 0, 0x80])
    expect(asked).toEqual(['a/x', 'a/out', 'a/wide', 'a/no'])
    await t.send('b', 'a/y')
    expect(await received(client)).toEqual(['a/y 0'])
  })

  test('the deliver hook is not asked about what roles withhold', async () => {
    const asked: string[] = []
    const t = scene([{ topic: 'a', allow: 'subscribe' }], {
      hooks: {
        onDeliver: ({ topic }) => {
          asked.push(topic)
          return { type: 'next' }
        },
      },
    })
    const client = await t.join('c', { roles: ['r'] })
    await client.subscribe(['#'])
    await t.send('a', 'b')
    expect(asked).toEqual(['a'])
    expect(await received(client)).toEqual(['a 0'])
  })
})

test('a refused filter is not kept: it needs no place, and nothing of it comes', async () => {
  const t = scene([{ topic: 'a', allow: ['subscribe', 'publish'] }], { limits: { maxSubscriptionsPerSession: 1 } })
  const client = await t.join('c', { roles: ['r'] })
  expect(await subackCodes(client, 'b', 'c', 'a')).toEqual([0x87, 0x87, 0])
  client.send(unsubscribe({ packetId: 3, filters: ['b', 'a'] }))
  expect((await client.expectPacket('unsuback')).reasonCodes).toEqual([0x11, 0])
  client.send(publish({ topic: 'a' }))
  await client.expectNothing()
})

test('messages to chosen sessions are checked as well', async () => {
  const t = scene([{ topic: 'a', allow: 'subscribe' }])
  const client = await t.join('c', { roles: ['r'] })
  expect(await t.sessions.publishTo({ clientId: 'c' }, { topic: 'a' })).toMatchObject([{ outcome: 'done' }])
  expect(await t.sessions.publishTo({ clientId: 'c' }, { topic: 'b' })).toMatchObject([
    { error: 'SMQ_PUBLISH_REFUSED' },
  ])
  expect(await received(client)).toEqual(['a 0'])
})
