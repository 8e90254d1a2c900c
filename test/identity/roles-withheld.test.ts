/** What becomes of subscriptions that roles have taken away: asked for again, given back, told of. */
import { expect, test } from 'vitest'

import { next, type Hooks, type RoleDefinitions } from '../../src/index.ts'
import { subackCodes } from './roles-scene.ts'
import { startScene } from './sessions-scene.ts'

const roles: RoleDefinitions = { a: { permissions: [{ topic: 'a/#', allow: ['publish', 'subscribe'] }] } }

test.each([
  ['without a hook', {}],
  ['with a hook', { onSubscribe: () => next() }],
  ['with a hook that takes its time', { onSubscribe: async () => next() }],
] satisfies [string, Hooks][])(
  'one that is refused when it is asked for again does not come back: %s',
  async (_, hooks) => {
    const t = startScene({ roles, hooks })
    const client = await t.join('c', { roles: ['a'] })
    await client.subscribe(['a/#'])
    await t.broker.sessions.changeRoles({ clientId: 'c' }, { remove: ['a'] })
    expect(await subackCodes(client, 'a/#')).toEqual([0x87])
    await t.broker.sessions.changeRoles({ clientId: 'c' }, { add: ['a'] })
    await t.settle()
    expect(t.view('c').subscriptions).toEqual([])
  },
)

test('plugins hear of one that goes and of one that comes back', async () => {
  const told: string[] = []
  const t = startScene({
    roles,
    hooks: {
      onSubscribed: ({ filter }) => void told.push(`+${filter}`),
      onUnsubscribed: ({ filter }) => void told.push(`-${filter}`),
    },
  })
  const client = await t.join('c', { roles: ['a'] })
  await client.subscribe(['a/#'])
  await t.broker.sessions.changeRoles({ clientId: 'c' }, { remove: ['a'] })
  await t.broker.sessions.changeRoles({ clientId: 'c' }, { add: ['a'] })
  await t.settle()
  expect(told).toEqual(['+a/#', '-a/#', '+a/#'])
})

test('an unacknowledged QoS 1 message of a shared subscription goes to a member that may have it', async () => {
  const t = startScene({ roles })
  const stays = { cleanStart: false, properties: { sessionExpiryInterval: 60 } }
  const first = await t.join('one', { roles: ['a'] }, stays)
  await first.subscribe([['$share/g/a/#', { qos: 1 }]])
  await t.broker.publish({ topic: 'a/1', payload: 'x', qos: 1 })
  await first.expectPublish({ topic: 'a/1', payload: 'x', qos: 1 })
  first.drop()
  await t.settle()
  const second = await t.join('two', { roles: ['a'] })
  await second.subscribe([['$share/g/a/#', { qos: 1 }]])
  await t.broker.sessions.changeRoles({ clientId: 'one' }, { remove: ['a'] })
  await second.expectPublish({ topic: 'a/1', payload: 'x', qos: 1 })
})

test('what was subscribed outlasts a change of roles while the grant gives no right', async () => {
  const t = startScene({ roles })
  const stays = { cleanStart: false, properties: { sessionExpiryInterval: 60 } }
  const client = await t.join('c', { roles: ['a'] }, stays)
  await client.subscribe(['a/#'])
  await t.broker.sessions.revoke({ clientId: 'c' })
  await t.broker.reload({ roles: { a: { permissions: [{ topic: 'a/+', allow: ['publish', 'subscribe'] }] } } })
  expect(t.view('c').subscriptions).toEqual(['a/#'])
  const back = await t.join('c', { roles: ['a'] }, stays)
  await t.broker.publish({ topic: 'a/1', payload: 'x' })
  await back.expectPublish({ topic: 'a/1', payload: 'x' })
})
