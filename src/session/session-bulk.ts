import { StatemqError } from '../errors.ts'
import type { SessionCore } from './core.ts'
import type { Session } from './session.ts'
import { isThere, type SessionOperation, type SessionOutcome } from './session-operations.ts'
import { SessionSelection } from './session-selection.ts'

/** The session of a client identifier, or all that a session filter selects. */
export type SessionTarget = { readonly clientId: string } | { readonly filter: string }

/** How long an operation over many sessions may keep the event loop before others have their turn. */
const SLICE_MS = 5

/**
 * Runs an operation over the sessions of a target, a few milliseconds at a time. Those that a filter
 * selects are looked at one after the other, and each is judged right before the operation: one that
 * came after the call, or that has ended or changed before its turn, is left out. Rejects with
 * SMQ_SESSION_UNKNOWN and SMQ_SESSION_FILTER_INVALID.
 */
export async function runOver<Previous>(
  core: SessionCore,
  target: SessionTarget,
  operation: SessionOperation<Previous>,
  by: string,
): Promise<readonly SessionOutcome<Previous>[]> {
  const { clientId, filter } = target as { readonly clientId?: unknown; readonly filter?: unknown }
  if ((clientId === undefined) === (filter === undefined))
    throw new StatemqError('SMQ_SESSION_CHANGE_INVALID', 'the target is a clientId or a filter')
  if (clientId !== undefined) return [operation(sessionOf(core, clientId as string), by)]
  const selection = new SessionSelection(filter as string, core.registry, core.limits)
  const outcomes: SessionOutcome<Previous>[] = []
  let sliceEndsAtMs = performance.now() + SLICE_MS
  // A copy: what is gone through over many turns changes meanwhile, by the operation too.
  for (const session of [...selection.candidates()]) {
    if (isThere(session) && selection.matches(session)) outcomes.push(operation(session, by))
    if (performance.now() < sliceEndsAtMs) continue
    await nextTurn()
    sliceEndsAtMs = performance.now() + SLICE_MS
  }
  return outcomes
}

function sessionOf({ registry }: SessionCore, clientId: string): Session {
  const session = registry.sessions.get(clientId)
  if (!session) throw new StatemqError('SMQ_SESSION_UNKNOWN', JSON.stringify(clientId))
  return session
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
