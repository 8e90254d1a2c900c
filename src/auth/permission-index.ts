import { ALL_BITS } from './permission.ts'

/*
 * A topic's rights in one number: what is allowed in bits 0 … 11, what is denied in bits 12 … 23.
 */
const DENY_SHIFT = 12
const DENIES = ALL_BITS << DENY_SHIFT

/** What may be done where `rights` were found: a denial wins. */
export function permitted(rights: number): number {
  return rights & ~(rights >>> DENY_SHIFT) & ALL_BITS
}

/** A rule as the index takes it: a level is its text, `+`, or the number of a value of the session. */
export interface IndexedRule {
  readonly levels: readonly (string | number)[]
  readonly rest: boolean
  readonly effect: 'allow' | 'deny'
  readonly bits: number
}

/** Children by the text of their level, found without cutting that text out of a topic. */
class Children {
  /** As many places as a power of two, at most half of them taken. */
  #labels: (string | undefined)[] = Array.from({ length: 4 })
  #nodes: (Node | undefined)[] = Array.from({ length: 4 })
  #size = 0

  /** The node of the level `text[start, end)`, whose hash is `hash`. */
  find(text: string, start: number, end: number, hash: number): Node | undefined {
    const labels = this.#labels
    const mask = labels.length - 1
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const label = labels[at]
      if (label === undefined) return undefined
      if (label.length === end - start && text.startsWith(label, start)) return this.#nodes[at]
    }
  }

  ensure(label: string): Node {
    const known = this.find(label, 0, label.length, hashOf(label))
    if (known !== undefined) return known
    if ((this.#size + 1) * 2 > this.#labels.length) this.#grow()
    const made = new Node()
    this.#put(label, made)
    return made
  }

  #put(label: string, node: Node): void {
    const mask = this.#labels.length - 1
    let at = hashOf(label) & mask
    while (this.#labels[at] !== undefined) at = (at + 1) & mask
    this.#labels[at] = label
    this.#nodes[at] = node
    this.#size += 1
  }

  #grow(): void {
    const labels = this.#labels
    const nodes = this.#nodes
    this.#labels = Array.from({ length: labels.length * 2 })
    this.#nodes = Array.from({ length: labels.length * 2 })
    this.#size = 0
    for (const [at, label] of labels.entries()) if (label !== undefined) this.#put(label, nodes[at]!)
  }
}

/** Labels come from the configuration, so nobody can choose them to collide. */
const HASH_START = 0x811c9dc5

function hashStep(hash: number, unit: number): number {
  const next = Math.imul(hash ^ unit, 0x01000193)
  return next ^ (next >>> 15)
}

function hashOf(label: string): number {
  let hash = HASH_START
  for (let at = 0; at < label.length; at += 1) hash = hashStep(hash, label.charCodeAt(at))
  return hash
}

class Node {
  /** All rights that this node and those below it give. */
  below = 0
  /** Rights of topics that end here. */
  end = 0
  /** Rights of topics that end here or go on. */
  rest = 0
  children: Children | undefined = undefined
  any: Node | undefined = undefined
  /** By the number of the value that the level is to equal. */
  slots: number[] | undefined = undefined
  slotNodes: Node[] | undefined = undefined
}

const DOLLAR = 0x24
const SLASH = 0x2f

/**
 * Finds what a set of permissions says about a topic: a trie of their levels in which every node
 * keeps the rights of all permissions that end there as one number. A topic visits a node at most once, and
 * passes over a branch that has nothing to add to what was found: who may do everything somewhere is not
 * looked up in the permissions about everywhere.
 */
export class PermissionIndex {
  readonly #root = new Node()

  constructor(rules: Iterable<IndexedRule>) {
    for (const rule of rules) this.#add(rule)
  }

  #add({ levels, rest, effect, bits }: IndexedRule): void {
    const rights = effect === 'allow' ? bits : bits << DENY_SHIFT
    let node = this.#root
    node.below |= rights
    for (const level of levels) {
      node = childFor(node, level)
      node.below |= rights
    }
    if (rest) node.rest |= rights
    else node.end |= rights
  }

  /**
   * `known` with the rights at a valid topic name added to it, by the session's values; one that could not be bound
   * is undefined.
   */
  rightsAt(topic: string, values: readonly (string | undefined)[], known: number): number {
    return (this.#root.below & ~known) === 0 ? known : rightsFrom(this.#root, topic, 0, values, known)
  }
}

function childFor(node: Node, level: string | number): Node {
  if (typeof level === 'number') {
    const slots = (node.slots ??= [])
    const slotNodes = (node.slotNodes ??= [])
    const at = slots.indexOf(level)
    if (at >= 0) return slotNodes[at]!
    slots.push(level)
    const made = new Node()
    slotNodes.push(made)
    return made
  }
  if (level === '+') return (node.any ??= new Node())
  return (node.children ??= new Children()).ensure(level)
}

/** `start` is where the next level begins; behind the end when there is none. */
function rightsFrom(
  node: Node,
  topic: string,
  start: number,
  values: readonly (string | undefined)[],
  known: number,
): number {
  if (start > topic.length) return known | node.end | node.rest
  let rights = known | node.rest
  if ((node.below & ~rights) === 0) return rights
  const { children, any, slots } = node
  let hash = HASH_START
  let end = start
  for (; end < topic.length; end += 1) {
    const unit = topic.charCodeAt(end)
    if (unit === SLASH) break
    hash = hashStep(hash, unit)
  }
  if (children !== undefined) {
    const child = children.find(topic, start, end, hash)
    if (child !== undefined && (child.below & ~rights) !== 0) rights = rightsFrom(child, topic, end + 1, values, rights)
  }
  if (slots !== undefined) {
    for (let i = 0; i < slots.length; i += 1) {
      const next = node.slotNodes![i]!
      if ((next.below & ~rights) === 0) continue
      const value = values[slots[i]!]
      // Without a value nothing is allowed, and whatever stands there may be what is denied.
      if (value === undefined) rights |= rightsFrom(next, topic, end + 1, values, 0) & DENIES
      else if (end - start === value.length && topic.startsWith(value, start))
        rights = rightsFrom(next, topic, end + 1, values, rights)
    }
  }
  // MQTT-4.7.2-1
  if (any !== undefined && (any.below & ~rights) !== 0 && (start > 0 || topic.charCodeAt(0) !== DOLLAR))
    rights = rightsFrom(any, topic, end + 1, values, rights)
  return rights
}
