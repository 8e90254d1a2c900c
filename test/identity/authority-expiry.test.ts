/** Semantics 7.5: a grant ends when its authenticator said, with a warning before and a grace behind. */
import { describe, expect, test } from 'vitest'

import { next, type Next } from '../../src/index.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { connect, publish, pingreq } from '../support/wire.ts'
import { authenticate, expectAuthenticated, startAuthority, ticketConnect } from './authority-scene.ts'

const inMs = (ms: number): { expiresAtMs: number } => ({ expiresAtMs: simulatedEpochMs + ms })

describe('semantics 7.5: the end of a grant', () => {
  test.each(['5', '3.1.1'])(
    'MQTT %s: warning, end, grace, then the connection ends and the session stays',
    async (version) => {
      const t = startAuthority({ limits: { grantExpiringMs: 60_000, grantGraceMs: 5_000 } })
      const client = await (version === '5' ? t.ticket(inMs(100_000)) : t.old(inMs(100_000)))
      await t.advance(39_999)
      expect(t.told('authority.')).toEqual([])
      await t.advance(1)
      expect(t.told('authority.')).toEqual([{ type: 'authority.expiring', expiresAtMs: simulatedEpochMs + 100_000 }])
      await t.advance(64_999)
      await client.expectNothing()
      expect(t.view().context).toMatchObject({ standing: 'valid' })
      await t.advance(1)
      if (version === '5') await client.expectDisconnect(0x87)
      else await client.expectClosed()
      expect(t.told('authority.expired')).toEqual([{ type: 'authority.expired' }])
      expect([t.view().state, t.view().context.standing]).toEqual(['offline', 'expired'])
    },
  )

  test('a session that ends with its connection ends, and says why', async () => {
    const t = startAuthority()
    const client = await t.ticket(inMs(1_000), { properties: { sessionExpiryInterval: 0 } })
    await t.advance(1_000)
    await client.expectDisconnect(0x87)
    expect(t.told('session.expired')).toEqual([{ type: 'session.expired', reason: 'grant-expired', reasonCode: 0x87 }])
  })

  test('a grant that lives no longer than the warning comes before gets none', async () => {
    const t = startAuthority({ limits: { grantExpiringMs: 60_000 } })
    const client = await t.ticket(inMs(60_000))
    await t.advance(59_999)
    expect(t.told('authority.')).toEqual([])
    await t.advance(1)
    await client.expectDisconnect(0x87)
    expect(t.told('authority.')).toEqual([{ type: 'authority.expired' }])
  })

  test('a grant without an end sets no deadline', async () => {
    const t = startAuthority()
    await t.ticket()
    // The deadline of the CONNECT is let run out.
    await t.advance(5_000)
    expect(t.clock.pending).toBe(0)
    await t.advance(10 * 365 * 86_400_000)
    expect([t.view().state, t.view().context.standing]).toEqual(['online', 'valid'])
  })

  test('threat 98: an end beyond what a timer takes comes when it is due, and not before', async () => {
    const lifeMs = 2 ** 31 + 1_000
    const t = startAuthority({ limits: { grantExpiringMs: 1_000, grantGraceMs: 2 ** 31 } })
    const client = await t.ticket(inMs(lifeMs))
    await t.advance(lifeMs - 1_001)
    expect(t.told('authority.')).toEqual([])
    await t.advance(1)
    expect(t.told('authority.expiring')).toHaveLength(1)
    await t.advance(1_000 + 2 ** 31 - 1)
    await client.expectNothing()
    await t.advance(1)
    await client.expectDisconnect(0x87)
  })

  test('threat 98: the last millisecond that numbers know, and a grace without end, fire nothing', async () => {
    const t = startAuthority({ limits: { grantGraceMs: Infinity } })
    await t.ticket({ expiresAtMs: Number.MAX_SAFE_INTEGER })
    await t.ticket(inMs(1_000), { clientId: 'b' })
    await t.advance(40 * 365 * 86_400_000)
    expect([t.state('a'), t.state('b')]).toEqual(['online', 'online'])
    expect(t.told('authority.')).toEqual([])
  })

  test('the deadlines of a connection end with it', async () => {
    const t = startAuthority({ limits: { grantExpiringMs: 1_000 } })
    const client = await t.ticket(inMs(100_000), { properties: { sessionExpiryInterval: 4_294_967_295 } })
    client.drop()
    await t.advance(200_000)
    expect(t.told('authority.', 'session.ignored')).toEqual([])
    expect([t.state('a'), t.view().context.standing, t.clock.pending]).toEqual(['offline', 'valid', 0])
  })

  test('a client that is back brings another end', async () => {
    const t = startAuthority()
    const first = await t.ticket(inMs(10_000))
    const second = await t.ticket(inMs(100_000))
    await first.expectDisconnect(0x8e)
    await t.advance(99_999)
    await second.expectNothing()
    await t.advance(1)
    await second.expectDisconnect(0x87)
    const third = await t.ticket()
    expect(t.view().context).toMatchObject({ standing: 'valid', grant: { expiresAtMs: undefined } })
    await third.expectNothing()
  })
})

describe('semantics 7.5: a client that may stay without rights', () => {
  const options = { grantExpiry: 'stay-without-rights', limits: { grantGraceMs: 1_000 } } as const

  test('has none until it authenticates again', async () => {
    const t = startAuthority(options)
    const client = await t.ticket(inMs(10_000))
    const other = await t.connect({ clientId: 'other' })
    await client.subscribe([['in', { qos: 1 }]])
    await other.subscribe(['out'])
    await t.advance(11_000)
    expect(t.told('authority.')).toEqual([{ type: 'authority.expired' }])
    expect([t.view().state, t.view().context.standing]).toEqual(['online', 'expired'])

    client.send(publish({ topic: 'out', payload: 'no', qos: 1, packetId: 7 }))
    await client.expectPacket('puback', { packetId: 7, reasonCode: 0x87 })
    await other.publish({ topic: 'in', payload: 'lost', qos: 1 })
    expect(t.told('message.dropped')).toContainEqual(expect.objectContaining({ topic: 'in', reason: 'denied' }))
    await client.expectNothing()
    await other.expectNothing()

    client.send(authenticate(inMs(60_000)))
    await expectAuthenticated(client)
    expect(t.view().context.standing).toBe('valid')
    await other.publish({ topic: 'in', payload: 'again', qos: 1 })
    await client.expectPublish({ topic: 'in', payload: 'again', qos: 1 })
    await client.publish({ topic: 'out', payload: 'yes', qos: 1 })
    await other.expectPublish({ topic: 'out', payload: 'yes' })
    await t.advance(50_000)
    expect(t.view().context.standing).toBe('expired')
  })

  test('what waited before it lapsed is given out afterwards, in order', async () => {
    const t = startAuthority(options)
    const client = await t.ticket(inMs(10_000), { properties: { receiveMaximum: 1 } })
    await client.subscribe([['in', { qos: 1 }]])
    for (const payload of ['1', '2', '3']) await t.broker.publish({ topic: 'in', payload, qos: 1 })
    const first = await client.expectPublish({ topic: 'in', payload: '1', qos: 1 })
    await t.advance(11_000)
    await client.acknowledge(first)
    await client.expectNothing()
    expect(t.view().queuedMessages).toBe(2)
    client.send(authenticate({}))
    await expectAuthenticated(client)
    for (const payload of ['2', '3']) {
      await client.acknowledge(await client.expectPublish({ topic: 'in', payload, qos: 1 }))
    }
  })

  test('a 3.1.1 client is without them until it connects anew', async () => {
    const t = startAuthority({ ...options, deniedPublish: { mqtt3: 'drop' } })
    const client = await t.old(inMs(10_000))
    await client.subscribe(['in'])
    await t.advance(11_000)
    await t.broker.publish({ topic: 'in', payload: 'lost' })
    client.send(pingreq())
    await client.expectPacket('pingresp')
    const again = await t.old()
    await t.broker.publish({ topic: 'in', payload: 'there' })
    await again.expectPublish({ topic: 'in', payload: 'there' })
  })
})

test('limits.maxConnectionSeconds: DISCONNECT 0xA0, whoever it is, and the session goes on', async () => {
  const t = startAuthority({ limits: { maxConnectionSeconds: 10 } })
  const client = await t.ticket()
  const older = await t.old({}, { clientId: 'b' })
  await t.advance(9_999)
  await client.expectNothing()
  await t.advance(1)
  await client.expectDisconnect(0xa0)
  await older.expectClosed()
  expect([t.state('a'), t.state('b')]).toEqual(['offline', 'offline'])
  const again = await t.ticket()
  await t.advance(9_999)
  await again.expectNothing()
})

describe('semantics 7.3: a grant that ends while its client is still being admitted', () => {
  test.each([
    [0, 0x87],
    [5_000, 0x00],
  ])('with a grace of %i ms: %i', async (grantGraceMs, reasonCode) => {
    const held: (() => void)[] = []
    let isHeld = false
    const t = startAuthority({
      limits: { grantGraceMs, decisionTimeoutMs: 60_000, connectTimeoutMs: 60_000 },
      hooks: {
        onRegister: () => (isHeld ? new Promise<Next>((resolve) => held.push(() => resolve(next()))) : next()),
      },
    })
    const first = await t.ticket()
    isHeld = true
    const second = t.attach()
    second.send(connect(ticketConnect(inMs(1_000))))
    await t.advance(1_000)
    held[0]?.()
    if (reasonCode === 0) {
      await second.expectPacket('connack', { reasonCode, sessionPresent: true })
      await first.expectDisconnect(0x8e)
    } else {
      await second.expectRefused(reasonCode)
      await first.expectNothing()
    }
  })
})
