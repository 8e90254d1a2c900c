/** W3C Trace Context (https://www.w3.org/TR/trace-context/) in the user properties of MQTT 5 messages. */
import { createTraceState, isSpanContextValid, type SpanContext } from '@opentelemetry/api'

import type { UserProperties } from '../messages.ts'

const TRACEPARENT = 'traceparent'
const TRACESTATE = 'tracestate'
/** Longer ones are left out: an intermediary need not pass on more. */
const MAX_TRACESTATE_CHARACTERS = 512
/** What a later version adds stands behind a further dash. */
const FORM = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/

/** Undefined: there is none, or it is not one. Anybody may have written it. */
export function traceContextIn(properties: UserProperties | undefined): SpanContext | undefined {
  const given = properties?.find(([name]) => name === TRACEPARENT)?.[1]
  const [, version, traceId, spanId, flags, more] = (given !== undefined && FORM.exec(given)) || []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined
  const state = properties?.find(([name]) => name === TRACESTATE)?.[1]
  const traceState =
    state !== undefined && state.length <= MAX_TRACESTATE_CHARACTERS ? createTraceState(state) : undefined
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true }
  if (!isSpanContextValid(context)) return undefined
  return traceState === undefined ? context : { ...context, traceState }
}

/** The properties with this context in place of any that was there. */
export function withTraceContext(
  properties: UserProperties | undefined,
  { traceId, spanId, traceFlags, traceState }: SpanContext,
): UserProperties {
  const others = (properties ?? []).filter(([name]) => name !== TRACEPARENT && name !== TRACESTATE)
  const flags = (traceFlags & 0xff).toString(16).padStart(2, '0')
  const state = traceState?.serialize()
  return [
    ...others,
    [TRACEPARENT, `00-${traceId}-${spanId}-${flags}`],
    ...(state ? ([[TRACESTATE, state]] as const) : []),
  ]
}
