import type { Publication } from '../publication.ts'
import type { JobChange } from '../scheduled.ts'
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
  /** Those that are messages now: they go with them. */
  readonly sentWills = new Map<SessionKey, Map<number, undefined>>()
  /** In the order of their sequences. */
  readonly appended = new Map<SessionKey, Map<number, QueuedMessage>>()
  /** Batches that have no message left, by session. */
  readonly endedBatches = new Map<SessionKey, Set<number>>()
  /** Batches out of which more messages are settled, by session. */
  readonly settledBatches = new Map<SessionKey, Set<number>>()
  /** Sequences that were settled while the commit of their messages was under way. */
  readonly settledEarly = new Map<SessionKey, Set<number>>()
  readonly retained = new Map<string, Publication | undefined>()
  /** By identifier; only a store that is asked for them has any. */
  readonly jobs = new Map<string, JobChange>()

  get isEmpty(): boolean {
    const { appended, received, retained, sentWills, jobs } = this
    return !this.#hasOthers && appended.size + received.size + retained.size + sentWills.size + jobs.size === 0
  }

  /** Whether there is something of what {@link takeOtherThanMessages} takes. */
  get hasOtherThanMessages(): boolean {
    return (
      this.#hasOthers ||
      someOf(this.received.values(), (ids) => someOf(ids.values(), (isThere) => !isThere)) ||
      someOf(this.retained.values(), (publication) => publication === undefined) ||
      someOf(this.jobs.values(), (job) => !job)
    )
  }

  get #hasOthers(): boolean {
    return (
      this.deletedSessions.size > 0 ||
      this.sessions.size > 0 ||
      this.subscriptions.size > 0 ||
      this.inflight.size > 0 ||
      this.wills.size > 0 ||
      this.endedBatches.size > 0 ||
      this.settledBatches.size > 0 ||
      this.settledEarly.size > 0
    )
  }

  /** A session goes: whatever was to be written about it need not be. Its will is not a part of it. */
  deleteSession(key: SessionKey): void {
    this.#forget(key)
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

  /** The commit failed: what was in it is still to be written, unless this here knows better. */
  carryOver(failed: PendingWrites): void {
    for (const key of failed.deletedSessions) this.deletedSessions.add(key)
    for (const [key, session] of failed.sessions) if (!this.sessions.has(key)) this.sessions.set(key, session)
    carry(this.subscriptions, failed.subscriptions)
    carry(this.received, failed.received)
    carry(this.inflight, failed.inflight)
    carry(this.wills, failed.wills)
    carry(this.sentWills, failed.sentWills)
    for (const [key, messages] of failed.appended) this.#carryMessages(key, messages)
    for (const [key, firsts] of failed.endedBatches) addAll(this.endedBatches, key, firsts)
    for (const [key, firsts] of failed.settledBatches) addAll(this.settledBatches, key, firsts)
    for (const [topic, publication] of failed.retained) {
      if (!this.retained.has(topic)) this.retained.set(topic, publication)
    }
    for (const [id, job] of failed.jobs) if (!this.jobs.has(id)) this.jobs.set(id, job)
    this.settledEarly.clear()
    for (const key of this.deletedSessions) this.#forget(key)
  }

  /** They come before those that were appended since; what was settled meanwhile need not be written. */
  #carryMessages(key: SessionKey, messages: ReadonlyMap<number, QueuedMessage>): void {
    const later = this.appended.get(key)
    const settled = this.settledEarly.get(key)
    const all = new Map(messages)
    for (const sequence of settled ?? []) all.delete(sequence)
    for (const [sequence, message] of later ?? []) all.set(sequence, message)
    if (all.size > 0) this.appended.set(key, all)
  }

  /** Takes out everything but messages, the identifiers by which they were received, wills that they were, and new jobs. */
  takeOtherThanMessages(): PendingWrites {
    const taken = new PendingWrites()
    moveAll(this.deletedSessions, (key) => taken.deletedSessions.add(key))
    move(this.sessions, taken.sessions)
    move(this.subscriptions, taken.subscriptions)
    move(this.inflight, taken.inflight)
    move(this.wills, taken.wills)
    move(this.endedBatches, taken.endedBatches)
    move(this.settledBatches, taken.settledBatches)
    for (const [key, ids] of this.received) {
      for (const [id, isThere] of ids) {
        if (isThere) continue
        inner(taken.received, key).set(id, false)
        ids.delete(id)
      }
      if (ids.size === 0) this.received.delete(key)
    }
    for (const [topic, publication] of this.retained) {
      if (publication !== undefined) continue
      taken.retained.set(topic, undefined)
      this.retained.delete(topic)
    }
    for (const [id, job] of this.jobs) {
      if (job) continue
      taken.jobs.set(id, job)
      this.jobs.delete(id)
    }
    return taken
  }

  /** Takes out messages, and the identifiers by which they were received: what the other one leaves. */
  takeMessages(): PendingWrites {
    const others = this.takeOtherThanMessages()
    const taken = new PendingWrites()
    move(this.received, taken.received)
    move(this.appended, taken.appended)
    move(this.sentWills, taken.sentWills)
    move(this.retained, taken.retained)
    move(this.jobs, taken.jobs)
    this.carryOver(others)
    return taken
  }

  #forget(key: SessionKey): void {
    this.sessions.delete(key)
    this.subscriptions.delete(key)
    this.received.delete(key)
    this.inflight.delete(key)
    this.appended.delete(key)
    this.endedBatches.delete(key)
    this.settledBatches.delete(key)
    this.settledEarly.delete(key)
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

/** Adds to the set of a key, made where there is none. */
export function addTo<K, V>(outer: Map<K, Set<V>>, key: K, value: V): void {
  const found = outer.get(key)
  if (found) found.add(value)
  else outer.set(key, new Set([value]))
}

function addAll<K, V>(outer: Map<K, Set<V>>, key: K, values: Iterable<V>): void {
  for (const value of values) addTo(outer, key, value)
}

function carry<K, N, V>(into: Map<K, Map<N, V>>, from: Map<K, Map<N, V>>): void {
  for (const [key, values] of from) {
    for (const [name, value] of values) if (!into.get(key)?.has(name)) inner(into, key).set(name, value)
  }
}

function move<K, V>(from: Map<K, V>, into: Map<K, V>): void {
  for (const [key, value] of from) into.set(key, value)
  from.clear()
}

function moveAll<V>(from: Set<V>, take: (value: V) => void): void {
  for (const value of from) take(value)
  from.clear()
}

function someOf<V>(values: Iterable<V>, test: (value: V) => boolean): boolean {
  for (const value of values) if (test(value)) return true
  return false
}
