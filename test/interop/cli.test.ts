import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { describe, expect, onTestFinished, test } from 'vitest'

import { runCommand, startCommand } from '../support/command.ts'
import { repository } from '../support/source-files.ts'
import { tempFolder } from '../support/temp-files.ts'

/** Runs a command line that ends by itself. */
const statemq = (...words: string[]) => runCommand(words)
/** Starts a broker and waits until its log says where it listens. */
const startBroker = (...words: string[]) => startCommand(words)

describe('a running broker', () => {
  test('serves a client on the port that its log names, and drains on SIGTERM with status 0', async () => {
    const broker = await startBroker('--port', '0')
    expect(broker.ready.msg).toBe(`statemq listens on mqtt://127.0.0.1:${broker.port}`)
    const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, { protocolVersion: 5, reconnectPeriod: 0 })
    await client.subscribeAsync('a/b', { qos: 1 })
    const received = new Promise<[string, Buffer]>((resolve) =>
      client.once('message', (topic, payload) => resolve([topic, payload])),
    )
    await client.publishAsync('a/b', 'hello', { qos: 1 })
    const [topic, payload] = await received
    expect([topic, payload.toString()]).toEqual(['a/b', 'hello'])

    const told = new Promise<number | undefined>((resolve) =>
      client.once('disconnect', (packet) => resolve(packet.reasonCode)),
    )
    broker.child.kill('SIGTERM')
    expect(await told).toBe(0x8b)
    expect(await broker.ended).toEqual([0, null])
    expect(broker.lines.at(-1)?.msg).toBe('stopped')
    await client.endAsync(true)
  })

  test('opens every listener of flags and file', async () => {
    const folder = tempFolder({
      'broker.yaml':
        'listeners:\n  - { transport: tcp, port: 0, name: one }\n  - { transport: ws, port: 0, path: /x }\n',
    })
    const socket = join(folder, 'mqtt.sock')
    const broker = await startBroker('start', '--config', join(folder, 'broker.yaml'), '--unix', socket)
    expect(broker.listeners.map(({ name, transport, path }) => [name, transport, path])).toEqual([
      ['one', 'tcp', undefined],
      [expect.any(String), 'ws', undefined],
      [expect.any(String), 'unix', socket],
    ])
    const overWs = await connectAsync(`ws://127.0.0.1:${broker.listeners[1]!.port}/x`, { reconnectPeriod: 0 })
    expect(overWs.connected).toBe(true)
    await overWs.endAsync()
    const overUnix = connectSocket(socket)
    await once(overUnix, 'connect')
    overUnix.destroy()
    broker.child.kill('SIGINT')
    expect(await broker.ended).toEqual([0, null])
  })

  test.each([
    ['SIGTERM', ['SIGTERM'], [0, null]],
    ['SIGTERM twice', ['SIGTERM', 'SIGTERM'], [1, null]],
  ] as const)('%s ends it, also when nobody reads its log any more', async (_name, signals, ended) => {
    const broker = await startBroker('--port', '0', '--store', 'memory')
    broker.child.stdout?.destroy()
    broker.child.stderr?.destroy()
    onTestFinished(() => void broker.child.kill('SIGKILL'))
    for (const signal of signals) broker.child.kill(signal)
    const end = await Promise.race([broker.ended, once(AbortSignal.timeout(10_000), 'abort').then(() => 'it goes on')])
    // A second signal may find the first one done.
    expect([ended, [0, null]]).toContainEqual(end)
  })

  test('logs JSON lines at the level asked for', async () => {
    const { lines } = await startBroker('--port', '0', '--log-level', 'info')
    expect(lines.filter(({ level }) => level < 30)).toEqual([])
  })

  test('a port that is taken ends it with status 1 and says which', async () => {
    const { port } = await startBroker('--port', '0')
    const second = statemq('--port', String(port))
    expect(second.status).toBe(1)
    expect(second.err).toMatch(/^statemq: The listener could not be opened: .*EADDRINUSE/)
  })
})

describe('a command line that is wrong ends with status 2', () => {
  test.each([
    [['--prot', '1'], /unknown option '--prot'[\s\S]*Did you mean --port\?[\s\S]*statemq --help/],
    [['strat'], /unknown command "strat"; did you mean start\?\nRun 'statemq --help' for usage\./],
    [['start', 'now'], /too many arguments/],
    [['--port', 'http'], /Expected a number from 0 to 65535/],
    [['--store', 'disk'], /'disk' is invalid. Allowed choices are lmdb, memory/],
    [['--durability', 'never'], /'never' is invalid. Allowed choices are disk, os, everysec, fsync/],
    [['--durability', 'fsync'], /--durability fsync: lmdb has disk and os/],
    [['--data='], /Expected a name\./],
    [['--store', 'memory', '--data', 'x'], /^statemq: The command line is not valid: --data is for --store lmdb/],
    [['--set', 'store=memory', '--durability', 'os'], /--durability: in memory nothing outlives the process/],
    [['--log-level', 'loud'], /Allowed choices are trace, debug, info/],
    [['--set', 'limits'], /^statemq: The command line is not valid: --set limits: expected path=value/],
    [['chart', '--machine', 'door'], /Allowed choices are session, will, broker/],
    [['--host', '0.0.0.0', '--port', '0'], /^statemq: A listener reachable from other machines .*--allow-anonymous/],
    [
      ['--config', '/nowhere/broker.yaml'],
      /^statemq: The configuration file could not be read: \/nowhere\/broker\.yaml/,
    ],
  ])('%j', (words, message) => {
    const { status, out, err } = statemq(...words)
    expect(err).toMatch(message)
    expect({ status, out }).toEqual({ status: 2, out: '' })
  })
})

describe('statemq check', () => {
  test('prints what would run, which is itself a configuration', () => {
    const folder = tempFolder({ 'broker.yaml': 'limits: { maxQueuedMessages: 7 }\n' })
    const file = join(folder, 'broker.yaml')
    const { status, out } = statemq('check', '--config', file, '--port', '5', '--set', 'maximumQoS=1')
    expect(status).toBe(0)
    expect(out).toMatch(/^# .*broker\.yaml is valid; this would run:\nlisteners:\n {2}- transport: tcp\n {4}port: 5\n/)
    expect(out).toMatch(/^maximumQoS: 1$/m)
    expect(out).toMatch(/^ {2}maxQueuedMessages: 7$/m)
    expect(out).toMatch(/^ {2}maxMessagesPerSecond: \.inf$/m)

    const printed = join(tempFolder({ 'printed.yaml': out }), 'printed.yaml')
    const again = statemq('check', '--config', printed)
    expect(again.status).toBe(0)
    expect(again.out.split('\n').slice(1)).toEqual(out.split('\n').slice(1))
  })

  test('names every mistake with its place and ends with status 2', () => {
    const folder = tempFolder({ 'broker.yaml': 'limits:\n  maxQueuedMesages: 7\nallowAnonymous: maybe\n' })
    const file = join(folder, 'broker.yaml')
    expect(statemq('check', '--config', file, '--set', 'store=disk')).toEqual({
      status: 2,
      out: '',
      err:
        `${file}:2:3: limits.maxQueuedMesages: unknown key; did you mean maxQueuedMessages?\n` +
        `${file}:3:17: allowAnonymous: expected a boolean, found a string\n` +
        '--set store=disk: store.type: expected one of "lmdb", "memory", "redis"\n',
    })
  })

  test('refuses what the broker itself would refuse', () => {
    const { status, err } = statemq('check', '--set', 'limits.receiveMaximumMessages=0')
    expect(err).toMatch(/receiveMaximumMessages/)
    expect(status).toBe(2)
  })
})

describe('options before a command', () => {
  test.each([
    ['--set', 'limits=wrong', 'check'],
    ['--config', 'wrong.yaml', 'check'],
    ['--port', '0', 'chart'],
  ])('%s %s %s: nothing is passed over in silence', (...words) => {
    const { status, out, err } = statemq(...words)
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(err).toContain(`${words[0]} stands before "${words[2]}": options follow their command`)
  })
})

describe('a reader who has enough', () => {
  test('ends what is printed, without a word', () => {
    const text = 'roles:\n' + Array.from({ length: 5_000 }, (_, at) => `  r${at}: { permissions: [] }\n`).join('')
    const file = join(tempFolder({ 'broker.yaml': text }), 'broker.yaml')
    const main = join(repository, 'src', 'cli', 'main.ts')
    const line = `"${process.execPath}" "${main}" check --config "${file}" | head -1; echo "\${PIPESTATUS[0]}"`
    const { stdout, stderr } = spawnSync('bash', ['-c', line], { encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(stdout).toBe(`# ${file} is valid; this would run:\n1\n`)
  })

  test('no room for what is printed is said', { skip: !existsSync('/dev/full') }, () => {
    const main = join(repository, 'src', 'cli', 'main.ts')
    const { status, stderr } = spawnSync('bash', ['-c', `"${process.execPath}" "${main}" --version > /dev/full`], {
      encoding: 'utf8',
    })
    expect(stderr).toMatch(/^statemq: standard output: ENOSPC: .*\n$/)
    expect(status).toBe(1)
  })
})

describe('what it prints about itself', () => {
  test('help of a command, both ways', () => {
    const asked = statemq('help', 'check')
    expect(asked).toEqual(statemq('check', '--help'))
    expect(asked).toMatchObject({ status: 0, out: expect.stringMatching(/^Usage: statemq check /) })
  })

  test('its version', () => {
    expect(statemq('--version')).toEqual({ status: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), err: '' })
  })

  test('its help, with every option, the precedence and the exit statuses', () => {
    const { status, out } = statemq('--help')
    expect(status).toBe(0)
    const words = [
      '--port',
      '--host',
      '--ws-port',
      '--ws-host',
      '--unix',
      '--store',
      '--data',
      '--durability',
      '--config',
      '--set',
      '--log-level',
      '--allow-anonymous',
      '--version',
    ]
    for (const word of [...words, 'check', 'chart', 'Precedence:', 'Exit status:']) expect(out).toContain(word)
  })

  test.each(['session', 'will', 'broker'])('the %s chart, for people and for tools', (machine) => {
    const drawn = statemq('chart', '--machine', machine)
    expect(drawn.status).toBe(0)
    expect(drawn.out).toMatch(/^stateDiagram-v2\n/)
    const data = statemq('chart', '--machine', machine, '--format', 'json')
    expect(data.status).toBe(0)
    expect((JSON.parse(data.out) as { id: string }).id).toBe(machine)
  })
})
