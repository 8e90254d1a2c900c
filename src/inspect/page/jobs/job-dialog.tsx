import type { JSX } from 'preact'

import type { JobRow } from '../../../inspection.ts'
import { AskDialog } from '../parts/ask-dialog.tsx'
import { ClientText } from '../parts/client-text.tsx'
import { count, many } from '../parts/format.ts'
import { send } from '../shell/api.ts'

export type JobStep = 'retry' | 'drop'

export interface JobDialogProps {
  readonly step: JobStep
  readonly job: JobRow
  readonly onClose: () => void
  readonly onDone: () => void
}

interface Question {
  readonly title: string
  readonly effect: string
  readonly button: string
}

function questionAboutDead({ kind }: JobRow, step: JobStep): Question {
  if (step === 'retry') {
    const effect = 'It is done as soon as it can be, and given up again where it fails as often.'
    return { title: 'Try it again?', effect, button: 'Try again' }
  }
  const effect = kind === 'will' ? 'The will is never published.' : 'It is not done, and forgotten.'
  return { title: 'Drop it for good?', effect, button: 'Drop it' }
}

function questionAbout(job: JobRow, step: JobStep): Question {
  const { kind, failure, messages } = job
  if (failure !== null) return questionAboutDead(job, step)
  if (kind === 'offline-queue') {
    const effect = `${many(messages ?? 0, 'message')} will not be delivered. What the client was sent already stays; those of shared subscriptions go to other members.`
    return { title: 'Empty this queue?', effect, button: `Give up ${count(messages ?? 0)}` }
  }
  if (kind === 'session-expiry') {
    const effect = 'Its subscriptions and everything that waits for it go with it.'
    return { title: 'End this session now?', effect, button: 'End it now' }
  }
  return step === 'retry'
    ? {
        title: 'Send this will now?',
        effect: 'It is judged by the roles of now, and published where they allow it.',
        button: 'Send it now',
      }
    : { title: 'Drop this will?', effect: 'It is never published.', button: 'Drop it' }
}

/** Asks before a job is done at once, or not at all. */
export function JobDialog({ step, job, onClose, onDone }: JobDialogProps): JSX.Element {
  const { title, effect, button } = questionAbout(job, step)
  return (
    <AskDialog
      title={title}
      button={button}
      tone={step === 'drop' || job.kind === 'session-expiry' ? 'danger' : 'primary'}
      act={() => send('POST', `/api/v1/jobs/${step}`, { id: job.id })}
      onClose={onClose}
      onDone={onDone}
    >
      <p>
        {job.clientId === '' ? (
          <code>{job.id}</code>
        ) : (
          <>
            Client <ClientText value={job.clientId} />
          </>
        )}
        {job.topic === null ? null : (
          <>
            , topic <ClientText value={job.topic} />
          </>
        )}
      </p>
      {job.failure === null ? null : (
        <p>
          It was given up: <ClientText value={job.failure} />
        </p>
      )}
      <p class="hint">{effect}</p>
    </AskDialog>
  )
}
