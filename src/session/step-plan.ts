import { spawnChild, stopChild, type AnyStateNode as Node, type AnyTransitionDefinition as Transition } from 'xstate'

import {
  EntrySet,
  exitSet,
  isLeaf,
  properAncestors,
  valueOf,
  withInitialStates,
  withoutConflicts,
} from './state-sets.ts'

/** Actions that XState resolves together, in order. */
export interface ActionGroup {
  readonly actions: readonly unknown[]
  /** Names of the children that they start, where a state is entered. */
  readonly children: readonly string[] | undefined
}

/** What one step of the chart does, whoever's it is. */
export interface StepPlan {
  readonly groups: readonly ActionGroup[]
  /** The final state of the machine, where it is entered. */
  readonly final: Node | undefined
  /** What is done on top when the machine has ended. */
  readonly last: ActionGroup | undefined
  /** Undefined where the same states stay active. */
  readonly next: Configuration | undefined
}

/** What an event may lead to. A state is asked when those inside of it have nothing to say. */
export interface Offer {
  /** In the order in which their guards are asked. */
  readonly choices: readonly Transition[]
  readonly inside: readonly Offer[]
}

/** States that are active together. Snapshots share its nodes, value and tags. */
export class Configuration {
  readonly nodes: Node[]
  readonly value: unknown
  readonly tags: Set<string>
  /** For every leaf, the transitions without an event, in the order in which their guards are asked. */
  readonly eventless: readonly (readonly Transition[])[]
  /** By the transitions taken. */
  readonly plans = new Map<Transition | string, StepPlan>()
  readonly #root: Node
  readonly #offers = new Map<string, Offer | undefined>()

  constructor(root: Node, nodes: Node[]) {
    this.#root = root
    this.nodes = nodes
    this.value = valueOf(root, nodes)
    this.tags = new Set(nodes.flatMap((node): string[] => node.tags))
    this.eventless = nodes
      .filter(isLeaf)
      .map((leaf) => [leaf, ...properAncestors(leaf, undefined)].flatMap((node): Transition[] => node.always ?? []))
      .filter((choices) => choices.length > 0)
  }

  /** Undefined where an event of this type leads to nothing. */
  offer(type: string): Offer | undefined {
    let offer = this.#offers.get(type)
    if (offer === undefined && !this.#offers.has(type)) {
      offer = offerOf(this.#root, this.nodes, type)
      this.#offers.set(type, offer)
    }
    return offer
  }
}

/** Every configuration that an actor was in, and the steps that were taken from it. */
export class StepPlans {
  readonly #root: Node
  readonly #byNodes = new WeakMap<readonly Node[], Configuration>()
  readonly #byOrder = new Map<string, Configuration>()
  readonly #names = new Map<Transition, number>()

  constructor(root: Node) {
    this.#root = root
  }

  configuration(nodes: Node[]): Configuration {
    let configuration = this.#byNodes.get(nodes)
    if (configuration) return configuration
    const order = nodes.map((node) => node.order).join(' ')
    configuration = this.#byOrder.get(order) ?? new Configuration(this.#root, nodes)
    this.#byOrder.set(order, configuration)
    this.#byNodes.set(nodes, configuration)
    return configuration
  }

  /** The first step of an actor: the root becomes active. */
  initial(): StepPlan {
    const target = [...withInitialStates(this.#root)]
    const start = { target, source: this.#root, reenter: true, actions: [] } as unknown as Transition
    return this.#plan(this.configuration([this.#root]), [start], [], [this.#root])
  }

  plan(from: Configuration, transitions: readonly Transition[]): StepPlan {
    const key = transitions.length === 1 ? transitions[0]! : transitions.map((one) => this.#nameOf(one)).join(' ')
    let plan = from.plans.get(key)
    if (!plan) {
      const taken = withoutConflicts(transitions, from.nodes)
      plan = this.#plan(from, taken, exitSet(taken, from.nodes), [])
      from.plans.set(key, plan)
    }
    return plan
  }

  #nameOf(transition: Transition): number {
    const name = this.#names.get(transition) ?? this.#names.size
    this.#names.set(transition, name)
    return name
  }

  #plan(from: Configuration, taken: readonly Transition[], left: readonly Node[], begun: readonly Node[]): StepPlan {
    const active = new Set(from.nodes)
    const groups: ActionGroup[] = []
    for (const node of downwards(left)) {
      groups.push({ actions: [...node.exit, ...node.invoke.map(({ id }) => stopChild(id))], children: undefined })
      active.delete(node)
    }
    groups.push({ actions: taken.flatMap((transition): readonly unknown[] => transition.actions), children: undefined })
    const { entered, byDefault } = new EntrySet(taken)
    let final: Node | undefined = undefined
    for (const node of [...entered].toSorted((a, b) => a.order - b.order)) {
      active.add(node)
      const started = node.invoke.map(startOf)
      const inside = byDefault.has(node) || begun.includes(node) ? node.initial.actions : []
      groups.push({ actions: [...node.entry, ...started, ...inside], children: node.invoke.map(({ id }) => id) })
      if (node.type === 'final') final = node
    }
    // XState sorts them for the last exit actions, and leaves it so.
    const nodes = final ? downwards([...active]) : [...active]
    const isSame = nodes.length === from.nodes.length && from.nodes.every((node) => active.has(node))
    const last = final && nodes.flatMap((node): unknown[] => node.exit)
    return {
      groups: groups.filter(({ actions }) => actions.length > 0),
      final,
      last: last && { actions: last, children: undefined },
      next: isSame ? undefined : this.configuration(nodes),
    }
  }
}

function offerOf(node: Node, active: readonly Node[], type: string): Offer | undefined {
  const inside = active.flatMap((child) => (child.parent === node ? (offerOf(child, active, type) ?? []) : []))
  const choices = candidatesOf(node, type)
  if (choices.length > 0) return { choices, inside }
  return inside.length > 1 ? { choices, inside } : inside[0]
}

/** Those for the very event first, then those for more and more of its kind. */
function candidatesOf({ transitions }: Node, type: string): readonly Transition[] {
  const kinds = [...transitions.keys()].filter((descriptor) => descriptor !== type && isKind(descriptor, type))
  const names = [type, ...kinds.toSorted((a, b) => b.length - a.length)]
  return names.flatMap((name): readonly Transition[] => transitions.get(name) ?? [])
}

/** `packet.*` is for `packet` and whatever begins with `packet.`; a star elsewhere means nothing. */
function isKind(descriptor: string, type: string): boolean {
  if (descriptor === '*') return true
  if (!descriptor.endsWith('.*')) return false
  const stem = descriptor.slice(0, -2)
  return !stem.split('.').includes('*') && `${type}.`.startsWith(`${stem}.`)
}

function downwards(nodes: readonly Node[]): Node[] {
  return nodes.toSorted((a, b) => b.order - a.order)
}

function startOf(invoked: Node['invoke'][number]): unknown {
  const options = { ...invoked, syncSnapshot: 'onSnapshot' in invoked && invoked.onSnapshot !== undefined }
  return spawnChild(invoked.src as string, options as NonNullable<Parameters<typeof spawnChild>[1]>)
}
