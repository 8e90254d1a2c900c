import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import { Dialog } from '../parts/dialog.tsx'
import { Failure } from '../parts/states.tsx'
import { send } from '../shell/api.ts'
import { ClientText } from '../parts/client-text.tsx'
import { Subject, type BanRow } from './subject.tsx'

export interface LiftDialogProps {
  readonly ban: BanRow
  readonly onClose: () => void
  /** Something was done, or found to be so already. */
  readonly onDone: () => void
}

/** Asks before somebody may come in again. */
export function LiftDialog({ ban, onClose, onDone }: LiftDialogProps): JSX.Element {
  const [isRunning, setRunning] = useState(false)
  const [error, setError] = useState<unknown>()
  const run = (event: Event): void => {
    event.preventDefault()
    setRunning(true)
    send('DELETE', '/api/v1/bans', undefined, { id: ban.id })
      .then(onClose, setError)
      .finally(() => {
        setRunning(false)
        onDone()
      })
  }
  return (
    <Dialog title="Lift this ban?" onClose={onClose}>
      <form onSubmit={run}>
        <p>
          <Subject ban={ban} />
        </p>
        {ban.reason === '' ? null : (
          <p>
            It was banned because: <ClientText value={ban.reason} />
          </p>
        )}
        <p class="hint">
          {ban.by === 'configuration'
            ? 'It may connect again at once, until the configuration is read anew: that still names it.'
            : 'It may connect again at once.'}
        </p>
        {error === undefined ? null : <Failure error={error} />}
        <p class="row">
          <button type="submit" class="primary" disabled={isRunning}>
            Lift it
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </p>
      </form>
    </Dialog>
  )
}
