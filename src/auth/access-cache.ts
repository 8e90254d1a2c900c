/** Slots: with eight bytes of numbers and a text each, well under a megabyte for a broker. */
const SLOTS = 8_192
/** Longer topics are looked up anew each time, so that nobody fills the slots with megabytes. */
export const MAX_REMEMBERED_TOPIC = 256

/**
 * Remembers numbers by topic and owner, in a table of fixed size: what falls into a taken slot takes
 * it over. It neither grows nor allocates, whatever topics clients think of.
 */
export class AccessCache {
  readonly #topics = Array.from<string | undefined>({ length: SLOTS })
  readonly #owners = new Int32Array(SLOTS)
  readonly #numbers = new Int32Array(SLOTS)
  #lastTopic = ''
  #lastHash = 0

  /** The number; -1 when it is not known. */
  get(owner: number, topic: string): number {
    const slot = this.#slot(owner, topic)
    return this.#owners[slot] === owner && this.#topics[slot] === topic ? this.#numbers[slot]! : -1
  }

  set(owner: number, topic: string, number: number): void {
    const slot = this.#slot(owner, topic)
    this.#topics[slot] = topic
    this.#owners[slot] = owner
    this.#numbers[slot] = number
  }

  #slot(owner: number, topic: string): number {
    // One message is asked about for many sessions, one after the other.
    if (topic !== this.#lastTopic) {
      this.#lastHash = hashOf(topic)
      this.#lastTopic = topic
    }
    const mixed = Math.imul(this.#lastHash ^ owner, 0x9e3779b1)
    return (mixed ^ (mixed >>> 15)) & (SLOTS - 1)
  }
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash
}
