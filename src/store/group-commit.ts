import { PendingWrites } from './pending.ts'

/** Makes writes durable, all of them or none. */
export type Commit = (writes: PendingWrites) => Promise<void>

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * One commit at a time: what is written while one is under way gathers and goes into the next.
 * Nobody waits for others to come, and a crowd costs one flush.
 *
 *     write ─▶ gathering ──▶ committing ──▶ durable
 *                 ▲              │ fails
 *                 └─ what must happen anyway
 */
export class GroupCommit {
  readonly #commit: Commit
  /** Called when a commit failed. */
  readonly #onUndone: (error: unknown) => void
  gathering = new PendingWrites()
  committing: PendingWrites | undefined = undefined
  #waiting: Waiter[] = []
  #promise: Promise<void> | undefined = undefined
  #current: Promise<void> | undefined = undefined
  #scheduled = false

  constructor(commit: Commit, onUndone: (error: unknown) => void) {
    this.#commit = commit
    this.#onUndone = onUndone
  }

  /** Where to write. */
  get writes(): PendingWrites {
    this.#schedule()
    return this.gathering
  }

  /** See `Store.durable`. All who ask between two commits share one promise. */
  durable(): Promise<void> | undefined {
    if (this.gathering.isEmpty) return this.#current
    this.#schedule()
    this.#promise ??= new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
    return this.#promise
  }

  /** At the end of the turn, so that what one packet or one read sets off is committed together. */
  #schedule(): void {
    if (this.#scheduled || this.committing !== undefined) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#begin()
    })
  }

  #begin(): void {
    if (this.committing !== undefined || (this.gathering.isEmpty && this.#waiting.length === 0)) return
    const writes = this.gathering
    const waiting = this.#waiting
    this.gathering = new PendingWrites()
    this.#waiting = []
    this.#promise = undefined
    this.committing = writes
    const done = writes.isEmpty ? Promise.resolve() : this.#commit(writes)
    this.#current = done
    // Whoever asked for it has a promise of its own.
    this.#current.catch(() => {})
    done.then(
      () => {
        this.#end()
        for (const waiter of waiting) waiter.resolve()
      },
      (error: unknown) => {
        this.#end()
        this.gathering.carryOver(writes)
        this.#onUndone(error)
        for (const waiter of waiting) waiter.reject(error)
      },
    )
  }

  #end(): void {
    this.committing = undefined
    this.#current = undefined
    if (!this.gathering.isEmpty || this.#waiting.length > 0) this.#schedule()
  }
}
