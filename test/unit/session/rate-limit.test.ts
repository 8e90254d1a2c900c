import fc from 'fast-check'
import { expect, test } from 'vitest'

import { RateLimit } from '../../../src/session/rate-limit.ts'
import { SimulatedClock } from '../../support/simulated-clock.ts'

test('a burst at once, then one at a time as they come back', () => {
  const clock = new SimulatedClock()
  const rate = new RateLimit(clock, 10, 3)
  expect([rate.take(), rate.take(), rate.take(), rate.take()]).toEqual([true, true, true, false])
  expect(rate.takeOrWait()).toBe(100)
  clock.advance(75)
  expect([rate.take(), rate.takeOrWait()]).toEqual([false, 25])
  clock.advance(25)
  expect([rate.take(), rate.take()]).toEqual([true, false])
})

test('a rest does not save up more than the burst', () => {
  const clock = new SimulatedClock()
  const rate = new RateLimit(clock, 1000, 2)
  clock.advance(3_600_000)
  expect([rate.take(), rate.take(), rate.take()]).toEqual([true, true, false])
})

test('an unlimited rate never waits, and a burst below one is one', () => {
  const clock = new SimulatedClock()
  const unlimited = new RateLimit(clock, Infinity, 1)
  expect(Array.from({ length: 100 }, () => unlimited.takeOrWait())).toEqual(Array(100).fill(0))
  const slow = new RateLimit(clock, 1, 0)
  expect([slow.take(), slow.takeOrWait()]).toEqual([true, 1000])
})

test('threat 51: reservations are a line: each is told its own turn, once', () => {
  const clock = new SimulatedClock()
  const rate = new RateLimit(clock, 10, 2)
  expect([1, 2, 3, 4, 5].map(() => rate.reserve())).toEqual([0, 0, 100, 200, 300])
  clock.advance(250)
  expect([rate.reserve(), rate.reserve()]).toEqual([150, 250])
  clock.advance(10_000)
  expect([rate.reserve(), rate.reserve(), rate.reserve()]).toEqual([0, 0, 100])
  expect([new RateLimit(clock, Infinity, 1).reserve(), new RateLimit(clock, Infinity, 1).reserve()]).toEqual([0, 0])
})

test('over any time, no more than the burst and the rate allow, and no fewer when asked as told', () => {
  const wait = fc.oneof(fc.constant(0), fc.nat(50), fc.nat(5000))
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(wait),
      (perSecond, burst, waits) => {
        const clock = new SimulatedClock()
        const rate = new RateLimit(clock, perSecond, burst)
        let taken = 0
        const startMs = clock.nowMs()
        for (const each of waits) {
          clock.advance(each)
          for (let tries = 0; tries < 3; tries += 1) if (rate.take()) taken += 1
          expect(taken).toBeLessThanOrEqual(burst + ((clock.nowMs() - startMs) * perSecond) / 1000 + 1e-6)
        }
        // Who waits as long as it is told gets one.
        while (rate.take()) taken += 1
        clock.advance(rate.takeOrWait())
        expect(rate.take()).toBe(true)
      },
    ),
  )
})
