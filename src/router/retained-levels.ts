import { ROOT, type LevelTrie } from './level-trie.ts'

/** Whether topics go on below some levels; what is retained at them is `RetainedStore.get`'s to say. */
export interface RetainedLevel {
  readonly hasChildren: boolean
}

/** Where levels end: at a node, or within its label, and then with what is left of that. */
interface Place {
  readonly node: number
  readonly rest: readonly string[]
}

function placeOf(trie: LevelTrie, levels: readonly string[]): Place | undefined {
  let node = ROOT
  let at = 0
  while (at < levels.length) {
    const child = trie.childByLevel(node, levels[at]!)
    if (child === 0) return undefined
    const label = trie.labelOf(child).split('/')
    for (const [index, level] of label.entries()) {
      if (at === levels.length) return { node: child, rest: label.slice(index) }
      if (level !== levels[at]) return undefined
      at += 1
    }
    node = child
  }
  return { node, rest: [] }
}

export function levelOf(trie: LevelTrie, topic: string): RetainedLevel {
  const place = placeOf(trie, topic.split('/'))
  return { hasChildren: place !== undefined && (place.rest.length > 0 || trie.firstChild(place.node) !== 0) }
}

/**
 * Reads the levels right below others, each once and in no order, while topics come and go between the
 * calls: it pins its place, as `RetainedCursor` does. A level may be gone by the time that it is looked at.
 */
export class RetainedLevels {
  readonly #trie: LevelTrie
  readonly #start: number
  /** The child that is read next; 0: there is none. */
  #next = 0
  /** The only level below, where the path ends within a label. */
  #only: string | undefined
  #done = false

  /** Made by `RetainedStore.levels`. */
  constructor(trie: LevelTrie, under: string | undefined) {
    this.#trie = trie
    const place = placeOf(trie, under === undefined ? [] : under.split('/'))
    this.#only = place?.rest[0]
    this.#start = place?.node ?? ROOT
    trie.pin(this.#start)
    if (place !== undefined && this.#only === undefined) this.#rest(trie.firstChild(this.#start))
  }

  /** Appends up to `max` levels to `into`. True: that was the end. */
  read(into: string[], max: number): boolean {
    if (this.#done) return true
    if (this.#only !== undefined) {
      into.push(this.#only)
      this.close()
      return true
    }
    const trie = this.#trie
    const rested = this.#next
    let node = this.#top(rested)
    for (let count = 0; node !== 0 && count < max; count += 1) {
      const label = trie.labelOf(node)
      const slash = label.indexOf('/')
      into.push(slash < 0 ? label : label.slice(0, slash))
      node = trie.nextSibling(node)
    }
    this.#rest(node)
    this.#leave(rested)
    if (node !== 0) return false
    this.close()
    return true
  }

  /** Gives up the rest. Harmless after the end. */
  close(): void {
    if (this.#done) return
    this.#done = true
    this.#leave(this.#next)
    this.#trie.unpin(this.#start)
    this.#trie.release(this.#start)
  }

  #rest(node: number): void {
    this.#next = node
    if (node !== 0) this.#trie.pin(node)
  }

  #leave(node: number): void {
    if (node === 0) return
    this.#trie.unpin(node)
    this.#trie.release(node)
  }

  /** A node that was split meanwhile has the upper half of its label above it. */
  #top(node: number): number {
    let top = node
    while (top !== 0 && this.#trie.parentOf(top) !== this.#start) top = this.#trie.parentOf(top)
    return top
  }
}
