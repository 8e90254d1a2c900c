import { createActor, fromPromise, initialTransition, transition } from 'xstate'
import type { EventFromLogic, SnapshotFrom } from 'xstate'
import { describe, expect, it } from 'vitest'

import { willMachine } from '../../machines/index.ts'
import type { FireOutcome, WillEmitted, WillEvent, WillInput } from '../../machines/index.ts'
import { effectsOf, will } from './session-model.ts'

const input: WillInput = { sessionId: 's1', epoch: 2, will }

/** Nothing happens, and the will says so. */
const ignored = (state: string, event: string) => `${state}: emits {"type":"will.ignored","event":"${event}"}`

const steps = {
  'release, due later': { type: 'will.release', dueAtMs: 31_000, nowMs: 1_000 },
  'release, due now': { type: 'will.release', dueAtMs: 1_000, nowMs: 1_000 },
  due: { type: 'will.due' },
  cancel: { type: 'will.cancel' },
  published: answer('done', { output: { type: 'published' } }),
  withheld: answer('done', { output: { type: 'withheld', reason: 'not allowed any more' } }),
  'decision fails': answer('error', { error: new Error('hook broke') }),
} as const satisfies Record<string, WillEvent>

type Step = keyof typeof steps

function answer(kind: 'done' | 'error', outcome: object): WillEvent {
  return { type: `xstate.${kind}.actor.0.will.due`, actorId: '0.will.due', ...outcome } as unknown as WillEvent
}

const routes = {
  armed: [],
  delayed: ['release, due later'],
  due: ['due'],
  published: ['due', 'published'],
  withheld: ['due', 'withheld'],
  cancelled: ['cancel'],
} as const satisfies Record<string, readonly Step[]>

type State = keyof typeof routes

function reach(state: State): SnapshotFrom<typeof willMachine> {
  let [snapshot] = initialTransition(willMachine, input)
  for (const step of routes[state]) [snapshot] = transition(willMachine, snapshot, steps[step])
  return snapshot
}

function outcome(state: State, step: Step): string {
  const event: EventFromLogic<typeof willMachine> = steps[step]
  const [next, actions] = transition(willMachine, reach(state), event)
  return `${String(next.value)}: ${effectsOf(actions).join(', ')}`
}

const done = 'xstate.done.actor.0.will.due'
const failed = 'xstate.error.actor.0.will.due'

// State by event: where it ends up, and what is done on the way.
const table: Record<'armed' | 'delayed' | 'due', Record<Step, string>> = {
  armed: {
    'release, due later': 'delayed: armDeadline',
    'release, due now': 'due: starts fire',
    due: 'due: starts fire',
    cancel: 'cancelled: ',
    published: ignored('armed', done),
    withheld: ignored('armed', done),
    'decision fails': ignored('armed', failed),
  },
  delayed: {
    'release, due later': ignored('delayed', 'will.release'),
    'release, due now': ignored('delayed', 'will.release'),
    due: 'due: cancelDeadline, starts fire',
    cancel: 'cancelled: cancelDeadline',
    published: ignored('delayed', done),
    withheld: ignored('delayed', done),
    'decision fails': ignored('delayed', failed),
  },
  // A will is published once or not at all: from here on nothing but the answer counts.
  due: {
    'release, due later': ignored('due', 'will.release'),
    'release, due now': ignored('due', 'will.release'),
    due: ignored('due', 'will.due'),
    cancel: ignored('due', 'will.cancel'),
    published: 'published: stops fire',
    withheld: 'withheld: stops fire',
    'decision fails': 'withheld: stops fire',
  },
}

describe('will machine', () => {
  it.each(Object.keys(table) as (keyof typeof table)[])('%s answers every event as the table says', (state) => {
    const actual = Object.fromEntries((Object.keys(steps) as Step[]).map((step) => [step, outcome(state, step)]))
    expect(actual).toEqual(table[state])
  })

  it('has no state beyond the table but the three ends', () => {
    const states = Object.values(willMachine.root.states).map(({ key, type }) => [key, type])
    expect(states).toEqual([
      ['armed', 'atomic'],
      ['delayed', 'atomic'],
      ['due', 'atomic'],
      ['published', 'final'],
      ['withheld', 'final'],
      ['cancelled', 'final'],
    ])
  })

  it('says in its output what became of it', () => {
    const failure = transition(willMachine, reach('due'), steps['decision fails'])[0]
    expect(
      [...(['published', 'withheld', 'cancelled'] as const).map(reach), failure].map(({ output }) => output),
    ).toEqual([
      { outcome: 'published', reason: undefined },
      { outcome: 'withheld', reason: 'not allowed any more' },
      { outcome: 'cancelled', reason: undefined },
      { outcome: 'withheld', reason: 'the decision failed' },
    ])
  })

  it('keeps the time at which it is due, and who it speaks for', () => {
    expect(reach('delayed').context).toEqual({ ...input, dueAtMs: 31_000, reason: undefined })
  })

  it('MQTT-3.1.2-10: fires once, with the session and connection it speaks for, however often it is due', async () => {
    const asked: WillInput[] = []
    const emitted: WillEmitted[] = []
    const verdict = Promise.withResolvers<FireOutcome>()
    const machine = willMachine.provide({
      actors: {
        fire: fromPromise<FireOutcome, WillInput>((scope) => {
          asked.push(scope.input)
          return verdict.promise
        }),
      },
    })
    const actor = createActor(machine, { input })
    const ended = Promise.withResolvers<void>()
    actor.subscribe({ complete: () => ended.resolve() })
    actor.on('*', (event) => emitted.push(event))
    actor.start()
    actor.send(steps['release, due now'])
    actor.send(steps.due)
    actor.send(steps.cancel)
    verdict.resolve({ type: 'published' })
    await ended.promise
    expect(asked).toEqual([input])
    expect(emitted).toEqual([
      { type: 'will.ignored', event: 'will.due' },
      { type: 'will.ignored', event: 'will.cancel' },
    ])
    expect(actor.getSnapshot().output).toEqual({ outcome: 'published', reason: undefined })
  })

  it('persists as plain JSON in every state and goes on from there', () => {
    for (const state of Object.keys(routes) as State[]) {
      const persisted = createActor(willMachine, { input, snapshot: reach(state) }).getPersistedSnapshot()
      const stored = JSON.stringify(persisted)
      expect({ [state]: JSON.parse(stored) as unknown }).toEqual({ [state]: persisted })
    }
  })
})
