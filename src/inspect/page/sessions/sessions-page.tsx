import type { JSX } from 'preact'
import { useCallback, useMemo, useState } from 'preact/hooks'

import type { SessionRow, SessionSort } from '../../../inspection.ts'
import { familyOf } from '../chart/chart-model.ts'
import { ClientText } from '../parts/client-text.tsx'
import { bytes, count, duration, many, moment, unknown } from '../parts/format.ts'
import { nowMs } from '../parts/now.ts'
import { Empty, Failure, Loading } from '../parts/states.tsx'
import { useRows } from '../parts/use-rows.ts'
import type { RowPages } from '../parts/row-pages.ts'
import { VirtualTable, type Column, type Selecting, type Sorting } from '../parts/virtual-table.tsx'
import { ApiError, mayOperate } from '../shell/api.ts'
import { goTo, href } from '../shell/router.ts'
import { ActionDialog } from './action-dialog.tsx'
import type { SessionAction } from './act.ts'
import { FilterBox } from './filter-box.tsx'
import { useSelection } from './use-selection.ts'

import './sessions.css'

/** How often what is in sight is read again. */
const refreshMs = 3_000

/** An age is the time of the page's clock, which every cell of the column follows. */
function Age({ atMs }: { readonly atMs: number }): JSX.Element {
  const now = nowMs.value
  return <time title={moment(atMs, now)}>{duration(now - atMs)}</time>
}

function StateWord({ state }: { readonly state: string }): JSX.Element {
  return <span class={`state-word family-${familyOf(state)}`}>{state}</span>
}

function numberOrNothing(value: number): JSX.Element | string {
  return value === 0 ? <span class="quiet">0</span> : count(value)
}

const columns: readonly Column<SessionRow>[] = [
  {
    name: 'client',
    title: 'Client',
    sort: 'clientId',
    cell: ({ clientId }) => (
      <a href={href('session', [clientId])} tabIndex={-1}>
        <ClientText value={clientId} oneLine />
      </a>
    ),
  },
  { name: 'state', title: 'State', sort: 'state', cell: ({ state }) => <StateWord state={state} /> },
  {
    name: 'principal',
    title: 'Principal',
    sort: 'principal',
    cell: ({ principal }) =>
      principal === null ? <span class="quiet">anonymous</span> : <ClientText value={principal} oneLine />,
  },
  {
    name: 'roles',
    title: 'Roles',
    cell: ({ roles }) =>
      roles.length === 0 ? <span class="quiet">{unknown}</span> : <ClientText value={roles.join(', ')} oneLine />,
  },
  {
    name: 'address',
    title: 'Address',
    sort: 'address',
    cell: ({ address, listener }) => (
      <span title={`through the listener ${listener}`} class={address === '' ? 'quiet' : 'mono'}>
        {address === '' ? listener : address}
      </span>
    ),
  },
  {
    name: 'since',
    title: 'Connected',
    sort: 'connectedAtMs',
    isNumber: true,
    cell: ({ connectedAtMs }) => <Age atMs={connectedAtMs} />,
  },
  {
    name: 'subscriptions',
    title: 'Subscriptions',
    sort: 'subscriptions',
    isNumber: true,
    cell: ({ subscriptions }) => numberOrNothing(subscriptions),
  },
  {
    name: 'inflight',
    title: 'Under way',
    sort: 'inflightMessages',
    isNumber: true,
    cell: ({ inflightMessages }) => numberOrNothing(inflightMessages),
  },
  {
    name: 'queue',
    title: 'Waiting',
    sort: 'queuedMessages',
    isNumber: true,
    cell: ({ queuedMessages, queuedBytes }) => (
      <span title={bytes(queuedBytes)}>{numberOrNothing(queuedMessages)}</span>
    ),
  },
]

const sorts: ReadonlySet<string> = new Set(columns.flatMap(({ sort }) => sort ?? []))

const actions: readonly { readonly type: SessionAction['type']; readonly title: string }[] = [
  { type: 'roles', title: 'Change roles …' },
  { type: 'disconnect', title: 'Disconnect …' },
  { type: 'revoke', title: 'Revoke …' },
  { type: 'expire', title: 'End …' },
]

interface SelectionBarProps {
  readonly count: number
  readonly isAll: boolean
  readonly onAction: (type: SessionAction['type']) => void
  readonly onClear: () => void
}

function SelectionBar({ count: chosen, isAll, onAction, onClear }: SelectionBarProps): JSX.Element {
  return (
    <div class="selection-bar" role="toolbar" aria-label="What to do with the sessions that were chosen">
      <output>
        {isAll ? `Everything that matches: ${many(chosen, 'session')}` : `${many(chosen, 'session')} chosen`}
      </output>
      {actions.map(({ type, title }) => (
        <button key={type} type="button" onClick={() => onAction(type)}>
          {title}
        </button>
      ))}
      <button type="button" class="link" onClick={onClear}>
        Choose none
      </button>
    </div>
  )
}

/** The search box says so itself, and where. */
function isFilterFault(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'SMQ_SESSION_FILTER_INVALID'
}

interface RowsProps {
  readonly pages: RowPages<SessionRow>
  readonly filter: string
  readonly onLook: (first: number, last: number) => void
  readonly sorting: Sorting
  readonly selecting: Selecting<SessionRow>
}

function Rows({ pages, filter, onLook, sorting, selecting }: RowsProps): JSX.Element | null {
  const { total, error } = pages
  if (error !== undefined && !isFilterFault(error)) return <Failure error={error} retry={() => pages.reload()} />
  if (total === undefined) return error === undefined ? <Loading what="sessions" /> : null
  if (total === 0 && filter === '')
    return <Empty title="Nobody is here yet">Sessions show as soon as a client connects.</Empty>
  if (total === 0) return <Empty title="No session matches">The filter can be read, and nobody is like that.</Empty>
  return (
    <VirtualTable
      label="Sessions"
      class="sessions-table"
      total={total}
      rowAt={(index) => pages.rowAt(index)}
      columns={columns}
      onLook={onLook}
      onOpen={({ clientId }) => goTo(href('session', [clientId]))}
      sorting={sorting}
      {...(mayOperate() ? { selecting } : {})}
    />
  )
}

/** All sessions: search, sort, choose, act. The address holds filter and order, so that it can be passed on. */
export function SessionsPage({ search }: { readonly search: URLSearchParams }): JSX.Element {
  const filter = search.get('filter') ?? ''
  const asked = search.get('sort') ?? ''
  const sort = (sorts.has(asked) ? asked : 'clientId') as SessionSort
  const descending = search.get('down') === 'yes'
  const query = useMemo(() => ({ filter, sort, descending }), [filter, sort, descending])
  const pages = useRows<SessionRow>('/api/v1/sessions', query, refreshMs)
  const { selection, count: chosen, selecting, clear } = useSelection(pages, filter)
  const [acting, setActing] = useState<SessionAction['type']>()

  const show = useCallback(
    (change: { filter?: string; sort?: string; descending?: boolean }) => {
      const next = { filter, sort: sort as string, descending, ...change }
      const words = {
        ...(next.filter === '' ? {} : { filter: next.filter }),
        ...(next.sort === 'clientId' ? {} : { sort: next.sort }),
        ...(next.descending ? { down: 'yes' } : {}),
      }
      goTo(href('sessions', [], words), { replace: true })
    },
    [query],
  )
  const onFilter = useCallback((text: string) => text === filter || show({ filter: text }), [show])
  const onLook = useCallback((first: number, last: number) => pages.look(first, last), [pages])
  const sorting = {
    by: sort,
    descending,
    onSort: (by: string, down: boolean) => show({ sort: by, descending: down }),
  }
  return (
    <section class="sessions">
      <header class="sessions-head">
        <h1>Sessions</h1>
        <output class="quiet sessions-count">
          {pages.total === undefined ? '' : many(pages.total, filter === '' ? 'session' : 'matching session')}
        </output>
      </header>
      <FilterBox filter={filter} onFilter={onFilter} />
      {chosen > 0 ? (
        <SelectionBar count={chosen} isAll={selection.type === 'all'} onAction={setActing} onClear={clear} />
      ) : null}
      <Rows pages={pages} filter={filter} onLook={onLook} sorting={sorting} selecting={selecting} />
      {acting === undefined ? null : (
        <ActionDialog
          type={acting}
          selection={selection}
          count={chosen}
          onClose={() => setActing(undefined)}
          onDone={() => pages.reload()}
        />
      )}
    </section>
  )
}
