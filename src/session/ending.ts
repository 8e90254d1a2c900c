import { ProtocolError } from '../errors.ts'
import { ReasonCode } from '../reason-codes.ts'
import { decided } from './decided.ts'
import { cancelConnectionDeadlines } from './grant-deadlines.ts'
import { reportEnd } from './observing.ts'
import { enterState } from './reporting.ts'
import type { Session } from './session.ts'

const FAILED = { reason: 'failed', reasonCode: ReasonCode.ImplementationSpecificError } as const

/** What was done for one packet or timer threw: this session ends by it, and no other. */
export function handlerFailed(session: Session, error: unknown): void {
  if (error instanceof ProtocolError) return session.refusePacket(error.reasonCode, error.message, error.silent)
  const { core, id: sessionId, clientId, names } = session
  core.logger.error({ sessionId, clientId, err: error }, 'a packet handler failed')
  core.events.emit({ type: 'session.failed', ...names, error })
  const reasonCode = ReasonCode.ImplementationSpecificError
  const decision = decided('broker', '', 'what was done for a packet or a timer threw', reasonCode)
  session.send({ type: 'session.disconnect', reasonCode, reason: 'internal error', decision })
}

/** Its overflow policy is `disconnect`. */
export function outboxOverflowed(session: Session): void {
  const reasonCode = ReasonCode.QuotaExceeded
  const reason = 'the outbox is full'
  const decision = decided('limit', 'maxQueuedMessages', reason, reasonCode)
  session.send({ type: 'session.disconnect', reasonCode, reason, decision })
}

/** The actor itself failed: this session is over, and no other. */
export function failSession(session: Session, error: unknown): void {
  session.core.charts.failed(session)
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
  enterState(session, 'expired')
  reportEnd(session, from, FAILED, session.context)
}

/** Removes all traces of the session. Its actor has ended or is about to. */
export function dropSession(session: Session): void {
  const { registry, deadlines, keepalive } = session.core
  session.isOpen = false
  session.isAwake = false
  deadlines.cancel(session.deadline)
  session.core.jobs.cancelExpiry(session)
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
  endKeeping(session, registry.forget(session) ? outbound?.end() : undefined)
}

/** The store forgets the session; where `reading` says so, when its messages have been given to others or told of. */
function endKeeping({ keeper, clientId, context }: Session, reading: Promise<boolean> | undefined): void {
  if (reading === undefined) return keeper?.end()
  keeper?.bury(clientId, context)
  void reading.then((completed) => {
    // Else the next process does it.
    if (completed) keeper?.end()
  })
}
