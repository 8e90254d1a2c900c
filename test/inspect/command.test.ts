import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

import { hashPassword } from '../../src/auth/password-hash.ts'
import { problemLine, type ConfigurationError } from '../../src/cli/config-problems.ts'
import { prepare } from '../../src/cli/prepare.ts'
import { resolveSettings } from '../../src/cli/settings.ts'
import { send } from '../support/admin-api.ts'
import { localhostPair } from '../support/certificates.ts'
import { runCommand, startCommand, type RunningCommand } from '../support/command.ts'
import { repository } from '../support/source-files.ts'
import { tempFolder } from '../support/temp-files.ts'

const open = ['--port', '0', '--inspect-port', '0']

async function inspectorOf(running: RunningCommand): Promise<{ url: string; port: number }> {
  const { url } = (await running.logged('the inspector is at')) as unknown as { url: string }
  return { url, port: Number(new URL(url).port) }
}

async function statusOf(port: number, path: string, token?: string): Promise<number> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return (await send({ port, method: 'GET', path, headers })).status
}

describe('the first run', () => {
  test('leaves a token in a file that only its owner reads, and in no log; the next run has the same', async () => {
    const cwd = tempFolder()
    const first = await startCommand(open, { cwd })
    const file = join(cwd, 'statemq-data', 'inspect-token')
    const token = readFileSync(file, 'utf8').trim()
    expect([token.length, statSync(file).mode & 0o777]).toEqual([43, 0o600])
    const { port, url } = await inspectorOf(first)
    expect(url).toBe(`http://127.0.0.1:${port}/`)
    expect([await statusOf(port, '/api/v1/stats', token), await statusOf(port, '/api/v1/stats')]).toEqual([200, 401])
    first.child.kill('SIGTERM')
    await first.ended
    expect(JSON.stringify(first.lines)).not.toContain(token)
    const second = await startCommand(open, { cwd })
    expect(await statusOf((await inspectorOf(second)).port, '/api/v1/stats', token)).toBe(200)
  })

  test('shows a terminal a URL that logs in', async () => {
    const cwd = tempFolder()
    const main = join(repository, 'src', 'cli', 'main.ts')
    const command = `exec ${process.execPath} ${main} ${open.join(' ')} > log.txt`
    const terminal = spawn('script', ['-qec', command, '/dev/null'], { cwd, stdio: ['ignore', 'pipe', 'ignore'] })
    const ended = once(terminal, 'exit')
    let shown = ''
    for await (const chunk of terminal.stdout) {
      shown += String(chunk)
      if (shown.includes('#token=') && shown.endsWith('\n')) break
    }
    const log = readFileSync(join(cwd, 'log.txt'), 'utf8')
    process.kill((JSON.parse(log.split('\n', 1)[0]!) as { pid: number }).pid, 'SIGTERM')
    await ended
    const token = readFileSync(join(cwd, 'statemq-data', 'inspect-token'), 'utf8').trim()
    expect(shown).toMatch(/^Inspector: http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43}\r?$/m)
    expect(shown).toContain(`#token=${token}`)
    expect(readFileSync(join(cwd, 'log.txt'), 'utf8')).not.toContain(token)
  })

  test.each([
    ['that others can read', (file: string) => (writeFileSync(file, 'x'.repeat(40)), chmodSync(file, 0o644))],
    ['with a short token', (file: string) => writeFileSync(file, 'short', { mode: 0o600 })],
    ['that is a link', (file: string) => symlinkSync('/etc/hostname', file)],
    ['that is a folder', (file: string) => chmodSync(tempFolder(), 0o700) ?? symlinkSync('/tmp', file)],
  ])('does not take a file %s', (_what, make) => {
    const cwd = tempFolder()
    const file = join(cwd, 'token')
    make(file)
    const { status, err } = runCommand([...open, '--store', 'memory', '--set', 'inspect.tokenFile=token'], { cwd })
    expect([status, err.split(':', 2)[1]]).toEqual([
      2,
      ' The admin API is not opened to other machines without protection',
    ])
  })

  test('does not open where nobody would learn of the token', () => {
    const { status, err } = runCommand([...open, '--store', 'memory'])
    expect([status, err]).toEqual([2, expect.stringContaining('name an inspect.tokenFile')])
  })
})

describe('other machines', () => {
  const { key, cert } = localhostPair()

  test.each([
    ['nothing', '', 'without TLS'],
    ['tokens only', 'tokens: [{ name: a, role: read, token: { file: token } }]', 'without TLS'],
    ['TLS only', 'keyFile: key.pem\n  certFile: cert.pem', 'needs tokens or users'],
    ['plaintext only', 'allowPlaintext: true', 'needs tokens or users'],
    ['half of TLS', 'keyFile: key.pem', 'keyFile and certFile, or neither'],
    [
      'a short token',
      'allowPlaintext: true\n  tokens: [{ name: a, role: read, token: { file: short } }]',
      'less than 32',
    ],
    ['a secret in the file', 'tokens: [{ name: a, role: read, token: abc }]', 'a secret does not belong here'],
    ['a hash that is none', 'users: [{ name: a, role: read, passwordHash: secret }]', 'expected an argon2id hash'],
    ['a role that is none', 'users: [{ name: a, role: admin, passwordHash: x }]', 'inspect.users.0.role'],
    [
      'a name twice',
      'tokens: [{ name: a, role: read, token: { file: token } }, { name: a, role: read, token: { file: token } }]',
      'given twice',
    ],
    ['a host with a port', 'allowPlaintext: true\n  hosts: ["a.example:80"]', 'is no host name'],
    ['a misspelt key', 'allowPlainText: true', 'did you mean allowPlaintext'],
  ])('with %s: nothing is opened, and why', async (_what, section, why) => {
    const cwd = tempFolder({
      'broker.yaml': `store: memory\ninspect:\n  host: 0.0.0.0\n  port: 0\n  ${section}\n`,
      'key.pem': key,
      'cert.pem': cert,
      token: 't'.repeat(40),
      short: 't'.repeat(31),
    })
    const problems = await (async () => prepare(resolveSettings({ config: join(cwd, 'broker.yaml') })))().then(
      () => '',
      (error: ConfigurationError) => error.problems.map(problemLine).join('\n'),
    )
    expect(problems).toContain(why)
  })

  test('is status 2 for the command', () => {
    const { status, err } = runCommand(['--port', '0', '--store', 'memory', '--inspect-host', '0.0.0.0'])
    expect([status, err]).toEqual([2, expect.stringContaining('without TLS')])
  })

  test('with TLS and a token it opens, and SIGHUP takes other tokens', async () => {
    const yaml = (name: string): string =>
      `store: memory\ninspect:\n  host: 0.0.0.0\n  port: 0\n  allowPlaintext: true\n  tokens: [{ name: ${name}, role: read, token: { file: ${name} } }]\n`
    const cwd = tempFolder({ 'broker.yaml': yaml('one'), one: '1'.repeat(40), two: '2'.repeat(40) })
    const running = await startCommand(['--port', '0', '--config', 'broker.yaml'], { cwd })
    const { port } = await inspectorOf(running)
    const statuses = async () => [
      await statusOf(port, '/api/v1/stats', '1'.repeat(40)),
      await statusOf(port, '/api/v1/stats', '2'.repeat(40)),
    ]
    expect(await statuses()).toEqual([200, 401])
    writeFileSync(join(cwd, 'broker.yaml'), yaml('two'))
    running.child.kill('SIGHUP')
    await running.logged('was reloaded')
    expect(await statuses()).toEqual([401, 200])
  })

  test('users are those that statemq passwd makes', async () => {
    const hash = await hashPassword(Buffer.from('secret'), { memoryKibibytes: 8, passes: 1 })
    const cwd = tempFolder({
      'broker.yaml': `store: memory\ninspect:\n  port: 0\n  users: [{ name: a, role: read, passwordHash: "${hash}" }]\n`,
    })
    const { port } = await inspectorOf(await startCommand(['--port', '0', '--config', 'broker.yaml'], { cwd }))
    const authorization = `Basic ${Buffer.from('a:secret').toString('base64')}`
    expect((await send({ port, method: 'GET', path: '/api/v1/stats', headers: { authorization } })).status).toBe(200)
  })
})

test('a port that is taken: status 1, and which', async () => {
  const { port } = await inspectorOf(await startCommand(open))
  const { status, err } = runCommand(['--port', '0', '--inspect-port', String(port)])
  expect([status, err]).toEqual([1, expect.stringContaining(`inspect on 127.0.0.1:${port}`)])
})
