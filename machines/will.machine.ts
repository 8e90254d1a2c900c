import { assign, emit, fromPromise, setup } from 'xstate'

import type { WillSummary } from './session.types.ts'

/** What a will begins with. */
export interface WillInput {
  /** The session that it speaks for, and which of its connections: an old will must not answer for a new one. */
  readonly sessionId: string
  readonly epoch: number
  readonly will: WillSummary
}

/** What the chart of a will keeps. */
export interface WillContext extends WillInput {
  /** Broker time at which a delayed will is due. */
  readonly dueAtMs: number | undefined
  /** Why it was withheld. */
  readonly reason: string | undefined
}

/** What the chart of a will is told. */
export type WillEvent =
  /** The connection ended; publish at `dueAtMs`, or now when that is not later than `nowMs`. */
  | { readonly type: 'will.release'; readonly dueAtMs: number; readonly nowMs: number }
  /** The delay is over, or the session ends. */
  | { readonly type: 'will.due' }
  /** DISCONNECT 0x00, or a connection that continues the session in time. */
  | { readonly type: 'will.cancel' }
  /** The grant behind it was taken away. */
  | { readonly type: 'will.withhold'; readonly reason: string }

/** An event that the current state has no use for: a will is released once, and `due` can't be called back. */
export interface WillEmitted {
  readonly type: 'will.ignored'
  readonly event: WillEvent['type']
}

/** What became of a will; the machine's output. */
export interface WillOutput {
  readonly outcome: 'published' | 'withheld' | 'cancelled'
  readonly reason: string | undefined
}

/** What the `fire` actor answers. */
export type FireOutcome = { readonly type: 'published' } | { readonly type: 'withheld'; readonly reason: string }

/** An implementation that only the broker can give; running the bare chart says which is missing. */
function provided(name: string): () => never {
  return () => {
    throw new Error(`willMachine: "${name}" must be provided`)
  }
}

const withheld = {
  target: 'withheld',
  actions: {
    type: 'keepReason',
    params: ({ event }: { event: { readonly reason: string } }) => ({ reason: event.reason }),
  },
} as const

/**
 * The life of a last will (MQTT 5 section 3.1.2.5). It is an actor of its own and not a child of
 * its session, since a will outlives a session that ends: the decision to publish may take time.
 * `due` is left only with an answer, so a will is published once or not at all.
 */
export const willMachine = setup({
  types: {
    input: {} as WillInput,
    context: {} as WillContext,
    events: {} as WillEvent,
    emitted: {} as WillEmitted,
    output: {} as WillOutput,
  },
  actors: {
    /** Authorises and publishes. */
    fire: fromPromise<FireOutcome, WillInput>(provided('fire')),
  },
  actions: {
    /** Sends `will.due` at `context.dueAtMs`. */
    armDeadline: provided('armDeadline'),
    cancelDeadline: provided('cancelDeadline'),
    keepDueTime: assign(({ event }) => (event.type === 'will.release' ? { dueAtMs: event.dueAtMs } : {})),
    keepReason: assign((_, params: { reason: string }) => ({ reason: params.reason })),
    emitIgnored: emit(({ event }) => ({ type: 'will.ignored', event: event.type })),
  },
  guards: {
    isWithheld: (_, params: { outcome: FireOutcome }) => params.outcome.type === 'withheld',
    isDueAtOnce: ({ event }) => event.type === 'will.release' && event.dueAtMs <= event.nowMs,
  },
}).createMachine({
  id: 'will',
  initial: 'armed',
  context: ({ input }) => ({ ...input, dueAtMs: undefined, reason: undefined }),
  // Every final state says what became of the will, and that is what the machine answers.
  output: ({ event }) => event.output as WillOutput,
  on: {
    '*': { actions: 'emitIgnored' },
  },
  states: {
    armed: {
      on: {
        'will.release': [
          { guard: 'isDueAtOnce', target: 'due' },
          { target: 'delayed', actions: 'keepDueTime' },
        ],
        'will.due': 'due',
        'will.cancel': 'cancelled',
        'will.withhold': withheld,
      },
    },
    delayed: {
      entry: 'armDeadline',
      exit: 'cancelDeadline',
      on: {
        'will.due': 'due',
        'will.cancel': 'cancelled',
        'will.withhold': withheld,
      },
    },
    // What is being published can't be called back by an event: `fire` looks once more before it publishes.
    due: {
      invoke: {
        src: 'fire',
        input: ({ context }) => ({ sessionId: context.sessionId, epoch: context.epoch, will: context.will }),
        onDone: [
          {
            guard: { type: 'isWithheld', params: ({ event }) => ({ outcome: event.output }) },
            target: 'withheld',
            actions: {
              type: 'keepReason',
              params: ({ event }) => ({ reason: event.output.type === 'withheld' ? event.output.reason : '' }),
            },
          },
          { target: 'published' },
        ],
        onError: { target: 'withheld', actions: { type: 'keepReason', params: { reason: 'the decision failed' } } },
      },
    },
    published: { type: 'final', output: { outcome: 'published', reason: undefined } satisfies WillOutput },
    withheld: {
      type: 'final',
      output: ({ context }): WillOutput => ({ outcome: 'withheld', reason: context.reason }),
    },
    cancelled: { type: 'final', output: { outcome: 'cancelled', reason: undefined } satisfies WillOutput },
  },
})
