/** What the parts of XState look like from inside, as far as quick-steps.ts takes part; its own types say `any` there. */
import type { AnyActorRef, AnyStateNode, AnyTransitionDefinition } from 'xstate'

/** An event, of the chart's or of XState's own. */
export interface Cause {
  readonly type: string
  readonly input?: unknown
  readonly output?: unknown
}

export interface Snapshot {
  readonly status: 'active' | 'done' | 'error' | 'stopped'
  readonly output: unknown
  readonly error: unknown
  readonly machine: unknown
  readonly context: object
  readonly _nodes: AnyStateNode[]
  readonly value: unknown
  readonly tags: Set<string>
  readonly children: Readonly<Record<string, AnyActorRef>>
  readonly historyValue: unknown
  readonly matches: unknown
  readonly hasTag: unknown
  readonly can: unknown
  readonly getMeta: unknown
  readonly toJSON: unknown
}

/** What an actor gives its logic to work with. */
export interface Scope {
  /** 0: not started, 1: running, 2: stopped. */
  readonly self: { readonly _processingStatus: number }
  readonly system: { _sendInspectionEvent(event: object): void }
  readonly actionExecutor: (action: Execution) => void
}

/** An action that is due. */
export interface Execution {
  readonly type: string
  readonly info: Info
  readonly params: unknown
  readonly exec: PlainAction | undefined
}

/** What an action gets as its first argument. */
export interface Info {
  readonly context: object
  readonly event: Cause
  readonly self: unknown
  readonly system: unknown
}

/** How a chart refers to an action or a guard: by name, with parameters, or by what it is. */
export type Reference<F> = string | F | { readonly type: string; readonly params?: unknown }

type PlainAction = (info: Info, params: unknown) => void

/** What `assign` was given, where that is a function. */
export type Assignment = (given: object, params: unknown) => object

/** An action of XState's own making: `assign`, `emit`, `raise`, the start of a child. */
export interface Builtin {
  readonly type: string
  /** Of `assign`: a function, or a function or value for each field. */
  readonly assignment?: object | Assignment
  resolve(
    scope: Scope,
    snapshot: Snapshot,
    info: Info,
    params: unknown,
    builtin: Builtin,
    extra: { readonly internalQueue: Cause[]; readonly deferredActorIds: readonly string[] | undefined },
  ): readonly [snapshot: Snapshot, params: unknown, actions: readonly ActionReference[] | undefined]
  retryResolve?(scope: Scope, snapshot: Snapshot, params: unknown): void
  execute?(scope: Scope, params: unknown): void
}
export type Action = PlainAction | (PlainAction & Builtin)
export type ActionReference = Reference<Action>

interface Asked {
  readonly context: object
  readonly event: Cause
}
export interface Guard {
  (asked: Asked, params: unknown): boolean
  /** Of `and`, `or`, `not` and `stateIn`. */
  check?(snapshot: Snapshot, asked: Asked, guard: Guard): boolean
}

export interface Machine {
  readonly root: AnyStateNode
  readonly config: { readonly context: (given: object) => object }
  readonly implementations: {
    readonly actions: Readonly<Record<string, Action | undefined>>
    readonly guards: Readonly<Record<string, Reference<Guard> | undefined>>
  }
  transition: (snapshot: Snapshot, event: Cause, scope: Scope) => Snapshot
  getInitialSnapshot: (scope: Scope, input: unknown) => Snapshot
  getTransitionData(snapshot: Snapshot, event: Cause): readonly AnyTransitionDefinition[]
  resolveState(state: object): Snapshot
}
