import { context, SpanKind, SpanStatusCode, trace, type Context, type Span, type Tracer } from '@opentelemetry/api'

import { next, type AllowPublish, type HookClient, type Hooks, type Next, type PublishRequest } from '../hooks.ts'
import type { BrokerInspection } from '../inspection.ts'
import { logText } from '../log-text.ts'
import { ConnectSpans } from './connect-spans.ts'
import { traceContextIn, withTraceContext } from './trace-context.ts'

/** What `openTelemetry` takes. */
export interface OpenTelemetryOptions {
  readonly tracer: Tracer
  /** Spans of publishes. Default true: each costs some microseconds, also where it is not sampled. */
  readonly publish?: boolean
  /** The topic as `messaging.destination.name`, and in the name of the span. Default true; false where topics name people. */
  readonly topics?: boolean
  /**
   * What a `traceparent` among the user properties of a PUBLISH is to its span. Default `parent`; `link` where clients
   * must not say whose trace it is or whether it is sampled; `ignore`.
   */
  readonly incoming?: 'parent' | 'link' | 'ignore'
  /** Puts `traceparent` and `tracestate` of the span into the message that subscribers get. Default true. */
  readonly propagate?: boolean
}

/** A plugin for `BrokerOptions.hooks`; `observe` it too, once the broker is made. */
export interface OpenTelemetryPlugin extends Hooks {
  /** Makes spans of every CONNECT of this broker from now on. Returns what ends that. */
  observe(broker: { readonly inspection: Pick<BrokerInspection, 'transitions$'> }): () => void
}

/** Publishes of one session whose end is not told yet; beyond, the oldest span is ended as it is. */
const MAX_PENDING = 10_000

interface Pending {
  readonly span: Span
  readonly topic: string
  readonly startMs: number
}

/**
 * OpenTelemetry spans of CONNECT (with `authenticate` and `admit` as children, outcome, reason code and who decided) and
 * of PUBLISH. No span has a payload, a password or a property of a user's.
 */
export function openTelemetry(options: OpenTelemetryOptions): OpenTelemetryPlugin {
  const observe: OpenTelemetryPlugin['observe'] = ({ inspection }) => {
    const spans = new ConnectSpans(options.tracer)
    const subscription = inspection.transitions$.subscribe((record) => spans.onStep(record))
    return () => {
      subscription.unsubscribe()
      spans.close()
    }
  }
  const name = 'opentelemetry'
  if (options.publish === false) return { name, observe }
  const publishes = new PublishSpans(options)
  return {
    name,
    observe,
    onPublish: (request, client) => (request.will ? next() : publishes.begin(request, client)),
    onPublished: ({ atMs, reached }, { sessionId }) => publishes.end(sessionId, undefined, atMs, { reached }),
    onDropped: ({ atMs, reason, topic }, { sessionId }) => {
      // Other reasons are about messages on their way to the client.
      if (reason === 'denied') publishes.end(sessionId, topic, atMs, { denied: true })
    },
    onOffline: (_, { sessionId }) => publishes.giveUp(sessionId),
    onGone: (_, { sessionId }) => publishes.giveUp(sessionId),
  }
}

class PublishSpans {
  readonly #options: OpenTelemetryOptions
  /** By session, in the order in which they came: which is that in which their ends are told. */
  readonly #pending = new Map<string, Pending[]>()

  constructor(options: OpenTelemetryOptions) {
    this.#options = options
  }

  begin({ message }: PublishRequest, { clientId, sessionId, protocolVersion }: HookClient): Next | AllowPublish {
    const { tracer, topics = true, incoming = 'parent', propagate = true } = this.#options
    const { userProperties } = message.properties
    const remote = incoming === 'ignore' ? undefined : traceContextIn(userProperties)
    const startMs = performance.timeOrigin + performance.now()
    const topic = logText(message.topic)
    const span = tracer.startSpan(
      topics ? `publish ${topic}` : 'publish',
      {
        kind: SpanKind.SERVER,
        startTime: startMs,
        attributes: {
          'messaging.system': 'mqtt',
          'messaging.operation.name': 'publish',
          ...(topics ? { 'messaging.destination.name': topic } : {}),
          'messaging.client.id': logText(clientId),
          'messaging.message.body.size': message.payload.length,
          'statemq.session.id': sessionId,
          'mqtt.protocol_version': protocolVersion,
          'mqtt.qos': message.qos,
          'mqtt.retain': message.retain,
        },
        ...(remote && incoming === 'link' ? { links: [{ context: remote }] } : {}),
      },
      parentOf(incoming === 'parent' ? remote : undefined),
    )
    this.#add(sessionId, { span, topic: message.topic, startMs })
    if (!propagate) return next()
    const properties = { ...message.properties, userProperties: withTraceContext(userProperties, span.spanContext()) }
    return { type: 'allow', properties }
  }

  /** `topic`: of the one that is meant, which others may have come before; undefined: the first. */
  end(
    sessionId: string,
    topic: string | undefined,
    atMs: number,
    outcome: { readonly reached?: number; readonly denied?: boolean },
  ): void {
    const pending = this.#pending.get(sessionId)
    const at = topic === undefined ? 0 : (pending?.findIndex((one) => one.topic === topic) ?? -1)
    const [ended] = at < 0 ? [] : (pending?.splice(at, 1) ?? [])
    if (ended === undefined) return
    if (pending?.length === 0) this.#pending.delete(sessionId)
    const { span, startMs } = ended
    if (outcome.reached !== undefined) span.setAttribute('statemq.reached', outcome.reached)
    if (outcome.denied === true) span.setStatus({ code: SpanStatusCode.ERROR, message: 'denied' })
    span.end(Math.max(startMs, atMs))
  }

  /** The connection is gone: what nobody has told of by now, nobody will. */
  giveUp(sessionId: string): void {
    for (const { span } of this.#pending.get(sessionId) ?? []) span.end()
    this.#pending.delete(sessionId)
  }

  #add(sessionId: string, pending: Pending): void {
    const list = this.#pending.get(sessionId) ?? []
    this.#pending.set(sessionId, list)
    list.push(pending)
    if (list.length > MAX_PENDING) list.shift()?.span.end()
  }
}

function parentOf(remote: ReturnType<typeof traceContextIn>): Context {
  return remote === undefined ? context.active() : trace.setSpanContext(context.active(), remote)
}
