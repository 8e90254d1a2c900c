import { EdgeTable } from './edge-table.ts'
import { LabelText } from './label-text.ts'
import { LevelHash } from './level-hash.ts'
import type { Random32 } from './level-hash.ts'
import { SiblingLinks } from './sibling-links.ts'

/**
 * A trie over the levels of topics and filters that lives in typed arrays: nodes are integers, and
 * so are the values that they carry. A million nodes cost the garbage collector nothing.
 *
 *     filters              nodes (label)                       fields of one node (8 × int32)
 *     s/1/d/7/+/state      root ── s/1/d ─┬─ 7/+/state         parent   text   length   levels
 *     s/1/d/8/#                           └─ 8  (rest)         plus     value  rest     children
 *
 * A label holds one or more levels, so a path without branches costs one node. Its text lies in one
 * array of UTF-16 units, where the topic's own units are compared in place: matching makes no
 * substring and no object. The child whose label starts with `+` hangs on `plus`; the others are
 * found in one hash table by their parent and first level. `value` is that of the path itself,
 * `rest` that of the path followed by `/#`.
 */

/** The node of the empty path. It is nobody's child, so 0 also stands for "no node". */
export const ROOT = 0

const PARENT = 0
/** Where the label starts; -1 in a freed node, whose PARENT is the next free one. */
const TEXT = 1
/** Units of the label. */
const LENGTH = 2
/** Levels of the label. */
const LEVELS = 3
const PLUS = 4
const VALUE = 5
const REST = 6
const CHILDREN = 7
const STRIDE = 8

const PLUS_UNIT = 0x2b
const DOLLAR_UNIT = 0x24
const INITIAL_NODES = 16

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2)
  larger.set(array)
  return larger
}

/** Where the level that starts at `at` ends, in `path[0, end)`. */
function levelEnd(path: string, at: number, end: number): number {
  const slash = path.indexOf('/', at)
  return slash < 0 || slash > end ? end : slash
}

export class LevelTrie {
  /** After {@link match}: the values found, from index 0 on. */
  hits = new Int32Array(64)
  #nodes = new Int32Array(INITIAL_NODES * STRIDE)
  readonly #text = new LabelText()
  readonly #edges = new EdgeTable()
  readonly #hash: LevelHash
  readonly #links: SiblingLinks | undefined
  /** Nodes ever made, freed ones included: the next one to make. */
  #nodeEnd = 1
  #freeNode = 0
  #freeCount = 0
  /** Pairs of node and levels consumed. A walk never has more than one waiting pair per level. */
  #stack = new Int32Array(264)

  /** `enumerable` keeps lists of children, for {@link firstChild} and {@link nextSibling}. */
  constructor(options: { readonly enumerable?: boolean; readonly random32?: Random32 | undefined } = {}) {
    this.#links = options.enumerable ? new SiblingLinks() : undefined
    this.#hash = new LevelHash(options.random32)
  }

  /** Nodes and text units in use, and bytes of the arrays that grow with them. */
  get usage(): { readonly nodes: number; readonly textUnits: number; readonly capacityBytes: number } {
    const nodeBytes = this.#nodes.byteLength + (this.#links?.byteLength ?? 0)
    const capacityBytes = nodeBytes + this.#text.units.byteLength + this.#edges.slots.byteLength
    return { nodes: this.#nodeEnd - this.#freeCount, textUnits: this.#text.used, capacityBytes }
  }

  /** The value of the path of `node`, or with `rest` that of the path followed by `/#`; 0: none. */
  valueOf(node: number, rest: boolean): number {
    return this.#nodes[node * STRIDE + (rest ? REST : VALUE)] as number
  }

  /** Sets a value from 1 on. After setting 0 the caller calls {@link release}. */
  setValue(node: number, rest: boolean, value: number): void {
    this.#nodes[node * STRIDE + (rest ? REST : VALUE)] = value
  }

  /** The node of the path `path[0, end)`, or -1; with `orBelow` any that it leads to. An `end` of -1 means the root: no level at all. */
  find(path: string, end: number, orBelow = false): number {
    let node = ROOT
    let at = 0
    while (at <= end) {
      const child = this.#child(node, path, at, levelEnd(path, at, end))
      if (child === 0) return -1
      const common = this.#commonUnits(child, path, at, end)
      at += common + 1
      if (common !== this.#nodes[child * STRIDE + LENGTH] && !(orBelow && at > end)) return -1
      node = child
    }
    return node
  }

  /** Like {@link find}, and makes the node if it does not exist. It stays until it is released. */
  ensure(path: string, end: number): number {
    let node = ROOT
    let at = 0
    while (at <= end) {
      const child = this.#child(node, path, at, levelEnd(path, at, end))
      if (child === 0) return this.#addLeaf(node, path, at, end)
      const common = this.#commonUnits(child, path, at, end)
      node = common === this.#nodes[child * STRIDE + LENGTH] ? child : this.#split(child, common)
      at += common + 1
    }
    return node
  }

  /** Frees `node` and its ancestors as far as they carry nothing any more. */
  release(node: number): void {
    let empty = node
    while (empty !== ROOT && this.#isEmpty(empty)) {
      const parent = this.parentOf(empty)
      this.#detach(empty)
      const base = empty * STRIDE
      this.#text.discard(this.#nodes[base + LENGTH] as number)
      this.#nodes.fill(0, base, base + STRIDE)
      this.#nodes[base + PARENT] = this.#freeNode
      this.#nodes[base + TEXT] = -1
      this.#freeNode = empty
      this.#freeCount += 1
      empty = parent
    }
  }

  /**
   * Finds the values of all paths that match `topic` when they are read as filters, each once. They
   * are in `hits`; the result says how many. The walk is depth first over existing nodes only.
   */
  match(topic: string): number {
    const levels = this.#hash.measure(topic)
    while (this.#stack.length < levels * 2 + 2) this.#stack = doubled(this.#stack)
    const nodes = this.#nodes
    const stack = this.#stack
    const reserved = topic.charCodeAt(0) === DOLLAR_UNIT
    let found = 0
    let waiting = 1
    stack[0] = ROOT
    stack[1] = 0
    while (waiting > 0) {
      waiting -= 1
      const node = stack[waiting * 2] as number
      const level = stack[waiting * 2 + 1] as number
      const base = node * STRIDE
      // MQTT-4.7.2-1
      const closed = reserved && node === ROOT
      if (found + 2 > this.hits.length) this.hits = doubled(this.hits)
      const rest = nodes[base + REST] as number
      if (rest !== 0 && !closed) this.hits[found++] = rest
      if (level === levels) {
        const value = nodes[base + VALUE] as number
        if (value !== 0) this.hits[found++] = value
        continue
      }
      const plus = nodes[base + PLUS] as number
      if (plus !== 0 && !closed) {
        const reached = this.#passLabel(plus, topic, level, levels)
        if (reached !== 0) {
          stack[waiting * 2] = plus
          stack[waiting * 2 + 1] = reached
          waiting += 1
        }
      }
      if ((nodes[base + CHILDREN] as number) === (plus === 0 ? 0 : 1)) continue
      // The probe reads the table directly: this loop is what a match at a million filters costs.
      const hash = this.#hash.ofEdge(node, this.#hash.hashes[level] as number)
      const { slots, mask } = this.#edges
      for (let at = hash & mask; slots[at * 2 + 1] !== 0; at = (at + 1) & mask) {
        if (slots[at * 2] !== hash) continue
        const child = slots[at * 2 + 1] as number
        const reached = this.#passLabel(child, topic, level, levels)
        if (reached === 0) continue
        stack[waiting * 2] = child
        stack[waiting * 2 + 1] = reached
        waiting += 1
        break
      }
    }
    return found
  }

  parentOf(node: number): number {
    return this.#nodes[node * STRIDE + PARENT] as number
  }

  /** Levels of the label of `node`. */
  levelsOf(node: number): number {
    return this.#nodes[node * STRIDE + LEVELS] as number
  }

  /** The label of `node`: levels with `/` between them. */
  labelOf(node: number): string {
    const start = this.#nodes[node * STRIDE + TEXT] as number
    return this.#text.read(start, this.#nodes[node * STRIDE + LENGTH] as number)
  }

  /** The child whose label starts with this level, whatever follows it; 0: none. */
  childByLevel(node: number, level: string): number {
    return this.#child(node, level, 0, level.length)
  }

  /** The youngest child; 0: none. Of an enumerable trie only, like the three calls after it. */
  firstChild(node: number): number {
    return this.#links?.first(node) ?? 0
  }

  /** The next older child of the same parent; 0: none. */
  nextSibling(node: number): number {
    return this.#links?.next(node) ?? 0
  }

  /** Keeps the node, even without any value, until it is unpinned as often. */
  pin(node: number): void {
    this.#links?.pin(node)
  }

  /** Takes a pin back. The caller then calls {@link release}. */
  unpin(node: number): void {
    this.#links?.unpin(node)
  }

  /**
   * Whether the label of `node`, read as levels of a topic, agrees with `filter` from its level
   * `from` on. A label longer than the filter agrees only below a `#`.
   */
  labelAgrees(node: number, filter: readonly string[], from: number): boolean {
    const base = node * STRIDE
    return this.#text.agreesWithFilter(
      this.#nodes[base + TEXT] as number,
      this.#nodes[base + LENGTH] as number,
      filter,
      from,
    )
  }

  /** The hash of the edge that leads from `parent` to a node with the label of `node`. */
  #hashOfEdgeTo(node: number, parent: number): number {
    const start = this.#nodes[node * STRIDE + TEXT] as number
    const end = start + (this.#nodes[node * STRIDE + LENGTH] as number)
    return this.#hash.ofEdge(parent, this.#hash.ofFirstLevel(this.#text.units, start, end))
  }

  /** How many levels of `topic` are consumed once the label of `node` is, from `level` on; 0: it differs. */
  #passLabel(node: number, topic: string, level: number, levels: number): number {
    const start = this.#nodes[node * STRIDE + TEXT] as number
    const length = this.#nodes[node * STRIDE + LENGTH] as number
    return this.#text.passTopic(start, length, topic, this.#hash.starts, level, levels)
  }

  #child(node: number, path: string, at: number, stop: number): number {
    if (stop - at === 1 && path.charCodeAt(at) === PLUS_UNIT) return this.#nodes[node * STRIDE + PLUS] as number
    const hash = this.#hash.ofEdge(node, this.#hash.ofLevel(path, at, stop))
    const { slots, mask } = this.#edges
    for (let slot = hash & mask; slots[slot * 2 + 1] !== 0; slot = (slot + 1) & mask) {
      if (slots[slot * 2] !== hash) continue
      const child = slots[slot * 2 + 1] as number
      if (this.#startsWithLevel(child, path, at, stop)) return child
    }
    return 0
  }

  #startsWithLevel(node: number, path: string, at: number, stop: number): boolean {
    const base = node * STRIDE
    const length = this.#nodes[base + LENGTH] as number
    return this.#text.startsWithLevel(this.#nodes[base + TEXT] as number, length, path, at, stop)
  }

  #commonUnits(node: number, path: string, at: number, end: number): number {
    const base = node * STRIDE
    return this.#text.commonUnits(
      this.#nodes[base + TEXT] as number,
      this.#nodes[base + LENGTH] as number,
      path,
      at,
      end,
    )
  }

  #addLeaf(parent: number, path: string, at: number, end: number): number {
    if (!this.#text.fits(end - at)) this.#makeTextRoom(end - at)
    const start = this.#text.append(path, at, end)
    const node = this.#newNode(start, end - at)
    this.#attach(node, parent)
    this.#links?.addYoungest(node, parent)
    return node
  }

  /** Puts a node with the first `common` units of the label above `node`, which keeps its number. */
  #split(node: number, common: number): number {
    const parent = this.parentOf(node)
    const start = this.#nodes[node * STRIDE + TEXT] as number
    const upper = this.#newNode(start, common)
    const nodes = this.#nodes
    const base = node * STRIDE
    nodes[upper * STRIDE + PARENT] = parent
    if (nodes[parent * STRIDE + PLUS] === node) nodes[parent * STRIDE + PLUS] = upper
    else this.#edges.redirect(this.#hashOfEdgeTo(node, parent), node, upper)
    this.#links?.insertAbove(node, upper, parent)
    nodes[base + TEXT] = start + common + 1
    nodes[base + LENGTH]! -= common + 1
    nodes[base + LEVELS]! -= nodes[upper * STRIDE + LEVELS] as number
    this.#text.discard(1)
    this.#attach(node, upper)
    return upper
  }

  #newNode(text: number, length: number): number {
    let node = this.#freeNode
    if (node !== 0) {
      this.#freeNode = this.parentOf(node)
      this.#freeCount -= 1
    } else {
      node = this.#nodeEnd
      this.#nodeEnd += 1
      if (this.#nodeEnd * STRIDE > this.#nodes.length) this.#growNodes()
    }
    const base = node * STRIDE
    this.#nodes.fill(0, base, base + STRIDE)
    this.#nodes[base + TEXT] = text
    this.#nodes[base + LENGTH] = length
    this.#nodes[base + LEVELS] = this.#text.countLevels(text, length)
    return node
  }

  /** By half, not by doubling: at a million nodes the difference is megabytes. */
  #growNodes(): void {
    const nodes = new Int32Array(Math.ceil(this.#nodeEnd * 1.5) * STRIDE)
    nodes.set(this.#nodes)
    this.#nodes = nodes
  }

  #startsWithPlus(node: number): boolean {
    const base = node * STRIDE
    return this.#text.startsWithPlus(this.#nodes[base + TEXT] as number, this.#nodes[base + LENGTH] as number)
  }

  #attach(node: number, parent: number): void {
    this.#nodes[node * STRIDE + PARENT] = parent
    this.#nodes[parent * STRIDE + CHILDREN]! += 1
    if (this.#startsWithPlus(node)) this.#nodes[parent * STRIDE + PLUS] = node
    else if (!this.#edges.insert(this.#hashOfEdgeTo(node, parent), node)) this.#reseed()
  }

  #detach(node: number): void {
    const parent = this.parentOf(node)
    this.#nodes[parent * STRIDE + CHILDREN]! -= 1
    if (this.#nodes[parent * STRIDE + PLUS] === node) this.#nodes[parent * STRIDE + PLUS] = 0
    else this.#edges.remove(this.#hashOfEdgeTo(node, parent), node)
    this.#links?.remove(node, parent)
  }

  #isEmpty(node: number): boolean {
    const base = node * STRIDE
    const carries = this.#nodes[base + VALUE] !== 0 || this.#nodes[base + REST] !== 0
    return !carries && this.#nodes[base + CHILDREN] === 0 && !this.#links?.isPinned(node)
  }

  /** Too many edges share a place, which random seeds make next to impossible: start over with others. */
  #reseed(): void {
    this.#hash.reseed()
    this.#edges.clear()
    for (let node = 1; node < this.#nodeEnd; node += 1) {
      if (this.#nodes[node * STRIDE + TEXT] === -1 || this.#startsWithPlus(node)) continue
      this.#edges.insert(this.#hashOfEdgeTo(node, this.parentOf(node)), node)
    }
  }

  /**
   * Room for one more label: by moving the living ones together when they are less than half of the
   * text, else by growing it by half. So churn with ever new names costs a bounded amount of memory, and each
   * unit written pays for a bounded amount of moving.
   */
  #makeTextRoom(length: number): void {
    if (this.#text.isWasteful) {
      const old = this.#text.compact()
      for (let base = STRIDE; base < this.#nodeEnd * STRIDE; base += STRIDE) {
        const start = this.#nodes[base + TEXT] as number
        if (start !== -1) this.#nodes[base + TEXT] = this.#text.keep(old, start, this.#nodes[base + LENGTH] as number)
      }
    }
    if (!this.#text.fits(length)) this.#text.grow(length)
  }
}
