import type { ComponentChildren, JSX } from 'preact'
import { useCallback, useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks'

import { plainOf } from './hostile.ts'

import './virtual-table.css'

export interface Column<Row> {
  /** Its cells have the class `cell-NAME`, by which narrow screens leave it out. */
  readonly name: string
  readonly title: string
  /** What the rows can be sorted by. */
  readonly sort?: string
  readonly isNumber?: boolean
  readonly cell: (row: Row, isActive: boolean) => ComponentChildren
}

export interface Sorting {
  readonly by: string
  readonly descending: boolean
  readonly onSort: (by: string, descending: boolean) => void
}

export interface Selecting<Row> {
  /** Every row is, and which ones those are is not for the table to say. */
  readonly isAll: boolean
  readonly isSelected: (row: Row) => boolean
  readonly nameOf: (row: Row) => string
  readonly onToggle: (index: number) => void
  /** From the row that was chosen last to this one. */
  readonly onExtend: (index: number) => void
  readonly onAll: (all: boolean) => void
}

export interface VirtualTableProps<Row> {
  /** What the table is, for those who do not see it. */
  readonly label: string
  readonly class: string
  readonly total: number
  /** Undefined: it is not fetched yet. */
  readonly rowAt: (index: number) => Row | undefined
  readonly columns: readonly Column<Row>[]
  /** Told which rows are in sight. */
  readonly onLook: (first: number, last: number) => void
  readonly onOpen?: (row: Row) => void
  readonly sorting?: Sorting
  readonly selecting?: Selecting<Row>
}

/** Pixels; the style sheet says the same. */
const rowHeight = 36
const rowsAround = 6

/** Which rows are in sight; follows the scrolling once a frame. */
function useSight(total: number, onLook: VirtualTableProps<unknown>['onLook']) {
  const box = useRef<HTMLDivElement>(null)
  const [sight, setSight] = useState({ first: 0, last: 40 })
  const frame = useRef(0)
  const look = useCallback(() => {
    frame.current = 0
    const { current } = box
    if (!current) return
    const first = Math.max(0, Math.floor(current.scrollTop / rowHeight))
    const last = Math.min(Math.max(0, total - 1), first + Math.ceil(current.clientHeight / rowHeight))
    setSight((before) => (before.first === first && before.last === last ? before : { first, last }))
  }, [total])
  const onScroll = useCallback(() => {
    frame.current ||= requestAnimationFrame(look)
  }, [look])
  useLayoutEffect(() => {
    look()
    const observer = new ResizeObserver(look)
    if (box.current) observer.observe(box.current)
    return () => {
      observer.disconnect()
      cancelAnimationFrame(frame.current)
      frame.current = 0
    }
  }, [look])
  useEffect(() => onLook(sight.first, sight.last), [sight, onLook])
  return { box, sight, onScroll, look }
}

/** The row that something happened in. */
function rowOf(event: Event): number | undefined {
  const row = (event.target as Element).closest<HTMLElement>('[data-index]')
  return row === null ? undefined : Number(row.dataset['index'])
}

/** How far a key moves among the rows; undefined: it does not. */
function movedBy(key: string, index: number, total: number, perScreen: number): number | undefined {
  switch (key) {
    case 'ArrowDown':
      return Math.min(total - 1, index + 1)
    case 'ArrowUp':
      return Math.max(0, index - 1)
    case 'PageDown':
      return Math.min(total - 1, index + perScreen)
    case 'PageUp':
      return Math.max(0, index - perScreen)
    case 'Home':
      return 0
    case 'End':
      return total - 1
    default:
      return undefined
  }
}

/** The row that the keys are at, and what they do. */
function useActiveRow<Row>(props: VirtualTableProps<Row>, { box, sight, look }: ReturnType<typeof useSight>) {
  const { total, rowAt, onOpen, selecting } = props
  const [chosen, setActive] = useState(0)
  const active = Math.min(chosen, Math.max(0, total - 1))

  const show = (index: number): void => {
    const { current } = box
    setActive(index)
    if (!current) return
    const top = index * rowHeight
    const room = current.clientHeight - rowHeight
    if (top < current.scrollTop) current.scrollTop = top
    else if (top + rowHeight > current.scrollTop + room) current.scrollTop = top + rowHeight - room
    look()
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.target !== box.current || total === 0) return
    const row = rowAt(active)
    const perScreen = Math.max(1, sight.last - sight.first - 2)
    const next = movedBy(event.key, active, total, perScreen)
    if (next !== undefined) {
      show(next)
      if (event.shiftKey) selecting?.onExtend(next)
    } else if (event.key === ' ') selecting?.onToggle(active)
    else if (event.key === 'Enter' && row !== undefined) onOpen?.(row)
    else if (event.key === 'a' && (event.ctrlKey || event.metaKey) && selecting) selecting.onAll(true)
    else if (event.key === 'Escape' && selecting) selecting.onAll(false)
    else return
    event.preventDefault()
  }
  const onClick = (event: MouseEvent): void => {
    const index = rowOf(event)
    if (index === undefined) return
    setActive(index)
    // The keys are the table's, whatever of a row was clicked.
    if (event.target instanceof HTMLInputElement) box.current?.focus({ preventScroll: true })
  }
  return { active, onKeyDown, onClick }
}

/**
 * A table of any length: only the rows in sight are in the document. Arrows, Page, Home and End move among
 * the rows, Space chooses one, Shift with an arrow chooses on, Enter opens.
 */
export function VirtualTable<Row>(props: VirtualTableProps<Row>): JSX.Element {
  const { label, total, rowAt, columns, onOpen, sorting, selecting, onLook } = props
  const id = useId()
  const scrolling = useSight(total, onLook)
  const { box, sight, onScroll } = scrolling
  const { active, onKeyDown, onClick } = useActiveRow(props, scrolling)

  const first = Math.max(0, sight.first - rowsAround)
  const last = Math.min(total - 1, sight.last + rowsAround)
  const shown = Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index)
  return (
    <div
      ref={box}
      class={`virtual ${props.class}`}
      role="grid"
      aria-label={label}
      aria-rowcount={total + 1}
      aria-multiselectable={selecting ? true : undefined}
      aria-activedescendant={total > 0 ? `${id}-${active}` : undefined}
      tabIndex={0}
      onScroll={onScroll}
      onKeyDown={onKeyDown}
      onClick={onClick}
      onDblClick={(event) => {
        const row = rowAt(rowOf(event) ?? -1)
        if (row !== undefined) onOpen?.(row)
      }}
    >
      <Head columns={columns} sorting={sorting} selecting={selecting} />
      <div class="virtual-space" role="presentation" style={{ height: `${total * rowHeight}px` }}>
        {shown.map((index) => (
          <RowLine
            key={index}
            id={`${id}-${index}`}
            index={index}
            row={rowAt(index)}
            columns={columns}
            isActive={index === active}
            selecting={selecting}
          />
        ))}
      </div>
    </div>
  )
}

function Head<Row>({
  columns,
  sorting,
  selecting,
}: {
  readonly columns: readonly Column<Row>[]
  readonly sorting: Sorting | undefined
  readonly selecting: Selecting<Row> | undefined
}): JSX.Element {
  return (
    <div class="virtual-head virtual-row" role="row" aria-rowindex={1}>
      {selecting ? (
        <span class="cell cell-choice" role="columnheader">
          <input
            type="checkbox"
            aria-label="Choose all"
            checked={selecting.isAll}
            onChange={(event) => selecting.onAll(event.currentTarget.checked)}
          />
        </span>
      ) : null}
      {columns.map(({ name, title, sort, isNumber }) => {
        const isSorted = sort !== undefined && sorting?.by === sort
        const order = isSorted ? (sorting.descending ? 'descending' : 'ascending') : undefined
        return (
          <span
            key={name}
            class={`cell cell-${name} ${isNumber ? 'number' : ''}`}
            role="columnheader"
            aria-sort={order}
          >
            {sort === undefined || !sorting ? (
              title
            ) : (
              <button
                type="button"
                class="sort"
                // Numbers and times are looked at from the largest on.
                onClick={() => sorting.onSort(sort, isSorted ? !sorting.descending : isNumber === true)}
              >
                {title}
                <span class="sort-mark" aria-hidden="true">
                  {isSorted ? (sorting.descending ? '↓' : '↑') : ''}
                </span>
              </button>
            )}
          </span>
        )
      })}
    </div>
  )
}

interface RowLineProps<Row> {
  readonly id: string
  readonly index: number
  readonly row: Row | undefined
  readonly columns: readonly Column<Row>[]
  readonly isActive: boolean
  readonly selecting: Selecting<Row> | undefined
}

function RowLine<Row>({ id, index, row, columns, isActive, selecting }: RowLineProps<Row>): JSX.Element {
  const isSelected = selecting !== undefined && (selecting.isAll || (row !== undefined && selecting.isSelected(row)))
  const top = { transform: `translateY(${index * rowHeight}px)` }
  return (
    <div
      id={id}
      class={`virtual-row ${isActive ? 'is-active' : ''}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selecting ? isSelected : undefined}
      aria-busy={row === undefined ? true : undefined}
      data-index={index}
      style={top}
    >
      {selecting ? (
        <span class="cell cell-choice" role="gridcell">
          <input
            type="checkbox"
            tabIndex={-1}
            aria-label={row === undefined ? 'Choose' : `Choose ${plainOf(selecting.nameOf(row))}`}
            checked={isSelected}
            disabled={selecting.isAll || row === undefined}
            onClick={(event) => {
              if (event.shiftKey) selecting.onExtend(index)
              else selecting.onToggle(index)
            }}
          />
        </span>
      ) : null}
      {columns.map(({ name, cell, isNumber }) => (
        <span key={name} class={`cell cell-${name} ${isNumber ? 'number' : ''}`} role="gridcell">
          {row === undefined ? <span class="cell-waiting" aria-hidden="true" /> : cell(row, isActive)}
        </span>
      ))}
    </div>
  )
}
