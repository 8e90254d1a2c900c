/** The graph of the session's model: what is a vertex, what may happen there, and the ways through it. */
import { initialTransition, transition } from 'xstate'
import { getShortestPaths } from 'xstate/graph'

import {
  admission,
  answers,
  deciding,
  eventOf,
  events,
  identity,
  input,
  leavesOf,
  modelMachine,
} from './session-model.ts'
import type { ModelEvent, SessionSnapshot, StepName } from './session-model.ts'

/**
 * What the chart's own decisions can tell apart; epochs and objects would make the graph endless. What the server
 * changes of a grant or of attributes leads back to where it was.
 */
export function vertexOf(snapshot: SessionSnapshot): string {
  const { connect, will, grant, expiresAtMs, sessionExpiryIntervalSeconds, resumed, end, standing } = snapshot.context
  return JSON.stringify([
    leavesOf(snapshot.value),
    { connected: connect?.clientId, asked: connect?.sessionExpiryIntervalSeconds, lasts: sessionExpiryIntervalSeconds },
    { stays: connect?.username === 'known', standing },
    { will: will !== undefined, grant: grant !== undefined, expires: expiresAtMs !== undefined, resumed },
    end?.reason,
  ])
}

/** Only an actor that runs can answer. */
const waiting: Record<string, readonly StepName[]> = Object.fromEntries(
  [
    [identity, 'identity: '],
    [admission, 'admission: '],
    [deciding, 're-authentication: '],
  ].map(([state, prefix]) => [
    `0.session.${state}`,
    (Object.keys(answers) as StepName[]).filter((step) => step.startsWith(prefix ?? '')),
  ]),
)

/** Everything that the model lets happen in a state. */
function stepsIn(snapshot: SessionSnapshot): StepName[] {
  if (snapshot.status !== 'active') return []
  const answering = Object.keys(snapshot.children).flatMap((id) => waiting[id] ?? [])
  return [...(Object.keys(events) as StepName[]), ...answering]
}

export function eventsIn(snapshot: SessionSnapshot): ModelEvent[] {
  return stepsIn(snapshot).map(eventOf)
}

const traversal = {
  input,
  events: eventsIn,
  serializeState: vertexOf,
  // More steps than the graph has, so that a chart that grew endless fails instead of hanging.
  limit: 200_000,
}

/** The shortest way to every vertex. */
export const paths = getShortestPaths(modelMachine, traversal)

/** Where every session begins. */
export const [initialSnapshot] = initialTransition(modelMachine, input)

export const stepNames = [...Object.keys(events), ...Object.keys(answers)] as StepName[]

const nameOf = new Map<unknown, StepName>(stepNames.map((step) => [eventOf(step), step]))

/** Ways that were gone before: thousands of edges begin with the same few hundred. */
const known = new Map<string, SessionSnapshot>([['', initialSnapshot]])

/** Where these steps lead. */
export function snapshotAfter(steps: readonly StepName[]): SessionSnapshot {
  const name = steps.join(' > ')
  const found = known.get(name)
  if (found !== undefined) return found
  const before = snapshotAfter(steps.slice(0, -1))
  const after = transition(modelMachine, before, eventOf(steps.at(-1)!))[0]
  known.set(name, after)
  return after
}

/** The same ways as names of steps, without the initial event that XState puts first. */
export const shortestPaths: readonly (readonly StepName[])[] = paths.map(({ steps }) =>
  steps.slice(1).map(({ event }) => {
    const name = nameOf.get(event)
    if (name === undefined) throw new Error(`the model has no step ${event.type}`)
    return name
  }),
)

/** The shortest way to every vertex and each thing that may happen there: every edge, loops too. */
export function everyEdge(): StepName[][] {
  return paths.flatMap(({ state }, at) => stepsIn(state).map((step) => [...(shortestPaths[at] ?? []), step]))
}

/**
 * Every way of at most `maxSteps` steps that comes to no vertex twice, as long as it can be made: a
 * shorter one that a longer one begins with is replayed along with it. XState's own simple paths know
 * no depth, and there are too many of them to walk first and cut then.
 */
export function simplePaths(maxSteps: number): StepName[][] {
  const found: StepName[][] = []
  const visited = new Set<string>()
  const walk = (snapshot: SessionSnapshot, way: readonly StepName[]): void => {
    const vertex = vertexOf(snapshot)
    visited.add(vertex)
    let isEnd = true
    for (const step of way.length < maxSteps ? stepsIn(snapshot) : []) {
      const [next] = transition(modelMachine, snapshot, eventOf(step))
      if (visited.has(vertexOf(next))) continue
      isEnd = false
      walk(next, [...way, step])
    }
    if (isEnd) found.push([...way])
    visited.delete(vertex)
  }
  walk(initialSnapshot, [])
  return found
}
