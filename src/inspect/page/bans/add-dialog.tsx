import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import { AskDialog } from '../parts/ask-dialog.tsx'
import { send } from '../shell/api.ts'

export interface AddDialogProps {
  /** Where the ban begins with; empty: with nobody. */
  readonly clientId: string
  readonly onClose: () => void
  readonly onDone: () => void
}

/** Seconds; 0: until it is lifted. */
const spans = [
  [300, '5 minutes'],
  [3_600, 'an hour'],
  [86_400, 'a day'],
  [604_800, 'a week'],
  [0, 'until it is lifted, or the broker restarts'],
] as const

const fields = [
  ['clientId', 'Client identifier'],
  ['principal', 'Principal, under whatever client identifier'],
  ['address', 'Address or range, such as 203.0.113.7 or 198.51.100.0/24'],
] as const

type Subject = Readonly<Record<(typeof fields)[number][0], string>>

/** What the form says, as the API takes it: what is empty is not part of it. */
function bodyOf(subject: Subject, reason: string, seconds: number): Record<string, string | number> {
  const named = Object.entries({ ...subject, reason }).filter(([, value]) => value !== '')
  return { ...Object.fromEntries(named), ...(seconds === 0 ? {} : { seconds }) }
}

/** Bans somebody, and says first what that does. */
export function AddDialog({ clientId, onClose, onDone }: AddDialogProps): JSX.Element {
  const [subject, setSubject] = useState<Subject>({ clientId, principal: '', address: '' })
  const [reason, setReason] = useState('')
  const [seconds, setSeconds] = useState<number>(3_600)
  const isNamed = Object.values(subject).some((value) => value !== '')
  return (
    <AskDialog
      title="Who may not connect?"
      button="Ban"
      tone="danger"
      isReady={isNamed}
      act={() => send('POST', '/api/v1/bans', bodyOf(subject, reason, seconds))}
      onClose={onClose}
      onDone={onDone}
    >
      {fields.map(([name, title]) => (
        <label key={name}>
          {title}
          <input
            type="text"
            autocomplete="off"
            spellcheck={false}
            value={subject[name]}
            onInput={(event) => setSubject({ ...subject, [name]: event.currentTarget.value })}
          />
        </label>
      ))}
      <label>
        Reason, for other people here; clients are not told
        <input
          type="text"
          maxLength={1_024}
          autocomplete="off"
          value={reason}
          onInput={(event) => setReason(event.currentTarget.value)}
        />
      </label>
      <label>
        For how long
        <select value={seconds} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
          {spans.map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <p class="hint">
        Where several are named, all of them have to be so. Who is connected now is sent away; sessions stay what they
        are.
      </p>
    </AskDialog>
  )
}
