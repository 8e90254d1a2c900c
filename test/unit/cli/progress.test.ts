import { expect, test } from 'vitest'

import { Progress, type ProgressUnit } from '../../../src/cli/progress.ts'

/** A terminal, what was written to it, and the time. */
function bench(isTTY = true, columns = 120, unit: ProgressUnit = 'records') {
  const written: string[] = []
  const clock = { nowMs: 1_000_000 }
  const output = { isTTY, columns, write: (text: string) => written.push(text) }
  return { written, clock, progress: new Progress('importing', unit, output, () => clock.nowMs) }
}

test('a bar with how much, how fast and how long still, redrawn ten times a second, gone at the end', () => {
  const { written, clock, progress } = bench()
  progress.tell(10, 0.01)
  expect(written).toEqual([])
  clock.nowMs += 1_000
  progress.tell(1_500, 0.25)
  progress.tell(1_501, 0.26)
  clock.nowMs += 1_000
  progress.tell(6_000, 1)
  progress.end()
  progress.end()
  expect(written).toEqual([
    '\r\u001b[Kimporting  [######------------------]  25 %  1,500 records  1,500/s  3s left',
    '\r\u001b[Kimporting  [########################] 100 %  6,000 records  3,000/s  0s left',
    '\r\u001b[K',
  ])
})

test('bytes are said as such', () => {
  const { written, clock, progress } = bench(true, 120, 'bytes')
  clock.nowMs += 2_000
  progress.tell(50_000_000, 0.5)
  expect(written).toEqual(['\r\u001b[Kimporting  [############------------]  50 %  50 MB  25 MB/s  2s left'])
})

test('without a whole to be a part of it counts', () => {
  const { written, clock, progress } = bench()
  clock.nowMs += 2_000
  progress.tell(100)
  expect(written).toEqual(['\r\u001b[Kimporting  100 records  50/s'])
})

test('a line is never wider than the terminal', () => {
  const { written, clock, progress } = bench(true, 20)
  clock.nowMs += 2_000
  progress.tell(100, 0.5)
  expect(written).toEqual(['\r\u001b[Kimporting  [########'.slice(0, 4 + 19)])
})

test('nothing without a terminal', () => {
  const { written, clock, progress } = bench(false)
  clock.nowMs += 5_000
  progress.tell(100, 0.5)
  progress.end()
  expect(written).toEqual([])
})
