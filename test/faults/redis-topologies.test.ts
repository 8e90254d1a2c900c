/** A store behind sentinels and in a cluster, with servers that fail over and slots that move; and one that waits for its flush. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { Redis } from 'ioredis'
import { describe, expect, onTestFinished, test, vi } from 'vitest'

import { RedisStore, type RedisStoreOptions } from '../../src/store/redis.ts'
import { contentsOf, message } from '../contracts/store-cases.ts'
import { freePorts, startRedis, type TestRedis, type TestRedisOptions } from '../support/redis-server.ts'
import { tempFolder } from '../support/temp-files.ts'
import { serverWithWaitAof } from '../support/waitaof-server.ts'
import { elapsed } from '../support/moments.ts'

async function serverWith(
  settings: Readonly<Record<string, string>>,
  options: TestRedisOptions = {},
): Promise<TestRedis> {
  const redis = await startRedis(settings, options)
  onTestFinished(() => redis.end())
  return redis
}

async function opened(url: string, options: Partial<RedisStoreOptions> = {}): Promise<RedisStore> {
  const store = new RedisStore({ url, timeoutMs: 1_000, leaseMs: 2_000, ...options })
  onTestFinished(() => store.close())
  await store.open()
  return store
}

/** A session with messages, and one more that is durable whenever it can be. */
class Scene {
  readonly store: RedisStore
  readonly key: number
  sequence = 0

  constructor(store: RedisStore) {
    this.store = store
    this.key = store.nextSessionKey()
    store.putSession(this.key, 'c', Buffer.from('record'))
  }

  /** As a client does that goes on until it is acknowledged. */
  async append(): Promise<void> {
    const sequence = ++this.sequence
    this.store.append(this.key, message(sequence, `${sequence}`))
    for (;;) {
      try {
        return await this.store.durable()
      } catch (error) {
        if ((error as { code?: string }).code !== 'SMQ_STORE_UNAVAILABLE') throw error
        await elapsed(50)
      }
    }
  }

  get expected(): string[] {
    return Array.from({ length: this.sequence }, (_, at) => `${at + 1}`)
  }
}

async function lineAt(url: string): Promise<unknown> {
  const later = await opened(url)
  const { sessions } = await contentsOf(later)
  return (sessions as { line: unknown }[]).map(({ line }) => line)
}

interface Watched {
  readonly master: TestRedis
  readonly replica: TestRedis
  readonly url: string
}

/** A master with a replica, and one sentinel that is sure of itself. */
async function watched(): Promise<Watched> {
  const [masterPort, replicaPort, sentinelPort] = (await freePorts(3)) as [string, string, string]
  const master = await serverWith({ port: masterPort })
  const replica = await serverWith({ port: replicaPort, replicaof: `127.0.0.1 ${masterPort}` })
  const file = join(tempFolder(), 'sentinel.conf')
  writeFileSync(
    file,
    `port ${sentinelPort}
bind 127.0.0.1
sentinel monitor main 127.0.0.1 ${masterPort} 1
sentinel down-after-milliseconds main 500
sentinel failover-timeout main 5000
`,
  )
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' })
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const admin = new Redis(Number(sentinelPort), { retryStrategy: () => 50 }).on('error', () => {})
  onTestFinished(() => admin.disconnect())
  await vi.waitFor(async () => expect(await admin.call('SENTINEL', 'REPLICAS', 'main')).toHaveLength(1), {
    timeout: 20_000,
  })
  await vi.waitFor(async () => expect(await replica.admin.info('replication')).toContain('master_link_status:up'), {
    timeout: 20_000,
  })
  // The first sentinel is not there: the next one is asked.
  return { master, replica, url: `redis+sentinel://127.0.0.1:1,127.0.0.1:${sentinelPort}/main` }
}

describe('behind sentinels', () => {
  test('threat 18: after a failover all goes on with the server that took over', { timeout: 60_000 }, async () => {
    const { master, url } = await watched()
    const store = await opened(url)
    const scene = new Scene(store)
    for (let at = 0; at < 20; at++) await scene.append()
    // It has everything: nothing acknowledged can be missing.
    expect(await master.admin.wait(1, 5_000)).toBe(1)
    await master.kill()
    for (let at = 0; at < 20; at++) await scene.append()
    expect(store.fault).toBeUndefined()
    await store.close()
    expect(await lineAt(url)).toEqual([scene.expected])
  })

  test(
    'threat 18: a server that took over without what was acknowledged is found out',
    { timeout: 60_000 },
    async () => {
      const { master, replica, url } = await watched()
      const store = await opened(url)
      const scene = new Scene(store)
      await scene.append()
      expect(await master.admin.wait(1, 5_000)).toBe(1)
      // What follows comes to the master only.
      replica.freeze()
      // Nothing is on its way to it, either.
      await master.admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
      await scene.append()
      await master.kill()
      replica.thaw()
      await expect(scene.append()).rejects.toMatchObject({ code: 'SMQ_STORE_REPLACED' })
      expect(store.fault?.code).toBe('SMQ_STORE_REPLACED')
    },
  )

  test('a master that the sentinels depose is left', { timeout: 60_000 }, async () => {
    const { master, replica, url } = await watched()
    const store = await opened(url)
    const scene = new Scene(store)
    await scene.append()
    expect(await master.admin.wait(1, 5_000)).toBe(1)
    const sentinel = new Redis(Number(/:(\d+)\/main$/.exec(url)![1]))
    await sentinel.call('SENTINEL', 'FAILOVER', 'main')
    sentinel.disconnect()
    for (const [server, role] of [
      [replica, 'master'],
      [master, 'slave'],
    ] as const) {
      await vi.waitFor(async () => expect(await server.admin.info('replication')).toContain(`role:${role}`), {
        timeout: 20_000,
      })
    }
    for (let at = 0; at < 5; at++) await scene.append()
    expect(await replica.admin.exists(`statemq:{s${scene.key}}:b${scene.sequence}`)).toBe(1)
    await store.close()
    expect(await lineAt(url)).toEqual([scene.expected])
  })
})

interface Cluster {
  readonly nodes: readonly TestRedis[]
  readonly ports: readonly string[]
  readonly url: string
}

async function clusterOf(count: number): Promise<Cluster> {
  const ports = await freePorts(count * 2)
  const nodes: TestRedis[] = []
  for (let at = 0; at < count; at++) {
    const settings = { port: ports[at]!, 'cluster-port': ports[count + at]!, 'cluster-enabled': 'yes' }
    nodes.push(await serverWith({ ...settings, 'cluster-node-timeout': '2000' }))
  }
  const addresses = ports.slice(0, count).map((port) => `127.0.0.1:${port}`)
  const made = spawnSync('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'], { encoding: 'utf8' })
  expect([made.status, made.stdout]).toEqual([0, expect.stringContaining('All 16384 slots covered')])
  for (const node of nodes) {
    await vi.waitFor(async () => expect(await node.admin.cluster('INFO')).toContain('cluster_state:ok'), {
      timeout: 20_000,
    })
  }
  return { nodes, ports: ports.slice(0, count), url: `redis+cluster://127.0.0.1:1,${addresses.join(',')}` }
}

/** Moves a slot with all that is in it from node to node, as tools for clusters do. */
async function moveSlot(slot: number, from: TestRedis, to: TestRedis, toPort: string): Promise<void> {
  const [fromId, toId] = [await from.admin.cluster('MYID'), await to.admin.cluster('MYID')]
  await to.admin.cluster('SETSLOT', slot, 'IMPORTING', fromId)
  await from.admin.cluster('SETSLOT', slot, 'MIGRATING', toId)
  for (;;) {
    const keys = await from.admin.cluster('GETKEYSINSLOT', slot, 10)
    if (keys.length === 0) break
    await from.admin.call('MIGRATE', '127.0.0.1', toPort, '', 0, 5_000, 'KEYS', ...keys)
  }
  for (const node of [to, from]) await node.admin.cluster('SETSLOT', slot, 'NODE', toId)
}

describe('in a cluster', () => {
  test('all keys of a store are in one slot, and follow it to another node', { timeout: 60_000 }, async () => {
    const { nodes, ports, url } = await clusterOf(3)
    const store = await opened(url)
    const scene = new Scene(store)
    for (let at = 0; at < 20; at++) await scene.append()
    const slot = await nodes[0]!.admin.cluster('KEYSLOT', 'statemq')
    const holding = await Promise.all(nodes.map((node) => node.admin.keys('*')))
    const owner = holding.findIndex((keys) => keys.length > 0)
    expect(holding.map((keys) => keys.length > 0).filter(Boolean)).toHaveLength(1)
    for (const key of holding[owner]!) {
      expect([key, await nodes[0]!.admin.cluster('KEYSLOT', key)]).toEqual([expect.stringMatching(/^{statemq}:/), slot])
    }
    const other = (owner + 1) % 3
    const moving = moveSlot(slot, nodes[owner]!, nodes[other]!, ports[other]!)
    for (let at = 0; at < 20; at++) await scene.append()
    await moving
    for (let at = 0; at < 20; at++) await scene.append()
    expect(await nodes[owner]!.admin.keys('*')).toEqual([])
    await store.close()
    expect(await lineAt(url)).toEqual([scene.expected])
  })

  test('a URL that does not say what the server is is refused, with what to say instead', async () => {
    const { ports } = await clusterOf(3)
    await expect(opened(`redis://127.0.0.1:${ports[0]}`)).rejects.toMatchObject({
      code: 'SMQ_STORE_UNSUITABLE',
      message: expect.stringMatching(/redis\+cluster:/),
    })
    const [port] = (await freePorts(1)) as [string]
    await serverWith({ port })
    await expect(opened(`redis+cluster://127.0.0.1:${port}`)).rejects.toMatchObject({
      message: expect.stringMatching(/cluster support disabled/),
    })
  })
})

describe('durability fsync by WAITAOF', () => {
  const program = serverWithWaitAof()

  test.skipIf(program === undefined)(
    'threat 18: what is durable is in the file, however the server ends, and nothing is while it can not flush',
    { timeout: 60_000 },
    async () => {
      const redis = await serverWith({ appendfsync: 'everysec' }, { program: program! })
      const store = await opened(redis.url, { durability: 'fsync' })
      const scene = new Scene(store)
      for (let kill = 0; kill < 5; kill++) {
        for (let at = 0; at < 10; at++) await scene.append()
        await redis.kill()
        await redis.start()
      }
      await scene.append()
      const commands = await redis.admin.info('commandstats')
      expect(commands).toMatch(/cmdstat_waitaof:calls=\d+/)
      // The server takes commands and no longer flushes: it says so, and nothing is acknowledged.
      await redis.admin.config('SET', 'appendonly', 'no')
      store.append(scene.key, message(++scene.sequence, 'late'))
      await expect(store.durable()).rejects.toMatchObject({
        code: expect.stringMatching(/SMQ_STORE_(UNAVAILABLE|UNSUITABLE|FAILED)/),
      })
    },
  )
})
