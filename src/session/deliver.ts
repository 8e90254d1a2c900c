import type { EventSink } from '../events.ts'
import type { AllowMessage } from '../hooks.ts'
import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { Deliver } from '../router/fanout.ts'
import type { DeliveryGroup } from '../router/subscriber.ts'
import { hookDenied, hookFailed } from './decide.ts'
import { changed } from './message-check.ts'
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
        given = decided(events, subscriber, publication, qos, retain, group)
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
  group: DeliveryGroup | undefined,
): Publication | undefined {
  try {
    const verdict = session.policy.hooks.onDeliver!(publication.toMessage(qos, retain), session.hookClient)
    if (verdict.type === 'next') return publication
    if (verdict.type === 'allow') return changedFor(publication, verdict, group)
    hookDenied(events, 'onDeliver', session.clientId, verdict)
  } catch (error) {
    session.dropped(publication, qos, 'denied')
    throw error
  }
  session.dropped(publication, qos, 'denied')
  return undefined
}

/** It may have to wait: its rights stay those of its own topic, and another member of its group gets it as it was. */
function changedFor(publication: Publication, changes: AllowMessage, group: DeliveryGroup | undefined): Publication {
  const given = changed(publication, changes)
  if (given === publication) return publication
  given.ownTopic = publication.topic
  if (group) given.original = publication
  return given
}
