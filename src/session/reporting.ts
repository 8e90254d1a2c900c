import type { SnapshotFrom } from 'xstate'

import type { SessionEmitted, SessionMachine } from '../../machines/session.machine.ts'
import type { SessionState } from '../events.ts'
import type { Session } from './session.ts'

/** Tells the broker's observers what state a session came to, and keeps it where it is cheap to read. */
export function reportSnapshot(session: Session, snapshot: SnapshotFrom<SessionMachine>): void {
  const { value } = snapshot
  const state = (typeof value === 'string' ? value : Object.keys(value)[0]) as SessionState
  if (state !== session.state) reportTransition(session, snapshot, state)
  const { emitted } = session
  if (emitted === undefined) return
  session.emitted = undefined
  for (const event of emitted) session.core.events.emit(event)
}

function reportTransition(session: Session, snapshot: SnapshotFrom<SessionMachine>, state: SessionState): void {
  const from = session.state
  const { events } = session.core
  session.state = state
  if (!events.observed) return
  const { cause } = session
  if (from === 'connecting' && state === 'online') {
    // A client that was decided on at once passes through `authenticating` within one step of the chart.
    events.emit({ type: 'session.transition', ...session.names, from, to: 'authenticating', cause })
    events.emit({ type: 'session.transition', ...session.names, from: 'authenticating', to: state, cause })
  } else events.emit({ type: 'session.transition', ...session.names, from, to: state, cause })
  if (state !== 'expired') return
  const { reason, reasonCode } = snapshot.context.end ?? { reason: 'shutdown', reasonCode: undefined }
  events.emit({ type: 'session.expired', ...session.names, reason, reasonCode })
}

/**
 * Keeps what the chart emits until the transition is over, so that observers hear of it behind the
 * transition that it belongs to.
 */
export function reportEmitted(session: Session, event: SessionEmitted): void {
  if (!session.core.events.observed) return
  const emitted = (session.emitted ??= [])
  switch (event.type) {
    case 'session.online':
    case 'session.offline':
    case 'session.taken-over':
    case 'session.refused':
    case 'session.reauthenticated':
      emitted.push({ ...event, ...session.names })
      return
    case 'session.ignored':
      emitted.push({ ...event, ...session.names, state: session.state })
  }
}
