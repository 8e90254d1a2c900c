import { useCallback, useEffect, useState } from 'preact/hooks'

import { read } from '../shell/api.ts'

/** What is known of an answer of the broker: the last one stays while a new one is fetched, and where that fails. */
export interface Resource<T> {
  readonly data: T | undefined
  readonly error: unknown
  readonly reload: () => void
}

type Query = Readonly<Record<string, string | number | boolean | null | undefined>>

/** Reads a route of docs/admin-api.md, again when path or query change, and every `everyMs` where that is given. */
export function useResource<T>(
  path: string,
  query: Query = {},
  options: { readonly everyMs?: number } = {},
): Resource<T> {
  const { everyMs } = options
  const key = JSON.stringify([path, query])
  const [answer, setAnswer] = useState<{ key: string; data: T | undefined; error: unknown }>()
  const [turn, setTurn] = useState(0)
  const reload = useCallback(() => setTurn((before) => before + 1), [])
  useEffect(() => {
    const running = new AbortController()
    const fetchOnce = (): void => {
      read<T>(path, query, running.signal).then(
        (data) => setAnswer({ key, data, error: undefined }),
        (error: unknown) => {
          if (running.signal.aborted) return
          setAnswer((before) => ({ key, data: before?.key === key ? before.data : undefined, error }))
        },
      )
    }
    fetchOnce()
    const timer = everyMs === undefined ? undefined : setInterval(() => document.hidden || fetchOnce(), everyMs)
    return () => {
      running.abort()
      clearInterval(timer)
    }
  }, [key, turn, everyMs])
  const current = answer?.key === key ? answer : undefined
  return { data: current?.data, error: current?.error, reload }
}
