import { randomBytes } from 'node:crypto'

import type { Clock } from '../options.ts'
import type { Identity } from './credentials.ts'

export const TICKET_SECONDS = 60
const MAX_TICKETS = 1_000

/** Each lets its bearer open one connection, soon: it may stand in a URL, where a token may not. */
export class Tickets {
  readonly #clock: Clock
  readonly #tickets = new Map<string, { readonly identity: Identity; readonly untilMs: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  issue(identity: Identity): string {
    const ticket = randomBytes(32).toString('base64url')
    this.#tickets.set(ticket, { identity, untilMs: this.#clock.nowMs() + TICKET_SECONDS * 1_000 })
    const [oldest] = this.#tickets.keys()
    if (this.#tickets.size > MAX_TICKETS) this.#tickets.delete(oldest!)
    return ticket
  }

  redeem(ticket: string): Identity | undefined {
    const found = this.#tickets.get(ticket)
    this.#tickets.delete(ticket)
    return found && found.untilMs > this.#clock.nowMs() && found.identity.isValid() ? found.identity : undefined
  }
}
