import type { Clock } from '../options.ts'
import { holderOf } from './address-range.ts'

interface Bucket {
  tokens: number
  atMs: number
}

/** New connections of each address. The address that was heard of longest ago is forgotten when there are too many. */
export class AddressRates {
  readonly #clock: Clock
  readonly #maxAddresses: number
  readonly #buckets = new Map<string, Bucket>()

  constructor(clock: Clock, maxAddresses: number) {
    this.#clock = clock
    this.#maxAddresses = maxAddresses
  }

  /** Takes one of `perSecond`, as many of them at once, if there is one. */
  take(address: string | undefined, perSecond: number): boolean {
    if (perSecond === Infinity) return true
    const key = holderOf(address)?.text
    if (key === undefined) return true
    const nowMs = this.#clock.nowMs()
    const bucket = this.#buckets.get(key) ?? { tokens: perSecond, atMs: nowMs }
    // Behind all others: a map keeps the order in which its keys were put in.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > this.#maxAddresses) this.#buckets.delete(this.#buckets.keys().next().value!)
    bucket.tokens = Math.min(perSecond, bucket.tokens + ((nowMs - bucket.atMs) * perSecond) / 1000)
    bucket.atMs = nowMs
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }
}
