/** The steps that sessions take are XState's own, remembered: whatever XState does, they do. */
import {
  assign,
  createActor,
  emit,
  enqueueActions,
  fromPromise,
  initialTransition,
  not,
  raise,
  sendTo,
  setup,
  spawnChild,
  stateIn,
  transition,
  waitFor,
  type AnyMachineSnapshot,
  type AnyStateMachine,
} from 'xstate'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { quicken } from '../../src/session/quick-steps.ts'
import { everyEdge } from './session-graph.ts'
import { effectsOf, eventOf, input, modelMachine } from './session-model.ts'
import type { SessionSnapshot, StepName } from './session-model.ts'

/** The same machine again, taking its steps the quick way. */
function quick<M extends AnyStateMachine>(machine: M): M {
  const again = machine.provide({}) as M
  const { transition: slow } = again
  expect(quicken(again).transition).not.toBe(slow)
  return again
}

/** Everything that a snapshot shows. */
function shown(snapshot: AnyMachineSnapshot): unknown {
  const { value, error, tags } = snapshot
  const children = snapshot.children as Record<string, unknown>
  const { _nodes: nodes } = snapshot as unknown as { readonly _nodes: readonly { readonly id: string }[] }
  const state = { value, error: String(error), tags: [...tags], nodes: nodes.map(({ id }) => id) }
  return { ...state, keys: Object.keys(snapshot), children: Object.keys(children), json: JSON.stringify(snapshot) }
}

/** What it comes to, and what is done on the way, in order. */
function outcome([snapshot, actions]: readonly [AnyMachineSnapshot, Parameters<typeof effectsOf>[0]]): unknown {
  return [shown(snapshot), effectsOf(actions)]
}

describe('quick steps: the session machine', () => {
  const fastMachine = quick(modelMachine)

  it('begins as XState lets it begin', () => {
    expect(outcome(initialTransition(fastMachine, input))).toEqual(outcome(initialTransition(modelMachine, input)))
  })

  it('does in every state whatever XState does for every event', () => {
    const reached = new Map<string, readonly [slow: SessionSnapshot, fast: SessionSnapshot]>()
    const start = [initialTransition(modelMachine, input)[0], initialTransition(fastMachine, input)[0]] as const
    const reach = (path: readonly StepName[]): readonly [slow: SessionSnapshot, fast: SessionSnapshot] => {
      const last = path.at(-1)
      if (last === undefined) return start
      const known = reached.get(path.join())
      if (known) return known
      const [slow, fast] = reach(path.slice(0, -1))
      const expected = transition(modelMachine, slow, eventOf(last))
      const taken = transition(fastMachine, fast, eventOf(last))
      expect([path, outcome(taken)]).toEqual([path, outcome(expected)])
      // An actor whose snapshot stays the same object has not changed.
      expect([path, taken[0] === fast]).toEqual([path, expected[0] === slow])
      const pair = [expected[0], taken[0]] as const
      reached.set(path.join(), pair)
      return pair
    }
    const edges = everyEdge()
    edges.forEach(reach)
    expect(edges.length).toBeGreaterThan(500)
  }, 60_000)
})

/** A chart with everything that a step may have to do with, on few states. */
const chart = setup({
  types: {
    context: {} as { count: number; heard: string[] },
    events: {} as {
      type:
        | ('a' | 'b' | 'c' | 'd' | 'e' | 'f' | 'g' | 'end' | 'told' | 'loud')
        | ('kind' | 'kind.one' | 'kind.one.two' | 'kindred')
      by?: number
    },
    emitted: {} as { type: 'counted'; count: number },
    input: {} as { start: number },
  },
  actors: {
    ask: fromPromise(({ input: asked }: { input: number }) => Promise.resolve(asked * 2)),
    fail: fromPromise(() => Promise.reject(new Error('no answer'))),
  },
  actions: {
    add: assign(({ context }, { by }: { by: number }) => ({ count: context.count + by })),
    hear: assign(({ context, event }) => ({ heard: [...context.heard, event.type] })),
    plain: () => {},
    break: () => {
      throw new Error('a broken action')
    },
    tell: emit(({ context }) => ({ type: 'counted' as const, count: context.count })),
    several: () => {},
  },
  guards: {
    isOver: ({ context }, { limit }: { limit: number }) => context.count > limit,
    breaks: () => {
      throw new Error('a broken guard')
    },
  },
}).createMachine({
  id: 'all',
  initial: 'work',
  context: ({ input: { start } }) => ({ count: start, heard: [] }),
  output: ({ context }) => context.count,
  entry: 'plain',
  exit: 'tell',
  on: {
    '*': { actions: 'hear' },
    'kind.*': [{ guard: { type: 'isOver', params: { limit: 15 } }, actions: 'tell' }, { actions: 'plain' }],
    'kind.one.*': { guard: { type: 'isOver', params: { limit: 5 } }, actions: { type: 'add', params: { by: 3 } } },
    end: { target: '.done', actions: ['hear', 'tell'] },
    e: { actions: 'break' },
    loud: {
      actions: assign(({ context, spawn }) => {
        spawn('ask', { id: 'spawned', input: 1 })
        return { count: context.count + 1 }
      }),
    },
    f: { guard: 'breaks' },
  },
  states: {
    work: {
      type: 'parallel',
      tags: 'busy',
      entry: ['plain', { type: 'add', params: ({ context }) => ({ by: context.count > 100 ? -90 : 1 }) }],
      exit: 'plain',
      on: {
        c: { target: 'work', reenter: true },
        g: { target: '#all.work.right.on', actions: 'several' },
      },
      states: {
        left: {
          initial: 'off',
          states: {
            off: { on: { a: 'on', b: '#all.asking', d: '#all.asking' } },
            on: {
              tags: ['busy', 'left'],
              entry: raise({ type: 'loud' }),
              exit: ['hear', 'tell'],
              always: { guard: { type: 'isOver', params: { limit: 30 } }, target: 'off', actions: 'several' },
              on: { a: { target: 'on', reenter: true }, b: 'deep' },
            },
            deep: {
              initial: 'first',
              states: {
                first: { always: { guard: not(stateIn({ work: { right: 'on' } })), target: 'second' } },
                second: { on: { a: '#all.work' } },
              },
            },
          },
        },
        right: {
          initial: 'off',
          states: {
            off: { on: { a: 'on', d: { target: '#all.work', actions: 'tell' } } },
            on: {
              entry: spawnChild('ask', { id: 'helper', input: 21 }),
              always: { guard: { type: 'isOver', params: { limit: 20 } }, actions: 'plain' },
              exit: sendTo(({ self }) => self, { type: 'told' }),
              on: { a: 'off', b: '#all.failing', loud: { actions: [{ type: 'add', params: { by: 2 } }, 'several'] } },
            },
          },
        },
      },
    },
    asking: {
      entry: sendTo('asked', { type: 'told' }),
      invoke: {
        id: 'asked',
        src: 'ask',
        input: ({ context }) => context.count,
        onDone: { target: 'work', actions: 'hear' },
      },
      on: { a: { target: 'asking', reenter: true } },
    },
    failing: { invoke: { src: 'fail', onError: 'work' }, on: { b: { actions: 'tell' } } },
    done: { type: 'final', entry: 'tell', exit: 'hear' },
  },
})

const everything = chart.provide({
  actions: {
    several: enqueueActions(({ enqueue, check }) => {
      enqueue({ type: 'add', params: { by: 10 } })
      if (check(stateIn('#all.work.right.on'))) enqueue('tell')
      enqueue.raise({ type: 'told' })
    }),
  },
})

/** An actor that is sent these events, answers of its children awaited: all that inspection and observers tell. */
async function told(machine: typeof everything, names: readonly string[]): Promise<unknown[]> {
  const seen: unknown[] = []
  const numbers = new Map<string, number>()
  const nameOf = (id: string): number => numbers.get(id) ?? numbers.set(id, numbers.size).size
  const actor = createActor(machine, {
    input: { start: names.length },
    inspect: (about) => {
      const who = [about.type, nameOf(about.actorRef.sessionId)]
      if (about.type === '@xstate.action') seen.push([...who, about.action.type, String(about.action.params)])
      else if ('snapshot' in about && 'value' in about.snapshot) {
        seen.push([...who, about.event.type, shown(about.snapshot as AnyMachineSnapshot)])
      } else seen.push([...who, 'event' in about && about.event.type])
    },
  })
  actor.subscribe({ next: (snapshot) => seen.push(shown(snapshot)), error: (error) => seen.push(String(error)) })
  actor.on('counted', (event) => seen.push(event))
  actor.start()
  for (const name of names) {
    if (actor.getSnapshot().status === 'active') actor.send({ type: name as 'a' })
    if (name === 'b') await new Promise((resolve) => setImmediate(resolve))
  }
  await waitFor(actor, () => true)
  actor.stop()
  return seen
}

describe('quick steps: whatever a chart may have', () => {
  const kinds = ['kind', 'kind.one', 'kind.one.two', 'kindred'] as const
  const others = ['a', 'a', 'b', 'b', 'c', 'd', 'g', 'loud', 'told', 'a', 'b', 'g', 'e', 'f', 'end'] as const
  const alphabet = [...others, ...kinds]

  it('observers and inspectors are told the same, in the same order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...alphabet), { maxLength: 14 }), async (names) => {
        expect(await told(quick(everything), names)).toEqual(await told(everything, names))
      }),
      { numRuns: 300 },
    )
  }, 60_000)

  it('a machine with history states, or with ends inside, is left to XState', () => {
    const end = { type: 'final' } as const
    for (const inner of [{ past: { type: 'history' } }, { end }] as const) {
      const states = { a: { initial: 'b', states: { b: {}, ...inner } } }
      const machine = setup({}).createMachine({ initial: 'a', context: () => ({}), states })
      const { transition: slow } = machine
      expect(quicken(machine).transition).toBe(slow)
    }
  })

  it('a machine that somebody has put a transition of their own into is left to them', () => {
    const machine = modelMachine.provide({})
    const own: typeof machine.transition = (snapshot) => snapshot
    machine.transition = own
    expect(quicken(machine).transition).toBe(own)
  })
})
