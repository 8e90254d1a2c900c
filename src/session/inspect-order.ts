/** How long what is done for somebody who looks may keep the event loop at once. */
const SLICE_MS = 5
/** Things that are sorted, merged or looked at between two looks at the clock. */
const STRIDE = 512
/** An order of fewer things is made anew each time. */
const MIN_KEPT = 1_000
/** So many times as long as it took to make, an order is used: looking costs a twentieth of one core at most. */
const KEPT_FACTOR = 20
const MAX_KEPT_MS = 10_000
/** Orders that are kept at once. */
const MAX_ORDERS = 4

/** Lets others have their turn, again and again. */
export class Slices {
  #endsAtMs = performance.now() + SLICE_MS
  #count = 0

  /** Called for every thing that is looked at; undefined where there is time left. */
  next(): Promise<void> | undefined {
    if (++this.#count % STRIDE !== 0) return undefined
    return this.over()
  }

  /** The same where what was done took its time. */
  over(): Promise<void> | undefined {
    if (performance.now() < this.#endsAtMs) return undefined
    return new Promise((resolve) => {
      setImmediate(() => {
        this.#endsAtMs = performance.now() + SLICE_MS
        resolve()
      })
    })
  }
}

/** Sorts by merging short runs, so that it can be left and gone on with: a hundred thousand hold up nobody. Stable. */
export async function sortInSlices<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number,
  slices: Slices,
): Promise<readonly T[]> {
  let runs: T[][] = []
  for (let at = 0; at < items.length; at += STRIDE) {
    runs.push(items.slice(at, at + STRIDE).sort(compare))
    const pause = slices.over()
    if (pause) await pause
  }
  while (runs.length > 1) {
    const merged: T[][] = []
    for (let at = 0; at < runs.length; at += 2) {
      const right = runs[at + 1]
      merged.push(right === undefined ? runs[at]! : await merge(runs[at]!, right, compare, slices))
    }
    runs = merged
  }
  return runs[0] ?? []
}

async function merge<T>(left: T[], right: T[], compare: (a: T, b: T) => number, slices: Slices): Promise<T[]> {
  const merged: T[] = []
  let at = 0
  for (const item of right) {
    while (at < left.length && compare(left[at]!, item) <= 0) {
      merged.push(left[at++]!)
      const pause = slices.next()
      if (pause) await pause
    }
    merged.push(item)
  }
  // One by one: as arguments of a call they may be too many.
  for (; at < left.length; at++) merged.push(left[at]!)
  return merged
}

interface Kept {
  readonly items: Promise<readonly unknown[]>
  timer: NodeJS.Timeout | undefined
}

/**
 * Orders of many things, each for as long as whoever scrolls through it wants to see the same one. They
 * are made one after the other, and those who ask for the same one meanwhile share it.
 */
export class Orders {
  readonly #kept = new Map<string, Kept>()
  #last: Promise<unknown> = Promise.resolve()

  /** `make` has a name that says what it makes; it rejects for everybody who waits for it. */
  get<T>(name: string, make: (slices: Slices) => Promise<readonly T[]>): Promise<readonly T[]> {
    const found = this.#kept.get(name)
    if (found) return found.items as Promise<readonly T[]>
    const items = this.#last.then(() => this.#make(name, make))
    this.#last = items.catch(() => {})
    this.#kept.set(name, { items, timer: undefined })
    return items
  }

  async #make<T>(name: string, make: (slices: Slices) => Promise<readonly T[]>): Promise<readonly T[]> {
    const startedAtMs = performance.now()
    let keptMs = 0
    try {
      const items = await make(new Slices())
      if (items.length >= MIN_KEPT) keptMs = Math.min(MAX_KEPT_MS, (performance.now() - startedAtMs) * KEPT_FACTOR)
      return items
    } finally {
      this.#keep(name, keptMs)
    }
  }

  #keep(name: string, keptMs: number): void {
    const kept = this.#kept.get(name)
    if (kept === undefined || keptMs === 0) return void this.#kept.delete(name)
    kept.timer = setTimeout(() => this.#kept.delete(name), keptMs).unref()
    for (const [other, { timer }] of this.#kept) {
      if (this.#kept.size <= MAX_ORDERS) break
      // One without a timer is being made.
      if (timer === undefined || other === name) continue
      clearTimeout(timer)
      this.#kept.delete(other)
    }
  }
}

/** Texts by their UTF-16 units: the same order everywhere. */
export function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** The first things of many, which need not all be made. */
export function firstOf<T>(items: Iterable<T>, max: number): T[] {
  const first: T[] = []
  for (const item of items) {
    if (first.length >= max) break
    first.push(item)
  }
  return first
}

/** A part of an order, as far as there is one. */
export function pageOf<T>(items: readonly T[], offset: number, limit: number): readonly T[] {
  return items.slice(offset, offset + limit)
}
