import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { LevelTrie } from '../../../src/router/level-trie.ts'
import type { IndexEntry } from '../../../src/router/subscription-index.ts'
import { Subscription, SubscriptionIndex } from '../../../src/router/subscription-index.ts'
import { isTopicFilter, isTopicName, topicMatches } from '../../../src/router/topics.ts'

/** Few levels, so that filters share prefixes, are split, joined and met again. */
const levels = ['', 'a', 'b', 'ab', 'abc', '$SYS', 'ü', '日本', '😀']
const topicArbitrary = fc
  .array(fc.constantFrom(...levels), { minLength: 1, maxLength: 6 })
  .map((parts) => parts.join('/'))
  .filter((topic) => isTopicName(topic, 128))
const filterArbitrary = fc
  .tuple(fc.array(fc.constantFrom(...levels, '+', '+', '+'), { maxLength: 6 }), fc.constantFrom('', '#', '#'))
  .map(([parts, rest]) => (rest === '' ? parts : [...parts, rest]).join('/'))
  .filter((filter) => isTopicFilter(filter, 128))

type Step = { readonly add: string } | { readonly remove: number } | { readonly match: string }
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ add: filterArbitrary }) },
  { weight: 2, arbitrary: fc.record({ remove: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ match: topicArbitrary }) },
)

function subscribe(filter: string): Subscription<string> {
  return new Subscription('client', filter, 0, false, false, 0, 0)
}

function filtersOf(entries: readonly IndexEntry<string>[]): string[] {
  return entries.map((entry) => entry.filter).sort()
}

function matched(index: SubscriptionIndex<string>, topic: string): IndexEntry<string>[] {
  const into: IndexEntry<string>[] = []
  expect(index.match(topic, into)).toBe(into.length)
  return into
}

function indexOf(...filters: string[]): SubscriptionIndex<string> {
  const index = new SubscriptionIndex<string>()
  for (const filter of filters) index.add(subscribe(filter))
  return index
}

function expectDefinition(index: SubscriptionIndex<string>, present: Subscription<string>[], topic: string): void {
  const found = matched(index, topic)
  const expected = present.filter((entry) => topicMatches(entry.filter, topic))
  expect(new Set(found)).toEqual(new Set(expected))
  expect(found.length).toBe(expected.length)
}

describe('equals the definition', () => {
  test('under any sequence of additions, removals and matches', () => {
    fc.assert(
      fc.property(fc.array(stepArbitrary, { maxLength: 120 }), (steps) => {
        const index = new SubscriptionIndex<string>()
        const present: Subscription<string>[] = []
        for (const step of steps) {
          if ('add' in step) {
            const subscription = subscribe(step.add)
            present.push(subscription)
            index.add(subscription)
          } else if ('remove' in step) {
            const [gone] = present.splice(step.remove % Math.max(present.length, 1), 1)
            if (gone) index.remove(gone)
          } else {
            expectDefinition(index, present, step.match)
          }
          expect(index.size).toBe(present.length)
        }
        for (const subscription of present) index.remove(subscription)
        expect({ size: index.size, ...index.usage }).toMatchObject({ size: 0, nodes: 1, textUnits: 0 })
      }),
      { numRuns: 600 },
    )
  })

  test('for every filter and topic of up to three levels at once', () => {
    const topics: string[] = []
    const filters = ['#']
    const grow = (into: string[], alphabet: string[], prefix: string, depth: number): void => {
      for (const level of alphabet) {
        const path = prefix + level
        into.push(path)
        if (depth > 1) grow(into, alphabet, `${path}/`, depth - 1)
      }
    }
    grow(topics, ['', 'a', 'b', '$a'], '', 3)
    grow(filters, ['', 'a', '$a', '+'], '', 3)
    filters.push(...filters.filter((filter) => filter !== '#').map((filter) => `${filter}/#`))
    const valid = filters.filter((filter) => isTopicFilter(filter, 128))
    const index = indexOf(...valid)
    for (const topic of topics.filter((name) => isTopicName(name, 128))) {
      expect(filtersOf(matched(index, topic))).toEqual(valid.filter((filter) => topicMatches(filter, topic)).sort())
    }
  })
})

describe('wildcards', () => {
  test('MQTT-4.7.2-1 filters that start with a wildcard do not match $ topics', () => {
    const index = indexOf('#', '+', '+/a', '+/+', '+/#', '$SYS/#', '$SYS/+', '$SYS/a')
    expect(filtersOf(matched(index, '$SYS/a'))).toEqual(['$SYS/#', '$SYS/+', '$SYS/a'])
    expect(filtersOf(matched(index, 'b/$SYS'))).toEqual(['#', '+/#', '+/+'])
  })

  test('a/# matches a and everything below it', () => {
    const index = indexOf('a/#')
    expect(['a', 'a/', 'a/b', 'a/b/c', 'ab', '/a', ''].filter((topic) => matched(index, topic).length > 0)).toEqual([
      'a',
      'a/',
      'a/b',
      'a/b/c',
    ])
  })

  test('empty levels are levels', () => {
    const index = indexOf('/', '/#', '+/+', '//', '+', '/+', '+/')
    expect(filtersOf(matched(index, '/'))).toEqual(['+/', '+/+', '/', '/#', '/+'])
    expect(filtersOf(matched(index, '//'))).toEqual(['/#', '//'])
  })

  test('MQTT-4.7.3-4 matching does not normalise', () => {
    const index = indexOf('+/\u00e9', 'e\u0301/+')
    expect(filtersOf(matched(index, 'x/e\u0301'))).toEqual([])
    expect(filtersOf(matched(index, 'x/\u00e9'))).toEqual(['+/\u00e9'])
    expect(filtersOf(matched(index, '\u00e9/x'))).toEqual([])
  })

  test('filters of 128 levels and topics of 65,535 levels', () => {
    const deep = Array.from({ length: 127 }, (_, at) => (at % 2 === 0 ? '+' : 'x')).join('/')
    const index = indexOf(`${deep}/+`, `${deep}/#`, '+/#')
    expect(filtersOf(matched(index, Array.from({ length: 128 }, () => 'x').join('/')))).toEqual(
      [`${deep}/#`, `${deep}/+`, '+/#'].sort(),
    )
    expect(filtersOf(matched(index, '/'.repeat(65_534)))).toEqual(['+/#'])
  })

  test('a + at each of 300 levels waits while the literal way is walked', () => {
    const filters = Array.from({ length: 300 }, (_, at) => `${'x/'.repeat(at)}+/#`)
    const index = indexOf(...filters)
    expect(filtersOf(matched(index, Array.from({ length: 300 }, () => 'x').join('/')))).toEqual(filters.toSorted())
    expect(filtersOf(matched(index, `${'x/'.repeat(250)}y`))).toEqual(filters.slice(0, 251).sort())
  })

  test('every mixture of + and x over ten levels is found once', () => {
    const filters = Array.from({ length: 1024 }, (_, bits) =>
      Array.from({ length: 10 }, (__, at) => ((bits >> at) & 1 ? '+' : 'x')).join('/'),
    )
    const index = indexOf(...filters)
    expect(filtersOf(matched(index, 'x/x/x/x/x/x/x/x/x/x'))).toEqual(filters.toSorted())
    expect(filtersOf(matched(index, 'x/x/x/x/y/x/x/x/x/x'))).toEqual(
      filters.filter((filter) => filter.split('/')[4] === '+').sort(),
    )
  })
})

describe('entries', () => {
  test('one filter may have many, and each can leave', () => {
    for (const filter of ['a/b', 'a/+', 'a/#']) {
      const index = new SubscriptionIndex<string>()
      const all = Array.from({ length: 100 }, () => subscribe(filter))
      for (const entry of all) index.add(entry)
      expect(new Set(matched(index, 'a/b'))).toEqual(new Set(all))
      for (const entry of all.splice(10, 80)) index.remove(entry)
      expect(new Set(matched(index, 'a/b'))).toEqual(new Set(all))
      for (const entry of all) index.remove(entry)
      expect(matched(index, 'a/b')).toEqual([])
      expect(index.size).toBe(0)
    }
  })

  test('removing an entry twice, or one that was never added, changes nothing', () => {
    for (const filter of ['a/b', 'a/+', 'a/#', '#']) {
      const index = new SubscriptionIndex<string>()
      const [first, second, stranger] = [subscribe(filter), subscribe(filter), subscribe(filter)]
      index.remove(stranger)
      index.add(first)
      index.add(second)
      index.remove(first)
      const { version } = index
      index.remove(first)
      index.remove(stranger)
      index.remove(subscribe('c/+'))
      expect(index.version).toBe(version)
      expect(index.size).toBe(1)
      expect(matched(index, 'a/b')).toEqual([second])
    }
  })

  test('the version changes with every addition and removal', () => {
    const index = new SubscriptionIndex<string>()
    const seen = new Set([index.version])
    const entries = [subscribe('a'), subscribe('a'), subscribe('+'), subscribe('#')]
    for (const entry of entries) {
      index.add(entry)
      seen.add(index.version)
    }
    for (const entry of entries) {
      index.remove(entry)
      seen.add(index.version)
    }
    expect(seen.size).toBe(9)
  })

  test('a subscription keeps its options apart, and replaces them in place', () => {
    for (const qos of [0, 1, 2] as const) {
      for (const handling of [0, 1, 2] as const) {
        for (const flags of [0, 1, 2, 3]) {
          const [noLocal, asPublished] = [(flags & 1) !== 0, (flags & 2) !== 0]
          const made = new Subscription('c', 'f', qos, noLocal, asPublished, handling, 268_435_455)
          const replaced = new Subscription('c', 'f', 1, !noLocal, !asPublished, 1, 0)
          replaced.replaceOptions(qos, noLocal, asPublished, handling, 268_435_455)
          for (const it of [made, replaced]) {
            expect([it.qos, it.noLocal, it.retainAsPublished, it.retainHandling, it.subscriptionIdentifier]).toEqual([
              qos,
              noLocal,
              asPublished,
              handling,
              268_435_455,
            ])
          }
        }
      }
    }
  })
})

describe('memory', () => {
  test('subscribing and unsubscribing under ever new names uses bounded room', () => {
    const index = new SubscriptionIndex<string>()
    const window: Subscription<string>[] = []
    const sizes: number[] = []
    for (let n = 0; n < 60_000; n += 1) {
      const entry = subscribe(`plant-${n}/line/+/sensor-${n * 7}${n % 3 === 0 ? '/#' : ''}`)
      index.add(entry)
      window.push(entry)
      if (window.length > 500) index.remove(window.shift() as Subscription<string>)
      if (n % 10_000 === 9_999) sizes.push(index.usage.capacityBytes)
    }
    expect(sizes).toEqual(sizes.map(() => sizes[0]))
    // One node per filter here; the text is what 500 filters of about 36 characters need.
    expect(index.usage.nodes).toBe(501)
    expect(index.usage.textUnits).toBeLessThan(500 * 40)
    for (const entry of window) index.remove(entry)
    expect(index.usage).toEqual({ nodes: 1, textUnits: 0, capacityBytes: sizes[0] })
  })
})

describe('hash flooding', () => {
  test('edges whose hashes are equal, of one parent or of several, are told apart by their text', () => {
    fc.assert(
      fc.property(fc.uniqueArray(topicArbitrary, { maxLength: 60 }), topicArbitrary, (paths, other) => {
        // Under these seeds the hash is little more than the exclusive or of parent and characters.
        const trie = new LevelTrie({ random32: () => 1 })
        for (const [at, path] of paths.entries()) trie.setValue(trie.ensure(path, path.length), false, at + 1)
        for (const topic of [...paths, other]) {
          const found = trie.match(topic)
          expect([...trie.hits.subarray(0, found)]).toEqual(paths.includes(topic) ? [paths.indexOf(topic) + 1] : [])
        }
      }),
      { numRuns: 300 },
    )
  })

  test('levels that collide under one seed lead to another seed, and are all found', () => {
    // A multiplier of 1 makes the hash nearly a sum, under which permutations of a text collide.
    let calls = 0
    const trie = new LevelTrie({
      random32: () => {
        calls += 1
        return calls <= 3 ? 1 : Math.imul(calls, 0x9e3779b1)
      },
    })
    const names = permutations(['a', 'b', 'c', 'd', 'e', 'f', 'g']).slice(0, 2000)
    const paths = names.map((name) => `+/${name}`)
    for (const [at, path] of paths.entries()) trie.setValue(trie.ensure(path, path.length), false, at + 1)
    expect(calls).toBe(6)
    for (const [at, name] of names.entries()) {
      expect(trie.match(`x/${name}`)).toBe(1)
      expect(trie.hits[0]).toBe(at + 1)
    }
    for (const path of paths) {
      const node = trie.find(path, path.length)
      trie.setValue(node, false, 0)
      trie.release(node)
    }
    expect(trie.usage.nodes).toBe(1)
  })
})

function permutations(parts: readonly string[]): string[] {
  if (parts.length <= 1) return [...parts]
  return parts.flatMap((part, at) => permutations(parts.toSpliced(at, 1)).map((tail) => part + tail))
}
