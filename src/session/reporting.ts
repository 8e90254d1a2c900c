import type { SnapshotFrom } from 'xstate'

import type { SessionEmitted, SessionMachine, SessionOutput } from '../../machines/session.machine.ts'
import type { SessionState } from '../events.ts'
import { keepSession } from './keeping.ts'
import { report, reportEnd } from './observing.ts'
import { applyRights } from './rights.ts'
import type { Session } from './session.ts'

/** The session is in another state now; one that has ended is counted no more. */
export function enterState(session: Session, state: SessionState): void {
  const { levels } = session.core.counters
  const { states } = levels
  if (session.state !== 'expired') states[session.state]--
  session.state = state
  if (state === 'expired') return
  states[state]++
  if (state === 'online' && states.online > levels.mostOnline) levels.mostOnline = states.online
}

/** Tells the broker's observers what state a session came to, and keeps it where it is cheap to read. */
export function reportSnapshot(session: Session, snapshot: SnapshotFrom<SessionMachine>): void {
  const { value } = snapshot
  const state = (typeof value === 'string' ? value : Object.keys(value)[0]) as SessionState
  const from = session.state
  if (state !== from) reportTransition(session, snapshot, state)
  session.core.registry.changed(session)
  if (state === 'online' || state === 'offline') keepSession(session, snapshot.context, state === 'online')
  const { emitted } = session
  if (emitted !== undefined) {
    session.emitted = undefined
    for (const event of emitted) report(session, event, snapshot.context)
  }
  // Whatever else there was to tell of the session, its end is the last of it.
  if (state === 'expired' && from !== 'expired') reportEnd(session, from, endOf(snapshot), snapshot.context)
  // Behind the transition: only now does everybody see the grant that it left.
  if (session.mustReauthorise) applyRights(session)
}

function reportTransition(session: Session, snapshot: SnapshotFrom<SessionMachine>, state: SessionState): void {
  const from = session.state
  const { events } = session.core
  enterState(session, state)
  if (events.observed) tellTransition(session, from, state)
  if (state !== 'expired') return
  const end = endOf(snapshot)
  if (end.reason === 'session-expired') session.core.counters.sessionsExpired++
  events.emit({ type: 'session.expired', ...session.names, ...end })
}

function count({ core: { counters } }: Session, event: SessionEmitted): void {
  if (event.type === 'session.online') counters.sessionsAdmitted++
  else if (event.type === 'session.taken-over') counters.takeovers++
  else if (event.type === 'session.refused')
    counters.sessionsRefused[event.reasonCode] = (counters.sessionsRefused[event.reasonCode] ?? 0) + 1
}

function endOf({ context }: SnapshotFrom<SessionMachine>): SessionOutput {
  return context.end ?? { reason: 'shutdown', reasonCode: undefined }
}

function tellTransition(session: Session, from: SessionState, to: SessionState): void {
  const { cause } = session
  const { events } = session.core
  if (from === 'connecting' && to === 'online') {
    // A client that was decided on at once passes through `authenticating` within one step of the chart.
    events.emit({ type: 'session.transition', ...session.names, from, to: 'authenticating', cause })
    events.emit({ type: 'session.transition', ...session.names, from: 'authenticating', to, cause })
  } else events.emit({ type: 'session.transition', ...session.names, from, to, cause })
}

/**
 * Keeps what the chart emits until the transition is over, so that observers hear of it behind the
 * transition that it belongs to.
 */
export function reportEmitted(session: Session, event: SessionEmitted): void {
  count(session, event)
  if (event.type === 'session.refused') {
    session.core.refusals.add(session, event)
    session.core.door.offences.refused(session, event.reasonCode)
  } else if (event.type === 'session.online') session.core.door.offences.cameOnline(session)
  if (!session.core.events.observed && session.policy.observers === undefined) return
  const emitted = (session.emitted ??= [])
  switch (event.type) {
    case 'session.online':
      emitted.push({ type: 'session.woken', ...session.names, ...leftFor(session) }, { ...event, ...session.names })
      return
    case 'session.offline':
    case 'session.taken-over':
    case 'session.refused':
    case 'session.reauthenticated':
    case 'session.reauthentication-failed':
    case 'authority.expiring':
    case 'authority.expired':
    case 'authority.revoked':
    case 'roles.changed':
    case 'properties.changed':
    case 'attributes.changed':
      emitted.push({ ...event, ...session.names })
      return
    case 'session.ignored':
      emitted.push({ ...event, ...session.names, state: session.state })
  }
}

/** Messages that waited for the client: as CONNACK is sent, before any of them goes out. */
function leftFor({ outbound }: Session): { readonly queuedMessages: number; readonly inflightMessages: number } {
  return { queuedMessages: outbound?.queued ?? 0, inflightMessages: outbound?.inflight ?? 0 }
}
