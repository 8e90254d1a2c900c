interface Piece {
  readonly bytes: Buffer
  /** Undefined: it only waits for those in front of it. */
  until: Promise<void> | undefined
  isReady: boolean
}

/**
 * Output of one connection that waits for promises of the store, in order. Commits end in the order in
 * which they began, so a piece that is ready goes out as soon as those in front of it have.
 */
export class HeldBytes {
  readonly #write: (bytes: Buffer) => void
  readonly #onEmpty: () => void
  readonly #onBroken: () => void
  readonly #pieces: Piece[] = []
  #size = 0
  /** What the bytes of this turn wait for. */
  #until: Promise<void> | undefined
  #failed = false
  #released: (() => void)[] = []

  /**
   * `onEmpty` is called when nothing is held any more, and nothing is to come: then it has no further use.
   * `onBroken` comes before it, where a promise was rejected.
   */
  constructor(write: (bytes: Buffer) => void, onEmpty: () => void, onBroken: () => void) {
    this.#write = write
    this.#onEmpty = onEmpty
    this.#onBroken = onBroken
  }

  get size(): number {
    return this.#size
  }

  /** The bytes that are added next wait for this. */
  until(promise: Promise<void>): void {
    if (this.#until === promise) return
    this.#until = promise
    promise.then(
      () => this.#settled(promise),
      () => this.#fail(),
    )
  }

  add(bytes: Buffer): void {
    if (this.#failed) return
    this.#pieces.push({ bytes, until: this.#until, isReady: this.#until === undefined })
    this.#size += bytes.length
  }

  whenReleased(onReleased: () => void): void {
    this.#released.push(onReleased)
  }

  #settled(promise: Promise<void>): void {
    if (this.#until === promise) this.#until = undefined
    for (const piece of this.#pieces) if (piece.until === promise) piece.isReady = true
    while (this.#pieces[0]?.isReady === true) {
      const { bytes } = this.#pieces.shift()!
      this.#size -= bytes.length
      this.#write(bytes)
    }
    this.#leaveIfEmpty()
  }

  #fail(): void {
    this.#failed = true
    this.#until = undefined
    this.#pieces.length = 0
    this.#size = 0
    this.#onBroken()
    this.#leaveIfEmpty()
  }

  #leaveIfEmpty(): void {
    if (this.#pieces.length > 0 || this.#until !== undefined) return
    this.#onEmpty()
    for (const onReleased of this.#released.splice(0)) onReleased()
  }
}
