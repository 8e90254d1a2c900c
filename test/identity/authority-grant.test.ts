/** Semantics 7.1: one immutable grant in the chart's context, and what the server changes of it. */
import { describe, expect, test } from 'vitest'

import { allow } from '../../src/index.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { connect } from '../support/wire.ts'
import { authenticate, expectAuthenticated, startAuthority, ticketConnect } from './authority-scene.ts'

function isFrozenThrough(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return Object.isFrozen(value) && Object.values(value).every(isFrozenThrough)
}

describe('semantics 7.1: the grant', () => {
  test.each(['5', '3.1.1'])(
    'MQTT %s: says who, by whom, since and until when, and where each property came from',
    async (version) => {
      const t = startAuthority()
      const given = {
        principal: 'alice@hall',
        roles: ['reader', 'reader', 'writer'],
        properties: { department: 'sales', floor: '3' },
        expiresAtMs: simulatedEpochMs + 60_000,
      }
      await t.advance(1_000)
      if (version === '5') await t.ticket(given, { properties: { userProperties: [['session.department', 'sales']] } })
      else await t.old(given)
      const { grant } = t.view().context
      expect(grant).toEqual({
        principal: 'alice@hall',
        roles: ['reader', 'writer'],
        authenticator: version === '5' ? 'tickets' : 'passwords',
        method: version === '5' ? 'TICKET' : undefined,
        authenticatedAtMs: simulatedEpochMs + 1_000,
        expiresAtMs: simulatedEpochMs + 60_000,
        policyVersion: 1,
        properties: { department: 'sales', floor: '3' },
        propertySources: { department: version === '5' ? 'client' : 'authenticator', floor: 'authenticator' },
      })
      expect(isFrozenThrough(grant)).toBe(true)
      expect([grant?.properties, grant?.propertySources].map((one) => Object.getPrototypeOf(one) as unknown)).toEqual([
        null,
        null,
      ])
    },
  )

  test('is there after one round and after several, and in every round of the CONNECT there is none yet', async () => {
    const t = startAuthority()
    const client = t.first(connect(ticketConnect('challenge')))
    await client.expectPacket('auth', { reasonCode: 0x18 })
    expect(t.broker.sessions.get('a')).toBeUndefined()
    client.send(authenticate('wait', 0x18))
    await t.settle()
    expect([t.pending[0]?.request.grant, t.pending[0]?.request.round]).toEqual([undefined, 1])
    t.pending[0]?.answer(allow({ roles: ['reader'] }))
    await client.expectPacket('connack', { reasonCode: 0 })
    expect(t.view().grant?.roles).toEqual(['reader'])
  })

  test('what a client sent as a secret is neither in the snapshot nor in any event', async () => {
    const canary = 'canary-5d1c'
    const t = startAuthority()
    const client = await t.ticket({ roles: ['reader'] }, { password: canary, will: { topic: 'gone', payload: canary } })
    client.send(authenticate('wait'))
    await t.settle()
    t.pending[0]?.request.exchange.set('secret', canary)
    t.pending[0]?.answer(allow({ authenticationData: Buffer.from(canary) }))
    await expectAuthenticated(client)
    t.view().revoke('over')
    await t.settle()
    const snapshot = JSON.stringify(t.view().actorRef.getPersistedSnapshot())
    const everything = [snapshot, JSON.stringify(t.log)]
    expect(everything.every((text) => text.includes('"alice"'))).toBe(true)
    expect(everything.filter((text) => text.includes(canary))).toEqual([])
  })
})

describe('what the server changes of a session', () => {
  test('roles: another grant, with the rest as it was, online and offline', async () => {
    const t = startAuthority()
    const client = await t.ticket({ roles: ['reader'], expiresAtMs: simulatedEpochMs + 60_000 })
    const before = t.view().grant
    t.view().changeRoles({ add: ['writer'] })
    await t.settle()
    expect(t.view().grant).toEqual({ ...before, roles: ['reader', 'writer'] })
    expect([before?.roles, isFrozenThrough(t.view().grant)]).toEqual([['reader'], true])
    client.drop()
    await t.settle()
    t.view().changeRoles({ remove: ['reader'] })
    await t.settle()
    expect(t.told('roles.')).toEqual([
      { type: 'roles.changed', roles: ['reader', 'writer'], previous: ['reader'] },
      { type: 'roles.changed', roles: ['writer'], previous: ['reader', 'writer'] },
    ])
    // A deadline of the grant is none of theirs.
    await t.ticket({ roles: ['reader'] })
    expect(t.view().grant?.roles).toEqual(['reader'])
  })

  test('the same list, or the same properties, change nothing and say so', async () => {
    const t = startAuthority()
    await t.ticket({ roles: ['reader'], properties: { floor: '3' } })
    const before = t.view().grant
    const { actorRef } = t.view()
    actorRef.send({ type: 'roles.change', roles: ['reader'] })
    actorRef.send({ type: 'properties.change', properties: { floor: '3' }, propertySources: { floor: 'server' } })
    actorRef.send({ type: 'attributes.change', scope: 'session', attributes: {} })
    await t.settle()
    expect(t.view().grant).toBe(before)
    expect(t.told('session.ignored')).toEqual([
      { type: 'session.ignored', event: 'roles.change', state: 'online' },
      { type: 'session.ignored', event: 'properties.change', state: 'online' },
      { type: 'session.ignored', event: 'attributes.change', state: 'online' },
    ])
  })

  test('names of anybody’s choice are names and nothing else', async () => {
    const t = startAuthority()
    await t.ticket({ properties: { constructor: 'x' } })
    const properties = JSON.parse('{"__proto__":"polluted","toString":"y"}') as Record<string, string>
    t.view().actorRef.send({ type: 'properties.change', properties, propertySources: {} })
    await t.settle()
    expect(Object.keys(t.view().grant?.properties ?? {})).toEqual(['__proto__', 'toString'])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    const [changed] = t.told('properties.') as [{ changes: Record<string, unknown> }]
    expect(Object.keys(changed.changes).toSorted()).toEqual(['__proto__', 'constructor', 'toString'])
  })

  test('attributes live as long as they say: with the connection, or with the session', async () => {
    const t = startAuthority()
    const first = await t.ticket()
    t.view().setAttributes({ tries: 1 }, { scope: 'connection' })
    t.view().setAttributes({ trusted: true }, { scope: 'session' })
    const second = await t.ticket()
    await first.expectDisconnect(0x8e)
    expect(t.view().attributes).toEqual({ connection: {}, session: { trusted: true } })
    t.view().setAttributes({ tries: 2 }, { scope: 'connection' })
    second.drop()
    await t.settle()
    expect(t.view().attributes).toEqual({ connection: {}, session: { trusted: true } })
    // There is no connection to have any.
    t.view().actorRef.send({ type: 'attributes.change', scope: 'connection', attributes: { tries: 3 } })
    await t.ticket()
    expect(t.view().attributes).toEqual({ connection: {}, session: { trusted: true } })
    await t.ticket({}, { cleanStart: true })
    expect(t.view().attributes).toEqual({ connection: {}, session: {} })
  })
})
