import type { RetainedPage } from '../../../inspection.ts'

export type Level = RetainedPage['levels'][number]

/** What is known of the levels below a topic; `null` is the top. */
export interface Branch {
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

export type Branches = ReadonlyMap<string | null, Branch>

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
