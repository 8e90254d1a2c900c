/** A task that was not begun. `full`: too many wait already; `left`: nobody waits for its result any more. */
export type NotBegun = 'full' | 'left'

interface Waiting {
  readonly begin: () => void
  readonly leave: () => void
  readonly signal: AbortSignal
}

/**
 * Lets `maxRunning` tasks run at a time and `maxWaiting` more wait, in their order. What comes on top
 * is turned away at once: a queue without an end would make everybody wait for nothing (threat 63).
 */
export class Gate {
  readonly #maxRunning: number
  readonly #maxWaiting: number
  readonly #waiting = new Set<Waiting>()
  #running = 0

  constructor(maxRunning: number, maxWaiting: number) {
    this.#maxRunning = maxRunning
    this.#maxWaiting = maxWaiting
  }

  /** Runs the task when its turn comes; whose signal is aborted while waiting leaves the queue. */
  async run<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T | NotBegun> {
    if (signal.aborted) return 'left'
    if (this.#running >= this.#maxRunning) {
      if (this.#waiting.size >= this.#maxWaiting) return 'full'
      if (!(await this.#turn(signal))) return 'left'
    } else {
      this.#running += 1
    }
    try {
      return await task()
    } finally {
      this.#passOn()
    }
  }

  /** True: the place of a task that has ended is ours. */
  #turn(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#waiting.delete(waiting)
        resolve(false)
      }
      const waiting: Waiting = { begin: () => resolve(true), leave, signal }
      this.#waiting.add(waiting)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  #passOn(): void {
    const [first] = this.#waiting
    if (!first) {
      this.#running -= 1
      return
    }
    this.#waiting.delete(first)
    first.signal.removeEventListener('abort', first.leave)
    first.begin()
  }
}
