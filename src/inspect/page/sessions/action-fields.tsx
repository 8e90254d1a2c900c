import type { JSX } from 'preact'

import { useResource } from '../parts/use-resource.ts'
import type { SessionAction } from './act.ts'
import type { FilterWords } from './complete-filter.ts'

/** What was typed so far. */
export interface Draft {
  readonly add: string
  readonly remove: string
  readonly reason: string
  readonly reasonCode: number
}

interface Verb {
  readonly title: string
  readonly doing: string
  readonly past: string
  /** What it means for a session. */
  readonly effect: string
  readonly action: (draft: Draft) => SessionAction
}

function reasonOf({ reason }: Draft): { readonly reason?: string } {
  return reason.trim() === '' ? {} : { reason: reason.trim() }
}

export const verbs: { readonly [Type in SessionAction['type']]: Verb } = {
  roles: {
    title: 'Change roles of',
    doing: 'Changing roles',
    past: 'Roles changed',
    effect:
      'Subscriptions, waiting messages and wills are looked at again at once. A role that is there or absent already is passed over.',
    action: (draft) => ({ type: 'roles', add: rolesIn(draft.add), remove: rolesIn(draft.remove) }),
  },
  disconnect: {
    title: 'Disconnect',
    doing: 'Disconnecting',
    past: 'Disconnected',
    effect:
      'Their connections end; wills are published by the rules. Sessions that outlive their connection stay, and clients may come back.',
    action: (draft) => ({ type: 'disconnect', reasonCode: draft.reasonCode, ...reasonOf(draft) }),
  },
  revoke: {
    title: 'Revoke',
    doing: 'Revoking',
    past: 'Revoked',
    effect:
      'Their grants are gone at once: clients are disconnected with 0x87, wills are not sent, and what waits for them is given up.',
    action: (draft) => ({ type: 'revoke', ...reasonOf(draft) }),
  },
  expire: {
    title: 'End',
    doing: 'Ending',
    past: 'Ended',
    effect: 'The sessions end with their connections, subscriptions and everything that waits for them.',
    action: () => ({ type: 'expire' }),
  },
}

/** Roles as they were typed: one a line, or with commas; a role may hold spaces. */
function rolesIn(text: string): string[] {
  const roles = text.split(/[,\n]/).map((role) => role.trim())
  return [...new Set(roles.filter((role) => role !== ''))]
}

/** Whether enough was typed. */
export function isReady(type: SessionAction['type'], { add, remove }: Draft): boolean {
  if (type !== 'roles') return true
  const [added, removed] = [rolesIn(add), rolesIn(remove)]
  return added.length + removed.length > 0 && !added.some((role) => removed.includes(role))
}

const reasonCodes = [
  [0x98, 'administrative action'],
  [0x89, 'server busy'],
  [0x8b, 'server shutting down'],
  [0x97, 'quota exceeded'],
  [0x96, 'message rate too high'],
] as const

interface FieldsProps {
  readonly type: SessionAction['type']
  readonly draft: Draft
  readonly onChange: (draft: Draft) => void
}

export function ActionFields({ type, draft, onChange }: FieldsProps): JSX.Element | null {
  if (type === 'roles') return <RoleFields draft={draft} onChange={onChange} />
  if (type === 'expire') return null
  return (
    <>
      {type === 'disconnect' ? (
        <label>
          Reason code for the client
          <select
            value={draft.reasonCode}
            onChange={(event) => onChange({ ...draft, reasonCode: Number(event.currentTarget.value) })}
          >
            {reasonCodes.map(([code, name]) => (
              <option key={code} value={code}>
                0x{code.toString(16).toUpperCase()} {name}
              </option>
            ))}
          </select>
        </label>
      ) : null}
      <label>
        {type === 'disconnect' ? 'Reason, which clients of MQTT 5 are told' : 'Reason, for events and the log'}
        <input
          type="text"
          maxLength={1_000}
          value={draft.reason}
          onInput={(event) => onChange({ ...draft, reason: event.currentTarget.value })}
        />
      </label>
    </>
  )
}

function RoleFields({ draft, onChange }: Omit<FieldsProps, 'type'>): JSX.Element {
  const { data } = useResource<FilterWords>('/api/v1/filter/words')
  const both = rolesIn(draft.add).filter((role) => rolesIn(draft.remove).includes(role))
  const field = (name: 'add' | 'remove', title: string): JSX.Element => (
    <label>
      {title}
      <input
        type="text"
        list={`${name}-roles`}
        autocomplete="off"
        value={draft[name]}
        onInput={(event) => onChange({ ...draft, [name]: event.currentTarget.value })}
      />
      <datalist id={`${name}-roles`}>
        {data?.roles.map((role) => (
          <option key={role} value={role}>
            {role}
          </option>
        ))}
      </datalist>
    </label>
  )
  return (
    <>
      {field('add', 'Roles to add, with commas between')}
      {field('remove', 'Roles to remove')}
      {both.length > 0 ? <p class="filter-fault">A role cannot be added and removed.</p> : null}
    </>
  )
}
