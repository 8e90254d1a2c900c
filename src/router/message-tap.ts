import type { EventSink } from '../events.ts'
import type { Message, QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { Subscriber } from './subscriber.ts'

/** Messages that wait for one observer within a turn; beyond, new ones are given up. */
const MAX_QUEUED_MESSAGES = 10_000

/** An in-process observer of a filter: takes part in the index, but is no session. */
export class MessageTap implements Subscriber {
  readonly clientId = ''
  readonly isSession = false
  readonly isAvailable = true
  readonly hasRights = true
  readonly load = 0
  /** The embedder's own code: roles are for clients. */
  readonly checksMessages = false
  mergeStamp = 0
  mergeQoS: QoS = 0
  mergeRetain = false
  mergeIdentifiers: number[] | undefined = undefined
  readonly #onMessage: (message: Message) => void
  readonly #events: EventSink
  #queue: Message[] = []

  constructor(onMessage: (message: Message) => void, events: EventSink) {
    this.#onMessage = onMessage
    this.#events = events
  }

  mayReceive(_topic: string, qos: QoS): QoS {
    return qos
  }

  deliver(publication: Publication, qos: QoS, retain: boolean): void {
    if (this.#queue.length >= MAX_QUEUED_MESSAGES) {
      this.#events.counters.dropped['observer-slow']++
      this.#events.emit({
        type: 'message.dropped',
        clientId: '',
        topic: publication.topic,
        qos,
        reason: 'observer-slow',
      })
      return
    }
    // Observers may keep the message: it must not pin the chunk that it came in.
    const message = publication.toMessage(qos, retain)
    this.#queue.push({ ...message, payload: Buffer.from(message.payload) })
    if (this.#queue.length === 1) setImmediate(() => this.#flush())
  }

  #flush(): void {
    const queue = this.#queue
    this.#queue = []
    for (const message of queue) this.#onMessage(message)
  }
}
