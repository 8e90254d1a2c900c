/** Rows of a long table: asked for a page at a time, when they rest in sight. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { RowPages, type RowsPage } from '../../../src/inspect/page/parts/row-pages.ts'

interface Asked {
  readonly offset: number
  readonly signal: AbortSignal
  readonly answer: (total?: number) => void
  readonly fail: (error: Error) => void
}

/** A table whose pages come when the test lets them. */
function table() {
  const asked: Asked[] = []
  let changes = 0
  const pages = new RowPages<string>(
    (offset, limit, signal) =>
      new Promise<RowsPage<string>>((resolve, reject) => {
        const answer = (total = 1_000): void =>
          resolve({ total, offset, rows: Array.from({ length: limit }, (_, index) => `row ${offset + index}`) })
        asked.push({ offset, signal, answer, fail: reject })
      }),
    () => (changes += 1),
  )
  const settled = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)
  return { pages, asked, settled, changes: () => changes }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('the first page is asked for at once, and its rows are there when it has come', async () => {
  const { pages, asked, settled } = table()
  pages.look(0, 20)
  expect(pages.total).toBeUndefined()
  asked[0]!.answer()
  await settled()
  expect([pages.total, pages.rowAt(0), pages.rowAt(99), pages.rowAt(100)]).toEqual([
    1_000,
    'row 0',
    'row 99',
    undefined,
  ])
})

test('who scrolls by asks for nothing; where it rests, for what is in sight only', async () => {
  const { pages, asked, settled } = table()
  pages.look(0, 20)
  asked[0]!.answer()
  await settled()
  for (let first = 100; first < 900; first += 50) {
    pages.look(first, first + 20)
    await vi.advanceTimersByTimeAsync(10)
  }
  expect(asked).toHaveLength(1)
  pages.look(790, 810)
  await vi.advanceTimersByTimeAsync(100)
  expect(asked.map(({ offset }) => offset)).toEqual([0, 700, 800])
})

test('what is out of sight before it came is not waited for', async () => {
  const { pages, asked, settled } = table()
  pages.look(0, 20)
  asked[0]!.answer()
  await settled()
  pages.look(500, 520)
  await vi.advanceTimersByTimeAsync(100)
  pages.look(900, 920)
  expect(asked[1]!.signal.aborted).toBe(true)
})

test('a reload shows what there was until the new rows come, and an older answer changes nothing', async () => {
  const { pages, asked, settled } = table()
  pages.look(0, 20)
  const first = asked[0]!
  pages.reload()
  first.answer(5)
  await settled()
  expect(pages.total).toBeUndefined()
  asked[1]!.answer(7)
  await settled()
  expect(pages.total).toBe(7)
  pages.reload()
  expect(pages.rowAt(0)).toBe('row 0')
})

test('a failure is told, and forgotten with the next answer', async () => {
  const { pages, asked, settled, changes } = table()
  pages.look(0, 20)
  asked[0]!.fail(new Error('away'))
  await settled()
  expect(pages.error).toEqual(new Error('away'))
  expect(changes()).toBe(1)
  pages.reload()
  asked[1]!.answer()
  await settled()
  expect(pages.error).toBeUndefined()
})

test('a few screens are kept, and not the whole table', async () => {
  const { pages, asked, settled } = table()
  for (let page = 0; page < 60; page += 1) {
    pages.look(page * 100, page * 100 + 20)
    await vi.advanceTimersByTimeAsync(100)
    asked.at(-1)!.answer(100_000)
    await settled()
  }
  expect([...pages.known()]).toHaveLength(4_000)
  expect(pages.rowAt(5_900)).toBe('row 5900')
  expect(pages.rowAt(0)).toBeUndefined()
})
