import type { JSX } from 'preact'
import { useState } from 'preact/hooks'

import type { SessionDetail } from '../../../inspected-session.ts'
import { moment } from '../parts/format.ts'
import { plainOf } from '../parts/hostile.ts'
import { mayOperate, send } from '../shell/api.ts'
import { goTo, href } from '../shell/router.ts'
import { ConfirmDialog, type ActionKind } from './confirm-dialog.tsx'
import { RolesDialog } from './roles-dialog.tsx'

interface Outcome {
  readonly outcome: 'done' | 'unchanged' | 'failed'
  readonly error: string | null
  readonly reason: string | null
}

const done: Readonly<Record<ActionKind | 'roles', string>> = {
  disconnect: 'It was disconnected.',
  revoke: 'Its grant was revoked.',
  expire: 'Its session was ended.',
  roles: 'Its roles were changed.',
}

/** What came of it, in words. */
function outcomeInWords(kind: ActionKind | 'roles', { outcome, error, reason }: Outcome): string {
  if (outcome === 'done') return done[kind]
  if (outcome === 'unchanged') return 'Nothing changed: it was so already.'
  return `That failed: ${reason ?? error ?? 'no reason was given'}`
}

interface Props {
  readonly detail: SessionDetail
  /** Something was done: what is shown may have changed. */
  readonly done: () => void
}

/** What an operator can do to a session; who may only read sees none of it. */
export function Actions({ detail, done: refresh }: Props): JSX.Element | null {
  const [open, setOpen] = useState<ActionKind | 'roles'>()
  const [told, setTold] = useState('')
  if (!mayOperate()) return null
  const { clientId } = detail

  async function act(kind: ActionKind | 'roles', body: Record<string, unknown>): Promise<void> {
    const outcome = await send<Outcome>('POST', `/api/v1/session/${kind}`, { clientId, ...body })
    setTold(outcomeInWords(kind, outcome))
    setOpen(undefined)
    refresh()
  }

  async function trace(seconds: number): Promise<void> {
    try {
      const { untilMs } = await send<{ untilMs: number | null }>('POST', '/api/v1/session/trace', { clientId, seconds })
      setTold(
        untilMs === null || seconds === 0
          ? 'It is not traced any more.'
          : `It is traced in the log until ${moment(untilMs, Date.now())}.`,
      )
    } catch (error) {
      setTold(`That failed: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  return (
    <div class="actions">
      <div class="row">
        <button type="button" disabled={detail.state !== 'online'} onClick={() => setOpen('disconnect')}>
          Disconnect
        </button>
        <button type="button" onClick={() => setOpen('roles')} disabled={detail.grant === null}>
          Roles
        </button>
        <button
          type="button"
          onClick={() => void trace(300)}
          title="Writes what it sends and gets to the log for five minutes"
        >
          Trace for 5 min
        </button>
        <button type="button" class="danger" onClick={() => setOpen('revoke')}>
          Revoke
        </button>
        <button type="button" class="danger" onClick={() => setOpen('expire')}>
          Expire
        </button>
        <button type="button" class="danger" onClick={() => goTo(href('bans', [], { clientId }))}>
          Ban
        </button>
      </div>
      <output class="hint">{plainOf(told)}</output>
      {open === 'roles' ? (
        <RolesDialog detail={detail} act={(change) => act('roles', change)} onClose={() => setOpen(undefined)} />
      ) : null}
      {open !== undefined && open !== 'roles' ? (
        <ConfirmDialog
          key={open}
          kind={open}
          clientId={clientId}
          act={(body) => act(open, body)}
          onClose={() => setOpen(undefined)}
        />
      ) : null}
    </div>
  )
}
