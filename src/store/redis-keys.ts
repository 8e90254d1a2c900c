import { createHash } from 'node:crypto'

import type { SessionKey } from '../stored.ts'

/**
 * The names of everything in Redis. No text of a client is in any of them: sessions go by their
 * numbers, topics and filters by their hashes (threat 25). What belongs to one session has one hash
 * tag, and BullMQ's own keys of its queue are `<prefix>:{s<number>}:…`.
 *
 *     <prefix>:{store}:about      what this store is: its format, its identity, the number of its last commit
 *     <prefix>:{store}:owner      the fence: who may write
 *     <prefix>:{store}:lease      that the owner lives; goes by itself
 *     <prefix>:{store}:sessions   the numbers of all sessions
 *     <prefix>:{store}:wills      by session and epoch
 *     <prefix>:{store}:retained   by the hash of the topic
 *     <prefix>:{store}:messages   messages that several sessions wait for, by number
 *     <prefix>:{s7}:session       all of session 7 but its messages, see {@link Field}
 *     <prefix>:{s7}:b12           the job of its batch that begins with message 12
 */
export class RedisKeys {
  readonly prefix: string
  readonly about: string
  readonly owner: string
  readonly lease: string
  readonly sessions: string
  readonly wills: string
  readonly retained: string
  readonly messages: string

  constructor(prefix: string) {
    this.prefix = prefix
    this.about = `${prefix}:{store}:about`
    this.owner = `${prefix}:{store}:owner`
    this.lease = `${prefix}:{store}:lease`
    this.sessions = `${prefix}:{store}:sessions`
    this.wills = `${prefix}:{store}:wills`
    this.retained = `${prefix}:{store}:retained`
    this.messages = `${prefix}:{store}:messages`
  }

  session(key: SessionKey): string {
    return `${this.prefix}:${queueOf(key)}:session`
  }
}

/**
 * The prefix of a store in a cluster: with a hash tag around it all keys of the store, whatever tags
 * follow, are in one slot, and a commit is one transaction of one node.
 */
export function inOneSlot(prefix: string): string {
  return /\{[^}]+\}/.test(prefix) ? prefix : `{${prefix}}`
}

/** The name of a session's queue. */
export function queueOf(key: SessionKey): string {
  return `{s${key}}`
}

/** A job's id: not a number, and without a colon, as BullMQ wants it. */
export function jobOf(first: number): string {
  return `b${first}`
}

/** The first letter of a field in a session's hash says what it is. */
export const Field = {
  Session: 'c',
  NextSequence: 'n',
  Subscription: 's',
  Received: 'r',
  Inflight: 'i',
  Batch: 'b',
  Settled: 't',
} as const

export function willField(key: SessionKey, epoch: number): string {
  return `${key}.${epoch}`
}

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest().toString('base64url', 0, 16)
}
