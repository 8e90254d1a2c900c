import type { SessionContext } from '../../machines/session.machine.ts'
import { StatemqError } from '../errors.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { Connection } from './connection.ts'
import { decided } from './decided.ts'
import { refuseConnect } from './farewell.ts'
import { Keeper } from './keeper.ts'
import type { Session } from './session.ts'

/**
 * A step of the chart is over, or CONNACK is about to say that it will be: what it left is written
 * down. Nothing to do for a session that ends with its connection, and that nobody kept before.
 */
export function keepSession(session: Session, context: SessionContext, isOnline: boolean): void {
  const { store } = session.core
  if (store === undefined) return
  if (session.keeper === undefined) {
    if (context.sessionExpiryIntervalSeconds === 0) return
    session.keeper = new Keeper(store, store.nextSessionKey(), 1)
  }
  session.keeper.update(session.clientId, context, isOnline)
}

/**
 * What is said to the client in this turn is true only once the store has it: it is held back until
 * then. Where the store can't have it, nothing was promised, and the connection ends.
 */
export function holdAnswers(session: Session): void {
  const { connection, core } = session
  const durable = core.store?.durable()
  if (durable === undefined || connection === undefined || session.heldFor === durable) return
  session.heldFor = durable
  connection.hold(durable)
  durable.then(
    () => {
      if (session.heldFor === durable) session.heldFor = undefined
    },
    (error: unknown) => {
      core.logger.error({ sessionId: session.id, clientId: session.clientId, err: error }, 'the store did not keep it')
      if (session.connection !== connection) return
      if (unanswered.get(connection) === durable) return refuseUnanswered(session, faultCode(error))
      const reasonCode = ReasonCode.QuotaExceeded
      const reason = 'the store did not keep it'
      const decision = decided('broker', 'store', reason, reasonCode)
      session.send({ type: 'session.disconnect', reasonCode, reason, decision })
    },
  )
}

/** Connections whose CONNACK waits, with what it waits for. */
const unanswered = new WeakMap<Connection, Promise<void>>()

/** The same for CONNACK, which goes out in this turn: where the store fails it is a refusal that the client gets. */
export function holdConnack(session: Session): void {
  holdAnswers(session)
  if (session.connection && session.heldFor) unanswered.set(session.connection, session.heldFor)
}

/** MQTT-3.14.0-1: there was no CONNACK yet, so it is not DISCONNECT that says no. The session goes on without it. */
function refuseUnanswered(session: Session, reasonCode: ReasonCode): void {
  const reason = 'the store keeps nothing just now'
  refuseConnect(session, { reasonCode, reason })
  session.send({ type: 'connection.closed', decision: decided('broker', 'store', reason, reasonCode) })
}

/** What a client is told of a store that takes nothing: it is full, or away. */
export function faultCode(fault: unknown): ReasonCode {
  const isFull = fault instanceof StatemqError && fault.code === 'SMQ_STORE_FULL'
  return isFull ? ReasonCode.QuotaExceeded : ReasonCode.ServerUnavailable
}
