import type { Clock } from '../options.ts'

/** Longest delay that a timer takes; anything longer is armed again when it has passed. */
const MAX_TIMER_MS = 2_147_483_647

/** A point in time at which somebody is told. */
export interface Deadline {
  readonly atMs: number
  readonly sequence: number
  /** Undefined once it was fired or cancelled. */
  callback: (() => void) | undefined
}

/**
 * All absolute deadlines of the broker in one binary heap under one timer: XState's own delays
 * overflow at 2^31 ms and do not survive a snapshot. Cancelling only marks; marked ones are swept
 * when they make up half of the heap. Due ones are fired in chunks, so that a hundred thousand
 * sessions that expire together don't hold up the loop (threat 101).
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #maxPerTurn: number
  readonly #onError: (error: unknown) => void
  #heap: Deadline[] = []
  #cancelled = 0
  #sequence = 0
  #timer: unknown = undefined
  #timerAtMs = Infinity
  #closed = false

  constructor(clock: Clock, maxPerTurn: number, onError: (error: unknown) => void) {
    this.#clock = clock
    this.#maxPerTurn = maxPerTurn
    this.#onError = onError
  }

  /** Deadlines waiting. */
  get size(): number {
    return this.#heap.length - this.#cancelled
  }

  schedule(atMs: number, callback: () => void): Deadline {
    const deadline: Deadline = { atMs, sequence: this.#sequence++, callback }
    this.#heap.push(deadline)
    this.#up(this.#heap.length - 1)
    if (this.#heap[0] === deadline) this.#arm()
    return deadline
  }

  cancel(deadline: Deadline | undefined): void {
    if (!deadline?.callback) return
    deadline.callback = undefined
    this.#cancelled++
    if (this.#cancelled > 64 && this.#cancelled * 2 > this.#heap.length) this.#sweep()
  }

  close(): void {
    this.#closed = true
    this.#clock.clearTimeout(this.#timer)
    this.#heap = []
    this.#cancelled = 0
  }

  #arm(): void {
    const next = this.#heap[0]
    if (this.#closed || next === undefined || next.atMs >= this.#timerAtMs) return
    this.#clock.clearTimeout(this.#timer)
    this.#timerAtMs = next.atMs
    const delayMs = Math.min(MAX_TIMER_MS, Math.max(0, Math.ceil(next.atMs - this.#clock.nowMs())))
    this.#timer = this.#clock.setTimeout(() => this.#fire(), delayMs)
  }

  #fire(): void {
    this.#timerAtMs = Infinity
    const nowMs = this.#clock.nowMs()
    // Cancelled ones count too: as many as were set may fall due together, and each costs a way through the heap.
    let taken = 0
    for (
      let next = this.#heap[0];
      next !== undefined && next.atMs <= nowMs && taken < this.#maxPerTurn;
      next = this.#heap[0]
    ) {
      this.#pop()
      taken++
      const callback = next.callback
      if (callback === undefined) {
        this.#cancelled--
        continue
      }
      next.callback = undefined
      try {
        callback()
      } catch (error) {
        this.#onError(error)
      }
    }
    this.#arm()
  }

  #pop(): void {
    const last = this.#heap.pop()!
    if (this.#heap.length === 0) return
    this.#heap[0] = last
    this.#down(0)
  }

  #sweep(): void {
    this.#heap = this.#heap.filter((deadline) => deadline.callback !== undefined)
    this.#cancelled = 0
    for (let i = (this.#heap.length >> 1) - 1; i >= 0; i--) this.#down(i)
  }

  #up(index: number): void {
    const heap = this.#heap
    const moved = heap[index]!
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(moved, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = moved
  }

  #down(index: number): void {
    const heap = this.#heap
    const moved = heap[index]!
    for (;;) {
      let child = index * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, moved)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = moved
  }
}

/** Equal times fire in the order in which they were scheduled. */
function isBefore(a: Deadline, b: Deadline): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence)
}
