import type { Clock } from '../options.ts'
import { tenthsOf } from '../publication.ts'

/**
 * The time, read at most once in a turn of the event loop: for what is noted with every message, where
 * asking the clock each time would be felt.
 */
export class TurnClock {
  readonly #clock: Pick<Clock, 'nowMs'>
  /** 0: not read in this turn. */
  #tenths = 0

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock
  }

  /** Tenths of a second, as {@link tenthsOf} counts them. */
  get tenths(): number {
    return this.#tenths === 0 ? this.#read() : this.#tenths
  }

  #read(): number {
    this.#tenths = tenthsOf(this.#clock.nowMs())
    setImmediate(() => {
      this.#tenths = 0
    })
    return this.#tenths
  }
}
