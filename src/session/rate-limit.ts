import type { Clock } from '../options.ts'

/** A token bucket: `perSecond` on average, `burst` at once. */
export class RateLimit {
  readonly #clock: Clock
  readonly #perSecond: number
  readonly #burst: number
  #tokens: number
  #atMs: number

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock
    this.#perSecond = perSecond
    this.#burst = Math.max(1, burst)
    this.#tokens = this.#burst
    this.#atMs = clock.nowMs()
  }

  /** Takes one, if there is one. */
  take(): boolean {
    return this.takeOrWait() === 0
  }

  /** Takes one and returns 0, or returns the milliseconds after which to ask again. */
  takeOrWait(): number {
    if (this.#perSecond === Infinity) return 0
    this.#refill()
    if (this.#tokens >= 1) {
      this.#tokens--
      return 0
    }
    return Math.max(1, Math.ceil(((1 - this.#tokens) * 1000) / this.#perSecond))
  }

  /**
   * Takes some that may yet have to come: returns the milliseconds until they are there. A crowd that
   * would ask again and again gets its places in the line at once.
   */
  reserve(count = 1): number {
    if (this.#perSecond === Infinity) return 0
    this.#refill()
    this.#tokens -= count
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / this.#perSecond)
  }

  #refill(): void {
    const nowMs = this.#clock.nowMs()
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) * this.#perSecond) / 1000)
    this.#atMs = nowMs
  }
}
