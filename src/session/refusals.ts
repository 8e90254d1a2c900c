import type { SessionState } from '../events.ts'
import type { ReasonCode } from '../reason-codes.ts'
import type { Session } from './session.ts'

/** A CONNECT that was refused, and the transition that did it. */
export interface Refusal {
  /** Broker time. */
  readonly atMs: number
  /** The state that it was in; it went to `expired` from there. */
  readonly from: SessionState
  /** The event that the chart was given last. */
  readonly event: string
  readonly reasonCode: ReasonCode
  readonly reason: string
}

/** The last refusal of each client identifier, as many as fit. */
export class Refusals {
  readonly #byClientId = new Map<string, Refusal>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  get(clientId: string): Refusal | undefined {
    return this.#byClientId.get(clientId)
  }

  add(session: Session, { reasonCode, reason }: Pick<Refusal, 'reasonCode' | 'reason'>): void {
    if (this.#max === 0 || session.clientId === '') return
    // Behind all others: a map keeps the order in which its keys were put in.
    this.#byClientId.delete(session.clientId)
    const { clientId, state, cause } = session
    // A client that was decided on at once passes through `authenticating` within one step of the chart.
    const from = state === 'connecting' ? 'authenticating' : state
    this.#byClientId.set(clientId, { atMs: session.nowMs(), from, event: cause, reasonCode, reason })
    if (this.#byClientId.size <= this.#max) return
    for (const oldest of this.#byClientId.keys()) {
      this.#byClientId.delete(oldest)
      return
    }
  }
}
