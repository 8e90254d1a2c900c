import type { Publication } from '../publication.ts'
import type { QueuedMessage, SessionKey, StoredInflight } from '../stored.ts'

/**
 * Writes that go into one commit, by what they are about: a later one replaces an earlier one, and a
 * message that is settled before its commit begins was never written. Undefined stands for a removal.
 */
export class PendingWrites {
  readonly deletedSessions = new Set<SessionKey>()
  readonly sessions = new Map<SessionKey, { readonly clientId: string; readonly record: Buffer }>()
  readonly subscriptions = new Map<SessionKey, Map<string, Buffer | undefined>>()
  readonly received = new Map<SessionKey, Map<number, boolean>>()
  readonly inflight = new Map<SessionKey, Map<number, StoredInflight | undefined>>()
  /** By session, then by epoch. */
  readonly wills = new Map<SessionKey, Map<number, Buffer | undefined>>()
  readonly appended = new Map<SessionKey, Map<number, QueuedMessage>>()
  /** Batches that have no message left, by session. */
  readonly endedBatches = new Map<SessionKey, number[]>()
  /** Sessions with messages settled out of batches that others of are still in. */
  readonly settled = new Set<SessionKey>()
  readonly retained = new Map<string, Publication | undefined>()

  get isEmpty(): boolean {
    return (
      this.deletedSessions.size === 0 &&
      this.sessions.size === 0 &&
      this.subscriptions.size === 0 &&
      this.received.size === 0 &&
      this.inflight.size === 0 &&
      this.wills.size === 0 &&
      this.appended.size === 0 &&
      this.endedBatches.size === 0 &&
      this.settled.size === 0 &&
      this.retained.size === 0
    )
  }

  /** A session goes: whatever was to be written about it need not be. */
  deleteSession(key: SessionKey): void {
    this.sessions.delete(key)
    this.subscriptions.delete(key)
    this.received.delete(key)
    this.inflight.delete(key)
    this.appended.delete(key)
    this.endedBatches.delete(key)
    this.settled.delete(key)
    this.deletedSessions.add(key)
  }

  append(key: SessionKey, message: QueuedMessage): void {
    inner(this.appended, key).set(message.sequence, message)
  }

  /** Whether the message was still to be written, and now need not be. */
  takeBack(key: SessionKey, sequence: number): boolean {
    const messages = this.appended.get(key)
    if (!messages?.delete(sequence)) return false
    if (messages.size === 0) this.appended.delete(key)
    return true
  }

  /**
   * The commit failed: what promises were waiting for is undone, what must happen anyway is written
   * with the next one, unless that knows better.
   */
  carryOver(failed: PendingWrites): void {
    for (const key of failed.deletedSessions) this.deletedSessions.add(key)
    for (const [key, session] of failed.sessions) {
      if (!this.sessions.has(key) && !this.deletedSessions.has(key)) this.sessions.set(key, session)
    }
    carry(this.subscriptions, failed.subscriptions, (record) => record === undefined)
    carry(this.received, failed.received, (present) => !present)
    carry(this.inflight, failed.inflight, (entry) => entry === undefined)
    carry(this.wills, failed.wills, () => true)
    for (const [key, firsts] of failed.endedBatches) {
      this.endedBatches.set(key, [...firsts, ...(this.endedBatches.get(key) ?? [])])
    }
    for (const key of failed.settled) this.settled.add(key)
    for (const [topic, publication] of failed.retained) {
      if (publication === undefined && !this.retained.has(topic)) this.retained.set(topic, undefined)
    }
    for (const key of this.deletedSessions) this.#forgetAllBut(key)
  }

  #forgetAllBut(key: SessionKey): void {
    const wills = this.wills.get(key)
    this.deleteSession(key)
    if (wills) this.wills.set(key, wills)
  }
}

/** The inner map of a key, made where there is none. */
export function inner<K, N, V>(outer: Map<K, Map<N, V>>, key: K): Map<N, V> {
  let found = outer.get(key)
  if (found === undefined) {
    found = new Map()
    outer.set(key, found)
  }
  return found
}

function carry<K, N, V>(into: Map<K, Map<N, V>>, from: Map<K, Map<N, V>>, keeps: (value: V) => boolean): void {
  for (const [key, values] of from) {
    for (const [name, value] of values) {
      if (keeps(value) && !into.get(key)?.has(name)) inner(into, key).set(name, value)
    }
  }
}
