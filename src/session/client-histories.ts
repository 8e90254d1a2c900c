import type { TransitionRecord } from '../inspection.ts'

/** How much is kept, as the limits of the same names say. */
export interface HistoryBounds {
  readonly maxTransitionsPerSession: number
  readonly maxTransitions: number
  readonly maxEndedHistories: number
  readonly maxRememberedRefusals: number
}

/**
 * Steps of one client identifier, each list by their sequence. What others bring about at will (refused
 * connections, a client that reads and does not read in turn) has a quarter of the room for itself and never
 * pushes out the rest.
 */
interface ClientHistory {
  life: TransitionRecord[]
  delivery: TransitionRecord[] | undefined
  refused: TransitionRecord[] | undefined
}

type Part = keyof ClientHistory
const PARTS: readonly Part[] = ['life', 'delivery', 'refused']

/** Longest histories that are looked at for one new step, while there are too many steps altogether. */
const LOOKED_AT = 64

/**
 * The last steps of every client, within bounds: so many for each, so many altogether (the longest histories
 * are then cut to an equal share), so many clients whose session has ended, and so many that were only refused.
 */
export class ClientHistories {
  readonly #bounds: HistoryBounds
  readonly #clients = new Map<string, ClientHistory>()
  /** Clients whose session has ended, and such as were never let in; the one that ended first is the first. */
  readonly #ended = new Set<string>()
  readonly #strangers = new Set<string>()
  #sweep: Iterator<ClientHistory, undefined> | undefined = undefined
  /** Steps that are kept. */
  size = 0

  constructor(bounds: HistoryBounds) {
    this.#bounds = bounds
  }

  /** Clients that something is kept of. */
  get clients(): number {
    return this.#clients.size
  }

  /** A step of the session that lives under this client identifier. */
  add(clientId: string, record: TransitionRecord, part: 'life' | 'delivery'): void {
    // One that was there before this history began.
    if (this.#strangers.size > 0) this.#strangers.delete(clientId)
    this.#insert(this.#of(clientId), part, [record])
  }

  /** A connection got a session under this client identifier, after these steps. */
  admitted(clientId: string, records: readonly TransitionRecord[]): void {
    this.#ended.delete(clientId)
    this.#strangers.delete(clientId)
    this.#insert(this.#of(clientId), 'life', records)
  }

  /** A connection that wanted this client identifier did not get it. */
  refused(clientId: string, records: readonly TransitionRecord[]): void {
    const isUnknown = !this.#clients.has(clientId)
    this.#insert(this.#of(clientId), 'refused', records)
    if (isUnknown || this.#strangers.has(clientId))
      this.#leave(this.#strangers, clientId, this.#bounds.maxRememberedRefusals)
  }

  /** No session lives under this client identifier any more. */
  ended(clientId: string): void {
    this.#leave(this.#ended, clientId, this.#bounds.maxEndedHistories)
  }

  /** Oldest first. */
  of(clientId: string): TransitionRecord[] {
    const history = this.#clients.get(clientId)
    if (history === undefined) return []
    return PARTS.flatMap((part) => history[part] ?? []).toSorted((a, b) => a.sequence - b.sequence)
  }

  #of(clientId: string): ClientHistory {
    let history = this.#clients.get(clientId)
    if (history === undefined) {
      history = { life: [], delivery: undefined, refused: undefined }
      this.#clients.set(clientId, history)
    }
    return history
  }

  #insert(history: ClientHistory, part: Part, records: readonly TransitionRecord[]): void {
    const list = (history[part] ??= [])
    for (const record of records) insertSorted(list, record)
    this.size += records.length
    const { maxTransitionsPerSession, maxTransitions } = this.#bounds
    const { life, delivery, refused } = history
    const count = life.length + (delivery?.length ?? 0) + (refused?.length ?? 0)
    // Short of a quarter nothing can be too much.
    if (count * 4 > maxTransitionsPerSession) this.#trim(history, maxTransitionsPerSession)
    if (this.size > maxTransitions) this.#makeRoom()
  }

  #trim(history: ClientHistory, max: number): void {
    const quarter = Math.ceil(max / 4)
    let left = max
    const { life, delivery, refused } = history
    if (delivery !== undefined) left -= this.#cut(delivery, Math.min(quarter, left))
    if (refused !== undefined) left -= this.#cut(refused, Math.min(quarter, left))
    this.#cut(life, left)
  }

  /** Returns how many are left. */
  #cut(list: TransitionRecord[], max: number): number {
    const excess = list.length - max
    if (excess <= 0) return list.length
    if (excess === 1) list.shift()
    else list.splice(0, excess)
    this.size -= excess
    return max
  }

  /** Looks at some histories, in turn: while there are too many steps one of them is longer than its share. */
  #makeRoom(): void {
    const { maxTransitions, maxTransitionsPerSession } = this.#bounds
    for (let looked = 0; looked < LOOKED_AT && this.size > maxTransitions; looked++) {
      this.#sweep ??= this.#clients.values()
      const next = this.#sweep.next()
      if (next.done === true) this.#sweep = undefined
      else this.#trim(next.value, Math.min(maxTransitionsPerSession, Math.floor(maxTransitions / this.#clients.size)))
    }
  }

  /** Behind all others in the line of those that are forgotten when there are too many. */
  #leave(line: Set<string>, clientId: string, max: number): void {
    this.#ended.delete(clientId)
    this.#strangers.delete(clientId)
    line.add(clientId)
    if (line.size <= max) return
    for (const oldest of line) {
      line.delete(oldest)
      this.#forget(oldest)
      return
    }
  }

  #forget(clientId: string): void {
    const history = this.#clients.get(clientId)
    if (history === undefined) return
    for (const part of PARTS) this.size -= history[part]?.length ?? 0
    this.#clients.delete(clientId)
  }
}

/** Nearly always the newest; but what a connection did before it was handed over is older than what it led to. */
function insertSorted(list: TransitionRecord[], record: TransitionRecord): void {
  let at = list.length
  while (at > 0 && list[at - 1]!.sequence > record.sequence) at--
  if (at === list.length) list.push(record)
  else list.splice(at, 0, record)
}
