import type { JSX } from 'preact'

import { AskDialog } from '../parts/ask-dialog.tsx'
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
  return (
    <AskDialog
      title="Lift this ban?"
      button="Lift it"
      tone="primary"
      act={() => send('DELETE', '/api/v1/bans', undefined, { id: ban.id })}
      onClose={onClose}
      onDone={onDone}
    >
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
    </AskDialog>
  )
}
