import type { JSX } from 'preact'
import { useCallback, useMemo, useState } from 'preact/hooks'

import { ClientText } from '../parts/client-text.tsx'
import { many, moment, relative } from '../parts/format.ts'
import { nowMs } from '../parts/now.ts'
import { Empty, Failure, Loading } from '../parts/states.tsx'
import { useResource } from '../parts/use-resource.ts'
import { VirtualTable, type Column } from '../parts/virtual-table.tsx'
import { mayOperate } from '../shell/api.ts'
import { goTo, href } from '../shell/router.ts'
import { AddDialog } from './add-dialog.tsx'
import { LiftDialog } from './lift-dialog.tsx'
import { Subject, type BanRow } from './subject.tsx'

import './bans.css'

const refreshMs = 3_000

/** Who has banned, as a person says it. */
const authors: Readonly<Record<BanRow['by'], string>> = {
  operator: 'a person',
  configuration: 'the configuration',
  broker: 'the broker itself',
}

function When({ atMs }: { readonly atMs: number }): JSX.Element {
  const now = nowMs.value
  return <time title={moment(atMs, now)}>{relative(atMs, now)}</time>
}

const columns: readonly Column<BanRow>[] = [
  { name: 'who', title: 'Who may not connect', cell: (ban) => <Subject ban={ban} oneLine /> },
  {
    name: 'why',
    title: 'Why',
    cell: ({ reason }) => <ClientText value={reason} oneLine empty="no reason was given" />,
  },
  { name: 'by', title: 'Banned by', cell: ({ by }) => authors[by] },
  { name: 'since', title: 'Since', isNumber: true, cell: ({ createdAtMs }) => <When atMs={createdAtMs} /> },
  {
    name: 'until',
    title: 'Ends',
    isNumber: true,
    cell: ({ untilMs }) => (untilMs === null ? <span class="quiet">when lifted</span> : <When atMs={untilMs} />),
  },
]

function liftColumn(lift: (ban: BanRow) => void): Column<BanRow> {
  return {
    name: 'actions',
    title: '',
    cell: (ban, isActive) => (
      <span class="row-actions">
        <button type="button" tabIndex={isActive ? 0 : -1} onClick={() => lift(ban)}>
          Lift …
        </button>
      </span>
    ),
  }
}

/** Nothing more than what is there is fetched: the answer has all of them. */
function onLook(): void {}

/** Who may not connect: banned by a person, by the configuration, or by the broker for flapping and guessing. */
export function BansPage({ search }: { readonly search: URLSearchParams }): JSX.Element {
  const { data, error, reload } = useResource<{ readonly bans: readonly BanRow[] }>(
    '/api/v1/bans',
    {},
    { everyMs: refreshMs },
  )
  // The latest first: it is what one has come for.
  const bans = useMemo(() => data?.bans.toReversed(), [data])
  const [lifting, setLifting] = useState<BanRow>()
  const [isAdding, setAdding] = useState(false)
  // From the page of a session, which names the client.
  const clientId = search.get('clientId')
  const close = useCallback(() => {
    setAdding(false)
    if (clientId !== null) goTo(href('bans'), { replace: true })
  }, [clientId])
  const shown = useMemo(() => (mayOperate() ? [...columns, liftColumn(setLifting)] : columns), [])
  return (
    <section class="bans">
      <h1>Bans</h1>
      <div class="row">
        <span class="hint">
          Who may not connect, the latest first. The broker bans by itself who connects all the time or is refused again
          and again, where limits for that are set.
        </span>
        <output class="quiet bans-count">{bans?.length ? many(bans.length, 'ban') : ''}</output>
        {mayOperate() ? (
          <button type="button" onClick={() => setAdding(true)}>
            Ban …
          </button>
        ) : null}
      </div>
      {error === undefined ? null : <Failure error={error} retry={reload} />}
      {bans === undefined && error === undefined ? <Loading what="bans" /> : null}
      {bans?.length === 0 ? <Empty title="Nobody is banned" /> : null}
      {bans?.length ? (
        <VirtualTable
          label="Bans"
          class={`bans-table ${mayOperate() ? 'may-lift' : ''}`}
          total={bans.length}
          rowAt={(index) => bans[index]}
          columns={shown}
          onLook={onLook}
        />
      ) : null}
      {isAdding || (clientId !== null && mayOperate()) ? (
        <AddDialog clientId={clientId ?? ''} onClose={close} onDone={reload} />
      ) : null}
      {lifting === undefined ? null : (
        <LiftDialog ban={lifting} onClose={() => setLifting(undefined)} onDone={reload} />
      )}
    </section>
  )
}
