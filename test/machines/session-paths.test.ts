import { transition } from 'xstate'
import type { AnyStateNode, StateValue } from 'xstate'
import { describe, expect, it } from 'vitest'

import { eventsIn, paths, vertexOf } from './session-graph.ts'
import { eventOf, leavesOf, modelMachine } from './session-model.ts'

/** Every vertex, with the vertices that one event leads to. */
function graph(): Map<string, Set<string>> {
  return new Map(
    paths.map(({ state }) => [
      vertexOf(state),
      new Set(eventsIn(state).map((event) => vertexOf(transition(modelMachine, state, event)[0]))),
    ]),
  )
}

function statesOf(node: AnyStateNode): string[] {
  return Object.values(node.states).flatMap((child) => [child.id, ...statesOf(child)])
}

/** The ids of the states that a state value is made of. */
function activeIn(value: StateValue, parent: string): string[] {
  if (typeof value === 'string') return [`${parent}.${value}`]
  return Object.entries(value).flatMap(([key, child]) => [
    `${parent}.${key}`,
    ...(child === undefined ? [] : activeIn(child, `${parent}.${key}`)),
  ])
}

describe('session machine: the graph', () => {
  it('reaches every state that the chart names', () => {
    const reached = new Set(paths.flatMap(({ state }) => activeIn(state.value, 'session')))
    // Where nobody ever is: it is left within the step that entered it.
    const passed = ['session.authenticating.arriving', 'session.authenticating.claiming']
    expect(reached).toEqual(new Set(statesOf(modelMachine.root).filter((id) => !passed.includes(id))))
  })

  it('has exactly the six top-level states, and expired is the only final one', () => {
    const top = Object.values(modelMachine.root.states).map(({ key, type }) => [key, type === 'final'])
    expect(top).toEqual([
      ['connecting', false],
      ['authenticating', false],
      ['enhanced-auth', false],
      ['online', false],
      ['offline', false],
      ['expired', true],
    ])
  })

  it('reaches every combination of authority, re-authentication and delivery', () => {
    const online = new Set(paths.map(({ state }) => leavesOf(state.value)).filter((name) => name.startsWith('online')))
    const authority = ['valid', 'expiring', 'grace', 'lapsed']
    const underway = ['', 'deciding, ', 'challenged, ']
    const delivery = ['waking', 'flowing', 'throttled']
    const all = authority.flatMap((left) =>
      underway.flatMap((middle) => delivery.map((right) => `online(${left}, ${middle}${right})`)),
    )
    expect(online).toEqual(new Set(all))
  })

  it('is finite, and no vertex is more than seven events away', () => {
    const lengths = paths.map(({ steps }) => steps.length - 1)
    const perDepth = Object.entries(Object.groupBy(lengths, String)).map(
      ([depth, all]) => `${depth}:${all?.length ?? 0}`,
    )
    console.log(`session machine: ${paths.length} shortest paths, by number of events ${perDepth.join(' ')}`)
    expect(Math.max(...lengths)).toBe(7)
    expect(new Set(paths.map(({ state }) => vertexOf(state))).size).toBe(paths.length)
  })

  it('expired can be reached from every state that is not final', () => {
    const edges = graph()
    const ending = new Set(paths.filter(({ state }) => state.status === 'done').map(({ state }) => vertexOf(state)))
    for (let size = 0; size !== ending.size;) {
      size = ending.size
      for (const [vertex, next] of edges) if ([...next].some((to) => ending.has(to))) ending.add(vertex)
    }
    expect([...edges.keys()].filter((vertex) => !ending.has(vertex))).toEqual([])
  })

  it('gives one event that ends the session whatever its state: the drain of the broker', () => {
    for (const { state } of paths) {
      if (state.status !== 'active') continue
      const [next] = transition(modelMachine, state, eventOf('drain'))
      expect([vertexOf(state), next.status, next.output?.reason]).toEqual([vertexOf(state), 'done', 'shutdown'])
    }
  })

  it('ends for each of its reasons, with the output that says so', () => {
    const outputs = paths.filter(({ state }) => state.status === 'done').map(({ state }) => state.output?.reason)
    expect(new Set(outputs)).toEqual(
      new Set([
        'connect-timeout',
        'refused',
        'protocol-error',
        'connection-lost',
        'keepalive-lost',
        'client-disconnect',
        'server-disconnect',
        'handed-over',
        'replaced',
        'session-expired',
        'administrative',
        'grant-expired',
        'revoked',
        'shutdown',
      ]),
    )
  })
})
