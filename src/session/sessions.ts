import type { SessionContext } from '../../machines/session.machine.ts'
import type { SessionState } from '../events.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { Registry } from './registry.ts'
import type { Session, SessionActor } from './session.ts'

/** A session as an embedder sees it. */
export interface SessionView {
  readonly clientId: string
  /** Unique for the life of the process. */
  readonly sessionId: string
  readonly state: SessionState
  /** What the chart knows of it: grant, settings, will, deadlines. Never a secret or a payload. */
  readonly context: SessionContext
  /** The actor itself: observe it; send it events only if you know the chart. */
  readonly actorRef: SessionActor
  /** Messages that wait in its outbox. */
  readonly queuedMessages: number
  readonly queuedBytes: number
  /** QoS 1 and 2 messages that it has not acknowledged. */
  readonly inflightMessages: number
  /** Filters as its client wrote them. */
  readonly subscriptions: readonly string[]
  /** Ends the connection with a DISCONNECT (MQTT 5); its will is published by the rules. Default 0x98. */
  disconnect(reasonCode?: ReasonCode, reason?: string): void
  /** Ends the session, and its connection if it has one. */
  expire(): void
}

/** All sessions of a broker, online and offline, by client identifier: reads like a Map. */
export class BrokerSessions implements Iterable<[string, SessionView]> {
  readonly #registry: Registry

  constructor(registry: Registry) {
    this.#registry = registry
  }

  get size(): number {
    return this.#registry.sessions.size
  }

  get(clientId: string): SessionView | undefined {
    const session = this.#registry.sessions.get(clientId)
    return session && viewOf(session)
  }

  has(clientId: string): boolean {
    return this.#registry.sessions.has(clientId)
  }

  keys(): IterableIterator<string> {
    return this.#registry.sessions.keys()
  }

  *values(): IterableIterator<SessionView> {
    for (const session of this.#registry.sessions.values()) yield viewOf(session)
  }

  *entries(): IterableIterator<[string, SessionView]> {
    for (const [clientId, session] of this.#registry.sessions) yield [clientId, viewOf(session)]
  }

  [Symbol.iterator](): IterableIterator<[string, SessionView]> {
    return this.entries()
  }
}

function viewOf(session: Session): SessionView {
  return {
    clientId: session.clientId,
    sessionId: session.id,
    get state() {
      return session.state
    },
    get context() {
      return session.context
    },
    actorRef: session.actor,
    get queuedMessages() {
      return session.outbound?.queued ?? 0
    },
    get queuedBytes() {
      return session.outbound?.queuedBytes ?? 0
    },
    get inflightMessages() {
      return session.outbound?.inflight ?? 0
    },
    get subscriptions() {
      return [...(session.subscriptions?.entries() ?? [])].map(([filter]) => filter)
    },
    disconnect: (reasonCode = ReasonCode.AdministrativeAction, reason = 'disconnected by the operator') => {
      session.send({ type: 'session.disconnect', reasonCode, reason })
    },
    expire: () => session.send({ type: 'session.expire' }),
  }
}
