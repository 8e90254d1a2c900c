/** Tokens that nobody has signed, or that say themselves what they were signed with, over connections of both versions. */
import { describe, expect, test } from 'vitest'

import { jwt } from '../../src/index.ts'
import {
  audience,
  defaults,
  forge,
  issuer,
  jwksServer,
  seconds,
  signingKey,
  signWithSecret,
} from '../support/jwt-issuer.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect } from '../support/wire.ts'

const [key, stranger] = await Promise.all([signingKey('RS256', 'k1'), signingKey('RS256', 'k1')])
const exp = seconds(600, simulatedEpochMs)
const claims = defaults({ sub: 'root', roles: 'admin', exp })

/** Where a header says that keys are; nobody may ask there. */
async function scene() {
  const evil = await jwksServer([stranger])
  const tokens = jwt({ keys: [{ jwk: key.jwk }], issuer, audience, clock: { nowMs: () => simulatedEpochMs } })
  const t = startBroker({ authenticators: [tokens] })
  return { ...t, evil }
}

const forgeries: Record<string, (evil: string) => Promise<string> | string> = {
  'threat 66: no algorithm': () => forge({ alg: 'none' }, claims),
  'threat 66: no algorithm, in other letters': () => forge({ alg: 'nOnE', kid: 'k1' }, claims),
  'threat 66: the public key, PEM, as a secret': () => signWithSecret(Buffer.from(key.pem), claims),
  'threat 66: the public key, JWK, as a secret': () => signWithSecret(Buffer.from(JSON.stringify(key.jwk)), claims),
  'threat 66: a key of somebody else under the same name': () => stranger.sign(claims),
  'threat 66: another token’s signature': async () => {
    const [, , signature] = (await key.sign({ sub: 'press-1', exp })).split('.')
    return forge({ alg: 'RS256', kid: 'k1' }, claims, Buffer.from(signature!, 'base64url'))
  },
  'threat 67: jku': (evil) => stranger.sign(claims, { jku: evil }),
  'threat 67: x5u': (evil) => stranger.sign(claims, { x5u: evil }),
  'threat 67: jwk': () => stranger.sign(claims, { jwk: stranger.jwk }),
  'threat 67: kid __proto__': () => stranger.sign(claims, { kid: '__proto__' }),
  'threat 67: kid that is a path': () => stranger.sign(claims, { kid: '../../../../dev/null' }),
}

describe.each(Object.entries(forgeries))('%s', (_name, make) => {
  test.each([
    ['MQTT 3.1.1, as password', 4, false],
    ['MQTT 5, as password', 5, false],
    ['MQTT 5, by the method', 5, true],
  ] as const)('%s: refused, nothing is fetched', async (_way, version, byMethod) => {
    const t = await scene()
    const token = await make(t.evil.url)
    const properties = { authenticationMethod: 'JWT', authenticationData: Buffer.from(token) }
    const client = t.attach({ version })
    client.send(
      connect(byMethod ? { clientId: 'a', properties } : { version, clientId: 'a', username: 'any', password: token }),
    )
    await client.expectRefused(version === 4 ? 4 : byMethod ? 0x87 : 0x86)
    expect(t.evil.requests).toEqual([])
    expect(t.broker.sessions.size).toBe(0)
  })
})

test('the same claims, signed with the right key, let in', async () => {
  const t = await scene()
  await t.connect({ version: 4, clientId: 'a', username: 'any', password: await key.sign(claims) })
  expect(t.broker.sessions.get('a')!.context.grant).toMatchObject({ principal: 'root', roles: ['admin'] })
})
