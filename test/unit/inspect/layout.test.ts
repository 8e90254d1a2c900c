import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'

import { sessionMachine, willMachine } from '../../../machines/index.ts'
import type { ChartBox, ChartLayout, ChartPoint } from '../../../src/chart-layout.ts'
import { describeChart, type ChartState } from '../../../src/inspect/chart.ts'
import { layOutChart } from '../../../src/inspect/layout.ts'
import { layOutAside } from '../../../src/inspect/layout-thread.ts'

const charts = [
  ['session', sessionMachine, 'right'],
  ['session', sessionMachine, 'down'],
  ['will', willMachine, 'right'],
] as const

function isInside(inner: ChartBox, outer: ChartBox): boolean {
  return (
    inner.x >= outer.x &&
    inner.y >= outer.y &&
    inner.x + inner.width <= outer.x + outer.width &&
    inner.y + inner.height <= outer.y + outer.height
  )
}

function overlap(one: ChartBox, other: ChartBox): boolean {
  return (
    one.x < other.x + other.width &&
    other.x < one.x + one.width &&
    one.y < other.y + other.height &&
    other.y < one.y + one.height
  )
}

/** Whether the point lies on the edge of the box, within what rounding may do. */
function touches({ x, y }: ChartPoint, box: ChartBox): boolean {
  const near = (a: number, b: number): boolean => Math.abs(a - b) < 0.2
  const [right, bottom] = [box.x + box.width, box.y + box.height]
  const between = (a: number, low: number, high: number): boolean => a > low - 0.2 && a < high + 0.2
  return (
    ((near(x, box.x) || near(x, right)) && between(y, box.y, bottom)) ||
    ((near(y, box.y) || near(y, bottom)) && between(x, box.x, right))
  )
}

function pathsOf({ states = {} }: ChartState, path: readonly string[] = []): string[] {
  return Object.entries(states).flatMap(([name, state]) => [
    [...path, name].join('.'),
    ...pathsOf(state, [...path, name]),
  ])
}

function boxOf({ states }: ChartLayout, path: string): ChartBox {
  const box = states.find((one) => one.path === path)
  if (!box) throw new Error(`no box ${path}`)
  return box
}

describe.each(charts)('the layout of the %s machine', (_, machine, direction) => {
  const laidOut = layOutChart(describeChart(machine), direction)

  test('has every state, each inside the one that it is in', async () => {
    const layout = await laidOut
    const paths = pathsOf(describeChart(machine))
    expect(layout.states.map(({ path }) => path).toSorted()).toEqual(paths.toSorted())
    const outside = layout.states.filter((box) => box.parent !== null && !isInside(box, boxOf(layout, box.parent)))
    expect(outside).toEqual([])
    expect(
      layout.states.filter(
        ({ x, y, width, height }) => x < 0 || y < 0 || x + width > layout.width || y + height > layout.height,
      ),
    ).toEqual([])
  })

  test('lets no two boxes overlap that are beside each other', async () => {
    const { states } = await laidOut
    const pairs = states.flatMap((one, index) =>
      states
        .slice(index + 1)
        .filter((other) => other.parent === one.parent && overlap(one, other))
        .map((other) => [one.path, other.path]),
    )
    expect(pairs).toEqual([])
  })

  test('leads every arrow from its box to the other at right angles', async () => {
    const layout = await laidOut
    expect(layout.arrows.length).toBeGreaterThan(2)
    const astray = layout.arrows.filter(
      ({ from, to, points }) =>
        points.length < 2 || !touches(points[0]!, boxOf(layout, from)) || !touches(points.at(-1)!, boxOf(layout, to)),
    )
    expect(astray.map(({ from, to }) => `${from} → ${to}`)).toEqual([])
    const slanting = layout.arrows.filter(({ points }) =>
      points
        .slice(1)
        .some(
          (point, index) => Math.abs(point.x - points[index]!.x) > 0.2 && Math.abs(point.y - points[index]!.y) > 0.2,
        ),
    )
    expect(slanting).toEqual([])
  })
})

test('what the life of a session passes through stands in that order, from left to right', async () => {
  const layout = await layOutChart(describeChart(sessionMachine), 'right')
  const order = ['connecting', 'authenticating', 'enhanced-auth', 'online', 'offline', 'expired']
  const left = order.map((path) => boxOf(layout, path).x)
  expect(left).toEqual(left.toSorted((a, b) => a - b))
  expect(new Set(left).size).toBe(order.length)
})

test('every transition of the machine is on an arrow, or told as a loop of a box', async () => {
  const chart = describeChart(
    createMachine({
      id: 'plant',
      initial: 'idle',
      states: {
        idle: { on: { start: 'busy', look: { actions: 'nothing' } } },
        busy: {
          initial: 'one',
          on: { again: { target: 'busy', reenter: true }, stop: 'done' },
          states: {
            one: { on: { next: 'two' }, always: { guard: 'isBored', target: '#plant.idle' } },
            two: { on: { stop: '#plant.done' } },
          },
        },
        done: { type: 'final' },
      },
    }),
  )
  const { arrows, states } = await layOutChart(chart, 'right')
  expect(arrows.map(({ from, to, events, label }) => ({ from, to, text: label?.text, events }))).toEqual([
    { from: 'idle', to: 'busy', text: 'start', events: [{ event: 'start', label: 'start', from: 'idle' }] },
    {
      from: 'busy',
      to: 'done',
      text: undefined,
      events: [
        { event: 'stop', label: 'stop', from: 'busy' },
        { event: 'stop', label: 'stop', from: 'busy.two' },
      ],
    },
    { from: 'busy', to: 'idle', text: undefined, events: [{ event: '', label: 'always [isBored]', from: 'busy.one' }] },
    { from: 'busy.one', to: 'busy.two', text: undefined, events: [{ event: 'next', label: 'next', from: 'busy.one' }] },
  ])
  expect(states.filter(({ loops }) => loops.length > 0).map(({ path, loops }) => [path, loops])).toEqual([
    ['busy', [{ event: 'again', label: 'again', from: 'busy' }]],
  ])
})

test('a thread of its own comes to the same, and ends', async () => {
  const chart = describeChart(willMachine)
  expect(await layOutAside(chart, 'down')).toEqual(await layOutChart(chart, 'down'))
})

test('a chart that cannot be laid out rejects', async () => {
  await expect(layOutAside({ id: 'broken', states: { a: null } } as unknown as ChartState, 'down')).rejects.toThrow(
    TypeError,
  )
})
