import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import { ClientText } from '../parts/client-text.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { Failure } from '../parts/states.tsx'

export type ActionKind = 'disconnect' | 'revoke' | 'expire'

interface Wording {
  readonly title: string
  readonly what: string
  readonly button: string
  readonly hasReason: boolean
}

const wordings: Readonly<Record<ActionKind, Wording>> = {
  disconnect: {
    title: 'Disconnect this client?',
    what: 'Its connection is closed. A session that outlives its connection stays, and the client may come back at once.',
    button: 'Disconnect',
    hasReason: true,
  },
  revoke: {
    title: 'Revoke its grant?',
    what: 'It loses every right, its connection, what waits for it, and its will is never sent. Its subscriptions stay for the day that it is trusted again.',
    button: 'Revoke',
    hasReason: true,
  },
  expire: {
    title: 'End this session?',
    what: 'Subscriptions, messages that wait and all that the session knows are gone. Its will is sent. This cannot be undone.',
    button: 'End it',
    hasReason: false,
  },
}

interface Props {
  readonly kind: ActionKind
  readonly clientId: string
  readonly act: (body: Record<string, unknown>) => Promise<void>
  readonly onClose: () => void
}

/** Says what will happen before it does. */
export function ConfirmDialog({ kind, clientId, act, onClose }: Props): JSX.Element {
  const [error, setError] = useState<unknown>()
  const [reason, setReason] = useState('')
  const [isBusy, setBusy] = useState(false)
  const { title, what, button, hasReason } = wordings[kind]

  function submit(): void {
    setBusy(true)
    act(hasReason && reason !== '' ? { reason } : {}).catch((failed: unknown) => {
      setError(failed)
      setBusy(false)
    })
  }

  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        <p>
          <ClientText value={clientId} />
        </p>
        <p class="quiet">{what}</p>
        {hasReason ? (
          <label>
            Reason, for the history and the log
            <input value={reason} maxLength={1_000} onInput={(event) => setReason(event.currentTarget.value)} />
          </label>
        ) : null}
        {error === undefined ? null : <Failure error={error} />}
        <div class="row">
          <button type="submit" class="danger" disabled={isBusy}>
            {button}
          </button>
          <button type="button" onClick={onClose}>
            Leave it
          </button>
        </div>
      </form>
    </Dialog>
  )
}
