import { context, SpanKind, SpanStatusCode, trace, type Span, type Tracer } from '@opentelemetry/api'

import type { TransitionRecord } from '../inspection.ts'
import { logText } from '../log-text.ts'

/** A CONNECT that is not answered yet. */
interface Connecting {
  readonly span: Span
  /** What is being decided: `authenticate`, then `admit`. */
  step: { readonly name: string; readonly span: Span } | undefined
  /** Somebody was asked who the client is, and has answered. */
  hasAuthenticated: boolean
}

/** More would mean that ends were missed; the oldest is given up. */
const MAX_CONNECTING = 100_000

/** Spans of CONNECT, made of the steps of sessions' charts when they are told: their times are those of the steps. */
export class ConnectSpans {
  readonly #tracer: Tracer
  readonly #connecting = new Map<string, Connecting>()

  constructor(tracer: Tracer) {
    this.#tracer = tracer
  }

  onStep(record: TransitionRecord): void {
    const { sessionId, event, to, atMs } = record
    const connecting = this.#connecting.get(sessionId)
    if (connecting === undefined) {
      if (event === 'packet.connect' && to[0]?.startsWith('authenticating') === true) this.#begin(record)
      return
    }
    const place = to[0] ?? ''
    const next = stepIn(place)
    if (next === undefined) return this.#end(connecting, record)
    if (place === 'enhanced-auth') connecting.step?.span.addEvent('challenge', {}, atMs)
    if (next === connecting.step?.name || next === 'none') return
    this.#leave(connecting, record)
    connecting.step = { name: next, span: this.#child(connecting, next, atMs) }
  }

  /** The broker is closed, or nobody listens any more. */
  close(): void {
    for (const { span, step } of this.#connecting.values()) {
      step?.span.end()
      span.end()
    }
    this.#connecting.clear()
  }

  #begin({ sessionId, clientId, atMs }: TransitionRecord): void {
    const attributes = {
      'messaging.system': 'mqtt',
      'messaging.client.id': logText(clientId),
      'statemq.session.id': sessionId,
    }
    const span = this.#tracer.startSpan('CONNECT', { kind: SpanKind.SERVER, startTime: atMs, attributes })
    this.#connecting.set(sessionId, { span, step: undefined, hasAuthenticated: false })
    if (this.#connecting.size <= MAX_CONNECTING) return
    for (const [oldest, given] of this.#connecting) {
      given.step?.span.end()
      given.span.end()
      this.#connecting.delete(oldest)
      return
    }
  }

  #child({ span }: Connecting, name: string, startTime: number): Span {
    return this.#tracer.startSpan(name, { startTime }, trace.setSpan(context.active(), span))
  }

  /** The step that was under way ends with this record, and by whose decision. */
  #leave(connecting: Connecting, { atMs, decision, to }: TransitionRecord): void {
    const { step } = connecting
    if (step === undefined) return
    connecting.step = undefined
    if (step.name === 'authenticate') connecting.hasAuthenticated = true
    if (decision !== null) step.span.setAttributes(attributesOf(decision))
    if (to[0] === 'expired' && isRefusal(decision)) fail(step.span, decision.reason)
    step.span.end(atMs)
  }

  #end(connecting: Connecting, record: TransitionRecord): void {
    const { sessionId, to, decision, atMs } = record
    this.#connecting.delete(sessionId)
    this.#leave(connecting, record)
    const { span } = connecting
    // Whoever was decided on at once was authenticated within this very step.
    if (!connecting.hasAuthenticated && to[0] !== 'expired') {
      const authenticated = this.#child(connecting, 'authenticate', atMs)
      if (decision !== null) authenticated.setAttributes(attributesOf(decision))
      authenticated.end(atMs)
    }
    // A newcomer hands its connection to the session that lives, and ends.
    const isAccepted = to[0] !== 'expired' || decision?.name === 'resumesIncumbent'
    const isRefused = !isAccepted && isRefusal(decision)
    span.setAttribute('statemq.outcome', isAccepted ? 'accepted' : isRefused ? 'refused' : 'lost')
    if (isAccepted || isRefused) span.setAttribute('mqtt.reason_code', isRefused ? Number(decision.reasonCode) : 0)
    if (!isAccepted && decision !== null) span.setAttributes(attributesOf(decision))
    if (isRefused) fail(span, decision.reason)
    span.end(atMs)
  }
}

/** The span that a state belongs to; `none`: the one that there is goes on; undefined: CONNECT is answered. */
function stepIn(place: string): 'authenticate' | 'admit' | 'none' | undefined {
  if (place === 'authenticating.identity') return 'authenticate'
  if (place === 'authenticating.admission') return 'admit'
  return place.startsWith('authenticating') || place === 'enhanced-auth' ? 'none' : undefined
}

function fail(span: Span, reason: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message: logText(reason) })
}

function attributesOf({ by, name, reason }: Decided): Record<string, string> {
  return {
    'statemq.decision.by': by,
    'statemq.decision.name': logText(name),
    'statemq.decision.reason': logText(reason),
  }
}

type Decided = NonNullable<TransitionRecord['decision']>

/** Whoever was refused was told a code; a client that leaves is told nothing. */
function isRefusal(decision: Decided | null): decision is Decided {
  return decision !== null && decision.reasonCode !== null
}
