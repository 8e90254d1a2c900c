import { useEffect, useMemo, useReducer } from 'preact/hooks'

import { read } from '../shell/api.ts'
import { RowPages, type RowsPage } from './row-pages.ts'

type Query = Readonly<Record<string, string | number | boolean>>

/** The rows of a route that answers a page of them, fetched as they come into sight, and again every `everyMs`. */
export function useRows<Row>(path: string, query: Query, everyMs: number): RowPages<Row> {
  const [, changed] = useReducer((count: number) => count + 1, 0)
  const key = JSON.stringify([path, query])
  const pages = useMemo(
    () =>
      new RowPages<Row>(
        (offset, limit, signal) => read<RowsPage<Row>>(path, { ...query, offset, limit }, signal),
        () => changed(undefined),
      ),
    [key],
  )
  useEffect(() => {
    pages.reload()
    const timer = setInterval(() => document.hidden || pages.reload(), everyMs)
    return () => {
      clearInterval(timer)
      pages.close()
    }
  }, [pages, everyMs])
  return pages
}
