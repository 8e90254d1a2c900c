/** `broker.explain`: semantics 7.19. */
import { describe, expect, test } from 'vitest'

import { allow, deny, ReasonCode, type Authenticator, type BrokerOptions } from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect as connectPacket } from '../support/wire.ts'

const people: Authenticator = {
  name: 'people',
  authenticate: ({ username }) =>
    username === 'mallory'
      ? deny(ReasonCode.Banned, 'not here any more')
      : allow({ principal: username ?? '', roles: ['reader'] }),
}

const options: BrokerOptions = {
  authenticators: [people],
  roles: {
    reader: {
      permissions: [
        { allow: 'subscribe', topic: 'news/#' },
        { deny: 'subscribe', topic: 'news/secret' },
        { allow: 'publish', topic: 'ask/%c', qos: [0, 1] },
      ],
    },
  },
}

describe('semantics 7.19: explain', () => {
  test('tells the deciding rule, the grant and the state, and changes with them', async () => {
    const { broker, connect, settle } = startBroker(options)
    const client = await connect({ clientId: 'c', username: 'alice', properties: { sessionExpiryInterval: 60 } })
    const ask = (action: 'publish' | 'subscribe' | 'deliver', topic: string, qos: 0 | 1 | 2 = 0) =>
      broker.explain({ clientId: 'c', action, topic, qos })
    expect(ask('publish', 'ask/c', 1)).toMatchObject({
      verdict: 'allow',
      state: 'online',
      standing: 'valid',
      grant: { principal: 'alice', roles: ['reader'], authenticator: 'people' },
      rule: { role: 'reader', index: 2, effect: 'allow' },
      roles: ['reader'],
      refusal: undefined,
    })
    expect(ask('publish', 'ask/c', 2)).toMatchObject({ verdict: 'deny', rule: undefined })
    expect(ask('publish', 'ask/d')).toMatchObject({ verdict: 'deny', rule: undefined })
    expect(ask('deliver', 'news/secret')).toMatchObject({
      verdict: 'deny',
      rule: { role: 'reader', index: 1, effect: 'deny' },
    })
    expect(ask('subscribe', 'news/#')).toMatchObject({ verdict: 'filter' })
    // It tells what happens.
    expect((await client.publish({ topic: 'ask/d', qos: 1 }))?.reasonCode).toBe(0x87)
    await broker.sessions.changeRoles({ clientId: 'c' }, { remove: ['reader'] })
    client.drop()
    await settle()
    expect(ask('publish', 'ask/c')).toMatchObject({ verdict: 'deny', state: 'offline', grant: { roles: [] } })
  })

  test('tells of a refusal which transition it was', async () => {
    const { broker, attach, connect, settle } = startBroker(options)
    const refused = attach()
    refused.send(connectPacket({ clientId: 'm', username: 'mallory' }))
    await refused.expectRefused(ReasonCode.Banned)
    await settle()
    expect(broker.explain({ clientId: 'm', action: 'connect' })).toMatchObject({
      verdict: 'deny',
      state: undefined,
      grant: undefined,
      reason: 'no session lives; the last CONNECT was refused: not here any more',
      refusal: { from: 'authenticating', reasonCode: 0x8a, reason: 'not here any more' },
    })
    expect(broker.explain({ clientId: 'm', action: 'publish', topic: 'ask/m' }).verdict).toBe('deny')
    // Somebody else is refused an identifier that is taken: its owner's session says so.
    await connect({ clientId: 'c', username: 'alice' })
    const other = attach()
    other.send(connectPacket({ clientId: 'c', username: 'bob' }))
    await other.expectRefused(ReasonCode.NotAuthorized)
    await settle()
    expect(broker.explain({ clientId: 'c', action: 'connect' })).toMatchObject({
      verdict: 'allow',
      state: 'online',
      grant: { principal: 'alice' },
      refusal: { from: 'authenticating', reasonCode: 0x87 },
    })
  })

  test('knows nothing of a client that never came, and forgets the oldest refusals', async () => {
    const { broker, attach, settle } = startBroker({ ...options, limits: { maxRememberedRefusals: 2 } })
    const unknown = expect.objectContaining({ code: 'SMQ_SESSION_UNKNOWN' })
    expect(() => broker.explain({ clientId: 'nobody', action: 'connect' })).toThrow(unknown)
    for (const clientId of ['one', 'two', 'one', 'three']) {
      const client = attach()
      client.send(connectPacket({ clientId, username: 'mallory' }))
      await client.expectRefused(ReasonCode.Banned)
    }
    await settle()
    expect(() => broker.explain({ clientId: 'two', action: 'connect' })).toThrow(unknown)
    expect(broker.explain({ clientId: 'one', action: 'connect' }).refusal).toBeDefined()
  })
})
