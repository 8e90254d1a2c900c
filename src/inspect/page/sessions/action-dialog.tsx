import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import { ClientText } from '../parts/client-text.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { count as counted, many } from '../parts/format.ts'
import { Failure } from '../parts/states.tsx'
import { act, type Outcomes, type SessionAction } from './act.ts'
import { ActionFields, isReady, verbs, type Draft } from './action-fields.tsx'
import { OutcomeList } from './outcome-list.tsx'
import type { Selection } from './use-selection.ts'

export interface ActionDialogProps {
  readonly type: SessionAction['type']
  readonly selection: Selection
  readonly count: number
  readonly onClose: () => void
  /** Something has been done: what shows may be out of date. */
  readonly onDone: () => void
}

const maxShown = 8

/** Says how many and which before anything is done. */
function Which({ selection, count }: { readonly selection: Selection; readonly count: number }): JSX.Element {
  if (selection.type === 'all') {
    return (
      <p>
        {selection.filter === 'all' ? (
          <>
            This is about <b>all sessions</b>: {counted(count)} now, and those that come before it is done.
          </>
        ) : (
          <>
            This is about <b>every session that matches</b> <ClientText value={selection.filter} /> right before its
            turn: {counted(count)} now.
          </>
        )}
      </p>
    )
  }
  const named = [...selection.clientIds]
  return (
    <div>
      <p>This is about {many(count, 'session')}:</p>
      <ul class="which">
        {named.slice(0, maxShown).map((clientId) => (
          <li key={clientId}>
            <ClientText value={clientId} oneLine />
          </li>
        ))}
        {named.length > maxShown ? <li class="quiet">and {counted(named.length - maxShown)} others</li> : null}
      </ul>
    </div>
  )
}

/** Asks before something is done to sessions, does it, and shows what came of it for each. */
export function ActionDialog({ type, selection, count, onClose, onDone }: ActionDialogProps): JSX.Element {
  const [draft, setDraft] = useState<Draft>({ add: '', remove: '', reason: '', reasonCode: 0x98 })
  const [progress, setProgress] = useState<number>()
  const [outcomes, setOutcomes] = useState<Outcomes>()
  const [error, setError] = useState<unknown>()
  const verb = verbs[type]
  const run = (event: Event): void => {
    event.preventDefault()
    if (!isReady(type, draft) || progress !== undefined) return
    setProgress(0)
    setError(undefined)
    act(selection, verb.action(draft), setProgress)
      .then(setOutcomes, setError)
      .finally(() => {
        setProgress(undefined)
        onDone()
      })
  }
  if (outcomes) {
    return (
      <Dialog title={`${verb.past}: what came of it`} onClose={onClose}>
        <div class="stack">
          <OutcomeList outcomes={outcomes} />
          <p class="row">
            <button type="button" class="primary" autofocus onClick={onClose}>
              Close
            </button>
          </p>
        </div>
      </Dialog>
    )
  }
  return (
    <Dialog title={`${verb.title} ${many(count, 'session')}?`} onClose={onClose}>
      <form onSubmit={run}>
        <Which selection={selection} count={count} />
        <p class="hint">{verb.effect}</p>
        <ActionFields type={type} draft={draft} onChange={setDraft} />
        {error === undefined ? null : <Failure error={error} />}
        <p class="row">
          <button
            type="submit"
            class={type === 'roles' ? 'primary' : 'danger'}
            disabled={!isReady(type, draft) || progress !== undefined}
          >
            {progress === undefined ? `${verb.title} ${many(count, 'session')}` : `${verb.doing} …`}
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          {progress === undefined || progress === 0 ? null : (
            <output class="hint">
              {counted(progress)} of {counted(count)}
            </output>
          )}
        </p>
      </form>
    </Dialog>
  )
}
