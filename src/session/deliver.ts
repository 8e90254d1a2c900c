import type { EventSink } from '../events.ts'
import type { Deliver } from '../router/fanout.ts'
import { changed } from './inbound.ts'
import { isPromise } from '../hooks.ts'
import { Session } from './session.ts'

/**
 * What stands between the router and a subscriber: the `onDeliver` hook of the session's listener,
 * and a net. One subscriber that fails must not keep a message from the others (threat 60).
 */
export function deliverSafely(events: EventSink): Deliver {
  return (subscriber, publication, qos, retain, subscriptionIdentifiers, group) => {
    try {
      let given = publication
      if (subscriber instanceof Session && subscriber.policy.hooks.onDeliver !== undefined) {
        const verdict = subscriber.policy.hooks.onDeliver(publication.toMessage(qos, retain), subscriber.hookClient)
        if (verdict?.type === 'deny') return subscriber.dropped(publication, qos, 'denied')
        if (verdict?.type === 'allow') given = changed(publication, verdict)
        // A promise, for one: a delivery does not wait, and what was not decided is not allowed.
        else if (verdict?.type !== 'next') {
          const answer: unknown = verdict
          if (isPromise(answer)) answer.catch(() => {})
          subscriber.dropped(publication, qos, 'denied')
          throw new TypeError('onDeliver gave no verdict')
        }
      }
      subscriber.deliver(given, qos, retain, subscriptionIdentifiers, group)
    } catch (error) {
      events.emit({ type: 'hook.failed', hook: 'onDeliver', clientId: subscriber.clientId, error })
    }
  }
}
