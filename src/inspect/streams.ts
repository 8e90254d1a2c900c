import type { Limits } from '../limits.ts'
import { ApiError } from './problem.ts'

/** What is open until somebody closes it: streams of events, WebSockets. */
export class OpenStreams {
  readonly #limits: () => Limits
  readonly #open = new Set<{ close(): void }>()

  constructor(limits: () => Limits) {
    this.#limits = limits
  }

  /** Throws SMQ_API_LIMIT. */
  assertRoom(): void {
    if (this.#open.size >= this.#limits().maxInspectStreams)
      throw new ApiError(429, `${this.#open.size} streams are open`)
  }

  /** Returns what takes it away again. */
  add(stream: { close(): void }): () => void {
    this.#open.add(stream)
    return () => this.#open.delete(stream)
  }

  close(): void {
    for (const stream of this.#open) stream.close()
  }
}
