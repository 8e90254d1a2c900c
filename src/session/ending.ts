import { ReasonCode } from '../reason-codes.ts'
import { cancelConnectionDeadlines } from './grant-deadlines.ts'
import { reportEnd } from './observing.ts'
import type { Session } from './session.ts'

const FAILED = { reason: 'failed', reasonCode: ReasonCode.ImplementationSpecificError } as const

/** The actor itself failed: this session is over, and no other. */
export function failSession(session: Session, error: unknown): void {
  session.core.logger.error({ sessionId: session.id, clientId: session.clientId, err: error }, 'a session actor failed')
  session.core.events.emit({ type: 'session.failed', ...session.names, error })
  const connection = session.releaseConnection()
  if (connection) {
    const reasonString = 'internal error'
    if (session.isOpen) connection.send({ type: 14, reasonCode: ReasonCode.ImplementationSpecificError, reasonString })
    connection.end()
  }
  session.will?.due()
  dropSession(session)
  const from = session.state
  session.state = 'expired'
  reportEnd(session, from, FAILED, session.context)
}

/** Removes all traces of the session. Its actor has ended or is about to. */
export function dropSession(session: Session): void {
  const { registry, deadlines, keepalive } = session.core
  session.isOpen = false
  session.isAwake = false
  deadlines.cancel(session.deadline)
  deadlines.cancel(session.authenticationDeadline)
  cancelConnectionDeadlines(session)
  keepalive.unwatch(session)
  session.exchange?.abort()
  session.exchange = undefined
  session.replay?.close()
  const { outbound } = session
  // What a shared subscription left here is given on by `end`, in its order, not filter by filter.
  session.outbound = undefined
  session.subscriptions?.clear()
  registry.hosts.delete(session.id)
  registry.handovers.delete(session.id)
  // One that failed was not asked to leave its places (threats 52, 53).
  if (session.isOffline) registry.offline--
  session.isOffline = false
  session.keeper?.end()
  if (registry.forget(session)) outbound?.end()
}
