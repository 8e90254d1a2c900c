/** Sessions whose grants an embedder's own actor makes. */
import { expect, test } from 'vitest'
import { fromPromise } from 'xstate'

import { sessionMachine, type AuthenticationOutcome } from '../../machines/index.ts'
import type { Grant } from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'

test('a grant with what it needs only is filed, selected, changed and watched', async () => {
  const grant = { principal: 'ann', authenticator: 'own' } as Grant
  const machine = sessionMachine.provide({
    actors: {
      authenticate: fromPromise<AuthenticationOutcome, { sessionId: string }>(async () => ({ type: 'allowed', grant })),
    },
  })
  const t = startBroker({ machine })
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
  expect(view.setAttributes({ y: 1 }, { scope: 'session' }).outcome).toBe('done')
  await t.settle()
  expect([select('has x and @session.y is 1'), view.properties]).toEqual([['a'], { x: '1' }])
  expect(told).toEqual(['initial', 'changed', 'changed'])
})
