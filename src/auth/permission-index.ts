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

class Node {
  /** Rights of topics that end here. */
  end = 0
  /** Rights of topics that end here or go on. */
  rest = 0
  children: Map<string, Node> | undefined = undefined
  any: Node | undefined = undefined
  /** By the number of the value that the level is to equal. */
  slots: number[] | undefined = undefined
  slotNodes: Node[] | undefined = undefined
}

const DOLLAR = 0x24

/**
 * Finds what a set of permissions says about a topic: a trie of their levels in which every node
 * keeps the rights of all permissions that end there as one number. A topic visits a node at most once.
 */
export class PermissionIndex {
  readonly #root = new Node()

  constructor(rules: Iterable<IndexedRule>) {
    for (const rule of rules) this.#add(rule)
  }

  #add({ levels, rest, effect, bits }: IndexedRule): void {
    let node = this.#root
    for (const level of levels) node = childFor(node, level)
    const rights = effect === 'allow' ? bits : bits << DENY_SHIFT
    if (rest) node.rest |= rights
    else node.end |= rights
  }

  /** The rights at a valid topic name, with the session's values; one that could not be bound is undefined. */
  rightsAt(topic: string, values: readonly (string | undefined)[]): number {
    return rightsFrom(this.#root, topic, 0, values)
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
  const children = (node.children ??= new Map<string, Node>())
  let child = children.get(level)
  if (child === undefined) children.set(level, (child = new Node()))
  return child
}

/** `start` is where the next level begins; behind the end when there is none. */
function rightsFrom(node: Node, topic: string, start: number, values: readonly (string | undefined)[]): number {
  if (start > topic.length) return node.end | node.rest
  let rights = node.rest
  const { children, any, slots } = node
  if (children === undefined && any === undefined && slots === undefined) return rights
  const slash = topic.indexOf('/', start)
  const end = slash < 0 ? topic.length : slash
  // MQTT-4.7.2-1
  if (any !== undefined && (start > 0 || topic.charCodeAt(0) !== DOLLAR))
    rights |= rightsFrom(any, topic, end + 1, values)
  if (children !== undefined) {
    const child = children.get(topic.slice(start, end))
    if (child !== undefined) rights |= rightsFrom(child, topic, end + 1, values)
  }
  if (slots !== undefined) {
    for (let i = 0; i < slots.length; i += 1) {
      const value = values[slots[i]!]
      // Without a value nothing is allowed, and whatever stands there may be what is denied.
      if (value === undefined) rights |= rightsFrom(node.slotNodes![i]!, topic, end + 1, values) & DENIES
      else if (end - start === value.length && topic.startsWith(value, start))
        rights |= rightsFrom(node.slotNodes![i]!, topic, end + 1, values)
    }
  }
  return rights
}
