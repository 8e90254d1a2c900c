import type { AnyStateNode, AnyTransitionDefinition } from 'xstate'

import type { TransitionFlow, TransitionRecord } from '../inspection.ts'
import type { ChartStep, Leaves } from './chart-steps.ts'
import { ClientHistories } from './client-histories.ts'
import type { SessionCore } from './core.ts'
import type { Session } from './session.ts'

type MutableFlow = { -readonly [Name in keyof TransitionFlow]: TransitionFlow[Name] }

/**
 * What the charts of all sessions did, from when it is made until it is closed: the last steps of every
 * client, how many sessions are in each state, and how often each arrow of the chart was taken.
 */
export class TransitionHistory {
  readonly #core: SessionCore
  readonly #clients: ClientHistories
  /** Steps of connections that it is not decided about yet, by the identifier of their session. */
  readonly #newcomers = new Map<string, TransitionRecord[]>()
  readonly #flows = new Map<AnyTransitionDefinition | undefined, MutableFlow>()
  readonly #census = new Map<Leaves, number>()
  readonly #close: () => void

  constructor(core: SessionCore) {
    this.#core = core
    this.#clients = new ClientHistories(core.limits)
    for (const session of core.registry.hosts.values()) this.#count(core.charts.leavesOf(session), 1)
    this.#close = core.charts.observe((step) => this.#onStep(step))
  }

  /** Steps that are kept, and clients that they are of. */
  get size(): { readonly transitions: number; readonly clients: number } {
    return { transitions: this.#clients.size, clients: this.#clients.clients }
  }

  /** Oldest first, those of connections that are still decided on among them. */
  of(clientId: string): TransitionRecord[] {
    const kept = this.#clients.of(clientId)
    const underWay = [...this.#newcomers.values()].filter((records) => records.at(-1)!.clientId === clientId)
    if (underWay.length === 0) return kept
    return [...kept, ...underWay.flat()].toSorted((a, b) => a.sequence - b.sequence)
  }

  /** Sessions by the path of every leaf that is active. */
  census(): Readonly<Record<string, number>> {
    return byPath(this.#census)
  }

  /** Transitions with the same ends and event, which differ in their guards, are one arrow. */
  flows(): TransitionFlow[] {
    const arrows = new Map<string, MutableFlow>()
    for (const { from, event, to, count } of this.#flows.values()) {
      const key = JSON.stringify([from, event, to])
      const arrow = arrows.get(key)
      if (arrow === undefined) arrows.set(key, { from, event, to, count })
      else arrow.count += count
    }
    return [...arrows.values()]
  }

  close(): void {
    this.#close()
  }

  #onStep(step: ChartStep): void {
    const { record, transitions } = step
    this.#count(record.from, -1)
    this.#count(record.to, 1)
    if (record.from.length === 0) this.#flow(undefined, record)
    for (const transition of transitions) if (transition.target !== undefined) this.#flow(transition, record)
    this.#keep(step)
  }

  #count(leaves: Leaves, change: 1 | -1): void {
    // Nobody is there, and nobody stays there.
    if (leaves.length === 0 || leaves[0] === 'expired') return
    this.#census.set(leaves, (this.#census.get(leaves) ?? 0) + change)
  }

  #flow(transition: AnyTransitionDefinition | undefined, { to }: TransitionRecord): void {
    const known = this.#flows.get(transition)
    if (known) {
      known.count++
      return
    }
    const flow = transition
      ? {
          from: pathOf(transition.source),
          event: transition.eventType as string,
          to: pathOf(transition.target![0] as AnyStateNode),
          count: 1,
        }
      : { from: '', event: '', to: to[0]!, count: 1 }
    this.#flows.set(transition, flow)
  }

  #keep({ session, record, transitions, context }: ChartStep): void {
    const { clientId } = session
    const isOver = record.to[0] === 'expired'
    const newcomer = this.#newcomers.get(session.id) ?? this.#welcome(session, record)
    if (newcomer === undefined) {
      const isDelivery = !isOver && transitions[0]?.source.path[1] === 'delivery'
      this.#clients.add(clientId, record, isDelivery ? 'delivery' : 'life')
      // A newcomer may have its place already.
      if (isOver && !this.#core.registry.sessions.has(clientId)) this.#clients.ended(clientId)
      return
    }
    newcomer.push(record)
    const isIn = this.#core.registry.sessions.get(clientId) === session || context.end?.reason === 'handed-over'
    if (!isIn && !isOver) return
    this.#newcomers.delete(session.id)
    if (isIn) this.#clients.admitted(clientId, newcomer)
    else this.#clients.refused(clientId, newcomer)
  }

  /** The list of its steps, where it is not a session yet; one that was there before this history may have none. */
  #welcome(session: Session, { from, to }: TransitionRecord): TransitionRecord[] | undefined {
    const isRestored = from.length === 0 && to[0] === 'offline'
    const isFresh = from.length === 0 && !isRestored
    if (!isFresh && (isRestored || !isBeforeOnline(from[0]!))) return undefined
    const records: TransitionRecord[] = []
    this.#newcomers.set(session.id, records)
    return records
  }
}

/** Sessions by the path of every leaf that is active, counted one by one: what a broker without a history can say. */
export function censusOf({
  registry,
  charts,
}: Pick<SessionCore, 'registry' | 'charts'>): Readonly<Record<string, number>> {
  const census = new Map<Leaves, number>()
  for (const session of registry.hosts.values()) {
    const leaves = charts.leavesOf(session)
    census.set(leaves, (census.get(leaves) ?? 0) + 1)
  }
  return byPath(census)
}

/** Null prototype: paths are an embedder's text too. */
function byPath(census: ReadonlyMap<Leaves, number>): Readonly<Record<string, number>> {
  const counts = Object.create(null) as Record<string, number>
  for (const [leaves, count] of census) {
    if (count > 0) for (const path of leaves) counts[path] = (counts[path] ?? 0) + count
  }
  return counts
}

function pathOf({ path }: AnyStateNode): string {
  return path.join('.')
}

const BEFORE_ONLINE = /^(connecting|authenticating|enhanced-auth)(\.|$)/

function isBeforeOnline(path: string): boolean {
  return BEFORE_ONLINE.test(path)
}
