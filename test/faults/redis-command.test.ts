/** The command with a store in Redis: how it is told where that is, and that nobody else is told. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { testAuthority } from '../support/certificates.ts'
import { runCommand, startCommand, type CommandOptions } from '../support/command.ts'
import { RawClient } from '../support/raw-client.ts'
import { freePorts, startRedis, type TestRedis, type TestRedisOptions } from '../support/redis-server.ts'
import { tempFolder } from '../support/temp-files.ts'

async function redisServer(
  settings: Readonly<Record<string, string>> = {},
  options: TestRedisOptions = {},
): Promise<TestRedis> {
  const redis = await startRedis(settings, options)
  onTestFinished(() => redis.end())
  return redis
}

const persistent = { cleanStart: false, properties: { sessionExpiryInterval: 3_600 } } as const

/** A session with a message, over a kill. */
async function survivesKill(words: readonly string[], options: CommandOptions = {}): Promise<void> {
  const before = await startCommand(['--port', '0', ...words], options)
  const client = await RawClient.tcp(before.port)
  await client.connect({ clientId: 'c', ...persistent })
  await client.subscribe([['t', { qos: 1 }]])
  client.drop()
  const publisher = await RawClient.tcp(before.port)
  await publisher.connect({ clientId: 'p' })
  await publisher.publish({ topic: 't', payload: 'kept', qos: 1 })
  before.child.kill('SIGKILL')
  await before.ended
  const after = await startCommand(['--port', '0', ...words], options)
  const back = await RawClient.tcp(after.port)
  await back.connect({ clientId: 'c', ...persistent })
  expect(await back.expectPacket('publish')).toMatchObject({ topic: 't', payload: 'kept' })
  after.child.kill('SIGTERM')
  expect(await after.ended).toEqual([0, null])
}

test('--redis keeps what was acknowledged through a kill', async () => {
  const redis = await redisServer()
  await survivesKill(['--redis', redis.socket])
})

test('the file says where it is, and a file or a variable beside it says what is secret', async () => {
  const password = 'p%40ss:wo/rd-canary'
  const plain = 'p@ss:wo/rd-canary'
  const [port] = (await freePorts(1)) as [string]
  await redisServer({ port, requirepass: plain }, { password: plain })
  const url = `redis://:${password.replace('/', '%2F')}@127.0.0.1:${port}/2`
  const cwd = tempFolder()
  writeFileSync(join(cwd, 'url'), `${url}\n`)
  const file = join(cwd, 'broker.yaml')
  writeFileSync(file, 'store: { type: redis, prefix: mine, timeoutMs: 2000, url: { file: url } }\n')
  await survivesKill(['--config', file], { cwd })
  await survivesKill(['--store', 'redis'], { cwd, env: { STATEMQ_REDIS_URL: url } })
})

test('threat 94: a password of Redis is in no log, no error, no listing of processes, and not in what check prints', async () => {
  const password = 'canary-4711'
  const [port] = (await freePorts(1)) as [string]
  await redisServer({ port, requirepass: password }, { password })
  const url = `redis://:${password}@127.0.0.1:${port}`
  const env = { STATEMQ_REDIS_URL: url }
  const words = ['--port', '0', '--store', 'redis', '--log-level', 'trace']
  const broker = await startCommand(words, { env })
  expect(readFileSync(`/proc/${broker.child.pid}/cmdline`, 'utf8')).not.toContain(password)
  expect(JSON.stringify(broker.lines) + broker.complained()).not.toContain(password)
  const seen = [
    runCommand(['check', '--store', 'redis'], { env }),
    // Another one has the store.
    runCommand(words, { env }),
    runCommand(words, { env: { STATEMQ_REDIS_URL: url.replace('canary', 'wrong-canary') } }),
    runCommand(words, { env: { STATEMQ_REDIS_URL: url.replace('://', '//') } }),
    runCommand(['--redis', url]),
    runCommand(['--set', `store={type: redis, url: '${url}'}`]),
    runCommand(['--store', 'redis', '--set', `store.url=${url}`]),
  ]
  expect(seen.map(({ status }) => status)).toEqual([0, 1, 1, 2, 2, 2, 2])
  for (const { out, err } of seen) expect(out + err).not.toContain('canary')
  expect(seen[2]!.err).toContain('WRONGPASS')
  expect(seen[4]!.err).toContain('STATEMQ_REDIS_URL')
  broker.child.kill('SIGKILL')
  await broker.ended
})

test('rediss:// speaks TLS, and only with a server whose certificate is right', async () => {
  const [tlsPort] = (await freePorts(1)) as [string]
  const folder = tempFolder()
  const { cert } = testAuthority()
  const pair = testAuthority().issue({ subject: '/CN=localhost', subjectAltName: 'DNS:localhost,IP:127.0.0.1' })
  const files = { 'ca.crt': cert, 'server.crt': pair.cert, 'server.key': pair.key }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  await redisServer({
    'tls-port': tlsPort,
    'tls-cert-file': join(folder, 'server.crt'),
    'tls-key-file': join(folder, 'server.key'),
    'tls-ca-cert-file': join(folder, 'ca.crt'),
    'tls-auth-clients': 'no',
  })
  const words = ['--redis', `rediss://localhost:${tlsPort}`]
  await survivesKill(words, { env: { NODE_EXTRA_CA_CERTS: join(folder, 'ca.crt') } })
  const { status, err } = runCommand(['--port', '0', ...words])
  expect([status, err]).toEqual([1, expect.stringMatching(/does not answer.*certificate/)])
})

test('what can not be is said at once: wrong URLs, keys of other stores, missing packages', async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--redis', 'http://x'], /--redis: .*expected redis:\/\//],
    [['--redis', 'redis://a,b'], /redis\+sentinel/],
    [['--redis', 'redis://h:99999'], /host:port/],
    [['--redis', 'redis+sentinel://h'], /master-name/],
    [['--redis', 'redis+cluster://h/3'], /no databases/],
    [['--redis', 'redis://h/x'], /not a number/],
    [['--redis', '/s', '--data', 'd'], /--data is for --store lmdb/],
    [['--redis', '/s', '--store', 'memory'], /--redis is for --store redis/],
    [['--redis', '/s', '--durability', 'disk'], /redis has everysec and fsync/],
    [['--durability', 'fsync'], /lmdb has disk and os/],
    [['--store', 'redis'], /no variable STATEMQ_REDIS_URL/],
    [['--set', 'store={type: redis, directory: d}'], /store.directory: redis has none/],
    [['--set', 'store={type: redis, durability: disk}'], /expected everysec or fsync/],
    [['--set', 'store={prefix: p}'], /store.prefix: lmdb has none/],
    [['--set', "store={type: redis, prefix: 'a b'}"], /store.prefix/],
  ]
  for (const [words, message] of cases) {
    const { status, err } = runCommand(['check', ...words], { env: { STATEMQ_REDIS_URL: '' } })
    expect([words, status, err]).toEqual([words, 2, expect.stringMatching(message)])
  }
  const hide = `data:text/javascript,${encodeURIComponent(`
    import { registerHooks } from 'node:module'
    registerHooks({ resolve(name, context, next) { if (name === 'bullmq') throw new Error('not installed'); return next(name, context) } })
  `)}`
  const { status, err } = runCommand(['--port', '0', '--redis', '/nowhere'], {
    env: { NODE_OPTIONS: `--import=${hide}` },
  })
  expect([status, err]).toEqual([2, expect.stringMatching(/npm install ioredis bullmq/)])
})
