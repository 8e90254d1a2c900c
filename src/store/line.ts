import type { SessionKey } from '../stored.ts'

/** A batch of messages that lies in the store. */
export interface Batch {
  readonly first: number
  last: number
  /** Sequences between first and last that are none of its messages; undefined: all are. */
  readonly gaps: ReadonlySet<number> | undefined
  /** Messages of it that are not settled; the batch goes when there are none. */
  left: number
  /** What those count towards the session's limit. */
  bytesLeft: number
  /** Sequences of it that are settled. */
  settled: Set<number> | undefined
  /** A commit under way puts more messages into it: it does not end meanwhile. */
  isGrowing: boolean
}

/** What a batch is, as it is written or read. */
export interface BatchFacts {
  readonly first: number
  readonly last: number
  readonly count: number
  readonly bytes: number
  readonly gaps: ReadonlySet<number> | undefined
}

/** Batches without messages are swept out when there are this many, and as many as others. */
const MIN_SWEEP = 32

/**
 * What a store remembers of one session's line: where its batches begin and end, so that a page is
 * found without looking, and which messages of them are settled. The messages themselves are not here.
 */
export class Line {
  /** The sequence of the next message: never one that was there before. */
  nextSequence = 1
  /** In order, without overlap; some of them may have no message left. */
  #batches: Batch[] = []
  #ended = 0
  #messages = 0
  #bytes = 0

  get messages(): number {
    return this.#messages
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The sequence behind all messages that there are. */
  get end(): number {
    for (let at = this.#batches.length - 1; at >= 0; at--) {
      const batch = this.#batches[at]!
      if (batch.left > 0) return batch.last + 1
    }
    return 1
  }

  /** A batch that was written behind all others, or is read back at the start. */
  add({ first, last, count, bytes, gaps }: BatchFacts, settled: Iterable<number> = []): Batch {
    const batch: Batch = { first, last, gaps, left: count, bytesLeft: bytes, settled: undefined, isGrowing: false }
    this.#batches.push(batch)
    this.#messages += count
    this.#bytes += bytes
    if (last >= this.nextSequence) this.nextSequence = last + 1
    for (const sequence of settled) this.#settleOf(batch, sequence)
    return batch
  }

  /** The batch that messages from `next` on could be put into: it ends right before, and has all its messages. */
  batchBefore(next: number): Batch | undefined {
    const batch = this.#batches.at(-1)
    if (batch === undefined || batch.last !== next - 1 || batch.gaps !== undefined || batch.isGrowing) return undefined
    return batch.settled === undefined && batch.left === batch.last - batch.first + 1 ? batch : undefined
  }

  /** More messages were written into a batch, behind those that it has. */
  grow(batch: Batch, last: number, count: number, bytes: number): void {
    batch.isGrowing = false
    batch.last = last
    batch.left += count
    batch.bytesLeft += bytes
    this.#messages += count
    this.#bytes += bytes
    if (last >= this.nextSequence) this.nextSequence = last + 1
  }

  /** The batch that begins with a sequence, as long as it has messages. */
  batchAt(first: number): Batch | undefined {
    const batch = this.#batches[this.#indexOf(first)]
    return batch !== undefined && batch.first === first && batch.left > 0 ? batch : undefined
  }

  /** Batches with messages of `from` or more, in order. */
  *batchesFrom(from: number): Generator<Batch, void> {
    const batches = this.#batches
    for (let at = this.#indexOf(from); at < batches.length; at++) if (batches[at]!.left > 0) yield batches[at]!
  }

  /** The first message of `from` or more that is not settled, `early` neither, with its share of its batch's bytes. */
  oldest(
    from: number,
    early: ReadonlySet<number> | undefined,
  ): { readonly sequence: number; readonly bytes: number } | undefined {
    for (const batch of this.batchesFrom(from)) {
      for (let sequence = Math.max(from, batch.first); sequence <= batch.last; sequence++) {
        if (isUnsettled(batch, sequence) && early?.has(sequence) !== true)
          return { sequence, bytes: Math.round(batch.bytesLeft / batch.left) }
      }
    }
    return undefined
  }

  /** Whether a message is there and not settled. */
  has(sequence: number): boolean {
    const batch = this.#batches[this.#indexOf(sequence)]
    return batch !== undefined && isUnsettled(batch, sequence)
  }

  /** Counts a message as settled; undefined: there is none, or it was settled before. */
  settle(sequence: number): Batch | undefined {
    const batch = this.#batches[this.#indexOf(sequence)]
    return batch !== undefined && this.#settleOf(batch, sequence) ? batch : undefined
  }

  clear(): void {
    this.#batches = []
    this.#ended = 0
    this.#messages = 0
    this.#bytes = 0
  }

  #settleOf(batch: Batch, sequence: number): boolean {
    if (!isUnsettled(batch, sequence)) return false
    const share = Math.round(batch.bytesLeft / batch.left)
    batch.left--
    batch.bytesLeft -= share
    this.#messages--
    this.#bytes -= share
    if (batch.left > 0 || batch.isGrowing) (batch.settled ??= new Set()).add(sequence)
    else this.#end(batch)
    return true
  }

  /** Sweeping one at a time would move all the others each time. */
  #end(batch: Batch): void {
    batch.settled = undefined
    this.#ended++
    if (this.#ended < MIN_SWEEP && this.#messages > 0) return
    if (this.#ended * 2 < this.#batches.length) return
    this.#batches = this.#batches.filter(({ left, isGrowing }) => left > 0 || isGrowing)
    this.#ended = 0
  }

  /** Index of the first batch that ends at `sequence` or behind it. */
  #indexOf(sequence: number): number {
    const batches = this.#batches
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

/** Whether a sequence is a message of the batch that is not settled. */
export function isUnsettled({ first, last, gaps, left, settled }: Batch, sequence: number): boolean {
  if (left === 0 || sequence < first || sequence > last) return false
  return settled?.has(sequence) !== true && gaps?.has(sequence) !== true
}

/** The line of a session, made where there is none. */
export function lineOf(lines: Map<SessionKey, Line>, key: SessionKey): Line {
  let line = lines.get(key)
  if (line === undefined) {
    line = new Line()
    lines.set(key, line)
  }
  return line
}
