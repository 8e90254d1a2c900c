import type { Connection } from './connection.ts'
import type { Deadline } from './deadlines.ts'
import { SWEEP_MS } from './keepalive.ts'
import { RateLimit } from './rate-limit.ts'
import type { Session } from './session.ts'

/**
 * How fast a client may send bytes, and subscribe. What comes above its rate is not read until it would
 * have come at its rate: nothing is lost, its order is kept, and TCP slows the client down. That it has left
 * is noticed when it is read again.
 */
export class Pace {
  readonly #session: Session
  readonly #connection: Connection
  readonly #bytes: RateLimit
  readonly #filters: RateLimit
  #restsUntilMs = 0
  #deadline: Deadline | undefined = undefined

  /** Undefined where nothing limits it: most clients need none. */
  static of(session: Session): Pace | undefined {
    const { maxBytesPerSecond, maxSubscribesPerSecond } = session.policy.limits
    const { connection } = session
    if (connection === undefined || Math.min(maxBytesPerSecond, maxSubscribesPerSecond) === Infinity) return undefined
    return new Pace(session, connection)
  }

  private constructor(session: Session, connection: Connection) {
    const { clock } = session.core
    const { maxBytesPerSecond, burstBytes, maxSubscribesPerSecond, subscribeBurst } = session.policy.limits
    this.#session = session
    this.#connection = connection
    this.#bytes = new RateLimit(clock, maxBytesPerSecond, burstBytes)
    this.#filters = new RateLimit(clock, maxSubscribesPerSecond, subscribeBurst)
    if (maxBytesPerSecond !== Infinity) connection.onReceived = (count) => this.#rest(this.#bytes.reserve(count))
  }

  /** It subscribes, or unsubscribes, so many filters. */
  filters(count: number): void {
    this.#rest(this.#filters.reserve(count))
  }

  /** The connection is gone, with what was not read of it: it must not be read now. */
  close(): void {
    this.#connection.onReceived = undefined
    this.#session.core.deadlines.cancel(this.#deadline)
    this.#deadline = undefined
  }

  #rest(ms: number): void {
    if (ms === 0) return
    const { clock } = this.#session.core
    this.#restsUntilMs = Math.max(this.#restsUntilMs, clock.nowMs() + ms)
    if (this.#deadline !== undefined) return
    this.#connection.pause('rate')
    this.#schedule()
  }

  #schedule(): void {
    const { clock, deadlines, keepalive } = this.#session.core
    // Its silence until then is not its own (MQTT-3.1.2-22).
    this.#connection.lastTick = keepalive.tick + Math.ceil((this.#restsUntilMs - clock.nowMs()) / SWEEP_MS)
    this.#deadline = deadlines.schedule(this.#restsUntilMs, () => this.#wake())
  }

  #wake(): void {
    const { clock } = this.#session.core
    // It has sent more since: what was on its way when reading stopped.
    if (clock.nowMs() < this.#restsUntilMs) return this.#schedule()
    this.#deadline = undefined
    this.#connection.resume('rate')
  }
}
