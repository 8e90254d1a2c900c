import type { SessionKey } from '../stored.ts'

/**
 * Which batches refer to messages that are kept once for several sessions, and how many refer to each:
 * the last one takes the message along. Made again from the batches at the start.
 */
export class References {
  readonly #counts = new Map<number, number>()
  readonly #byBatch = new Map<SessionKey, Map<number, readonly number[]>>()
  #last = 0
  /** Batches that were added since the last commit. */
  #added: { readonly key: SessionKey; readonly first: number }[] = []

  nextNumber(): number {
    return ++this.#last
  }

  /** A batch refers to these. */
  refer(key: SessionKey, first: number, numbers: readonly number[]): void {
    for (const number of numbers) {
      this.#counts.set(number, (this.#counts.get(number) ?? 0) + 1)
      if (number > this.#last) this.#last = number
    }
    let batches = this.#byBatch.get(key)
    if (batches === undefined) {
      batches = new Map()
      this.#byBatch.set(key, batches)
    }
    batches.set(first, numbers)
    this.#added.push({ key, first })
  }

  /** What was added is durable. */
  settle(): void {
    this.#added = []
  }

  /** What was added is not. */
  undo(): void {
    for (const { key, first } of this.#added.splice(0)) this.releaseBatch(key, first)
  }

  /** A batch goes; returns the messages that nobody refers to any more. */
  releaseBatch(key: SessionKey, first: number): number[] {
    const batches = this.#byBatch.get(key)
    const numbers = batches?.get(first)
    if (batches === undefined || numbers === undefined) return []
    batches.delete(first)
    if (batches.size === 0) this.#byBatch.delete(key)
    return numbers.filter((number) => this.#drop(number))
  }

  /** A session goes with all of its batches. */
  release(key: SessionKey): number[] {
    const firsts = [...(this.#byBatch.get(key)?.keys() ?? [])]
    return firsts.flatMap((first) => this.releaseBatch(key, first))
  }

  #drop(number: number): boolean {
    const left = (this.#counts.get(number) ?? 1) - 1
    if (left > 0) this.#counts.set(number, left)
    else this.#counts.delete(number)
    return left <= 0
  }
}
