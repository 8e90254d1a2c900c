import type { SessionKey } from '../stored.ts'

/**
 * Which batches refer to messages that are kept once for several sessions, and how many refer to each:
 * the last one takes the message along. Made again from the batches at the start; until all of them
 * have been read, no message is known to have had its last one.
 */
export class References {
  readonly #counts = new Map<number, number>()
  readonly #byBatch = new Map<SessionKey, Map<number, readonly number[]>>()
  #last: number
  /** Messages that nobody referred to any more while there were batches to be read; undefined: all are read. */
  #candidates: Set<number> | undefined = new Set()
  /** Messages that turned out to be nobody's, to be removed with the next commit. */
  readonly #orphans = new Set<number>()

  /** `last`: the highest number that is in use. */
  constructor(last: number) {
    this.#last = last
  }

  nextNumber(): number {
    return ++this.#last
  }

  /** A batch refers to these. */
  refer(key: SessionKey, first: number, numbers: readonly number[]): void {
    for (const number of numbers) this.#counts.set(number, (this.#counts.get(number) ?? 0) + 1)
    let batches = this.#byBatch.get(key)
    if (batches === undefined) {
      batches = new Map()
      this.#byBatch.set(key, batches)
    }
    batches.set(first, numbers)
  }

  /** All batches have been read. */
  complete(): void {
    for (const number of this.#candidates ?? []) this.#orphans.add(number)
    this.#candidates = undefined
  }

  /** Begins to work out what a commit releases. Nothing changes before {@link Releases.apply}. */
  release(): Releases {
    return new Releases(this)
  }

  /** What {@link Releases} is told. */
  batch(key: SessionKey, first: number): readonly number[] {
    return this.#byBatch.get(key)?.get(first) ?? []
  }

  batchesOf(key: SessionKey): readonly number[] {
    return [...(this.#byBatch.get(key)?.keys() ?? [])]
  }

  count(number: number): number {
    return this.#counts.get(number) ?? 0
  }

  get orphans(): number[] {
    return [...this.#orphans].filter((number) => this.count(number) === 0)
  }

  get isComplete(): boolean {
    return this.#candidates === undefined
  }

  drop(batches: ReadonlyMap<SessionKey, ReadonlySet<number>>, numbers: ReadonlyMap<number, number>): void {
    for (const [key, firsts] of batches) {
      const known = this.#byBatch.get(key)
      for (const first of firsts) known?.delete(first)
      if (known?.size === 0) this.#byBatch.delete(key)
    }
    for (const [number, times] of numbers) {
      const left = this.count(number) - times
      if (left > 0) this.#counts.set(number, left)
      else this.#counts.delete(number)
      if (left <= 0) this.#candidates?.add(number)
    }
  }

  forgetOrphans(numbers: readonly number[]): void {
    for (const number of numbers) this.#orphans.delete(number)
  }
}

/** The batches that go with one commit, and the messages that go with them. */
export class Releases {
  readonly #references: References
  readonly #batches = new Map<SessionKey, Set<number>>()
  readonly #numbers = new Map<number, number>()
  readonly #orphans: readonly number[]

  constructor(references: References) {
    this.#references = references
    this.#orphans = references.orphans
  }

  batch(key: SessionKey, first: number): void {
    const firsts = this.#batches.get(key) ?? new Set()
    if (firsts.has(first)) return
    this.#batches.set(key, firsts.add(first))
    for (const number of this.#references.batch(key, first)) {
      this.#numbers.set(number, (this.#numbers.get(number) ?? 0) + 1)
    }
  }

  session(key: SessionKey): void {
    for (const first of this.#references.batchesOf(key)) this.batch(key, first)
  }

  /** Messages that nobody refers to once these batches are gone. */
  get messages(): number[] {
    if (!this.#references.isComplete) return []
    const unreferred = [...this.#numbers].filter(([number, times]) => this.#references.count(number) <= times)
    return [...this.#orphans, ...unreferred.map(([number]) => number)]
  }

  /** The commit is durable. */
  apply(): void {
    this.#references.drop(this.#batches, this.#numbers)
    this.#references.forgetOrphans(this.#orphans)
  }
}
