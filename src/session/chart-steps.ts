import type { AnyActorRef, AnyStateNode, AnyTransitionDefinition, InspectionEvent } from 'xstate'

import type { SessionContext } from '../../machines/session.machine.ts'
import type { Decision, TransitionRecord } from '../inspection.ts'
import type { Logger } from '../options.ts'
import type { Registry } from './registry.ts'
import type { Session } from './session.ts'
import { isLeaf } from './state-sets.ts'
import { decidedBy, FAILED_CHART, RESTORED } from './step-decision.ts'
import type { Cause, Snapshot } from './xstate-types.ts'

/** Paths of the states without states in them that are active together; the same array for the same states. */
export type Leaves = readonly string[]

/** A step of a session's chart, with the record of it. */
export interface ChartStep {
  readonly session: Session
  readonly record: TransitionRecord
  /** What the chart was given, or raised itself. */
  readonly event: Cause
  /** Those that were taken; none in the first step of an actor, and in the last of one that failed. */
  readonly transitions: readonly AnyTransitionDefinition[]
  readonly context: SessionContext
}

type Observer = (step: ChartStep) => void

/** Where an actor is within a step that XState takes as a whole, and what set it off. */
interface Midway {
  readonly trigger: Cause
  leaves: Leaves
  decision: Decision | null
}

type Microstep = Extract<InspectionEvent, { type: '@xstate.microstep' }>

/**
 * The steps of all sessions' charts, by XState's own inspection: one after the other as the states were
 * really passed, also where an event leads through several at once. XState is asked while somebody
 * observes, and not before: until then this costs nothing. Observers are called within the step and must
 * only take note; one that throws is told of in the log.
 */
export class ChartSteps {
  readonly #registry: Registry
  readonly #logger: Logger
  readonly #nowMs: () => number
  readonly #observers = new Set<Observer>()
  /** Whose actors they are: a session leaves the registry within its last step. Those that a chart invokes are not here. */
  readonly #sessions = new Map<unknown, Session>()
  /** Those that had no actor when the first observer came: theirs start later, and are no news. */
  readonly #dormant = new Set<Session>()
  readonly #midway = new Map<unknown, Midway>()
  readonly #leaves = new LeafSets()
  #inspection: { unsubscribe(): void } | undefined = undefined
  #sequence = 0
  /** The last event that an actor was sent: one that fails by it takes no step. */
  #sent: { readonly actor: unknown; readonly event: Cause } | undefined = undefined

  constructor(registry: Registry, logger: Logger, nowMs: () => number) {
    this.#registry = registry
    this.#logger = logger
    this.#nowMs = nowMs
  }

  /** Returns what ends it. */
  observe(observer: Observer): () => void {
    this.#observers.add(observer)
    if (this.#inspection === undefined) this.#begin()
    return () => {
      if (!this.#observers.delete(observer) || this.#observers.size > 0) return
      this.#inspection?.unsubscribe()
      this.#inspection = undefined
      this.#midway.clear()
      this.#sessions.clear()
      this.#dormant.clear()
    }
  }

  #begin(): void {
    const { hosts, root } = this.#registry
    for (const session of hosts.values()) {
      if (session.dormant) this.#dormant.add(session)
      else this.#sessions.set(session.actor, session)
    }
    this.#inspection = root.system.inspect({ next: (event) => this.#inspect(event) })
  }

  get isObserved(): boolean {
    return this.#observers.size > 0
  }

  leavesOf(session: Session): Leaves {
    return session.dormant ? this.#leaves.named('offline') : this.#leaves.of(session.actor.getSnapshot())
  }

  /** The actor failed: whatever its snapshot says, its session is over. */
  failed(session: Session): void {
    if (!this.isObserved) return
    const from = this.#midway.get(session.actor)?.leaves ?? this.leavesOf(session)
    this.#midway.delete(session.actor)
    this.#sessions.delete(session.actor)
    const { context } = session.actor.getSnapshot() as { context?: SessionContext }
    if (context === undefined) return
    const event = this.#sent?.actor === session.actor ? this.#sent.event : { type: session.cause }
    this.#tell({ session, event, transitions: [], context }, from, EXPIRED, FAILED_CHART)
  }

  #inspect(event: InspectionEvent): void {
    try {
      switch (event.type) {
        case '@xstate.microstep':
          return this.#stepped(event)
        case '@xstate.event':
          this.#sent = { actor: event.actorRef, event: event.event }
          if (event.event.type === 'xstate.init') this.#started(event.actorRef as AnyActorRef)
          return
        case '@xstate.snapshot':
          return this.#settled(event)
        default:
      }
    } catch (error) {
      // It would end the session whose step it is.
      this.#logger.error({ err: error }, 'a step of a chart could not be recorded')
    }
  }

  #settled({ actorRef, snapshot }: Extract<InspectionEvent, { type: '@xstate.snapshot' }>): void {
    this.#midway.delete(actorRef)
    if (snapshot.status !== 'active') this.#sessions.delete(actorRef)
  }

  #started(actor: AnyActorRef): void {
    if (actor._parent !== this.#registry.root) return
    const snapshot = actor.getSnapshot() as Snapshot
    const { sessionId } = (snapshot.context ?? {}) as Partial<SessionContext>
    const session = sessionId === undefined ? undefined : this.#registry.hosts.get(sessionId)
    // One whose context could not be made has failed already.
    if (session === undefined || snapshot.status !== 'active') return
    this.#sessions.set(actor, session)
    if (this.#dormant.delete(session)) return
    const context = snapshot.context as SessionContext
    const decision = session.connection === undefined ? RESTORED : null
    const to = this.#leaves.of(snapshot)
    this.#tell({ session, event: { type: '' }, transitions: [], context }, NOWHERE, to, decision)
  }

  #stepped({ actorRef, event, snapshot, _transitions: transitions }: Microstep): void {
    if (transitions.length === 0) return
    const actor = actorRef as AnyActorRef
    const after = snapshot as unknown as Snapshot
    const session = this.#sessions.get(actor)
    if (session === undefined) return
    let midway = this.#midway.get(actor)
    if (midway === undefined) {
      // XState keeps the snapshot from before until all of it is done.
      midway = { trigger: event, leaves: this.#leaves.of(actor.getSnapshot() as Snapshot), decision: null }
      this.#midway.set(actor, midway)
    }
    const { leaves: from } = midway
    const to = this.#leaves.of(after)
    const step = { session, event, transitions, context: after.context as SessionContext }
    const isRaised = event !== midway.trigger
    const decision = decidedBy(step, isRaised ? midway.decision : undefined)
    midway.leaves = to
    midway.decision = decision
    if (isTold(step, from, to)) this.#tell(step, from, to, decision)
  }

  #tell(step: Omit<ChartStep, 'record'>, from: Leaves, to: Leaves, decision: Decision | null): void {
    const { session, event, transitions, context } = step
    const record: TransitionRecord = {
      sequence: ++this.#sequence,
      atMs: this.#nowMs(),
      sessionId: session.id,
      clientId: session.clientId,
      event: transitions[0]?.eventType === '' ? '' : event.type,
      from,
      to,
      decision,
    }
    const told: ChartStep = { session, record, event, transitions, context }
    for (const observer of this.#observers) {
      try {
        observer(told)
      } catch (error) {
        this.#logger.error({ err: error }, 'an observer of the charts failed')
      }
    }
  }
}

const NOWHERE: Leaves = Object.freeze([])
const EXPIRED: Leaves = Object.freeze(['expired'])

/** What the server changes of a session without leaving a state. Attributes are not here: they may be counters. */
const CHANGES: readonly string[] = ['session.revoke', 'roles.change', 'properties.change']

/** Not what leaves everything as it is: an event that is of no use, or one that only raises another. */
function isTold({ event, transitions }: Pick<ChartStep, 'event' | 'transitions'>, from: Leaves, to: Leaves): boolean {
  if (from !== to) return true
  for (const { target } of transitions) if (target !== undefined) return true
  return CHANGES.includes(event.type) && transitions.some(({ eventType }) => eventType === event.type)
}

/** Keeps each set of leaves once, by the states that XState names in a snapshot. */
class LeafSets {
  readonly #byNodes = new WeakMap<readonly AnyStateNode[], Leaves>()
  readonly #byPaths = new Map<string, Leaves>()

  of({ _nodes: nodes }: { readonly _nodes?: readonly AnyStateNode[] }): Leaves {
    if (nodes === undefined) return NOWHERE
    const known = this.#byNodes.get(nodes)
    if (known) return known
    const paths = nodes
      .filter(isLeaf)
      .toSorted((a, b) => a.order - b.order)
      .map(({ path }) => path.join('.'))
    const leaves = this.named(...paths)
    this.#byNodes.set(nodes, leaves)
    return leaves
  }

  named(...paths: string[]): Leaves {
    const key = paths.join(' ')
    let leaves = this.#byPaths.get(key)
    if (leaves === undefined) {
      leaves = Object.freeze(paths)
      this.#byPaths.set(key, leaves)
    }
    return leaves
  }
}
