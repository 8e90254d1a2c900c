import { send } from '../shell/api.ts'
import type { Selection } from './use-selection.ts'

/** What can be done to sessions: an action of `POST /api/v1/sessions/actions`. */
export type SessionAction =
  | { readonly type: 'roles'; readonly add: readonly string[]; readonly remove: readonly string[] }
  | { readonly type: 'disconnect'; readonly reasonCode: number; readonly reason?: string }
  | { readonly type: 'revoke'; readonly reason?: string }
  | { readonly type: 'expire' }

export interface Outcome {
  readonly clientId: string
  readonly outcome: 'done' | 'unchanged' | 'failed'
  readonly error: string | null
  readonly reason: string | null
}

export interface Outcomes {
  readonly done: number
  readonly unchanged: number
  readonly failed: number
  /** Of very many not all are named. */
  readonly outcomes: readonly Outcome[]
}

/** As many as the API takes by name at once. */
const maxNamed = 1_000

const order = { failed: 0, done: 1, unchanged: 2 } as const

/** Does it, to those that were named in several requests where there are many; `onProgress` is told how many are done. */
export async function act(
  selection: Selection,
  action: SessionAction,
  onProgress: (done: number) => void,
): Promise<Outcomes> {
  if (selection.type === 'all') return sorted([await request({ filter: selection.filter }, action)])
  const clientIds = [...selection.clientIds]
  const all: Outcomes[] = []
  for (let at = 0; at < clientIds.length; at += maxNamed) {
    all.push(await request({ clientIds: clientIds.slice(at, at + maxNamed) }, action))
    onProgress(Math.min(clientIds.length, at + maxNamed))
  }
  return sorted(all)
}

function request(target: object, action: SessionAction): Promise<Outcomes> {
  return send<Outcomes>('POST', '/api/v1/sessions/actions', { target, action })
}

/** What did not work comes first. */
function sorted(all: readonly Outcomes[]): Outcomes {
  const sum = (name: 'done' | 'unchanged' | 'failed'): number => all.reduce((total, one) => total + one[name], 0)
  const outcomes = all.flatMap((one) => one.outcomes)
  return {
    done: sum('done'),
    unchanged: sum('unchanged'),
    failed: sum('failed'),
    outcomes: outcomes.toSorted((a, b) => order[a.outcome] - order[b.outcome]),
  }
}
