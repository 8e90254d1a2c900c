import { spawnSync } from 'node:child_process'
import { chmodSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'

import { passwordFile } from '../../src/index.ts'
import { repository } from '../support/source-files.ts'
import { pythonWithPaho } from '../support/system-tools.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startAuthBroker, TestLog } from './authn-scene.ts'

const main = join(repository, 'src', 'cli', 'main.ts')
const typist = join(repository, 'test', 'identity', 'passwd_terminal.py')

interface Outcome {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

function passwd(words: readonly string[], input: string | Buffer = ''): Outcome {
  const options = { input, encoding: 'utf8' } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'passwd', ...words], options)
  return { status, out: stdout, err: stderr }
}

/** The same on a terminal: what to wait for and what to type. */
function passwdOnTerminal(
  words: readonly string[],
  ...steps: [string, string][]
): { status: number | null; shown: string } {
  const command = [process.execPath, main, 'passwd', ...words]
  const { status, stdout } = spawnSync(pythonWithPaho(), [typist, JSON.stringify(steps), ...command], {
    encoding: 'utf8',
  })
  return { status, shown: stdout }
}

const newFile = (): string => join(tempFolder(), 'passwords')
const linesOf = (path: string): string[] => readFileSync(path, 'utf8').trimEnd().split('\n')
const usersOf = (path: string): unknown[] =>
  linesOf(path)
    .filter((line) => line.startsWith('{"user"'))
    .map((line) => {
      const { hash, ...rest } = JSON.parse(line) as { hash: string }
      expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/)
      return rest
    })
const modeOf = (path: string): number => statSync(path).mode & 0o777

test('adds, changes and deletes users, and leaves everything else as it is', () => {
  const file = newFile()
  expect(passwd([file, 'anna', '--stdin', '--roles', 'operator, device'], 'hunter2\n')).toEqual({
    status: 0,
    out: `anna was added to ${file}\n`,
    err: '',
  })
  expect(linesOf(file)[0]).toBe('{"format":"statemq-passwords","version":1}')
  expect(modeOf(file)).toBe(0o600)
  const [, anna = ''] = linesOf(file)
  const kept = ['# by hand', anna.replace('}', ',"properties":{"site":"north"},"expiresAt":"2040-01-01T00:00:00Z"}')]
  writeFileSync(file, [linesOf(file)[0], ...kept, ''].join('\n'))

  expect(passwd([file, 'bob', '--stdin'], 'b\r\n').out).toBe(`bob was added to ${file}\n`)
  expect(passwd([file, 'anna', '--stdin'], 'other').out).toBe(`anna has a new password in ${file}\n`)
  expect(usersOf(file)).toEqual([
    {
      user: 'anna',
      roles: ['operator', 'device'],
      properties: { site: 'north' },
      expiresAt: '2040-01-01T00:00:00Z',
    },
    { user: 'bob' },
  ])
  expect(linesOf(file)[1]).toBe('# by hand')
  expect(linesOf(file)[2]).not.toBe(kept[1])
  expect(passwd([file, 'anna', '--stdin', '--roles', ''], 'other').status).toBe(0)
  expect(passwd([file, 'bob', '--delete']).out).toBe(`bob was deleted from ${file}\n`)
  expect(usersOf(file)).toMatchObject([{ user: 'anna', roles: [] }])
  expect(readdirSync(join(file, '..'))).toEqual(['passwords'])
})

test('a file keeps its mode, and a link stays a link', () => {
  const folder = tempFolder()
  const real = join(folder, 'real')
  expect(passwd([real, 'anna', '--stdin'], 'x').status).toBe(0)
  chmodSync(real, 0o640)
  symlinkSync('real', join(folder, 'link'))
  expect(passwd([join(folder, 'link'), 'bob', '--stdin'], 'x').status).toBe(0)
  expect(lstatSync(join(folder, 'link')).isSymbolicLink()).toBe(true)
  expect(usersOf(real)).toEqual([{ user: 'anna' }, { user: 'bob' }])
  expect(modeOf(real)).toBe(0o640)
})

test('--batch adds and changes many, all or none', () => {
  const file = newFile()
  expect(passwd([file, '--batch', '--roles', 'r'], 'anna:a\nbob:b:c\n\ncarl:x').out).toBe(
    `3 added to ${file}, 0 changed\n`,
  )
  const before = readFileSync(file, 'utf8')
  const wrong = passwd([file, '--batch'], 'dora:d\ncanary-92\n')
  expect([wrong.status, wrong.err]).toEqual([2, expect.stringContaining('line 2: expected user:password')])
  expect(wrong.err).not.toContain('canary')
  expect(readFileSync(file, 'utf8')).toBe(before)
  expect(passwd([file, '--batch'], 'anna:b\r\ndora:d\r\n').out).toBe(`1 added to ${file}, 1 changed\n`)
  expect(usersOf(file).map((user) => (user as { user: string }).user)).toEqual(['anna', 'bob', 'carl', 'dora'])
})

test('what it writes lets in, and a broker that runs takes every change', async () => {
  const file = newFile()
  passwd([file, 'anna', '--stdin', '--roles', 'operator'], 'hünter2')
  const log = new TestLog()
  const authenticator = passwordFile({ path: file, logger: log })
  onTestFinished(() => authenticator.close())
  const t = await startAuthBroker([authenticator])
  expect(await t.mosquitto('-u', 'anna', '-P', 'hünter2')).toBe(0)
  expect(t.grants()[0]?.roles).toEqual(['operator'])
  passwd([file, '--batch'], 'anna:other\nbob:b:c\n')
  await log.logged('read again')
  expect(await t.mosquitto('-u', 'anna', '-P', 'hünter2')).not.toBe(0)
  expect(await t.mosquitto('-u', 'anna', '-P', 'other')).toBe(0)
  expect(await t.mosquitto('-u', 'bob', '-P', 'b:c')).toBe(0)
  passwd([file, 'anna', '--delete'])
  await log.logged('read again')
  expect((await t.connect({ username: 'anna', password: 'other' })).code).toBe(0x86)
})

describe('on a terminal', () => {
  test('asks twice and shows nothing of it', async () => {
    const file = newFile()
    const first: [string, string] = ['Password of "anna": ', 'canarx\u007fy-1\r']
    const { status, shown } = passwdOnTerminal([file, 'anna'], first, ['Once more: ', 'canary-1\r'])
    expect([status, shown]).toEqual([0, `Password of "anna": \r\nOnce more: \r\nanna was added to ${file}\r\n`])
    const t = await startAuthBroker([passwordFile({ path: file })])
    expect((await t.connect({ username: 'anna', password: 'canary-1' })).code).toBe(0)
  })

  test.each<[string, [string, string][], RegExp]>([
    [
      'two that differ',
      [
        ['Password', 'a\r'],
        ['Once more', 'b\r'],
      ],
      /the two passwords differ/,
    ],
    ['an empty one', [['Password', '\r']], /the password is empty/],
    ['Ctrl-C', [['Password', '\u0003']], /nothing was typed/],
    ['Ctrl-D', [['Password', '\u0004']], /nothing was typed/],
  ])('%s changes nothing', (_name, steps, message) => {
    const file = newFile()
    const { status, shown } = passwdOnTerminal([file, 'anna'], ...steps)
    expect(shown).toMatch(message)
    expect([status, readdirSync(join(file, '..'))]).toEqual([2, []])
  })
})

describe('ends with status 2 and changes nothing', () => {
  test.each<[string, (file: string) => string[], string | Buffer, RegExp]>([
    ['without a user', (file) => [file], '', /expected a user name after the file/],
    ['without a file', () => [], '', /missing required argument 'file'/],
    ['a password as an argument', (file) => [file, 'anna', 'hunter2'], '', /too many arguments/],
    ['no terminal', (file) => [file, 'anna'], 'x\n', /there is no terminal to ask on; --stdin reads/],
    ['an empty password', (file) => [file, 'anna', '--stdin'], '\n', /the password is empty/],
    ['two lines', (file) => [file, 'anna', '--stdin'], 'a\nb\n', /expected one line on standard input/],
    [
      'a password that is too long',
      (file) => [file, 'anna', '--stdin'],
      'x'.repeat(65_536),
      /has more than 65535 bytes/,
    ],
    ['more than that', (file) => [file, 'anna', '--stdin'], 'x'.repeat(200_000), /standard input has more than/],
    [
      'a user name with a control character',
      (file) => [file, 'a\u001bb', '--stdin'],
      'x',
      /a user name has 1 to 1024 bytes/,
    ],
    [
      'a user name that is too long',
      (file) => [file, 'a'.repeat(1025), '--stdin'],
      'x',
      /a user name has 1 to 1024 bytes/,
    ],
    [
      'a user name that is no UTF-8',
      (file) => [file, '--batch'],
      Buffer.from('ff3a78', 'hex'),
      /line 1: a user name has/,
    ],
    ['an empty batch', (file) => [file, '--batch'], '\n', /there are no users on standard input/],
    ['--batch with a user', (file) => [file, 'anna', '--batch'], 'x', /--batch takes a file and --roles only/],
    [
      '--delete with roles',
      (file) => [file, 'anna', '--delete', '--roles', 'a'],
      '',
      /--delete takes a file and a user only/,
    ],
    ['roles without a name', (file) => [file, 'anna', '--stdin', '--roles', 'a,,b'], 'x', /Expected names with commas/],
    ['deleting where there is no file', (file) => [file, 'anna', '--delete'], '', /there is no such file/],
  ])('%s', (_name, words, input, message) => {
    const file = newFile()
    const { status, out, err } = passwd(words(file), input)
    expect(err).toMatch(message)
    expect({ status, out, files: readdirSync(join(file, '..')) }).toEqual({ status: 2, out: '', files: [] })
  })

  test('a file of another kind, and a user who is not there', () => {
    const file = newFile()
    writeFileSync(file, 'root:x:0:0\n')
    const other = passwd([file, 'anna', '--stdin'], 'x')
    expect([other.status, other.err]).toEqual([2, expect.stringContaining(`${file}:1: expected the first line to be`)])
    expect(readFileSync(file, 'utf8')).toBe('root:x:0:0\n')
    const mine = newFile()
    passwd([mine, 'anna', '--stdin'], 'x')
    expect(passwd([mine, 'bob', '--delete'])).toMatchObject({
      status: 2,
      err: expect.stringContaining('there is no user "bob"'),
    })
  })
})
