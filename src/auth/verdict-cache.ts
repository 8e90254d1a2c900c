import type { Allow } from '../hooks.ts'

interface Entry {
  readonly verdict: Allow
  readonly principal: string | undefined
  readonly untilMs: number
}

/** Verdicts for a while, the most recently used ones. Keys are digests: nobody can read a password off them. */
export class VerdictCache {
  readonly #maxEntries: number
  /** In the order of use, oldest first. */
  readonly #entries = new Map<string, Entry>()
  /** The same by whom they let in, so that one of many who are revoked costs what is its own. */
  readonly #keys = new Map<string | undefined, Set<string>>()

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries
  }

  get(key: string, nowMs: number): Allow | undefined {
    const entry = this.#entries.get(key)
    if (!entry) return undefined
    if (entry.untilMs <= nowMs) {
      this.#drop(key)
      return undefined
    }
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry.verdict
  }

  set(key: string, verdict: Allow, principal: string | undefined, untilMs: number): void {
    this.#drop(key)
    this.#entries.set(key, { verdict, principal, untilMs })
    const keys = this.#keys.get(principal) ?? new Set()
    this.#keys.set(principal, keys.add(key))
    if (this.#entries.size <= this.#maxEntries) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#drop(oldest)
  }

  /** All that let this principal in. */
  forget(principal: string | undefined): void {
    for (const key of this.#keys.get(principal) ?? []) this.#drop(key)
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key)
    if (!entry) return
    this.#entries.delete(key)
    const keys = this.#keys.get(entry.principal)
    keys?.delete(key)
    if (keys?.size === 0) this.#keys.delete(entry.principal)
  }
}
