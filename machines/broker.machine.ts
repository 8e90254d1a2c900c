import { assign, emit, fromPromise, setup } from 'xstate'

/** What draining is told. */
export interface DrainInput {
  /** Milliseconds that draining may take before what is left is cut. */
  readonly drainTimeoutMs: number
}

/** What the chart of the broker is told. */
export type BrokerMachineEvent =
  /** The first listener opened or the first stream was attached. */
  { readonly type: 'broker.ready' } | { readonly type: 'broker.close'; readonly drainTimeoutMs: number }

/** An event that the current state has no use for: another listener, or a second `close`. */
export interface BrokerMachineEmitted {
  readonly type: 'broker.ignored'
  readonly event: BrokerMachineEvent['type']
}

/**
 * The life of a broker: it takes connections while `running`, and closes by draining. `stopped` is
 * reached only when listeners, sessions and wills have ended.
 */
export const brokerMachine = setup({
  types: {
    context: {} as DrainInput,
    events: {} as BrokerMachineEvent,
    emitted: {} as BrokerMachineEmitted,
  },
  actors: {
    /** Closes listeners, tells the clients 0x8B, sends the wills that are due, ends the sessions. */
    drain: fromPromise<void, DrainInput>(() => {
      throw new Error('brokerMachine: "drain" must be provided')
    }),
  },
  actions: {
    keepDrainTimeout: assign(({ event }) =>
      event.type === 'broker.close' ? { drainTimeoutMs: event.drainTimeoutMs } : {},
    ),
    emitIgnored: emit(({ event }) => ({ type: 'broker.ignored', event: event.type })),
  },
}).createMachine({
  id: 'broker',
  initial: 'starting',
  context: { drainTimeoutMs: 0 },
  on: {
    '*': { actions: 'emitIgnored' },
  },
  states: {
    starting: {
      on: {
        'broker.ready': 'running',
        'broker.close': { target: 'draining', actions: 'keepDrainTimeout' },
      },
    },
    running: {
      on: { 'broker.close': { target: 'draining', actions: 'keepDrainTimeout' } },
    },
    draining: {
      invoke: {
        src: 'drain',
        input: ({ context }) => ({ drainTimeoutMs: context.drainTimeoutMs }),
        onDone: 'stopped',
        // A drain that fails has nothing more to wait for.
        onError: 'stopped',
      },
    },
    stopped: { type: 'final' },
  },
})
