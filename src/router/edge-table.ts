/**
 * The edges of a {@link LevelTrie} with a literal level: an open-addressing hash table in one typed
 * array, so that a million of them are nothing to the garbage collector.
 *
 *     slots: | hash, node | hash, node | 0, 0 | hash, node | …      node 0: the slot is free
 *
 * The table knows only hashes; its user compares the level's text. Linear probing keeps a look-up
 * in one or two cache lines, and the stored hash spares it the nodes that are not meant. Removal
 * moves later entries back, so there are no tombstones to clean up after churn.
 */

const INITIAL_SLOTS = 16
/** Part of the slots in use above which the table doubles: 5/8 keeps runs short at 8 bytes a slot. */
const MAX_LOAD = 0.625
/** A longer run does not happen by chance at this load: somebody knows the hash seed. */
const MAX_PROBES = 512

export class EdgeTable {
  /** Pairs of hash and node. Replaced when the table grows: read it afresh after every insertion. */
  slots = new Int32Array(INITIAL_SLOTS * 2)
  /** Number of slots minus one; the home of a hash is `hash & mask`. */
  mask = INITIAL_SLOTS - 1
  #count = 0

  /** Adds an edge that is not in the table; false when its run is so long that the seed must change. */
  insert(hash: number, node: number): boolean {
    if (this.#count + 1 > (this.mask + 1) * MAX_LOAD) this.#grow()
    this.#count += 1
    return this.#place(hash, node) <= MAX_PROBES
  }

  /** Makes the edge to `from` lead to `to`. */
  redirect(hash: number, from: number, to: number): void {
    const at = this.#indexOf(hash, from)
    this.slots[at * 2 + 1] = to
  }

  remove(hash: number, node: number): void {
    const { slots, mask } = this
    let hole = this.#indexOf(hash, node)
    this.#count -= 1
    for (let at = (hole + 1) & mask; slots[at * 2 + 1] !== 0; at = (at + 1) & mask) {
      const home = (slots[at * 2] as number) & mask
      // An entry may move back into the hole unless its home lies behind the hole.
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        slots[hole * 2] = slots[at * 2] as number
        slots[hole * 2 + 1] = slots[at * 2 + 1] as number
        hole = at
      }
    }
    slots[hole * 2] = 0
    slots[hole * 2 + 1] = 0
  }

  /** Empties the table and keeps its size: the user fills it again under a new seed. */
  clear(): void {
    this.slots.fill(0)
    this.#count = 0
  }

  #indexOf(hash: number, node: number): number {
    const { slots, mask } = this
    let at = hash & mask
    while (slots[at * 2 + 1] !== node) at = (at + 1) & mask
    return at
  }

  #place(hash: number, node: number): number {
    const { slots, mask } = this
    let at = hash & mask
    let probes = 1
    while (slots[at * 2 + 1] !== 0) {
      at = (at + 1) & mask
      probes += 1
    }
    slots[at * 2] = hash
    slots[at * 2 + 1] = node
    return probes
  }

  #grow(): void {
    const old = this.slots
    this.slots = new Int32Array(old.length * 2)
    this.mask = this.mask * 2 + 1
    for (let at = 0; at < old.length; at += 2) {
      const node = old[at + 1] as number
      if (node !== 0) this.#place(old[at] as number, node)
    }
  }
}
