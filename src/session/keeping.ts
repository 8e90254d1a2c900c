import type { SessionContext } from '../../machines/session.machine.ts'
import { ReasonCode } from '../reason-codes.ts'
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
      session.send({ type: 'session.disconnect', reasonCode: ReasonCode.QuotaExceeded, reason: 'the store is full' })
    },
  )
}
