import fc from 'fast-check'
import { expect, test } from 'vitest'

import type { Clock } from '../../../src/options.ts'
import { Deadlines, type Deadline } from '../../../src/session/deadlines.ts'
import { NodeLikeClock, SimulatedClock, simulatedEpochMs } from '../../support/simulated-clock.ts'

const longestTimerMs = 2_147_483_647

function fail(error: unknown): never {
  throw error
}

function start(maxPerTurn = Infinity, clock: SimulatedClock = new NodeLikeClock()) {
  const deadlines = new Deadlines(clock, maxPerTurn, fail)
  const fired: string[] = []
  const schedule = (name: string, inMs: number): Deadline =>
    deadlines.schedule(clock.nowMs() + inMs, () => {
      fired.push(`${name}@${clock.nowMs() - simulatedEpochMs}`)
    })
  return { clock, deadlines, fired, schedule }
}

test('deadlines fire at their time, those of one time in the order in which they were set', () => {
  const { clock, fired, schedule, deadlines } = start()
  schedule('c', 30)
  schedule('a', 10)
  schedule('d', 30)
  schedule('b', 20)
  schedule('past', -5)
  clock.advance(29)
  expect([fired, deadlines.size]).toEqual([['past@0', 'a@10', 'b@20'], 2])
  clock.advance(1)
  expect([fired.slice(3), deadlines.size, clock.pending]).toEqual([['c@30', 'd@30'], 0, 0])
})

test('there is one timer however many deadlines, and none when all are gone', () => {
  const { clock, schedule, deadlines } = start()
  const all = [50, 40, 60, 10, 10].map((inMs) => schedule('x', inMs))
  expect([clock.pending, deadlines.size]).toEqual([1, 5])
  for (const each of all) deadlines.cancel(each)
  expect(deadlines.size).toBe(0)
  clock.advance(60)
  expect(clock.pending).toBe(0)
})

test('a cancelled deadline does not fire, and cancelling twice or late changes nothing', () => {
  const { clock, fired, schedule, deadlines } = start()
  const [a, b] = [schedule('a', 10), schedule('b', 10)]
  deadlines.cancel(a)
  deadlines.cancel(a)
  deadlines.cancel(undefined)
  clock.advance(10)
  deadlines.cancel(b)
  expect([fired, deadlines.size]).toEqual([['b@10'], 0])
})

test('threat 98: deadlines beyond 2^31 ms fire at their time, and never ones not at all', () => {
  const { clock, fired, schedule, deadlines } = start()
  const farMs = 0xffff_fffe * 1000
  schedule('far', farMs)
  schedule('edge', longestTimerMs)
  schedule('beyond', longestTimerMs + 1)
  schedule('never', Infinity)
  clock.advance(longestTimerMs - 1)
  expect(fired).toEqual([])
  clock.advance(1)
  expect(fired).toEqual([`edge@${longestTimerMs}`])
  clock.advance(farMs - longestTimerMs - 1)
  expect(fired.slice(1)).toEqual([`beyond@${longestTimerMs + 1}`])
  clock.advance(1)
  expect([fired.slice(2), deadlines.size]).toEqual([[`far@${farMs}`], 1])
})

test('threat 101: no more than the allowed number fires in one turn, and nothing is left over', () => {
  const perTurn: number[] = []
  const callbacks: (() => void)[] = []
  const clock: Clock = {
    nowMs: () => 1000,
    setTimeout: (callback) => callbacks.push(callback),
    clearTimeout: () => {},
  }
  const deadlines = new Deadlines(clock, 1000, fail)
  let fired = 0
  for (let count = 0; count < 100_000; count += 1) deadlines.schedule(1000, () => (fired += 1))
  expect(callbacks.length).toBe(1)
  for (let turn = callbacks.pop(); turn; turn = callbacks.pop()) {
    const before = fired
    turn()
    perTurn.push(fired - before)
  }
  expect([perTurn, deadlines.size]).toEqual([Array(100).fill(1000), 0])
})

test('threat 101: cancelled deadlines that fall due together are passed over in slices as well', () => {
  let nowMs = 0
  let turns = 0
  const callbacks: (() => void)[] = []
  const clock: Clock = {
    nowMs: () => nowMs,
    setTimeout: (callback) => callbacks.push(callback),
    clearTimeout: () => {},
  }
  const deadlines = new Deadlines(clock, 1000, fail)
  for (let count = 0; count < 60_000; count += 1) deadlines.schedule(9000, () => {})
  // Fewer than half, so that they are not swept away at once.
  const cancelled = Array.from({ length: 50_000 }, () =>
    deadlines.schedule(5000, () => fail(new Error('a cancelled deadline fired'))),
  )
  for (const deadline of cancelled) deadlines.cancel(deadline)
  nowMs = 6000
  callbacks.splice(0, callbacks.length - 1)
  for (let turn = callbacks.pop(); turn && turns < 1000; turn = callbacks.pop()) {
    turns += 1
    turn()
    if (turns >= 50) break
  }
  expect([turns, deadlines.size]).toEqual([50, 60_000])
})

test('threat 60: a deadline that throws is reported and the next one fires', () => {
  const clock = new SimulatedClock()
  const errors: unknown[] = []
  const deadlines = new Deadlines(clock, 10, (error) => errors.push(error))
  const fault = new Error('planted')
  const fired: string[] = []
  deadlines.schedule(clock.nowMs() + 1, () => {
    throw fault
  })
  deadlines.schedule(clock.nowMs() + 1, () => fired.push('b'))
  clock.advance(1)
  expect([errors, fired]).toEqual([[fault], ['b']])
})

test('nothing fires after close', () => {
  const { clock, fired, schedule, deadlines } = start()
  schedule('a', 10)
  deadlines.close()
  schedule('b', 10)
  clock.advance(10)
  expect([fired, clock.pending]).toEqual([[], 0])
})

type Step =
  | { readonly kind: 'schedule'; readonly inMs: number }
  | { readonly kind: 'cancel'; readonly which: number }
  | { readonly kind: 'advance'; readonly byMs: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('schedule' as const), inMs: fc.oneof(fc.nat(50), fc.nat(2 ** 40)) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('advance' as const), byMs: fc.oneof(fc.nat(60), fc.nat(2 ** 39)) }),
  },
)

test('threat 98: against the plain definition: a sorted list', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 500 }), fc.integer({ min: 1, max: 5 }), (steps, maxPerTurn) => {
      const { clock, deadlines, fired, schedule } = start(maxPerTurn)
      let waiting: { name: string; atMs: number; deadline: Deadline }[] = []
      const expected: string[] = []
      steps.forEach((each, index) => {
        if (each.kind === 'schedule') {
          const atMs = clock.nowMs() + each.inMs
          waiting.push({ name: `${index}`, atMs, deadline: schedule(`${index}`, each.inMs) })
        } else if (each.kind === 'cancel') {
          const [gone] = waiting.length > 0 ? waiting.splice(each.which % waiting.length, 1) : []
          deadlines.cancel(gone?.deadline)
        } else {
          const untilMs = clock.nowMs() + each.byMs
          const due = waiting.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)
          waiting = waiting.filter((one) => !due.includes(one))
          for (const { name, atMs } of due) expected.push(`${name}@${atMs - simulatedEpochMs}`)
          clock.advance(each.byMs)
        }
        expect([fired, deadlines.size]).toEqual([expected, waiting.length])
      })
    }),
  )
})
