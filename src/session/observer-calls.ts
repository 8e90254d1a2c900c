import type { BrokerEvent, BrokerEventInput, EventSink } from '../events.ts'
import { isPromise, type ConnectRequest, type HookClient, type Hooks } from '../hooks.ts'
import { observedEvents, type ObserverHooks } from '../observers.ts'
import type { Clock } from '../options.ts'

type ObserverName = keyof ObserverHooks
/** Who an event is about: a session, or a client that never became one. */
type Subject = HookClient | ConnectRequest

/** One plugin's observer of one type of event. */
interface Observer {
  readonly plugin: Hooks
  readonly hook: ObserverName
}

/** The observers of a listener by the events that they are told of. Undefined where there are none. */
export type Observers = ReadonlyMap<BrokerEvent['type'], readonly Observer[]>

/** All of the broker's and all of the listener's: watching is nothing that one could do in place of another. */
export function observersOf(broker: readonly Hooks[], own: readonly Hooks[]): Observers | undefined {
  const observers = new Map<BrokerEvent['type'], Observer[]>()
  for (const plugin of new Set([...broker, ...own])) {
    for (const [hook, type] of Object.entries(observedEvents) as [ObserverName, BrokerEvent['type']][]) {
      if (plugin[hook]) observers.set(type, [...(observers.get(type) ?? []), { plugin, hook }])
    }
  }
  return observers.size === 0 ? undefined : observers
}

/** The calls of one plugin that wait or are under way. */
class Backlog {
  calls = 0
  /** Calls given up since it was last idle. */
  lost = 0
  /** When a failure was last told, by hook: an observer that fails at every message must not flood the log. */
  readonly toldAtMs = new Map<ObserverName, number>()
}

interface Call extends Observer {
  readonly event: BrokerEvent
  readonly subject: Subject
  readonly backlog: Backlog
}

/** Calls in one turn of the event loop: at 10 µs each, 5 ms. */
const MAX_CALLS_PER_TURN = 500
/** A failing observer is told of once in so long. */
const TELL_FAILURE_MS = 1_000

export interface ObserverCallsOptions {
  readonly clock: Clock
  readonly events: EventSink
  /** `limits.maxObserverCalls`, as it is now. */
  readonly maxCalls: () => number
}

/**
 * Calls observers behind the turn in which something happened, in the order in which it did. Nobody
 * waits for them. Each plugin has so many calls that wait or whose promise is pending; what comes on
 * top is given up and told of, so that one that hangs costs itself only (semantics 7.11, threat 60).
 */
export class ObserverCalls {
  readonly #options: ObserverCallsOptions
  readonly #backlogs = new WeakMap<Hooks, Backlog>()
  #waiting: Call[] = []
  #at = 0
  #scheduled = false

  constructor(options: ObserverCallsOptions) {
    this.#options = options
  }

  /** `subject` is asked for where somebody observes. */
  tell(observers: Observers | undefined, input: BrokerEventInput, subject: () => Subject): void {
    const interested = observers?.get(input.type)
    if (interested === undefined) return
    const event = { ...input, atMs: this.#options.clock.nowMs() } as BrokerEvent
    const about = subject()
    for (const observer of interested) this.#push(observer, event, about)
  }

  #push({ plugin, hook }: Observer, event: BrokerEvent, subject: Subject): void {
    const backlog = this.#backlogs.get(plugin) ?? new Backlog()
    this.#backlogs.set(plugin, backlog)
    if (backlog.calls >= this.#options.maxCalls()) {
      if (backlog.lost++ === 0) this.#tellLost(plugin, hook, 1)
      return
    }
    backlog.calls++
    this.#waiting.push({ plugin, hook, event, subject, backlog })
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#run(MAX_CALLS_PER_TURN)
      if (this.#at < this.#waiting.length) this.#schedule()
    })
  }

  /** Makes all calls that wait: the broker stops. */
  flush(): void {
    this.#run(Infinity)
  }

  #run(maxCalls: number): void {
    const end = Math.min(this.#waiting.length, this.#at + maxCalls)
    while (this.#at < end) this.#call(this.#waiting[this.#at++]!)
    if (this.#at === this.#waiting.length) this.#waiting = []
    else this.#waiting = this.#waiting.slice(this.#at)
    this.#at = 0
  }

  #call(call: Call): void {
    const { plugin, hook, event, subject } = call
    try {
      const told = (plugin[hook] as (event: BrokerEvent, subject: Subject) => unknown).call(plugin, event, subject)
      if (!isPromise(told)) return this.#ended(call)
      told.then(
        () => this.#ended(call),
        (error: unknown) => this.#failed(call, error),
      )
    } catch (error) {
      this.#failed(call, error)
    }
  }

  #failed(call: Call, error: unknown): void {
    const { plugin, hook, subject, backlog } = call
    const { clock, events } = this.#options
    const nowMs = clock.nowMs()
    if (nowMs - (backlog.toldAtMs.get(hook) ?? -Infinity) >= TELL_FAILURE_MS) {
      backlog.toldAtMs.set(hook, nowMs)
      events.emit({ type: 'hook.failed', hook, ...nameOf(plugin), clientId: subject.clientId, error })
    }
    this.#ended(call)
  }

  #ended({ plugin, hook, backlog }: Call): void {
    if (--backlog.calls > 0 || backlog.lost === 0) return
    this.#tellLost(plugin, hook, backlog.lost)
    backlog.lost = 0
  }

  #tellLost(plugin: Hooks, hook: ObserverName, lostCalls: number): void {
    this.#options.events.emit({ type: 'hook.overflowed', hook, ...nameOf(plugin), lostCalls })
  }
}

function nameOf({ name }: Hooks): { readonly plugin?: string } {
  return name === undefined ? {} : { plugin: name }
}
