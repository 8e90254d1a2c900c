import { assign, createActor, fromPromise } from 'xstate'
import type { ActorRefFrom, EventFromLogic, InputFrom, OutputFrom, SnapshotFrom } from 'xstate'
import { describe, expectTypeOf, it } from 'vitest'

import { brokerMachine, sessionMachine, willMachine } from 'statemq/machines'
import type {
  AuthenticationOutcome,
  BrokerMachineEvent,
  Farewell,
  SessionContext,
  SessionEmitted,
  SessionEvent,
  SessionInput,
  SessionMachine,
  SessionOutput,
  Takeover,
  WillOutput,
} from 'statemq/machines'

declare const input: SessionInput

describe('sessionMachine.provide', () => {
  it('takes implementations by their names, with typed parameters', () => {
    const provided = sessionMachine.provide({
      guards: {
        incumbentChanged: (_, params) => {
          expectTypeOf(params).toEqualTypeOf<{
            incumbent: string | undefined
            takeover: Takeover | undefined
          }>()
          return false
        },
        mayTakeOver: (_, params) => {
          expectTypeOf(params).toEqualTypeOf<Takeover>()
          return params.previousState === 'offline'
        },
      },
      actions: {
        refuse: (_, params) => expectTypeOf(params).toEqualTypeOf<Farewell & { silent: boolean }>(),
        disconnect: (_, params) => expectTypeOf(params).toEqualTypeOf<Farewell & { silent?: boolean }>(),
        openPackets: ({ context }) => expectTypeOf(context).toEqualTypeOf<SessionContext>(),
        startExpiry: assign({ expiresAtMs: 1 }),
      },
      actors: {
        authenticate: fromPromise<AuthenticationOutcome, { sessionId: string }>(() =>
          Promise.resolve({ type: 'challenged' }),
        ),
      },
    })
    expectTypeOf(provided).toEqualTypeOf<SessionMachine>()
  })

  it('refuses what the chart does not name, and what does not fit the name', () => {
    expectTypeOf(sessionMachine.provide).toBeFunction()
    // @ts-expect-error there is no such guard
    sessionMachine.provide({ guards: { incumbentChange: () => true } })
    // @ts-expect-error there is no such action
    sessionMachine.provide({ actions: { openPacket: () => {} } })
    // @ts-expect-error there is no such actor
    sessionMachine.provide({ actors: { authorise: fromPromise(() => Promise.resolve()) } })
    // @ts-expect-error the chart gives the incumbent
    sessionMachine.provide({ guards: { incumbentChanged: (_, params: { previous: number }) => params.previous > 0 } })
    sessionMachine.provide({
      actors: {
        // @ts-expect-error an authenticator's verdict is not an outcome
        authenticate: fromPromise<{ type: 'allow' }, { sessionId: string }>(() => Promise.resolve({ type: 'allow' })),
      },
    })
  })
})

describe('a session actor', () => {
  const actor = createActor(sessionMachine, { input })

  it('takes the events of a session only', () => {
    expectTypeOf(actor.send).parameter(0).toEqualTypeOf<SessionEvent>()
    actor.send({ type: 'session.discard' })
    // @ts-expect-error publishes never pass through the machine
    actor.send({ type: 'packet.publish' })
    // @ts-expect-error the reason is missing
    actor.send({ type: 'session.disconnect', reasonCode: 0x98 })
    // @ts-expect-error not a reason code
    actor.send({ type: 'session.disconnect', reasonCode: 0x79, reason: 'no such code' })
    // @ts-expect-error a secret has no place in an event
    actor.send({ type: 'packet.auth', reasonCode: 0x18, authenticationMethod: 'SCRAM', authenticationData: 'secret' })
  })

  it('needs its input', () => {
    expectTypeOf<InputFrom<SessionMachine>>().toEqualTypeOf<SessionInput>()
    // @ts-expect-error a session belongs to a connection
    createActor(sessionMachine)
    // @ts-expect-error the connection is missing
    createActor(sessionMachine, { input: { sessionId: 's1' } })
  })

  it('emits what it says it does', () => {
    actor.on('session.ignored', (event) => expectTypeOf(event.event).toEqualTypeOf<SessionEvent['type']>())
    actor.on('*', (event) => expectTypeOf(event).toEqualTypeOf<SessionEmitted>())
    // @ts-expect-error there is no such event
    actor.on('session.gone', () => {})
  })

  it('knows its states, its context and its output', () => {
    const snapshot = actor.getSnapshot()
    expectTypeOf(snapshot).toEqualTypeOf<SnapshotFrom<SessionMachine>>()
    expectTypeOf(snapshot.context).toEqualTypeOf<SessionContext>()
    expectTypeOf<OutputFrom<SessionMachine>>().toEqualTypeOf<SessionOutput>()
    snapshot.matches({ online: { delivery: 'throttled' } })
    // @ts-expect-error there is no such state
    snapshot.matches('asleep')
    // @ts-expect-error the context is read only
    snapshot.context.epoch = 2
    expectTypeOf(actor).toExtend<ActorRefFrom<SessionMachine>>()
  })
})

describe('the other machines', () => {
  it('a will says what became of it', () => {
    expectTypeOf<OutputFrom<typeof willMachine>>().toEqualTypeOf<WillOutput>()
    // @ts-expect-error the times are missing
    createActor(willMachine, { input: {} as never }).send({ type: 'will.release' })
  })

  it('a broker closes within a time', () => {
    expectTypeOf<EventFromLogic<typeof brokerMachine>>().toEqualTypeOf<BrokerMachineEvent>()
    // @ts-expect-error how long may it take?
    createActor(brokerMachine).send({ type: 'broker.close' })
  })
})
