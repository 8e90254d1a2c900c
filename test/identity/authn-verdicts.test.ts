import { describe, expect, test } from 'vitest'

import {
  allow,
  authenticator,
  challenge,
  next,
  staticUsers,
  type Authenticator,
  type Verdict,
} from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect } from '../support/wire.ts'
import { startAuthBroker } from './authn-scene.ts'

const answering = (verdict: unknown, methods?: readonly string[]): Authenticator =>
  authenticator('mine', () => verdict as Verdict, methods)
const promising = (verdict: unknown): Authenticator => authenticator('mine', async () => verdict as Verdict)

describe('semantics 7.12: a verdict with an unknown modifier or a wrong value lets nobody in and is logged', () => {
  test.each<[unknown, string]>([
    [undefined, 'gave no verdict'],
    [null, 'gave no verdict'],
    [true, 'gave no verdict'],
    ['allow', 'gave no verdict'],
    [{}, 'gave no verdict'],
    [{ type: 'Allow' }, 'gave no verdict'],
    [{ type: 'allow', role: ['admin'] }, '"role": there is no such modifier'],
    [{ type: 'allow', constructor: 1 }, '"constructor": there is no such modifier'],
    [{ type: 'allow', principal: '' }, 'principal: expected text of 1 to 1024 bytes'],
    [{ type: 'allow', principal: 7 }, 'principal: expected text of 1 to 1024 bytes'],
    [{ type: 'allow', principal: 'ä'.repeat(513) }, 'principal: expected text of 1 to 1024 bytes'],
    [{ type: 'allow', principal: '\ud800' }, 'principal: expected text of 1 to 1024 bytes'],
    [{ type: 'allow', principal: 'anna\0' }, 'principal: expected text of 1 to 1024 bytes'],
    [{ type: 'allow', principal: null }, 'principal: expected text of 1 to 1024 bytes'],
    [{ type: 'allow', roles: 'admin' }, 'roles: expected a list of at most 1000 names'],
    [{ type: 'allow', roles: [7] }, 'roles: expected names of 1 to 256 bytes'],
    [{ type: 'allow', roles: ['a', ''] }, 'roles: expected names of 1 to 256 bytes'],
    [{ type: 'allow', roles: Array(1001).fill('a') }, 'roles: expected a list of at most 1000 names'],
    [{ type: 'allow', properties: ['a'] }, 'properties: expected a map of texts'],
    [{ type: 'allow', properties: { a: 1 } }, 'properties: a: expected text'],
    [{ type: 'allow', properties: { $Roles: 'admin' } }, 'properties: "$Roles" is no name for a property'],
    [{ type: 'allow', properties: { 'a b': '' } }, 'properties: "a b" is no name for a property'],
    [{ type: 'allow', properties: { a: '1', b: '2', c: '3' } }, 'properties: more than maxSessionProperties (2)'],
    [{ type: 'allow', properties: { a: 'x'.repeat(40) } }, 'properties: more than maxSessionPropertyBytes (40)'],
    [{ type: 'allow', expiresAtMs: NaN }, 'expiresAtMs: expected milliseconds since the epoch'],
    [{ type: 'allow', expiresAtMs: Infinity }, 'expiresAtMs: expected milliseconds since the epoch'],
    [{ type: 'allow', expiresAtMs: new Date(2e12) }, 'expiresAtMs: expected milliseconds since the epoch'],
    [{ type: 'allow', expiresAtMs: 1e12 }, 'expiresAtMs: is over already'],
    [{ type: 'allow', limits: { maxConnections: 1 } }, 'limits: "maxConnections": there is no such modifier'],
    [
      { type: 'allow', limits: { receiveMaximumMessages: 0 } },
      'limits: receiveMaximumMessages: expected a whole number',
    ],
    [{ type: 'allow', limits: 5 }, 'limits: expected a map'],
    [{ type: 'allow', connack: { maxQoS: 1 } }, 'connack: "maxQoS": there is no such modifier'],
    [{ type: 'allow', connack: { maximumQoS: '1' } }, 'connack: maximumQoS: expected one of [0,1,2]'],
    [{ type: 'allow', connack: { retainAvailable: 1 } }, 'connack: retainAvailable: expected true or false'],
    [{ type: 'allow', connack: { keepAliveSeconds: 65_536 } }, 'connack: keepAliveSeconds: expected a whole number'],
    [{ type: 'allow', connack: { userProperties: { a: 'b' } } }, 'connack: userProperties: expected a list of pairs'],
    [{ type: 'allow', connack: { responseInformation: '\0' } }, 'connack: responseInformation: expected text'],
    [{ type: 'allow', authenticationData: 'x' }, 'authenticationData: expected at most 65535 bytes'],
    [{ type: 'deny', reasonCode: 0, reason: 'x' }, 'reasonCode: expected a reason code that means failure'],
    [{ type: 'deny', reasonCode: 0xff, reason: 'x' }, 'reasonCode: expected a reason code that means failure'],
    [{ type: 'deny', reasonCode: 0x87 }, 'reason: is missing'],
    [{ type: 'deny', reason: 'x' }, 'reasonCode: is missing'],
    [challenge(), 'a challenge needs an authentication method'],
  ])('%j: %s', async (verdict, message) => {
    for (const one of [answering(verdict), promising(verdict)]) {
      const limits = { maxSessionProperties: 2, maxSessionPropertyBytes: 40 }
      const t = await startAuthBroker([one], { limits, allowAnonymous: true })
      expect(await t.connect({ username: 'anna' })).toEqual({ code: 0x87, reason: 'authentication failed' })
      expect(t.failures()).toEqual([expect.stringContaining(`authenticator mine: ${message}`)])
      expect(t.grants()).toEqual([])
    }
  })

  test('a message never quotes a value', async () => {
    const verdict = {
      type: 'allow',
      principal: ['canary-1'],
      roles: 'canary-2',
      properties: { 'canary 3': 'canary-4' },
    }
    for (const field of ['principal', 'roles'] as const) {
      const t = await startAuthBroker([answering({ type: 'allow', [field]: verdict[field] })])
      await t.connect()
      expect(t.failures().join()).not.toContain('canary')
    }
  })
})

test('a user name that would be the principal has the bound of one', async () => {
  const t = await startAuthBroker([answering(allow())])
  expect((await t.connect({ username: 'ä'.repeat(512) })).code).toBe(0)
  expect(await t.connect({ username: `${'ä'.repeat(512)}a` })).toEqual({
    code: 0x86,
    reason: 'the user name is too long',
  })
  const named = await startAuthBroker([answering(allow({ principal: 'x' }))])
  expect((await named.connect({ username: 'a'.repeat(60_000) })).code).toBe(0)
})

test('a verdict with everything lets in', async () => {
  const verdict = allow({
    principal: 'ä'.repeat(512),
    roles: ['a', 'b'],
    properties: { x: 'y', $Country: 'DE', $Latitude: '1' },
    expiresAtMs: Date.now() + 60_000,
    limits: { maxQueuedMessages: 1, maxMessagesPerSecond: Infinity },
    connack: {
      ...{ maximumQoS: 0, retainAvailable: false, overflowPolicy: 'drop-newest', keepAliveSeconds: 5 },
      ...{ userProperties: [['a', 'b']], reasonString: 'hi', sessionExpiryIntervalSeconds: 4_294_967_295 },
    },
  })
  for (const one of [answering(verdict), promising(verdict)]) {
    const t = await startAuthBroker([one], { limits: { maxSessionProperties: 1 } })
    expect(await t.connect()).toEqual({ code: 0, reason: 'hi' })
    expect(t.grants()).toMatchObject([{ principal: 'ä'.repeat(512), roles: ['a', 'b'], properties: { x: 'y' } }])
    expect(t.failures()).toEqual([])
  }
})

describe('the chain', () => {
  test('the first verdict but next stands, sync or not, and its authenticator is in the grant', async () => {
    const t = await startAuthBroker([
      authenticator('first', () => next()),
      authenticator('second', async () => next()),
      authenticator('other', () => allow({ principal: 'nobody' }), ['OTHER']),
      authenticator('third', () => allow({ principal: 'x' })),
      authenticator('fourth', () => allow({ principal: 'y' })),
    ])
    expect((await t.connect()).code).toBe(0)
    expect(t.grants()).toMatchObject([{ principal: 'x', authenticator: 'third' }])
  })

  test('anonymous clients have the roles that the policy gives them', async () => {
    const t = await startAuthBroker([authenticator('none', () => next())], {
      allowAnonymous: true,
      anonymousRoles: ['guest'],
    })
    await t.connect({ username: 'root' })
    expect(t.grants()).toMatchObject([{ principal: undefined, roles: ['guest'], authenticator: 'anonymous' }])
  })
})

describe('users in memory', () => {
  const users = { anna: { password: 'hunter2', roles: ['operator'], properties: { a: 'b' } }, nil: { password: '' } }

  test('come in with their password', async () => {
    const t = await startAuthBroker([staticUsers(users)])
    expect((await t.connect({ username: 'anna', password: 'hunter2' })).code).toBe(0)
    expect(await t.mosquitto('-V', '311', '-u', 'anna', '-P', 'hunter2')).toBe(0)
    expect(t.grants()[0]).toMatchObject({ principal: 'anna', roles: ['operator'], authenticator: 'static-users' })
  })

  test('threats 64 and 65: everything else gets one answer', async () => {
    const t = await startAuthBroker([staticUsers(users)])
    const refused = { code: 0x86, reason: 'bad user name or password' }
    for (const [username, password] of [
      ['anna', 'hunter3'],
      ['anna', ''],
      ['anna', undefined],
      ['nil', ''],
      ['nil', undefined],
      ['bob', 'hunter2'],
      ['__proto__', 'x'],
      ['', 'x'],
    ] as const) {
      expect(await t.connect({ username, ...(password === undefined ? {} : { password }) })).toEqual(refused)
    }
    expect((await t.connect()).code).toBe(0x87)
  })
})

test('data that no field can hold lets nobody in, instead of leaving the client without an answer', async () => {
  for (const type of ['allow', 'challenge'] as const) {
    const t = startBroker({ authenticators: [answering({ type, authenticationData: Buffer.alloc(65_536) }, ['M'])] })
    const client = t.attach()
    client.send(connect({ clientId: 'a', properties: { authenticationMethod: 'M' } }))
    await client.expectRefused(0x87)
  }
})
