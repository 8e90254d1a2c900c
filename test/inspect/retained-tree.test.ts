/** Retained messages as a tree: a level at a time, whatever their topics are, while they come and go. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { LevelTrie } from '../../src/router/level-trie.ts'
import { RetainedLevels, levelOf } from '../../src/router/retained-levels.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { startScene, stores, type Scene } from './inspection-scene.ts'

async function keep(t: Scene, ...topics: string[]): Promise<void> {
  for (const topic of topics) await t.broker.publish({ topic, payload: topic, retain: true })
}

/** Levels below some others, with a mark: `*` a message, `/` more below. */
async function levels(t: Scene, under: string | null): Promise<string[]> {
  const page = await t.inspection.retained({ under, offset: 0, limit: 1_000 })
  expect(page.total).toBe(page.levels.length)
  return page.levels.map(
    ({ level, hasMessage, hasChildren }) => level + (hasMessage ? '*' : '') + (hasChildren ? '/' : ''),
  )
}

describe('the tree of retained messages', () => {
  test('lists the next level below, in order, with what is at it and below it', async () => {
    const t = await startScene()
    await keep(t, 'home/kitchen/lamp', 'home/kitchen', 'home/attic/lamp', 'garage', '/rooted', 'home//odd', 'a/b/c/d')
    expect(await levels(t, null)).toEqual(['/', 'a/', 'garage*', 'home/'])
    expect(await levels(t, '')).toEqual(['rooted*'])
    expect(await levels(t, 'home')).toEqual(['/', 'attic/', 'kitchen*/'])
    expect(await levels(t, 'home/')).toEqual(['odd*'])
    expect(await levels(t, 'home/kitchen')).toEqual(['lamp*'])
    expect(await levels(t, 'a')).toEqual(['b/'])
    expect(await levels(t, 'a/b')).toEqual(['c/'])
    expect(await levels(t, 'a/b/c/d')).toEqual([])
    expect(await levels(t, 'nowhere')).toEqual([])
    expect(await levels(t, '+')).toEqual([])
  })

  test('a row names its topic, and says how large its message is', async () => {
    const t = await startScene()
    await t.broker.publish({ topic: 'a/b', payload: 'hello', qos: 1, retain: true })
    expect((await t.inspection.retained({ under: 'a', offset: 0, limit: 10 })).levels).toEqual([
      { level: 'b', topic: 'a/b', hasMessage: true, hasChildren: false, payloadBytes: 5, qos: 1 },
    ])
    expect((await t.inspection.retained({ under: null, offset: 0, limit: 10 })).levels).toEqual([
      { level: 'a', topic: 'a', hasMessage: false, hasChildren: true, payloadBytes: null, qos: null },
    ])
  })

  test('pages of a level with thousands of others', async () => {
    const t = await startScene()
    const topics = Array.from({ length: 3_000 }, (_, i) => `d/${String((i * 7) % 3_000).padStart(4, '0')}/state`)
    await keep(t, ...topics)
    const page = await t.inspection.retained({ under: 'd', offset: 1_000, limit: 5 })
    expect(page.total).toBe(3_000)
    expect(page.levels.map(({ level }) => level)).toEqual(['1000', '1001', '1002', '1003', '1004'])
    expect((await t.inspection.retained({ under: 'd', offset: 0, limit: 9_999 })).levels).toHaveLength(1_000)
  })

  test('one message: the first bytes of its payload, who sent it, when, and until when', async () => {
    const t = await startScene('none', { limits: { maxInspectedPayloadBytes: 4 } })
    const client = await t.join('ada')
    await t.advance(2_000)
    await client.publish({
      topic: 'a/b',
      payload: 'hello',
      qos: 1,
      packetId: 1,
      retain: true,
      properties: { contentType: 'text/plain', messageExpiryInterval: 60, userProperties: [['k', '<b>']] },
    })
    expect(t.inspection.retainedMessage('a/b')).toEqual({
      topic: 'a/b',
      qos: 1,
      payloadBase64: Buffer.from('hell').toString('base64'),
      payloadBytes: 5,
      atMs: simulatedEpochMs + 2_000,
      expiresAtMs: simulatedEpochMs + 62_000,
      publisher: 'ada',
      contentType: 'text/plain',
      userProperties: [['k', '<b>']],
    })
    expect(t.inspection.retainedMessage('a')).toBeUndefined()
    await t.advance(60_000)
    expect(t.inspection.retainedMessage('a/b')).toBeUndefined()
    expect(await levels(t, null)).toEqual([])
  })
})

describe.each(stores)('deleted by an operator, with the store %s', (kind) => {
  test('it is gone, nobody is sent anything, and it does not come back', async () => {
    const t = await startScene(kind)
    const witness = await t.join('witness')
    await keep(t, 'a/b', 'a/c')
    await witness.subscribe([['#', { qos: 1, retainHandling: 2 }]])
    expect(await t.inspection.deleteRetained('a/b')).toBe(true)
    expect(await t.inspection.deleteRetained('a/b')).toBe(false)
    expect(await t.inspection.deleteRetained('a')).toBe(false)
    await witness.expectNothing()
    expect(await levels(t, 'a')).toEqual(['c*'])
    const late = await t.join('late')
    await late.subscribe(['#'])
    expect((await late.drain()).flatMap((packet) => (packet.type === 'publish' ? packet.topic : []))).toEqual(['a/c'])
    if (kind !== 'lmdb') return
    await t.close()
    const after = await startScene(kind, {}, t.directory)
    expect(await levels(after, 'a')).toEqual(['c*'])
  })
})

test('against a plain set of topics, while some come and go between two reads', () => {
  const level = fc.constantFrom('a', 'b', 'c', '', 'long-level')
  const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
  fc.assert(
    fc.property(
      fc.uniqueArray(topic, { maxLength: 30 }),
      fc.array(fc.record({ topic, add: fc.boolean() }), { maxLength: 10 }),
      fc.option(topic, { nil: undefined }),
      (topics, changes, under) => {
        const trie = new LevelTrie({ enumerable: true })
        const kept = new Set<string>()
        const set = (name: string): void => {
          trie.setValue(trie.ensure(name, name.length), false, 1)
          kept.add(name)
        }
        const remove = (name: string): void => {
          if (!kept.delete(name)) return
          const node = trie.find(name, name.length)
          trie.setValue(node, false, 0)
          trie.release(node)
        }
        /** The levels right below, of the topics that there are. */
        const expected = (): Set<string> => {
          const prefix = under === undefined ? '' : `${under}/`
          const below = [...kept].filter((name) => name.startsWith(prefix))
          return new Set(below.map((name) => name.slice(prefix.length).split('/')[0]!))
        }
        for (const name of topics) set(name)
        const before = expected()
        const always = new Set(before)
        const ever = new Set(before)
        const cursor = new RetainedLevels(trie, under)
        const read: string[] = []
        let ended = cursor.read(read, 1)
        for (const change of changes) {
          if (change.add) set(change.topic)
          else remove(change.topic)
          const now = expected()
          for (const one of always) if (!now.has(one)) always.delete(one)
          for (const one of now) ever.add(one)
          if (!ended) ended = cursor.read(read, 1)
        }
        while (!ended) ended = cursor.read(read, 2)
        // Each at most once; what was there all along is among them, and nothing that never was.
        expect(new Set(read).size).toBe(read.length)
        expect([...always].filter((one) => !read.includes(one))).toEqual([])
        expect(read.filter((one) => !ever.has(one))).toEqual([])
        for (const name of kept) {
          expect(levelOf(trie, name).hasChildren).toBe([...kept].some((other) => other.startsWith(`${name}/`)))
        }
        // Nothing stays pinned: without its topics the tree is as empty as at the start.
        for (const name of [...kept]) remove(name)
        expect(trie.usage.nodes).toBe(1)
      },
    ),
    { numRuns: 500 },
  )
})
