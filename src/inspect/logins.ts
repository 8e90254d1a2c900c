import { randomBytes } from 'node:crypto'

import type { Limits } from '../limits.ts'
import type { Clock } from '../options.ts'
import type { Identity } from './credentials.ts'

/** Somebody who is logged in with a cookie. */
export interface Login {
  readonly identity: Identity
  /** Sent back in a header by the page: another site can make a browser send the cookie, but not this. */
  readonly csrfToken: string
  readonly startedAtMs: number
  usedAtMs: number
}

/** Logins by cookie. They are in memory only: a restart ends them all. */
export class Logins {
  readonly #clock: Clock
  readonly #limits: () => Limits
  /** The one that was unused longest is the first. */
  readonly #logins = new Map<string, Login>()

  constructor(clock: Clock, limits: () => Limits) {
    this.#clock = clock
    this.#limits = limits
  }

  /** A new identifier for every login, whatever cookie came with it: nobody can be given one that another knows. */
  start(identity: Identity): { readonly id: string; readonly login: Login } {
    const id = randomBytes(32).toString('base64url')
    const nowMs = this.#clock.nowMs()
    const isValid = (): boolean => identity.isValid() && this.#isLive(id)
    const login: Login = {
      identity: { ...identity, isValid },
      csrfToken: randomBytes(32).toString('base64url'),
      startedAtMs: nowMs,
      usedAtMs: nowMs,
    }
    this.#logins.set(id, login)
    const [oldest] = this.#logins.keys()
    if (this.#logins.size > this.#limits().maxInspectLogins) this.#logins.delete(oldest!)
    return { id, login }
  }

  find(id: string): Login | undefined {
    if (!this.#isLive(id)) return undefined
    const login = this.#logins.get(id)!
    if (!login.identity.isValid()) {
      this.#logins.delete(id)
      return undefined
    }
    login.usedAtMs = this.#clock.nowMs()
    this.#logins.delete(id)
    this.#logins.set(id, login)
    return login
  }

  end(id: string): void {
    this.#logins.delete(id)
  }

  #isLive(id: string): boolean {
    const login = this.#logins.get(id)
    if (!login) return false
    const nowMs = this.#clock.nowMs()
    const { inspectLoginIdleSeconds, inspectLoginSeconds } = this.#limits()
    const isLive =
      nowMs - login.usedAtMs < inspectLoginIdleSeconds * 1_000 &&
      nowMs - login.startedAtMs < inspectLoginSeconds * 1_000
    if (!isLive) this.#logins.delete(id)
    return isLive
  }
}
