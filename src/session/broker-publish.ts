import { countReceived } from '../counters.ts'
import { StatemqError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { MessageInput } from '../messages.ts'
import { Keeping, Publication } from '../publication.ts'
import type { SessionCore } from './core.ts'
import { checkedPayload } from './message-check.ts'

/** A message of the broker's own; resolves with how many sessions it was given to, when it is as safe as its QoS asks for. */
export async function publishAsBroker(core: SessionCore, limits: Limits, message: MessageInput): Promise<number> {
  const payload = checkedPayload(message, limits)
  const { topic, qos = 0, retain = false, properties } = message
  const publication = new Publication(topic, qos, retain, false, 0, payload, 0, payload.length)
  publication.properties = properties
  publication.startExpiry(core.clock)
  countReceived(core.counters, publication)
  await core.router.publish(publication)
  if (publication.keeping === Keeping.Refused) throw core.store?.fault ?? new StatemqError('SMQ_STORE_FAILED')
  // As every publisher the embedder hears of it when it is safe.
  if (publication.keeping === Keeping.Written && qos > 0) await core.store?.durable()
  return publication.reached
}
