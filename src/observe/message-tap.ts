import { Observable, type Subscriber as RxSubscriber } from 'rxjs'

import type { EventSink } from '../events.ts'
import type { Message, Publication, QoS } from '../messages.ts'
import type { Router } from '../router/router.ts'
import type { Subscriber } from '../router/subscriber.ts'

/** Messages that wait for one observer within a turn; beyond, new ones are given up. */
const MAX_QUEUED_MESSAGES = 10_000

/** An in-process observer of a filter: takes part in the index, but is no session. */
class MessageTap implements Subscriber {
  readonly clientId = ''
  readonly isSession = false
  readonly isAvailable = true
  readonly load = 0
  mergeStamp = 0
  mergeQoS: QoS = 0
  mergeRetain = false
  mergeIdentifiers: number[] | undefined = undefined
  readonly #observer: RxSubscriber<Message>
  readonly #events: EventSink
  #queue: Message[] = []

  constructor(observer: RxSubscriber<Message>, events: EventSink) {
    this.#observer = observer
    this.#events = events
  }

  deliver(publication: Publication, qos: QoS, retain: boolean): void {
    const { topic, payload, properties, publisher } = publication
    if (this.#queue.length >= MAX_QUEUED_MESSAGES) {
      this.#events.emit({ type: 'message.dropped', clientId: '', topic, qos, reason: 'observer-slow' })
      return
    }
    // Observers may keep the message: it must not pin the chunk that it came in.
    this.#queue.push({ topic, payload: Buffer.from(payload), qos, retain, properties: properties ?? {}, publisher })
    if (this.#queue.length === 1) setImmediate(() => this.#flush())
  }

  #flush(): void {
    const queue = this.#queue
    this.#queue = []
    for (const message of queue) this.#observer.next(message)
  }
}

/** Messages that match `filter`, live ones only, given out at the end of the turn they came in. */
export function observeMessages(router: Router, events: EventSink, filter: string): Observable<Message> {
  return new Observable((observer) => {
    const tap = new MessageTap(observer, events)
    const subscription = router.subscribe(tap, filter, undefined, {
      qos: 2,
      noLocal: false,
      retainAsPublished: true,
      retainHandling: 2,
      subscriptionIdentifier: 0,
    })
    return () => router.unsubscribe(subscription)
  })
}
