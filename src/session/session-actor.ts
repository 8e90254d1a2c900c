import { createActor, type ActorRefFrom } from 'xstate'

import type { SessionContext, SessionMachine } from '../../machines/session.machine.ts'
import type { ConnectionInfo } from '../messages.ts'
import type { SessionCore } from './core.ts'

export type SessionActor = ActorRefFrom<SessionMachine>

/** The actor of a session: in `connecting`, or where an earlier process left it, which is offline. */
export function makeActor(
  { machine, clock }: Pick<SessionCore, 'machine' | 'clock'>,
  sessionId: string,
  connection: ConnectionInfo,
  restored: SessionContext | undefined,
): SessionActor {
  const input = { sessionId, startedAtMs: clock.nowMs(), connection }
  if (restored === undefined) return createActor(machine, { input })
  return createActor(machine, { input, snapshot: machine.resolveState({ value: 'offline', context: restored }) })
}
