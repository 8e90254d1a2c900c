import fc from 'fast-check'
import { expect, test } from 'vitest'

import { TopicAliases } from '../../../src/codec/aliases.ts'

test('a topic is told once and known from then on', () => {
  const aliases = new TopicAliases(2)
  expect(['a', 'a', 'b', 'a', 'b'].map((topic) => aliases.lookup(topic))).toEqual([-1, 1, -2, 1, 2])
})

test('the topic that was not used for longest gives its alias up', () => {
  const aliases = new TopicAliases(2)
  expect(['a', 'b', 'a', 'c', 'a', 'b', 'c'].map((topic) => aliases.lookup(topic))).toEqual([-1, -2, 1, -2, 1, -2, -1])
})

test('what was never sent is told again', () => {
  const aliases = new TopicAliases(2)
  aliases.lookup('a')
  aliases.forget('a')
  aliases.forget('unknown')
  expect([aliases.lookup('a'), aliases.lookup('a')]).toEqual([-1, 1])
})

test('threat 42: a client that believes every alias resolves every topic, and none is above the maximum', () => {
  const topic = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(fc.tuple(topic, fc.boolean())), (maximum, sent) => {
      const aliases = new TopicAliases(maximum)
      const client = new Map<number, string>()
      for (const [topic, isTooLarge] of sent) {
        const alias = aliases.lookup(topic)
        expect(Math.abs(alias)).toBeGreaterThanOrEqual(1)
        expect(Math.abs(alias)).toBeLessThanOrEqual(maximum)
        if (alias > 0) expect(client.get(alias)).toBe(topic)
        // A packet that is too large for the client is not sent: it learns nothing from it.
        else if (isTooLarge) aliases.forget(topic)
        else client.set(-alias, topic)
      }
    }),
  )
})
