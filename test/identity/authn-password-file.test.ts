import { appendFileSync, chmodSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { hash } from '@node-rs/argon2'
import { describe, expect, onTestFinished, test } from 'vitest'

import { passwordFile, type PasswordFileOptions } from '../../src/index.ts'
import { tempFolder } from '../support/temp-files.ts'
import { requestOf, startAuthBroker, TestLog } from './authn-scene.ts'

const header = '{"format":"statemq-passwords","version":1}'
/** Cheap to check; the defaults are tested where they are made. */
const cheap = { memoryCost: 1_024, timeCost: 1 }
const hashOf = (password: string, cost: object = cheap): Promise<string> => hash(password, cost)

async function line(user: string, password: string, fields: object = {}): Promise<string> {
  return JSON.stringify({ user, hash: await hashOf(password), ...fields })
}

/** A password file with these lines, mode 0600. */
function fileWith(...lines: string[]): string {
  const path = join(tempFolder(), 'passwords')
  writeFileSync(path, `${[header, ...lines].join('\n')}\n`, { mode: 0o600 })
  return path
}

function open(path: string, options: Partial<PasswordFileOptions> = {}) {
  const authenticator = passwordFile({ path, ...options })
  onTestFinished(() => authenticator.close())
  return authenticator
}

const text = (password: string): Buffer => Buffer.from(password)

describe('over a real connection', () => {
  test('the right password lets in, with roles, properties, limits and the end of the account', async () => {
    const ends = new Date(Date.now() + 3_600_000).toISOString()
    const grant = { roles: ['operator', 'device'], properties: { site: 'north' }, limits: { maxQueuedMessages: 5 } }
    const path = fileWith(
      '# the plant',
      await line('anna', 'hunter2', { ...grant, connack: { maximumQoS: 1 }, expiresAt: ends }),
    )
    const t = await startAuthBroker([open(path)])
    expect(await t.connect({ username: 'anna', password: 'hunter2' })).toEqual({ code: 0, reason: undefined })
    expect(await t.mosquitto('-u', 'anna', '-P', 'hunter2')).toBe(0)
    expect(t.grants().map(({ principal, roles, authenticator }) => [principal, roles, authenticator])).toEqual([
      ['anna', ['operator', 'device'], 'password-file'],
      ['anna', ['operator', 'device'], 'password-file'],
    ])
    expect(t.grants()[0]?.expiresAtMs).toBe(Date.parse(ends))
    expect({ ...t.grants()[0]?.properties }).toEqual({ site: 'north' })
  })

  test.each([
    [5, 0x86],
    [4, 4],
    [3, 4],
  ] as const)('version %i: a wrong one does not, and the code is %i', async (protocolVersion, code) => {
    const t = await startAuthBroker([open(fileWith(await line('anna', 'hunter2')))])
    const client = { protocolVersion, protocolId: protocolVersion === 3 ? 'MQIsdp' : 'MQTT' } as const
    expect((await t.connect({ ...client, username: 'anna', password: 'hunter3' })).code).toBe(code)
    expect(
      await t.mosquitto(
        '-V',
        String(protocolVersion === 3 ? 31 : protocolVersion === 4 ? 311 : 5),
        '-u',
        'anna',
        '-P',
        'hunter3',
      ),
    ).not.toBe(0)
    expect(t.grants()).toEqual([])
  })

  test('threat 64: an unknown user gets the code and the reason of a wrong password', async () => {
    const t = await startAuthBroker([open(fileWith(await line('anna', 'hunter2')))])
    const wrong = await t.connect({ username: 'anna', password: 'x' })
    expect(wrong).toEqual({ code: 0x86, reason: 'bad user name or password' })
    for (const username of ['nobody', '', '__proto__', 'constructor', 'Anna', 'anna ', 'a'.repeat(60_000)]) {
      expect(await t.connect({ username, password: 'hunter2' })).toEqual(wrong)
    }
  })

  test('threat 65: a missing or empty password is refused', async () => {
    // An account whose password is empty can only come from another tool.
    const t = await startAuthBroker([open(fileWith(await line('anna', 'hunter2'), await line('nil', '')))])
    expect((await t.connect({ username: 'anna' })).code).toBe(0x86)
    expect((await t.connect({ username: 'nil' })).code).toBe(0x86)
    expect((await t.connect({ username: 'nil', password: '' })).code).toBe(0x86)
  })

  test('without a user name the next one decides', async () => {
    const t = await startAuthBroker([open(fileWith(await line('anna', 'hunter2')))], { allowAnonymous: true })
    expect((await t.connect()).code).toBe(0)
    expect(t.grants()[0]?.principal).toBeUndefined()
  })

  test('an account that has ended is refused like a wrong password', async () => {
    const path = fileWith(await line('anna', 'hunter2', { expiresAt: '2020-01-01T00:00:00Z' }))
    const t = await startAuthBroker([open(path)])
    const answer = await t.connect({ username: 'anna', password: 'hunter2' })
    expect(answer).toEqual({ code: 0x86, reason: 'bad user name or password' })
  })

  test('threat 63: a flood of checks is bounded, and the loop goes on', async () => {
    const path = fileWith(JSON.stringify({ user: 'anna', hash: await hashOf('hunter2', {}) }))
    const t = await startAuthBroker([open(path, { maxConcurrentHashes: 1, maxWaitingHashes: 3 })])
    const delays = monitorEventLoopDelay({ resolution: 1 })
    delays.enable()
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => t.connect({ username: 'anna', password: 'hunter2' })),
    )
    delays.disable()
    const count = (code: number): number => answers.filter((answer) => answer.code === code).length
    expect(count(0) + count(0x89)).toBe(40)
    expect(count(0)).toBeGreaterThanOrEqual(4)
    expect(count(0x89)).toBeGreaterThan(0)
    // Forty hashes of some 20 ms each in this thread would be most of a second.
    expect(delays.max / 1e6).toBeLessThan(300)
    expect((await t.connect({ username: 'anna', password: 'hunter2' })).code).toBe(0)
  })
})

describe('work', () => {
  test('threat 65: nothing is computed without a password', async () => {
    const authenticator = open(fileWith(await line('anna', 'hunter2')))
    // What is decided within the call cannot have waited for a hash.
    for (const username of ['anna', 'nobody', '']) {
      const denied = { type: 'deny', reasonCode: 0x86, reason: 'bad user name or password' }
      expect(authenticator.authenticate(requestOf({ username }))).toEqual(denied)
      expect(authenticator.authenticate(requestOf({ username, password: text('') }))).toEqual(denied)
    }
    expect(authenticator.authenticate(requestOf({ password: text('x') }))).toEqual({ type: 'next' })
  })

  test('threat 64: an unknown user takes as long as a wrong password, also beside users of other costs', async () => {
    const dear = { memoryCost: 16_384, timeCost: 2 }
    const authenticator = open(
      fileWith(JSON.stringify({ user: 'anna', hash: await hashOf('x', dear) }), await line('bob', 'x')),
    )
    /** Milliseconds of processor time, all threads together: other programs that run at the same time cost none. */
    const time = async (username: string): Promise<number> => {
      const times: number[] = []
      for (let round = 0; round < 6; round += 1) {
        const before = process.cpuUsage()
        await authenticator.authenticate(requestOf({ username, password: text('wrong') }))
        const { user, system } = process.cpuUsage(before)
        times.push((user + system) / 1000)
      }
      // The least is what it costs; the rest is what else the process did.
      return Math.min(...times)
    }
    const anna = await time('anna')
    const bob = await time('bob')
    expect(anna / bob).toBeGreaterThan(3)
    // Each unknown name costs what one of the users costs, and always the same.
    const names = Array.from({ length: 24 }, (_, index) => `nobody-${index}`)
    const kinds: string[] = []
    for (const name of names) {
      const ms = await time(name)
      expect(ms).toBeGreaterThan(bob / 2)
      expect(ms).toBeLessThan(anna * 2)
      kinds.push(ms > Math.sqrt(anna * bob) ? 'dear' : 'cheap')
    }
    expect(new Set(kinds)).toEqual(new Set(['dear', 'cheap']))
    const again = await time(names[kinds.indexOf('dear')]!)
    expect(again).toBeGreaterThan(Math.sqrt(anna * bob))
  })

  test('who leaves while waiting costs nothing and takes no place', async () => {
    const authenticator = open(fileWith(await line('anna', 'hunter2')), { maxConcurrentHashes: 1, maxWaitingHashes: 1 })
    const ask = (signal = new AbortController().signal) =>
      authenticator.authenticate(requestOf({ username: 'anna', password: text('hunter2'), signal }))
    const leaving = new AbortController()
    const running = ask()
    const waiting = ask(leaving.signal)
    expect(await ask()).toMatchObject({ type: 'deny', reasonCode: 0x89 })
    leaving.abort()
    const later = ask()
    expect(await waiting).toMatchObject({ type: 'deny' })
    expect([await running, await later]).toMatchObject([{ type: 'allow' }, { type: 'allow' }])
  })

  test('an unknown user can be left to the next authenticator', async () => {
    const authenticator = open(fileWith(await line('anna', 'hunter2')), { unknownUsers: 'next' })
    const ask = (username: string) => authenticator.authenticate(requestOf({ username, password: text('x') }))
    expect(await ask('nobody')).toEqual({ type: 'next' })
    expect(await ask('anna')).toMatchObject({ type: 'deny' })
  })
})

describe('a change of the file', () => {
  test('counts at once: users come, go and change their password', async () => {
    const log = new TestLog()
    const path = fileWith(await line('anna', 'old'), await line('bob', 'b'))
    const t = await startAuthBroker([open(path, { logger: log })])
    const codes = async (...pairs: [string, string][]): Promise<number[]> => {
      const answers: number[] = []
      for (const [username, password] of pairs) answers.push((await t.connect({ username, password })).code)
      return answers
    }
    expect(await codes(['anna', 'old'], ['bob', 'b'], ['carl', 'c'])).toEqual([0, 0, 0x86])
    // In place, and then by another file in its place.
    appendFileSync(path, `${await line('carl', 'c')}\n`)
    expect(await log.logged('read again')).toMatchObject({ authenticator: 'password-file', users: 3 })
    expect(await codes(['carl', 'c'])).toEqual([0])
    writeFileSync(`${path}.new`, `${header}\n${await line('anna', 'new')}\n`, { mode: 0o600 })
    renameSync(`${path}.new`, path)
    expect(await log.logged('read again')).toMatchObject({ users: 1 })
    expect(await codes(['anna', 'old'], ['anna', 'new'], ['bob', 'b'])).toEqual([0x86, 0, 0x86])
  })

  test('for the worse changes nothing, and the log says where', async () => {
    const log = new TestLog()
    const path = fileWith(await line('anna', 'hunter2'))
    const t = await startAuthBroker([open(path, { logger: log })])
    appendFileSync(path, '{"user":"bob","hash":"canary-b71f"}\n')
    const { err } = await log.logged('was not read again')
    expect(err).toMatchObject({ code: 'SMQ_PASSWORD_FILE_INVALID', position: { file: path, line: 3, column: 1 } })
    // Threat 94: a line that is wrong may hold a password.
    expect(String(err)).not.toContain('canary')
    expect((await t.connect({ username: 'anna', password: 'hunter2' })).code).toBe(0)
    renameSync(path, `${path}.gone`)
    await log.logged('was not read again')
    expect((await t.connect({ username: 'anna', password: 'hunter2' })).code).toBe(0)
    renameSync(`${path}.gone`, path)
    await log.logged('was not read again')
    writeFileSync(path, `${header}\n`)
    expect(await log.logged('read again')).toMatchObject({ users: 0 })
    expect((await t.connect({ username: 'anna', password: 'hunter2' })).code).toBe(0x86)
  })
})

test('threat 96: a file that others can read is warned of', () => {
  const warnings = (mode: number): string[] => {
    const log = new TestLog()
    const path = fileWith()
    chmodSync(path, mode)
    open(path, { logger: log, watch: false })
    return log.lines.map(({ level, message }) => `${level}: ${message}`)
  }
  const warning = 'warn: the password file is open to others; chmod 600 keeps the hashes to yourself'
  expect([0o600, 0o640, 0o400, 0o644, 0o604, 0o660].map(warnings)).toEqual([
    [],
    [],
    [],
    [warning],
    [warning],
    [warning],
  ])
})

describe('a file that cannot be used', () => {
  const salt = 'c29tZXNhbHRzb21lc2FsdA'
  const output = 'A'.repeat(43)
  const phc = (parameters: string, kind = 'argon2id$v=19', out = output): string =>
    JSON.stringify({ user: 'a', hash: `$${kind}$${parameters}$${salt}$${out}` })

  test.each([
    ['no JSON', ['anna:hunter2'], 2, 'expected a JSON object'],
    ['a list', ['[1]'], 2, 'expected a JSON object'],
    ['without hash', ['{"user":"a"}'], 2, 'hash: expected text'],
    ['a password in place of the hash', ['{"user":"a","hash":"hunter2"}'], 2, 'hash: expected an argon2id hash'],
    ['argon2i', [phc('m=1024,t=1,p=1', 'argon2i$v=19')], 2, 'hash: expected an argon2id hash'],
    ['an old version', [phc('m=1024,t=1,p=1', 'argon2id$v=16')], 2, 'hash: expected an argon2id hash'],
    [
      '4 GiB',
      ['# x', '', phc('m=4194304,t=1,p=1')],
      4,
      'hash: the hash asks for 4194304 KiB; at most 262144 are given',
    ],
    ['a thousand passes', [phc('m=1024,t=1000,p=1')], 2, 'hash: the hash asks for 1000 passes'],
    ['too much of both', [phc('m=262144,t=5,p=1')], 2, 'hash: the hash asks for more than 1048576 KiB'],
    ['lanes', [phc('m=2048,t=1,p=200')], 2, 'hash: the hash asks for 200 lanes'],
    ['a short hash', [phc('m=1024,t=1,p=1', undefined, 'AAAAAAAA')], 2, 'hash: '],
    ['an unknown key', ['{"user":"a","hash":"x","role":["b"]}'], 2, '"role": unknown key'],
    ['a user twice', [phc('m=1024,t=1,p=1'), phc('m=1024,t=1,p=1')], 3, 'this user was on an earlier line'],
  ])('%s', (_name, lines, at, message) => {
    const path = fileWith(...lines)
    expect(() => open(path)).toThrow(
      expect.objectContaining({
        code: 'SMQ_PASSWORD_FILE_INVALID',
        message: expect.stringContaining(`${path}:${at}: ${message}`),
        position: { file: path, line: at, column: 1 },
      }),
    )
  })

  test.each([
    ['"user":""', 'user: expected text of 1 to 1024 bytes'],
    ['"user":7', 'user: expected text of 1 to 1024 bytes'],
    ['"user":"a","roles":"admin"', 'roles: expected a list'],
    ['"user":"a","roles":[""]', 'roles: expected names'],
    ['"user":"a","properties":{"$Principal":"x"}', 'properties: "$Principal" is no name for a property'],
    ['"user":"a","properties":{"x":1}', 'properties: x: expected text'],
    ['"user":"a","limits":{"maxConnections":1}', 'limits: "maxConnections": there is no such modifier'],
    ['"user":"a","limits":{"maxPacketBytes":-1}', 'limits: maxPacketBytes: expected a whole number'],
    ['"user":"a","connack":{"maximumQoS":3}', 'connack: maximumQoS: expected one of [0,1,2]'],
    ['"user":"a","expiresAt":"tomorrow"', 'expiresAt: expected a time'],
    ['"user":"a","expiresAt":"2030-13-01T00:00:00Z"', 'expiresAt: expected a time'],
  ])('%s', async (fields, message) => {
    const path = fileWith(`{${fields},"hash":"${await hashOf('x')}"}`)
    expect(() => open(path)).toThrow(expect.objectContaining({ message: expect.stringContaining(`:2: ${message}`) }))
  })

  test.each([
    ['', 'expected the first line to be'],
    ['{"user":"a"}\n', 'expected the first line to be'],
    ['{"format":"statemq-passwords","version":2}\n', 'this version of statemq reads version 1 only'],
  ])('a first line %j', (content, message) => {
    const path = join(tempFolder({ passwords: content }), 'passwords')
    expect(() => open(path)).toThrow(expect.objectContaining({ message: expect.stringContaining(`:1: ${message}`) }))
  })

  test('that is not there, or is no file', () => {
    const folder = tempFolder()
    for (const path of [join(folder, 'none'), folder])
      expect(() => open(path)).toThrow(expect.objectContaining({ code: 'SMQ_PASSWORD_FILE_INVALID' }))
  })
})
