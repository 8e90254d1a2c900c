import type { JSX } from 'preact'
import { useCallback, useMemo, useState } from 'preact/hooks'

import type { JobQuery, JobRow } from '../../../inspection.ts'
import { ClientText } from '../parts/client-text.tsx'
import { bytes, count, many, moment, relative, unknown } from '../parts/format.ts'
import { nowMs } from '../parts/now.ts'
import { Empty, Failure, Loading } from '../parts/states.tsx'
import { useRows } from '../parts/use-rows.ts'
import { VirtualTable, type Column } from '../parts/virtual-table.tsx'
import { mayOperate } from '../shell/api.ts'
import { goTo, href } from '../shell/router.ts'
import { JobDialog, type JobStep } from './job-dialog.tsx'

import './jobs.css'

type Kind = JobQuery['kind']

const refreshMs = 3_000

interface KindOfJob {
  readonly kind: Kind
  readonly title: string
  /** What they are. */
  readonly about: string
  readonly empty: string
}

const kinds: readonly KindOfJob[] = [
  {
    kind: 'offline-queue',
    title: 'Offline queues',
    about: 'Messages of QoS 1 and 2 that wait for clients which are away, the longest queue first.',
    empty: 'No message waits for a client that is away',
  },
  {
    kind: 'will',
    title: 'Wills',
    about: 'Wills whose connection is gone and whose delay is not over, the next one first.',
    empty: 'No will waits for its time',
  },
  {
    kind: 'session-expiry',
    title: 'Session ends',
    about: 'Sessions without a connection, by when they end. A client that is back in time keeps its session.',
    empty: 'No session is about to end',
  },
  {
    kind: 'dead',
    title: 'Dead letters',
    about: 'What was tried as often as it may be and given up, the latest first.',
    empty: 'Nothing was given up',
  },
]

function When({ atMs }: { readonly atMs: number | null }): JSX.Element {
  const now = nowMs.value
  if (atMs === null) return <span class="quiet">{unknown}</span>
  return <time title={moment(atMs, now)}>{relative(atMs, now)}</time>
}

function Client({ clientId }: JobRow): JSX.Element {
  if (clientId === '') return <span class="quiet">not known here</span>
  return (
    <a href={href('session', [clientId])} tabIndex={-1}>
      <ClientText value={clientId} oneLine />
    </a>
  )
}

const whatIsDone: Readonly<Record<JobRow['kind'], string>> = {
  'offline-queue': 'a queue',
  will: 'a will',
  'session-expiry': 'the end of a session',
  unknown: 'not this broker’s',
}

const cells = {
  client: { name: 'client', title: 'Client', cell: (row) => <Client {...row} /> },
  messages: {
    name: 'messages',
    title: 'Messages',
    isNumber: true,
    cell: ({ messages }) => (messages === null ? unknown : count(messages)),
  },
  size: {
    name: 'size',
    title: 'Size',
    isNumber: true,
    cell: (row) => (row.bytes === null ? unknown : bytes(row.bytes)),
  },
  topic: {
    name: 'topic',
    title: 'Topic',
    cell: ({ topic }) => (topic === null ? unknown : <ClientText value={topic} oneLine />),
  },
  due: { name: 'due', title: 'Due', isNumber: true, cell: ({ dueAtMs }) => <When atMs={dueAtMs} /> },
  ends: { name: 'due', title: 'Session ends', isNumber: true, cell: ({ dueAtMs }) => <When atMs={dueAtMs} /> },
  kind: { name: 'kind', title: 'What', cell: ({ kind }) => whatIsDone[kind] },
  attempts: { name: 'attempts', title: 'Attempts', isNumber: true, cell: ({ attempts }) => count(attempts) },
  failure: {
    name: 'failure',
    title: 'Why it was given up',
    cell: ({ failure }) => (failure === null ? unknown : <ClientText value={failure} oneLine />),
  },
} satisfies Record<string, Column<JobRow>>

const columnsOf: Readonly<Record<Kind, readonly Column<JobRow>[]>> = {
  'offline-queue': [cells.client, cells.messages, cells.size, cells.ends],
  will: [cells.client, cells.topic, cells.size, cells.due],
  'session-expiry': [cells.client, cells.due],
  dead: [cells.kind, cells.client, cells.failure, cells.attempts, cells.due],
}

/** What a button of a job says. */
const stepNames: Readonly<Record<Kind, Readonly<Record<JobStep, string>>>> = {
  'offline-queue': { retry: '', drop: 'Empty …' },
  will: { retry: 'Send now …', drop: 'Drop …' },
  'session-expiry': { retry: 'End now …', drop: '' },
  dead: { retry: 'Try again …', drop: 'Drop …' },
}

function actionsOf(kind: Kind, ask: (step: JobStep, job: JobRow) => void): Column<JobRow> {
  const button = (step: JobStep, job: JobRow, isActive: boolean): JSX.Element => (
    <button type="button" tabIndex={isActive ? 0 : -1} onClick={() => ask(step, job)}>
      {stepNames[kind][step]}
    </button>
  )
  return {
    name: 'actions',
    title: '',
    cell: (job, isActive) => (
      <span class="row-actions">
        {job.canRetry ? button('retry', job, isActive) : null}
        {job.canDrop ? button('drop', job, isActive) : null}
      </span>
    ),
  }
}

/** What is to happen later, and what was given up. */
export function JobsPage({ search }: { readonly search: URLSearchParams }): JSX.Element {
  const { kind, about, empty, title } = kinds.find((one) => one.kind === search.get('kind')) ?? kinds[0]!
  const pages = useRows<JobRow>(
    '/api/v1/jobs',
    useMemo(() => ({ kind }), [kind]),
    refreshMs,
  )
  const [asked, setAsked] = useState<{ readonly step: JobStep; readonly job: JobRow }>()
  const onLook = useCallback((first: number, last: number) => pages.look(first, last), [pages])
  const columns = useMemo(
    () => [...columnsOf[kind], ...(mayOperate() ? [actionsOf(kind, (step, job) => setAsked({ step, job }))] : [])],
    [kind],
  )
  const { total, error } = pages
  return (
    <section class="jobs">
      <h1>Jobs</h1>
      <nav class="tabs" aria-label="Kinds of jobs">
        {kinds.map((one) => (
          <a
            key={one.kind}
            href={href('jobs', [], one === kinds[0] ? {} : { kind: one.kind })}
            aria-current={one.kind === kind ? 'page' : undefined}
          >
            {one.title}
          </a>
        ))}
      </nav>
      <p class="row">
        <span class="hint">{about}</span>
        <output class="quiet jobs-count">{total ? many(total, 'job') : ''}</output>
      </p>
      {error === undefined ? null : <Failure error={error} retry={() => pages.reload()} />}
      {total === undefined && error === undefined ? <Loading what="jobs" /> : null}
      {total === 0 ? <Empty title={empty} /> : null}
      {total ? (
        <VirtualTable
          // Another kind is another table, at its beginning.
          key={kind}
          label={title}
          class={`jobs-table jobs-${kind}`}
          total={total}
          rowAt={(index) => pages.rowAt(index)}
          columns={columns}
          onLook={onLook}
          onOpen={({ clientId }) => clientId !== '' && goTo(href('session', [clientId]))}
        />
      ) : null}
      {asked ? <JobDialog {...asked} onClose={() => setAsked(undefined)} onDone={() => pages.reload()} /> : null}
    </section>
  )
}
