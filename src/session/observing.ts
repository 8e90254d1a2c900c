import type { SessionContext } from '../../machines/session.machine.ts'
import type { BrokerEvent, BrokerEventInput, SessionState } from '../events.ts'
import { hookClientOf } from './hook-client.ts'
import type { Session } from './session.ts'

/** Whether somebody wants events of this type of this session: frequent ones are not made otherwise. */
export function observes({ core, policy }: Session, type: BrokerEvent['type']): boolean {
  return core.events.observed || policy.observers?.has(type) === true
}

/** Tells what happened to a session: the observers of the broker's events, and those of the plugins. */
export function report(session: Session, event: BrokerEventInput, context?: SessionContext): void {
  session.core.events.emit(event)
  tellPlugins(session, event, context)
}

/** The plugins only: of what the router has told the others already. */
export function tellPlugins(session: Session, event: BrokerEventInput, context?: SessionContext): void {
  const { core, policy } = session
  core.observers.tell(policy.observers, event, () =>
    // Whoever was refused may have no grant.
    event.type === 'session.refused' ? session.request! : hookClientOf(session, context ?? session.context),
  )
}

type End = Pick<Extract<BrokerEventInput, { type: 'session.gone' }>, 'reason' | 'reasonCode'>

/** A session ended, which it was only if it had been online: either with its connection or while it had none. */
export function reportEnd(session: Session, from: SessionState, end: End, context: SessionContext): void {
  const event = { ...session.names, ...end }
  if (from === 'online') report(session, { type: 'session.gone', ...event }, context)
  else if (from === 'offline') tellPlugins(session, { type: 'session.expired', ...event }, context)
}
