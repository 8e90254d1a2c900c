import { createActor, type ActorRefFrom } from 'xstate'

import type { SessionContext, SessionMachine } from '../../machines/session.machine.ts'
import type { ConnectionInfo } from '../messages.ts'
import type { SessionCore } from './core.ts'

export type SessionActor = ActorRefFrom<SessionMachine>

/** The actor of a session: in `connecting`, or where an earlier process left it, which is offline. */
export function makeActor(
  { machine, clock, registry }: Pick<SessionCore, 'machine' | 'clock' | 'registry'>,
  sessionId: string,
  connection: ConnectionInfo,
  restored: SessionContext | undefined,
): SessionActor {
  const input = { sessionId, startedAtMs: clock.nowMs(), connection }
  const parent = registry.root
  if (restored === undefined) return createActor(machine, { input, parent })
  return createActor(goingOn(machine), {
    input,
    parent,
    snapshot: machine.resolveState({ value: 'offline', context: restored }),
  })
}

const resumable = new WeakMap<SessionMachine, SessionMachine>()

/**
 * The machine for actors that go on. XState looks through the whole context of each for actors that
 * were in it, which takes as long as all the rest of a start, and a session's context has none.
 */
function goingOn(machine: SessionMachine): SessionMachine {
  let known = resumable.get(machine)
  if (known === undefined) {
    known = Object.create(machine, { restoreSnapshot: { value: (snapshot: unknown) => snapshot } }) as SessionMachine
    resumable.set(machine, known)
  }
  return known
}

/** Ends an actor wherever its chart is; `stop` is for actors that are the root of their system. */
export function stopActor(actor: SessionActor): void {
  actor.send({ type: 'xstate.stop' } as never)
}
