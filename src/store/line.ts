/** A batch of messages that lies in the store, or is on its way there. */
export interface Batch {
  readonly first: number
  readonly last: number
  readonly count: number
  readonly bytes: number
  /** Sequences of it that are settled already; the batch goes when all are. */
  readonly settled: Set<number>
}

/**
 * What a store remembers of one session's line: where its batches begin and end, so that a page is
 * found without looking, and which messages of them are settled. The messages themselves are not here.
 */
export class Line {
  nextSequence: number
  /** In order, without overlap. */
  readonly batches: Batch[] = []
  #messages = 0
  #bytes = 0

  constructor(nextSequence = 1) {
    this.nextSequence = nextSequence
  }

  get messages(): number {
    return this.#messages
  }

  get bytes(): number {
    return this.#bytes
  }

  /** A batch that was written behind all others, or is read back at the start. */
  add(first: number, last: number, count: number, bytes: number, settled: Iterable<number> = []): Batch {
    const batch = { first, last, count, bytes, settled: new Set(settled) }
    this.batches.push(batch)
    const left = count - batch.settled.size
    this.#messages += left
    this.#bytes += Math.round((bytes * left) / count)
    if (last >= this.nextSequence) this.nextSequence = last + 1
    return batch
  }

  /** The commit that should have written it failed. */
  remove(batch: Batch): void {
    const at = this.batches.indexOf(batch)
    if (at < 0) return
    this.batches.splice(at, 1)
    const left = batch.count - batch.settled.size
    this.#messages -= left
    this.#bytes -= Math.round((batch.bytes * left) / batch.count)
  }

  /** The batch that a sequence lies in; undefined: none. */
  batchOf(sequence: number): Batch | undefined {
    const at = this.#indexOf(sequence)
    const batch = this.batches[at]
    return batch !== undefined && batch.first <= sequence ? batch : undefined
  }

  /** Batches with messages of `from` or more, in order. */
  *batchesFrom(from: number): Generator<Batch, void> {
    for (let at = this.#indexOf(from); at < this.batches.length; at++) yield this.batches[at]!
  }

  /** Counts a message as settled. `ended`: it was the last one of its batch, which is forgotten. */
  settle(sequence: number): { readonly batch: Batch; readonly ended: boolean } | undefined {
    const batch = this.batchOf(sequence)
    if (batch === undefined || batch.settled.has(sequence)) return undefined
    batch.settled.add(sequence)
    this.#messages--
    this.#bytes -= Math.round(batch.bytes / batch.count)
    const ended = batch.settled.size === batch.count
    if (ended) {
      this.batches.splice(this.batches.indexOf(batch), 1)
      if (this.batches.length === 0) this.#bytes = 0
    }
    return { batch, ended }
  }

  /** Settled ones that still lie in the store, in order. */
  settledSequences(): number[] {
    return this.batches.flatMap(({ settled }) => [...settled].sort((a, b) => a - b))
  }

  clear(): void {
    this.batches.length = 0
    this.#messages = 0
    this.#bytes = 0
  }

  /** Index of the first batch that ends at `sequence` or behind it. */
  #indexOf(sequence: number): number {
    const { batches } = this
    if (batches.length > 0 && batches[0]!.last >= sequence) return 0
    let low = 0
    let high = batches.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (batches[middle]!.last < sequence) low = middle + 1
      else high = middle
    }
    return low
  }
}
