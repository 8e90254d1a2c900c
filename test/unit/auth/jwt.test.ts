/** The authenticator for tokens by itself: which tokens it takes, and what it makes of their claims. */
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { jwt, type Grant, type JwtAlgorithm, type JwtOptions, type Verdict } from '../../../src/index.ts'
import { jwtDefaults } from '../../../src/auth/jwt-options.ts'
import { authenticationRequest } from '../../support/authentication-request.ts'
import {
  audience,
  defaults,
  forge,
  issuer,
  jwksServer,
  seconds,
  signingInput,
  signingKey,
  signWithSecret,
} from '../../support/jwt-issuer.ts'
import { readFiles } from '../../support/source-files.ts'

const es = await signingKey('ES256', 'es')
const rs = await signingKey('RS256', 'rs')
const secret = randomBytes(32)
const nowMs = Math.floor(Date.now() / 1000) * 1000
const clock = { nowMs: () => nowMs }
const checked = { issuer, audience, clock } as const

function authenticator(options: Partial<JwtOptions> = {}) {
  const own = jwt({ ...checked, keys: [{ jwk: es.jwk }, { jwk: rs.jwk }], ...options })
  return (token: string, request: Parameters<typeof authenticationRequest>[0] = {}): Promise<Verdict> | Verdict =>
    own.authenticate(
      authenticationRequest(
        request.authenticationMethod === undefined
          ? { password: token, ...request }
          : { authenticationData: token, ...request },
      ),
    )
}

const refused = (reason: string, reasonCode = 0x86) => ({ type: 'deny', reasonCode, reason })
const accepted = {
  type: 'allow',
  principal: 'press-1',
  roles: [],
  expiresAtMs: seconds(3600, nowMs) * 1000,
}
const valid = { exp: seconds(3600, nowMs) }

describe('signatures', () => {
  test.each(['ES256', 'EdDSA', 'RS256', 'PS256'])('%s is taken by default', async (alg) => {
    const key = await signingKey(alg)
    for (const keys of [[{ jwk: key.jwk }], [{ pem: key.pem }]])
      expect(await authenticator({ keys })(await key.sign(valid))).toEqual(accepted)
  })

  test('HS256 is taken with a secret, and by default only then', async () => {
    const token = await signWithSecret(secret, valid)
    expect(await authenticator({ keys: [{ secret }] })(token)).toEqual(accepted)
    expect(await authenticator()(token)).toEqual(refused('the algorithm of the token is not allowed'))
    const other = await signWithSecret(randomBytes(32), valid)
    expect(await authenticator({ keys: [{ secret }] })(other)).toEqual(refused('the signature of the token is wrong'))
  })

  test('an algorithm that is not allowed is refused, whatever the key could do', async () => {
    const ask = authenticator({ algorithms: ['ES256'] })
    expect(await ask(await es.sign(valid))).toEqual(accepted)
    expect(await ask(await rs.sign(valid))).toEqual(refused('the algorithm of the token is not allowed'))
  })

  test('of several keys without kid the one that signed is found', async () => {
    const [one, two] = [await signingKey('ES256'), await signingKey('ES256')]
    const ask = authenticator({ keys: [{ jwk: one.jwk }, { pem: two.pem }] })
    expect(await ask(await two.sign(valid))).toEqual(accepted)
    expect(await ask(await two.sign(valid, { kid: 'any' }))).toEqual(accepted)
    expect(await ask(await es.sign(valid))).toEqual(refused('the signature of the token is wrong'))
  })

  test('a changed byte anywhere breaks it', async () => {
    const ask = authenticator()
    const token = await es.sign(valid)
    await fc.assert(
      fc.asyncProperty(
        fc.nat(token.length - 1),
        fc.constantFrom('A', 'Q', 'g', 'w', '_', '-', '.'),
        async (at, character) => {
          fc.pre(token[at] !== character)
          const changed = token.slice(0, at) + character + token.slice(at + 1)
          // The last character of a part may differ in bits that base64url does not use.
          fc.pre(!sameBytes(changed, token))
          expect((await ask(changed)).type).not.toBe('allow')
        },
      ),
    )
  })
})

function sameBytes(a: string, b: string): boolean {
  const bytes = (token: string): string[] =>
    token.split('.').map((part) => Buffer.from(part, 'base64url').toString('hex'))
  return bytes(a).join() === bytes(b).join()
}

describe('threat 66: forged signatures', () => {
  const everything: readonly JwtAlgorithm[] = ['ES256', 'RS256', 'PS256', 'EdDSA', 'HS256']
  const ask = authenticator({ keys: [{ jwk: es.jwk }, { jwk: rs.jwk }, { secret }], algorithms: everything })

  test.each(['none', 'None', 'NONE', 'nOnE', '', 'HS256 ', 'constructor', '__proto__', 'toString'])(
    'alg %j',
    async (alg) => {
      const expected = refused('the algorithm of the token is not allowed')
      for (const signature of [Buffer.alloc(0), randomBytes(32)])
        expect(await ask(forge({ alg, kid: 'es' }, defaults(valid), signature))).toEqual(expected)
    },
  )

  test.each([[{}], [{ alg: 5 }], [{ alg: null }], [{ alg: ['ES256'] }]])('header %j', async (header) => {
    expect(await ask(forge(header, defaults(valid)))).toEqual(refused('the algorithm of the token is not allowed'))
  })

  test('a public key as the secret of HS256, in every form that it has', async () => {
    const der = Buffer.from(rs.pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
    const n = Buffer.from(rs.jwk.n!, 'base64url')
    const forms = [rs.pem, rs.pem.trim(), JSON.stringify(rs.jwk), rs.jwk.n!, der, n, es.pem, JSON.stringify(es.jwk)]
    for (const form of forms) {
      for (const kid of ['rs', 'es', undefined]) {
        const header = { alg: 'HS256', ...(kid === undefined ? {} : { kid }) }
        const signature = createHmac('sha256', form)
          .update(signingInput(header, defaults(valid)))
          .digest()
        expect(await ask(forge(header, defaults(valid), signature))).toEqual(
          refused('the signature of the token is wrong'),
        )
      }
    }
  })

  test('a public key is not taken as a secret from the options either', () => {
    for (const form of [rs.pem, `\n${rs.pem}`, JSON.stringify(rs.jwk), JSON.stringify({ keys: [rs.jwk] }, null, 2)]) {
      expect(() => jwt({ ...checked, keys: [{ secret: Buffer.from(form) }] })).toThrow('a secret is a public key')
    }
  })

  test('a secret in a published set is of no use', async () => {
    const server = await jwksServer([])
    const k = secret.toString('base64url')
    server.publish([{ kty: 'oct', k, kid: 'shared', alg: 'HS256' }])
    const remote = authenticator({
      keys: [{ secret: randomBytes(32) }],
      jwks: { url: server.url },
      algorithms: ['HS256', 'ES256'],
    })
    const header = { alg: 'HS256', kid: 'shared' }
    const signature = createHmac('sha256', secret)
      .update(signingInput(header, defaults(valid)))
      .digest()
    expect((await remote(forge(header, defaults(valid), signature))).type).toBe('deny')
  })

  test('an empty, short or swapped signature', async () => {
    const token = await es.sign(valid)
    const [head, body, signature] = token.split('.') as [string, string, string]
    const zeros = Buffer.alloc(64).toString('base64url')
    for (const other of ['', 'AA', zeros, signature.slice(0, 40), (await rs.sign(valid)).split('.')[2]!])
      expect(await ask(`${head}.${body}.${other}`)).toEqual(refused('the signature of the token is wrong'))
    // A signature of one kind of key under the name of another.
    const named = await es.sign(valid, { kid: 'rs' })
    expect(await ask(named)).toEqual(refused('the token names an unknown key'))
  })
})

describe('threat 67: headers that bring or choose a key', () => {
  test.each(['jku', 'x5u', 'jwk', 'x5c', 'crit'])('%s is refused, and nothing is fetched', async (name) => {
    const mine = await signingKey('ES256', 'es')
    const elsewhere = await jwksServer([mine])
    const values = { jku: elsewhere.url, x5u: elsewhere.url, jwk: mine.jwk, x5c: ['MIIB'], crit: ['exp'] }
    const header = { alg: 'ES256', kid: 'es', [name]: values[name as 'jku'] }
    const signed = forge(header, defaults(valid), randomBytes(64))
    expect(await authenticator()(signed)).toEqual(refused('the token has a header that is not accepted'))
    expect(elsewhere.requests).toEqual([])
  })

  test('a token of our own is refused with them too', async () => {
    const token = await es.sign(valid, { jku: 'https://evil.example/keys' })
    expect(await authenticator()(token)).toEqual(refused('the token has a header that is not accepted'))
  })

  test.each([
    '../../../dev/null',
    '/etc/passwd',
    '__proto__',
    'constructor',
    'toString',
    "' or 1=1 --",
    '',
    'http://127.0.0.1/',
    'x'.repeat(2000),
  ])('kid %j names an unknown key', async (kid) => {
    const server = await jwksServer([es])
    const ask = authenticator({ keys: [], jwks: { url: server.url } })
    const stranger = await signingKey('ES256', kid)
    expect(await ask(await stranger.sign(valid))).toEqual(refused('the token names an unknown key'))
    expect(await ask(await es.sign(valid))).toEqual(accepted)
    expect(server.requests).toEqual(['/keys'])
  })

  test.each([5, null, ['es'], { toString: 'es' }])('kid %j is malformed', async (kid) => {
    expect(await authenticator()(forge({ alg: 'ES256', kid }, defaults(valid), randomBytes(64)))).toEqual(
      refused('the token is malformed'),
    )
  })
})

describe('threat 68: time, issuer and audience', () => {
  const ask = authenticator({ skewSeconds: 60 })

  test('exp is needed, and is the end of the grant without the tolerance', async () => {
    expect(await ask(await es.sign({ exp: seconds(1, nowMs) }))).toEqual({ ...accepted, expiresAtMs: nowMs + 1000 })
    expect(await ask(await es.sign({ exp: nowMs / 1000 + 1.5 }))).toEqual({ ...accepted, expiresAtMs: nowMs + 1500 })
    for (const exp of [undefined, null, 'tomorrow', '99999999999', 1e300, [seconds(60)]])
      expect(await ask(await es.sign({ exp }))).toEqual(refused('a claim of the token is missing or unusable'))
  })

  test('a token that is over by our clock is taken within the tolerance, and its grant ends with that', async () => {
    expect(await ask(await es.sign({ exp: seconds(-59, nowMs) }))).toEqual({ ...accepted, expiresAtMs: nowMs + 1000 })
    expect(await ask(await es.sign({ exp: seconds(-60, nowMs) }))).toEqual(refused('the token has expired'))
    const strict = authenticator({ skewSeconds: 0 })
    expect(await strict(await es.sign({ exp: nowMs / 1000 }))).toEqual(refused('the token has expired'))
  })

  test('nbf', async () => {
    expect((await ask(await es.sign({ ...valid, nbf: seconds(60, nowMs) }))).type).toBe('allow')
    expect(await ask(await es.sign({ ...valid, nbf: seconds(61, nowMs) }))).toEqual(
      refused('the token is not yet valid'),
    )
    expect(await ask(await es.sign({ ...valid, nbf: 'soon' }))).toEqual(
      refused('a claim of the token is missing or unusable'),
    )
  })

  test('no more than 60 seconds of tolerance can be configured', () => {
    for (const skewSeconds of [61, -1, Infinity, Number.NaN])
      expect(() => jwt({ ...checked, keys: [{ jwk: es.jwk }], skewSeconds })).toThrow('skewSeconds')
  })

  test.each([undefined, 'https://id.example/', 'https://evil.example', '', ['https://id.example'], null])(
    'iss %j',
    async (iss) => {
      expect(await ask(await es.sign({ ...valid, iss }))).toEqual(refused('the token has the wrong issuer'))
    },
  )

  test.each([undefined, 'other', 'brok', [], ['other'], { broker: true }, null])('aud %j', async (aud) => {
    expect(await ask(await es.sign({ ...valid, aud }))).toEqual(refused('the token is for another audience'))
  })

  test('one of several issuers and audiences will do', async () => {
    const several = authenticator({ issuer: [issuer, 'https://b'], audience: ['x', audience] })
    expect((await several(await es.sign({ ...valid, iss: 'https://b', aud: ['y', 'x'] }))).type).toBe('allow')
    expect((await several(await es.sign({ ...valid, iss: 'https://c' }))).type).toBe('deny')
  })

  test('neither is looked at when that is said, and only then', async () => {
    const open = authenticator({ issuer: false, audience: false })
    expect((await open(await es.sign({ ...valid, iss: undefined, aud: undefined }))).type).toBe('allow')
    for (const wrong of [undefined, '', [], [''], null, 5]) {
      expect(() => jwt({ ...checked, keys: [{ jwk: es.jwk }], issuer: wrong as unknown as string })).toThrow('issuer')
      expect(() => jwt({ ...checked, keys: [{ jwk: es.jwk }], audience: wrong as unknown as string })).toThrow(
        'audience',
      )
    }
  })

  test('a lifetime can be capped, from iat or from now', async () => {
    const short = authenticator({ maxLifetimeSeconds: 600 })
    const lifetime = async (claims: object) => (await short(await es.sign({ ...claims }))).type
    expect(await lifetime({ exp: seconds(600, nowMs) })).toBe('allow')
    expect(await lifetime({ exp: seconds(500, nowMs), iat: seconds(-100, nowMs) })).toBe('allow')
    expect(await short(await es.sign({ exp: seconds(601, nowMs) }))).toEqual(
      refused('the lifetime of the token is too long'),
    )
    expect(await lifetime({ exp: seconds(500, nowMs), iat: seconds(-101, nowMs) })).toBe('deny')
    expect(await lifetime({ exp: seconds(10_000, nowMs), iat: seconds(9_900, nowMs) })).toBe('deny')
  })

  test('typ and required claims', async () => {
    const strict = authenticator({ typ: 'at+jwt', requiredClaims: ['jti'] })
    expect((await strict(await es.sign({ ...valid, jti: '1' }, { typ: 'application/at+jwt' }))).type).toBe('allow')
    expect(await strict(await es.sign({ ...valid, jti: '1' }))).toEqual(refused('the token has the wrong type'))
    expect((await strict(await es.sign(valid, { typ: 'at+jwt' }))).type).toBe('deny')
  })
})

describe('what is no token', () => {
  test.each(['', 'secret', 'a.b.c', 'e30', '..', 'eyJ.eyJ.', 'ünï.cöd.ë'])(
    'password %j is left to others',
    async (password) => {
      expect(await authenticator()(password)).toEqual({ type: 'next' })
    },
  )

  test('no password is left to others', async () => {
    expect(await jwt({ ...checked, keys: [{ jwk: es.jwk }] }).authenticate(authenticationRequest())).toEqual({
      type: 'next',
    })
  })

  test.each([
    'secret',
    'a.b.c',
    'eyJhbGciOiJFUzI1NiJ9',
    'eyJhbGciOiJFUzI1NiJ9.e30',
    'eyJhbGciOiJFUzI1NiJ9.e30.x.y.z',
    'eyJhbGciOiJFUzI1NiJ9.e 30.x',
    'WyJhIl0.e30.x',
    'bnVsbA.e30.x',
  ])('authentication data %j is refused', async (data) => {
    expect(await authenticator()(data, { authenticationMethod: 'JWT' })).toEqual(
      refused('the token is malformed', 0x87),
    )
  })

  test('claims that are no object are refused', async () => {
    const ask = authenticator({ keys: [{ secret }] })
    for (const claims of ['[]', 'null', '5', '{', '']) {
      const input = `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.${Buffer.from(claims).toString('base64url')}`
      const signature = createHmac('sha256', secret).update(input).digest('base64url')
      expect(await ask(`${input}.${signature}`)).toEqual(refused('the token is malformed'))
    }
  })

  test('a long token is refused before it is looked at', async () => {
    const token = await es.sign({ ...valid, padding: 'x'.repeat(8_192) })
    expect(await authenticator()(token)).toEqual(refused('the token is too long'))
    expect((await authenticator({ maxTokenBytes: 20_000 })(token)).type).toBe('allow')
    expect(await authenticator()(`${'x'.repeat(60_000)}`)).toEqual({ type: 'next' })
  })

  test('any bytes are answered, and never with an error', async () => {
    const ask = authenticator()
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (bytes, viaMethod) => {
        const verdict = await ask(
          Buffer.from(bytes).toString('latin1'),
          viaMethod ? { authenticationMethod: 'JWT', round: 1 } : {},
        )
        expect(verdict.type).toBe(viaMethod ? 'deny' : 'next')
      }),
    )
  })

  test('tokens of other issuers can be left to the next one', async () => {
    const ask = authenticator({ otherIssuers: 'next', algorithms: ['ES256'] })
    expect(await ask(await rs.sign({ ...valid, iss: 'https://b' }))).toEqual({ type: 'next' })
    expect(await ask(await rs.sign({ ...valid, iss: undefined }))).toEqual({ type: 'next' })
    expect((await ask(await rs.sign(valid))).type).toBe('deny')
    expect(await ask(await es.sign(valid))).toEqual(accepted)
  })
})

describe('claims', () => {
  test('the principal is sub, or another claim', async () => {
    expect(await authenticator()(await es.sign({ ...valid, sub: 'anna' }))).toMatchObject({ principal: 'anna' })
    const nested = authenticator({ principalClaim: ['user', 'https://x/id'] })
    expect(await nested(await es.sign({ ...valid, user: { 'https://x/id': 'anna' } }))).toMatchObject({
      principal: 'anna',
    })
    for (const sub of [undefined, '', 5, null, ['anna'], '\ud800'])
      expect(await authenticator()(await es.sign({ ...valid, sub }))).toEqual(
        refused('a claim of the token is missing or unusable'),
      )
  })

  test.each([
    ['a b  c', ['a', 'b', 'c']],
    [
      ['a', 'b c'],
      ['a', 'b c'],
    ],
    [undefined, []],
    [null, []],
    ['', []],
  ])('roles %j are %j', async (roles, expected) => {
    expect(await authenticator()(await es.sign({ ...valid, roles }))).toMatchObject({ roles: expected })
  })

  test.each([5, { a: true }, ['a', 5], [['a']], true])('roles %j are refused', async (roles) => {
    expect((await authenticator()(await es.sign({ ...valid, roles }))).type).toBe('deny')
  })

  test('roles come from a nested claim, through a mapping, and from the options', async () => {
    const ask = authenticator({
      rolesClaim: ['realm_access', 'roles'],
      roleMapping: { admin: ['operator', 'viewer'], user: 'viewer' },
      roles: ['everybody'],
    })
    const realm_access = { roles: ['admin', 'constructor', '__proto__', 'other'] }
    expect(await ask(await es.sign({ ...valid, realm_access }))).toMatchObject({
      roles: ['everybody', 'operator', 'viewer'],
    })
    expect(await ask(await es.sign({ ...valid, roles: ['admin'] }))).toMatchObject({ roles: ['everybody'] })
    expect(await authenticator({ rolesClaim: false })(await es.sign({ ...valid, roles: ['a'] }))).toMatchObject({
      roles: [],
    })
  })

  test('session properties come from claims; what is missing is left out', async () => {
    const ask = authenticator({
      properties: { tenant: 'tid', floor: ['place', 'floor'], vip: 'vip', none: 'none', $Country: 'country' },
    })
    const verdict = await ask(await es.sign({ ...valid, tid: 'acme', place: { floor: 3 }, vip: true, country: 'DE' }))
    expect(verdict).toEqual({ ...accepted, properties: { tenant: 'acme', floor: '3', vip: 'true', $Country: 'DE' } })
    expect((await ask(await es.sign({ ...valid, tid: ['acme'] }))).type).toBe('deny')
  })

  test('paths follow own members only', async () => {
    const ask = authenticator({ properties: { a: '__proto__', b: ['constructor', 'name'], c: ['sub', 'length'] } })
    expect(await ask(await es.sign(valid))).toEqual({ ...accepted, properties: {} })
    expect(() => jwt({ ...checked, keys: [{ jwk: es.jwk }], properties: { $Roles: 'r' } })).toThrow('$Roles')
  })

  test('limits come from the options, and from a claim only where one is named', async () => {
    const limits = { maxQueuedMessages: 5, maxPacketBytes: 1000 }
    const connack = { maximumQoS: 1 } as const
    const token = await es.sign({ ...valid, limits: { maxQueuedMessages: 7 } })
    expect(await authenticator({ limits, connack })(token)).toEqual({ ...accepted, limits, connack })
    expect(await authenticator({ limits, limitsClaim: 'limits' })(token)).toEqual({
      ...accepted,
      limits: { maxQueuedMessages: 7, maxPacketBytes: 1000 },
    })
    expect((await authenticator({ limitsClaim: 'limits' })(await es.sign({ ...valid, limits: [1] }))).type).toBe('deny')
  })

  test('a user name must be the claim where one is named', async () => {
    const token = await es.sign({ ...valid, email: 'anna@example' })
    const ask = authenticator({ usernameClaim: 'email' })
    expect((await ask(token, { username: 'anna@example' })).type).toBe('allow')
    expect((await ask(token)).type).toBe('allow')
    expect(await ask(token, { username: 'press-1' })).toEqual(refused('the token belongs to another user name'))
    expect((await authenticator()(token, { username: 'whatever' })).type).toBe('allow')
  })
})

describe('semantics 7.9: the authentication method names the identity', () => {
  const method = { authenticationMethod: 'JWT' }

  test('a user name of another is refused unless that is configured', async () => {
    const token = await es.sign(valid)
    expect(await authenticator()(token, method)).toEqual(accepted)
    expect(await authenticator()(token, { ...method, username: 'press-1' })).toEqual(accepted)
    expect(await authenticator()(token, { ...method, username: 'other' })).toEqual(
      refused('the token belongs to another user name', 0x87),
    )
    expect((await authenticator({ usernameClaim: false })(token, { ...method, username: 'other' })).type).toBe('allow')
  })

  test('a client that sends no token is asked for it once', async () => {
    expect(await authenticator()('', method)).toEqual({ type: 'challenge' })
    expect(await authenticator()('', { ...method, round: 1 })).toEqual(refused('the token is malformed', 0x87))
    expect((await authenticator()(await es.sign(valid), { ...method, round: 1 })).type).toBe('allow')
  })

  test('a re-authentication keeps its principal', async () => {
    const again = { ...method, reauthentication: true, grant: { principal: 'press-1' } as Grant }
    expect(await authenticator()(await es.sign(valid), again)).toEqual(accepted)
    const other = await es.sign({ ...valid, sub: 'press-2' })
    expect(await authenticator()(other, again)).toEqual(refused('the token belongs to another principal', 0x87))
  })

  test('each way can be switched off', () => {
    const ways = (options: Partial<JwtOptions>) => {
      const { methods, withoutMethod } = jwt({ ...checked, keys: [{ jwk: es.jwk }], ...options })
      return [methods, withoutMethod]
    }
    expect(ways({})).toEqual([['JWT'], true])
    expect(ways({ method: 'OAUTH2-JWT', password: false })).toEqual([['OAUTH2-JWT'], false])
    expect(ways({ method: false })).toEqual([[], true])
    expect(() => ways({ method: false, password: false })).toThrow('password and method')
  })
})

describe('options that can work for nobody', () => {
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const privateKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const spki = { format: 'pem', type: 'spki' } as const
  const cases: [string, Partial<JwtOptions>, string][] = [
    ['no keys', { keys: [] }, 'one of jwks, jwksFile and keys'],
    ['a short secret', { keys: [{ secret: randomBytes(31) }] }, '32 bytes'],
    ['a secret too short for its algorithm', { keys: [{ secret }], algorithms: ['HS512'] }, 'HS512 has 64'],
    ['HS256 without a secret', { algorithms: ['HS256'] }, 'HS256 needs a secret'],
    ['RS256 with a secret only', { keys: [{ secret }], algorithms: ['RS256'] }, 'RS256 needs public keys'],
    ['none', { algorithms: ['none' as JwtAlgorithm] }, 'there is no "none"'],
    ['__proto__', { algorithms: ['__proto__' as JwtAlgorithm] }, 'there is no "__proto__"'],
    ['no algorithm', { algorithms: [] }, 'at least one'],
    ['a secret as jwk', { keys: [{ jwk: { kty: 'oct', k: 'AAAA' } }] }, 'a public key is needed'],
    [
      'a private jwk',
      { keys: [{ jwk: privateKey.export({ format: 'jwk' }) as { kty: string } }] },
      'a public key is needed',
    ],
    [
      'a private pem',
      { keys: [{ pem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() }] },
      'private key',
    ],
    ['a pem that is none', { keys: [{ pem: 'hello' }] }, 'no public key'],
    ['a broken jwk', { keys: [{ jwk: { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' } }] }, "can't be used"],
    ['a short RSA key', { keys: [{ pem: short.publicKey.export(spki).toString() }] }, '2,048 bits'],
    ['http', { jwks: { url: 'http://id.example/keys' } }, 'https is needed'],
    ['http to a name that only looks local', { jwks: { url: 'http://127.0.0.1.evil.example/' } }, 'https is needed'],
    ['a file URL', { jwks: { url: 'file:///etc/passwd' } }, 'https is needed'],
    ['credentials in the URL', { jwks: { url: 'https://u:p@id.example/' } }, 'credentials'],
    ['no URL', { jwks: { url: 'keys' } }, 'no URL'],
    ['a cooldown longer than the refresh', { jwks: { url: 'https://a/', refreshSeconds: 5 } }, 'cooldownSeconds'],
    ['a missing file', { jwksFile: '/nonexistent/keys.json' }, 'ENOENT'],
  ]

  test.each(cases)('%s', (_name, options, message) => {
    const make = (): unknown => jwt({ ...checked, keys: [{ jwk: es.jwk }], ...options })
    expect(make).toThrow(message)
    expect(make).toThrow(expect.objectContaining({ code: 'SMQ_OPTION_INVALID' }))
  })

  test.each(['https://id.example/keys', 'http://localhost:1/keys', 'http://127.0.0.2/', 'http://[::1]:9/'])(
    '%s is taken',
    async (url) => {
      await jwt({ ...checked, jwks: { url } }).close?.()
    },
  )

  test('http from another machine is taken where that is said', async () => {
    await jwt({ ...checked, jwks: { url: 'http://id.example/keys', allowHttp: true } }).close?.()
  })
})

test('threat 94: an authenticator that is looked at shows neither secrets nor tokens', async () => {
  const canary = Buffer.from('canary-secret-0123456789abcdefgh')
  const own = jwt({ ...checked, keys: [{ secret: canary }] })
  const token = await signWithSecret(canary, valid)
  const verdict = await own.authenticate(authenticationRequest({ password: token }))
  const shown = inspect([own, verdict], { depth: 10, showHidden: true }) + JSON.stringify([own, verdict])
  expect(shown).not.toContain(token)
  expect(shown).not.toContain('canary')
  expect(shown).not.toContain(inspect(canary).slice(8, 40))
})

test('docs/authenticators.md lists every default, and no other', () => {
  const [page] = readFiles('docs/authenticators.md')
  const [, section = ''] = /^## JSON Web Tokens$([^]*?)^## /m.exec(page!.text) ?? []
  const rows = [...section.matchAll(/^\| `(?:jwks\.)?(\w+)` \| ([\d,]+|any) \|/gm)].map(([, name, value]) => [
    name,
    value === 'any' ? Infinity : Number(value!.replaceAll(',', '')),
  ])
  expect(Object.fromEntries(rows)).toEqual(jwtDefaults)
})
