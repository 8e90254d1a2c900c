import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, onTestFinished, test } from 'vitest'

import { runCommand, startCommand } from '../support/command.ts'
import { repository } from '../support/source-files.ts'
import { tempFolder } from '../support/temp-files.ts'

const file = (name: string): string => join(repository, 'docs', 'deploy', name)

/** What is sent to a datagram socket, which Node can't open: one line each. */
const listener = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True:
    text = s.recv(4096).decode()
    # How the tool waits until everything before it was read.
    if text != 'BARRIER=1':
        print(text.replace('\\n', ' | '), flush=True)
`

describe('the systemd unit', { timeout: 60_000 }, () => {
  test('systemd takes it as it is, and leaves little to attack', () => {
    const folder = tempFolder()
    const unit = join(folder, 'statemq.service')
    writeFileSync(unit, readFileSync(file('statemq.service'), 'utf8').replaceAll('/usr/local/bin/statemq', '/bin/true'))
    const verified = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })
    expect([verified.status, verified.stderr]).toEqual([0, ''])
    // In tenths: 1.4 and below is what systemd calls OK.
    const judged = spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=15', unit])
    expect(judged.status).toBe(0)
  })

  test('Type=notify: systemd is told when the broker listens and when it stops', async () => {
    const socket = join(tempFolder(), 'notify')
    const python = spawn('python3', ['-c', listener, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void python.kill('SIGKILL'))
    const lines = createInterface(python.stdout)[Symbol.asyncIterator]()
    expect((await lines.next()).value).toBe('bound')
    process.env['NOTIFY_SOCKET'] = socket
    onTestFinished(() => void delete process.env['NOTIFY_SOCKET'])
    const broker = await startCommand(['--port', '0', '--store', 'memory'])
    expect((await lines.next()).value).toBe(`READY=1 | STATUS=listens on mqtt://127.0.0.1:${broker.port}`)
    broker.child.kill('SIGTERM')
    expect((await lines.next()).value).toBe('STOPPING=1')
    expect(await broker.ended).toEqual([0, null])
  })
})

test('the configuration for a server is one, once its files are there', { timeout: 60_000 }, () => {
  const folder = tempFolder({ passwords: '{"format":"statemq-passwords","version":1}\n' })
  const [keyFile, certFile] = [join(folder, 'broker.key'), join(folder, 'broker.pem')]
  const subject = [
    '-subj',
    '/CN=localhost',
    '-days',
    '1',
    '-nodes',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
  ]
  expect(spawnSync('openssl', ['req', '-x509', ...subject, '-keyout', keyFile, '-out', certFile]).status).toBe(0)
  const text = readFileSync(file('broker.yaml'), 'utf8')
    .replace('tls/broker.key', keyFile)
    .replace('tls/broker.pem', certFile)
  writeFileSync(join(folder, 'broker.yaml'), text)
  const { status, err } = runCommand(['check', '--config', join(folder, 'broker.yaml')])
  expect([status, err]).toEqual([0, ''])
})

describe('the Containerfile', { timeout: 60_000 }, () => {
  const text = readFileSync(file('Containerfile'), 'utf8')
  const instructions = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')

  test('has instructions that exist, and ends as nobody’s root, with a volume and a check of its health', () => {
    const known = /^(FROM|WORKDIR|COPY|RUN|ENV|USER|VOLUME|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD) /
    expect(instructions.filter((line) => !known.test(line))).toEqual([])
    const last = instructions.slice(instructions.findLastIndex((line) => line.startsWith('FROM ')))
    expect(last.find((line) => line.startsWith('USER '))).toBe('USER 10001:10001')
    for (const line of last.filter((one) => /^(ENTRYPOINT|CMD|VOLUME) /.test(one))) {
      expect(JSON.parse(line.slice(line.indexOf(' ')))).toBeInstanceOf(Array)
    }
    expect(instructions.some((line) => line.startsWith('HEALTHCHECK '))).toBe(true)
  })

  test('copies what is there, and the command that it runs takes its options', () => {
    const copied = instructions
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from'))
      .flatMap((line) => line.split(/\s+/).slice(1, -1))
    expect(copied.filter((path) => !existsSync(join(repository, path)))).toEqual([])
    const words = JSON.parse(instructions.findLast((line) => line.startsWith('CMD '))!.slice(4)) as string[]
    const folder = tempFolder({ 'broker.yaml': 'listeners: [{ transport: tcp, host: 127.0.0.1 }]\n' })
    const here = words.map((word) => word.replace('/etc/statemq', folder).replace(/^\/data$/, join(folder, 'data')))
    expect(runCommand(['check', ...here])).toMatchObject({ status: 0, err: '' })
  })

  test('its health check tells a broker that is ready from none', async () => {
    const line = instructions.find((one) => one.startsWith('HEALTHCHECK '))!
    const [, ...words] = JSON.parse(line.slice(line.indexOf('CMD ') + 4)) as string[]
    const check = async (port: number): Promise<number | null> => {
      const child = spawn(
        process.execPath,
        words.map((word) => word.replace('7883', String(port))),
      )
      const [status] = (await once(child, 'exit')) as [number | null]
      return status
    }
    const broker = await startCommand(['--port', '0', '--data', join(tempFolder(), 'data'), '--inspect-port', '0'])
    const { url } = await broker.logged('the inspector is at')
    const port = Number(new URL(url as string).port)
    expect(await check(port)).toBe(0)
    broker.child.kill('SIGTERM')
    await broker.ended
    expect(await check(port)).toBe(1)
  })
})

test(
  'threat 97: an export overwrites nothing, and follows no link to what it should not',
  { timeout: 60_000 },
  async () => {
    const data = join(tempFolder(), 'data')
    const broker = await startCommand(['--port', '0', '--data', data])
    broker.child.kill('SIGTERM')
    await broker.ended
    const folder = tempFolder({ precious: 'mine' })
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'link'))
    copyFileSync(join(folder, 'precious'), join(folder, 'copy'))
    for (const name of ['precious', 'link']) {
      const { status, err } = runCommand(['store', 'export', join(folder, name), '--data', data])
      expect([status, err]).toEqual([2, expect.stringContaining(`${join(folder, name)} exists already`)])
    }
    expect(readFileSync(join(folder, 'precious'), 'utf8')).toBe('mine')
    expect([readlinkSync(join(folder, 'link')), existsSync(join(folder, 'elsewhere'))]).toEqual([
      join(folder, 'elsewhere'),
      false,
    ])
  },
)
