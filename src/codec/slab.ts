import { Buffer } from 'node:buffer'

/**
 * Where the encoders write small packets: one block shared by all connections, cut off from the
 * front and never reused, so that a socket may keep its part as long as it likes. A new block is
 * taken when one is used up; what nobody holds any longer is collected with it.
 */
const SLAB_BYTES = 65_536

class Slab {
  bytes: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #used = 0

  /** Makes room for `length` bytes in `this.bytes` and returns where they start. */
  reserve(length: number): number {
    if (this.#used + length > this.bytes.length) {
      this.bytes = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, length))
      this.#used = 0
    }
    const start = this.#used
    this.#used += length
    return start
  }
}

/** The one that all encoders of the process share. */
export const slab = new Slab()
