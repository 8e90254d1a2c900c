import { describe, expect, test } from 'vitest'

import { hashPassword } from '../../src/auth/password-hash.ts'
import { allTokens, startAdmin, tokens, type Answer } from '../support/admin-api.ts'
import { NodeLikeClock } from '../support/simulated-clock.ts'
import { TestAuthority } from '../support/certificates.ts'

/** The cheapest that is taken: these tests are not about what it costs. */
const cheap = { memoryKibibytes: 8, passes: 1 }

function cookieOf(answer: Answer): string {
  const [cookie = ''] = answer.headers['set-cookie'] ?? []
  return cookie.split(';', 1)[0]!
}

const json = 'application/json'

describe('a login by cookie', () => {
  test('gives a cookie that scripts and other sites do not get, and a token against forged requests', async () => {
    const { ask, port } = await startAdmin()
    const answer = await ask('POST', '/api/v1/login', { body: { token: tokens.operate } })
    expect([answer.status, answer.headers['set-cookie']]).toEqual([
      200,
      [expect.stringMatching(new RegExp(`^statemq-login-${port}=[\\w-]{43}; Path=/; HttpOnly; SameSite=Strict$`))],
    ])
    expect(answer.body).toEqual({ name: 'operate', role: 'operate', csrfToken: expect.stringMatching(/^[\w-]{43}$/) })
    const cookie = cookieOf(answer)
    const who = await ask('GET', '/api/v1/login', { headers: { cookie } })
    expect(who.body).toEqual(answer.body)
    const { csrfToken } = answer.body as { csrfToken: string }
    const publish = async (headers: Readonly<Record<string, string>>): Promise<number> =>
      (await ask('POST', '/api/v1/publish', { headers: { cookie, ...headers }, body: { topic: 'a' } })).status
    expect(await publish({})).toBe(403)
    expect(await publish({ 'x-csrf-token': '' })).toBe(403)
    expect(await publish({ 'x-csrf-token': `${csrfToken}x` })).toBe(403)
    expect(await publish({ 'x-csrf-token': csrfToken })).toBe(200)
  })

  test('over TLS is for this host and TLS only', async () => {
    const { key, cert } = new TestAuthority().issue({ subject: '/CN=localhost' })
    const { broker } = await startAdmin({}, {})
    const inspector = await broker.inspect({ port: 0, tls: { key, cert }, tokens: allTokens })
    const { request } = await import('node:https')
    const cookies = await new Promise<readonly string[]>((resolve, reject) => {
      const { port } = inspector.address
      const headers = { 'content-type': json }
      const asked = request(
        { port, path: '/api/v1/login', method: 'POST', headers, rejectUnauthorized: false, host: '127.0.0.1' },
        (response) => resolve(response.resume().headers['set-cookie'] ?? []),
      )
      asked.on('error', reject)
      asked.end(JSON.stringify({ token: tokens.read }))
    })
    expect(cookies).toEqual([
      expect.stringMatching(/^__Host-statemq-login-\d+=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Strict$/),
    ])
  })

  test('is a new one each time: the cookie that came with it is void, one that was made up is not taken', async () => {
    const { ask, port } = await startAdmin()
    const first = cookieOf(await ask('POST', '/api/v1/login', { body: { token: tokens.read } }))
    const fixed = `statemq-login-${port}=${'A'.repeat(43)}`
    const statusWith = async (cookie: string): Promise<number> =>
      (await ask('GET', '/api/v1/stats', { headers: { cookie } })).status
    expect(await statusWith(first)).toBe(200)
    const second = cookieOf(
      await ask('POST', '/api/v1/login', { body: { token: tokens.read }, headers: { cookie: first } }),
    )
    expect([await statusWith(first), await statusWith(second)]).toEqual([401, 200])
    const third = cookieOf(
      await ask('POST', '/api/v1/login', { body: { token: tokens.read }, headers: { cookie: fixed } }),
    )
    expect([third === fixed, await statusWith(fixed), await statusWith(third)]).toEqual([false, 401, 200])
  })

  test('has the role of the token, and ends with it, by logout, unused, and after half a day', async () => {
    const clock = new NodeLikeClock()
    const { ask, broker } = await startAdmin({}, { clock })
    const logIn = async (token: string): Promise<string> =>
      cookieOf(await ask('POST', '/api/v1/login', { body: { token } }))
    const statusOf = async (cookie: string): Promise<number> =>
      (await ask('GET', '/api/v1/stats', { headers: { cookie } })).status
    expect(await statusOf(await logIn(tokens.metrics))).toBe(403)

    const out = await logIn(tokens.read)
    const answer = await ask('POST', '/api/v1/logout', { headers: { cookie: out } })
    expect([answer.status, answer.headers['set-cookie']?.[0]]).toEqual([200, expect.stringContaining('Max-Age=0')])
    expect(await statusOf(out)).toBe(401)

    const unused = await logIn(tokens.read)
    clock.advance(1_799_000)
    expect(await statusOf(unused)).toBe(200)
    clock.advance(1_800_000)
    expect(await statusOf(unused)).toBe(401)

    const used = await logIn(tokens.read)
    for (let at = 0; at < 42_000; at += 1_750) {
      clock.advance(1_750_000)
      expect([at, await statusOf(used)]).toEqual([at, 200])
    }
    clock.advance(1_750_000)
    expect(await statusOf(used)).toBe(401)

    const revoked = await logIn(tokens.read)
    const other = await logIn(tokens.operate)
    await broker.inspector!.reload({ tokens: allTokens.filter(({ name }) => name !== 'read') })
    expect([await statusOf(revoked), await statusOf(other)]).toEqual([401, 200])
    expect((await ask('GET', '/api/v1/stats', { headers: { authorization: `Bearer ${tokens.read}` } })).status).toBe(
      401,
    )
  })

  test('one more than maxInspectLogins ends the one that was unused longest', async () => {
    const { ask } = await startAdmin({}, { limits: { maxInspectLogins: 2 } })
    const logIn = async (): Promise<string> =>
      cookieOf(await ask('POST', '/api/v1/login', { body: { token: tokens.read } }))
    const statusOf = async (cookie: string): Promise<number> =>
      (await ask('GET', '/api/v1/stats', { headers: { cookie } })).status
    const [first, second] = [await logIn(), await logIn()]
    await statusOf(first)
    const third = await logIn()
    expect([await statusOf(first), await statusOf(second), await statusOf(third)]).toEqual([200, 401, 200])
  })

  test('a form of another site cannot log anybody in', async () => {
    const { ask } = await startAdmin()
    const body = `token=${tokens.operate}`
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    expect((await ask('POST', '/api/v1/login', { headers: form, body })).status).toBe(415)
    const text = { 'content-type': 'text/plain' }
    expect((await ask('POST', '/api/v1/login', { headers: text, body: `{"token":"${tokens.operate}"}` })).status).toBe(
      415,
    )
  })
})

describe('users with passwords', () => {
  const basic = (user: string, password: string): Readonly<Record<string, string>> => ({
    authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
  })

  test('come in by Basic and by login, with their role', async () => {
    const users = [
      { name: 'alice', role: 'read' as const, passwordHash: await hashPassword(Buffer.from('s3cret:é'), cheap) },
    ]
    const { ask } = await startAdmin({ users })
    const login = await ask('POST', '/api/v1/login', { body: { user: 'alice', password: 's3cret:é' } })
    expect(login.body).toMatchObject({ name: 'alice', role: 'read' })
    const statusOf = async (path: string, user: string, password: string): Promise<number> =>
      (await ask('GET', path, { headers: basic(user, password) })).status
    expect(await statusOf('/api/v1/stats', 'alice', 's3cret:é')).toBe(200)
    expect(await statusOf('/api/v1/stats', 'alice', 's3cret:É')).toBe(401)
    expect(await statusOf('/api/v1/stats', 'alice', '')).toBe(401)
    expect(await statusOf('/api/v1/stats', 'Alice', 's3cret:é')).toBe(401)
    const body = { topic: 'a' }
    expect((await ask('POST', '/api/v1/publish', { headers: basic('alice', 's3cret:é'), body })).status).toBe(403)
  })

  test('are slow to guess: right or wrong, until the minute is over; tokens and cookies go on', async () => {
    const clock = new NodeLikeClock()
    const users = [
      { name: 'alice', role: 'read' as const, passwordHash: await hashPassword(Buffer.from('right'), cheap) },
    ]
    const { ask } = await startAdmin({ users }, { clock })
    const statusOf = async (password: string): Promise<number> =>
      (await ask('GET', '/api/v1/stats', { headers: basic('alice', password) })).status
    const cookie = cookieOf(await ask('POST', '/api/v1/login', { body: { user: 'alice', password: 'right' } }))
    const tried: number[] = []
    for (let i = 0; i < 10; i++) tried.push(await statusOf(`wrong${i}`))
    expect(tried).toEqual(Array<number>(10).fill(401))
    expect(await statusOf('right')).toBe(429)
    expect((await ask('POST', '/api/v1/login', { body: { user: 'alice', password: 'right' } })).status).toBe(429)
    expect((await ask('POST', '/api/v1/login', { body: { token: 'x'.repeat(40) } })).status).toBe(429)
    expect((await ask('GET', '/api/v1/stats', { as: 'read' })).status).toBe(200)
    expect((await ask('GET', '/api/v1/stats', { headers: { cookie } })).status).toBe(200)
    clock.advance(60_000)
    expect(await statusOf('right')).toBe(200)
  })

  test('many guesses at once are counted at once', async () => {
    const users = [
      { name: 'alice', role: 'read' as const, passwordHash: await hashPassword(Buffer.from('right'), cheap) },
    ]
    const { ask } = await startAdmin({ users })
    const all = await Promise.all(
      Array.from({ length: 30 }, (_, i) => ask('GET', '/api/v1/stats', { headers: basic('alice', `wrong${i}`) })),
    )
    const counts = Object.groupBy(all, ({ status }) => String(status))
    expect([counts['401']?.length, counts['429']?.length]).toEqual([10, 20])
  })

  test('who do not exist cost as much as those who do', async () => {
    const verified: string[] = []
    const { Credentials } = await import('../../src/inspect/credentials.ts')
    const passwords = {
      hashFault: () => undefined,
      fakeHash: (like?: string) => `fake like ${like}`,
      verifyPassword: async (hash: string) => verified.push(hash) < 0,
    }
    const users = [{ name: 'alice', role: 'read' as const, passwordHash: 'hash' }]
    const credentials = new Credentials({ users }, passwords, new NodeLikeClock())
    expect(await credentials.byPassword('alice', 'x')).toBeUndefined()
    expect(await credentials.byPassword('bob', 'x')).toBeUndefined()
    expect(await credentials.byPassword('__proto__', 'x')).toBeUndefined()
    expect(verified).toEqual(['hash', 'fake like hash', 'fake like hash'])
  })
})
