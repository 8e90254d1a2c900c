import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createMachine, type EventObject, type MachineConfig } from 'xstate'

import { allow, createBroker, type Broker, type BrokerOptions, type LocalClient } from '../../src/index.ts'
import type { ChartState } from '../../src/inspect/chart.ts'
import { extendSession, sessionSetup } from '../../machines/index.ts'
import { runCommandLine } from '../../src/cli/program.ts'
import { repository } from '../support/source-files.ts'
import { tempFolder } from '../support/temp-files.ts'

const token = 'a-token-of-more-than-thirty-two-characters'
const hostile = 'evil\u202e\u001b[31m\r\nid'

interface Outcome {
  readonly status: number
  readonly out: string
  readonly err: string
}

/** Runs the command in a process of its own; the broker is in this one. For what is about bytes and standard input. */
function command(words: readonly string[], env: Record<string, string>, input?: string): Promise<Outcome> {
  const { STATEMQ_TOKEN: _token, ...others } = process.env
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(repository, 'src/cli/main.ts'), ...words],
      { cwd: tempFolder(), env: { ...others, ...env }, timeout: 20_000 },
      (error, out, err) => resolve({ status: error ? Number(error.code ?? -1) : 0, out, err }),
    )
    child.stdin?.end(input ?? '')
  })
}

/** The same without a process: starting one costs a second or two. */
async function inside(words: readonly string[], env: Record<string, string>): Promise<Outcome> {
  const saved = { ...process.env }
  for (const name of ['STATEMQ_TOKEN', 'STATEMQ_PASSWORD', 'STATEMQ_USER']) delete process.env[name]
  Object.assign(process.env, env)
  let [out, err] = ['', '']
  try {
    const status = await runCommandLine(
      words,
      (text) => void (out += text),
      (text) => void (err += text),
    )
    return { status: status ?? -1, out, err }
  } finally {
    process.env = saved
  }
}

interface Bench {
  readonly broker: Broker
  readonly device: LocalClient
  readonly statemq: (words: readonly string[], env?: Record<string, string>, input?: string) => Promise<Outcome>
  /** What a command prints with `--json`. */
  readonly json: <T>(words: readonly string[]) => Promise<T>
  readonly url: string
}

async function start(options: BrokerOptions = {}): Promise<Bench> {
  const broker = createBroker({
    inspect: { port: 0, tokens: [{ name: 'tests', role: 'operate', token }] },
    allowAnonymous: true,
    authenticators: [
      {
        name: 'by-name',
        authenticate: ({ username, password }) =>
          username === 'anna' && password?.toString() === 'right' ? allow({ roles: ['crew'] }) : { type: 'next' },
      },
    ],
    anonymousRoles: ['guest'],
    roles: {
      guest: {
        permissions: [
          { allow: ['publish', 'subscribe'], topic: '#' },
          { deny: 'publish', topic: 'secret' },
        ],
      },
      crew: { permissions: [{ allow: ['publish', 'subscribe'], topic: '#' }] },
    },
    ...options,
  })
  onTestFinished(() => broker.close())
  await broker.ready
  const { address } = await broker.listen({ transport: 'tcp', port: 0 })
  const { origin: url } = new URL(broker.inspector!.url)
  const port = 'port' in address ? address.port : 0
  const env = { STATEMQ_URL: url, STATEMQ_TOKEN: token, STATEMQ_MQTT_URL: `mqtt://127.0.0.1:${port}` }
  const statemq: Bench['statemq'] = (words, more = {}, input?: string) =>
    input === undefined ? inside(words, { ...env, ...more }) : command(words, { ...env, ...more }, input)
  const json: Bench['json'] = async (words) => {
    const { status, out, err } = await statemq([...words, '--json'])
    expect({ status, err }).toEqual({ status: 0, err: '' })
    return JSON.parse(out) as never
  }
  if (options.allowAnonymous === false) return { broker, statemq, json, url } as Bench
  const device = await broker.client({ clientId: 'device', will: { topic: 'will', payload: 'gone' } })
  return { broker, device, statemq, json, url }
}

test('sessions are listed, filtered, sorted and limited; hostile identifiers are written out', async () => {
  const { broker, statemq, json } = await start()
  await broker.client({ clientId: hostile })
  const all = await statemq(['sessions', '--sort', 'clientId', '--descending'])
  expect(all.status).toBe(0)
  const lines = all.out.split('\n')
  expect(lines[0]).toMatch(/^CLIENT +STATE +PRINCIPAL +ROLES/)
  expect(lines.slice(1, 3).map((line) => line.split(/ {2,}/)[0])).toEqual(['evil\\u{202e}\\e[31m\\r\\nid', 'device'])
  expect(lines[3]).toBe('1-2 of 2 sessions')
  expect(await json<object>(['sessions', '$ClientId is "device"', '--limit', '1'])).toMatchObject({
    total: 1,
    rows: [{ clientId: 'device', state: 'online', roles: ['guest'] }],
  })
  const wrong = await statemq(['sessions', '$ClientId is'])
  expect(wrong).toMatchObject({ status: 1, out: '' })
  expect(wrong.err).toMatch(/^statemq: The session filter is not valid: at 12/)
})

test('a session tells its states, its will and how it came to be so', async () => {
  const { statemq, json } = await start()
  const { out, status } = await statemq(['session', 'device'])
  expect(status).toBe(0)
  for (const line of [
    /^client +device$/m,
    /^state +online\.authority\.valid, /m,
    /^ {2}topic +will$/m,
    /packet\.connect/,
  ])
    expect(out).toMatch(line)
  const { session, history } = await json<{ session: { clientId: string }; history: { event: string }[] }>([
    'session',
    'device',
  ])
  expect(session.clientId).toBe('device')
  expect(history.map(({ event }) => event)).toContain('packet.connect')
  expect(await statemq(['session', 'nobody'])).toEqual({
    status: 4,
    out: '',
    err: 'statemq: No session has this client identifier: "nobody"\n',
  })
})

test('roles are given and taken, and what follows is explained', async () => {
  const { broker, statemq, json } = await start()
  expect(await statemq(['explain', 'device', 'publish', 'secret'])).toMatchObject({ status: 0 })
  expect(await json<object>(['explain', 'device', 'publish', 'secret'])).toMatchObject({ verdict: 'deny' })
  const changed = await statemq(['roles', 'device', '+crew', '-guest'])
  expect(changed).toMatchObject({ status: 0, err: '' })
  expect(changed.out).toMatch(/^device +done/m)
  expect(broker.sessions.get('device')?.context.grant?.roles).toEqual(['crew'])
  expect(await json<object>(['explain', 'device', 'publish', 'secret'])).toMatchObject({ verdict: 'allow' })
  expect(await json<object>(['explain', 'device', 'receive', 'a/b'])).toMatchObject({ verdict: 'allow' })
  expect((await statemq(['roles', 'device', 'crew'])).err).toMatch(/"crew" is neither \+role nor -role/)
  expect((await statemq(['explain', 'device', 'publish'])).status).toBe(2)
})

test('disconnect, revoke and expire act on identifiers or a filter, and say what became of each', async () => {
  const { broker, device, statemq } = await start()
  const gone = await statemq(['disconnect', 'device', 'nobody', '--reason', 'maintenance'])
  expect(gone.status).toBe(1)
  expect(gone.out).toMatch(/^nobody +failed +SMQ_SESSION_UNKNOWN/m)
  expect(gone.out).toMatch(/^1 done, 0 unchanged, 1 failed$/m)
  expect(gone.err).toBe('statemq: The admin API failed: 1 sessions are as they were\n')
  expect(await device.closed).toBe(0x98)
  for (const name of ['revoke', 'expire']) {
    const client = await broker.client({ clientId: name })
    expect((await statemq([name, '--filter', `$ClientId is "${name}"`])).status).toBe(0)
    await client.closed
    expect(broker.sessions.get(name)).toBeUndefined()
  }
  expect((await statemq(['disconnect', 'nobody'])).status).toBe(4)
  expect((await statemq(['disconnect'])).err).toMatch(/say which: client identifiers, or --filter/)
})

test('retained messages and jobs are listed, shown and taken away', async () => {
  const { broker, statemq, json } = await start()
  await broker.publish({ topic: 'a/b', payload: 'kept\u001b[2J', retain: true })
  expect((await statemq(['retained'])).out).toMatch(/^a +yes/m)
  expect((await statemq(['retained', 'a'])).out).toMatch(/^a\/b +- +0 +8$/m)
  expect((await statemq(['retained', 'a/b', '--get'])).out).toMatch(/\nkept\\e\[2J\n$/)
  expect(await json<object>(['retained', 'a/b', '--get'])).toMatchObject({ topic: 'a/b', payloadBytes: 8 })
  expect(await statemq(['retained', 'a/b', '--delete'])).toEqual({ status: 0, out: 'deleted\n', err: '' })
  expect((await statemq(['retained', 'a/b', '--get'])).status).toBe(4)
  expect((await statemq(['jobs', 'dead'])).out).toBe('0 of 0 jobs\n')
  expect((await statemq(['jobs', '--drop', 'no-such-job'])).status).toBe(4)
  expect((await statemq(['jobs', 'everything'])).status).toBe(2)
})

test('top looks as often as it is told, without cursor tricks where there is no terminal', async () => {
  const { statemq } = await start()
  const { out, status } = await statemq(['top', '--count', '2', '--interval', '1'])
  expect(status).toBe(0)
  expect(out).not.toContain('\u001b')
  expect(out.match(/^messages in/gm)).toHaveLength(2)
  const [first] = (await statemq(['top', '-n', '1', '--json'])).out.split('\n')
  expect(JSON.parse(first!)).toMatchObject({ stats: { sessions: { online: 1 } }, slowSubscribers: [] })
})

test('chart --live draws the chart that runs, with its own states and the number of sessions in each', async () => {
  const machine = extendSession(sessionSetup, {
    online: {
      states: {
        quarantine: { initial: 'free', states: { free: { on: { 'custom.hold': 'held' } }, held: {} } },
      },
    },
  })
  const { broker, statemq } = await start({ machine })
  for (const clientId of ['second', 'third']) await broker.client({ clientId, sessionExpiryIntervalSeconds: 60 })
  broker.sessions.get('second')!.actorRef.send({ type: 'custom.hold' })
  const away = await broker.client({ clientId: 'away', sessionExpiryIntervalSeconds: 60 })
  away.abort()
  await expect.poll(() => broker.inspection.census()['offline']).toBe(1)
  const mermaid = await statemq(['chart', '--live', '--brief'])
  expect(mermaid).toMatchObject({ status: 0, err: '' })
  for (const title of [
    'state "online (parallel) · 3" as online {',
    'state "authority · 3" as online_authority {',
    'state "valid · 3" as online_authority_valid',
    'state "free · 2" as online_quarantine_free',
    'state "held · 1" as online_quarantine_held',
    'state "flowing · 3" as online_delivery_flowing',
    'state "offline · 1" as offline',
    'state "expired · 0" as expired',
  ])
    expect(mermaid.out).toContain(title)
  const chart = JSON.parse((await statemq(['chart', '--live', '--format', 'json'])).out) as ChartState
  expect([chart.meta, chart.states?.['online']?.meta]).toEqual([{ sessions: 4 }, { sessions: 3 }])
  // It is a configuration still: what was added is no key of XState's.
  const viewed = createMachine(chart as unknown as MachineConfig<object, EventObject>)
  expect(viewed.getStateNodeById('session.offline').meta).toEqual({ sessions: 1 })
  const { out: picture } = await statemq(['chart', '--live', '--format', 'svg', '--theme', 'dark'])
  for (const title of ['online · 3', 'held · 1', 'offline · 1']) expect(picture).toContain(`>${title}</text>`)
})

test('chart without --live asks nobody; with it, nobody there and other machines are told of', async () => {
  const nobody = { STATEMQ_URL: 'http://127.0.0.1:9', STATEMQ_TOKEN: token }
  const still = await inside(['chart', '--brief'], nobody)
  expect(still).toMatchObject({ status: 0, err: '' })
  expect(still.out).toContain('state "offline" as offline\n')
  expect(await inside(['chart', '--live'], nobody)).toMatchObject({ status: 3, out: '' })
  expect(await inside(['chart', '--live', '--machine', 'will'], nobody)).toMatchObject({
    status: 2,
    err: expect.stringContaining('only sessions are counted'),
  })
})

test('health is said, and is the status', async () => {
  const { statemq, broker } = await start()
  expect(await statemq(['health'])).toEqual({ status: 0, out: 'ready\n', err: '' })
  await broker.close()
  expect((await statemq(['health'])).status).toBe(3)
})

test('the token comes from the environment, a file, or where the broker left it, and never from an argument', async () => {
  const { statemq, url } = await start()
  const none = { STATEMQ_TOKEN: '' }
  const folder = tempFolder({ token: `${token}\n`, 'data/inspect-token': token, wrong: `${token}x` })
  expect((await statemq(['sessions'], none)).status).toBe(3)
  expect((await statemq(['sessions', '--token-file', join(folder, 'token')], none)).status).toBe(0)
  expect((await statemq(['sessions', '--data', join(folder, 'data')], none)).status).toBe(0)
  const refused = await statemq(['sessions', '--token-file', join(folder, 'wrong')], none)
  expect(refused).toMatchObject({ status: 3, out: '' })
  expect(refused.err).not.toContain(token)
  for (const bad of [`${url}/#token=${token}`, url.replace('//', `//user:${token}@`)]) {
    const { status, err } = await statemq(['sessions', '--url', bad])
    expect(status).toBe(2)
    expect(err).toMatch(/seen by everybody/)
    expect(err).not.toContain(token)
  }
  expect((await statemq(['sessions', '--token', token])).status).toBe(2)
  expect((await statemq(['sessions', '--url', 'http://192.0.2.1:1'])).err).toMatch(/would cross the network in clear/)
})

test('what answers and is no admin API is told so', async () => {
  const server = createServer((_request, response) => response.end('<html>')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as { port: number }
  const { status, err } = await command(['sessions', '--url', `http://127.0.0.1:${port}`], {})
  expect({ status, err }).toEqual({
    status: 1,
    err: 'statemq: The admin API failed: the answer is no JSON; is this the admin API of a statemq?\n',
  })
})

test('pub and sub: a message, a file, standard input, lines', async () => {
  const { statemq } = await start()
  const folder = tempFolder({ message: 'of a file' })
  // Retained, so that it does not matter who is first.
  const publish = (words: readonly string[], input?: string) => statemq(['pub', '-q', '1', '-r', ...words], {}, input)
  expect(await publish(['-t', 'first/text', '-m', 'it works'])).toEqual({ status: 0, out: '', err: '' })
  expect(await publish(['-t', 'first/file', '--file', join(folder, 'message')])).toMatchObject({ status: 0 })
  expect(await publish(['-t', 'first/stdin', '--stdin'], 'two\nlines')).toMatchObject({ status: 0 })
  const lines = await publish(['-t', 'first/lines', '--lines', '--json'], 'one\r\n\ntwo')
  expect(lines.out.split('\n').map((line) => /"bytes":(\d+)/.exec(line)?.[1])).toEqual(['3', '0', '3', undefined])
  // To a pipe the bytes go as they are, a line end behind each message.
  const { status, out } = await statemq(['sub', '-t', 'first/#', '-q', '1', '-C', '4', '-v'], {}, '')
  expect(status).toBe(0)
  expect(out.split('first/').toSorted()).toEqual([
    '',
    'file of a file\n',
    'lines two\n',
    'stdin two\nlines\n',
    'text it works\n',
  ])
  const json = await statemq(['sub', '-t', 'first/stdin', '-C', '1', '--json'])
  expect(JSON.parse(json.out)).toMatchObject({ topic: 'first/stdin', payload: 'two\nlines', qos: 0, retain: true })
  expect(await publish(['-t', 'first/text', '-m', 'x', '--json'])).toMatchObject({
    out: '{"topic":"first/text","bytes":1,"qos":1,"reasonCode":0}\n',
  })
})

test('pub and sub say what was refused, and by which status', async () => {
  const { statemq } = await start()
  expect(await statemq(['pub', '-t', 'secret', '-m', 'x', '-q', '1'])).toEqual({
    status: 1,
    out: '',
    err: 'statemq: The broker refused the message: Publish error: Not authorized\n',
  })
  expect((await statemq(['sub', '-t', '$share/x', '-C', '1'])).status).toBe(1)
  expect(await statemq(['sub', '-t', 'quiet', '-C', '1', '--wait', '1'])).toMatchObject({
    status: 1,
    err: 'statemq: Fewer messages came than were waited for: 0 of 1 messages in 1 s\n',
  })
  expect((await statemq(['sub', '-t', 'quiet', '--wait', '1'])).status).toBe(0)
  expect((await statemq(['pub', '-t', 'a/#', '-m', 'x'])).status).toBe(2)
  expect(await statemq(['sub', '-t', 'a#'])).toMatchObject({
    status: 2,
    err: expect.stringContaining('"a#" is no topic filter'),
  })
  expect((await statemq(['pub', '-t', 'a'])).err).toMatch(/one of --message, --file, --stdin and --lines/)
  const nobody = { STATEMQ_MQTT_URL: 'mqtt://127.0.0.1:1' }
  expect(await statemq(['pub', '-t', 'a', '-m', 'x'], nobody)).toEqual({
    status: 3,
    out: '',
    err: 'statemq: The broker could not be connected to: mqtt://127.0.0.1:1: nobody listens there\n',
  })
})

test('passwords come from the environment or a file; one in a URL is refused', async () => {
  const { statemq, broker } = await start({ allowAnonymous: false })
  const folder = tempFolder()
  writeFileSync(join(folder, 'password'), 'right\n')
  const words = ['pub', '-t', 'secret', '-m', 'x', '-q', '1', '-u', 'anna']
  expect((await statemq(words, { STATEMQ_PASSWORD: 'right' })).status).toBe(0)
  expect((await statemq([...words, '--password-file', join(folder, 'password')])).status).toBe(0)
  const { status, err } = await statemq(words, { STATEMQ_PASSWORD: 'wrong' })
  expect(status).toBe(3)
  expect(err).toMatch(/could not be connected to: .*Not authorized/)
  const inUrl = await statemq(['pub', '-t', 'a', '-m', 'x', '--url', 'mqtt://anna:right@127.0.0.1'])
  expect(inUrl).toMatchObject({ status: 2 })
  expect(inUrl.err).not.toContain('right')
  expect(broker.sessions.count('all')).toBe(0)
})
