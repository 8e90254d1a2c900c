/** Random 32-bit integers: the seeds of a hash. */
export type Random32 = () => number

const SLASH_UNIT = 0x2f

function secureRandom32(): number {
  return crypto.getRandomValues(new Int32Array(1))[0] as number
}

/**
 * Hashes of topic levels and of the edges of a trie, seeded at random: a publisher who doesn't know
 * the seeds can't choose levels that collide. A multiplication by a secret spreads each difference
 * upwards and the shift brings it back down, so no fixed pair of texts collides under every seed.
 */
export class LevelHash {
  /** After {@link measure}: where each level of the topic starts, and one entry behind the last level. */
  starts = new Int32Array(130)
  /** After {@link measure}: the hash of each level. */
  hashes = new Int32Array(130)
  #multiplier = 0
  #seed = 0
  #parentMultiplier = 0
  readonly #random32: Random32

  constructor(random32: Random32 = secureRandom32) {
    this.#random32 = random32
    this.reseed()
  }

  /** Chooses other seeds: every hash given out before is void. */
  reseed(): void {
    this.#multiplier = this.#random32() | 1
    this.#seed = this.#random32() | 0
    this.#parentMultiplier = this.#random32() | 1
  }

  /** The hash of the level `path[at, stop)`. */
  ofLevel(path: string, at: number, stop: number): number {
    let hash = this.#seed
    for (let unit = at; unit < stop; unit += 1) {
      hash = Math.imul(hash ^ path.charCodeAt(unit), this.#multiplier)
      hash ^= hash >>> 15
    }
    return hash
  }

  /** The hash of the first level of `text[at, end)`. */
  ofFirstLevel(text: Uint16Array, at: number, end: number): number {
    let hash = this.#seed
    for (let unit = at; unit < end && text[unit] !== SLASH_UNIT; unit += 1) {
      hash = Math.imul(hash ^ (text[unit] as number), this.#multiplier)
      hash ^= hash >>> 15
    }
    return hash
  }

  /**
   * The hash of the edge from a node to its child whose first level has the hash `levelHash`. For one
   * level no two parents have the same one, since every step can be undone: whoever finds this hash
   * and compares the level need not compare the parent.
   */
  ofEdge(parent: number, levelHash: number): number {
    const hash = Math.imul(levelHash ^ Math.imul(parent, this.#parentMultiplier), this.#multiplier)
    return hash ^ (hash >>> 15)
  }

  /** Fills `starts` and `hashes` for `topic` in one pass; returns how many levels it has. */
  measure(topic: string): number {
    const multiplier = this.#multiplier
    const seed = this.#seed
    let level = 0
    let hash = seed
    this.starts[0] = 0
    for (let at = 0; at < topic.length; at += 1) {
      const unit = topic.charCodeAt(at)
      if (unit !== SLASH_UNIT) {
        hash = Math.imul(hash ^ unit, multiplier)
        hash ^= hash >>> 15
        continue
      }
      this.hashes[level] = hash
      hash = seed
      level += 1
      if (level + 2 > this.starts.length) this.#grow()
      this.starts[level] = at + 1
    }
    this.hashes[level] = hash
    this.starts[level + 1] = topic.length + 1
    return level + 1
  }

  #grow(): void {
    const { starts, hashes } = this
    this.starts = new Int32Array(starts.length * 2)
    this.starts.set(starts)
    this.hashes = new Int32Array(hashes.length * 2)
    this.hashes.set(hashes)
  }
}
