/** One session from all sides: what it asked for and got, what is under way and waits, its will, its deadlines. */
import { describe, expect, test } from 'vitest'

import type { SessionDetail } from '../../src/inspection.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { publish, pubrec } from '../support/wire.ts'
import { startScene, stores, type Scene } from './inspection-scene.ts'

async function detail(t: Scene, clientId: string): Promise<SessionDetail> {
  const found = await t.inspection.session(clientId)
  if (!found) throw new Error(`no session ${clientId}`)
  // It crosses HTTP, and nothing is lost by it but what is not there.
  expect(JSON.parse(JSON.stringify(found))).toEqual(found)
  return found
}

const roles = {
  reader: {
    permissions: [
      { allow: 'subscribe', topic: 'news/#', qos: [0, 1] },
      { deny: 'subscribe', topic: 'news/secret' },
    ],
  },
  writer: { permissions: [{ allow: ['publish', 'subscribe'], topic: '#' }] },
} as const

describe('one session', () => {
  test('who it is: grant, properties with who gave them, attributes, and no secret', async () => {
    const t = await startScene('none', { limits: { maxInflightMessages: 20 } })
    await t.join(
      'ada',
      { principal: 'zoe', roles: ['reader'], properties: { team: 'red', $Country: 'UK' } },
      { properties: { sessionExpiryInterval: 60 }, keepAlive: 10 },
    )
    t.broker.sessions.get('ada')!.setProperties({ team: 'blue', desk: '7' })
    t.broker.sessions.get('ada')!.setAttributes({ level: 3 }, { scope: 'session' })
    const found = await detail(t, 'ada')
    expect(found).toMatchObject({
      clientId: 'ada',
      state: 'online',
      active: ['online.authority.valid', 'online.reauthentication.idle', 'online.delivery.flowing'],
      standing: 'valid',
      connect: { cleanStart: true, keepAliveSeconds: 10, authenticationMethod: null, userProperties: [] },
      maxInflightMessages: 20,
      sessionExpiryIntervalSeconds: 60,
      epoch: 1,
      resumed: false,
      isPersistent: true,
      attributes: { session: { level: 3 }, connection: {} },
      subscriptionList: [],
      inflight: [],
      queue: { messages: 0, bytes: 0, oldestAtMs: null, first: [] },
      will: null,
    })
    expect(found.properties).toEqual(
      expect.arrayContaining([
        { name: 'team', value: 'blue', source: 'server' },
        { name: 'desk', value: '7', source: 'server' },
        { name: '$Country', value: 'UK', source: 'authenticator' },
        { name: '$ClientId', value: 'ada', source: 'fixed' },
      ]),
    )
    expect(JSON.stringify(found)).not.toContain('"properties":{"team":"red"}')
  })

  test('nobody lives under an unknown identifier', async () => {
    const t = await startScene()
    expect(await t.inspection.session('__proto__')).toBeUndefined()
  })

  test('subscriptions: what was asked for, what was granted, and why it is less', async () => {
    const t = await startScene('none', {
      roles,
      hooks: {
        onSubscribe: ({ filter }) => (filter === 'mine' ? { type: 'allow', filter: 'news/mine' } : { type: 'next' }),
      },
    })
    const client = await t.join('ada', { roles: ['reader', 'writer'] })
    await client.subscribe([
      ['news/today', { qos: 2, noLocal: true }],
      ['$share/g/other/#', { qos: 1 }],
      ['mine', { qos: 0, retainHandling: 2 }],
    ])
    t.broker.sessions.get('ada')!.changeRoles({ remove: ['writer'] })
    await client.subscribe([['news/#', { qos: 1 }]])
    const { subscriptionList } = await detail(t, 'ada')
    const plain = {
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      subscriptionIdentifier: null,
      share: null,
      replacedBy: null,
    }
    expect(subscriptionList).toEqual([
      {
        ...plain,
        filter: 'news/today',
        requestedQoS: 2,
        grantedQoS: 1,
        noLocal: true,
        withheld: 'QoS 1 at most: role "reader", permissions[0] allows "news/#"',
      },
      {
        ...plain,
        filter: 'mine',
        requestedQoS: 0,
        grantedQoS: 0,
        retainHandling: 2,
        replacedBy: 'news/mine',
        withheld: null,
      },
      {
        ...plain,
        filter: 'news/#',
        requestedQoS: 1,
        grantedQoS: 1,
        withheld:
          'each message is checked: role "reader", permissions[1] denies "news/secret", which is about a part of what the filter matches',
      },
      {
        ...plain,
        filter: '$share/g/other/#',
        requestedQoS: 1,
        grantedQoS: null,
        share: 'g',
        withheld: 'no permission allows it',
      },
    ])
  })

  test('what is under way both ways, and since when', async () => {
    const t = await startScene()
    const client = await t.stay('ada')
    await client.subscribe([['q', { qos: 2 }]])
    const publisher = await t.join('bob')
    await publisher.publish({ topic: 'q', payload: 'one', qos: 2, packetId: 1 })
    await t.advance(3_000)
    await publisher.publish({ topic: 'q', payload: 'two', qos: 1, packetId: 2 })
    const first = await client.expectPacket('publish')
    client.send(pubrec(first.packetId))
    client.send(publish({ topic: 'up', qos: 2, packetId: 77 }))
    await t.settle()
    expect((await detail(t, 'ada')).inflight).toEqual([
      {
        direction: 'to-client',
        packetId: first.packetId,
        topic: null,
        qos: 2,
        step: 'awaiting-pubcomp',
        sinceMs: simulatedEpochMs,
      },
      {
        direction: 'to-client',
        packetId: first.packetId + 1,
        topic: 'q',
        qos: 1,
        step: 'awaiting-puback',
        sinceMs: simulatedEpochMs + 3_000,
      },
      { direction: 'from-client', packetId: 77, topic: null, qos: 2, step: 'awaiting-pubrel', sinceMs: null },
    ])
  })

  test('what is sent again is under way since then', async () => {
    const t = await startScene()
    const client = await t.stay('ada')
    await client.subscribe([['q', { qos: 1 }]])
    await t.broker.publish({ topic: 'q', payload: 'one', qos: 1 })
    await t.lose(client)
    await t.advance(9_000)
    await t.stay('ada')
    await t.settle()
    expect((await detail(t, 'ada')).inflight).toMatchObject([{ topic: 'q', sinceMs: simulatedEpochMs + 9_000 }])
  })
})

describe.each(stores)('what waits, with the store %s', (kind) => {
  test('how much, since when, and the first of it', async () => {
    const t = await startScene(kind)
    const client = await t.stay('ada')
    await client.subscribe([['q/#', { qos: 1 }]])
    await t.lose(client)
    await t.broker.publish({
      topic: 'q/first',
      payload: 'hello',
      qos: 1,
      properties: { messageExpiryIntervalSeconds: 30 },
    })
    await t.advance(4_000)
    for (let number = 0; number < 30; number++) await t.broker.publish({ topic: `q/${number}`, payload: 'x', qos: 1 })
    const { queue } = await detail(t, 'ada')
    expect(queue.messages).toBe(31)
    expect(queue.oldestAtMs).toBe(simulatedEpochMs)
    expect(queue.first).toHaveLength(20)
    expect(queue.first.slice(0, 2)).toEqual([
      {
        topic: 'q/first',
        qos: 1,
        payloadBytes: 5,
        sinceMs: simulatedEpochMs,
        expiresAtMs: simulatedEpochMs + 30_000,
      },
      { topic: 'q/0', qos: 1, payloadBytes: 1, sinceMs: simulatedEpochMs + 4_000, expiresAtMs: null },
    ])
    // Looking has taken nothing away.
    const back = await t.stay('ada')
    const got = (await back.drain()).flatMap((packet) => (packet.type === 'publish' ? packet.topic : []))
    expect(got.slice(0, 2)).toEqual(['q/first', 'q/0'])
  })
})

test('ages outlive the process: messages of the line, and retained ones', async () => {
  const before = await startScene('lmdb')
  const client = await before.stay('ada')
  await client.subscribe([['q', { qos: 1 }]])
  await before.lose(client)
  await before.advance(5_000)
  await before.broker.publish({ topic: 'q', payload: 'x', qos: 1, retain: true })
  await before.close()
  const after = await startScene('lmdb', {}, before.directory)
  expect((await detail(after, 'ada')).queue).toMatchObject({ messages: 1, oldestAtMs: simulatedEpochMs + 5_000 })
  expect(after.inspection.retainedMessage('q')).toMatchObject({ atMs: simulatedEpochMs + 5_000 })
})

describe('the will', () => {
  const will = { topic: 'gone', payload: 'farewell', qos: 1, properties: { willDelayInterval: 30 } } as const
  const plain = { topic: 'gone', qos: 1, retain: false, delaySeconds: 30, payloadBytes: 8 }

  test('armed, then delayed until its time; and what would happen if it fired now', async () => {
    const t = await startScene('none', { roles })
    const client = await t.stay('ada', { roles: ['writer'] }, { will })
    const publishes = {
      verdict: 'publish',
      reason: 'role "writer", permissions[0] allows "#"',
      rule: { role: 'writer', index: 0, effect: 'allow', topic: '#' },
    }
    expect((await detail(t, 'ada')).will).toEqual({ ...plain, state: 'armed', dueAtMs: null, ifFiredNow: publishes })
    await t.advance(1_000)
    await t.lose(client)
    const offline = await detail(t, 'ada')
    expect(offline.will).toEqual({
      ...plain,
      state: 'delayed',
      dueAtMs: simulatedEpochMs + 31_000,
      ifFiredNow: publishes,
    })
    expect(offline.deadlines).toEqual([
      { name: 'will is published', atMs: simulatedEpochMs + 31_000 },
      { name: 'session ends', atMs: simulatedEpochMs + 61_000 },
    ])
    t.broker.sessions.get('ada')!.changeRoles({ remove: ['writer'] })
    expect((await detail(t, 'ada')).will?.ifFiredNow).toEqual({
      verdict: 'withhold',
      reason: 'no permission allows it',
      rule: null,
    })
  })

  test('what is foreseen is what happens', async () => {
    const t = await startScene('none', { willPolicy: 'unexpired-grant' })
    const client = await t.stay('ada', { expiresAtMs: simulatedEpochMs + 10_000 }, { will })
    await t.lose(client)
    expect((await detail(t, 'ada')).will?.ifFiredNow).toEqual({
      verdict: 'publish',
      reason: 'no roles are configured',
      rule: null,
    })
    await t.advance(12_000)
    const foreseen = (await detail(t, 'ada')).will?.ifFiredNow
    expect(foreseen).toEqual({ verdict: 'withhold', reason: 'the grant has ended', rule: null })
    await t.advance(20_000)
    expect(t.events.filter(({ type }) => type === 'will.withheld')).toMatchObject([{ reason: 'the grant has ended' }])
  })

  test('a hook is not asked, and said to be there', async () => {
    let asked = 0
    const t = await startScene('none', {
      hooks: {
        onPublish: () => {
          asked++
          return { type: 'next' }
        },
      },
    })
    await t.stay('ada', {}, { will })
    const askedBefore = asked
    expect((await detail(t, 'ada')).will?.ifFiredNow.reason).toBe(
      'no roles are configured; the onPublish hook will be asked too',
    )
    expect(asked).toBe(askedBefore)
  })
})

test('deadlines of a grant and of a connection are told', async () => {
  const t = await startScene('none', { limits: { maxConnectionSeconds: 500 } })
  await t.join('ada', { expiresAtMs: simulatedEpochMs + 100_000 })
  expect((await detail(t, 'ada')).deadlines).toEqual([
    { name: 'grant is looked at', atMs: simulatedEpochMs + 40_000 },
    { name: 'grant ends', atMs: simulatedEpochMs + 100_000 },
    { name: 'connection ends', atMs: simulatedEpochMs + 500_000 },
  ])
})
