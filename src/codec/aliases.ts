/**
 * Topic aliases that the broker sets towards one client: the most recently used topics have one
 * (MQTT 5 section 3.3.2.3.4). Gone with the connection (MQTT-3.3.2-7).
 */
export class TopicAliases {
  readonly #maximum: number
  /** Negative while the client has not been told. Insertion order is order of use. */
  readonly #aliases = new Map<string, number>()

  constructor(maximum: number) {
    this.#maximum = maximum
  }

  /** The alias of a topic: positive when the client knows it, negative when it must be told now. */
  lookup(topic: string): number {
    const known = this.#aliases.get(topic)
    if (known !== undefined) {
      this.#aliases.delete(topic)
      this.#aliases.set(topic, Math.abs(known))
      return known
    }
    let alias = this.#aliases.size + 1
    if (alias > this.#maximum) {
      const [oldest, reused] = this.#aliases.entries().next().value!
      this.#aliases.delete(oldest)
      alias = Math.abs(reused)
    }
    this.#aliases.set(topic, alias)
    return -alias
  }

  /** The packet that would have told the client was never sent. */
  forget(topic: string): void {
    const alias = this.#aliases.get(topic)
    if (alias !== undefined) this.#aliases.set(topic, -Math.abs(alias))
  }
}
