import type { InflightEntry } from './inflight.ts'

/** What an earlier connection left unacknowledged, and this one is still to be sent again, in order. */
export class Resend {
  #entries: readonly InflightEntry[] = []
  #at = 0

  begin(entries: readonly InflightEntry[]): void {
    this.#entries = entries
    this.#at = 0
  }

  get isDone(): boolean {
    return this.#at === this.#entries.length
  }

  get next(): InflightEntry | undefined {
    return this.#entries[this.#at]
  }

  advance(): void {
    this.#at++
    if (this.isDone) this.begin([])
  }

  /** An acknowledgement for what this connection has not been sent is none. */
  awaits(entry: InflightEntry): boolean {
    for (let i = this.#at; i < this.#entries.length; i++) if (this.#entries[i] === entry) return true
    return false
  }
}
