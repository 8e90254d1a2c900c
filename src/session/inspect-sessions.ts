import type { SessionPage, SessionQuery, SessionRow, SessionSort } from '../inspection.ts'
import type { SessionCore } from './core.ts'
import { rolesOf } from './fixed-properties.ts'
import { compareTexts, type Orders, pageOf, type Slices, sortInSlices } from './inspect-order.ts'
import { SessionSelection } from './session-selection.ts'
import type { Session } from './session.ts'

/** What a session is sorted by; undefined: it has none, and comes last whichever way. */
type SortKey = string | number | undefined

const keys: { readonly [Sort in SessionSort]: (session: Session) => SortKey } = {
  clientId: ({ clientId }) => clientId,
  principal: ({ grant }) => grant?.principal,
  state: ({ state }) => state,
  connectedAtMs: ({ connectedAtMs }) => connectedAtMs,
  queuedMessages: ({ outbound }) => outbound?.queued ?? 0,
  inflightMessages: ({ outbound }) => outbound?.inflight ?? 0,
  subscriptions: ({ subscriptions }) => subscriptions?.size ?? 0,
  address: ({ context }) => context.connection.remoteAddress,
}

interface Sorted {
  readonly key: SortKey
  readonly session: Session
}

/** The table of all sessions: what a filter selects, in an order, a page at a time. */
export class SessionTable {
  readonly #core: SessionCore
  readonly #orders: Orders

  constructor(core: SessionCore, orders: Orders) {
    this.#core = core
    this.#orders = orders
  }

  /** Rejects with SMQ_SESSION_FILTER_INVALID. */
  async page({ filter, sort, descending, offset, limit }: SessionQuery): Promise<SessionPage> {
    const { registry, limits } = this.#core
    const name = JSON.stringify(['sessions', filter, sort, descending])
    // Told at once, and not when it is its turn.
    const selection = new SessionSelection(filter.trim() === '' ? 'all' : filter, registry, limits)
    const sessions = await this.#orders.get(name, (slices) => this.#sort(selection, sort, descending, slices))
    const rows = pageOf(sessions, offset, Math.min(limit, limits.maxInspectedRows))
    return { total: sessions.length, offset, rows: rows.map(rowOf) }
  }

  async #sort(
    selection: SessionSelection,
    sort: SessionSort,
    descending: boolean,
    slices: Slices,
  ): Promise<readonly Session[]> {
    const keyOf = keys[sort]
    const selected: Sorted[] = []
    // A copy: what is gone through over many turns changes meanwhile.
    for (const session of [...selection.candidates()]) {
      if (selection.matches(session)) selected.push({ key: keyOf(session), session })
      const pause = slices.next()
      if (pause) await pause
    }
    const direction = descending ? -1 : 1
    const sorted = await sortInSlices(selected, (a, b) => compareSorted(a, b, direction), slices)
    return sorted.map(({ session }) => session)
  }
}

/** Those that are alike come by client identifier. */
function compareSorted(a: Sorted, b: Sorted, direction: 1 | -1): number {
  return compareKeys(a.key, b.key, direction) || compareTexts(a.session.clientId, b.session.clientId)
}

function compareKeys(a: SortKey, b: SortKey, direction: 1 | -1): number {
  if (a === b) return 0
  if (a === undefined) return 1
  if (b === undefined) return -1
  return a < b ? -direction : direction
}

/** A session as a row: what is so when it is asked, also of one that has ended since it was put in order. */
export function rowOf(session: Session): SessionRow {
  const { clientId, id, state, context, outbound, subscriptions, connectedAtMs } = session
  const { grant, connection, connect, expiresAtMs } = context
  return {
    clientId,
    sessionId: id,
    state,
    principal: grant?.principal ?? null,
    roles: rolesOf(grant),
    listener: connection.listener,
    address: connection.remoteAddress ?? '',
    protocolVersion: connect?.protocolVersion ?? null,
    connectedAtMs,
    expiresAtMs: expiresAtMs ?? null,
    subscriptions: subscriptions?.size ?? 0,
    queuedMessages: outbound?.queued ?? 0,
    queuedBytes: outbound?.queuedBytes ?? 0,
    inflightMessages: outbound?.inflight ?? 0,
  }
}
