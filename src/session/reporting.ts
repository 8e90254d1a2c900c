import type { SnapshotFrom } from 'xstate'

import type { SessionEmitted, SessionMachine } from '../../machines/session.machine.ts'
import type { SessionState } from '../events.ts'
import type { Session } from './session.ts'

/** Tells the broker's observers what state a session came to, and keeps it where it is cheap to read. */
export function reportSnapshot(session: Session, snapshot: SnapshotFrom<SessionMachine>): void {
  const { value } = snapshot
  const state = (typeof value === 'string' ? value : Object.keys(value)[0]) as SessionState
  if (state === session.state) return
  const from = session.state
  const { events } = session.core
  session.state = state
  if (!events.observed) return
  events.emit({ type: 'session.transition', ...session.names, from, to: state, cause: session.cause })
  if (state !== 'expired') return
  const { reason, reasonCode } = snapshot.context.end ?? { reason: 'shutdown', reasonCode: undefined }
  events.emit({ type: 'session.expired', ...session.names, reason, reasonCode })
}

/** Translates what the chart emits. It comes in the middle of a transition, so everything is in the event. */
export function reportEmitted(session: Session, event: SessionEmitted): void {
  const { events } = session.core
  if (!events.observed) return
  switch (event.type) {
    case 'session.online':
    case 'session.offline':
    case 'session.taken-over':
    case 'session.refused':
    case 'session.reauthenticated':
      return events.emit({ ...event, ...session.names })
    case 'session.ignored':
      return events.emit({ ...event, ...session.names, state: session.state })
  }
}
