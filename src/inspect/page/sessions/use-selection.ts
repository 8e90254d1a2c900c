import { useEffect, useRef, useState } from 'preact/hooks'

import type { SessionRow } from '../../../inspection.ts'
import { rowsPerPage, type RowPages } from '../parts/row-pages.ts'
import type { Selecting } from '../parts/virtual-table.tsx'

/** Sessions that were chosen: one by one, or whatever the filter selects when something is done to them. */
export type Selection =
  | { readonly type: 'some'; readonly clientIds: ReadonlySet<string> }
  | { readonly type: 'all'; readonly filter: string; readonly total: number }

const nobody: Selection = { type: 'some', clientIds: new Set() }

/** What one row of the table after the other adds to the selection. */
export function useSelection(pages: RowPages<SessionRow>, filter: string) {
  const [selection, setSelection] = useState<Selection>(nobody)
  const anchor = useRef(0)
  // What was chosen from among others may not even be in sight any more.
  useEffect(() => setSelection(nobody), [filter])

  const clientIds = selection.type === 'some' ? selection.clientIds : undefined
  const selecting: Selecting<SessionRow> = {
    isAll: selection.type === 'all',
    isSelected: ({ clientId }) => clientIds?.has(clientId) === true,
    nameOf: ({ clientId }) => clientId,
    onToggle: (index) => {
      const clientId = pages.rowAt(index)?.clientId
      if (clientId === undefined || clientIds === undefined) return
      anchor.current = index
      const next = new Set(clientIds)
      if (!next.delete(clientId)) next.add(clientId)
      setSelection({ type: 'some', clientIds: next })
    },
    onExtend: (index) => {
      if (clientIds === undefined) return
      const next = new Set(clientIds)
      // What is not here yet can't be chosen without having been seen.
      const from = Math.max(Math.min(anchor.current, index), index - rowsPerPage * 10)
      const to = Math.min(Math.max(anchor.current, index), index + rowsPerPage * 10)
      for (let at = from; at <= to; at += 1) {
        const row = pages.rowAt(at)
        if (row) next.add(row.clientId)
      }
      setSelection({ type: 'some', clientIds: next })
    },
    onAll: (all) => setSelection(all ? { type: 'all', filter: filter || 'all', total: pages.total ?? 0 } : nobody),
  }
  const count = selection.type === 'all' ? (pages.total ?? selection.total) : selection.clientIds.size
  return { selection, count, selecting, clear: () => setSelection(nobody) }
}
