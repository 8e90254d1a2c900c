import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

import type { RetainedPage } from '../../../inspection.ts'
import { read } from '../shell/api.ts'
import { aboveOf, linesOf, type Branch, type Branches } from './tree-lines.ts'

/** Levels that are fetched at once; a level with thousands of others is gone through in steps. */
const levelsAtOnce = 200

const unread: Branch = { levels: [], total: 0, isLoading: true, error: undefined }

/** The tree of retained messages, fetched level by level as it is opened. */
export function useTopicTree() {
  const [branches, setBranches] = useState<Branches>(new Map())
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const known = useRef(branches)
  known.current = branches

  const change = useCallback((under: string | null, to: (before: Branch) => Branch) => {
    setBranches((before) => new Map(before).set(under, to(before.get(under) ?? unread)))
  }, [])
  const fetchLevels = useCallback(
    (under: string | null, offset: number, limit = levelsAtOnce) => {
      change(under, (before) => ({ ...before, isLoading: true, error: undefined }))
      const query = { ...(under === null ? {} : { under }), offset, limit }
      read<RetainedPage>('/api/v1/retained', query).then(
        ({ levels, total }) =>
          change(under, (before) => ({
            levels: offset === 0 ? levels : [...before.levels, ...levels],
            total,
            isLoading: false,
            error: undefined,
          })),
        (error: unknown) => change(under, (before) => ({ ...before, isLoading: false, error })),
      )
    },
    [change],
  )
  const reload = useCallback(() => {
    if (known.current.size === 0) return fetchLevels(null, 0)
    // As much as there was, so that nothing moves.
    for (const [under, { levels }] of known.current)
      fetchLevels(under, 0, Math.min(1_000, Math.max(levelsAtOnce, levels.length)))
  }, [fetchLevels])
  const setLevel = useCallback(
    (topic: string, isOpen: boolean) => {
      setOpen((before) => {
        const next = new Set(before)
        if (isOpen) next.add(topic)
        else next.delete(topic)
        return next
      })
      if (isOpen && !known.current.has(topic)) fetchLevels(topic, 0)
    },
    [fetchLevels],
  )
  /** Opens everything above a topic. */
  const reveal = useCallback((topic: string) => aboveOf(topic).forEach((one) => setLevel(one, true)), [setLevel])
  const more = useCallback(
    (under: string | null) => fetchLevels(under, known.current.get(under)?.levels.length ?? 0),
    [fetchLevels],
  )
  useEffect(() => fetchLevels(null, 0), [fetchLevels])
  const top = branches.get(null)
  return {
    lines: linesOf(branches, open),
    isEmpty: top?.isLoading === false && top.total === 0,
    setLevel,
    reveal,
    more,
    reload,
  }
}
