/** Sessions whose grants an embedder's own actor makes. */
import { expect, test } from 'vitest'
import { assign, fromPromise } from 'xstate'

import { sessionMachine, type AuthenticationOutcome, type SessionContext } from '../../machines/index.ts'
import type { BrokerOptions, Grant } from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect } from '../support/wire.ts'

/** A broker whose clients get a grant of an embedder's making, which says no more than who they are. */
function startOwn(options: BrokerOptions = {}) {
  const grant = { principal: 'ann', authenticator: 'own' } as Grant
  const machine = sessionMachine.provide({
    actors: {
      authenticate: fromPromise<AuthenticationOutcome, { sessionId: string }>(async () => ({ type: 'allowed', grant })),
    },
  })
  return startBroker({ machine, ...options })
}

test('a grant with what it needs only is filed, selected, changed and watched', async () => {
  const t = startOwn()
  await t.connect({ clientId: 'a' })
  const told: string[] = []
  t.broker.sessions.watch('all').subscribe(({ type }) => told.push(type))
  const select = (filter: string): string[] => t.broker.sessions.select(filter).map(({ clientId }) => clientId)
  expect([select(`$Principal is 'ann'`), select('has x'), select(`hasRoles ['r']`), select(`$Roles is ''`)]).toEqual([
    ['a'],
    [],
    [],
    ['a'],
  ])
  const view = t.broker.sessions.get('a')!
  expect(view.setProperties({ x: '1' }).outcome).toBe('done')
  expect(view.changeRoles({ add: ['r'] })).toMatchObject({ outcome: 'done', previous: [] })
  expect(view.setAttributes({ y: 1 }, { scope: 'session' }).outcome).toBe('done')
  await t.settle()
  expect([select('has x and @session.y is 1'), view.properties]).toEqual([['a'], { x: '1' }])
  expect(select(`hasRoles ['r']`)).toEqual(['a'])
  expect(told).toEqual(['initial', 'changed', 'changed', 'changed'])
})

test('and so do roles know that it has none, and no properties', async () => {
  const t = startOwn({
    roles: {
      own: {
        permissions: [
          { topic: 'of/%p{place}', deny: 'publish' },
          { topic: '#', allow: ['publish', 'subscribe'] },
        ],
      },
    },
  })
  const client = await t.connect({ clientId: 'a' })
  const answer = async (topic: string): Promise<number | undefined> =>
    (await client.publish({ topic, qos: 1 }))?.reasonCode
  expect(await answer('t')).toBe(0x87)
  await t.broker.sessions.changeRoles({ clientId: 'a' }, { add: ['own'] })
  expect([await answer('t'), await answer('of/here')]).toEqual([0x10, 0x87])
})

test.each([
  ['exceedsQuota', { guards: { exceedsQuota: () => true } }, 0x97],
  ['takesOverTooOften', { guards: { takesOverTooOften: () => true } }, 0x9f],
] as const)('a guard of the embedder’s is asked where nothing has to be waited for, too: %s', async (_, own, code) => {
  const t = startBroker({ machine: sessionMachine.provide(own) })
  const client = t.attach()
  client.send(connect({ clientId: 'a' }))
  await client.expectRefused(code)
})

test('and so is an action', async () => {
  const grant = { principal: 'ann', roles: ['r'], authenticator: 'own' } as unknown as Grant
  const keepGrant = assign<SessionContext, never, never, never, never>({ grant, standing: 'valid' })
  const t = startBroker({ machine: sessionMachine.provide({ actions: { keepGrant: keepGrant as never } }) })
  await t.connect({ clientId: 'a' })
  expect(t.broker.sessions.get('a')?.grant).toBe(grant)
})
