import { readdirSync, readFileSync } from 'node:fs'
import type { AnyStateNode, AnyTransitionDefinition } from 'xstate'
import { describe, expect, it } from 'vitest'

import { brokerMachine, sessionMachine, willMachine } from '../../machines/index.ts'
import { Code } from '../../machines/session.setup.ts'
import { ReasonCode } from '../../src/reason-codes.ts'

const folder = new URL('../../machines/', import.meta.url)
const files = readdirSync(folder).filter((name) => name.endsWith('.ts'))
const machines = { session: sessionMachine, will: willMachine, broker: brokerMachine } as const

interface ChartItem {
  readonly type?: unknown
}

interface ChartTransition {
  readonly actions: readonly ChartItem[]
  readonly guard?: ChartItem | string | null
  readonly target?: unknown
  readonly eventType: string
}

interface ChartState {
  readonly states: Readonly<Record<string, ChartState>>
  readonly transitions: readonly ChartTransition[]
  readonly entry: readonly ChartItem[]
  readonly exit: readonly ChartItem[]
  readonly invoke: readonly { readonly src: unknown }[]
}

/** The chart as a viewer gets it: what is left of the machine after JSON. */
function chartOf(machine: { toJSON(): unknown }): ChartState {
  return JSON.parse(JSON.stringify(machine.toJSON())) as ChartState
}

function statesOf(state: ChartState): ChartState[] {
  return [state, ...Object.values(state.states).flatMap(statesOf)]
}

/** `toJSON()` leaves out eventless transitions: whoever draws the chart reads them from the nodes. */
function alwaysOf(node: AnyStateNode): AnyTransitionDefinition[] {
  return [...(node.always ?? []), ...Object.values(node.states).flatMap(alwaysOf)]
}

function nameOf(item: ChartItem | string): unknown {
  return typeof item === 'string' ? item : item.type
}

describe('machines', () => {
  it.each(files)('%s imports xstate, its neighbours and types, and nothing else', (file) => {
    const source = readFileSync(new URL(file, folder), 'utf8')
    const values = [...source.matchAll(/^(?:import|export) (?!type )[^']*from '([^']+)'/gm)].map(([, from]) => from)
    expect(values.filter((from) => from !== 'xstate' && !from?.startsWith('./'))).toEqual([])
    expect(source).not.toMatch(/\bimport\(|\brequire\(|\bprocess\.|\bglobalThis\b|Date\.now|setTimeout|Math\.random/)
  })

  it.each(Object.entries(machines))('%s: the chart names every action, guard and actor that it uses', (_, machine) => {
    const known = {
      actions: new Set<unknown>(Object.keys(machine.implementations.actions)),
      guards: new Set<unknown>(Object.keys(machine.implementations.guards)),
      actors: new Set<unknown>(Object.keys(machine.implementations.actors)),
    }
    const used = { actions: new Set<unknown>(), guards: new Set<unknown>(), actors: new Set<unknown>() }
    for (const state of statesOf(chartOf(machine))) {
      for (const item of [...state.entry, ...state.exit]) used.actions.add(nameOf(item))
      for (const { src } of state.invoke) used.actors.add(src)
      for (const transition of state.transitions) {
        for (const item of transition.actions) used.actions.add(nameOf(item))
        if (transition.guard) used.guards.add(nameOf(transition.guard))
      }
    }
    for (const { guard, actions } of alwaysOf(machine.root)) {
      if (guard !== undefined) used.guards.add(guard)
      for (const item of actions) used.actions.add(typeof item === 'function' ? item.name : nameOf(item))
    }
    // These are for states that somebody adds (`extendSession`): test/machines/extended.test.ts.
    const forOthers = machine.id === 'session' ? ['suspendDelivery', 'resumeDelivery'] : []
    for (const name of forOthers) expect(used.actions).not.toContain(name)
    expect({ ...used, actions: new Set([...used.actions, ...forOthers]) }).toEqual(known)
  })

  it.each(Object.entries(machines))('threat 98: %s has no delay of its own, deadlines come as events', (_, machine) => {
    const delayed = statesOf(chartOf(machine)).flatMap(({ transitions }) =>
      transitions.filter(({ eventType }) => eventType.startsWith('xstate.after')),
    )
    expect(delayed).toEqual([])
  })

  it('the codes that the session chart speaks are those of the table', () => {
    const table: Record<string, number> = ReasonCode
    expect(Object.fromEntries(Object.keys(Code).map((name) => [name, table[name]]))).toEqual(Code)
  })
})
