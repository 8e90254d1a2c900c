import { createActor, fromPromise, initialTransition, transition } from 'xstate'
import type { SnapshotFrom } from 'xstate'
import { describe, expect, it } from 'vitest'

import { brokerMachine } from '../../machines/index.ts'
import type { BrokerMachineEmitted, BrokerMachineEvent, DrainInput } from '../../machines/index.ts'
import { effectsOf } from './session-model.ts'

const steps = {
  ready: { type: 'broker.ready' },
  close: { type: 'broker.close', drainTimeoutMs: 5_000 },
  drained: answer('done', { output: undefined }),
  'drain fails': answer('error', { error: new Error('a listener would not close') }),
} as const satisfies Record<string, BrokerMachineEvent>

type Step = keyof typeof steps

function answer(kind: 'done' | 'error', outcome: object): BrokerMachineEvent {
  const actorId = '0.broker.draining'
  return { type: `xstate.${kind}.actor.${actorId}`, actorId, ...outcome } as unknown as BrokerMachineEvent
}

const routes = {
  starting: [],
  running: ['ready'],
  draining: ['ready', 'close'],
  stopped: ['ready', 'close', 'drained'],
} as const satisfies Record<string, readonly Step[]>

type State = keyof typeof routes

function reach(state: State): SnapshotFrom<typeof brokerMachine> {
  let [snapshot] = initialTransition(brokerMachine)
  for (const step of routes[state]) [snapshot] = transition(brokerMachine, snapshot, steps[step])
  return snapshot
}

function outcome(state: State, step: Step): string {
  const [next, actions] = transition(brokerMachine, reach(state), steps[step])
  return `${next.value}: ${effectsOf(actions).join(', ')}`
}

const ignored = (state: string, event: string) => `${state}: emits {"type":"broker.ignored","event":"${event}"}`
const done = 'xstate.done.actor.0.broker.draining'
const failed = 'xstate.error.actor.0.broker.draining'

// State by event: where it ends up, and what is done on the way.
const table: Record<'starting' | 'running' | 'draining', Record<Step, string>> = {
  starting: {
    ready: 'running: ',
    close: 'draining: starts drain',
    drained: ignored('starting', done),
    'drain fails': ignored('starting', failed),
  },
  running: {
    ready: ignored('running', 'broker.ready'),
    close: 'draining: starts drain',
    drained: ignored('running', done),
    'drain fails': ignored('running', failed),
  },
  draining: {
    ready: ignored('draining', 'broker.ready'),
    close: ignored('draining', 'broker.close'),
    drained: 'stopped: stops drain',
    'drain fails': 'stopped: stops drain',
  },
}

describe('broker machine', () => {
  it.each(Object.keys(table) as (keyof typeof table)[])('%s answers every event as the table says', (state) => {
    const actual = Object.fromEntries((Object.keys(steps) as Step[]).map((step) => [step, outcome(state, step)]))
    expect(actual).toEqual(table[state])
  })

  it('has the four states of a broker, and stopped is its only end', () => {
    const states = Object.values(brokerMachine.root.states).map(({ key, type }) => [key, type])
    expect(states).toEqual([
      ['starting', 'atomic'],
      ['running', 'atomic'],
      ['draining', 'atomic'],
      ['stopped', 'final'],
    ])
    expect(reach('stopped').status).toBe('done')
  })

  it('drains once, within the time that close was given', async () => {
    const asked: DrainInput[] = []
    const emitted: BrokerMachineEmitted[] = []
    const drained = Promise.withResolvers<void>()
    const machine = brokerMachine.provide({
      actors: {
        drain: fromPromise<void, DrainInput>((scope) => {
          asked.push(scope.input)
          return drained.promise
        }),
      },
    })
    const actor = createActor(machine)
    const ended = Promise.withResolvers<void>()
    actor.subscribe({ complete: () => ended.resolve() })
    actor.on('*', (event) => emitted.push(event))
    actor.start()
    actor.send(steps.ready)
    actor.send(steps.close)
    actor.send({ type: 'broker.close', drainTimeoutMs: 1 })
    drained.resolve()
    await ended.promise
    expect(asked).toEqual([{ drainTimeoutMs: 5_000 }])
    expect(emitted).toEqual([{ type: 'broker.ignored', event: 'broker.close' }])
    expect(actor.getSnapshot().value).toBe('stopped')
  })
})
