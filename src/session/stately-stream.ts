import { Observable } from 'rxjs'

import type { SessionContext, SessionMachine } from '../../machines/session.machine.ts'
import type { StatelyCause, StatelyInspectionEvent, StatelyOptions, StatelySnapshot } from '../stately.ts'
import { STATELY_PROTOCOL } from '../stately.ts'
import type { ChartStep, Leaves } from './chart-steps.ts'
import type { SessionCore } from './core.ts'
import type { Session } from './session.ts'
import type { Cause } from './xstate-types.ts'

const MAX_ACTORS = 100
/** Events that wait for one observer; beyond, new ones are given up. */
const MAX_QUEUED = 10_000

type Core = Pick<SessionCore, 'charts' | 'registry' | 'machine' | 'logger' | 'clock'>

/**
 * XState's inspection of sessions for Stately's tools: first the sessions that there are, then each step of
 * their charts, a snapshot for every state that is passed. What of events and context is told is listed
 * here by name, so that nothing gets out that nobody thought of.
 */
export function statelyOf(core: Core, options: StatelyOptions = {}): Observable<StatelyInspectionEvent> {
  return new Observable((observer) => {
    let queue: StatelyInspectionEvent[] = []
    const flush = (): void => {
      const told = queue
      queue = []
      for (const event of told) observer.next(event)
    }
    const tell = (event: StatelyInspectionEvent): void => {
      if (queue.length >= MAX_QUEUED) {
        if (queue.length === MAX_QUEUED) core.logger.warn({}, 'an observer of the inspection does not keep up')
        return
      }
      if (queue.push(event) === 1) setImmediate(flush)
    }
    const script = new StatelyScript(core, options, tell)
    const end = core.charts.observe((step) => script.onStep(step))
    script.begin()
    return end
  })
}

class StatelyScript {
  readonly #core: Core
  readonly #clientId: string | undefined
  readonly #maxActors: number
  readonly #tell: (event: StatelyInspectionEvent) => void
  readonly #known = new Set<string>()
  readonly #definition: string
  #count = 0

  constructor(
    core: Core,
    { clientId, maxActors = MAX_ACTORS }: StatelyOptions,
    tell: (event: StatelyInspectionEvent) => void,
  ) {
    this.#core = core
    this.#clientId = clientId
    this.#maxActors = maxActors
    this.#tell = tell
    this.#definition = definitionOf(core.machine)
  }

  begin(): void {
    const { registry, charts } = this.#core
    const named = this.#clientId === undefined ? undefined : registry.sessions.get(this.#clientId)
    const candidates = this.#clientId === undefined ? registry.hosts.values() : named === undefined ? [] : [named]
    for (const session of candidates) {
      if (this.#known.size >= this.#maxActors) return
      this.#introduce(session, charts.leavesOf(session), session.context)
    }
  }

  onStep({ session, record, event, context }: ChartStep): void {
    const { from, to, decision } = record
    if (!this.#known.has(session.id)) {
      if (this.#clientId !== undefined && session.clientId !== this.#clientId) return
      if (this.#known.size >= this.#maxActors) return
      this.#introduce(session, from.length === 0 ? to : from, context)
      if (from.length === 0) return
    }
    const cause = { ...causeOf(event), ...(decision && { decision }) }
    const about = this.#about(session)
    // A step that needs no event follows from the one before.
    if (record.event !== '') this.#tell({ type: '@xstate.event', event: cause, sourceId: undefined, ...about })
    const snapshot = snapshotOf(session, to, context)
    this.#tell({ type: '@xstate.snapshot', event: cause, snapshot, ...this.#about(session) })
    if (snapshot.status === 'done') this.#known.delete(session.id)
  }

  #introduce(session: Session, leaves: Leaves, context: SessionContext): void {
    this.#known.add(session.id)
    this.#tell({
      type: '@xstate.actor',
      name: session.clientId || session.id,
      parentId: undefined,
      definition: this.#definition,
      snapshot: snapshotOf(session, leaves, context),
      ...this.#about(session),
    })
  }

  #about({ id }: Session) {
    const createdAt = String(Math.round(this.#core.clock.nowMs()))
    return { sessionId: id, rootId: id, id: `${id}:${++this.#count}`, createdAt, _version: STATELY_PROTOCOL }
  }
}

function snapshotOf(session: Session, leaves: Leaves, context: SessionContext): StatelySnapshot {
  return {
    status: leaves[0] === 'expired' ? 'done' : 'active',
    value: valueOf(leaves),
    context: told(session, context),
  }
}

/** From the paths of its leaves, as XState nests a state value. */
function valueOf(leaves: Leaves): unknown {
  const groups = new Map<string, string[]>()
  for (const leaf of leaves) {
    const dot = leaf.indexOf('.')
    const key = dot < 0 ? leaf : leaf.slice(0, dot)
    const inner = groups.get(key) ?? []
    if (dot >= 0) inner.push(leaf.slice(dot + 1))
    groups.set(key, inner)
  }
  const [first] = groups
  if (groups.size === 1 && first![1].length === 0) return first![0]
  return Object.fromEntries([...groups].map(([key, inner]) => [key, inner.length === 0 ? {} : valueOf(inner)]))
}

function told({ clientId }: Session, context: SessionContext): Record<string, unknown> {
  const { sessionId, grant, standing, connection, epoch, resumed, expiresAtMs, end } = context
  return {
    sessionId,
    clientId,
    principal: grant?.principal ?? null,
    roles: grant?.roles ?? [],
    authenticator: grant?.authenticator ?? null,
    standing,
    listener: connection.listener,
    transport: connection.transport,
    address: connection.remoteAddress ?? null,
    epoch,
    resumed,
    sessionExpiryIntervalSeconds: context.sessionExpiryIntervalSeconds,
    expiresAtMs: expiresAtMs ?? null,
    end: end === undefined ? null : { reason: end.reason, reasonCode: end.reasonCode ?? null },
  }
}

/** Fields of events that may be told. */
const TOLD = ['reasonCode', 'reason', 'roles', 'scope', 'sessionExpiryIntervalSeconds'] as const

function causeOf(event: Cause): StatelyCause {
  const given = event as unknown as Readonly<Record<string, unknown>>
  const fields = TOLD.filter((name) => given[name] !== undefined).map((name) => [name, given[name]])
  return { type: event.type, ...(Object.fromEntries(fields) as Record<string, unknown>) }
}

const definitions = new WeakMap<SessionMachine, string>()

/** The configuration of a chart as the tools read it: functions by their names. */
function definitionOf(machine: SessionMachine): string {
  let definition = definitions.get(machine)
  if (definition === undefined) {
    definition = JSON.stringify(machine.config, (_, value: unknown) =>
      typeof value === 'function' ? { type: value.name || 'inline' } : value,
    )
    definitions.set(machine, definition)
  }
  return definition
}
