import type { Clock } from '../options.ts'

/** How often silence is looked for: a connection is closed at most this much late. */
const SWEEP_MS = 500

/** A session whose client's silence is watched. */
export interface Watched {
  /** Sweep at which the last packet came: a plain number, since every read writes it. */
  readonly lastTick: number
  /** Sweeps of silence that are too many; see {@link silenceTicks}. */
  readonly maxSilentTicks: number
  onSilence(): void
}

/** One and a half times the keepalive, and one tick more: the last packet came between two sweeps. */
export function silenceTicks(keepAliveSeconds: number): number {
  return Math.ceil((keepAliveSeconds * 1500) / SWEEP_MS) + 1
}

/**
 * Keepalive for all connections in one periodic sweep: no timer per connection, and no look at the
 * clock per packet. MQTT-3.1.2-22: silence of one and a half times the keepalive ends a connection,
 * never before.
 */
export class Keepalive {
  /** Sweeps so far. */
  tick = 0
  readonly #clock: Clock
  readonly #watched = new Set<Watched>()
  #timer: unknown = undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  watch(watched: Watched): void {
    this.#watched.add(watched)
    this.#timer ??= this.#clock.setTimeout(() => this.#sweep(), SWEEP_MS)
  }

  unwatch(watched: Watched): void {
    this.#watched.delete(watched)
  }

  close(): void {
    this.#clock.clearTimeout(this.#timer)
    this.#watched.clear()
  }

  #sweep(): void {
    this.tick++
    for (const watched of this.#watched) {
      if (this.tick - watched.lastTick < watched.maxSilentTicks) continue
      this.#watched.delete(watched)
      watched.onSilence()
    }
    this.#timer = this.#watched.size > 0 ? this.#clock.setTimeout(() => this.#sweep(), SWEEP_MS) : undefined
  }
}
