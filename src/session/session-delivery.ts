import { StatemqError } from '../errors.ts'
import type { EventSink } from '../events.ts'
import type { MessageInput, QoS } from '../messages.ts'
import { Publication } from '../publication.ts'
import type { Deliver } from '../router/fanout.ts'
import type { SessionCore } from './core.ts'
import { deliverSafely } from './deliver.ts'
import { checkedPayload } from './message-check.ts'
import { failed, outcomeOf, type SessionOperation } from './session-operations.ts'

/** A message to chosen sessions. It has no RETAIN: there is no subscription that it could be kept for. */
export type DirectMessage = Omit<MessageInput, 'retain'>

/**
 * Gives a message to sessions that were chosen, whether they subscribe to its topic or not. It goes
 * the way of every delivery: the right to receive and `onDeliver` are checked, it waits in the
 * outbox of a session that is away or slow (QoS 1 and 2), and expires there. Subscriptions, shared
 * groups, retained messages, `onPublish` and observers of messages have no part in it.
 */
export class DirectDelivery {
  readonly #core: SessionCore
  readonly #deliver: Deliver
  /** What became of the delivery under way, if it did not arrive. */
  #refusal: string | undefined = undefined

  constructor(core: SessionCore) {
    this.#core = core
    const sink: EventSink = {
      get observed() {
        return core.events.observed
      },
      counters: core.counters,
      emit: (event) => {
        if (event.type === 'hook.failed') this.#refusal = 'onDeliver failed'
        core.events.emit(event)
      },
    }
    this.#deliver = deliverSafely(sink)
  }

  /** Throws SMQ_TOPIC_INVALID and SMQ_MESSAGE_INVALID. */
  operation(message: DirectMessage): SessionOperation {
    if ((message as MessageInput).retain === true)
      throw new StatemqError('SMQ_MESSAGE_INVALID', 'a message to chosen sessions cannot be retained')
    const payload = checkedPayload(message, this.#core.limits)
    const { topic, qos = 0 } = message
    const publication = new Publication(topic, qos, false, false, 0, payload, 0, payload.length)
    publication.properties = message.properties
    publication.startExpiry(this.#core.clock)
    publication.arrived = this.#core.router.turn.tenths
    return (session) => {
      const { registry } = this.#core
      // A hook may give out another message meanwhile.
      const outer = { refusal: this.#refusal, onDropped: registry.onDropped }
      this.#refusal = undefined
      registry.onDropped = (lost, reason) => {
        // A full outbox may have made room by dropping an older one.
        if (lost === publication || reason !== 'queue-full') this.#refusal = reason
      }
      try {
        const granted = Math.min(qos, session.policy.features.maximumQoS) as QoS
        // No subscription has been compared with its roles, so the message is.
        const allowed = session.mayReceive(topic, granted, undefined)
        if (allowed === undefined) session.denied(publication, granted, undefined)
        else this.#deliver(session, publication, allowed, false, undefined, undefined)
      } finally {
        registry.onDropped = outer.onDropped
      }
      const refusal = this.#refusal
      this.#refusal = outer.refusal
      return refusal === undefined ? outcomeOf(session, 'done') : failed(session, 'SMQ_PUBLISH_REFUSED', refusal)
    }
  }
}
