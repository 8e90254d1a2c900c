import { isIPv6 } from 'node:net'

import type { Clock } from '../options.ts'

const WINDOW_MS = 60_000
/** Beyond it all others are counted together: addresses are free to whoever has a network. */
const MAX_ADDRESSES = 10_000

/** Counts failures by address, a minute at a time. */
export class Throttle {
  readonly #clock: Clock
  readonly #max: () => number
  readonly #failures = new Map<string, number>()
  #windowEndsAtMs = 0

  constructor(clock: Clock, max: () => number) {
    this.#clock = clock
    this.#max = max
  }

  isClosedTo(address: string): boolean {
    return this.#countOf(keyOf(address)) >= this.#max()
  }

  failed(address: string): void {
    const key = this.#placeOf(keyOf(address))
    this.#failures.set(key, this.#countOf(key) + 1)
  }

  /** It was no guess after all: takes one failure back. */
  succeeded(address: string): void {
    const key = this.#placeOf(keyOf(address))
    const count = this.#failures.get(key) ?? 0
    if (count > 1) this.#failures.set(key, count - 1)
    else this.#failures.delete(key)
  }

  /** Seconds until the minute is over. */
  get retryAfterSeconds(): number {
    return Math.max(1, Math.ceil((this.#windowEndsAtMs - this.#clock.nowMs()) / 1_000))
  }

  #countOf(key: string): number {
    const nowMs = this.#clock.nowMs()
    if (nowMs >= this.#windowEndsAtMs) {
      this.#failures.clear()
      this.#windowEndsAtMs = nowMs + WINDOW_MS
    }
    return this.#failures.get(this.#placeOf(key)) ?? 0
  }

  #placeOf(key: string): string {
    return this.#failures.size < MAX_ADDRESSES || this.#failures.has(key) ? key : 'others'
  }
}

/** A network of IPv6 is one: whoever has one address of it has them all. */
function keyOf(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address
  const [head = '', tail = ''] = address.split('::')
  const groups = head.split(':').filter((group) => group !== '')
  const missing = 8 - groups.length - tail.split(':').filter((group) => group !== '').length
  if (address.includes('::')) groups.push(...Array<string>(missing).fill('0'))
  return groups.concat(tail.split(':')).slice(0, 4).join(':')
}
