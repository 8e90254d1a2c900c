import type { SessionKey } from '../stored.ts'

/** The packet identifiers that a table may hold, by session: what it surely does not have need not be removed. */
export class PacketIds {
  readonly #bySession = new Map<SessionKey, Set<number>>()

  has(key: SessionKey, packetId: number): boolean {
    return this.#bySession.get(key)?.has(packetId) === true
  }

  add(key: SessionKey, packetId: number): void {
    const ids = this.#bySession.get(key)
    if (ids) ids.add(packetId)
    else this.#bySession.set(key, new Set([packetId]))
  }

  delete(key: SessionKey, packetId: number): void {
    const ids = this.#bySession.get(key)
    if (ids?.delete(packetId) === true && ids.size === 0) this.#bySession.delete(key)
  }

  forget(key: SessionKey): void {
    this.#bySession.delete(key)
  }
}
