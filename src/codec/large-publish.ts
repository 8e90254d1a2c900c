import type { Publication } from '../publication.ts'

/** Smaller parts of a chunk are copied together: a peer that sends a byte at a time must not cost an object each. */
const smallBytes = 4_096
const stagingBytes = 16_384

/**
 * A PUBLISH whose payload is still coming in. The pieces stay in the chunks that they came in, so
 * that a large message is passed on without being copied.
 */
export class LargePublish {
  readonly publication: Publication
  missingBytes: number
  receivedBytes: number
  readonly #pieces: Buffer[] = []
  #staging: Buffer | undefined = undefined
  #staged = 0

  /** `publication` was decoded as if it reached to `end`; its chunk has bytes up to `available` only. */
  constructor(publication: Publication, end: number, available: number) {
    this.publication = publication
    this.missingBytes = end - available
    this.receivedBytes = available - publication.payloadStart
    publication.payloadEnd = available
    publication.rest = this.#pieces
    publication.image = undefined
  }

  add(bytes: Buffer, from: number, to: number): void {
    const count = to - from
    this.missingBytes -= count
    this.receivedBytes += count
    if (count >= smallBytes) {
      this.#pieces.push(bytes.subarray(from, to))
      this.#staging = undefined
      return
    }
    let done = from
    while (done < to) {
      if (this.#staging === undefined || this.#staged === this.#staging.length) {
        this.#staging = Buffer.allocUnsafeSlow(stagingBytes)
        this.#staged = 0
        this.#pieces.push(this.#staging)
      }
      const copied = bytes.copy(this.#staging, this.#staged, done, to)
      this.#staged += copied
      done += copied
      this.#pieces[this.#pieces.length - 1] = this.#staging.subarray(0, this.#staged)
    }
  }
}

/** Index of the payload of the PUBLISH at `start`, or -1 when its header is not all there. */
export function publishHeaderEnd(version5: boolean, bytes: Buffer, start: number, body: number, end: number): number {
  if (body + 2 > end) return -1
  let at = body + 2 + ((bytes[body]! << 8) | bytes[body + 1]!)
  if ((bytes[start]! & 0x06) !== 0) at += 2
  if (version5) {
    let length = 0
    for (let shift = 0; ; shift += 7) {
      // A length that is malformed is the decoder's to refuse, once all of it is here.
      if (at >= end || shift > 21) return -1
      const byte = bytes[at++]!
      length |= (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    at += length
  }
  return at <= end ? at : -1
}
