import type { Clock } from '../options.ts'

/** The time at which a simulated clock starts, so that tests can assert whole values: 2023-11-14, 22:13:20 UTC. */
export const simulatedEpochMs = 1_700_000_000_000

/** A timer that re-arms itself without delay would never let `advance` return: this many in one call is a bug. */
const maxTimersPerAdvance = 1_000_000

interface SimulatedTimer {
  readonly dueMs: number
  readonly callback: () => void
}

/**
 * A clock that stands still until a test moves it: give it to `createBroker({ clock })`. Timers fire in
 * the order of their time, those of one time in the order in which they were set, and `nowMs` is then
 * exactly that time.
 */
export class SimulatedClock implements Clock {
  #nowMs = simulatedEpochMs
  /** Sorted by due time; timers of one time stay in the order in which they were set. */
  readonly #timers: SimulatedTimer[] = []

  /** Milliseconds since the epoch. */
  nowMs(): number {
    return this.#nowMs
  }

  setTimeout(callback: () => void, delayMs: number): unknown {
    // NaN and negative delays mean "now", as they do for the system's timers.
    const timer: SimulatedTimer = { dueMs: this.#nowMs + (delayMs > 0 ? delayMs : 0), callback }
    let index = this.#timers.length
    while (index > 0 && (this.#timers[index - 1]?.dueMs ?? 0) > timer.dueMs) index -= 1
    this.#timers.splice(index, 0, timer)
    return timer
  }

  clearTimeout(timer: unknown): void {
    const index = this.#timers.indexOf(timer as SimulatedTimer)
    if (index >= 0) this.#timers.splice(index, 1)
  }

  /** How many timers are set and have not fired. */
  get pending(): number {
    return this.#timers.length
  }

  /**
   * Moves the time by milliseconds and fires what falls due on the way, timers set by timers included. Throws where
   * timers without a delay set each other again and again.
   */
  advance(ms: number): void {
    const targetMs = this.#nowMs + ms
    for (let fired = 0; ; fired += 1) {
      const timer = this.#timers[0]
      if (timer === undefined || timer.dueMs > targetMs) break
      if (fired === maxTimersPerAdvance)
        throw new Error(`more than ${maxTimersPerAdvance} timers in one advance(${ms})`)
      this.#timers.shift()
      this.#nowMs = timer.dueMs
      timer.callback()
    }
    this.#nowMs = targetMs
  }
}
