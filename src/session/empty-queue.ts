import { giveAway, leave } from './outbound-checks.ts'
import type { Delivery } from './outbox.ts'
import type { Session } from './session.ts'

/**
 * Gives up what waits for a session without a connection. What is under way stays: its client may know
 * it by its identifier, which must not become another message's (MQTT-4.3.3-10). Messages of shared
 * subscriptions go to other members. Resolves when all is done, to false where its client was back before.
 */
export async function emptyQueue(session: Session): Promise<boolean> {
  const { outbound } = session
  if (!session.isOffline || outbound === undefined) return false
  const giveUp = (delivery: Delivery): void => {
    leave(session, delivery.place)
    giveAway(session, delivery, 'administrative', true)
  }
  const { outbox } = outbound.parts
  for (const delivery of outbox.extract(() => true)) giveUp(delivery)
  const isEmpty = (await outbox.tail?.empty(giveUp)) ?? true
  // What an operator was told has gone does not come back with the next process.
  await session.core.store?.durable()
  return isEmpty
}
