import { expect, test } from 'vitest'

import { SimulatedClock, simulatedEpochMs } from '../../support/simulated-clock.ts'

test('timers fire in order, each at its own time, those set on the way included', () => {
  const clock = new SimulatedClock()
  const arm = clock.setTimeout.bind(clock)
  const fired: Array<readonly [string, number]> = []
  const note = (name: string): void => void fired.push([name, clock.nowMs() - simulatedEpochMs])
  arm(() => note('late'), 30)
  arm(() => {
    note('first of 10')
    arm(() => note('set at 10, due at once'), 0)
    arm(() => note('set at 10 for 25'), 15)
  }, 10)
  arm(() => note('second of 10'), 10)
  const cleared = arm(() => note('cleared'), 20)
  clock.clearTimeout(cleared)
  clock.advance(29)
  expect(fired).toEqual([
    ['first of 10', 10],
    ['second of 10', 10],
    ['set at 10, due at once', 10],
    ['set at 10 for 25', 25],
  ])
  expect([clock.pending, clock.nowMs()]).toEqual([1, simulatedEpochMs + 29])
  clock.advance(1)
  expect(fired.at(-1)).toEqual(['late', 30])
  expect(clock.pending).toBe(0)
})

test('a timer may clear another one of the same time', () => {
  const clock = new SimulatedClock()
  const arm = clock.setTimeout.bind(clock)
  const fired: string[] = []
  arm(() => {
    fired.push('a')
    clock.clearTimeout(b)
  }, 1)
  const b = arm(() => fired.push('b'), 1)
  clock.advance(1)
  expect(fired).toEqual(['a'])
})

test('a timer that re-arms itself without delay is reported instead of hanging the test', () => {
  const clock = new SimulatedClock()
  const arm = clock.setTimeout.bind(clock)
  const rearm = (): void => void arm(rearm, 0)
  rearm()
  expect(() => clock.advance(0)).toThrow('more than 1000000 timers')
})
