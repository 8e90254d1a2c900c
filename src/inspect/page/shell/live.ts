import { signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'

import { account, ApiError, openStream } from './api.ts'
import { EventStreamParser } from './event-stream.ts'

/** How things stand with the streams of the page that shows. */
export type LiveState =
  /** No page needs one. */
  | { readonly type: 'idle' }
  | { readonly type: 'connecting' }
  | { readonly type: 'live' }
  | { readonly type: 'waiting'; readonly untilMs: number; readonly reason: string }
  /** The page is out of sight: nothing is streamed. */
  | { readonly type: 'hidden' }

export const liveState = signal<LiveState>({ type: 'idle' })
/** Events that the broker left out because this page read too slowly. */
export const lostRecords = signal(0)

const firstRetryMs = 500
const maxRetryMs = 15_000
/** A tab that is looked at again within this time has lost nothing. */
const hiddenGraceMs = 10_000

/** What is to be read, and what becomes of it: handlers by event type get the parsed data. */
export interface LiveSource {
  readonly path: '/api/v1/events' | '/api/v1/tap'
  readonly query: Readonly<Record<string, string | number>>
  readonly on: Readonly<Record<string, (data: unknown) => void>>
  /** A stream was opened: again, after a pause, where `again` is true. What was missed has to be read anew. */
  readonly onOpen?: (again: boolean) => void
}

async function follow(source: () => LiveSource, again: boolean, signal: AbortSignal): Promise<void> {
  const { path, query } = source()
  const body = await openStream(path, query, signal)
  const decoder = new TextDecoder()
  const parser = new EventStreamParser()
  const reader = body.getReader()
  liveState.value = { type: 'live' }
  source().onOpen?.(again)
  while (true) {
    const { done, value } = await reader.read()
    if (done) return
    for (const { type, data } of parser.push(decoder.decode(value, { stream: true }))) {
      const parsed: unknown = JSON.parse(data)
      // A tap leaves out what is beyond its rate, and says so itself.
      if (type === 'lost' && path === '/api/v1/events')
        lostRecords.value += (parsed as { records?: number }).records ?? 0
      source().on[type]?.(parsed)
    }
  }
}

function paused(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}

/** Reads the stream until `signal` ends it, opening it again whenever it breaks off. */
async function keepFollowing(source: () => LiveSource, signal: AbortSignal): Promise<void> {
  let retryMs = firstRetryMs
  let again = false
  while (!signal.aborted) {
    liveState.value = { type: 'connecting' }
    let reason = 'the broker closed the stream'
    const startedAtMs = Date.now()
    try {
      await follow(source, again, signal)
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) return
      reason = error instanceof ApiError ? error.message : 'the connection to the broker broke off'
    }
    if (signal.aborted) return
    again = true
    retryMs = Date.now() - startedAtMs > maxRetryMs ? firstRetryMs : Math.min(retryMs * 2, maxRetryMs)
    liveState.value = { type: 'waiting', untilMs: Date.now() + retryMs, reason }
    await paused(retryMs, signal)
  }
}

/**
 * Reads a stream while the component shows and somebody looks at it. `source` may be another at every
 * rendering; the stream is opened anew only where path or query change, or there is none (`undefined`).
 */
export function useLive(source: LiveSource | undefined): void {
  const current = useRef(source)
  current.current = source
  const key = source === undefined ? undefined : JSON.stringify([source.path, source.query])
  const isKnown = typeof account.value === 'object'
  useEffect(() => {
    if (key === undefined || !isKnown) return undefined
    let running = new AbortController()
    let hiding: ReturnType<typeof setTimeout> | undefined
    const start = (): void => {
      running = new AbortController()
      void keepFollowing(() => current.current!, running.signal)
    }
    const look = (): void => {
      clearTimeout(hiding)
      if (document.hidden) {
        hiding = setTimeout(() => {
          running.abort()
          liveState.value = { type: 'hidden' }
        }, hiddenGraceMs)
      } else if (running.signal.aborted) start()
    }
    start()
    document.addEventListener('visibilitychange', look)
    return () => {
      document.removeEventListener('visibilitychange', look)
      clearTimeout(hiding)
      running.abort()
      liveState.value = { type: 'idle' }
      lostRecords.value = 0
    }
  }, [key, isKnown])
}
