/** The sets of states that a step leaves and enters, by SCXML's algorithm as XState runs it, without history states. */
import type { AnyStateNode as Node, AnyTransitionDefinition as Transition } from 'xstate'

export function isLeaf({ type }: Node): boolean {
  return type === 'atomic' || type === 'final'
}

/** From its parent up, as far as `end`, which is not one of them. */
export function properAncestors(node: Node, end: Node | undefined): Node[] {
  const ancestors: Node[] = []
  if (node === end) return ancestors
  for (let parent = parentOf(node); parent && parent !== end; parent = parentOf(parent)) ancestors.push(parent)
  return ancestors
}

/** With its initial states all the way down. */
export function withInitialStates(node: Node, into = new Set<Node>()): Set<Node> {
  into.add(node)
  if (node.type === 'compound') withInitialStates(node.initial.target[0]!, into)
  if (node.type === 'parallel') for (const child of childrenOf(node)) withInitialStates(child, into)
  return into
}

/** The value of a snapshot in which these states are active. */
export function valueOf(node: Node, active: readonly Node[]): unknown {
  const children = active.filter((one) => one.parent === node)
  if (node.type === 'compound' && children[0] && isLeaf(children[0])) return children[0].key
  return Object.fromEntries(children.map((child) => [child.key, valueOf(child, active)]))
}

/** Of two transitions that leave the same state, the one from deeper inside. */
export function withoutConflicts(transitions: readonly Transition[], active: readonly Node[]): Transition[] {
  const kept = new Set<Transition>()
  for (const transition of transitions) {
    const left = exitSet([transition], active)
    const rivals = [...kept].filter((other) => exitSet([other], active).some((node) => left.includes(node)))
    if (rivals.some((other) => !isDescendant(sourceOf(transition), sourceOf(other)))) continue
    for (const other of rivals) kept.delete(other)
    kept.add(transition)
  }
  return [...kept]
}

export function exitSet(transitions: readonly Transition[], active: readonly Node[]): Node[] {
  const left = new Set<Node>()
  for (const transition of transitions) {
    if (targetsOf(transition).length === 0) continue
    const domain = domainOf(transition)
    if (transition.reenter && sourceOf(transition) === domain) left.add(domain)
    for (const node of active) if (isDescendant(node, domain)) left.add(node)
  }
  return [...left]
}

/** What is entered; `byDefault` are those whose initial transition is taken as well. */
export class EntrySet {
  readonly entered = new Set<Node>()
  readonly byDefault = new Set<Node>()

  constructor(transitions: readonly Transition[]) {
    for (const transition of transitions) this.#add(transition)
  }

  #add(transition: Transition): void {
    const domain = domainOf(transition)
    const source = sourceOf(transition)
    for (const target of targetsOf(transition)) {
      if (source !== target || source !== domain || transition.reenter) this.#enter(target)
      this.#addDescendants(target)
    }
    for (const target of targetsOf(transition)) {
      const ancestors = properAncestors(target, domain)
      if (domain?.type === 'parallel') ancestors.push(domain)
      this.#addAncestors(ancestors, !source.parent && transition.reenter ? undefined : domain)
    }
  }

  #enter(node: Node): void {
    this.entered.add(node)
    this.byDefault.add(node)
  }

  #addDescendants(node: Node): void {
    if (node.type === 'compound') {
      const initial = node.initial.target[0]!
      this.#enter(initial)
      this.#addDescendants(initial)
      this.#addAncestors(properAncestors(initial, node), undefined)
    } else if (node.type === 'parallel') {
      for (const child of this.#notEntered(node)) {
        this.#enter(child)
        this.#addDescendants(child)
      }
    }
  }

  #addAncestors(ancestors: readonly Node[], within: Node | undefined): void {
    for (const ancestor of ancestors) {
      if (!within || isDescendant(ancestor, within)) this.entered.add(ancestor)
      if (ancestor.type !== 'parallel') continue
      for (const child of this.#notEntered(ancestor)) {
        this.entered.add(child)
        this.#addDescendants(child)
      }
    }
  }

  /** Regions of a parallel state in which nothing is entered yet, asked one by one. */
  *#notEntered(node: Node): Iterable<Node> {
    for (const child of childrenOf(node)) {
      if (![...this.entered].some((one) => isDescendant(one, child))) yield child
    }
  }
}

/** The innermost state that stays active while the transition is taken; undefined: not even the root does. */
function domainOf(transition: Transition): Node | undefined {
  const targets = targetsOf(transition)
  const source = sourceOf(transition)
  if (!transition.reenter && targets.every((target) => target === source || isDescendant(target, source))) return source
  const [head, ...tail] = [...targets, source]
  const common = properAncestors(head!, undefined).find((one) => tail.every((node) => isDescendant(node, one)))
  if (common) return common
  return transition.reenter ? undefined : source.machine.root
}

function isDescendant(node: Node, of: Node | undefined): boolean {
  let marker = node
  while (marker.parent && marker.parent !== of) marker = marker.parent
  return marker.parent === of
}

function childrenOf(node: Node): Node[] {
  return Object.values(node.states)
}

function parentOf(node: Node): Node | undefined {
  return node.parent
}

function sourceOf(transition: Transition): Node {
  return transition.source
}

function targetsOf(transition: Transition): readonly Node[] {
  return transition.target ?? []
}
