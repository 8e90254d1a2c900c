import type { StatemqError } from '../errors.ts'
import { PendingWrites } from './pending.ts'

/** What a {@link GroupCommit} asks of the store that it belongs to. */
export interface Committing {
  /** Makes writes durable, all of them or none. */
  commit(writes: PendingWrites): Promise<void>
  /** They are durable; called before anybody is told. */
  onCommitted(writes: PendingWrites): void
  /**
   * Milliseconds that the next commit waits after one: where a commit costs much by itself, it is cheaper with what those
   * send who are told of the one before. Default: none.
   */
  readonly gatherMs?: number
  /** Why the writes did not become durable: what {@link GroupCommit.fault} is from now on. */
  faultOf(error: unknown): StatemqError
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * What nobody waits for (acknowledged messages that leave a line, mostly) is committed after so long at the latest, or
 * with what somebody waits for. A crash within that time has a client get again what it acknowledged, which its flags
 * say; a flush for every handful of acknowledgements would cost more than sending the messages.
 */
const LINGER_MS = 5

/**
 * One commit at a time: what is written while one is under way gathers and goes into the next.
 * Nobody who waits waits for others to come, and a crowd costs one flush.
 *
 *     write ─▶ gathering ──▶ committing ──▶ durable
 *                 ▲              │ no room
 *                 └──────────────┘ where it waits for room, and goes behind what makes room
 */
export class GroupCommit {
  readonly #store: Committing
  /** SMQ_STORE_FULL: messages wait, the rest is tried. Any other: nothing is tried any more. */
  fault: StatemqError | undefined = undefined
  gathering = new PendingWrites()
  committing: PendingWrites | undefined = undefined
  #waiting: Waiter[] = []
  #promise: Promise<void> | undefined = undefined
  #current: Promise<void> | undefined = undefined
  #scheduled = false
  #lingering: NodeJS.Timeout | undefined = undefined
  #isResuming = false
  /** How many want what they write to stay together, and are not done. */
  #open = 0

  constructor(store: Committing) {
    this.#store = store
  }

  /** Where to write. */
  get writes(): PendingWrites {
    this.#linger()
    return this.gathering
  }

  get #hasFailed(): boolean {
    return this.fault !== undefined && this.fault.code !== 'SMQ_STORE_FULL'
  }

  /** Whether what waits can be tried now. */
  get #canBegin(): boolean {
    return this.fault === undefined ? !this.gathering.isEmpty : this.gathering.hasOtherThanMessages
  }

  /** See `SessionStore.durable`. All who ask between two commits share one promise. */
  durable(): Promise<void> | undefined {
    if (this.#hasFailed) return rejected(this.fault!)
    if (!this.#canBegin) return this.#current
    this.#schedule()
    this.#promise ??= new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
    return this.#promise
  }

  /** Everything that was written so far is durable, or cannot be. */
  async settled(): Promise<void> {
    for (let last = this.durable(); last !== undefined && !this.#hasFailed; last = this.durable()) {
      await last.catch(() => {})
      if (this.fault !== undefined) return
    }
  }

  /**
   * There may be room again: the messages that wait are tried by themselves, so that nobody else's writes
   * fail with them. With that the fault is over, or `faultOf` is asked once more.
   */
  resume(): void {
    if (this.#hasFailed || this.fault === undefined) return
    this.#isResuming = true
    this.#schedule()
  }

  /** See `SessionStore.together`. */
  together(): () => void {
    this.#open++
    let isOpen = true
    return () => {
      if (!isOpen) return
      isOpen = false
      this.#open--
      this.#schedule()
    }
  }

  /** At the end of the turn, so that what one packet or one read sets off is committed together. */
  #schedule(afterMs = 0): void {
    if (this.#scheduled || this.committing !== undefined) return
    this.#scheduled = true
    clearTimeout(this.#lingering)
    this.#lingering = undefined
    this.#beginAt(afterMs === 0 ? 0 : performance.now() + afterMs)
  }

  /** Turns of the event loop go by until then: what comes in them is committed, too. */
  #beginAt(atMs: number): void {
    setImmediate(() => {
      if (performance.now() < atMs) return this.#beginAt(atMs)
      this.#scheduled = false
      this.#begin()
    })
  }

  /** A commit before long, unless somebody asks for one. */
  #linger(): void {
    if (this.#scheduled || this.#lingering !== undefined || this.committing !== undefined) return
    this.#lingering = setTimeout(() => {
      this.#lingering = undefined
      this.#schedule()
    }, LINGER_MS)
  }

  /** After a commit: what gathered meanwhile has its turn. */
  #goOn(): void {
    if (this.#waiting.length > 0) this.#schedule(this.#store.gatherMs)
    else if (this.#canBegin) this.#linger()
  }

  #begin(): void {
    if (this.committing !== undefined) return
    // After an error of the medium nobody knows what it holds: it is not asked again (threat 10).
    if (this.#hasFailed) return this.#giveUp()
    if (this.#open > 0) return
    if (this.#isResuming) return this.#tryMessages()
    const waiting = this.#waiting
    this.#waiting = []
    this.#promise = undefined
    if (!this.#canBegin) {
      // What they waited for was taken back.
      for (const waiter of waiting) waiter.resolve()
      return
    }
    const writes = this.#take()
    this.committing = writes
    const done = this.#store.commit(writes).then(
      () => {
        this.committing = undefined
        this.#current = undefined
        this.#store.onCommitted(writes)
        this.#goOn()
        for (const waiter of waiting) waiter.resolve()
      },
      (error: unknown) => this.#fail(writes, waiting, error),
    )
    this.#current = done
    // Whoever asked for it has a promise of its own.
    done.catch(() => {})
  }

  #tryMessages(): void {
    this.#isResuming = false
    const writes = this.gathering.takeMessages()
    this.committing = writes
    this.#store
      .commit(writes)
      .then(
        () => {
          this.fault = undefined
          this.committing = undefined
          this.#store.onCommitted(writes)
        },
        (error: unknown) => {
          this.committing = undefined
          this.fault = this.#store.faultOf(error)
          this.gathering.carryOver(writes)
        },
      )
      .finally(() => this.#goOn())
  }

  /** While there is no room messages wait, so that what makes room does not fail with them. */
  #take(): PendingWrites {
    if (this.fault !== undefined) return this.gathering.takeOtherThanMessages()
    const writes = this.gathering
    this.gathering = new PendingWrites()
    return writes
  }

  #fail(writes: PendingWrites, waiting: readonly Waiter[], error: unknown): never {
    this.committing = undefined
    this.#current = undefined
    const fault = this.#store.faultOf(error)
    this.fault = fault
    this.gathering.carryOver(writes)
    // Those who came meanwhile asked for what has just failed, too.
    const all = [...waiting, ...this.#waiting.splice(0)]
    this.#promise = undefined
    if (this.#hasFailed) this.#giveUp()
    for (const waiter of all) waiter.reject(fault)
    throw fault
  }

  #giveUp(): void {
    this.gathering = new PendingWrites()
    for (const waiter of this.#waiting.splice(0)) waiter.reject(this.fault)
    this.#promise = undefined
  }
}

function rejected(error: StatemqError): Promise<never> {
  const promise = Promise.reject(error)
  // Whoever is told may look away.
  promise.catch(() => {})
  return promise
}
