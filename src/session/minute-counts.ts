interface Count {
  readonly sinceMs: number
  count: number
}

const MINUTE_MS = 60_000

/** How often something happened within a minute of its first time, by a key; the key counted first is forgotten when there are too many. */
export class MinuteCounts {
  readonly #counts = new Map<string, Count>()

  /** Counts one more, and tells how many that makes. */
  add(key: string, nowMs: number, maxKeys: number): number {
    const known = this.#counts.get(key)
    if (known !== undefined && nowMs - known.sinceMs < MINUTE_MS) return ++known.count
    // Behind all others: a map keeps the order in which its keys were put in.
    this.#counts.delete(key)
    this.#counts.set(key, { sinceMs: nowMs, count: 1 })
    for (const [oldest, { sinceMs }] of this.#counts) {
      if (this.#counts.size <= maxKeys && nowMs - sinceMs < MINUTE_MS) break
      this.#counts.delete(oldest)
    }
    return 1
  }

  forget(key: string): void {
    this.#counts.delete(key)
  }
}
