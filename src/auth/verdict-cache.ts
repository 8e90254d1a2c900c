import type { Allow } from '../hooks.ts'

interface Entry {
  readonly verdict: Allow
  readonly untilMs: number
}

/** Verdicts for a while, the most recently used ones. Keys are digests: nobody can read a password off them. */
export class VerdictCache {
  readonly #maxEntries: number
  /** In the order of use, oldest first. */
  readonly #entries = new Map<string, Entry>()

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries
  }

  get(key: string, nowMs: number): Allow | undefined {
    const entry = this.#entries.get(key)
    if (!entry) return undefined
    this.#entries.delete(key)
    if (entry.untilMs <= nowMs) return undefined
    this.#entries.set(key, entry)
    return entry.verdict
  }

  set(key: string, verdict: Allow, untilMs: number): void {
    this.#entries.delete(key)
    this.#entries.set(key, { verdict, untilMs })
    if (this.#entries.size <= this.#maxEntries) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }
}
