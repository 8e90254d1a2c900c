import type { StatemqError } from '../errors.ts'
import type { Publication } from '../publication.ts'
import { GroupCommit } from './group-commit.ts'
import type { Line } from './line.ts'
import type { PacketIds } from './packet-ids.ts'
import { oldestOf, type Place } from './oldest.ts'
import { addTo, inner, type PendingWrites } from './pending.ts'
import type { QueuedMessage, SessionKey, StoredInflight } from '../stored.ts'

/** The packet identifiers that the tables of a store may hold. */
export interface KnownPacketIds {
  readonly received: PacketIds
  readonly inflight: PacketIds
}

/**
 * The half of a store that does not depend on what it is made of: writes gather until a commit, and
 * what is written and taken back before it is never made.
 */
export abstract class GatheringStore {
  protected readonly lines = new Map<SessionKey, Line>()
  protected readonly group = new GroupCommit({
    commit: (writes) => this.commit(writes),
    onCommitted: () => this.#committed(),
    faultOf: (error) => this.faultOf(error),
    gatherMs: this.gatherMs,
  })

  /** See `Committing.gatherMs`. */
  protected get gatherMs(): number {
    return 0
  }

  /** See `Committing.commit`. */
  protected abstract commit(writes: PendingWrites): Promise<void>
  protected abstract faultOf(error: unknown): StatemqError
  /** Undefined while it is not open. */
  protected abstract get packetIds(): KnownPacketIds | undefined

  together(): () => void {
    return this.group.together()
  }

  putSession(key: SessionKey, clientId: string, record: Buffer): void {
    this.group.writes.sessions.set(key, { clientId, record })
  }

  deleteSession(key: SessionKey): void {
    this.group.writes.deleteSession(key)
  }

  putSubscription(key: SessionKey, filter: string, record: Buffer): void {
    inner(this.group.writes.subscriptions, key).set(filter, record)
  }

  deleteSubscription(key: SessionKey, filter: string): void {
    inner(this.group.writes.subscriptions, key).set(filter, undefined)
  }

  putReceived(key: SessionKey, packetId: number): void {
    inner(this.group.writes.received, key).set(packetId, true)
  }

  deleteReceived(key: SessionKey, packetId: number): void {
    const isKept = this.#isKept('received', key, packetId)
    withdraw(this.group.writes.received, key, packetId, isKept, false)
  }

  putWill(key: SessionKey, epoch: number, record: Buffer): void {
    inner(this.group.writes.wills, key).set(epoch, record)
  }

  deleteWill(key: SessionKey, epoch: number, isSent = false): void {
    const { wills, sentWills } = this.group.writes
    inner(isSent ? sentWills : wills, key).set(epoch, undefined)
    if (isSent) wills.get(key)?.delete(epoch)
  }

  append(key: SessionKey, message: QueuedMessage): void {
    this.group.writes.append(key, message)
  }

  putInflight(key: SessionKey, inflight: StoredInflight): void {
    inner(this.group.writes.inflight, key).set(inflight.packetId, inflight)
  }

  deleteInflight(key: SessionKey, packetId: number): void {
    const isKept = this.#isKept('inflight', key, packetId)
    withdraw(this.group.writes.inflight, key, packetId, isKept, undefined)
  }

  /** Whether the tables have a packet identifier, or will have it with the commit under way. */
  #isKept(table: 'inflight' | 'received', key: SessionKey, packetId: number): boolean {
    return (
      this.group.committing?.[table].get(key)?.has(packetId) === true ||
      this.packetIds?.[table].has(key, packetId) === true
    )
  }

  settle(key: SessionKey, sequence: number): void {
    const { writes, committing } = this.group
    if (writes.takeBack(key, sequence)) return
    if (committing?.appended.get(key)?.has(sequence) !== true) return this.#settleStored(key, sequence)
    // Whether there is anything to settle is known when its commit is over.
    if (!writes.deletedSessions.has(key)) addTo(writes.settledEarly, key, sequence)
  }

  #settleStored(key: SessionKey, sequence: number): void {
    const batch = this.lines.get(key)?.settle(sequence)
    if (batch === undefined) return
    const { writes } = this.group
    if (batch.left > 0 || batch.isGrowing) addTo(writes.settledBatches, key, batch.first)
    else addTo(writes.endedBatches, key, batch.first)
  }

  /** What was settled meanwhile can be settled now. */
  #committed(): void {
    const { settledEarly } = this.group.gathering
    for (const [key, sequences] of [...settledEarly]) {
      settledEarly.delete(key)
      for (const sequence of sequences) this.#settleStored(key, sequence)
    }
  }

  oldest(key: SessionKey, from: number): Place | undefined {
    return oldestOf(key, from, this.lines, this.group)
  }

  putRetained(publication: Publication): void {
    this.group.writes.retained.set(publication.topic, publication)
  }

  deleteRetained(topic: string): void {
    this.group.writes.retained.set(topic, undefined)
  }
}

/** Takes a write back where the tables know nothing of it, else removes what they have. */
function withdraw<V>(
  writes: Map<SessionKey, Map<number, V>>,
  key: SessionKey,
  packetId: number,
  isKept: boolean,
  removal: V,
): void {
  const ids = inner(writes, key)
  if (isKept) ids.set(packetId, removal)
  else ids.delete(packetId)
  if (ids.size === 0) writes.delete(key)
}
