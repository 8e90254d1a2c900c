import { StatemqError } from '../errors.ts'

type Reason = 'link' | 'commit'

export interface AwayListener {
  onAway(error: StatemqError): void
  onBack(): void
}

/**
 * Whether Redis is away: a commit or a connection that has been waited for too long. Those who wait
 * for something to be durable are told then; it is durable later all the same, or never was promised.
 */
export class RedisAway {
  readonly #afterMs: number
  readonly #listener: AwayListener
  readonly #timers = new Map<Reason, NodeJS.Timeout>()
  readonly #overdue = new Set<Reason>()
  #fault: StatemqError | undefined
  #isStopped = false
  #waiters = new Set<(error: StatemqError) => void>()
  #bound: { readonly inner: Promise<void>; readonly outer: Promise<void> } | undefined

  constructor(afterMs: number, listener: AwayListener) {
    this.#afterMs = afterMs
    this.#listener = listener
  }

  get fault(): StatemqError | undefined {
    return this.#fault
  }

  /** Resolves when it is away. */
  get told(): Promise<void> {
    if (this.#fault !== undefined) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.add(() => resolve()))
  }

  begin(reason: Reason): void {
    if (this.#timers.has(reason) || this.#isStopped) return
    this.#timers.set(
      reason,
      setTimeout(() => this.#tell(reason), this.#afterMs),
    )
  }

  end(reason: Reason): void {
    clearTimeout(this.#timers.get(reason))
    this.#timers.delete(reason)
    this.#overdue.delete(reason)
    if (this.#overdue.size > 0 || this.#fault === undefined || this.#isStopped) return
    this.#fault = undefined
    this.#listener.onBack()
  }

  /** It does not matter any more. */
  stop(): void {
    this.#isStopped = true
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }

  /** The same promise, but it rejects with SMQ_STORE_UNAVAILABLE when Redis is away. */
  bound(inner: Promise<void> | undefined): Promise<void> | undefined {
    if (inner === undefined) return undefined
    if (this.#fault !== undefined) return rejected(this.#fault)
    if (this.#bound?.inner === inner) return this.#bound.outer
    const outer = new Promise<void>((resolve, reject) => {
      this.#waiters.add(reject)
      inner.then(resolve, reject).finally(() => this.#waiters.delete(reject))
    })
    this.#bound = { inner, outer }
    return outer
  }

  #tell(reason: Reason): void {
    this.#overdue.add(reason)
    this.#bound = undefined
    const isNew = this.#fault === undefined
    const fault = (this.#fault ??= new StatemqError('SMQ_STORE_UNAVAILABLE', `not for ${this.#afterMs} ms`))
    for (const tell of this.#waiters) tell(fault)
    this.#waiters.clear()
    if (isNew) this.#listener.onAway(fault)
  }
}

function rejected(error: StatemqError): Promise<never> {
  const promise = Promise.reject(error)
  // Whoever is told may look away.
  promise.catch(() => {})
  return promise
}
