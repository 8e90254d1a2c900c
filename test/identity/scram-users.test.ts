/** Users from a file: written by `addScramUser`, read again when they change. */
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'

import { describe, expect, test } from 'vitest'

import { addScramUser, removeScramUser, scram, type Logger, type ScramOptions } from '../../src/index.ts'
import { ScramClient } from '../support/scram-client.ts'
import { answer, begin, challengeOf, logIn } from '../support/scram-login.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker } from '../support/test-broker.ts'

const sha256 = 'SCRAM-SHA-256'
const anna = { user: 'anna', password: 'pencil', iterations: 4096, roles: ['operator'] }

async function fileOf(...users: Array<Parameters<typeof addScramUser>[1]>): Promise<string> {
  const path = join(tempFolder(), 'scram.users')
  for (const user of users) await addScramUser(path, user)
  return path
}

/** A broker with the file, and what it says about it. */
function start(path: string, options: Partial<ScramOptions> = {}) {
  const lines: Array<{ details: object; message: string }> = []
  const log: Logger['info'] = (details, message) => void lines.push({ details, message })
  const t = startBroker({
    authenticators: [scram({ users: path, logger: { debug: () => {}, info: log, warn: log }, ...options })],
  })
  /** Waits for something that is logged, with a limit. */
  const said = async (text: string, times = 1) => {
    const end = performance.now() + 10_000
    for (;;) {
      const found = lines.filter(({ message }) => message.includes(text))
      if (found.length >= times) return found.at(-1)!
      if (performance.now() > end) throw new Error(`nobody said ${text}: ${JSON.stringify(lines)}`)
      await turn()
    }
  }
  return { ...t, lines, said }
}

async function refused(t: ReturnType<typeof start>, user: string, password: string): Promise<string> {
  const client = t.attach()
  const scramClient = new ScramClient(sha256, user, password)
  begin(client, sha256, scramClient.first())
  const serverFirst = String(await challengeOf(client))
  client.send(answer(sha256, scramClient.final(Buffer.from(serverFirst))))
  await client.expectRefused(0x87)
  return serverFirst.slice(serverFirst.indexOf(',s='))
}

describe('a file of users', () => {
  test('for both mechanisms, with roles, and without the password', async () => {
    const path = await fileOf(anna)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readFileSync(path, 'utf8')).not.toContain('pencil')
    const t = start(path)
    for (const method of [sha256, 'SCRAM-SHA-512']) {
      await logIn(t.attach(), method, new ScramClient(method, 'anna', 'pencil'))
      expect(t.broker.sessions.get('a')?.context.grant).toMatchObject({ principal: 'anna', roles: ['operator'] })
    }
    await refused(t, 'anna', 'pen')
    expect(t.lines).toEqual([])
  })

  test('a user is added, changed and removed while the broker runs', async () => {
    const path = await fileOf(anna)
    const t = start(path)
    await refused(t, 'bob', 'brush')
    expect(await addScramUser(path, { user: 'bob', password: 'brush', iterations: 4096 })).toBe(true)
    await t.said('was read again', 1)
    await logIn(t.attach(), sha256, new ScramClient(sha256, 'bob', 'brush'))
    expect(await addScramUser(path, { user: 'anna', password: 'new', iterations: 4096 })).toBe(false)
    await t.said('was read again', 2)
    await refused(t, 'anna', 'pencil')
    await logIn(t.attach(), sha256, new ScramClient(sha256, 'anna', 'new'), { clientId: 'b' })
    expect(t.broker.sessions.get('b')?.context.grant?.roles).toEqual(['operator'])
    await removeScramUser(path, 'bob')
    await t.said('was read again', 3)
    await refused(t, 'bob', 'brush')
    await expect(removeScramUser(path, 'bob')).rejects.toMatchObject({ code: 'SMQ_PASSWORD_FILE_INVALID' })
  })

  test('a file that breaks changes nothing and says why, without what it holds', async () => {
    const path = await fileOf(anna)
    const t = start(path)
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.replace('"user"', '"username"'))
    const { details } = await t.said('was not read again')
    const { err } = details as { err: Error }
    expect(err).toMatchObject({ code: 'SMQ_PASSWORD_FILE_INVALID', position: { file: path, line: 2, column: 1 } })
    expect(err.message).not.toContain('SCRAM-SHA-256$')
    await logIn(t.attach(), sha256, new ScramClient(sha256, 'anna', 'pencil'))
    writeFileSync(path, text)
    await t.said('was read again')
  })

  test('threat 64: made-up users look like the most of the file, and the same after a restart', async () => {
    const path = await fileOf({ ...anna, iterations: 5_000 }, { user: 'bob', password: 'x', iterations: 5_000 })
    await addScramUser(path, { user: 'carl', password: 'x', iterations: 6_000 })
    const before = await refused(start(path), 'nobody', 'x')
    expect(before).toMatch(/,i=5000$/)
    expect(await refused(start(path), 'nobody', 'x')).toBe(before)
    expect(await refused(start(await fileOf(anna)), 'nobody', 'x')).not.toBe(before)
  })

  test('two at once: none is lost', async () => {
    const path = await fileOf(anna)
    const names = ['b', 'c', 'd'] as const
    await Promise.all(names.map((user) => addScramUser(path, { ...anna, user })))
    const users = readFileSync(path, 'utf8').match(/(?<="user":")[a-z]+/g)
    expect(users?.toSorted()).toEqual(['anna', ...names])
  })

  test('comments, other users and what is said of them stay', async () => {
    const path = await fileOf(anna)
    const [header, user] = readFileSync(path, 'utf8').split('\n')
    const kept = JSON.stringify({ ...(JSON.parse(user!) as object), user: 'bob', properties: { Site: 'north' } })
    writeFileSync(path, `${header}\n# the staff\n\n${user}\n${kept}\n`)
    await addScramUser(path, { ...anna, password: 'new', mechanisms: ['SCRAM-SHA-512'] })
    const lines = readFileSync(path, 'utf8').split('\n')
    expect([lines[0], lines[1], lines[2], lines[4], lines[5]]).toEqual([header, '# the staff', '', kept, ''])
    const { scram: written, ...rest } = JSON.parse(lines[3]!) as { scram: string[] }
    expect(rest).toEqual({ user: 'anna', roles: ['operator'] })
    expect(written).toEqual([expect.stringMatching(/^SCRAM-SHA-512\$4096:/)])
  })

  test('one that others may read is warned about', async () => {
    const path = await fileOf(anna)
    chmodSync(path, 0o644)
    await start(path).said('chmod 600')
  })

  test('the name is kept as SASLprep has it', async () => {
    const path = await fileOf({ ...anna, user: '\u2168' })
    await logIn(start(path).attach(), sha256, new ScramClient(sha256, 'I\u00ADX', 'pencil'))
  })

  test.each([
    ['nothing', ''],
    ['something else', 'anna:secret\n'],
    ['the file of another kind', '{"format":"statemq-passwords","version":1}\n'],
    ['a newer version', '{"format":"statemq-scram","version":2,"secret":""}\n'],
    ['a short secret', '{"format":"statemq-scram","version":1,"secret":"AAAA"}\n'],
  ])('%s can not be used', async (_name, text) => {
    const path = join(tempFolder({ 'scram.users': text }), 'scram.users')
    expect(() => scram({ users: path })).toThrow(expect.objectContaining({ code: 'SMQ_PASSWORD_FILE_INVALID' }))
    await expect(addScramUser(path, anna)).rejects.toMatchObject({ code: 'SMQ_PASSWORD_FILE_INVALID' })
    expect(readFileSync(path, 'utf8')).toBe(text)
  })

  test.each([
    ['no user', (user: object) => ({ ...user, user: undefined })],
    ['an empty user', (user: object) => ({ ...user, user: '' })],
    ['no credentials', (user: object) => ({ ...user, scram: [] })],
    ['credentials that are none', (user: object) => ({ ...user, scram: ['secret'] })],
    ['one mechanism twice', (user: { scram: string[] }) => ({ ...user, scram: [user.scram[0], user.scram[0]] })],
    ['an unknown key', (user: object) => ({ ...user, role: 'x' })],
    ['roles that are none', (user: object) => ({ ...user, roles: 'operator' })],
    ['a time that is none', (user: object) => ({ ...user, expiresAt: 'soon' })],
  ] as const)('a line with %s is refused by its number', async (_name, edit) => {
    const path = await fileOf(anna)
    const [header, user] = readFileSync(path, 'utf8').split('\n')
    const changed = edit(JSON.parse(user!) as { scram: string[] })
    writeFileSync(path, `${header}\n${user}\n${JSON.stringify({ user: 'bob', ...changed })}\n`)
    expect(() => scram({ users: path })).toThrow(
      expect.objectContaining({
        code: 'SMQ_PASSWORD_FILE_INVALID',
        position: { file: path, line: 3, column: 1 },
        message: expect.not.stringMatching(/secret|:[A-Za-z0-9+/]{40}/) as string,
      }),
    )
  })

  test.each([
    ['no such file', 'missing/scram.users'],
    ['a folder', '.'],
  ])('%s', (_name, name) => {
    const path = join(tempFolder(), name)
    expect(() => scram({ users: path })).toThrow(expect.objectContaining({ code: 'SMQ_PASSWORD_FILE_INVALID' }))
  })

  test.each([
    ['an empty name', { ...anna, user: '' }],
    ['a name that SASLprep forbids', { ...anna, user: 'an\u0007na' }],
    ['an empty password', { ...anna, password: '' }],
    ['too few iterations', { ...anna, iterations: 1 }],
  ])('%s is not added', async (_name, user) => {
    const path = join(tempFolder(), 'scram.users')
    await expect(addScramUser(path, user)).rejects.toMatchObject({ code: 'SMQ_OPTION_INVALID' })
    expect(() => statSync(path)).toThrow('ENOENT')
  })
})
