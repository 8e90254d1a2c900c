import fc from 'fast-check'
import { afterAll, afterEach, describe, expect, test } from 'vitest'

import { Publication } from '../../src/publication.ts'
import { LmdbStore } from '../../src/store/lmdb.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { RedisStore } from '../../src/store/redis.ts'
import type { Store } from '../../src/store/store.ts'
import type { StoredSession } from '../../src/stored.ts'
import { startRedis, type TestRedis } from '../support/redis-server.ts'
import { tempFolder } from '../support/temp-files.ts'
import { all, changes, contentsOf, lineOf, message, Model, publicationOf } from './store-cases.ts'

interface Implementation {
  readonly name: string
  make(): Promise<Store>
  /** The same store as another process would find it; undefined where nothing outlives the object. */
  reopen: ((store: Store) => Promise<Store>) | undefined
}

const opened: Store[] = []
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

async function open(store: Store): Promise<Store> {
  await store.open()
  opened.push(store)
  return store
}

const directories = new WeakMap<Store, string>()

async function lmdb(directory: string): Promise<Store> {
  const store = await open(
    new LmdbStore({
      directory,
      onDamage: (table, error) => {
        throw new Error(`damage in ${table}`, { cause: error })
      },
    }),
  )
  directories.set(store, directory)
  return store
}

let server: Promise<TestRedis> | undefined
afterAll(async () => (await server)?.end())

const prefixes = new WeakMap<Store, string>()
let lastPrefix = 0

async function redis(prefix: string): Promise<Store> {
  const { url } = await (server ??= startRedis())
  const store = await open(
    new RedisStore({
      url,
      prefix,
      onDamage: (table, error) => {
        throw new Error(`damage in ${table}`, { cause: error })
      },
    }),
  )
  prefixes.set(store, prefix)
  return store
}

const implementations: readonly Implementation[] = [
  { name: 'memory', make: () => open(new MemoryStore()), reopen: undefined },
  {
    name: 'lmdb',
    make: () => lmdb(tempFolder()),
    reopen: async (store) => {
      await store.close()
      opened.splice(opened.indexOf(store), 1)
      return lmdb(directories.get(store)!)
    },
  },
  {
    name: 'redis',
    make: () => redis(`p${++lastPrefix}`),
    reopen: async (store) => {
      await store.close()
      opened.splice(opened.indexOf(store), 1)
      return redis(prefixes.get(store)!)
    },
  },
]

async function sessionsOf(store: Store): Promise<StoredSession[]> {
  return (await all(store.sessions())).sort((a, b) => a.key - b.key)
}

describe.each(implementations)('a store: $name', ({ make, reopen }) => {
  /** What holds now must hold after a restart, where the store has one. */
  async function nowAndLater(store: Store, check: (store: Store) => Promise<void>): Promise<void> {
    await check(store)
    await store.durable()
    await check(store)
    if (reopen) {
      const later = await reopen(store)
      await all(later.sessions())
      await check(later)
    }
  }

  test('is empty at first, and says that nothing waits to be durable', async () => {
    const store = await make()
    expect(await all(store.sessions())).toEqual([])
    expect(await all(store.wills())).toEqual([])
    expect(await all(store.retained())).toEqual([])
    expect(store.durable()).toBeUndefined()
  })

  test('keeps a session with everything that belongs to it', async () => {
    const store = await make()
    const key = store.nextSessionKey()
    store.putSession(key, 'press-1', Buffer.from('record'))
    store.putSubscription(key, 'a/+', Buffer.from('one'))
    store.putSubscription(key, 'b/#', Buffer.from('two'))
    store.deleteSubscription(key, 'b/#')
    store.putReceived(key, 7)
    store.putReceived(key, 8)
    store.deleteReceived(key, 8)
    store.append(key, message(1, 'one'))
    store.append(key, message(2, 'two'))
    store.putInflight(key, { packetId: 9, sequence: 2, qos: 2, released: false })
    store.putInflight(key, { packetId: 5, sequence: 1, qos: 2, released: true })
    store.putInflight(key, { packetId: 6, sequence: 3, qos: 1, released: false })
    store.deleteInflight(key, 6)
    await store.durable()
    const found = await sessionsOf(reopen ? await reopen(store) : store)
    expect(found).toHaveLength(1)
    const { queued, ...rest } = found[0]!
    expect(rest).toEqual({
      key,
      clientId: 'press-1',
      record: Buffer.from('record'),
      subscriptions: [{ filter: 'a/+', record: Buffer.from('one') }],
      received: [7],
      inflight: [
        { packetId: 5, sequence: 1, qos: 2, released: true },
        { packetId: 9, sequence: 2, qos: 2, released: false },
      ],
      nextSequence: 3,
    })
    expect(queued.messages).toBe(2)
  })

  test('gives a message back as it was', async () => {
    const store = await make()
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    const payload = Buffer.from([0, 255, 1])
    const publication = new Publication('ä/b', 2, true, false, 0, payload, 0, 3)
    publication.publisher = 'somebody'
    publication.expiresAtMs = 1_790_000_000_123.5
    publication.properties = {
      payloadFormatIndicator: false,
      messageExpiryIntervalSeconds: 4_294_967_295,
      contentType: 'text/plain',
      responseTopic: 'r',
      correlationData: Buffer.from([9]),
      userProperties: [
        ['k', '1'],
        ['k', '2'],
      ],
    }
    store.append(
      key,
      message(1, '', { publication, qos: 2, retain: true, subscriptionIdentifiers: [1, 268_435_455], shared: 'g/ä/b' }),
    )
    await nowAndLater(store, async (current) => {
      const [found] = await current.page(key, 1, 10, 1_000_000)
      const { publication: back, ...delivery } = found!
      expect(delivery).toEqual({
        sequence: 1,
        qos: 2,
        retain: true,
        subscriptionIdentifiers: [1, 268_435_455],
        shared: 'g/ä/b',
      })
      const { topic, qos, retain, publisher, expiresAtMs, properties } = back
      expect({ topic, qos, retain, publisher, expiresAtMs, properties, payload: [...back.payload] }).toEqual({
        topic: 'ä/b',
        qos: 2,
        retain: true,
        publisher: 'somebody',
        expiresAtMs: 1_790_000_000_123.5,
        properties: publication.properties,
        payload: [0, 255, 1],
      })
    })
  })

  test('reads a line page by page, bounded by messages and by bytes, at least one at a time', async () => {
    const store = await make()
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    const texts = Array.from({ length: 10 }, (_, at) => `${at}`.repeat(100))
    for (const [at, text] of texts.entries()) {
      store.append(key, message(at + 1, text))
      if (at === 4) await store.durable()
    }
    await nowAndLater(store, async (current) => {
      expect(await lineOf(current, key)).toEqual(texts)
      expect(await lineOf(current, key, 256)).toEqual(texts)
      expect(await current.page(key, 4, 10, 1)).toHaveLength(1)
      expect(await current.page(key, 11, 10, 1_000)).toEqual([])
    })
  })

  test('forgets what is settled, in any order, written or not', async () => {
    const store = await make()
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    for (let at = 1; at <= 6; at++) store.append(key, message(at, `${at}`))
    store.settle(key, 2)
    await store.durable()
    // One that never was written, twice the same, and one that does not exist.
    store.settle(key, 2)
    store.settle(key, 5)
    store.settle(key, 5)
    store.settle(key, 99)
    store.append(key, message(7, '7'))
    await nowAndLater(store, async (current) => {
      expect(await lineOf(current, key)).toEqual(['1', '3', '4', '6', '7'])
    })
  })

  test('counts only messages that it has: one that was taken back before it was written settles no other', async () => {
    const store = await make()
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    for (let at = 1; at <= 4; at++) store.append(key, message(at, `${at}`))
    store.settle(key, 2)
    await store.durable()
    for (const at of [2, 1, 3]) store.settle(key, at)
    await nowAndLater(store, async (current) => {
      expect(await lineOf(current, key)).toEqual(['4'])
    })
  })

  test('never gives a sequence again, also when nothing of the line is left', async () => {
    const store = await make()
    const [key, other] = [store.nextSessionKey(), store.nextSessionKey()]
    for (const one of [key, other]) store.putSession(one, `c${one}`, Buffer.alloc(0))
    for (let at = 1; at <= 5; at++) store.append(key, message(at, `${at}`))
    store.putInflight(other, { packetId: 1, sequence: 9, qos: 2, released: true })
    await store.durable()
    for (let at = 1; at <= 5; at++) store.settle(key, at)
    await store.durable()
    if (!reopen) return
    const later = await reopen(store)
    expect((await sessionsOf(later)).map(({ nextSequence }) => nextSequence)).toEqual([6, 10])
  })

  test('settles what is being made durable just now', async () => {
    const store = await make()
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    for (let at = 1; at <= 3; at++) store.append(key, message(at, `${at}`))
    const durable = store.durable()
    await new Promise((resolve) => setImmediate(resolve))
    store.settle(key, 2)
    expect(await lineOf(store, key)).toEqual(['1', '3'])
    await durable
    await nowAndLater(store, async (current) => {
      expect(await lineOf(current, key)).toEqual(['1', '3'])
    })
  })

  test('settles all that was there while what follows is being made durable', async () => {
    const store = await make()
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.alloc(0))
    for (let at = 1; at <= 2; at++) {
      store.append(key, message(at, `${at}`))
      await store.durable()
    }
    store.append(key, message(3, '3'))
    const durable = store.durable()
    await new Promise((resolve) => setImmediate(resolve))
    expect(await lineOf(store, key)).toEqual(['1', '2', '3'])
    store.settle(key, 1)
    store.settle(key, 2)
    expect(await lineOf(store, key)).toEqual(['3'])
    await durable
    expect(await lineOf(store, key)).toEqual(['3'])
    store.append(key, message(4, '4'))
    await nowAndLater(store, async (current) => {
      expect(await lineOf(current, key)).toEqual(['3', '4'])
    })
  })

  test('deletes a session whose writes are being made durable just now', async () => {
    const store = await make()
    const [key, other] = [store.nextSessionKey(), store.nextSessionKey()]
    const { publication } = message(1, 'both')
    for (const one of [key, other]) {
      store.putSession(one, `c${one}`, Buffer.alloc(0))
      store.append(one, message(1, '', { publication }))
    }
    const durable = store.durable()
    await new Promise((resolve) => setImmediate(resolve))
    store.deleteSession(key)
    expect(await lineOf(store, key)).toEqual([])
    await durable
    await nowAndLater(store, async (current) => {
      expect(await lineOf(current, key)).toEqual([])
      expect(await lineOf(current, other)).toEqual(['both'])
    })
  })

  test('keeps a message of many sessions until the last of them has had it', async () => {
    const store = await make()
    const ks = [1, 2, 3].map(() => store.nextSessionKey())
    const { publication } = message(1, 'for all')
    for (const key of ks) {
      store.putSession(key, `c${key}`, Buffer.alloc(0))
      store.append(key, message(1, '', { publication }))
    }
    await store.durable()
    store.settle(ks[0]!, 1)
    store.deleteSession(ks[1]!)
    await nowAndLater(store, async (current) => {
      expect(await lineOf(current, ks[0]!)).toEqual([])
      expect(await lineOf(current, ks[1]!)).toEqual([])
      expect(await lineOf(current, ks[2]!)).toEqual(['for all'])
    })
  })

  test('keeps a message of many sessions while some of them are still to be read', async () => {
    const store = await make()
    const keys = [1, 2, 3].map(() => store.nextSessionKey())
    const { publication } = message(1, 'for all')
    for (const key of keys) {
      store.putSession(key, `c${key}`, Buffer.alloc(0))
      store.append(key, message(1, '', { publication }))
    }
    await store.durable()
    if (!reopen) return
    const later = await reopen(store)
    const gone: number[] = []
    for await (const page of later.sessions()) {
      // It had expired meanwhile.
      if (gone.length > 0) continue
      gone.push(page[0]!.key)
      later.deleteSession(page[0]!.key)
      await later.durable()
    }
    for (const key of keys) expect(await lineOf(later, key)).toEqual(gone.includes(key) ? [] : ['for all'])
  })

  test('a session that is deleted leaves nothing, and its number is not given again', async () => {
    const store = await make()
    const key = store.nextSessionKey()
    store.putSession(key, 'c', Buffer.from('x'))
    store.putSubscription(key, 'a', Buffer.alloc(0))
    store.putReceived(key, 1)
    store.putInflight(key, { packetId: 1, sequence: 1, qos: 1, released: false })
    store.append(key, message(1, 'gone'))
    store.putWill(key, 1, Buffer.from('will'))
    await store.durable()
    store.deleteSession(key)
    await store.durable()
    await nowAndLater(store, async (current) => {
      expect(await sessionsOf(current)).toEqual([])
      expect(await lineOf(current, key)).toEqual([])
      // What it leaves behind is published after it has ended.
      expect(await all(current.wills())).toEqual([{ session: key, epoch: 1, record: Buffer.from('will') }])
    })
    const later = opened.at(-1)!
    if (reopen) expect(later.nextSessionKey()).toBeGreaterThan(key)
    later.deleteWill(key, 1)
    await later.durable()
    await nowAndLater(later, async (current) => {
      expect(await all(current.wills())).toEqual([])
    })
  })

  test('keeps one retained message a topic', async () => {
    const store = await make()
    for (const text of ['one', 'two']) {
      store.putRetained(publicationOf('r/1', text))
      store.putRetained(publicationOf(`r/${text}`, text))
    }
    await store.durable()
    store.deleteRetained('r/one')
    await store.durable()
    const found = await all((reopen ? await reopen(store) : store).retained())
    expect(new Map(found.map(({ topic, payload }) => [topic, payload.toString()]))).toEqual(
      new Map([
        ['r/1', 'two'],
        ['r/two', 'two'],
      ]),
    )
    expect(found).toHaveLength(2)
  })

  test('agrees with lists in memory whatever is done to it', { timeout: 60_000 }, async () => {
    const step = fc.oneof(
      { weight: 12, arbitrary: changes },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('durable' as const) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('turn' as const) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('reopen' as const) }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        let store = await make()
        const model = new Model(store)
        for (const one of steps) {
          if (one.type === 'durable') await store.durable()
          else if (one.type === 'turn') await new Promise((resolve) => setImmediate(resolve))
          else if (one.type !== 'reopen') model.apply(store, one)
          else if (reopen) {
            store = await reopen(store)
            expect(await contentsOf(store)).toEqual(model.contents())
          }
          for (const { key, line } of model.sessions) expect(await lineOf(store, key)).toEqual([...line.values()])
        }
        await store.durable()
        expect(await contentsOf(reopen ? await reopen(store) : store)).toEqual(model.contents())
        await opened.at(-1)!.close()
      }),
      { numRuns: reopen ? 40 : 100 },
    )
  })
})
