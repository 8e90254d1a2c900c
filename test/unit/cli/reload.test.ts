import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

import { createBroker } from '../../../src/broker.ts'
import { prepare } from '../../../src/cli/prepare.ts'
import { configSchema } from '../../../src/cli/config-schema.ts'
import { Reloader, reloadableNames, type OpenListener } from '../../../src/cli/reload.ts'
import { resolveSettings } from '../../../src/cli/settings.ts'
import { TestLog } from '../../identity/authn-scene.ts'
import { tempFolder } from '../../support/temp-files.ts'

const users = '{"format":"statemq-passwords","version":1}\n'

/** A broker with its reloader, in this process, so that a test can act between two steps of a reload. */
async function start(text: string, isEarly = false) {
  const config = join(tempFolder({ 'broker.yaml': text, passwords: users }), 'broker.yaml')
  const log = new TestLog()
  const prepared = await prepare(resolveSettings({ config }), log)
  const broker = createBroker(prepared.broker)
  onTestFinished(() => broker.close({ drainTimeoutMs: 100 }))
  const listeners: OpenListener[] = []
  const running = { broker, flags: { config }, log, prepared, listeners }
  const reloader = new Reloader(running)
  if (isEarly) reloader.request()
  for (const [index, options] of prepared.listeners.entries())
    listeners.push({ config: prepared.settings.config.listeners[index]!, listener: await broker.listen(options) })
  reloader.begin()
  const write = (changed: string, name = 'broker.yaml'): void => writeFileSync(join(config, '..', name), changed)
  return { running, log, write, reloader }
}

test('a request that comes while a reload is under way is one more reload', async () => {
  const config = (bytes: number) => `listeners: [{ transport: tcp, port: 0 }]\nlimits: { maxClientIdBytes: ${bytes} }\n`
  const { running, log, write, reloader } = await start(config(1))
  write(config(2))
  // It reads the file at once, so what is written now is for the next.
  reloader.request()
  write(config(3))
  reloader.request()
  reloader.request()
  await log.logged('was reloaded')
  await log.logged('was reloaded')
  expect(running.broker.limits.maxClientIdBytes).toBe(3)
})

test('one that comes while the listeners are being opened waits for them', async () => {
  const { log } = await start(
    'listeners: [{ transport: tcp, port: 0 }, { transport: tcp, port: 0, name: two }]\n',
    true,
  )
  expect(await log.logged('was reloaded')).toMatchObject({ listeners: { kept: 2, opened: 0, closed: 0 } })
})

test('a listener that is opened anew has authenticators that follow their files', async () => {
  const config = (name: string) =>
    `listeners: [{ transport: tcp, port: 0, name: ${name}, authenticators: [{ type: password-file, path: passwords }] }]\n`
  const { log, write, reloader } = await start(config('one'))
  write(config('two'))
  reloader.request()
  await log.logged('was reloaded')
  log.lines.length = 0
  write(`${users}# changed\n`, 'passwords')
  expect(await log.logged('the password file was read again')).toMatchObject({ users: 0 })
})

test('a step that fails is told of, and the next request is served', async () => {
  const config = (name: string) => `listeners: [{ transport: tcp, port: 0, name: ${name} }]\n`
  const { running, log, write, reloader } = await start(config('one'))
  const [first] = running.listeners
  const close = () => Promise.reject(new Error('it does not close'))
  running.listeners[0] = { ...first!, listener: { ...first!.listener, close } }
  write(config('two'))
  reloader.request()
  expect((await log.logged('as a whole'))['err']).toMatchObject({ message: 'it does not close' })
  write(config('one'))
  reloader.request()
  await log.logged('was reloaded')
})

test('bans of the file are taken anew, and those of run time stay; how to stop next time is taken, too', async () => {
  const head = 'listeners: [{ transport: tcp, port: 0 }]\n'
  const { running, log, write, reloader } = await start(`${head}bans: [{ clientId: a }, { principal: eve }]\n`)
  const { bans } = running.broker
  bans.add({ clientId: 'mine' })
  write(`${head}bans: [{ principal: eve }, { address: 10.0.0.0/8 }]\ndrain: { perSecond: 5 }\n`)
  reloader.request()
  await log.logged('the configuration was reloaded')
  expect(bans.list().map(({ id: _id, createdAtMs: _at, ...ban }) => ban)).toEqual([
    { principal: 'eve', reason: '', by: 'configuration', untilMs: null },
    { clientId: 'mine', reason: '', by: 'operator', untilMs: null },
    { address: '10.0.0.0/8', reason: '', by: 'configuration', untilMs: null },
  ])
  expect(running.prepared.settings.config.drain).toEqual({ perSecond: 5 })
  write(`${head}bans: [{ address: 10.0.0.0/99 }]\n`)
  reloader.request()
  await log.logged('the configuration was not reloaded; nothing has changed')
  expect(bans.list()).toHaveLength(3)
  expect(log.lines.filter(({ message }) => message.includes('need a restart'))).toEqual([])
})

test('what of the file is not taken anew is named in the log, every option of it', async () => {
  const head = 'listeners: [{ transport: tcp, port: 0 }]\n'
  const values: Readonly<Record<string, string>> = {
    overflowPolicy: 'disconnect',
    sharedSubscriptionStrategy: 'sticky',
    responseInformation: 'x',
    maximumQoS: '1',
    retainAvailable: 'false',
    wildcardSubscriptionAvailable: 'false',
    subscriptionIdentifiersAvailable: 'false',
    sharedSubscriptionAvailable: 'false',
    history: 'true',
    sysTopics: '{ intervalSeconds: 5 }',
    inspect: '{ port: 0 }',
    store: '{ type: memory }',
    logLevel: 'debug',
  }
  const taken = ['listeners', 'drain', 'drainTimeoutMs', ...reloadableNames]
  expect([...Object.keys(values), ...taken].toSorted()).toEqual(Object.keys(configSchema.shape).toSorted())
  const { log, write, reloader } = await start(head)
  write(
    `${head}${Object.entries(values)
      .map(([name, value]) => `${name}: ${value}\n`)
      .join('')}`,
  )
  reloader.request()
  const { options } = await log.logged('need a restart')
  expect((options as string[]).toSorted()).toEqual(Object.keys(values).toSorted())
})
