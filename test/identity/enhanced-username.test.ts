/** The User Name that a CONNECT brings along beside an authentication method, in the engine itself. */
import { describe, expect, test } from 'vitest'

import { allow, challenge, type Allow, type Authenticator, type BrokerOptions } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { startBroker } from '../support/test-broker.ts'
import { auth, connect } from '../support/wire.ts'

const method = { authenticationMethod: 'BADGE' } as const

/** Whoever answers is let in, as the verdict says. */
const badge = (verdict: Omit<Allow, 'type'>, fields: Partial<Authenticator> = {}): Authenticator => ({
  name: 'badge',
  methods: ['BADGE'],
  authenticate: ({ round }) => (round === 0 ? challenge() : allow(verdict)),
  ...fields,
})

function start(authenticator: Authenticator, options: BrokerOptions = {}) {
  const t = startBroker({ authenticators: [authenticator], ...options })
  const refusals: string[] = []
  t.broker.events$.subscribe((event) => {
    if (event.type === 'session.refused') refusals.push(event.reason)
  })
  const begin = async (username: string | undefined): Promise<RawClient> => {
    const client = t.first(
      connect({ clientId: 'a', properties: method, ...(username === undefined ? {} : { username }) }),
    )
    await client.expectPacket('auth', { reasonCode: 0x18 })
    client.send(auth(0x18, method))
    return client
  }
  const enter = async (username: string | undefined): Promise<string | undefined> => {
    await (await begin(username)).expectPacket('connack', { reasonCode: 0 })
    return t.broker.sessions.get('a')!.context.grant!.principal
  }
  return { ...t, refusals, begin, enter }
}

describe('semantics 7.9: enhanced authentication names the identity', () => {
  test.each([undefined, 'anna'])('user name %s: the principal is that of the verdict', async (username) => {
    expect(await start(badge({ principal: 'anna' })).enter(username)).toBe('anna')
  })

  test.each(['bob', 'Anna', ''])(
    'another user name, %j, is refused with 0x87, and nothing has happened',
    async (name) => {
      const t = start(badge({ principal: 'anna' }))
      await (await t.begin(name)).expectRefused(0x87)
      await t.settle()
      expect(t.broker.sessions.get('a')).toBeUndefined()
      expect(t.refusals).toEqual(['the user name is not the principal'])
    },
  )

  test('an answer that comes later is judged the same', async () => {
    const authenticator = badge({}, { authenticate: () => Promise.resolve(allow({ principal: 'anna' })) })
    const t = startBroker({ authenticators: [authenticator] })
    const bob = t.first(connect({ clientId: 'a', username: 'bob', properties: method }))
    await bob.expectRefused(0x87)
    const anna = t.first(connect({ clientId: 'a', username: 'anna', properties: method }))
    await anna.expectPacket('connack', { reasonCode: 0 })
  })

  test('where it is so configured, another user name is of no account, and a reload takes it back', async () => {
    const t = start(badge({ principal: 'anna' }), { enhancedUsername: 'any' })
    expect(await t.enter('bob')).toBe('anna')
    await t.broker.reload({ enhancedUsername: undefined })
    await (await t.begin('bob')).expectRefused(0x87)
  })

  test('an authenticator that compares the names itself is believed', async () => {
    expect(await start(badge({ principal: 'anna' }, { comparesUsername: true })).enter('bob')).toBe('anna')
  })

  test.each([
    ['a user name', 'bob'],
    ['none', undefined],
    ['one too long for a principal', 'b'.repeat(5_000)],
  ])('a verdict without a principal makes nobody of a client with %s', async (_, username) => {
    expect(await start(badge({})).enter(username)).toBeUndefined()
  })

  test('nobody of a method does not take over what the user name owns', async () => {
    const passwords: Authenticator = { name: 'passwords', authenticate: () => allow() }
    const t = startBroker({ authenticators: [badge({}), passwords] })
    const bob = await t.connect({ clientId: 'a', username: 'bob' })
    const other = t.first(connect({ clientId: 'a', username: 'bob', properties: method }))
    await other.expectPacket('auth', { reasonCode: 0x18 })
    other.send(auth(0x18, method))
    await other.expectRefused(0x87)
    await bob.expectNothing()
    expect(t.broker.sessions.get('a')!.context.grant!.principal).toBe('bob')
  })

  test('without a method the user name that was accepted is the principal, as ever', async () => {
    const t = startBroker({ authenticators: [{ name: 'passwords', authenticate: () => allow() }] })
    await t.connect({ clientId: 'a', username: 'bob' })
    await t.connect({ version: 4, clientId: 'b', username: 'bob' })
    expect(['a', 'b'].map((id) => t.broker.sessions.get(id)!.context.grant!.principal)).toEqual(['bob', 'bob'])
  })
})
