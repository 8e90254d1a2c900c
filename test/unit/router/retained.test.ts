import assert from 'node:assert/strict'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { Publication } from '../../../src/publication.ts'
import { RetainedStore } from '../../../src/router/retained.ts'
import type { RetainedCursor } from '../../../src/router/retained.ts'
import { isTopicFilter, isTopicName, topicMatches } from '../../../src/router/topics.ts'

const limitless = { maxRetainedMessages: Infinity, maxRetainedBytes: Infinity }

class TestClock {
  time = 0
  nowMs(): number {
    return this.time
  }
}

function message(topic: string, payload = 'x', expiresAtMs = Infinity): Publication {
  const bytes = Buffer.from(payload)
  const publication = new Publication(topic, 0, true, false, 0, bytes, 0, bytes.length)
  publication.expiresAtMs = expiresAtMs
  return publication
}

function storeOf(...topics: string[]): RetainedStore {
  const store = new RetainedStore(limitless, new TestClock())
  for (const topic of topics) store.set(message(topic))
  return store
}

function readAll(cursor: RetainedCursor, pageSize = 1000): Publication[] {
  const all: Publication[] = []
  while (!cursor.read(all, pageSize)) continue
  return all
}

function topicsOf(store: RetainedStore, filter: string): string[] {
  return readAll(store.match(filter))
    .map((publication) => publication.topic)
    .sort()
}

describe('set and get', () => {
  test('MQTT-3.3.1-5 a message takes the place of the one before on its topic', () => {
    const store = storeOf()
    const [first, second] = [message('a/b', 'first'), message('a/b', 'second one')]
    expect([store.set(first), store.get('a/b')]).toEqual(['stored', first])
    expect([store.set(second), store.get('a/b'), store.count, store.bytes]).toEqual([
      'stored',
      second,
      1,
      second.sizeBytes,
    ])
    expect([store.get('a'), store.get('a/b/c'), store.get('a/')]).toEqual([undefined, undefined, undefined])
  })

  test('MQTT-3.3.1-6, MQTT-3.3.1-7 an empty payload removes the message and is not kept', () => {
    const store = storeOf('a', 'a/b')
    expect([store.set(message('a/b', '')), store.set(message('a/b', '')), store.set(message('c', ''))]).toEqual([
      'cleared',
      'absent',
      'absent',
    ])
    expect([store.count, store.get('a/b'), topicsOf(store, '#')]).toEqual([1, undefined, ['a']])
    expect(store.set(message('a', ''))).toBe('cleared')
    expect({ count: store.count, bytes: store.bytes, nodes: store.usage.nodes }).toEqual({
      count: 0,
      bytes: 0,
      nodes: 1,
    })
  })

  test('the payload is copied out of a large chunk', () => {
    const store = storeOf()
    const chunk = Buffer.alloc(65_536, 'z')
    const publication = new Publication('a', 0, true, false, 0, chunk, 100, 160)
    store.set(publication)
    expect(store.get('a')?.bytes.buffer.byteLength).toBe(60)
    expect(store.get('a')?.payload.toString()).toBe('z'.repeat(60))
  })
})

describe('limits', () => {
  test('maxRetainedMessages: a new topic is refused, a known one is not', () => {
    const store = new RetainedStore({ ...limitless, maxRetainedMessages: 2 }, new TestClock())
    expect(['a', 'b', 'c', 'a'].map((topic) => store.set(message(topic)))).toEqual([
      'stored',
      'stored',
      'full',
      'stored',
    ])
    expect([store.get('c'), store.count, topicsOf(store, '#')]).toEqual([undefined, 2, ['a', 'b']])
    expect([store.set(message('b', '')), store.set(message('c'))]).toEqual(['cleared', 'stored'])
  })

  test('maxRetainedBytes: counts what a message takes the place of, and leaves that when it is refused', () => {
    const small = message('a', 'x'.repeat(10))
    const store = new RetainedStore({ ...limitless, maxRetainedBytes: small.sizeBytes + 5 }, new TestClock())
    expect([store.set(small), store.set(message('b', 'y')), store.set(message('a', 'x'.repeat(16)))]).toEqual([
      'stored',
      'full',
      'full',
    ])
    expect([store.get('a'), store.bytes]).toEqual([small, small.sizeBytes])
    expect([store.set(message('a', 'x'.repeat(15))), store.bytes]).toEqual(['stored', small.sizeBytes + 5])
  })

  test('expired messages make room for a new one', () => {
    const clock = new TestClock()
    const store = new RetainedStore({ ...limitless, maxRetainedMessages: 2 }, clock)
    store.set(message('a', 'x', 10))
    store.set(message('b'))
    clock.time = 9
    expect(store.set(message('c'))).toBe('full')
    clock.time = 10
    expect([store.set(message('c')), topicsOf(store, '#')]).toEqual(['stored', ['b', 'c']])
  })
})

describe('expiry', () => {
  const touches: readonly (readonly [string, (store: RetainedStore) => unknown, unknown])[] = [
    ['get', (store) => store.get('a/b/c'), undefined],
    ['match', (store) => topicsOf(store, 'a/#'), []],
    ['clear', (store) => store.set(message('a/b/c', '')), 'absent'],
    ['sweep', (store) => store.sweep(10), undefined],
  ]
  for (const [name, touch, answer] of touches) {
    test(`an expired message is gone for ${name}, and leaves no trace`, () => {
      const clock = new TestClock()
      const store = new RetainedStore(limitless, clock)
      store.set(message('a/b/c', 'x', 100))
      clock.time = 99
      expect([store.get('a/b/c')?.topic, topicsOf(store, 'a/+/c')]).toEqual(['a/b/c', ['a/b/c']])
      clock.time = 100
      expect(touch(store)).toEqual(answer)
      expect({ count: store.count, bytes: store.bytes, nodes: store.usage.nodes }).toEqual({
        count: 0,
        bytes: 0,
        nodes: 1,
      })
    })
  }

  test('sweeping goes on where it stopped, and starts again at the end', () => {
    const clock = new TestClock()
    const store = new RetainedStore(limitless, clock)
    for (let n = 0; n < 100; n += 1) store.set(message(`t/${n}`, 'x', n % 2 === 0 ? 50 : 5000))
    clock.time = 50
    store.sweep(30)
    expect(store.count).toBeGreaterThan(80)
    expect(store.count).toBeLessThan(90)
    for (let call = 0; call < 4; call += 1) store.sweep(30)
    expect(store.count).toBe(50)
    clock.time = 5000
    for (let call = 0; call < 8; call += 1) store.sweep(30)
    expect([store.count, store.bytes]).toEqual([0, 0])
  })
})

describe('match', () => {
  test('MQTT-4.7.2-1 filters that start with a wildcard do not find $ topics', () => {
    const store = storeOf('$SYS/a', '$SYS', 'a', 'a/$SYS', '/a')
    expect(topicsOf(store, '#')).toEqual(['/a', 'a', 'a/$SYS'])
    expect(topicsOf(store, '+/a')).toEqual(['/a'])
    expect(topicsOf(store, '+')).toEqual(['a'])
    expect(topicsOf(store, '$SYS/#')).toEqual(['$SYS', '$SYS/a'])
    expect(topicsOf(store, 'a/+')).toEqual(['a/$SYS'])
  })

  test('one read visits a bounded part of the tree, however little it finds', () => {
    const store = storeOf()
    for (let n = 0; n < 5000; n += 1) store.set(message(`t/${n}/x`))
    const cursor = store.match('t/+/y')
    const into: Publication[] = []
    let reads = 1
    while (!cursor.read(into, 10)) reads += 1
    expect(into).toEqual([])
    expect(reads).toBeGreaterThan(20)
  })

  test('a filter with a literal start visits nothing else', () => {
    const store = storeOf()
    for (let n = 0; n < 5000; n += 1) store.set(message(`r/${Math.floor(n / 100)}/${n}`))
    const into: Publication[] = []
    // 100 matches are worth 1,600 visits, which do not suffice for 5,000 topics.
    const cursor = store.match('r/45/+')
    cursor.read(into, 100)
    expect(cursor.read(into, 1)).toBe(true)
    expect(into.map((it) => it.topic).sort()).toEqual(Array.from({ length: 100 }, (_, n) => `r/45/${4500 + n}`))
  })

  test('a cursor that is closed in the middle leaves nothing pinned, and says that it is at the end', () => {
    const store = storeOf('a/b', 'a/c', 'a/d')
    const cursor = store.match('a/+')
    const into: Publication[] = []
    expect(cursor.read(into, 1)).toBe(false)
    for (const topic of ['a/b', 'a/c', 'a/d']) store.set(message(topic, ''))
    expect(store.usage.nodes).toBeGreaterThan(1)
    cursor.close()
    cursor.close()
    expect([store.usage.nodes, cursor.read(into, 1), into.length]).toEqual([1, true, 1])
  })
})

const levels = ['', 'a', 'b', 'ab', '$SYS', 'ü', '😀']
const topicArbitrary = fc
  .array(fc.constantFrom(...levels), { minLength: 1, maxLength: 5 })
  .map((parts) => parts.join('/'))
  .filter((topic) => isTopicName(topic, 128))
const filterArbitrary = fc
  .tuple(fc.array(fc.constantFrom(...levels, '+', '+'), { maxLength: 5 }), fc.boolean())
  .map(([parts, rest]) => (rest ? [...parts, '#'] : parts).join('/'))
  .filter((filter) => isTopicFilter(filter, 128))

type Step =
  | { readonly set: string; readonly lifeMs: number }
  | { readonly clear: string }
  | { readonly open: string }
  | { readonly read: number; readonly size: number }
  | { readonly close: number }
  | { readonly passMs: number }
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ set: topicArbitrary, lifeMs: fc.constantFrom(Infinity, Infinity, 3, 20) }) },
  { weight: 3, arbitrary: fc.record({ clear: topicArbitrary }) },
  { weight: 2, arbitrary: fc.record({ open: filterArbitrary }) },
  { weight: 5, arbitrary: fc.record({ read: fc.nat(), size: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ close: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ passMs: fc.integer({ min: 1, max: 10 }) }) },
)

interface OpenCursor {
  readonly cursor: RetainedCursor
  readonly filter: string
  /** What matched at the opening and has not been removed since: it must be seen. */
  readonly owed: Set<string>
  readonly seen: Set<string>
}

/** The store's definition: a map of messages, and what each open cursor may and must still give. */
class Model {
  readonly clock = new TestClock()
  readonly store = new RetainedStore(limitless, this.clock)
  readonly messages = new Map<string, Publication>()
  readonly open: OpenCursor[] = []

  #expire(): void {
    for (const [topic, kept] of this.messages) if (kept.expiresAtMs <= this.clock.time) this.#forget(topic)
  }

  #forget(topic: string): void {
    this.messages.delete(topic)
    for (const { owed } of this.open) owed.delete(topic)
  }

  #read(at: number, size: number): void {
    const it = this.open[at % this.open.length]
    if (it === undefined) return
    const page: Publication[] = []
    const done = it.cursor.read(page, size)
    assert.ok(page.length <= size)
    for (const publication of page) {
      assert.equal(publication, this.messages.get(publication.topic))
      assert.ok(topicMatches(it.filter, publication.topic))
      assert.ok(!it.seen.has(publication.topic))
      it.seen.add(publication.topic)
      it.owed.delete(publication.topic)
    }
    if (!done) return
    assert.deepEqual(it.owed, new Set())
    this.open.splice(at % this.open.length, 1)
  }

  apply(step: Step): void {
    if ('set' in step) {
      const publication = message(step.set, 'x', this.clock.time + step.lifeMs)
      assert.equal(this.store.set(publication), 'stored')
      this.messages.set(step.set, publication)
    } else if ('clear' in step) {
      assert.equal(this.store.set(message(step.clear, '')), this.messages.has(step.clear) ? 'cleared' : 'absent')
      this.#forget(step.clear)
    } else if ('open' in step) {
      const owed = new Set([...this.messages.keys()].filter((topic) => topicMatches(step.open, topic)))
      this.open.push({ cursor: this.store.match(step.open), filter: step.open, owed, seen: new Set() })
    } else if ('read' in step) this.#read(step.read, step.size)
    else if ('close' in step) this.open.splice(step.close % Math.max(this.open.length, 1), 1)[0]?.cursor.close()
    else {
      this.clock.time += step.passMs
      this.#expire()
    }
  }
}

describe('equals the definition', () => {
  test('match finds what topicMatches finds', () => {
    fc.assert(
      fc.property(fc.array(topicArbitrary, { maxLength: 40 }), fc.array(filterArbitrary), (topics, filters) => {
        const store = storeOf(...topics)
        expect(store.count).toBe(new Set(topics).size)
        for (const filter of filters) {
          expect(topicsOf(store, filter)).toEqual(
            [...new Set(topics)].filter((topic) => topicMatches(filter, topic)).sort(),
          )
        }
      }),
      { numRuns: 300 },
    )
  })

  test('mayMatch asks whether the levels before the first wildcard are there', () => {
    fc.assert(
      fc.property(fc.array(topicArbitrary, { maxLength: 20 }), fc.array(filterArbitrary), (topics, filters) => {
        const store = storeOf(...topics)
        for (const filter of [...filters, ...topics]) {
          const path = filter.split('/')
          const first = path.findIndex((level) => level === '+' || level === '#')
          const start = first < 0 ? path : path.slice(0, first)
          const isThere = topics.some((topic) => start.every((level, at) => topic.split('/')[at] === level))
          expect([filter, store.mayMatch(filter)]).toEqual([filter, isThere])
        }
      }),
      { numRuns: 300 },
    )
  })

  test('cursors read in pages while messages come, go and expire', () => {
    fc.assert(
      fc.property(fc.array(stepArbitrary, { maxLength: 150 }), (steps) => {
        const model = new Model()
        for (const step of steps) model.apply(step)
        for (const { cursor } of model.open) cursor.close()
        for (const [topic, kept] of model.messages) expect(model.store.get(topic)).toBe(kept)
        for (const topic of model.messages.keys()) model.store.set(message(topic, ''))
        expect(topicsOf(model.store, '#').concat(topicsOf(model.store, '$SYS/#'))).toEqual([])
        const { count, bytes, usage } = model.store
        expect({ count, bytes, nodes: usage.nodes, text: usage.textUnits }).toEqual({
          count: 0,
          bytes: 0,
          nodes: 1,
          text: 0,
        })
      }),
      { numRuns: 600 },
    )
  })

  test('setting and clearing under ever new topics uses bounded room', () => {
    const store = storeOf()
    const sizes: number[] = []
    for (let n = 0; n < 30_000; n += 1) {
      store.set(message(`building-${n}/floor/${n * 3}/state`))
      if (n >= 300) store.set(message(`building-${n - 300}/floor/${(n - 300) * 3}/state`, ''))
      if (n % 5000 === 4999) sizes.push(store.usage.capacityBytes)
    }
    expect(sizes).toEqual(sizes.map(() => sizes[0]))
    expect({ count: store.count, nodes: store.usage.nodes }).toEqual({ count: 300, nodes: 301 })
  })
})
