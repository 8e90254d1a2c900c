import { expect, test } from 'vitest'

import { Registry } from '../../../src/session/registry.ts'

test('threat 54: so many takeovers within ten seconds, each identifier for itself', () => {
  const registry = new Registry()
  const asked = (clientId: string, atMs: number): boolean => {
    const may = registry.mayTakeOver(clientId, atMs, 3)
    if (may) registry.countTakeover(clientId, atMs, 3)
    return may
  }
  expect([asked('a', 0), asked('a', 1000), asked('a', 2000), asked('a', 3000)]).toEqual([true, true, true, false])
  expect(asked('b', 3000)).toBe(true)
  // What was refused does not count, so the first one's place is free ten seconds after it.
  expect([asked('a', 9_999), asked('a', 10_000), asked('a', 10_001), asked('a', 11_000)]).toEqual([
    false,
    true,
    false,
    true,
  ])
})

test('without a limit nothing is remembered', () => {
  const registry = new Registry()
  for (let number = 0; number < 1000; number += 1) registry.countTakeover('a', 0, Infinity)
  expect(registry.mayTakeOver('a', 0, Infinity)).toBe(true)
  expect(registry.rememberedTakeovers).toBe(0)
})

test('threat 54: takeovers under ever new identifiers cost the same each, and are forgotten', () => {
  const registry = new Registry()
  // Counts the looks at what is remembered, each of which asks a list whether all of it is old.
  const { every } = Array.prototype
  let looks = 0
  Array.prototype.every = function (this: unknown[], ...args: Parameters<typeof every>) {
    looks += 1
    return every.apply(this, args)
  } as typeof every
  try {
    // Two thousand a second for half a minute: what the broker admits.
    for (let number = 0; number < 60_000; number += 1) registry.countTakeover(`c${number}`, number / 2, 10)
  } finally {
    Array.prototype.every = every
  }
  expect(looks).toBeLessThan(60_000 * 4)
  expect(registry.rememberedTakeovers).toBeLessThan(50_000)
})
