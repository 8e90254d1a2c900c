import type { EventSink } from '../events.ts'
import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { Deliver } from '../router/fanout.ts'
import { hookDenied, hookFailed } from './decide.ts'
import { changed } from './inbound.ts'
import { Session } from './session.ts'

/**
 * What stands between the router and a subscriber: the `onDeliver` hook of the session's listener,
 * and a net. One subscriber that fails must not keep a message from the others (threat 60).
 */
export function deliverSafely(events: EventSink): Deliver {
  return (subscriber, publication, qos, retain, subscriptionIdentifiers, group) => {
    try {
      let given: Publication | undefined = publication
      if (subscriber instanceof Session && subscriber.policy.hooks.onDeliver !== undefined)
        given = decided(events, subscriber, publication, qos, retain)
      if (given) subscriber.deliver(given, qos, retain, subscriptionIdentifiers, group)
    } catch (error) {
      hookFailed(events, 'onDeliver', subscriber.clientId, error)
    }
  }
}

/** The message as the hook leaves it; undefined: it was dropped. Throws what the hook threw. */
function decided(
  events: EventSink,
  session: Session,
  publication: Publication,
  qos: QoS,
  retain: boolean,
): Publication | undefined {
  try {
    const verdict = session.policy.hooks.onDeliver!(publication.toMessage(qos, retain), session.hookClient)
    if (verdict.type === 'next') return publication
    if (verdict.type === 'allow') return changed(publication, verdict)
    hookDenied(events, 'onDeliver', session.clientId, verdict)
  } catch (error) {
    session.dropped(publication, qos, 'denied')
    throw error
  }
  session.dropped(publication, qos, 'denied')
  return undefined
}
