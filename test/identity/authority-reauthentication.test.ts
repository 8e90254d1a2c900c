/** Semantics 7.5, 7.6 and 7.14: a re-authentication changes everything at once, or nothing. */
import { describe, expect, test } from 'vitest'

import { allow, deny } from '../../src/index.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { connect, publish } from '../support/wire.ts'
import { authenticate, expectAuthenticated, startAuthority, ticketConnect } from './authority-scene.ts'

const inMs = (ms: number): { expiresAtMs: number } => ({ expiresAtMs: simulatedEpochMs + ms })

describe('semantics 7.6: a re-authentication is a transaction', () => {
  test('success changes grant, deadlines and standing in one step', async () => {
    const t = startAuthority({ limits: { grantExpiringMs: 1_000 } })
    const client = await t.ticket({ ...inMs(10_000), roles: ['reader'] })
    const { grant: before } = t.view().context
    const seen = new Set<string>()
    t.view().actorRef.subscribe(({ context: { grant, standing } }) =>
      seen.add(`${String(grant?.roles)} until ${String(grant?.expiresAtMs)}, ${standing}`),
    )
    client.send(authenticate('wait'))
    await t.settle()
    expect(t.view().context.grant).toBe(before)
    t.pending[0]?.answer(allow({ ...inMs(60_000), roles: ['writer'] }))
    await expectAuthenticated(client)
    await t.settle()
    const epoch = simulatedEpochMs
    expect([...seen]).toEqual([`reader until ${epoch + 10_000}, valid`, `writer until ${epoch + 60_000}, valid`])
    expect(t.told('session.reauthenticated')).toHaveLength(1)
    await t.advance(58_999)
    expect(t.told('authority.')).toEqual([])
    await t.advance(1_001)
    await client.expectDisconnect(0x87)
    expect(t.told('authority.').map((event) => (event as { type: string }).type)).toEqual([
      'authority.expiring',
      'authority.expired',
    ])
  })

  test('other packets flow under the old grant meanwhile', async () => {
    const t = startAuthority()
    const client = await t.ticket()
    await client.subscribe(['t'])
    client.send(authenticate('wait'), publish({ topic: 't', payload: '1' }))
    await client.expectPublish({ topic: 't', payload: '1' })
    t.pending[0]?.answer(allow())
    await expectAuthenticated(client)
  })

  test('several rounds, and the last one decides', async () => {
    const t = startAuthority()
    const client = await t.ticket({ roles: ['reader'] })
    client.send(authenticate('challenge'))
    await client.expectPacket('auth', { reasonCode: 0x18 })
    client.send(authenticate('challenge', 0x18))
    await client.expectPacket('auth', { reasonCode: 0x18 })
    expect(t.view().grant?.roles).toEqual(['reader'])
    client.send(authenticate({ roles: ['writer'] }, 0x18))
    await expectAuthenticated(client)
    expect(t.view().grant?.roles).toEqual(['writer'])
  })

  const failures: [string, (t: ReturnType<typeof startAuthority>) => Promise<unknown> | void][] = [
    ['is denied', (t) => t.pending[0]?.answer(deny(0x87, 'not you'))],
    ['names another principal', (t) => t.pending[0]?.answer(allow({ principal: 'mallory', roles: ['admin'] }))],
    ['fails', (t) => t.pending[0]?.fail()],
    ['gives what cannot be used', (t) => t.pending[0]?.answer(allow({ expiresAtMs: 1 }))],
    ['takes too long', (t) => t.advance(2_000)],
  ]

  test.each(failures)('one that %s ends the connection', async (_, fail) => {
    const t = startAuthority({ limits: { authTimeoutMs: 2_000 } })
    const client = await t.ticket({ roles: ['reader'] })
    const before = t.view().grant
    client.send(authenticate('wait'))
    await t.settle()
    await fail(t)
    await client.expectDisconnect(0x87)
    await t.settle()
    expect([t.state('a'), t.view().grant === before]).toEqual(['offline', true])
    expect(t.told('session.reauthentication-failed')).toHaveLength(1)
  })

  test.each(failures)('failedReauthentication keep: one that %s changes nothing, not even the end', async (_, fail) => {
    const t = startAuthority({
      limits: { authTimeoutMs: 2_000, grantExpiringMs: 1_000 },
      failedReauthentication: 'keep',
    })
    const client = await t.ticket({ ...inMs(10_000), roles: ['reader'] })
    const before = t.view().grant
    client.send(authenticate('wait'))
    await t.settle()
    await fail(t)
    await client.expectNothing()
    expect(t.view().grant).toBe(before)
    expect(t.told('session.reauthentication-failed')).toMatchObject([{ reasonCode: 0x87 }])
    // It may try again.
    client.send(authenticate('challenge'))
    await client.expectPacket('auth', { reasonCode: 0x18 })
    client.send(authenticate('deny', 0x18))
    await client.expectNothing()
    await t.advance(10_000)
    await client.expectDisconnect(0x87)
    expect(t.told('authority.')).toHaveLength(2)
  })
})

describe('semantics 7.14: properties in a re-authentication', () => {
  const given = { properties: { department: 'sales', floor: '3' } }

  test('stay with their sources where the authenticator gives none, those of the server too', async () => {
    const t = startAuthority()
    const client = await t.ticket(given, { properties: { userProperties: [['session.department', 'sales']] } })
    t.view().setProperties({ badge: '7' })
    client.send(authenticate({}))
    await expectAuthenticated(client)
    expect(t.view().grant).toMatchObject({
      properties: { department: 'sales', floor: '3', badge: '7' },
      propertySources: { department: 'client', floor: 'authenticator', badge: 'server' },
    })
    expect([t.view().grant, t.view().grant?.properties].map(Object.isFrozen)).toEqual([true, true])
  })

  test('are replaced by those that it gives', async () => {
    const t = startAuthority()
    const client = await t.ticket(given)
    client.send(authenticate({ properties: { floor: '4' } }))
    await expectAuthenticated(client)
    expect({ ...t.view().grant?.properties }).toEqual({ floor: '4' })
  })

  test('reauthenticationProperties replace: none given, none left', async () => {
    const t = startAuthority({ reauthenticationProperties: 'replace' })
    const client = await t.ticket(given)
    client.send(authenticate({}))
    await expectAuthenticated(client)
    expect([{ ...t.view().grant?.properties }, { ...t.view().grant?.propertySources }]).toEqual([{}, {}])
  })

  test('one that the server changes while it is decided is not lost', async () => {
    const t = startAuthority()
    const client = await t.ticket(given)
    client.send(authenticate('wait'))
    await t.settle()
    t.pending[0]?.answer(allow())
    t.view().setProperties({ floor: '5' })
    await expectAuthenticated(client)
    expect({ ...t.view().grant?.properties }).toEqual({ department: 'sales', floor: '5' })
  })
})

describe('semantics 7.5: what happens during an exchange', () => {
  const limits = { grantGraceMs: 5_000, decisionTimeoutMs: 60_000 }

  test('the grant ends: the connection does, and what was decided comes too late', async () => {
    const t = startAuthority()
    const client = await t.ticket(inMs(5_000))
    client.send(authenticate('wait'))
    await t.advance(5_000)
    await client.expectDisconnect(0x87)
    const before = t.view().grant
    t.pending[0]?.answer(allow(inMs(60_000)))
    await t.settle()
    expect([t.state('a'), t.view().context.standing, t.view().grant === before]).toEqual(['offline', 'expired', true])
  })

  test('the grace begins: the exchange goes on, and a failure that is kept leaves it to run out', async () => {
    const t = startAuthority({ limits, failedReauthentication: 'keep' })
    const client = await t.ticket(inMs(5_000))
    client.send(authenticate('wait'))
    await t.advance(6_000)
    t.pending[0]?.answer(deny(0x87, 'not you'))
    await client.expectNothing()
    await t.advance(3_999)
    await client.expectNothing()
    await t.advance(1)
    await client.expectDisconnect(0x87)
  })

  test('the grace begins: a success makes it valid again', async () => {
    const t = startAuthority({ limits })
    const client = await t.ticket(inMs(5_000))
    client.send(authenticate('wait'))
    await t.advance(6_000)
    t.pending[0]?.answer(allow(inMs(20_000)))
    await expectAuthenticated(client)
    await t.advance(18_999)
    await client.expectNothing()
    await t.advance(1)
    await client.expectDisconnect(0x87)
  })

  test('the grant is revoked: that wins, whatever the authenticator says', async () => {
    const t = startAuthority({ failedReauthentication: 'keep' })
    const client = await t.ticket()
    client.send(authenticate('wait'))
    await t.settle()
    t.pending[0]?.answer(allow({ roles: ['admin'] }))
    t.view().revoke('stolen')
    await client.expectDisconnect(0x87)
    await t.settle()
    expect([t.view().context.standing, t.view().grant?.roles]).toEqual(['revoked', []])
    expect(t.told('session.reauthenticated')).toEqual([])
  })

  test('another connection takes over: the exchange ends with the old one', async () => {
    const t = startAuthority()
    const first = await t.ticket({ roles: ['reader'] })
    first.send(authenticate('wait'))
    await t.settle()
    const second = await t.ticket({ roles: ['writer'] })
    await first.expectDisconnect(0x8e)
    expect(t.pending[0]?.request.signal.aborted).toBe(true)
    t.pending[0]?.answer(allow({ roles: ['admin'] }))
    await second.expectNothing()
    expect(t.view().grant?.roles).toEqual(['writer'])
    second.send(authenticate({ roles: ['operator'] }))
    await expectAuthenticated(second)
    expect(t.view().grant?.roles).toEqual(['operator'])
  })

  test('roles are changed: the authenticator, who speaks later, has the last word', async () => {
    const t = startAuthority()
    const client = await t.ticket({ roles: ['reader'] })
    client.send(authenticate('wait'))
    await t.settle()
    t.view().changeRoles({ add: ['auditor'] })
    expect(t.view().grant?.roles).toEqual(['reader', 'auditor'])
    t.pending[0]?.answer(allow({ roles: ['reader'] }))
    await expectAuthenticated(client)
    expect(t.view().grant?.roles).toEqual(['reader'])
  })
})

describe('threat 72: AUTH in the wrong state has no effect', () => {
  test.each([
    ['0x18 while nothing is under way', () => authenticate({ roles: ['admin'] }, 0x18), 0x82],
    ['0x00, which is the server’s', () => authenticate({ roles: ['admin'] }, 0x00), 0x82],
    ['another method', () => authenticate({ roles: ['admin'] }, 0x19, 'OTHER'), 0x8c],
  ])('online: %s', async (_, bytes, reasonCode) => {
    const t = startAuthority()
    const client = await t.ticket({ roles: ['reader'] })
    const before = t.view().grant
    client.send(bytes())
    await client.expectDisconnect(reasonCode)
    expect(t.view().grant).toBe(before)
  })

  test('a second 0x19 during an exchange', async () => {
    const t = startAuthority()
    const client = await t.ticket({ roles: ['reader'] })
    client.send(authenticate('wait'), authenticate({ roles: ['admin'] }))
    await client.expectDisconnect(0x82)
    t.pending[0]?.answer(allow({ roles: ['admin'] }))
    await t.settle()
    expect(t.view().grant?.roles).toEqual(['reader'])
  })

  test('PUBLISH before the first success', async () => {
    const t = startAuthority()
    const witness = await t.connect({ clientId: 'witness' })
    await witness.subscribe(['#'])
    const client = t.first(connect(ticketConnect('challenge')))
    await client.expectPacket('auth', { reasonCode: 0x18 })
    client.send(publish({ topic: 'x', payload: 'no' }))
    await client.expectRefused(0x82)
    await witness.expectNothing()
    expect(t.state('a')).toBeUndefined()
  })
})
