/** Roles and wills: semantics 7.2, threat 81. What authenticators and standing do to a will is tested elsewhere. */
import { describe, expect, test } from 'vitest'

import type { BrokerEvent, BrokerOptions, RoleDefinitions } from '../../src/index.ts'
import { connect, type ConnectInput } from '../support/wire.ts'
import { startScene } from './sessions-scene.ts'

const definitions: RoleDefinitions = {
  a: {
    permissions: [
      { topic: 'a/#', allow: 'publish' },
      { topic: 'a/secret', deny: 'publish' },
    ],
  },
  live: { permissions: [{ topic: 'b', allow: 'publish', qos: [0], retain: false }] },
  reader: { permissions: [{ topic: '#', allow: 'subscribe' }] },
}

async function scene(options: BrokerOptions = {}) {
  const t = startScene({ roles: definitions, ...options })
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => events.push(event))
  const reader = await t.join('reader', { roles: ['reader'] })
  await reader.subscribe(['#'])
  const withheld = () => events.flatMap((event) => (event.type === 'will.withheld' ? [event] : []))
  return { ...t, events, reader, withheld }
}

const will = (topic: string, more: Partial<NonNullable<ConnectInput['will']>> = {}): ConnectInput => ({
  will: { topic, payload: 'gone', ...more },
})

describe('semantics 7.2: the will is authorised at CONNECT', () => {
  test.each([
    [will('b')],
    [will('a/secret')],
    [will('b', { qos: 1 })],
    [will('b', { retain: true })],
    [{ ...will('b'), version: 4 as const }],
  ])('threat 81: %j is refused with 0x87, and nothing has happened', async (input) => {
    const t = await scene()
    const roles = input.will?.qos || input.will?.retain ? ['a', 'live'] : ['a']
    const incumbent = await t.stay('c', { roles })
    const refused = t.attach(input.version ? { version: input.version } : {})
    const password = JSON.stringify({ roles })
    refused.send(connect({ clientId: 'c', cleanStart: true, username: 'c', password, ...input }))
    if (input.version === 4) {
      await refused.expectPacket('connack', { reasonCode: 5, sessionPresent: false })
      await refused.expectClosed()
    } else await refused.expectRefused(0x87)
    await incumbent.expectNothing()
    expect(t.view('c').state).toBe('online')
    expect(t.events.filter(({ type }) => type === 'will.armed')).toEqual([])
  })

  test.each([will('a/1'), will('a/1', { qos: 2, retain: true }), { ...will('a/1'), version: 4 as const }])(
    '%j is accepted and sent',
    async (input) => {
      const t = await scene()
      const client = await t.join('c', { roles: ['a'] }, input)
      client.drop()
      await t.reader.expectPublish({ topic: 'a/1', payload: 'gone' })
    },
  )

  test('what a hook puts in its place is checked', async () => {
    const t = await scene({ hooks: { onPublish: () => ({ type: 'allow', topic: 'elsewhere' }) } })
    const refused = t.attach()
    const password = JSON.stringify({ roles: ['a'] })
    refused.send(connect({ clientId: 'c', username: 'c', password, ...will('a/1') }))
    await refused.expectRefused(0x87)
  })
})

describe('semantics 7.2: and when it is sent', () => {
  test('threat 81: by the roles of that moment', async () => {
    const t = await scene()
    const client = await t.join('c', { roles: ['a'] }, will('a/1'))
    t.view('c').changeRoles({ remove: ['a'] })
    client.drop()
    await t.settle()
    await t.reader.expectNothing()
    expect(t.withheld()).toMatchObject([{ clientId: 'c', topic: 'a/1', reason: 'not authorized' }])
    expect(t.withheld()[0]).not.toHaveProperty('rule')
  })

  test('roles that come back in time give it back', async () => {
    const t = await scene()
    const client = await t.join('c', { roles: ['a'] }, will('a/1'))
    t.view('c').changeRoles({ remove: ['a'] })
    t.view('c').changeRoles({ add: ['a'] })
    client.drop()
    await t.reader.expectPublish({ topic: 'a/1', payload: 'gone' })
    expect(t.withheld()).toEqual([])
  })

  test('by the definitions of that moment, while the session is away too; the permission is named', async () => {
    const t = await scene()
    const input = { ...will('a/1', { properties: { willDelayInterval: 10 } }) }
    const client = await t.stay('c', { roles: ['a'] }, { ...input, properties: { sessionExpiryInterval: 60 } })
    client.drop()
    await t.settle()
    const a = { permissions: [...definitions['a']!.permissions!, { topic: 'a/+', deny: 'publish' as const }] }
    await t.broker.reload({ roles: { ...definitions, a } })
    await t.advance(10_000)
    await t.reader.expectNothing()
    const rule = { role: 'a', index: 2, effect: 'deny', topic: 'a/+' }
    expect(t.withheld()).toMatchObject([{ clientId: 'c', topic: 'a/1', reason: 'not authorized', rule }])
  })

  test('not before a hook has decided, and again after it', async () => {
    let asked = 0
    let decide = (): void => {}
    const t = await scene({
      hooks: {
        onPublish: ({ will: isWill }) => {
          if (!isWill || ++asked === 1) return { type: 'next' }
          return new Promise((resolve) => (decide = () => resolve({ type: 'next' })))
        },
      },
    })
    const input = { ...will('a/1'), properties: { sessionExpiryInterval: 60 } }
    const client = await t.stay('c', { roles: ['a'] }, input)
    client.drop()
    await t.settle()
    expect(asked).toBe(2)
    t.view('c').changeRoles({ remove: ['a'] })
    decide()
    await t.settle()
    await t.reader.expectNothing()
    expect(t.withheld()).toHaveLength(1)
  })
})

describe('semantics 7.2: the will of a grant that has ended', () => {
  const soon = (t: Awaited<ReturnType<typeof scene>>) => ({ roles: ['a'], expiresAtMs: t.clock.nowMs() + 5_000 })
  const delayed = {
    ...will('a/1', { properties: { willDelayInterval: 10 } }),
    properties: { sessionExpiryInterval: 60 },
  }

  test('is sent', async () => {
    const t = await scene()
    const client = await t.stay('c', soon(t), delayed)
    client.drop()
    await t.advance(10_000)
    await t.reader.expectPublish({ topic: 'a/1', payload: 'gone' })
  })

  test('or not, where only unexpired grants count', async () => {
    const t = await scene({ willPolicy: 'unexpired-grant' })
    const client = await t.stay('c', soon(t), delayed)
    client.drop()
    await t.advance(10_000)
    await t.reader.expectNothing()
    expect(t.withheld()).toMatchObject([{ clientId: 'c', topic: 'a/1', reason: 'the grant has ended' }])
  })

  test('which it does while its grace lasts', async () => {
    const t = await scene({ willPolicy: 'unexpired-grant', limits: { grantGraceMs: 6_000 } })
    const client = await t.stay('c', soon(t), delayed)
    client.drop()
    await t.advance(10_000)
    await t.reader.expectPublish({ topic: 'a/1', payload: 'gone' })
  })

  test('also when the end of the grant ends the connection', async () => {
    const t = await scene({ willPolicy: 'unexpired-grant' })
    const client = await t.join('c', soon(t), will('a/1'))
    await t.advance(5_000)
    await client.expectDisconnect(0x87)
    await t.settle()
    await t.reader.expectNothing()
    expect(t.withheld()).toHaveLength(1)
  })
})
