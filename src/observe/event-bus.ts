import { Subject, type Observable } from 'rxjs'

import { newCounters } from '../counters.ts'
import type { BrokerEvent, BrokerEventInput, EventSink } from '../events.ts'
import { observedEvents } from '../observers.ts'
import type { Clock, Logger } from '../options.ts'
import { GuardedObservable } from './guarded.ts'

/** Events that wait for observers; beyond, new ones are given up, and the log says so. */
const MAX_QUEUED_EVENTS = 100_000

/**
 * What happens in the broker, given to observers at the end of the turn in which it happened: they
 * run outside of every session, and one that throws hurts nobody. While nobody observes and debug
 * logging is off, nothing is queued, and frequent events are not even made.
 */
export class EventBus implements EventSink {
  readonly events$: Observable<BrokerEvent>
  readonly counters = newCounters()
  readonly #subject = new Subject<BrokerEvent>()
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #logsEvents: boolean
  #queue: BrokerEvent[] = []
  #scheduled = false
  #lost = 0

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
    this.#logsEvents = logger.isLevelEnabled?.('debug') ?? false
    this.events$ = new GuardedObservable(this.#subject, (error) => {
      logger.error({ err: error }, 'an observer of the events failed and was unsubscribed')
    })
  }

  get observed(): boolean {
    return this.#subject.observed || this.#logsEvents
  }

  emit(input: BrokerEventInput): void {
    // A hook that fails refuses people: its operator hears of it whether or not somebody observes.
    if (input.type === 'hook.failed') {
      this.counters.hooksFailed++
      const { hook, plugin, clientId, error } = input
      const what = hook in observedEvents ? 'an observer failed' : 'a hook failed; its verdict is no'
      this.#logger.warn({ hook, ...(plugin && { plugin }), clientId, err: error }, what)
    } else if (input.type === 'hook.overflowed') {
      const { hook, plugin, lostCalls } = input
      this.#logger.warn({ hook, plugin, lostCalls }, 'the observers of a plugin do not keep up; calls are lost')
    } else if (input.type === 'connection.refused') this.counters.connectionsRefused++
    if (!this.observed) return
    const event = { ...input, atMs: this.#clock.nowMs() } as BrokerEvent
    // Loggers of pino's kind write out an error under `err` only.
    if (this.#logsEvents) this.#logger.debug('error' in event ? { ...event, err: event.error } : event, event.type)
    if (!this.#subject.observed) return
    if (this.#queue.length >= MAX_QUEUED_EVENTS) {
      if (this.#lost++ === 0) this.#logger.warn({}, 'observers of the events do not keep up; some are lost')
      return
    }
    this.#queue.push(event)
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.flush())
  }

  /** Gives out what is queued; called at the end of a turn, and once more when the broker closes. */
  flush(): void {
    this.#scheduled = false
    const queue = this.#queue
    this.#queue = []
    this.#lost = 0
    for (const event of queue) this.#subject.next(event)
  }

  close(): void {
    this.flush()
    this.#subject.complete()
  }
}
