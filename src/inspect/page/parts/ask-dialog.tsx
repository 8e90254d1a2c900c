import type { ComponentChildren, JSX } from 'preact'
import { useState } from 'preact/hooks'

import { Dialog } from './dialog.tsx'
import { Failure } from './states.tsx'

export interface AskDialogProps {
  readonly title: string
  /** Of the button that does it. */
  readonly button: string
  readonly tone: 'primary' | 'danger'
  /** False: something is to be said first. Default: true. */
  readonly isReady?: boolean
  readonly act: () => Promise<unknown>
  /** It is done, or nothing is to be done. */
  readonly onClose: () => void
  /** It was tried: what shows may be out of date. */
  readonly onDone?: () => void
  readonly children: ComponentChildren
}

/** Asks before something is done; a failure is told where it was asked. */
export function AskDialog({
  title,
  button,
  tone,
  isReady = true,
  act,
  onClose,
  onDone,
  children,
}: AskDialogProps): JSX.Element {
  const [isRunning, setRunning] = useState(false)
  const [error, setError] = useState<unknown>()
  const run = (event: Event): void => {
    event.preventDefault()
    setRunning(true)
    act()
      .then(onClose, setError)
      .finally(() => {
        setRunning(false)
        onDone?.()
      })
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={run}>
        {children}
        {error === undefined ? null : <Failure error={error} />}
        <p class="row">
          <button type="submit" class={tone} disabled={isRunning || !isReady}>
            {button}
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </p>
      </form>
    </Dialog>
  )
}
