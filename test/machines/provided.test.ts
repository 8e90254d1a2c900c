/** Machines with implementations of an embedder's own, in a broker. */
import { describe, expect, test } from 'vitest'
import { fromPromise } from 'xstate'

import { sessionMachine, type AuthenticationOutcome } from '../../machines/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect } from '../support/wire.ts'

describe('where nothing would have to be waited for', () => {
  test('an authenticate actor of its own is asked all the same', async () => {
    const asked: string[] = []
    const machine = sessionMachine.provide({
      actors: {
        authenticate: fromPromise<AuthenticationOutcome, { sessionId: string }>(async ({ input }) => {
          asked.push(input.sessionId)
          return { type: 'denied', reasonCode: 0x86, reason: 'no' }
        }),
      },
    })
    const t = startBroker({ machine })
    await t.first(connect({ clientId: 'c' })).expectRefused(0x86)
    expect(asked).toHaveLength(1)
  })

  test('a guard that takes the long way changes nothing for the client', async () => {
    const machine = sessionMachine.provide({ guards: { isAdmittedAtOnce: () => false } })
    const t = startBroker({
      machine,
      authenticators: [{ name: 'a', authenticate: () => ({ type: 'allow', principal: 'p', roles: ['r'] }) }],
    })
    await t.connect({ clientId: 'c' })
    expect(t.broker.sessions.get('c')?.context.grant).toMatchObject({
      principal: 'p',
      roles: ['r'],
      authenticator: 'a',
    })
  })
})

test('the sessions of a broker are in one actor system: who inspects one of them sees all', async () => {
  const t = startBroker()
  await t.connect({ clientId: 'a' })
  const inspected: string[] = []
  const { actorRef } = t.broker.sessions.get('a')!
  actorRef.system.inspect((event) => {
    if (event.type === '@xstate.snapshot' && 'context' in event.snapshot) inspected.push(event.actorRef.sessionId)
  })
  await t.connect({ clientId: 'b' })
  expect(inspected).toContain(t.broker.sessions.get('b')?.actorRef.sessionId)
  expect(inspected).not.toContain(actorRef.sessionId)
})
