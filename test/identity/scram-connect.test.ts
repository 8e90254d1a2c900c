/** SCRAM as enhanced authentication: who gets in, as whom, and who does not. */
import { describe, expect, test } from 'vitest'

import {
  scram,
  scramCredentials,
  type BrokerEvent,
  type BrokerOptions,
  type Challenge,
  type Deny,
  type ScramCredentials,
  type ScramOptions,
  type ScramUser,
} from '../../src/index.ts'
import { authenticationRequest } from '../support/authentication-request.ts'
import { ScramClient } from '../support/scram-client.ts'
import { answer, begin, bothCredentials, challengeOf, logIn } from '../support/scram-login.ts'
import { startBroker } from '../support/test-broker.ts'
import { auth, connect, publish, subscribe } from '../support/wire.ts'

const pencil = await bothCredentials('pencil')
const users = new Map<string, ScramUser>([
  ['anna', { credentials: pencil, roles: ['operator'], properties: { Site: 'north' } }],
  ['bob', { credentials: pencil }],
  ['x,y=z', { credentials: pencil }],
  ['IX', { credentials: pencil }],
  ['old', { credentials: pencil.slice(0, 1) }],
])
const sha256 = 'SCRAM-SHA-256'
const lookup = (name: string): ScramUser | undefined => users.get(name)

function start(options: Partial<ScramOptions> = {}, broker: BrokerOptions = {}) {
  const t = startBroker({
    authenticators: [scram({ users: lookup, unknownIterations: 4096, ...options })],
    ...broker,
  })
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => events.push(event))
  return { ...t, events }
}

describe.each(['SCRAM-SHA-256', 'SCRAM-SHA-512'])('%s', (method) => {
  test('the right password gets in, and both ends have proven themselves', async () => {
    const t = start()
    const connack = await logIn(t.attach(), method, new ScramClient(method, 'anna', 'pencil'))
    expect(connack.properties.authenticationMethod).toBe(method)
    const grant = t.broker.sessions.get('a')?.context.grant
    expect(grant).toMatchObject({
      principal: 'anna',
      roles: ['operator'],
      authenticator: 'scram',
      method,
      properties: { Site: 'north' },
    })
  })

  test('a wrong password does not', async () => {
    const t = start()
    const client = t.attach()
    const wrong = new ScramClient(method, 'anna', 'pencil ')
    begin(client, method, wrong.first())
    client.send(answer(method, wrong.final(await challengeOf(client))))
    await client.expectRefused(0x87)
    expect(t.state('a')).toBeUndefined()
  })

  test('re-authentication is a whole exchange, with an AUTH 0x00 that proves the server', async () => {
    const t = start()
    const client = t.attach()
    await logIn(client, method, new ScramClient(method, 'anna', 'pencil'))
    const again = new ScramClient(method, 'anna', 'pencil')
    client.send(auth(0x19, { authenticationMethod: method, authenticationData: again.first() }))
    client.send(answer(method, again.final(await challengeOf(client))))
    const { properties } = await client.expectPacket('auth', { reasonCode: 0 })
    again.verify(properties.authenticationData)
    await client.expectNothing()
  })
})

describe('semantics 7.9: the exchange names the identity', () => {
  const attempt = async (
    user: string,
    username: string | undefined,
    header = 'n,,',
    options: Partial<ScramOptions> = {},
  ) => {
    const t = start(options)
    const client = t.attach()
    const scramClient = new ScramClient(sha256, user, 'pencil', { header })
    const input = username === undefined ? {} : { username }
    begin(client, sha256, scramClient.first(), input)
    const first = await client.next()
    if (first === 'closed' || first.type !== 'auth') return first === 'closed' ? first : first
    client.send(answer(sha256, scramClient.final(first.properties.authenticationData)))
    await client.expectPacket('connack', { reasonCode: 0 })
    return t.broker.sessions.get('a')?.context.grant?.principal
  }

  test.each([
    ['no user name', 'anna', undefined, 'n,,', 'anna'],
    ['the same one', 'anna', 'anna', 'n,,', 'anna'],
    ['acting as itself', 'anna', undefined, 'n,a=anna,', 'anna'],
    ['a name that has to be escaped', 'x,y=z', 'x,y=z', 'n,a=x=2Cy=3Dz,', 'x,y=z'],
    ['two spellings of one name', 'I\u00ADX', '\u2168', 'n,,', 'IX'],
  ])('%s: the principal is the SCRAM user', async (_name, user, username, header, principal) => {
    expect(await attempt(user, username, header)).toBe(principal)
  })

  test.each([
    ['another user name in CONNECT', 'anna', 'bob', 'n,,'],
    ['an empty one', 'anna', '', 'n,,'],
    ['one in another case', 'anna', 'Anna', 'n,,'],
    ['acting for somebody else', 'anna', undefined, 'n,a=bob,'],
    ['a user name that SASLprep forbids', 'an\u0007na', undefined, 'n,,'],
  ])('%s is refused', async (_name, user, username, header) => {
    expect(await attempt(user, username, header)).toMatchObject({ type: 'connack', reasonCode: 0x87 })
  })

  test('where it is so configured, the user name of CONNECT is not looked at, and is nobody', async () => {
    expect(await attempt('anna', 'bob', 'n,,', { connectUsername: 'any' })).toBe('anna')
  })

  test('a re-authentication may not change the user', async () => {
    const t = start()
    const client = t.attach()
    await logIn(client, sha256, new ScramClient(sha256, 'anna', 'pencil'))
    const bob = new ScramClient(sha256, 'bob', 'pencil')
    client.send(auth(0x19, { authenticationMethod: sha256, authenticationData: bob.first() }))
    await client.expectDisconnect(0x87)
    expect(t.events.filter(({ type }) => type === 'session.reauthenticated')).toEqual([])
  })
})

/** What the client of a user sees of an exchange with a wrong proof, less what is random. */
async function observe(t: ReturnType<typeof start>, user: string, method = sha256) {
  const client = t.attach()
  const scramClient = new ScramClient(method, user, 'a guess')
  begin(client, method, scramClient.first())
  const text = String(await challengeOf(client))
  const [, salt, iterations] = /^r=[^,]+,s=([^,]+),i=(\d+)$/.exec(text)!
  client.send(answer(method, scramClient.final(Buffer.from(text))))
  await client.expectRefused(0x87)
  return {
    salt: salt!,
    saltBytes: Buffer.from(salt!, 'base64').length,
    iterations,
    end: client.lastFrame.toString('hex'),
  }
}

describe('threat 64: whether a user exists', () => {
  test.each(['SCRAM-SHA-256', 'SCRAM-SHA-512'])('%s: can not be seen in what is answered', async (method) => {
    const t = start()
    const known = await observe(t, 'anna', method)
    const unknown = await observe(t, 'nobody', method)
    const { salt: knownSalt, ...knownRest } = known
    const { salt: unknownSalt, ...unknownRest } = unknown
    expect(unknownRest).toEqual(knownRest)
    expect(unknownSalt).not.toBe(knownSalt)
    // The salt of a real user stays what it is, and so does one that is made up.
    expect((await observe(t, 'nobody', method)).salt).toBe(unknownSalt)
    expect((await observe(t, 'anna', method)).salt).toBe(knownSalt)
    expect((await observe(t, 'nobody2', method)).salt).not.toBe(unknownSalt)
  })

  test('nor that it exists for another mechanism only', async () => {
    const t = start()
    const { salt, ...rest } = await observe(t, 'old', 'SCRAM-SHA-512')
    const { salt: unknownSalt, ...unknownRest } = await observe(t, 'nobody', 'SCRAM-SHA-512')
    expect(rest).toEqual(unknownRest)
    expect(salt).not.toBe(unknownSalt)
  })

  test('nor by names of the prototype', async () => {
    const t = start()
    const { salt: _salt, ...rest } = await observe(t, 'nobody')
    for (const user of ['__proto__', 'constructor', 'toString']) expect(await observe(t, user)).toMatchObject(rest)
  })

  test('nor in the time that the answer takes', async () => {
    const authenticator = scram({ users: lookup, unknownIterations: 4096 })
    const scramClient = new ScramClient(sha256, 'anna', 'a guess')
    const exchange = async (user: string): Promise<number> => {
      const scratch = new Map<string, unknown>()
      const ask = (round: number, data: string) =>
        authenticator.authenticate(
          authenticationRequest({
            authenticationMethod: sha256,
            authenticationData: data,
            round,
            exchange: scratch,
          }),
        )
      const begun = performance.now()
      const verdict = (await ask(0, `n,,n=${user},r=abc`)) as Challenge
      const [nonce] = /^r=[^,]+/.exec(String(verdict.authenticationData))!
      const end = (await ask(1, `c=biws,${nonce},p=${proof}`)) as Deny
      expect(end.type).toBe('deny')
      return performance.now() - begun
    }
    const [, , proof] = String(scramClient.final(Buffer.from(`r=${scramClient.nonce}x,s=AAAA,i=4096`))).split(/,p=|,r=/)
    const median = (times: number[]): number => times.toSorted((a, b) => a - b)[times.length >> 1]!
    const times = { anna: [] as number[], nobody: [] as number[] }
    for (let count = 0; count < 600; count += 1) {
      for (const user of ['anna', 'nobody'] as const) {
        const took = await exchange(user)
        if (count >= 100) times[user].push(took)
      }
    }
    // One hash more or less is a factor of two here; noise is far below, since both take turns.
    expect(median(times.nobody) / median(times.anna)).toBeGreaterThan(0.75)
    expect(median(times.nobody) / median(times.anna)).toBeLessThan(1.5)
  })

  test('one secret makes the same salts in another process', async () => {
    const [one, two, other] = [start({ secret: 'x' }), start({ secret: 'x' }), start({ secret: 'y' })]
    const { salt } = await observe(one, 'nobody')
    expect((await observe(two, 'nobody')).salt).toBe(salt)
    expect((await observe(other, 'nobody')).salt).not.toBe(salt)
  })

  test('a user who has ended is one with a wrong password', async () => {
    const ended = { credentials: pencil, expiresAtMs: Date.now() - 1 }
    const t = start({ users: (name) => (name === 'ended' ? ended : lookup(name)) })
    const { salt: _salt, ...rest } = await observe(t, 'ended')
    expect(await observe(t, 'anna')).toMatchObject(rest)
    const client = t.attach()
    const right = new ScramClient(sha256, 'ended', 'pencil')
    begin(client, sha256, right.first())
    client.send(answer(sha256, right.final(await challengeOf(client))))
    await client.expectRefused(0x87)
  })
})

describe('threat 70', () => {
  const good = (): ScramClient => new ScramClient(sha256, 'anna', 'pencil')

  test.each<[string, (text: string) => string]>([
    ['fields in another order', (text) => text.replace(/n=(.*),r=(.*)/, 'r=$2,n=$1')],
    ['an extra field', (text) => `${text},x=y`],
    ['a field twice', (text) => `${text},${text.slice(text.indexOf('r='))}`],
    ['a mandatory extension', (text) => text.replace('n=anna', 'm=x,n=anna')],
    ['no gs2 header', (text) => text.slice(3)],
    ['nothing', () => ''],
  ])('%s in the first message: 0x87', async (_name, edit) => {
    const t = start()
    const client = t.attach()
    begin(client, sha256, edit(String(good().first())))
    const { properties } = await client.expectRefused(0x87)
    expect(properties).toEqual({ reasonString: 'SCRAM authentication failed' })
  })

  test('no first message: 0x87', async () => {
    const client = start().attach()
    client.send(connect({ clientId: 'a', properties: { authenticationMethod: sha256 } }))
    await client.expectRefused(0x87)
  })

  const flip = (base64: string): string => `${base64[0] === 'A' ? 'B' : 'A'}${base64.slice(1)}`
  test.each<[string, (text: string) => string]>([
    [
      'the nonce of the server edited',
      (text) => text.replace(/r=(.*),p/, (_all, r: string) => `r=${r.slice(0, -1)}~,p`),
    ],
    ['the nonce of the server left out', (text) => text.replace(/r=(.{16}).*,p/, 'r=$1,p')],
    ['the nonce of the client edited', (text) => text.replace(/r=./, 'r=~')],
    ['the proof edited', (text) => text.replace(/p=(.*)/, (_all, p: string) => `p=${flip(p)}`)],
    ['a short proof', (text) => text.replace(/p=.*/, 'p=AAAA')],
    ['another header', (text) => text.replace('c=biws', `c=${Buffer.from('y,,').toString('base64')}`)],
    ['data of a channel', (text) => text.replace('c=biws', `c=${Buffer.from('n,,x').toString('base64')}`)],
    ['fields in another order', (text) => text.replace(/(c=.*),(r=.*),(p=.*)/, '$2,$1,$3')],
    ['an extra field', (text) => text.replace(',p=', ',x=y,p=')],
    ['a field behind the proof', (text) => `${text},x=y`],
    ['a mandatory extension', (text) => `m=x,${text}`],
    ['a field twice', (text) => text.replace('c=biws', 'c=biws,c=biws')],
    ['nothing', () => ''],
  ])('%s in the final message: 0x87', async (_name, edit) => {
    const t = start()
    const client = t.attach()
    const scramClient = good()
    begin(client, sha256, scramClient.first())
    const text = String(scramClient.final(await challengeOf(client)))
    expect(edit(text)).not.toBe(text)
    client.send(answer(sha256, edit(text)))
    const { properties } = await client.expectRefused(0x87)
    expect(properties).toEqual({ reasonString: 'SCRAM authentication failed' })
  })

  test('another nonce in the final message, with the proof that goes with it: 0x87', async () => {
    const t = start()
    const client = t.attach()
    const finalNonce = (nonce: string): string => `${nonce}x`
    const scramClient = new ScramClient(sha256, 'anna', 'pencil', { finalNonce })
    begin(client, sha256, scramClient.first())
    client.send(answer(sha256, scramClient.final(await challengeOf(client))))
    await client.expectRefused(0x87)
  })

  test('a recorded exchange, replayed: 0x87', async () => {
    const t = start()
    const victim = good()
    const first = victim.first()
    const client = t.attach()
    begin(client, sha256, first, { clientId: 'victim' })
    const final = victim.final(await challengeOf(client))
    client.send(answer(sha256, final))
    await client.expectPacket('connack', { reasonCode: 0 })
    const thief = t.attach()
    begin(thief, sha256, first, { clientId: 'victim' })
    await challengeOf(thief)
    thief.send(answer(sha256, final))
    await thief.expectRefused(0x87)
    await client.expectNothing()
  })

  test('a second proof, in case the first one is wrong, is one AUTH too many', async () => {
    const t = start()
    const client = t.attach()
    const scramClient = good()
    begin(client, sha256, scramClient.first())
    const final = String(scramClient.final(await challengeOf(client)))
    client.send(answer(sha256, final.replace(/p=./, 'p=~')), answer(sha256, final))
    await client.expectRefused(0x82)
    expect(t.state('a')).toBeUndefined()
  })

  test('every exchange has a nonce of its own', async () => {
    const t = start()
    const nonces = new Set<string>()
    for (let count = 0; count < 50; count += 1) {
      const client = t.attach()
      begin(client, sha256, 'n,,n=anna,r=same', { clientId: `c${count}` })
      const [, nonce] = /^r=same([^,]+),/.exec(String(await challengeOf(client)))!
      expect(nonce!.length).toBeGreaterThanOrEqual(24)
      nonces.add(nonce!)
      client.drop()
    }
    expect(nonces.size).toBe(50)
  })
})

describe('threat 71: without TLS', () => {
  test.each([
    ['a client that was told of no channel binding', sha256, 'y,,'],
    ['channel binding with the method without it', sha256, 'p=tls-exporter,,'],
    ['none with the method that has it', `${sha256}-PLUS`, 'n,,'],
    ['the method with it, where there is no TLS', `${sha256}-PLUS`, 'p=tls-exporter,,'],
    ['a binding of no known type', `${sha256}-PLUS`, 'p=constructor,,'],
  ])('%s: 0x87', async (_name, method, header) => {
    const client = start().attach()
    begin(client, method, new ScramClient(method, 'anna', 'pencil', { header }).first())
    await client.expectRefused(0x87)
  })

  test('a server without channel binding hides nothing from a client that has it', async () => {
    const t = start({ channelBinding: 'none' })
    await logIn(t.attach(), sha256, new ScramClient(sha256, 'anna', 'pencil', { header: 'y,,' }))
    const plus = t.attach()
    begin(plus, `${sha256}-PLUS`, 'p=tls-exporter,,n=anna,r=abc', { clientId: 'b' })
    await plus.expectRefused(0x8c)
  })

  test.each([
    ['channel binding is required', { channelBinding: 'require' }, sha256],
    ['the other mechanism is the only one', { mechanisms: ['SCRAM-SHA-512'] }, sha256],
    ['SHA-1', {}, 'SCRAM-SHA-1'],
    ['a method of another spelling', {}, 'scram-sha-256'],
  ] as const)('%s: 0x8C', async (_name, options, method) => {
    const client = start(options).attach()
    begin(client, method, new ScramClient(method, 'anna', 'pencil').first())
    await client.expectRefused(0x8c)
  })

  test.each([
    ['to begin with', []],
    [
      'in the exchange',
      [auth(0x19, { authenticationMethod: sha256, authenticationData: Buffer.from('n,,n=anna,r=abc') })],
    ],
  ])('another method at a re-authentication, %s: 0x8C', async (_name, before) => {
    const t = start()
    const client = t.attach()
    await logIn(client, sha256, new ScramClient(sha256, 'anna', 'pencil'))
    for (const bytes of before) {
      client.send(bytes)
      await challengeOf(client)
    }
    const method = 'SCRAM-SHA-512'
    const data = new ScramClient(method, 'anna', 'pencil').first()
    client.send(auth(before.length === 0 ? 0x19 : 0x18, { authenticationMethod: method, authenticationData: data }))
    await client.expectDisconnect(0x8c)
  })
})

describe('threat 72: before it has succeeded', () => {
  test.each([
    ['PUBLISH', publish({ topic: 't', payload: 'x' })],
    ['SUBSCRIBE', subscribe({ filters: ['#'] })],
    ['AUTH 0x19', auth(0x19, { authenticationMethod: sha256 })],
    ['AUTH 0x00', auth(0x00, { authenticationMethod: sha256 })],
  ])('%s: 0x82 and no effect', async (_name, bytes) => {
    const t = start({}, { allowAnonymous: true })
    const watcher = await t.connect({ clientId: 'watcher' })
    await watcher.subscribe(['#'])
    const client = t.attach()
    begin(client, sha256, new ScramClient(sha256, 'anna', 'pencil').first())
    await challengeOf(client)
    client.send(bytes)
    await client.expectRefused(0x82)
    await t.settle()
    await watcher.expectNothing()
  })
})

describe('users from a function', () => {
  const one = (user: unknown) => start({ users: () => user as ScramUser })
  const weak = { ...pencil[0], iterations: 1 } as ScramCredentials

  test.each<[string, () => ReturnType<typeof start>]>([
    [
      'one that throws',
      () =>
        start({
          users: () => {
            throw new Error('no database')
          },
        }),
    ],
    ['one that rejects', () => start({ users: () => Promise.reject(new Error('no database')) })],
    ['credentials with too few iterations', () => one({ credentials: [weak] })],
    ['no credentials', () => one({})],
  ])('%s lets nobody in, and says so in an event', async (_name, make) => {
    const t = make()
    const client = t.attach()
    begin(client, sha256, new ScramClient(sha256, 'anna', 'pencil').first())
    await client.expectRefused(0x87)
    await t.settle()
    expect(t.events.find(({ type }) => type === 'hook.failed')).toMatchObject({ hook: 'authenticate' })
  })

  test('it gets the name as SASLprep has it, and the request', async () => {
    const seen: unknown[] = []
    const t = start({
      users: async (name, { clientId, round }) => {
        seen.push([name, clientId, round])
        return lookup(name)
      },
    })
    await logIn(t.attach(), sha256, new ScramClient(sha256, 'I\u00ADX', 'pencil'))
    expect(seen).toEqual([['IX', 'a', 0]])
  })
})

describe('options', () => {
  test.each([
    ['no mechanism', { mechanisms: [] }],
    ['a mechanism of old', { mechanisms: ['SCRAM-SHA-1'] as never }],
    ['too few iterations', { unknownIterations: 1 }],
  ])('%s is refused', (_name, options) => {
    expect(() => scram({ users: lookup, ...options })).toThrow(expect.objectContaining({ code: 'SMQ_OPTION_INVALID' }))
  })
})

test('threat 94: no password and no key in events, snapshots, logs and errors', async () => {
  const password = 'canary-6f1d'
  const credentials = await scramCredentials(password, { iterations: 4096 })
  const lines: unknown[] = []
  const log = (details: object, message: string): void => void lines.push(details, message)
  const logger = { debug: log, info: log, warn: log, error: log, isLevelEnabled: () => true }
  const t = start(
    { users: (name) => (name === 'anna' ? { credentials: [credentials] } : undefined), logger },
    { logger },
  )
  const client = t.attach()
  await logIn(client, sha256, new ScramClient(sha256, 'anna', password), { password: `${password}-too` })
  const snapshots = JSON.stringify(t.broker.sessions.get('a')?.actorRef.getPersistedSnapshot())
  for (const guess of ['anna', 'nobody']) await observe(t, guess)
  client.send(auth(0x19, { authenticationMethod: sha256, authenticationData: Buffer.from(`n,,n=bob,r=${password}`) }))
  await client.expectDisconnect(0x87)
  await t.settle()
  const shown = [snapshots, ...t.events.map(show), ...lines.map(show)].join('\n')
  expect(shown).toContain('anna')
  const secrets = [credentials.storedKey, credentials.serverKey, credentials.salt]
  for (const secret of [password, ...secrets.flatMap((key) => [key.toString('base64'), key.toString('hex')])])
    expect(shown).not.toContain(secret)
})

function show(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    each instanceof Error ? `${each.stack} ${show(Object.entries(each))} ${show(each.cause ?? '')}` : each,
  )
}
