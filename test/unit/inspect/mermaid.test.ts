import { createMachine, fromPromise, not, setup } from 'xstate'
import { describe, expect, test } from 'vitest'

import { brokerMachine, sessionMachine, willMachine } from '../../../machines/index.ts'
import { describeChart, type ChartState } from '../../../src/inspect/chart.ts'
import { toMermaid } from '../../../src/inspect/mermaid.ts'

const machine = setup({
  actors: { fetch: fromPromise(() => Promise.resolve(1)) },
  actions: { log: () => {}, count: () => {}, stop: () => {} },
  guards: { ready: () => true },
}).createMachine({
  id: 'door',
  initial: 'shut',
  on: { '*': { actions: 'log' } },
  states: {
    shut: {
      entry: 'count',
      on: { 'door.open': { target: 'open-wide', guard: not('ready'), actions: ['log', 'count'] } },
    },
    'open-wide': {
      type: 'parallel',
      exit: 'stop',
      states: {
        light: {
          initial: 'end',
          states: { end: { on: { tick: { actions: 'log' } } }, on: { on: { leave: '#door.done' } } },
        },
        air: {
          initial: 'cold',
          states: {
            cold: {
              invoke: { src: 'fetch', onDone: 'warm', onError: { target: 'warm', guard: 'ready' } },
              after: { 500: 'warm' },
            },
            warm: { always: { target: 'cold', guard: 'ready' } },
          },
        },
      },
      on: {
        'door.shut': 'shut',
        'door.slam': { target: 'shut', actions: 'log' },
        'door.warm': '#door.open-wide.air.warm',
      },
    },
    done: { type: 'final' },
  },
})

test('a chart with every kind of state is drawn whole', () => {
  expect(toMermaid(describeChart(machine))).toBe(`stateDiagram-v2
  %% in every state: * / log
  state "shut" as shut
  shut : entry / count
  state "open-wide (parallel)" as open_wide {
    state "light" as open_wide_light {
      state "end" as open_wide_light_end
      open_wide_light_end : tick / log
      state "on" as open_wide_light_on
      [*] --> open_wide_light_end
    }
    state "air" as open_wide_air {
      state "cold" as open_wide_air_cold
      open_wide_air_cold : entry / raise
      open_wide_air_cold : exit / cancel
      open_wide_air_cold : invoke fetch
      state "warm" as open_wide_air_warm
      [*] --> open_wide_air_cold
      open_wide_air_cold --> open_wide_air_warm : fetch done<br>fetch failed [ready]<br>after 500
      open_wide_air_warm --> open_wide_air_cold : always [ready]
    }
  }
  note right of open_wide
    exit / stop
  end note
  state "done" as done
  [*] --> shut
  shut --> open_wide : door.open [not(ready)] / log, count
  open_wide --> shut : door.shut<br>door.slam / log
  open_wide --> open_wide : door.warm → air.warm
  open_wide --> done : light.on · leave
  done --> [*]
`)
})

test('brief leaves out guards, actions and what stays in its state, and says the same thing once', () => {
  const chart: ChartState = {
    id: 'm',
    initial: 'a',
    on: { '*': [{ actions: ['log'] }] },
    states: {
      a: {
        id: 'm.a',
        entry: ['x'],
        on: {
          go: [
            { target: ['#m.b'], guard: 'first' },
            { target: ['#m.b'], actions: ['y'] },
          ],
          stay: [{ actions: ['z'] }],
        },
      },
      b: { id: 'm.b', type: 'final' },
    },
  }
  expect(toMermaid(chart, 'brief')).toBe(`stateDiagram-v2
  state "a" as a
  state "b" as b
  [*] --> a
  a --> b : go
  b --> [*]
`)
})

test('what mermaid would read its own way is kept out of labels and names', () => {
  const chart: ChartState = {
    id: 'm',
    states: { 'sta"te;': { id: 'm.x', entry: ['a:b;c{d}\ne'] }, end: { id: 'm.end' } },
  }
  expect(toMermaid(chart)).toBe(`stateDiagram-v2
  state "sta te " as sta_te_
  sta_te_ : entry / a b c d e
  state "end" as end_
`)
})

describe.each([
  ['session', sessionMachine, ['connecting', 'authenticating', 'enhanced-auth', 'online', 'offline', 'expired']],
  ['will', willMachine, Object.keys(willMachine.states)],
  ['broker', brokerMachine, ['starting', 'running', 'draining', 'stopped']],
] as const)('the %s machine', (_name, real, states) => {
  test('is described with its top-level states, and nothing that JSON would lose', () => {
    const chart = describeChart(real)
    expect(Object.keys(chart.states ?? {})).toEqual(states)
    expect(JSON.parse(JSON.stringify(chart))).toEqual(chart)
    expect(JSON.stringify(chart)).not.toMatch(/"inline"/)
  })

  test('is a configuration that XState makes the same machine of', () => {
    const chart = describeChart(real)
    const copy = createMachine(JSON.parse(JSON.stringify(chart)) as Parameters<typeof createMachine>[0])
    expect(describeChart(copy)).toEqual(chart)
  })

  test('gives its states names that are all different', () => {
    const ids = [...toMermaid(describeChart(real)).matchAll(/^\s*state "[^"]*" as (\w+)/gm)].map((match) => match[1])
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.length).toBeGreaterThanOrEqual(states.length)
  })
})
