import {
  assign,
  stopChild,
  type AnyStateMachine,
  type AnyStateNode as Node,
  type AnyTransitionDefinition,
} from 'xstate'

import { StepPlans, type ActionGroup, type Configuration, type Offer, type StepPlan } from './step-plan.ts'
import type {
  Action,
  ActionReference,
  Assignment,
  Builtin,
  Cause,
  Execution,
  Guard,
  Info,
  Machine,
  Reference,
  Scope,
  Snapshot,
} from './xstate-types.ts'

type Transitions = readonly AnyTransitionDefinition[]
/** An action that is asked again when all actions of its group are known. */
type Retry = readonly [builtin: Builtin, params: unknown]

interface Turn {
  /** The event that the step is for. */
  readonly event: Cause
  readonly scope: Scope
  /** Events that were raised and not dealt with yet. */
  readonly queue: Cause[]
}

/**
 * Makes the actors of a machine take their steps faster. XState works out for every event anew which
 * states are left and entered, in which order, and what the result is called. That depends on the
 * chart alone, so here it is worked out once for each transition. What depends on the session is done
 * as XState does it: guards, actions, context, children, events of inspection. Machines with history
 * states, with final states below the top, or with a `transition` of somebody's own are left as they are.
 */
export function quicken<M extends AnyStateMachine>(given: M): M {
  const machine = given as unknown as Machine
  const { transition, getInitialSnapshot, root, config } = machine
  // XState binds them; whoever has put something else there wants to be asked about every step.
  const isXState = transition.name === 'bound transition' && getInitialSnapshot.name === 'bound getInitialSnapshot'
  if (!isXState || !isSuited(root) || typeof config.context !== 'function') return given
  const steps = new QuickSteps(machine)
  machine.transition = (snapshot, event, scope) =>
    snapshot.status === 'active' && !isSpecial(event)
      ? steps.take(snapshot, event, scope)
      : transition(snapshot, event, scope)
  machine.getInitialSnapshot = (scope, input) => steps.begin({ type: 'xstate.init', input }, scope)
  return given
}

function isSuited(node: Node): boolean {
  if (node.type === 'history') return false
  if (node.type === 'final' && (node.parent !== node.machine.root || node.output !== undefined)) return false
  return Object.values(node.states).every(isSuited)
}

/** Events of XState's that do more than lead to transitions. */
function isSpecial({ type }: Cause): boolean {
  return type.startsWith('xstate.') && !type.startsWith('xstate.done.')
}

class QuickSteps {
  readonly #machine: Machine
  readonly #plans: StepPlans
  readonly #first: StepPlan
  /** Before the first step; only XState itself can make a snapshot from nothing. */
  readonly #blank: Snapshot
  readonly #makeContext: ActionGroup

  constructor(machine: Machine) {
    this.#machine = machine
    this.#plans = new StepPlans(machine.root)
    this.#first = this.#plans.initial()
    const { nodes, value, tags } = this.#plans.configuration([machine.root])
    const blank = machine.resolveState({ value: {}, context: {} })
    this.#blank = copy(blank, NOTHING, blank.children, { nodes, value, tags })
    const { context } = machine.config
    const made = assign(({ event, spawn, self }) => context({ input: (event as Cause).input, spawn, self }))
    this.#makeContext = { actions: [made], children: undefined }
  }

  begin(event: Cause, scope: Scope): Snapshot {
    const turn = { event, scope, queue: [] }
    const draft = new Draft(this.#blank, {})
    let snapshot: Snapshot | undefined = undefined
    try {
      this.#perform(this.#makeContext, draft, turn)
      snapshot = this.#apply(this.#first, draft.snapshot(), turn)
      return this.#settle(snapshot, turn)
    } catch (error) {
      return { ...(snapshot ?? draft.snapshot()), status: 'error', error }
    }
  }

  take(snapshot: Snapshot, event: Cause, scope: Scope): Snapshot {
    const turn = { event, scope, queue: [] }
    const next = this.#step(this.#transitions(snapshot, event), snapshot, turn)
    return this.#settle(next, turn)
  }

  /** Takes the transitions that need no event, and those of raised events, until there are none. */
  #settle(begun: Snapshot, { event, scope, queue }: Turn): Snapshot {
    let snapshot = begun
    let turn: Turn = { event, scope, queue }
    let mayMove = true
    while (snapshot.status === 'active') {
      let transitions: Transitions = mayMove ? this.#eventless(snapshot, turn.event) : none
      const before: Snapshot | undefined = transitions.length > 0 ? snapshot : undefined
      if (transitions.length === 0) {
        const raised = queue.shift()
        if (raised === undefined) return snapshot
        turn = { event: raised, scope, queue }
        transitions = this.#transitions(snapshot, raised)
      }
      snapshot = this.#step(transitions, snapshot, turn)
      mayMove = snapshot !== before
    }
    const stops = Object.values(snapshot.children).map((child) => stopChild(child))
    this.#perform({ actions: stops, children: undefined }, new Draft(snapshot, snapshot.children), {
      ...turn,
      queue: [],
    })
    return snapshot
  }

  #eventless(snapshot: Snapshot, event: Cause): Transitions {
    const { eventless } = this.#plans.configuration(snapshot._nodes)
    if (eventless.length === 0) return none
    let enabled = none
    for (const choices of eventless) {
      const chosen = this.#choose(choices, snapshot, event)
      // Leaves may have a parent's transition in common.
      if (chosen && !enabled.includes(chosen)) enabled = [...enabled, chosen]
    }
    return enabled
  }

  #choose(choices: Transitions, snapshot: Snapshot, event: Cause): AnyTransitionDefinition | undefined {
    for (const choice of choices) {
      const guard = choice.guard as Reference<Guard> | undefined
      if (guard === undefined || this.#holds(guard, snapshot, event)) return choice
    }
    return undefined
  }

  #transitions(snapshot: Snapshot, event: Cause): Transitions {
    const offer = this.#plans.configuration(snapshot._nodes).offer(event.type)
    if (offer === undefined) return none
    try {
      return this.#accepted(offer, snapshot, event)
    } catch {
      // XState says best what is wrong with a guard.
      return this.#machine.getTransitionData(snapshot, event)
    }
  }

  /** What is inside of a state goes first; regions that are active together each choose for themselves. */
  #accepted({ choices, inside }: Offer, snapshot: Snapshot, event: Cause): Transitions {
    let accepted = none
    for (const inner of inside) {
      const more = this.#accepted(inner, snapshot, event)
      accepted = accepted.length === 0 ? more : [...accepted, ...more]
    }
    if (accepted.length > 0) return accepted
    const chosen = this.#choose(choices, snapshot, event)
    return chosen === undefined ? none : [chosen]
  }

  #holds(guard: Reference<Guard>, snapshot: Snapshot, event: Cause): boolean {
    const asked = { context: snapshot.context, event }
    const { guards } = this.#machine.implementations
    const name = typeof guard === 'object' ? guard.type : guard
    const found = typeof name === 'function' ? name : guards[name]
    if (found === undefined) throw new Error(`there is no guard "${String(name)}"`)
    if (typeof found !== 'function') return this.#holds(found, snapshot, event)
    if (found.check) return found.check(snapshot, asked, found)
    return found(asked, paramsOf(guard, snapshot.context, event))
  }

  #step(transitions: Transitions, snapshot: Snapshot, turn: Turn): Snapshot {
    let next = snapshot
    if (transitions.length > 0) {
      const plan = this.#plans.plan(this.#plans.configuration(snapshot._nodes), transitions)
      next = this.#apply(plan, snapshot, turn)
    }
    const { self, system } = turn.scope
    system._sendInspectionEvent({
      type: '@xstate.microstep',
      actorRef: self,
      event: turn.event,
      snapshot: next,
      _transitions: transitions,
    })
    return next
  }

  #apply(plan: StepPlan, from: Snapshot, turn: Turn): Snapshot {
    const draft = new Draft(from, from.children)
    for (const group of plan.groups) this.#perform(group, draft, turn)
    if (plan.final) {
      turn.queue.push({ type: `xstate.done.state.${this.#machine.root.id}`, output: undefined })
      const snapshot = draft.snapshot()
      draft.end(this.#outputOf(plan.final, snapshot, turn.scope))
      if (plan.last) this.#perform(plan.last, draft, turn)
    }
    return plan.next === undefined ? draft.snapshot() : draft.inStates(plan.next)
  }

  #outputOf(final: Node, { context }: Snapshot, { self }: Scope): unknown {
    const event = { type: `xstate.done.state.${final.id}`, output: undefined }
    return computed(this.#machine.root.output, { context, event, self })
  }

  #perform({ actions, children }: ActionGroup, draft: Draft, turn: Turn): void {
    const retries: Retry[] = []
    this.#resolve(actions as readonly ActionReference[], children, draft, turn, retries)
    // In the states that are entered something may be for a child that is started only then.
    if (children) for (const [builtin, params] of retries) builtin.retryResolve?.(turn.scope, draft.snapshot(), params)
  }

  #resolve(
    references: readonly ActionReference[],
    deferredActorIds: readonly string[] | undefined,
    draft: Draft,
    turn: Turn,
    retries: Retry[],
  ): void {
    const { scope } = turn
    const { actions } = this.#machine.implementations
    // What is assigned is here at once, and in a snapshot when somebody looks at that.
    let info = infoOf(draft.context, turn)
    for (const reference of references) {
      const name = typeof reference === 'object' ? reference.type : reference
      const action = typeof name === 'function' ? name : actions[name]
      const params = paramsOf(reference, info.context, turn.event)
      if (action === undefined || !isBuiltin(action)) {
        const type = typeof name === 'function' ? name.name || '(anonymous)' : name
        perform(scope, { type, info, params, exec: action })
        continue
      }
      const assigned = assignedBy(action, info, params)
      if (assigned) {
        draft.context = assigned
        info = infoOf(assigned, turn)
        continue
      }
      // What is emitted is made of the context; everything else may look at the snapshot.
      const snapshot = action.type === 'xstate.emit' ? this.#blank : draft.snapshot()
      const extra = { internalQueue: turn.queue, deferredActorIds }
      const [next, resolved, more] = action.resolve(scope, snapshot, info, params, action, extra)
      if (next !== snapshot) {
        draft.context = next.context
        draft.children = next.children
      }
      if (action.retryResolve) retries.push([action, resolved])
      const { execute, type } = action
      if (execute) perform(scope, { type, info, params: resolved, exec: () => execute(scope, resolved) })
      if (more) this.#resolve(more, deferredActorIds, draft, turn, retries)
      if (draft.context !== info.context) info = infoOf(draft.context, turn)
    }
  }
}

/** A snapshot under way: what a step changes of it is gathered, and copied once. */
class Draft {
  context: object
  children: Snapshot['children']
  #base: Snapshot

  constructor(base: Snapshot, children: Snapshot['children']) {
    this.#base = base
    this.context = base.context
    this.children = children
  }

  /** As it is by now. */
  snapshot(): Snapshot {
    const base = this.#base
    if (base.context !== this.context || base.children !== this.children) {
      this.#base = copy(base, this.context, this.children, { nodes: base._nodes, value: base.value, tags: base.tags })
    }
    return this.#base
  }

  inStates(states: States): Snapshot {
    return copy(this.#base, this.context, this.children, states)
  }

  end(output: unknown): void {
    this.#base = { ...this.snapshot(), status: 'done', output }
  }
}

const none: Transitions = []

/** The context before there is one. */
const NOTHING: object = Object.freeze({})

/** XState's word for an actor that has started and not stopped. */
const RUNNING = 1

function infoOf(context: object, { event, scope: { self, system } }: Turn): Info {
  return { context, event, self, system }
}

/** Runs an action as XState does, without one more closure where the actor has started; before, XState keeps it. */
function perform({ self, system, actionExecutor }: Scope, action: Execution): void {
  if (self._processingStatus !== RUNNING) return actionExecutor(action)
  const { type, info, params, exec } = action
  system._sendInspectionEvent({ type: '@xstate.action', actorRef: self, action: { type, params } })
  exec?.(info, params)
}

function isBuiltin(action: Action): action is Action & Builtin {
  return 'resolve' in action
}

/** The context that an `assign` makes; undefined where it is none, or one that spawns an actor. */
function assignedBy({ type, assignment }: Builtin, info: Info, params: unknown): object | undefined {
  if (type !== 'xstate.assign' || typeof assignment !== 'function') return undefined
  try {
    const made = (assignment as Assignment)({ ...info, spawn }, params)
    // The first one, as the machine has made it: fields that are put into an empty object lie apart from it for ever.
    return info.context === NOTHING ? made : { ...info.context, ...made }
  } catch (error) {
    if (error === wantsActor) return undefined
    throw error
  }
}

const wantsActor = new Error('XState has to resolve this')

function spawn(): never {
  throw wantsActor
}

/** Actions and guards get the parameters that the chart states, or makes of context and event. */
function paramsOf(reference: Reference<unknown>, context: object, event: Cause): unknown {
  if (typeof reference !== 'object' || reference === null || !('params' in reference)) return undefined
  return computed(reference.params, { context, event })
}

/** What a chart states, or what its function makes of these. */
function computed(stated: unknown, from: object): unknown {
  return typeof stated === 'function' ? (stated as (from: object) => unknown)(from) : stated
}

type States = Pick<Configuration, 'nodes' | 'value' | 'tags'>

/** Field by field, in XState's order, so that V8 sees one shape and never looks names up. */
function copy(from: Snapshot, context: object, children: Snapshot['children'], states: States): Snapshot {
  return {
    status: from.status,
    output: from.output,
    error: from.error,
    machine: from.machine,
    context,
    _nodes: states.nodes,
    value: states.value,
    tags: states.tags,
    children,
    historyValue: from.historyValue,
    matches: from.matches,
    hasTag: from.hasTag,
    can: from.can,
    getMeta: from.getMeta,
    toJSON: from.toJSON,
  }
}
