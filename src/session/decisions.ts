import type { Connection } from './connection.ts'

/**
 * What takes time on one connection: it is not read meanwhile, which keeps the client's order. Silence
 * is then ours and not the client's (MQTT-3.1.2-22).
 */
export class Decisions {
  readonly #connection: Connection | undefined
  #pending = 0

  constructor(connection: Connection | undefined) {
    this.#connection = connection
  }

  get isPending(): boolean {
    return this.#pending > 0
  }

  /** `tick` is asked for when the last of them is over: from then on the client's silence counts again. */
  add(pending: Promise<unknown>, tick: () => number, onError: (error: unknown) => void): void {
    const connection = this.#connection
    connection?.pause('decision')
    this.#pending++
    pending
      .catch(onError)
      .finally(() => {
        // One may have led to another, for the same packet.
        if (--this.#pending > 0 || !connection) return
        connection.lastTick = tick()
        connection.resume('decision')
      })
      .catch(onError)
  }
}
