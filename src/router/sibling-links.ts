const FIRST = 0
const NEXT = 1
const PREVIOUS = 2
const PINS = 3
const STRIDE = 4

/**
 * Lists of children for a trie that is enumerated, and pins that keep a node in its place while a
 * cursor rests on it. Node 0 is nobody's sibling, so 0 ends a list.
 */
export class SiblingLinks {
  #links = new Int32Array(16 * STRIDE)

  get byteLength(): number {
    return this.#links.byteLength
  }

  /** The youngest child of `parent`; 0: none. */
  first(parent: number): number {
    return this.#links[parent * STRIDE + FIRST] as number
  }

  /** The next older sibling; 0: none. */
  next(node: number): number {
    return this.#links[node * STRIDE + NEXT] as number
  }

  /**
   * Puts a child in front of its siblings. New nodes always go there, so a cursor, which moves
   * towards older ones, never meets a topic again that was removed and added behind its back.
   */
  addYoungest(node: number, parent: number): void {
    this.#makeRoom(node)
    const links = this.#links
    const second = links[parent * STRIDE + FIRST] as number
    links[node * STRIDE + NEXT] = second
    links[node * STRIDE + PREVIOUS] = 0
    if (second !== 0) links[second * STRIDE + PREVIOUS] = node
    links[parent * STRIDE + FIRST] = node
  }

  /** Gives `upper`, a new node, the place of `node` under `parent`, and makes `node` its only child. */
  insertAbove(node: number, upper: number, parent: number): void {
    this.#makeRoom(upper)
    const links = this.#links
    const next = links[node * STRIDE + NEXT] as number
    const previous = links[node * STRIDE + PREVIOUS] as number
    links[upper * STRIDE + NEXT] = next
    links[upper * STRIDE + PREVIOUS] = previous
    if (next !== 0) links[next * STRIDE + PREVIOUS] = upper
    if (previous === 0) links[parent * STRIDE + FIRST] = upper
    else links[previous * STRIDE + NEXT] = upper
    links[upper * STRIDE + FIRST] = node
    links[node * STRIDE + NEXT] = 0
    links[node * STRIDE + PREVIOUS] = 0
  }

  remove(node: number, parent: number): void {
    const links = this.#links
    const next = links[node * STRIDE + NEXT] as number
    const previous = links[node * STRIDE + PREVIOUS] as number
    if (next !== 0) links[next * STRIDE + PREVIOUS] = previous
    if (previous === 0) links[parent * STRIDE + FIRST] = next
    else links[previous * STRIDE + NEXT] = next
    links.fill(0, node * STRIDE, (node + 1) * STRIDE)
  }

  isPinned(node: number): boolean {
    return this.#links[node * STRIDE + PINS] !== 0
  }

  pin(node: number): void {
    this.#links[node * STRIDE + PINS]! += 1
  }

  unpin(node: number): void {
    this.#links[node * STRIDE + PINS]! -= 1
  }

  #makeRoom(node: number): void {
    if ((node + 1) * STRIDE <= this.#links.length) return
    const larger = new Int32Array(this.#links.length * 2)
    larger.set(this.#links)
    this.#links = larger
  }
}
