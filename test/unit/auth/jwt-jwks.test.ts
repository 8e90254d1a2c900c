/** Where keys come from: a published set over HTTP, and a file; their age is simulated, the web server is real. */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'

import { jwt, type Authenticator, type JwksOptions, type JwtOptions, type Verdict } from '../../../src/index.ts'
import { authenticationRequest } from '../../support/authentication-request.ts'
import {
  audience,
  issuer,
  jwksServer,
  seconds,
  signingKey,
  type JwksMode,
  type SigningKey,
} from '../../support/jwt-issuer.ts'
import { tempFolder } from '../../support/temp-files.ts'

const [one, two, three] = await Promise.all(['one', 'two', 'three'].map((kid) => signingKey('ES256', kid)))
if (!one || !two || !three) throw new Error('no keys')

/** Times in the log's words: what was warned of, and why. */
interface Warning {
  readonly reason: string
  readonly message: string
}

async function scene(first: readonly SigningKey[] = [one!], jwks: Partial<JwksOptions> = {}) {
  const server = await jwksServer(first)
  const t = open({
    jwks: { url: server.url, refreshSeconds: 600, cooldownSeconds: 10, maxStaleSeconds: 3600, ...jwks },
  })
  return { server, ...t }
}

function open(options: Partial<JwtOptions>) {
  let nowMs = Date.now()
  const warnings: Warning[] = []
  const logger = {
    warn: (details: object, message: string): void => {
      warnings.push({ reason: (details as Warning).reason, message })
    },
  }
  const authenticator: Authenticator = jwt({ issuer, audience, clock: { nowMs: () => nowMs }, logger, ...options })
  onTestFinished(() => authenticator.close?.())
  /** The principal, or the reason why there is none. */
  const ask = async (key: SigningKey): Promise<string> => {
    const password = await key.sign({ exp: seconds(100_000, nowMs) })
    return outcome(await authenticator.authenticate(authenticationRequest({ password })))
  }
  const advance = (secondsOn: number): void => {
    nowMs += secondsOn * 1000
  }
  return { authenticator, ask, advance, warnings }
}

function outcome(verdict: Verdict): string {
  if (verdict.type === 'allow') return verdict.principal ?? ''
  return verdict.type === 'deny' ? `${verdict.reasonCode.toString(16)} ${verdict.reason}` : verdict.type
}

const accepted = 'press-1'
const unknown = '86 the token names an unknown key'
const noKeys = '88 the keys for tokens are unavailable'

describe('threat 69: a published key set', () => {
  test('is fetched for the first token and kept', async () => {
    const t = await scene()
    expect(t.server.requests).toEqual([])
    for (let times = 0; times < 3; times += 1) expect(await t.ask(one)).toBe(accepted)
    t.advance(599)
    expect(await t.ask(one)).toBe(accepted)
    expect(t.server.requests).toEqual(['/keys'])
    t.advance(1)
    expect(await t.ask(one)).toBe(accepted)
    expect(t.server.requests).toHaveLength(2)
    expect(t.warnings).toEqual([])
  })

  test('rotation: a new key serves at once, and a key that is gone no longer than until the refresh', async () => {
    const t = await scene()
    expect(await t.ask(one)).toBe(accepted)
    t.server.publish([one, two])
    t.advance(10)
    expect(await t.ask(two)).toBe(accepted)
    expect(t.server.requests).toHaveLength(2)
    t.server.publish([two])
    expect(await t.ask(one)).toBe(accepted)
    t.advance(600)
    expect(await t.ask(one)).toBe(unknown)
    expect(await t.ask(two)).toBe(accepted)
    expect(t.server.requests).toHaveLength(3)
  })

  test('an empty set is an answer: all keys are gone', async () => {
    const t = await scene()
    expect(await t.ask(one)).toBe(accepted)
    t.server.publish([])
    t.advance(600)
    expect(await t.ask(one)).toBe(unknown)
  })

  test('unknown keys lead to one request per cooldown, however many tokens name them', async () => {
    const t = await scene()
    expect(await t.ask(one)).toBe(accepted)
    expect(await t.ask(three)).toBe(unknown)
    expect(t.server.requests).toHaveLength(1)
    t.advance(10)
    expect(await Promise.all(Array.from({ length: 50 }, () => t.ask(three)))).toEqual(Array(50).fill(unknown))
    expect(t.server.requests).toHaveLength(2)
    t.advance(9)
    expect(await t.ask(three)).toBe(unknown)
    expect(t.server.requests).toHaveLength(2)
    t.advance(1)
    expect(await t.ask(three)).toBe(unknown)
    expect(t.server.requests).toHaveLength(3)
  })

  test('stampede: 200 tokens at once make one request', async () => {
    const t = await scene([one, two])
    t.server.hold = true
    const requested = t.server.requested()
    const answers = Promise.all(Array.from({ length: 200 }, (_value, index) => t.ask(index % 2 ? one : two)))
    await requested
    t.server.release()
    expect(await answers).toEqual(Array(200).fill(accepted))
    expect(t.server.requests).toHaveLength(1)
  })

  test('outage: the keys serve on for maxStaleSeconds, then nobody is let in, until it is over', async () => {
    const t = await scene()
    expect(await t.ask(one)).toBe(accepted)
    t.server.mode = 'error'
    t.advance(600)
    expect(await t.ask(one)).toBe(accepted)
    expect(await t.ask(one)).toBe(accepted)
    expect(t.server.requests).toHaveLength(2)
    t.advance(3599)
    expect(await t.ask(one)).toBe(accepted)
    expect(t.server.requests).toHaveLength(3)
    t.advance(1)
    expect(await t.ask(one)).toBe(noKeys)
    t.server.mode = 'keys'
    t.advance(8)
    expect(await t.ask(one)).toBe(noKeys)
    t.advance(1)
    expect(await t.ask(one)).toBe(accepted)
    expect(t.warnings).toEqual(
      Array(2).fill({ reason: 'the answer has status 500', message: 'the JWT keys could not be fetched' }),
    )
  })

  test('a key that was rotated out during an outage serves until the outage is noticed to be over', async () => {
    const t = await scene()
    expect(await t.ask(one)).toBe(accepted)
    t.server.publish([two])
    t.server.mode = 'error'
    t.advance(600)
    expect(await t.ask(one)).toBe(accepted)
    t.server.mode = 'keys'
    t.advance(10)
    expect(await t.ask(one)).toBe(unknown)
  })

  test('without maxStaleSeconds nothing serves that could not be refreshed', async () => {
    const t = await scene([one], { maxStaleSeconds: 0 })
    expect(await t.ask(one)).toBe(accepted)
    await t.server.stop()
    t.advance(599)
    expect(await t.ask(one)).toBe(accepted)
    t.advance(1)
    expect(await t.ask(one)).toBe(noKeys)
  })

  test.each<[JwksMode, string]>([
    ['error', 'the answer has status 500'],
    ['broken', 'the answer is not JSON'],
    ['huge', 'the answer has more than 262144 bytes'],
    ['redirect', 'unexpected redirect'],
    ['slow', 'it took too long'],
    ['silent', 'it took too long'],
  ])('%s: no keys, nobody is let in, and the log says why', async (mode, reason) => {
    const t = await scene([one], { timeoutMs: 200 })
    t.server.mode = mode
    expect(await t.ask(one)).toBe(noKeys)
    expect(await t.ask(one)).toBe(noKeys)
    expect(t.server.requests).toEqual(['/keys'])
    expect(t.warnings).toEqual([{ reason, message: 'the JWT keys could not be fetched' }])
    t.server.mode = 'keys'
    t.advance(10)
    expect(await t.ask(one)).toBe(accepted)
  })

  test('nobody listens: the log says so without the query of the address', async () => {
    const t = await scene([one])
    await t.server.stop()
    expect(await t.ask(one)).toBe(noKeys)
    expect(t.warnings).toEqual([{ reason: 'ECONNREFUSED', message: 'the JWT keys could not be fetched' }])
  })

  test('keys that can not be used are passed over', async () => {
    const t = await scene([])
    const { x: _x, ...withoutX } = one.jwk
    t.server.publish([
      { ...two.jwk, kid: 'one', x: two.jwk.y!, y: two.jwk.x! },
      { kty: 'XYZ', kid: 'one' },
      { ...withoutX, kty: 'EC' },
      { ...three.jwk, use: 'enc' },
      { ...one.jwk, key_ops: ['encrypt'] },
      one.jwk,
    ])
    expect(await t.ask(one)).toBe(accepted)
    expect(await t.ask(three)).toBe(unknown)
  })

  test('more than 50 keys are no answer', async () => {
    const t = await scene([])
    t.server.publish(Array.from({ length: 51 }, (_value, index) => ({ ...one.jwk, kid: `k${index}` })))
    expect(await t.ask(one)).toBe(noKeys)
    expect(t.warnings.map(({ reason }) => reason)).toEqual(['it has more than 50 keys'])
  })

  test('a clock that was set back makes the keys old, not young for ever', async () => {
    const t = await scene()
    expect(await t.ask(one)).toBe(accepted)
    t.server.publish([two])
    t.advance(-7200)
    expect(await t.ask(two)).toBe(accepted)
    expect(await t.ask(one)).toBe(unknown)
  })

  test('a token without kid is tried with every key that fits', async () => {
    const nameless = await signingKey('ES256')
    const t = await scene([one, two, nameless])
    expect(await t.ask(nameless)).toBe(accepted)
    expect(await t.ask(await signingKey('ES256'))).toBe('86 the signature of the token is wrong')
  })

  test('closing ends a request that is under way', async () => {
    const t = await scene()
    t.server.mode = 'silent'
    const requested = t.server.requested()
    const answer = t.ask(one)
    await requested
    await t.authenticator.close?.()
    expect(await answer).toBe(noKeys)
    expect(await t.ask(one)).toBe(noKeys)
    expect(t.server.requests).toHaveLength(1)
    expect(t.warnings).toEqual([])
  })

  test('headers are sent, and keys of the options are asked first', async () => {
    const t = await scene([one], { headers: { authorization: 'Bearer x' } })
    const both = open({ keys: [{ jwk: two.jwk }], jwks: { url: t.server.url } })
    expect(await both.ask(two)).toBe(accepted)
    expect(t.server.requests).toEqual([])
    expect(await both.ask(one)).toBe(accepted)
    expect(t.server.requests).toHaveLength(1)
  })
})

describe('a key set in a file', () => {
  const set = (...keys: SigningKey[]): string => JSON.stringify({ keys: keys.map(({ jwk }) => jwk) })

  /** The file is watched: what it says is taken soon. */
  const becomes = (ask: () => Promise<string>, expected: string): Promise<void> =>
    vi.waitFor(async () => expect(await ask()).toBe(expected), { timeout: 10_000, interval: 20 })

  test('is read again when it is replaced or written', async () => {
    const folder = tempFolder({ 'keys.json': set(one), 'next.json': set(two) })
    const path = join(folder, 'keys.json')
    const t = open({ jwksFile: path })
    expect([await t.ask(one), await t.ask(two)]).toEqual([accepted, unknown])
    renameSync(join(folder, 'next.json'), path)
    await becomes(() => t.ask(two), accepted)
    expect(await t.ask(one)).toBe(unknown)
    writeFileSync(path, set(one, two))
    await becomes(() => t.ask(one), accepted)
    expect(t.warnings).toEqual([])
  })

  test('changes nothing when it is broken or gone, and the log says why', async () => {
    const folder = tempFolder({ 'keys.json': set(one) })
    const path = join(folder, 'keys.json')
    const t = open({ jwksFile: path })
    writeFileSync(path, '{ "keys": [')
    await vi.waitFor(() => expect(t.warnings.map(({ reason }) => reason)).toContain('it is not JSON'), {
      timeout: 10_000,
    })
    expect(await t.ask(one)).toBe(accepted)
    rmSync(path)
    await vi.waitFor(() => expect(t.warnings.at(-1)?.reason).toBe('ENOENT'), { timeout: 10_000 })
    expect(await t.ask(one)).toBe(accepted)
    writeFileSync(path, set(two))
    await becomes(() => t.ask(one), unknown)
    expect(await t.ask(two)).toBe(accepted)
  })

  test.each([
    ['no JSON', '{', 'it is not JSON'],
    ['no set', '{}', 'it is no key set'],
    ['no list', '{"keys":{}}', 'it is no key set'],
    ['null', 'null', 'it is no key set'],
    ['keys that are none', '{"keys":[5]}', undefined],
  ])('%s at the start', (_name, text, message) => {
    const make = (): Authenticator =>
      open({ jwksFile: join(tempFolder({ 'keys.json': text }), 'keys.json') }).authenticator
    if (message === undefined) expect(make).not.toThrow()
    else expect(make).toThrow(message)
  })
})
