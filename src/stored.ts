import type { StatemqError } from './errors.ts'
import type { QoS } from './messages.ts'
import type { Publication } from './publication.ts'

/** The number of a persistent session in its store. Never given twice. */
export type SessionKey = number

/** A message that waits for one session, or that its client has not acknowledged yet. */
export interface QueuedMessage {
  /** Its place in the session's line: rises by one with every message, and is never used again. */
  readonly sequence: number
  readonly publication: Publication
  readonly qos: QoS
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[] | undefined
  /** The shared subscription it came by, as `group/filter`. */
  readonly shared: string | undefined
}

/** A QoS 1 or 2 message under way to the client, by its packet identifier. */
export interface StoredInflight {
  readonly packetId: number
  readonly sequence: number
  readonly qos: QoS
  /** True: PUBREC has come, PUBREL is what to send again. */
  readonly released: boolean
}

export interface StoredSubscription {
  /** As its client wrote it. */
  readonly filter: string
  /** The session's own encoding of options and what was granted. */
  readonly record: Buffer
}

/** A will that was armed and is not settled, with the session's own encoding of it. */
export interface StoredWill {
  readonly session: SessionKey
  readonly epoch: number
  readonly record: Buffer
}

/** How much waits for a session. */
export interface QueueSize {
  readonly messages: number
  readonly bytes: number
}

/** Everything that a store knows of one session, as it was when the last durable write was made. */
export interface StoredSession {
  readonly key: SessionKey
  readonly clientId: string
  /** The session's own encoding: what its chart knows. */
  readonly record: Buffer
  readonly subscriptions: readonly StoredSubscription[]
  /** Packet identifiers of QoS 2 messages received and not released. */
  readonly received: readonly number[]
  /** In the order in which they were first sent; with a message in the line, or released. */
  readonly inflight: readonly StoredInflight[]
  readonly queued: QueueSize
  /** The sequence of the next message for it. */
  readonly nextSequence: number
}

/** What a store has at the start: each of them some at a time, so that whoever reads can let others go first. */
export interface StoredState {
  sessions(): AsyncIterable<readonly StoredSession[]>
  wills(): AsyncIterable<readonly StoredWill[]>
  retained(): AsyncIterable<readonly Publication[]>
}

/**
 * What a session tells its store. Writes take effect in the order of their calls, and none waits: those
 * of one turn of the event loop are made durable together or not at all, and what comes while a commit
 * is under way goes into the next one. {@link SessionStore.durable} says when. What is written and
 * taken back before its commit costs no disk.
 */
export interface SessionStore {
  // --- sessions -----------------------------------------------------------------------------

  /** A number for a new session; nothing is written yet. */
  nextSessionKey(): SessionKey
  putSession(key: SessionKey, clientId: string, record: Buffer): void
  /** With its subscriptions, queue and packet identifiers; its will stays. Nothing is written for it afterwards. */
  deleteSession(key: SessionKey): void
  putSubscription(key: SessionKey, filter: string, record: Buffer): void
  deleteSubscription(key: SessionKey, filter: string): void
  putReceived(key: SessionKey, packetId: number): void
  deleteReceived(key: SessionKey, packetId: number): void
  putWill(key: SessionKey, epoch: number, record: Buffer): void
  /** `isSent`: it goes with the messages of this turn, and not before them where they have to wait for room. */
  deleteWill(key: SessionKey, epoch: number, isSent?: boolean): void

  // --- messages -----------------------------------------------------------------------------

  /** Puts a message at the end of a session's line. */
  append(key: SessionKey, message: QueuedMessage): void
  /** It got a packet identifier, or came to PUBREL. */
  putInflight(key: SessionKey, inflight: StoredInflight): void
  deleteInflight(key: SessionKey, packetId: number): void
  /** It was acknowledged or given up: it is not read again. In any order. */
  settle(key: SessionKey, sequence: number): void
  /** The next messages of a line with a sequence of `from` or more, in order: at most so many, at least one if there is one. */
  page(key: SessionKey, from: number, maxMessages: number, maxBytes: number): Promise<readonly QueuedMessage[]>

  /** The first message of a line with a sequence of `from` or more, and about what it counts; undefined: there is none. */
  oldest(key: SessionKey, from: number): { readonly sequence: number; readonly bytes: number } | undefined

  // --- durability ---------------------------------------------------------------------------

  /**
   * Undefined: every write so far is durable. Else a promise that resolves when those made until now
   * are, and rejects with SMQ_STORE_FULL or SMQ_STORE_FAILED when they can't be. They are not undone:
   * for want of room they wait, and are written when there is some.
   */
  durable(): Promise<void> | undefined
  /**
   * Everything that is written until the function it returns is called goes into one commit, with what waits
   * already: a message at QoS 2 that is given out over several turns is there for all of its receivers or for none.
   */
  together(): () => void
  /**
   * Why messages can't be made durable just now: SMQ_STORE_FULL until there is room again, SMQ_STORE_FAILED
   * for good. Meanwhile messages, retained messages and received packet identifiers that were written
   * wait, and `durable` speaks of everything else, so that what makes room goes on.
   */
  readonly fault: StatemqError | undefined
}
