import type { Clock } from '../options.ts'

/** How often silence is looked for: a connection is closed at most this much late. */
export const SWEEP_MS = 500

/** A session whose client's silence is watched. */
export interface Watched {
  /** Sweep at which the last packet came: a plain number, since every read writes it. */
  readonly lastTick: number
  /** Sweeps of silence that are too many; see {@link silenceTicks}. */
  readonly maxSilentTicks: number
  /** Where it waits to be looked at; -1 while it is not watched. Kept by {@link Keepalive}. */
  dueTick: number
  onSilence(): void
}

/** One and a half times the keepalive, and one tick more: the last packet came between two sweeps. */
export function silenceTicks(keepAliveSeconds: number): number {
  return Math.ceil((keepAliveSeconds * 1500) / SWEEP_MS) + 1
}

/**
 * Keepalive for all connections on one timer: no timer per connection, and no look at the clock per
 * packet. A connection is looked at when its silence could have lasted long enough, and put off if
 * it has not: once per keepalive and not at every tick. MQTT-3.1.2-22: silence of one and a half
 * times the keepalive ends a connection, never before.
 */
export class Keepalive {
  /** Ticks so far. */
  tick = 0
  readonly #clock: Clock
  /** Who is to be looked at, by tick. */
  readonly #due = new Map<number, Set<Watched>>()
  #count = 0
  #timer: unknown = undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  watch(watched: Watched): void {
    this.unwatch(watched)
    this.#put(watched)
    this.#timer ??= this.#clock.setTimeout(() => this.#sweep(), SWEEP_MS)
  }

  unwatch(watched: Watched): void {
    if (watched.dueTick < 0) return
    const due = this.#due.get(watched.dueTick)
    watched.dueTick = -1
    this.#count--
    due?.delete(watched)
  }

  close(): void {
    this.#clock.clearTimeout(this.#timer)
    this.#due.clear()
    this.#count = 0
  }

  #put(watched: Watched): void {
    const dueTick = Math.max(this.tick + 1, watched.lastTick + watched.maxSilentTicks)
    watched.dueTick = dueTick
    this.#count++
    const due = this.#due.get(dueTick)
    if (due) due.add(watched)
    else this.#due.set(dueTick, new Set([watched]))
  }

  #sweep(): void {
    this.tick++
    const due = this.#due.get(this.tick)
    this.#due.delete(this.tick)
    for (const watched of due ?? []) {
      // The one before may have taken this one out.
      if (watched.dueTick !== this.tick) continue
      watched.dueTick = -1
      this.#count--
      if (watched.lastTick + watched.maxSilentTicks > this.tick) this.#put(watched)
      else watched.onSilence()
    }
    this.#timer = this.#count > 0 ? this.#clock.setTimeout(() => this.#sweep(), SWEEP_MS) : undefined
  }
}
