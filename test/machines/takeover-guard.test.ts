/** The chart's guarded transition over previous principal, next principal and previous state. */
import { initialTransition, transition } from 'xstate'
import { describe, expect, test } from 'vitest'

import { sessionMachine, type Takeover } from '../../machines/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect } from '../support/wire.ts'
import { admission, eventOf, input, modelMachine, type ModelEvent } from './session-model.ts'

const takeover: Takeover = {
  previousPrincipal: 'anna',
  nextPrincipal: 'anna',
  previousState: 'offline',
  policy: 'same-principal',
  isAllowedByHook: false,
}

/** Where the chart goes when `admit` has answered. */
function after(outcome: object, machine = modelMachine): { value: unknown; effects: string[] } {
  let [snapshot] = initialTransition(machine, input)
  for (const step of ['connect', 'identity: allowed'] as const)
    [snapshot] = transition(machine, snapshot, eventOf(step))
  const actorId = `0.session.${admission}`
  const output = { type: 'admitted', incumbent: 's0', sessionExpiryIntervalSeconds: 60, ...outcome }
  const event = { type: `xstate.done.actor.${actorId}`, actorId, output } as unknown as ModelEvent
  const [next, actions] = transition(machine, snapshot, event)
  return { value: next.value, effects: actions.map(({ type }) => type) }
}

describe('session machine: whose a client identifier is', () => {
  const cases: [Partial<Takeover>, boolean][] = [
    [{}, true],
    [{ nextPrincipal: 'otto' }, false],
    [{ nextPrincipal: undefined }, false],
    [{ previousPrincipal: undefined }, false],
    [{ previousPrincipal: undefined, nextPrincipal: undefined }, true],
    [{ policy: 'same-principal-when-offline' }, true],
    [{ policy: 'same-principal-when-offline', previousState: 'online' }, false],
    [{ policy: 'anyone', nextPrincipal: 'otto' }, true],
    [{ policy: 'anyone', nextPrincipal: undefined }, false],
    [{ nextPrincipal: 'otto', isAllowedByHook: true }, true],
  ]
  test.each(cases)('%j: %s', (changes, may) => {
    const { value, effects } = after({ takeover: { ...takeover, ...changes } })
    expect(effects.includes('discardIncumbent')).toBe(may)
    expect(effects.includes('refuse')).toBe(!may)
    if (!may) expect(value).toBe('expired')
  })

  test('nobody has to be asked where no session lives there', () => {
    expect(after({ incumbent: undefined }).effects).toContain('register')
  })

  test('nothing is done to the incumbent of a newcomer that comes too often, or is one too many', () => {
    for (const guard of ['takesOverTooOften', 'exceedsQuota'] as const) {
      const { value, effects } = after({ takeover }, modelMachine.provide({ guards: { [guard]: () => true } }))
      expect(value).toBe('expired')
      expect(effects).not.toContain('discardIncumbent')
      expect(effects).not.toContain('handOver')
    }
  })

  test('the client identifier that a client gets in place of its own is kept', () => {
    const request = { ...(eventOf('connect') as { connect: object }).connect, clientId: 'given' }
    let [snapshot] = initialTransition(modelMachine, input)
    for (const step of ['connect', 'identity: allowed'] as const)
      [snapshot] = transition(modelMachine, snapshot, eventOf(step))
    const actorId = `0.session.${admission}`
    const output = { type: 'admitted', incumbent: undefined, sessionExpiryIntervalSeconds: 60, connect: request }
    const event = { type: `xstate.done.actor.${actorId}`, actorId, output } as unknown as ModelEvent
    expect(transition(modelMachine, snapshot, event)[0].context.connect?.clientId).toBe('given')
  })
})

test('a broker with a guard of its embedder’s asks that one, and nobody is hurt by its no', async () => {
  const asked: Takeover[] = []
  const machine = sessionMachine.provide({
    guards: {
      mayTakeOver: (_, params) => {
        asked.push(params)
        return params.previousState === 'offline'
      },
    },
  })
  const t = startBroker({ machine })
  const stay = { clientId: 'c', cleanStart: false, properties: { sessionExpiryInterval: 60 } }
  const first = await t.connect(stay)
  await t.first(connect(stay)).expectRefused(0x87)
  await first.expectNothing()
  // Where no session lives nobody is asked, on the long way neither.
  await t.connect({ clientId: 'new', will: { topic: 'w', retain: true } })
  first.drop()
  await t.settle()
  expect((await t.connect(stay)).connack?.sessionPresent).toBe(true)
  const facts = {
    previousPrincipal: undefined,
    nextPrincipal: undefined,
    policy: 'same-principal',
    isAllowedByHook: false,
  }
  expect(asked).toEqual([
    { ...facts, previousState: 'online' },
    { ...facts, previousState: 'offline' },
  ])
})
