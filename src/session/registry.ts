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
    if (this.#takeovers.size > 10_000) this.#forgetOld(nowMs)
    return true
  }

  #forgetOld(nowMs: number): void {
    for (const [clientId, times] of this.#takeovers) {
      if (times.every((atMs) => atMs <= nowMs - 10_000)) this.#takeovers.delete(clientId)
    }
  }
}
