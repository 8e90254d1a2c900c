/** Semantics 7.16: what the server takes away is gone at once, in every state; the session stays for its principal. */
import { describe, expect, test } from 'vitest'

import { allow, next, type Next } from '../../src/index.ts'
import { connect } from '../support/wire.ts'
import { authenticate, startAuthority, ticketConnect } from './authority-scene.ts'

describe('semantics 7.16: revocation', () => {
  test.each(['5', '3.1.1'])(
    'MQTT %s, online: the connection ends, and so do messages, rights and will',
    async (version) => {
      const t = startAuthority()
      const witness = await t.connect({ clientId: 'witness' })
      await witness.subscribe(['gone'])
      const input = { will: { topic: 'gone', payload: 'x' } }
      const client = await (version === '5' ? t.ticket({}, input) : t.old({}, input))
      await client.subscribe([['in', { qos: 1 }]])
      await t.broker.publish({ topic: 'in', payload: 'unacknowledged', qos: 1 })
      await client.expectPublish({ topic: 'in', payload: 'unacknowledged', qos: 1 })
      t.view().revoke('laptop stolen')
      // What the operator thinks of it is not for the client.
      if (version === '5') expect((await client.expectDisconnect(0x87)).properties).toEqual({ reasonString: 'revoked' })
      else await client.expectClosed()
      await t.settle()
      expect([t.view().state, t.view().context.standing, t.view().inflightMessages]).toEqual(['offline', 'revoked', 0])
      expect(t.told('authority.', 'will.')).toEqual([
        { type: 'will.armed', topic: 'gone' },
        { type: 'will.withheld', topic: 'gone', reason: 'revoked' },
        { type: 'authority.revoked', reason: 'laptop stolen' },
      ])
      await t.broker.publish({ topic: 'in', payload: 'never', qos: 1 })
      await t.settle()
      expect(t.view().queuedMessages).toBe(0)
      expect(t.told('message.dropped').map((event) => (event as { reason: string }).reason)).toEqual([
        'denied',
        'denied',
      ])
      await witness.expectNothing()
    },
  )

  test('messages of a shared subscription go to members that have rights, also where none is there', async () => {
    const t = startAuthority()
    for (const clientId of ['a', 'b']) {
      const member = await t.ticket({}, { clientId })
      await member.subscribe([['$share/g/in', { qos: 1 }]])
      member.drop()
    }
    await t.settle()
    t.view().revoke()
    for (const payload of ['1', '2', '3']) await t.broker.publish({ topic: 'in', payload, qos: 1 })
    expect([t.view('a').queuedMessages, t.view('b').queuedMessages]).toEqual([0, 3])
    t.view('b').revoke()
    await t.broker.publish({ topic: 'in', payload: '4', qos: 1 })
    await t.settle()
    // Those that waited, and the one that nobody may have.
    expect(t.told('message.dropped')).toHaveLength(4)
  })

  test('a session that ends with its connection ends, without its will', async () => {
    const t = startAuthority()
    const client = await t.ticket(
      {},
      { properties: { sessionExpiryInterval: 0 }, will: { topic: 'gone', payload: 'x' } },
    )
    t.view().revoke()
    await client.expectDisconnect(0x87)
    await t.settle()
    expect(t.state('a')).toBeUndefined()
    expect(t.told('session.expired')).toEqual([{ type: 'session.expired', reason: 'revoked', reasonCode: 0x87 }])
    expect(t.told('will.published')).toEqual([])
  })

  test('offline: what waited and the will that waited are gone, and the session is not', async () => {
    const t = startAuthority()
    const client = await t.ticket({}, { will: { topic: 'gone', payload: 'x', properties: { willDelayInterval: 30 } } })
    await client.subscribe([['in', { qos: 1 }]])
    client.drop()
    await t.settle()
    await t.broker.publish({ topic: 'in', payload: '1', qos: 1 })
    expect(t.view().queuedMessages).toBe(1)
    t.view().revoke()
    await t.settle()
    expect([t.view().state, t.view().queuedMessages, t.view().subscriptions]).toEqual(['offline', 0, ['in']])
    await t.advance(30_000)
    expect(t.told('will.published')).toEqual([])
    expect(t.told('will.withheld')).toHaveLength(1)
  })

  test('its principal comes back with a fresh grant: valid again, with what it had subscribed', async () => {
    const t = startAuthority()
    const client = await t.ticket()
    await client.subscribe([['in', { qos: 1 }]])
    t.view().revoke()
    await client.expectDisconnect(0x87)
    const again = await t.ticket({}, { will: { topic: 'gone', payload: 'new' } })
    expect([again.connack?.sessionPresent, t.view().context.standing]).toEqual([true, 'valid'])
    await t.broker.publish({ topic: 'in', payload: 'there', qos: 1 })
    await again.expectPublish({ topic: 'in', payload: 'there', qos: 1 })
    again.drop()
    await t.settle()
    expect(t.told('will.published')).toHaveLength(1)
  })

  test('nobody else comes into a session whose grant was revoked', async () => {
    const t = startAuthority()
    const client = await t.ticket()
    t.view().revoke()
    await client.expectDisconnect(0x87)
    const other = t.first(connect(ticketConnect({ principal: 'mallory' })))
    await other.expectRefused(0x87)
  })

  test('a client on its way to the session, decided on before, is refused', async () => {
    const answers: ((verdict: Next) => void)[] = []
    const t = startAuthority({ hooks: { onRegister: ({ username }) => (username === 'slow' ? wait() : next()) } })
    const wait = (): Promise<Next> => new Promise((resolve) => answers.push(resolve))
    const client = await t.ticket({ principal: 'alice' })
    const newcomer = t.first(connect(ticketConnect({ principal: 'alice' }, { username: 'slow' })))
    await t.settle()
    t.view().revoke()
    await client.expectDisconnect(0x87)
    answers[0]?.(next())
    await newcomer.expectRefused(0x87)
    expect([t.state('a'), t.view().context.standing]).toEqual(['offline', 'revoked'])
    await t.ticket({ principal: 'alice' })
    expect(t.view().context.standing).toBe('valid')
  })

  test('one whose authenticator was asked before, and answers after, is refused too', async () => {
    const t = startAuthority()
    const client = await t.ticket()
    const newcomer = t.first(connect(ticketConnect('wait')))
    await t.settle()
    t.view().revoke()
    await client.expectDisconnect(0x87)
    t.pending[0]?.answer(allow())
    await newcomer.expectRefused(0x87)
    const asked = t.first(connect(ticketConnect('challenge')))
    await asked.expectPacket('auth', { reasonCode: 0x18 })
    asked.send(authenticate({}, 0x18))
    await asked.expectPacket('connack', { reasonCode: 0 })
  })

  test('a will that waits for its turn to be published is not', async () => {
    const t = startAuthority({ limits: { maxWillsPerSecond: 1 } })
    const clients = ['a', 'b'].map((clientId) =>
      t.ticket({}, { clientId, will: { topic: `gone/${clientId}`, payload: 'x' } }),
    )
    for (const client of await Promise.all(clients)) client.drop()
    await t.settle()
    t.view('b').revoke()
    await t.advance(5_000)
    expect(t.told('will.published', 'will.withheld')).toEqual([
      { type: 'will.published', topic: 'gone/a' },
      { type: 'will.withheld', topic: 'gone/b', reason: 'revoked' },
    ])
  })
})

describe('semantics 7.16: a client that is on its way in when its session is revoked', () => {
  /** A session that ends with its connection, and a newcomer under its client identifier that a hook still thinks about. */
  async function underWay(username: string) {
    const held: (() => void)[] = []
    let isHeld = false
    const t = startAuthority({
      hooks: {
        onRegister: () => (isHeld ? new Promise<Next>((resolve) => held.push(() => resolve(next()))) : next()),
      },
    })
    const ends = { properties: { sessionExpiryInterval: 0 } }
    await t.ticket({}, ends)
    isHeld = true
    const newcomer = t.attach()
    newcomer.send(connect(ticketConnect({}, { username, ...ends })))
    await t.settle()
    t.view().revoke()
    await t.settle()
    expect(t.state('a')).toBe(undefined)
    return { t, newcomer, decide: () => held.shift()?.() }
  }

  test('is refused, also where the session has ended by it', async () => {
    const { newcomer, decide } = await underWay('alice')
    decide()
    await newcomer.expectRefused(0x87)
  })

  test('comes in when it is decided on afresh', async () => {
    const { t, newcomer, decide } = await underWay('alice')
    decide()
    await newcomer.expectRefused(0x87)
    const again = t.attach()
    again.send(connect(ticketConnect()))
    await t.settle()
    decide()
    await again.expectPacket('connack', { reasonCode: 0x00, sessionPresent: false })
  })

  test('comes in where it is somebody else', async () => {
    const { newcomer, decide } = await underWay('bob')
    decide()
    await newcomer.expectPacket('connack', { reasonCode: 0x00 })
  })
})
