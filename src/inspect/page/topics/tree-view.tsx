import type { JSX } from 'preact'
import { useEffect, useId, useState } from 'preact/hooks'

import { ClientText } from '../parts/client-text.tsx'
import { bytes, count } from '../parts/format.ts'
import { ApiError } from '../shell/api.ts'
import type { TreeLine } from './tree-lines.ts'

export interface TreeViewProps {
  readonly lines: readonly TreeLine[]
  /** The topic whose message shows. */
  readonly selected: string | null
  readonly onSelect: (topic: string) => void
  readonly onLevel: (topic: string, isOpen: boolean) => void
  readonly onMore: (under: string | null) => void
}

function Chevron({ isOpen }: { readonly isOpen: boolean }): JSX.Element {
  return (
    <svg viewBox="0 0 12 12" width="10" height="10" aria-hidden="true">
      <path d={isOpen ? 'M2 4l4 4 4-4' : 'M4 2l4 4-4 4'} fill="none" stroke="currentColor" stroke-width="1.6" />
    </svg>
  )
}

/** What stands in a line. */
function Content({ line }: { readonly line: TreeLine }): JSX.Element {
  if (line.type === 'loading') return <span class="quiet">…</span>
  if (line.type === 'error')
    return <span class="bad">{line.error instanceof ApiError ? line.error.message : String(line.error)}</span>
  if (line.type === 'more') return <span class="link-like">{count(line.left)} more levels …</span>
  const { level, hasChildren, payloadBytes } = line.level
  return (
    <>
      <span class="tree-toggle" data-toggle={hasChildren ? '' : undefined}>
        {hasChildren ? <Chevron isOpen={line.isOpen} /> : null}
      </span>
      <ClientText value={level} oneLine empty="(empty level)" />
      {payloadBytes === null ? null : <span class="quiet number">{bytes(payloadBytes)}</span>}
    </>
  )
}

interface LineProps {
  readonly id: string
  readonly index: number
  readonly line: TreeLine
  readonly isSelected: boolean
  readonly isActive: boolean
}

function Line({ id, index, line, isSelected, isActive }: LineProps): JSX.Element {
  const level = line.type === 'level' ? line.level : undefined
  const hasMessage = level?.hasMessage === true
  return (
    <div
      id={id}
      role="treeitem"
      class={`tree-line ${hasMessage ? 'has-message' : ''} ${isActive ? 'is-active' : ''}`}
      style={{ paddingInlineStart: `${(line.depth - 1) * 1.15}rem` }}
      aria-level={line.depth}
      aria-expanded={line.type === 'level' && line.level.hasChildren ? line.isOpen : undefined}
      aria-selected={isSelected}
      data-index={index}
      tabIndex={-1}
    >
      <Content line={line} />
    </div>
  )
}

/** The line that the keys are at, and what they and the pointer do. */
function useTreeKeys({ lines, selected, onSelect, onLevel, onMore }: TreeViewProps) {
  const [chosen, setActive] = useState(0)
  const active = Math.min(chosen, Math.max(0, lines.length - 1))
  const line = lines[active]
  // The topic that shows is where the keys begin, as soon as it is in the tree.
  const shown = lines.findIndex((one) => one.type === 'level' && one.level.topic === selected)
  const isShown = shown >= 0
  useEffect(() => {
    if (isShown) setActive(shown)
  }, [selected, isShown])

  const enter = (one: TreeLine | undefined): void => {
    if (one?.type === 'more') onMore(one.under)
    else if (one?.type !== 'level') return
    else if (one.level.hasMessage) onSelect(one.level.topic)
    else onLevel(one.level.topic, !one.isOpen)
  }
  const toLeft = (): void => {
    if (line?.type === 'level' && line.isOpen) return onLevel(line.level.topic, false)
    const parent = lines.slice(0, active).findLastIndex(({ depth }) => depth < (line?.depth ?? 1))
    if (parent >= 0) setActive(parent)
  }
  const toRight = (): void => {
    if (line?.type !== 'level' || !line.level.hasChildren) return
    if (line.isOpen) setActive(Math.min(lines.length - 1, active + 1))
    else onLevel(line.level.topic, true)
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'ArrowDown') setActive(Math.min(lines.length - 1, active + 1))
    else if (event.key === 'ArrowUp') setActive(Math.max(0, active - 1))
    else if (event.key === 'ArrowLeft') toLeft()
    else if (event.key === 'ArrowRight') toRight()
    else if (event.key === 'Home') setActive(0)
    else if (event.key === 'End') setActive(lines.length - 1)
    else if (event.key === 'Enter' || event.key === ' ') enter(line)
    else return
    event.preventDefault()
  }
  const onClick = (event: MouseEvent): void => {
    const target = event.target as Element
    const found = target.closest<HTMLElement>('[data-index]')
    if (found === null) return
    const index = Number(found.dataset['index'])
    const one = lines[index]
    setActive(index)
    if (one?.type === 'level' && target.closest('[data-toggle]')) onLevel(one.level.topic, !one.isOpen)
    else enter(one)
  }
  return { active, onKeyDown, onClick }
}

/** Retained topics as a tree: arrows move, open and close, Enter shows the message. */
export function TreeView(props: TreeViewProps): JSX.Element {
  const { lines, selected } = props
  const id = useId()
  const { active, onKeyDown, onClick } = useTreeKeys(props)
  useEffect(() => document.getElementById(`${id}-${active}`)?.scrollIntoView({ block: 'nearest' }), [active, id])
  return (
    <div
      class="tree"
      role="tree"
      aria-label="Retained topics"
      tabIndex={0}
      aria-activedescendant={lines.length > 0 ? `${id}-${active}` : undefined}
      onKeyDown={onKeyDown}
      onClick={onClick}
    >
      {lines.map((one, index) => (
        <Line
          key={one.type === 'level' ? `=${one.level.topic}` : `${one.type}${String(one.under)}`}
          id={`${id}-${index}`}
          index={index}
          line={one}
          isSelected={one.type === 'level' && one.level.topic === selected}
          isActive={index === active}
        />
      ))}
    </div>
  )
}
