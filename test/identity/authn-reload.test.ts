/** `statemq --config` as a process of its own: what a file says about identity, and SIGHUP. */
import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connect as connectTls } from 'node:tls'
import { hash } from '@node-rs/argon2'
import mqtt, { type IDisconnectPacket, type MqttClient } from 'mqtt'
import { describe, expect, onTestFinished, test } from 'vitest'

import { TestAuthority, testAuthority } from '../support/certificates.ts'
import { repository } from '../support/source-files.ts'
import { tempFolder } from '../support/temp-files.ts'
import { connectMqttJs, type Answer } from './authn-scene.ts'

const main = join(repository, 'src', 'cli', 'main.ts')
const guardMs = 20_000

interface LogLine {
  readonly msg: string
  readonly level: number
  readonly [field: string]: unknown
}

async function passwords(users: Record<string, object>): Promise<string> {
  const lines = ['{"format":"statemq-passwords","version":1}']
  for (const [user, fields] of Object.entries(users))
    lines.push(JSON.stringify({ user, hash: await hash(user, { memoryCost: 1_024, timeCost: 1 }), ...fields }))
  return `${lines.join('\n')}\n`
}

/** A broker process with a configuration file in a folder of its own; every user's password is its name. */
async function startProcess(config: string, files: Record<string, string> = {}) {
  const folder = tempFolder({ ...files, 'broker.yaml': config })
  const file = join(folder, 'broker.yaml')
  const child = spawn(process.execPath, [main, '--config', file, '--store', 'memory'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const lines: LogLine[] = []
  const all: string[] = []
  const changes = new EventEmitter()
  child.stderr.on('data', (chunk: Buffer) => all.push(chunk.toString()))
  createInterface({ input: child.stdout }).on('line', (text) => {
    all.push(text)
    lines.push(JSON.parse(text) as LogLine)
    changes.emit('change')
  })

  /** The next line of the log with this text. */
  const logged = async (text: string): Promise<LogLine> => {
    const signal = AbortSignal.timeout(guardMs)
    for (;;) {
      const index = lines.findIndex(({ msg }) => msg.includes(text))
      if (index >= 0) return lines.splice(0, index + 1).at(-1)!
      await once(changes, 'change', { signal }).catch((cause: unknown) => {
        throw new Error(`waited for ${JSON.stringify(text)}; the output was\n${all.join('\n')}`, { cause })
      })
    }
  }

  const ready = await logged('statemq listens on')
  const ports = (ready['listeners'] as { port: number }[]).map(({ port }) => port)
  const write = (name: string, text: string): void => {
    writeFileSync(join(folder, 'new'), text)
    renameSync(join(folder, 'new'), join(folder, name))
  }
  /** Writes the file, sends SIGHUP, and waits for what the log says about it. */
  const reload = async (text: string, outcome = 'the configuration was reloaded'): Promise<LogLine> => {
    write('broker.yaml', text)
    child.kill('SIGHUP')
    return logged(outcome)
  }
  const connect = (username?: string, port = ports[0]!): Promise<Answer> =>
    connectMqttJs(`mqtt://127.0.0.1:${port}`, username === undefined ? {} : { username, password: username })
  return { child, file, ports, logged, write, reload, connect, output: () => all.join('\n') }
}

/** A client that stays, and the messages that it gets. */
async function stay(port: number, username: string) {
  const client: MqttClient = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
    ...{ protocolVersion: 5, reconnectPeriod: 0, clientId: `${username}-stays` },
    ...{ username, password: username },
  })
  onTestFinished(() => void client.end(true))
  const got: string[] = []
  const changes = new EventEmitter()
  client.on('message', (topic, payload) => {
    got.push(`${topic} ${payload.toString()}`)
    changes.emit('change')
  })
  /** Waits for a message; gives all that came, and forgets them. */
  const until = async (last: string): Promise<string[]> => {
    const signal = AbortSignal.timeout(guardMs)
    while (!got.includes(last)) await once(changes, 'change', { signal })
    return got.splice(0)
  }
  return { client, until }
}

const listener = 'listeners:\n  - { transport: tcp, port: 0 }\n'
const byPassword = 'authenticators: [{ type: password-file, path: passwords }]\n'

test('semantics 7.7: subscribed clients gain and lose topics on SIGHUP, and stay connected', async () => {
  const rolesOf = (reader: string) =>
    `roles:\n  reader: { permissions: [${reader}] }\n  writer: { permissions: [{ allow: [publish, subscribe], topic: '#' }] }\n`
  const news = "{ allow: subscribe, topic: 'news/#' }"
  const sport = "{ allow: subscribe, topic: 'sport/#' }"
  const users = await passwords({ anna: { roles: ['reader'] }, wil: { roles: ['writer'] } })
  const t = await startProcess(`${listener}${byPassword}${rolesOf(news)}`, { passwords: users })
  const anna = await stay(t.ports[0]!, 'anna')
  const wil = await stay(t.ports[0]!, 'wil')
  await wil.client.publishAsync('sport/kept', 'kept', { qos: 1, retain: true })
  await anna.client.subscribeAsync(['#'], { qos: 1 })
  const publishBoth = async (payload: string): Promise<void> => {
    await wil.client.publishAsync('news/a', payload, { qos: 1 })
    await wil.client.publishAsync('sport/a', payload, { qos: 1 })
    await wil.client.publishAsync('news/a', `${payload} end`, { qos: 1 })
    await wil.client.publishAsync('sport/a', `${payload} end`, { qos: 1 })
  }
  await publishBoth('1')
  expect(await anna.until('news/a 1 end')).toEqual(['news/a 1', 'news/a 1 end'])

  await t.reload(`${listener}${byPassword}${rolesOf(sport)}`)
  await publishBoth('2')
  expect(await anna.until('sport/a 2 end')).toEqual(['sport/kept kept', 'sport/a 2', 'sport/a 2 end'])

  await t.reload(`${listener}${byPassword}${rolesOf(`${sport}, ${news}`)}`)
  await publishBoth('3')
  expect(await anna.until('sport/a 3 end')).toEqual(['news/a 3', 'sport/a 3', 'news/a 3 end', 'sport/a 3 end'])
  expect([anna.client.connected, wil.client.connected]).toEqual([true, true])
})

test('a broken file changes nothing, and the log says where', async () => {
  const config = `${listener}${byPassword}roles: { a: { permissions: [{ allow: [publish, subscribe], topic: t }] } }\n`
  const t = await startProcess(config, { passwords: await passwords({ anna: { roles: ['a'] } }) })
  const anna = await stay(t.ports[0]!, 'anna')
  const stillWorks = async (): Promise<void> => {
    expect((await t.connect('anna')).code).toBe(0)
    expect((await t.connect()).code).toBe(0x87)
    await anna.client.publishAsync('t', 'x', { qos: 1 })
    await expect(anna.client.publishAsync('u', 'x', { qos: 1 })).rejects.toMatchObject({ code: 0x87 })
  }
  const refused = 'the configuration was not reloaded; nothing has changed'
  const broken: [string, RegExp][] = [
    [`${config}limits: { maxConnections: canary-1 }\n`, /broker\.yaml:5:27: limits\.maxConnections: expected a whole/],
    [config.replace('topic: t', 'topic: t/#/t'), /broker\.yaml:4:29: roles\.a\.permissions\.0: the topic "t\/#\/t"/],
    [
      config.replace('path: passwords', 'path: none'),
      /broker\.yaml:3:18: authenticators\.0: The password file could not/,
    ],
    [listener.replace('port: 0', 'port: 0, host: 0.0.0.0'), /everyone who reaches it could publish/],
    ['listeners: [', /broker\.yaml:1:\d+: Flow sequence/],
    ['', /broker\.yaml:1:1: the file is empty; perhaps it is just being written/],
  ]
  for (const [text, message] of broken) {
    const { problems, file, level } = await t.reload(text, refused)
    expect({ problems, file, level }).toEqual({ problems: [expect.stringMatching(message)], file: t.file, level: 50 })
    await stillWorks()
  }
  await t.reload(config.replace('topic: t', 'topic: u'))
  await anna.client.publishAsync('u', 'x', { qos: 1 })
  // Threat 94
  expect(t.output()).not.toContain('canary')
})

test('authenticators are others from then on, wherever they stand; who is online stays', async () => {
  const open = 'listeners:\n  - { transport: tcp, port: 0, host: 0.0.0.0 }\n'
  const own = `listeners:\n  - transport: tcp\n    port: 0\n    host: 0.0.0.0\n    authenticators: [{ type: password-file, name: others, path: others }]\n`
  const t = await startProcess(`${open}${byPassword}`, {
    passwords: await passwords({ anna: {} }),
    others: await passwords({ bob: {} }),
  })
  const codes = async (): Promise<number[]> => [(await t.connect('anna')).code, (await t.connect('bob')).code]
  const anna = await stay(t.ports[0]!, 'anna')
  expect(await codes()).toEqual([0, 0x86])
  expect(await t.reload(own)).toMatchObject({ listeners: { kept: 1, opened: 0, closed: 0 } })
  expect(await codes()).toEqual([0x86, 0])
  await t.reload(`${open}${byPassword}`)
  expect(await codes()).toEqual([0, 0x86])
  await t.reload(`${open}allowAnonymous: true\n`)
  expect((await t.connect()).code).toBe(0)
  await t.reload(`${open}${byPassword.replace('passwords', 'others, name: others')}`)
  expect(await codes()).toEqual([0x86, 0])
  await anna.client.publishAsync('a', 'x', { qos: 1 })
})

test.each([
  ['of the broker', `${listener}${byPassword}`],
  ['that is not watched', `${listener}${byPassword.replace(' }', ', watch: false }')}`],
  ['of a listener', listener.replace(' }', ', authenticators: [{ type: password-file, path: passwords }] }')],
])('who is gone from a password file %s by SIGHUP is sent away, and nobody else', async (_, config) => {
  const t = await startProcess(config, { passwords: await passwords({ anna: {}, bob: {} }) })
  const [anna, bob] = [await stay(t.ports[0]!, 'anna'), await stay(t.ports[0]!, 'bob')]
  const told = new Promise<IDisconnectPacket>((resolve) => anna.client.once('disconnect', resolve))
  // Bob's line is the same, salt and all.
  const file = join(t.file, '..', 'passwords')
  const kept = readFileSync(file, 'utf8').replace(/^.*"anna".*\n/m, '')
  t.write('passwords', kept)
  await t.reload(config)
  expect((await told).reasonCode).toBe(0x87)
  await bob.client.publishAsync('a', 'x', { qos: 1 })
  expect((await t.connect('anna')).code).toBe(0x86)
})

test('a password file goes on being followed after reloads, wherever it stands', async () => {
  const plain = 'listeners:\n  - { transport: tcp, port: 0, name: l }\n'
  const own = plain.replace(' }', ', authenticators: [{ type: password-file, path: passwords }] }')
  const t = await startProcess(`${plain}${byPassword}`, { passwords: await passwords({ anna: {} }) })
  const configs = [`${plain}${byPassword}`, own, own, `${own}${byPassword}`, `${plain}${byPassword}`]
  for (const [round, config] of configs.entries()) {
    expect(await t.reload(config)).toMatchObject({ listeners: { kept: 1 } })
    t.write('passwords', await passwords({ [`user-${round}`]: {} }))
    await t.logged('the password file was read again')
    expect((await t.connect(`user-${round}`)).code).toBe(0)
  }
  // The signal itself reads the file, too, and a broken one refuses the rest.
  t.write('passwords', 'broken\n')
  const { problems } = await t.reload(`${plain}${byPassword}`, 'nothing has changed')
  expect(problems).toEqual([
    expect.stringMatching(/broker\.yaml:3:18: authenticators\.0: The password file .*passwords:1: /),
  ])
})

test('listeners come and go, and those that stay keep their port and their clients', async () => {
  const two = 'listeners:\n  - { transport: tcp, port: 0, name: one }\n  - { transport: tcp, port: 0, name: two }\n'
  const t = await startProcess(two)
  const [first, second] = [await stay(t.ports[0]!, 'a'), await stay(t.ports[1]!, 'b')]
  const one = `listeners:\n  - { transport: ws, port: 0, name: three }\n  - { transport: tcp, port: 0, name: one, limits: { maxClientIdBytes: 5 } }\n`
  expect(await t.reload(one, 'listening')).toMatchObject({ listener: 'three', transport: 'ws' })
  expect(await t.logged('was reloaded')).toMatchObject({ listeners: { kept: 1, opened: 1, closed: 1 } })
  await expect(connectMqttJs(`mqtt://127.0.0.1:${t.ports[1]}`)).rejects.toThrow('without CONNACK')
  // The listener's new limits hold for those who come now.
  expect((await t.connect()).code).toBe(0x85)
  for (const { client } of [first, second]) await client.publishAsync('x', 'x', { qos: 1 })

  const taken = `${one}  - { transport: tcp, port: ${t.ports[0]}, name: clash }\n`
  expect(await t.reload(taken, 'was not opened')).toMatchObject({ err: { code: 'SMQ_LISTEN_FAILED' } })
  await t.logged('was reloaded')
  expect(await t.reload(`${two}maximumQoS: 1\nlogLevel: debug\n`, 'need a restart')).toMatchObject({
    options: expect.arrayContaining(['maximumQoS', 'logLevel']),
  })
})

describe('TLS files', () => {
  /** The certificate that the broker shows, and whether the session was resumed. */
  async function handshake(port: number, session?: Buffer) {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...(session ? { session } : {}) })
    onTestFinished(() => void socket.destroy())
    const ticket = once(socket, 'session') as Promise<[Buffer]>
    await once(socket, 'secureConnect')
    const shown = { subject: socket.getPeerCertificate().subject?.CN, resumed: socket.isSessionReused() }
    return { shown, ticket: session ? session : (await ticket)[0] }
  }

  test('threat 74: are read again, and TLS sessions from before are not resumed', async () => {
    const pair = (name: string) => testAuthority().issue({ subject: `/CN=${name}` })
    const files = (name: string) => ({ 'key.pem': pair(name).key, 'cert.pem': pair(name).cert })
    const config = 'listeners:\n  - { transport: tls, port: 0, keyFile: key.pem, certFile: cert.pem }\n'
    const t = await startProcess(config, files('old'))
    const port = t.ports[0]!
    const { shown, ticket } = await handshake(port)
    expect(shown).toEqual({ subject: 'old', resumed: false })
    expect((await handshake(port, ticket)).shown).toMatchObject({ resumed: true })
    for (const [name, text] of Object.entries(files('new'))) t.write(name, text)
    await t.reload(config)
    expect((await handshake(port, ticket)).shown).toEqual({ subject: 'new', resumed: false })

    t.write('key.pem', new TestAuthority('other').issue({ subject: '/CN=x' }).key)
    const { problems } = await t.reload(config, 'nothing has changed')
    expect(problems).toEqual([expect.stringMatching(/broker\.yaml:2:5: listeners\.0: The TLS key, .*mismatch/)])
    expect((await handshake(port)).shown).toEqual({ subject: 'new', resumed: false })
  })
})

test('SIGHUP again and again, also while one is under way, ends with the last file; SIGTERM then ends it', async () => {
  const users = { a: await passwords({ anna: {} }), b: await passwords({ bob: {} }) }
  const config = (path: string) => `${listener}${byPassword.replace('passwords', path)}`
  const t = await startProcess(config('a'), users)
  for (let round = 0; round < 20; round += 1) {
    t.write('broker.yaml', config(round % 2 === 0 ? 'a' : 'b'))
    t.child.kill('SIGHUP')
  }
  // The last one counts, whenever it came: once its file holds it goes on holding.
  while ((await t.connect('bob')).code !== 0);
  expect((await t.connect('anna')).code).toBe(0x86)
  expect((await t.connect('bob')).code).toBe(0)
  const ended = once(t.child, 'exit')
  t.child.kill('SIGTERM')
  expect(await ended).toEqual([0, null])
})

test('without a change it is a reload of its own, and a broker without a file takes it, too', async () => {
  const child = spawn(process.execPath, [main, '--port', '0', '--store', 'memory'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const until = async (text: string): Promise<void> => {
    for (;;) {
      const line = await lines.next()
      if (line.done) throw new Error(`ended before ${text}`)
      if (line.value.includes(text)) return
    }
  }
  await until('statemq listens on')
  child.kill('SIGHUP')
  await until('the configuration was reloaded')
})
