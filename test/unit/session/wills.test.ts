/** What decides on a will, and when. */
import { describe, expect, test } from 'vitest'

import { allow, next, type Authenticator, type Hooks, type Next } from '../../../src/hooks.ts'
import { startBroker } from '../../support/test-broker.ts'
import { auth, connect } from '../../support/wire.ts'

describe('a will to a topic that only the broker publishes to', () => {
  test.each([
    ['without hooks', {}],
    ['with a hook that lets it pass', { onPublish: () => next() }],
  ])('is refused at CONNECT, %s', async (_, hooks) => {
    const t = startBroker({ hooks })
    const client = t.attach()
    client.send(connect({ will: { topic: '$SYS/broker/version', payload: 'x' } }))
    await client.expectRefused(0x87)
    expect(t.broker.sessions.size).toBe(0)
  })
})

test('a hook that gives no verdict lets no will pass: neither at CONNECT nor when it is due', async () => {
  let verdict: unknown = next()
  const hooks = { onPublish: () => verdict } as unknown as Hooks
  const t = startBroker({ hooks })
  const seen: string[] = []
  t.broker.messages('#').subscribe(({ topic }) => seen.push(topic))
  const client = await t.connect({ will: { topic: 'w' } })
  verdict = { type: 'maybe' }
  await t.first(connect({ will: { topic: 'w' } })).expectRefused(0x87)
  client.drop()
  await t.settle()
  expect(seen).toEqual([])
})

test('semantics 7.2: after a re-authentication the will speaks for who the session is now', async () => {
  const authenticator: Authenticator = {
    name: 'roles',
    methods: ['m'],
    authenticate: ({ reauthentication }) => allow({ roles: [reauthentication ? 'second' : 'first'] }),
  }
  const asked: (readonly string[])[] = []
  const hooks: Hooks = {
    onPublish: ({ will }, { grant }): Next => {
      if (will) asked.push(grant.roles)
      return next()
    },
  }
  const t = startBroker({ authenticators: [authenticator], hooks })
  const client = await t.connect({ will: { topic: 'w' }, properties: { authenticationMethod: 'm' } })
  client.send(auth(0x19, { authenticationMethod: 'm' }))
  await client.expectPacket('auth', { reasonCode: 0 })
  client.drop()
  await t.settle()
  expect(asked).toEqual([['first'], ['second']])
})
