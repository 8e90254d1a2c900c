import { useEffect, useMemo, useRef, useState } from 'preact/hooks'

import type { SessionDetail } from '../../../inspected-session.ts'
import type { TransitionRecord } from '../../../inspection.ts'
import { ApiError, read } from '../shell/api.ts'
import { useLive } from '../shell/live.ts'
import { Playback, type Frame } from './playback.ts'

export interface SessionReading {
  /** Undefined while it is fetched, null where no session lives. */
  readonly detail: SessionDetail | null | undefined
  /** Oldest first. */
  readonly records: readonly TransitionRecord[]
  readonly error: unknown
  readonly frame: Frame | undefined
  readonly reload: () => void
}

const maxRecords = 500
const refreshMs = 5_000
/** Steps come in bursts: what is behind them is read once. */
const settleMs = 150

function merged(before: readonly TransitionRecord[], more: readonly TransitionRecord[]): TransitionRecord[] {
  const bySequence = new Map([...before, ...more].map((record) => [record.sequence, record]))
  return [...bySequence.values()].toSorted((a, b) => a.sequence - b.sequence).slice(-maxRecords)
}

async function detailOf(clientId: string, signal: AbortSignal): Promise<SessionDetail | null> {
  try {
    return await read<SessionDetail>('/api/v1/session', { clientId }, signal)
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null
    throw error
  }
}

/** Everything that is known of the session of one client, and its steps as they happen. */
export function useSession(clientId: string): SessionReading {
  const [detail, setDetail] = useState<SessionDetail | null>()
  const [records, setRecords] = useState<readonly TransitionRecord[]>([])
  const [error, setError] = useState<unknown>()
  const [frame, setFrame] = useState<Frame>()
  const playback = useMemo(() => new Playback(setFrame), [])
  const reading = useRef<AbortController | null>(null)
  const soon = useRef<ReturnType<typeof setTimeout>>(undefined)

  function fetchAll(): void {
    reading.current?.abort()
    const running = new AbortController()
    reading.current = running
    const history = read<{ records: TransitionRecord[] }>('/api/v1/session/history', { clientId }, running.signal)
    Promise.all([detailOf(clientId, running.signal), history]).then(
      ([found, { records: known }]) => {
        setDetail(found)
        setRecords((before) => merged(before, known))
        setError(undefined)
        const last = known.at(-1)
        if (found) playback.settle(found.sessionId, found.active, true)
        else if (last) playback.settle(last.sessionId, last.to, false)
      },
      (failed: unknown) => running.signal.aborted || setError(failed),
    )
  }

  useLive({
    path: '/api/v1/events',
    query: { streams: 'transitions', clientId },
    on: {
      transition: (data) => {
        const record = data as TransitionRecord
        setRecords((before) => merged(before, [record]))
        playback.add(record)
        clearTimeout(soon.current)
        soon.current = setTimeout(fetchAll, settleMs)
      },
    },
    onOpen: fetchAll,
  })
  useEffect(() => {
    const timer = setInterval(() => document.hidden || fetchAll(), refreshMs)
    return () => {
      clearInterval(timer)
      clearTimeout(soon.current)
      reading.current?.abort()
      playback.stop()
    }
  }, [clientId])
  return { detail, records, error, frame, reload: fetchAll }
}
