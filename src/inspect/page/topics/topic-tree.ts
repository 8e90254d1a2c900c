import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

import type { RetainedPage } from '../../../inspection.ts'
import { read } from '../shell/api.ts'

export type Level = RetainedPage['levels'][number]

/** Levels that are fetched at once; a level with thousands of others is gone through in steps. */
const levelsAtOnce = 200

/** What is known of the levels below a topic; `null` is the top. */
interface Branch {
  readonly levels: readonly Level[]
  readonly total: number
  readonly isLoading: boolean
  readonly error: unknown
}

/** A line of the tree as it shows. */
export type TreeLine =
  | { readonly type: 'level'; readonly depth: number; readonly level: Level; readonly isOpen: boolean }
  | { readonly type: 'more'; readonly depth: number; readonly under: string | null; readonly left: number }
  | { readonly type: 'loading'; readonly depth: number; readonly under: string | null }
  | { readonly type: 'error'; readonly depth: number; readonly under: string | null; readonly error: unknown }

type Branches = ReadonlyMap<string | null, Branch>

const unread: Branch = { levels: [], total: 0, isLoading: true, error: undefined }

/** The lines below a topic, with those below them as far as they are open. */
export function linesOf(
  branches: Branches,
  open: ReadonlySet<string>,
  under: string | null = null,
  depth = 1,
): TreeLine[] {
  const branch = branches.get(under)
  if (branch === undefined) return []
  const lines: TreeLine[] = []
  for (const level of branch.levels) {
    const isOpen = level.hasChildren && open.has(level.topic)
    lines.push({ type: 'level', depth, level, isOpen })
    if (isOpen) lines.push(...linesOf(branches, open, level.topic, depth + 1))
  }
  const left = branch.total - branch.levels.length
  if (branch.error !== undefined) lines.push({ type: 'error', depth, under, error: branch.error })
  else if (branch.isLoading && branch.levels.length === 0) lines.push({ type: 'loading', depth, under })
  else if (left > 0) lines.push({ type: 'more', depth, under, left })
  return lines
}

/** All topics that a topic lies below, from the top on: `a/b/c` is below `a` and `a/b`. */
export function aboveOf(topic: string): string[] {
  const levels = topic.split('/')
  return levels.slice(1).map((_, index) => levels.slice(0, index + 1).join('/'))
}

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
