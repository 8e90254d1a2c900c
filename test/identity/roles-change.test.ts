/** Roles and their definitions change while clients are there: semantics 7.7 and 7.16, threats 80, 83 and 86. */
import { describe, expect, test } from 'vitest'

import type { BrokerEvent, BrokerOptions, RoleDefinitions } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { puback, pubcomp, publish, pubrec, unsubscribe } from '../support/wire.ts'
import { subackCodes } from './roles-scene.ts'
import { codeOf, startScene } from './sessions-scene.ts'

const definitions: RoleDefinitions = {
  a: { permissions: [{ topic: 'a/#', allow: ['publish', 'subscribe'] }] },
  b: { permissions: [{ topic: 'b/#', allow: ['publish', 'subscribe'] }] },
  all: { permissions: [{ topic: '#', allow: ['publish', 'subscribe'] }] },
  low: { permissions: [{ topic: 'a/#', allow: 'subscribe', qos: [0] }] },
  mute: { permissions: [{ topic: 'a/secret', deny: ['publish', 'subscribe'] }] },
}

function scene(options: BrokerOptions = {}) {
  const t = startScene({ roles: definitions, ...options })
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => events.push(event))
  const send = async (...topics: string[]): Promise<void> => {
    for (const topic of topics) await t.broker.publish({ topic, qos: 2 })
    await t.settle()
  }
  const retain = async (...topics: string[]): Promise<void> => {
    for (const topic of topics) await t.broker.publish({ topic, payload: 'kept', retain: true })
  }
  const roles = async (clientId: string, remove: string[], add: string[]): Promise<void> => {
    t.view(clientId).changeRoles({ remove, add })
    await t.settle()
  }
  const dropped = () =>
    events.flatMap((event) => (event.type === 'message.dropped' ? [`${event.topic} ${event.reason}`] : []))
  return { ...t, events, send, retain, roles, dropped }
}

/** What has come, retained ones with an R. */
async function received(client: RawClient): Promise<string[]> {
  return (await client.drain()).map((packet) =>
    packet.type === 'publish' ? `${packet.topic}${packet.retain ? ' R' : ''}` : packet.type,
  )
}

describe('semantics 7.7: live subscriptions follow the roles both ways', () => {
  test.each([4, 5] as const)('one that is lost comes back, as it was asked for, MQTT version %i', async (version) => {
    const t = scene()
    const client = await t.join('c', { roles: ['a', 'b'] }, { version })
    await client.subscribe([['a/#', { qos: 1 }], 'b/#'])
    await t.send('a/1', 'b/1')
    await t.roles('c', ['a'], [])
    await t.send('a/2', 'b/2')
    expect(t.view('c').subscriptions).toEqual(['b/#'])
    await t.roles('c', [], ['a'])
    await t.send('a/3', 'b/3')
    const got = (await client.drain()).map((packet) => packet.type === 'publish' && `${packet.topic} ${packet.qos}`)
    expect(got).toEqual(['a/1 1', 'b/1 0', 'b/2 0', 'a/3 1', 'b/3 0'])
    expect(t.events.filter(({ type }) => type === 'subscription.removed')).toHaveLength(1)
  })

  test('with its options: No Local, Retain As Published, its identifier and its shared group', async () => {
    const t = scene()
    const client = await t.join('c', { roles: ['all'] })
    await client.subscribe([['a/#', { noLocal: true, retainAsPublished: true }]], { subscriptionIdentifiers: [7] })
    await client.subscribe(['$share/g/b/#'])
    await t.roles('c', ['all'], ['low'])
    await t.roles('c', ['low'], ['all'])
    await client.publish({ topic: 'a/own' })
    await t.broker.publish({ topic: 'a/1', retain: true, payload: 'x' })
    await t.settle()
    await client.expectPublish({
      topic: 'a/1',
      payload: 'x',
      retain: true,
      properties: { subscriptionIdentifiers: [7] },
    })
    const other = await t.join('d', { roles: ['all'] })
    await other.subscribe(['$share/g/b/#'])
    await t.send('b/1', 'b/2')
    expect([...(await received(client)), ...(await received(other))].sort()).toEqual(['b/1', 'b/2'])
  })

  test('the QoS that was asked for is kept apart from the one granted', async () => {
    const t = scene()
    const client = await t.join('c', { roles: ['low'] })
    await client.subscribe([['a/#', { qos: 2 }]]).then((suback) => expect(suback.reasonCodes).toEqual([0]))
    await t.send('a/1')
    await client.expectPublish({ topic: 'a/1' })
    await t.roles('c', [], ['a'])
    await t.send('a/2')
    await client.expectPacket('publish', { topic: 'a/2', qos: 2 })
    await t.roles('c', ['a'], [])
    await t.send('a/3')
    await client.expectPublish({ topic: 'a/3' })
  })

  test('a filter that is granted in part follows as well', async () => {
    const t = scene()
    const client = await t.join('c', { roles: ['a'] })
    await client.subscribe(['#'])
    await t.send('a/1', 'b/1')
    await t.roles('c', [], ['b', 'mute'])
    await t.send('a/2', 'b/2', 'a/secret')
    await t.roles('c', ['a'], [])
    await t.send('a/3', 'b/3')
    expect(await received(client)).toEqual(['a/1', 'a/2', 'b/2', 'b/3'])
  })

  test('what was refused was never subscribed, and does not come with the rights', async () => {
    const t = scene()
    const client = await t.join('c', { roles: ['a'] })
    expect(await subackCodes(client, 'b/#')).toEqual([0x87])
    await t.roles('c', [], ['b'])
    await t.send('b/1')
    expect(await received(client)).toEqual([])
  })

  test('what is lost can be unsubscribed, keeps its place, and is forgotten when it is refused anew', async () => {
    const t = scene({ limits: { maxSubscriptionsPerSession: 2 } })
    const client = await t.join('c', { roles: ['all'] })
    await client.subscribe(['b/1', 'b/2'])
    await t.roles('c', ['all'], ['a'])
    expect(await subackCodes(client, 'a/1')).toEqual([0x97])
    client.send(unsubscribe({ packetId: 3, filters: ['b/1', 'b/3'] }))
    expect((await client.expectPacket('unsuback')).reasonCodes).toEqual([0, 0x11])
    await client.subscribe(['a/1'])
    expect(await subackCodes(client, 'b/2')).toEqual([0x87])
    await t.roles('c', [], ['b'])
    await t.send('b/1', 'b/2', 'a/1')
    expect(await received(client)).toEqual(['a/1'])
  })

  test('a session that is away is looked at too', async () => {
    const t = scene()
    const client = await t.stay('c', { roles: ['a', 'b'] })
    await client.subscribe([
      ['a/#', { qos: 1 }],
      ['b/#', { qos: 1 }],
    ])
    client.drop()
    await t.settle()
    await t.send('a/1', 'b/1')
    await t.roles('c', ['a'], [])
    expect(t.dropped()).toEqual(['a/1 denied'])
    await t.send('a/2', 'b/2')
    expect(t.view('c').queuedMessages).toBe(2)
    // The new grant has its roles back, and its subscription with them.
    const back = await t.stay('c', { roles: ['a', 'b'] })
    await t.send('a/3')
    const topics = (await back.drain()).map((packet) => packet.type === 'publish' && packet.topic)
    expect(topics).toEqual(['b/1', 'b/2', 'a/3'])
  })

  test('session properties count where permissions speak of them', async () => {
    const t = scene({ roles: { room: { permissions: [{ topic: 'rooms/%p{room}/#', allow: 'subscribe' }] } } })
    const client = await t.join('c', { roles: ['room'], properties: { room: '1' } })
    await client.subscribe(['rooms/#'])
    await t.send('rooms/1/x', 'rooms/2/x')
    t.view('c').setProperties({ room: '2' })
    await t.send('rooms/1/y', 'rooms/2/y')
    expect(await received(client)).toEqual(['rooms/1/x', 'rooms/2/y'])
  })
})

describe('semantics 7.7: retained messages of topics that are gained', () => {
  test.each([
    { retainHandling: 0, came: ['b/1 R', 'b/2 R'] },
    { retainHandling: 1, came: ['b/1 R', 'b/2 R'] },
    { retainHandling: 2, came: [] },
  ])('a subscription that comes back, Retain Handling $retainHandling', async ({ retainHandling, came }) => {
    const t = scene()
    const client = await t.join('c', { roles: ['b'] })
    await client.subscribe([['b/#', { retainHandling }]])
    await t.roles('c', ['b'], ['a'])
    await t.retain('b/1', 'b/2', 'a/1')
    expect(await received(client)).toEqual([])
    await t.roles('c', ['a'], ['b'])
    expect((await received(client)).sort()).toEqual(came)
  })

  test('a filter that is granted in part: what is new, and not what was there before', async () => {
    const t = scene()
    await t.retain('a/1', 'a/secret', 'b/1')
    const client = await t.join('c', { roles: ['a', 'mute'] })
    await client.subscribe(['#'])
    expect(await received(client)).toEqual(['a/1 R'])
    await t.roles('c', [], ['b'])
    expect(await received(client)).toEqual(['b/1 R'])
    await t.roles('c', ['mute'], [])
    expect(await received(client)).toEqual(['a/secret R'])
    await t.roles('c', ['b'], [])
    expect(await received(client)).toEqual([])
  })

  test('a replay that is under way stops at what was taken meanwhile', async () => {
    const t = scene()
    for (let n = 0; n < 300; n += 1) await t.broker.publish({ topic: `a/${n}`, qos: 1, retain: true, payload: 'x' })
    const client = await t.join('c', { roles: ['a'] }, { properties: { receiveMaximum: 5 } })
    await client.subscribe([['a/#', { qos: 1 }]])
    await t.settle()
    await t.roles('c', ['a'], [])
    const first = (await client.drain()).flatMap((packet) => (packet.type === 'publish' ? [packet.packetId] : []))
    expect(first).toHaveLength(5)
    client.send(...first.map((packetId) => puback(packetId)))
    await t.settle()
    expect(await received(client)).toEqual([])
  })
})

describe('threat 80: a role is taken', () => {
  test('from the next message on nothing goes in or out', async () => {
    const t = scene()
    const client = await t.join('c', { roles: ['all'] })
    await client.subscribe(['a'])
    t.view('c').changeRoles({ remove: ['all'] })
    await t.broker.publish({ topic: 'a' })
    expect((await client.publish({ topic: 'a', qos: 1 }))?.reasonCode).toBe(0x87)
    expect(await received(client)).toEqual([])
  })

  test('what waits for its window is dropped, what was sent is acknowledged as ever', async () => {
    const t = scene()
    const client = await t.join('c', { roles: ['a', 'b'] }, { properties: { receiveMaximum: 1 } })
    await client.subscribe([
      ['a/#', { qos: 1 }],
      ['b/#', { qos: 1 }],
    ])
    await t.send('a/1', 'a/2', 'b/1', 'a/3')
    await t.roles('c', ['a'], [])
    expect(t.dropped()).toEqual(['a/2 denied', 'a/3 denied'])
    const { packetId } = await client.expectPacket('publish', { topic: 'a/1' })
    client.send(puback(packetId))
    await client.expectPacket('publish', { topic: 'b/1' })
    expect(await received(client)).toEqual([])
  })

  test('the permission that denies it is named', async () => {
    const t = scene()
    const client = await t.stay('c', { roles: ['a'] })
    await client.subscribe([['a/#', { qos: 1 }]])
    client.drop()
    await t.send('a/secret')
    await t.roles('c', [], ['mute'])
    const event = t.events.find(({ type }) => type === 'message.dropped')
    expect(event).toMatchObject({
      clientId: 'c',
      reason: 'denied',
      rule: { role: 'mute', index: 0, effect: 'deny', topic: 'a/secret' },
    })
  })

  test('a waiting message goes on at the QoS that is left', async () => {
    const t = scene()
    const client = await t.join('c', { roles: ['a', 'low'] }, { properties: { receiveMaximum: 1 } })
    await client.subscribe([['a/#', { qos: 2 }]])
    await t.send('a/1', 'a/2')
    await t.roles('c', ['a'], [])
    await client.expectPacket('publish', { topic: 'a/1', qos: 2 })
    await client.expectPacket('publish', { topic: 'a/2', qos: 0 })
  })

  test('a shared message that waits goes to a member that may have it', async () => {
    const t = scene()
    const first = await t.join('1', { roles: ['a'] }, { properties: { receiveMaximum: 1 } })
    await first.subscribe([['$share/g/a/#', { qos: 1 }]])
    await t.send('a/1', 'a/2')
    const second = await t.join('2', { roles: ['a'] })
    await second.subscribe([['$share/g/a/#', { qos: 1 }]])
    await t.roles('1', ['a'], [])
    await second.expectPacket('publish', { topic: 'a/2' })
    expect(t.dropped()).toEqual([])
  })
})

describe('threat 86: QoS 2 after a revocation', () => {
  const stay = { properties: { sessionExpiryInterval: 60, receiveMaximum: 2 } }

  test.each(['before', 'after'])(
    'a message without its PUBREC is not sent again, roles taken %s the client left',
    async (when) => {
      const t = scene()
      const client = await t.stay('c', { roles: ['a', 'b'] }, stay)
      await client.subscribe([
        ['a/#', { qos: 2 }],
        ['b/#', { qos: 2 }],
      ])
      await t.send('a/1', 'b/1')
      await client.expectPacket('publish', { topic: 'a/1' })
      if (when === 'before') await t.roles('c', ['a'], [])
      client.drop()
      await t.settle()
      if (when === 'after') await t.roles('c', ['a'], [])
      const back = await t.stay('c', { roles: ['b'] }, stay)
      await back.expectPacket('publish', { topic: 'b/1', dup: true })
      await back.expectNothing()
      expect(t.dropped()).toEqual(['a/1 denied'])
      expect(t.view('c').inflightMessages).toBe(1)
    },
  )

  test('one that has come to PUBREL finishes its handshake, without a payload', async () => {
    const t = scene()
    const client = await t.stay('c', { roles: ['a'] }, stay)
    await client.subscribe([['a/#', { qos: 2 }]])
    await t.send('a/1')
    const { packetId } = await client.expectPacket('publish', { topic: 'a/1' })
    client.send(pubrec(packetId))
    await client.expectPacket('pubrel', { packetId })
    client.drop()
    await t.roles('c', ['a'], [])
    const back = await t.stay('c', { roles: [] }, stay)
    await back.expectPacket('pubrel', { packetId })
    back.send(pubcomp(packetId))
    await back.expectNothing()
    expect(t.view('c').inflightMessages).toBe(0)
    expect(t.dropped()).toEqual([])
  })

  test('a client that comes back with fewer roles gets what these allow', async () => {
    const t = scene()
    const client = await t.stay('c', { roles: ['a', 'b'] }, stay)
    await client.subscribe([
      ['a/#', { qos: 2 }],
      ['b/#', { qos: 2 }],
    ])
    client.drop()
    await t.settle()
    await t.send('a/1', 'b/1', 'a/2')
    const back = await t.stay('c', { roles: ['b'] }, stay)
    await back.expectPacket('publish', { topic: 'b/1' })
    await back.expectNothing()
    expect(t.dropped()).toEqual(['a/1 denied', 'a/2 denied'])
  })
})

describe('semantics 7.16: the definitions of roles change', () => {
  test('every session goes by the new ones at once, and is told of by an event', async () => {
    const t = scene()
    const client = await t.join('c', { roles: ['a'] })
    await client.subscribe(['a/#'])
    const version = t.view('c').context.grant?.policyVersion ?? 0
    await t.broker.reload({ roles: { ...definitions, a: definitions['b']! } })
    await t.broker.publish({ topic: 'a/2' })
    expect((await client.publish({ topic: 'a/1', qos: 1 }))?.reasonCode).toBe(0x87)
    expect((await client.publish({ topic: 'b/1', qos: 1 }))?.reasonCode).toBe(0x10)
    expect(await received(client)).toEqual([])
    expect(t.events).toContainEqual(expect.objectContaining({ type: 'policy.changed', policyVersion: version + 1 }))
    await t.broker.reload({ roles: definitions })
    await t.send('a/3')
    expect(await received(client)).toEqual(['a/3'])
  })

  test('broken ones change nothing', async () => {
    const t = scene()
    const client = await t.join('c', { roles: ['a'] })
    await client.subscribe(['a/#'])
    const broken = { a: { permissions: [{ topic: 'a/#/b', allow: 'subscribe' as const }] } }
    expect(await codeOf(t.broker.reload({ roles: broken, allowAnonymous: true }))).toBe('SMQ_ROLES_INVALID')
    await t.send('a/1')
    expect(await received(client)).toEqual(['a/1'])
    expect(t.events.some(({ type }) => type === 'policy.changed')).toBe(false)
  })

  test('none, then some, then none', async () => {
    const t = startScene()
    const client = await t.join('c', { roles: ['a'] })
    await client.subscribe([['#', { qos: 1 }], 'b'])
    const step = async (expected: string[]): Promise<void> => {
      await t.broker.publish({ topic: 'a/1', qos: 1 })
      await t.broker.publish({ topic: 'b' })
      await t.settle()
      expect(await received(client)).toEqual(expected)
    }
    await step(['a/1', 'b'])
    await t.broker.reload({ roles: definitions })
    await step(['a/1'])
    await t.broker.reload({ roles: undefined })
    await step(['a/1', 'b'])
  })

  test('threat 84: also for messages between the change and the look at the session', async () => {
    const t = scene({ limits: { maxSubscriptionsPerSession: 20_000 } })
    const many = Array.from({ length: 20_000 }, (_, n) => `a/${n}`)
    // It is looked at first, and the turn is over when that is done.
    const first = await t.join('first', { roles: Object.keys(definitions) })
    await first.subscribe(many)
    const client = await t.join('c', { roles: ['a'] }, { properties: { receiveMaximum: 1 } })
    await client.subscribe([['a/#', { qos: 1 }]])
    await t.send('a/1', 'a/2')
    const one = await client.expectPacket('publish', { topic: 'a/1' })
    const reloaded = t.broker.reload({ roles: { ...definitions, a: {} } })
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
    expect(t.view('c').subscriptions).toEqual(['a/#'])
    await t.broker.publish({ topic: 'a/3' })
    client.send(puback(one.packetId))
    await client.expectNothing()
    await reloaded
    expect(t.view('c').subscriptions).toEqual([])
    expect(t.dropped()).toEqual(['a/2 denied'])
  })
})

describe('threat 83: retained messages of a client that was revoked', () => {
  const start = async (retainedOfRevoked: 'keep' | 'purge') => {
    const t = scene({ retainedOfRevoked })
    for (const clientId of ['bad', 'good']) {
      const client = await t.stay(clientId, { roles: ['all'] })
      client.send(publish({ topic: `a/${clientId}/1`, retain: true, payload: 'x' }))
      client.send(publish({ topic: `a/${clientId}/2`, retain: true, payload: 'x' }))
      await client.expectNothing()
    }
    await t.sessions.revoke({ clientId: 'bad' })
    await t.settle()
    const reader = await t.join('reader', { roles: ['all'] })
    await reader.subscribe(['a/#'])
    await t.settle()
    return (await received(reader)).sort()
  }

  test('stay', async () => {
    expect(await start('keep')).toEqual(['a/bad/1 R', 'a/bad/2 R', 'a/good/1 R', 'a/good/2 R'])
  })

  test('or are removed, where that is wanted', async () => {
    expect(await start('purge')).toEqual(['a/good/1 R', 'a/good/2 R'])
  })
})
