import type { Connection } from './connection.ts'
import type { Session } from './session.ts'

/**
 * Which session lives under which client identifier (MQTT-3.1.3-2), and every actor that is still
 * on its way there. Actors are roots in maps, never children of one actor: spawning and stopping
 * those is quadratic.
 */
export class Registry {
  /** By session id: newcomers too. The machine's implementations find their host here. */
  readonly hosts = new Map<string, Session>()
  /** By client identifier: sessions that were online at least once. */
  readonly sessions = new Map<string, Session>()
  /** Newcomers that hand over just now, by the session that takes over from them. */
  readonly handovers = new Map<string, { readonly newcomer: Session; readonly connection: Connection | undefined }>()
  /** Sessions without a connection. */
  offline = 0
  #takeovers = new Map<string, number[]>()
  /** How many may be remembered before old ones are looked for again. */
  #lookAtSize = 10_000

  host(sessionId: string): Session {
    const host = this.hosts.get(sessionId)
    if (!host) throw new Error(`no host for session ${sessionId}`)
    return host
  }

  /**
   * Whether another takeover of this identifier stays within `maximum` per ten seconds: two clients
   * that fight over one identifier would otherwise keep the broker busy for ever (threat 54).
   */
  mayTakeOver(clientId: string, nowMs: number, maximum: number): boolean {
    if (maximum === Infinity) return true
    const recent = (this.#takeovers.get(clientId) ?? []).filter((atMs) => atMs > nowMs - 10_000)
    if (recent.length >= maximum) return false
    recent.push(nowMs)
    this.#takeovers.set(clientId, recent)
    if (this.#takeovers.size > this.#lookAtSize) {
      this.#forgetOld(nowMs)
      // Twice as many as are left, so that a crowd of new identifiers does not pay for a look each.
      this.#lookAtSize = Math.max(10_000, this.#takeovers.size * 2)
    }
    return true
  }

  /** Identifiers whose last takeovers are remembered. */
  get rememberedTakeovers(): number {
    return this.#takeovers.size
  }

  #forgetOld(nowMs: number): void {
    for (const [clientId, times] of this.#takeovers) {
      if (times.every((atMs) => atMs <= nowMs - 10_000)) this.#takeovers.delete(clientId)
    }
  }
}
