/** What the command keeps: as a process of its own, ended by a signal and started anew. */
import { chmodSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import mqtt, { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { describe, expect, onTestFinished, test } from 'vitest'

import { runCommand, startCommand, type RunningCommand } from '../support/command.ts'
import { tempFolder } from '../support/temp-files.ts'

const reader: IClientOptions = {
  clientId: 'reader',
  clean: false,
  protocolVersion: 5,
  properties: { sessionExpiryInterval: 3_600 },
  reconnectPeriod: 0,
}

/** A client, whether its session was there, and this many messages that it gets. */
async function take(port: number, options: IClientOptions, filter: string | undefined, count: number) {
  const client: MqttClient = mqtt.connect(`mqtt://127.0.0.1:${port}`, options)
  onTestFinished(() => void client.end(true))
  const messages: string[] = []
  const all = new Promise<void>((resolve) => {
    client.on('message', (topic, payload, { qos, retain }) => {
      messages.push(`${topic} ${payload.toString()} ${qos}${retain ? ' retained' : ''}`)
      if (messages.length === count) resolve()
    })
  })
  const sessionPresent = await new Promise<boolean>((resolve) =>
    client.once('connect', (packet) => resolve(packet.sessionPresent)),
  )
  if (filter !== undefined) await client.subscribeAsync(filter, { qos: 2 })
  if (count > 0) await all
  return { client, sessionPresent, messages }
}

/** A session that is away, with messages that wait for it, and a retained one; resolves when all is acknowledged. */
async function leaveThings({ port }: RunningCommand): Promise<void> {
  const { client } = await take(port, reader, 'a/#', 0)
  await client.endAsync()
  const publisher = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 })
  onTestFinished(() => void publisher.end(true))
  await publisher.publishAsync('a/1', 'one', { qos: 1 })
  await publisher.publishAsync('a/2', 'two', { qos: 2 })
  await publisher.publishAsync('r', 'kept', { qos: 1, retain: true })
}

describe('what was acknowledged is there after', () => {
  test.each(['SIGTERM', 'SIGKILL'] as const)('%s', async (signal) => {
    const folder = tempFolder()
    const before = await startCommand(['--port', '0'], { cwd: folder })
    await leaveThings(before)
    before.child.kill(signal)
    expect(await before.ended).toEqual(signal === 'SIGTERM' ? [0, null] : [null, 'SIGKILL'])

    const after = await startCommand(['--port', '0'], { cwd: folder })
    expect(await after.logged('the store is open')).toMatchObject({
      sessions: 1,
      messages: 2,
      retained: 1,
      durationMs: expect.any(Number),
    })
    const { sessionPresent, messages } = await take(after.port, reader, undefined, 2)
    expect({ sessionPresent, messages }).toEqual({ sessionPresent: true, messages: ['a/1 one 1', 'a/2 two 2'] })
    const fresh = await take(after.port, { reconnectPeriod: 0 }, 'r', 1)
    expect(fresh.messages).toEqual(['r kept 1 retained'])
  })
})

test('with --store memory nothing is, and no file is made', async () => {
  const folder = tempFolder()
  const before = await startCommand(['--port', '0', '--store', 'memory'], { cwd: folder })
  await leaveThings(before)
  before.child.kill('SIGTERM')
  await before.ended
  const after = await startCommand(['--port', '0', '--store', 'memory'], { cwd: folder })
  expect((await take(after.port, reader, undefined, 0)).sessionPresent).toBe(false)
  expect(readdirSync(folder)).toEqual([])
})

test('one directory is one process’s; the second ends with status 1 and says so', async () => {
  const folder = tempFolder()
  const first = await startCommand(['--port', '0', '--data', 'd'], { cwd: folder })
  const second = runCommand(['--port', '0', '--data', 'd'], { cwd: folder })
  expect(second).toEqual({
    status: 1,
    out: '',
    err: `statemq: Another process uses the store: ${join(folder, 'd')}\n`,
  })
  // It did no harm to the first one.
  await leaveThings(first)
  first.child.kill('SIGTERM')
  expect(await first.ended).toEqual([0, null])
})

test('what is kept is its owner’s alone', async () => {
  const folder = tempFolder()
  await startCommand(['--port', '0', '--data', 'var/lib/d'], { cwd: folder })
  const mode = (...names: string[]): string => (statSync(join(folder, 'var/lib/d', ...names)).mode & 0o777).toString(8)
  const modes = Object.fromEntries(readdirSync(join(folder, 'var/lib/d')).map((name) => [name, mode(name)]))
  expect([mode(), modes]).toEqual(['700', { 'data.mdb': '600', 'lock.mdb': '600', 'lock.sock': '600' }])
})

describe('a directory that cannot be used ends it with status 1', () => {
  test('for want of permission', () => {
    const folder = tempFolder()
    chmodSync(folder, 0o555)
    // Root may write everywhere, so somebody else has to try.
    const somebody = process.getuid?.() === 0 ? { uid: 65_534 } : {}
    const { status, err } = runCommand(['--port', '0', '--data', join(folder, 'd')], { cwd: '/', ...somebody })
    expect(err).toMatch(/^statemq: The store could not write: .*\/d: EACCES: permission denied[^\n]*\n$/)
    expect(status).toBe(1)
  })

  test('as it is a file', () => {
    const folder = tempFolder({ d: 'precious' })
    const { status, err } = runCommand(['--port', '0', '--data', 'd'], { cwd: folder })
    expect(err).toMatch(/^statemq: The store could not write: .*\/d: EEXIST[^\n]*\n$/)
    expect(status).toBe(1)
    expect(readFileSync(join(folder, 'd'), 'utf8')).toBe('precious')
  })

  test('as something else is in it, which stays as it is', () => {
    const text = 'something else '.repeat(1_000)
    const folder = tempFolder({ 'd/data.mdb': text })
    const { status, err } = runCommand(['--port', '0', '--data', 'd'], { cwd: folder })
    expect(err).toMatch(/^statemq: The store is damaged: .*\/d\/data\.mdb[^\n]* LMDB file\n$/)
    expect(status).toBe(1)
    expect(readFileSync(join(folder, 'd/data.mdb'), 'utf8')).toBe(text)
  })
})

test('a reload changes nothing about the store, and says that it needs a restart', async () => {
  const file = (durability: string): string =>
    `listeners: [{ transport: tcp, port: 0 }]\nstore: { directory: kept, durability: ${durability} }\n`
  const folder = tempFolder({ 'broker.yaml': file('os') })
  const config = join(folder, 'broker.yaml')
  const broker = await startCommand(['--config', config])
  expect(broker.ready['store']).toEqual({ type: 'lmdb', directory: join(folder, 'kept'), durability: 'os' })
  expect(readdirSync(join(folder, 'kept'))).toContain('data.mdb')
  writeFileSync(config, file('disk'))
  broker.child.kill('SIGHUP')
  expect(await broker.logged('need a restart')).toMatchObject({ options: ['store'] })
  await broker.logged('the configuration was reloaded')
  await leaveThings(broker)
})
