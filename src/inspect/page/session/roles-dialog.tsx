import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import type { SessionDetail } from '../../../inspected-session.ts'
import { Dialog } from '../parts/dialog.tsx'
import { plainOf } from '../parts/hostile.ts'
import { Failure } from '../parts/states.tsx'
import { useResource } from '../parts/use-resource.ts'

interface Props {
  readonly detail: SessionDetail
  readonly act: (change: { add: string[]; remove: string[] }) => Promise<void>
  readonly onClose: () => void
}

/** Gives roles and takes them: those that are defined, and those that it has. */
export function RolesDialog({ detail, act, onClose }: Props): JSX.Element {
  const { data, error } = useResource<{ roles: readonly { readonly name: string }[] }>('/api/v1/roles')
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(detail.roles))
  const [failure, setFailure] = useState<unknown>()
  const names = [...new Set([...detail.roles, ...(data?.roles.map(({ name }) => name) ?? [])])]
  const add = names.filter((name) => chosen.has(name) && !detail.roles.includes(name))
  const remove = names.filter((name) => !chosen.has(name) && detail.roles.includes(name))

  function toggle(name: string): void {
    const next = new Set(chosen)
    if (!next.delete(name)) next.add(name)
    setChosen(next)
  }

  return (
    <Dialog title="Roles of this session" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          act({ add, remove }).catch(setFailure)
        }}
      >
        <p class="quiet">They hold at once, for what it receives too, until its grant is another one.</p>
        {names.length === 0 ? <p>No roles are defined: everything is allowed.</p> : null}
        <ul>
          {names.map((name) => (
            <li key={name}>
              <label class="check">
                <input type="checkbox" checked={chosen.has(name)} onChange={() => toggle(name)} /> {plainOf(name)}
              </label>
            </li>
          ))}
        </ul>
        {error === undefined ? null : <Failure error={error} />}
        {failure === undefined ? null : <Failure error={failure} />}
        <div class="row">
          <button type="submit" class="primary" disabled={add.length + remove.length === 0}>
            Change roles
          </button>
          <button type="button" onClick={onClose}>
            Leave them
          </button>
        </div>
      </form>
    </Dialog>
  )
}
