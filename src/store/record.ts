import { crc32 } from 'node:zlib'

import { StatemqError } from '../errors.ts'

/**
 * Every value that a store writes:
 *
 *     ┌─────────┬──────────────────┬─────────┐
 *     │ version │ CRC-32 of the    │ content │
 *     │ 1 byte  │ content, 4 bytes │         │
 *     └─────────┴──────────────────┴─────────┘
 *
 * A bit that flipped on disk is found where the record is read, and costs that record only.
 */
const RECORD_VERSION = 1
const HEAD_BYTES = 5

/** Puts the head in front of what a {@link RecordWriter} wrote, or of any content. */
export function seal(content: Buffer): Buffer {
  const record = Buffer.allocUnsafeSlow(HEAD_BYTES + content.length)
  record[0] = RECORD_VERSION
  record.writeUInt32LE(crc32(content), 1)
  content.copy(record, HEAD_BYTES)
  return record
}

/** The content of a record, in place. Throws SMQ_STORE_DAMAGED. */
export function unseal(record: Buffer): Buffer {
  if (record.length < HEAD_BYTES) throw new StatemqError('SMQ_STORE_DAMAGED', 'a record is too short')
  if (record[0] !== RECORD_VERSION) {
    throw new StatemqError('SMQ_STORE_DAMAGED', `a record has version ${record[0]}, not ${RECORD_VERSION}`)
  }
  const content = record.subarray(HEAD_BYTES)
  if (crc32(content) !== record.readUInt32LE(1)) throw new StatemqError('SMQ_STORE_DAMAGED', 'a checksum is wrong')
  return content
}

/** Writes numbers, text and bytes one after the other into memory that grows. Used again and again. */
export class RecordWriter {
  #bytes: Buffer
  #length = 0

  constructor(initialBytes = 4_096) {
    this.#bytes = Buffer.allocUnsafeSlow(initialBytes)
  }

  get length(): number {
    return this.#length
  }

  /** Starts over. */
  reset(): this {
    this.#length = 0
    return this
  }

  /** What was written, in place: valid until the writer is used again. */
  content(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  uint8(value: number): this {
    this.#reserve(1)
    this.#bytes[this.#length++] = value
    return this
  }

  uint32(value: number): this {
    this.#reserve(4)
    this.#length = this.#bytes.writeUInt32LE(value, this.#length)
    return this
  }

  /** A whole number from 0 to 2^53 - 1, in as few bytes as it needs: seven bits each, the lowest first. */
  varint(value: number): this {
    this.#reserve(8)
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#length++] = rest
    return this
  }

  double(value: number): this {
    this.#reserve(8)
    this.#length = this.#bytes.writeDoubleLE(value, this.#length)
    return this
  }

  /** With its length in front. */
  bytes(value: Uint8Array): this {
    return this.varint(value.length).raw(value)
  }

  /** Without its length. */
  raw(value: Uint8Array): this {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
    return this
  }

  /** UTF-8, with its length in front. */
  text(value: string): this {
    const length = Buffer.byteLength(value)
    this.varint(length)
    this.#reserve(length)
    this.#length += this.#bytes.write(value, this.#length, length, 'utf8')
    return this
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** Reads what a {@link RecordWriter} wrote. Beyond the end, and for what cannot be, it throws SMQ_STORE_DAMAGED. */
export class RecordReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(content: Buffer) {
    this.#bytes = content
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length
  }

  uint8(): number {
    return this.#bytes[this.#skip(1)]!
  }

  uint32(): number {
    return this.#bytes.readUInt32LE(this.#skip(4))
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      const byte = this.uint8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 0x80
    }
    throw new StatemqError('SMQ_STORE_DAMAGED', 'a number is too long')
  }

  double(): number {
    return this.#bytes.readDoubleLE(this.#skip(8))
  }

  /** All that is left, in place. */
  rest(): Buffer {
    return this.raw(this.#bytes.length - this.#at)
  }

  /** In place: copy what is kept. */
  bytes(): Buffer {
    return this.raw(this.varint())
  }

  /** So many bytes, in place. */
  raw(length: number): Buffer {
    const from = this.#skip(length)
    return this.#bytes.subarray(from, from + length)
  }

  text(): string {
    const length = this.varint()
    const from = this.#skip(length)
    return this.#bytes.toString('utf8', from, from + length)
  }

  #skip(bytes: number): number {
    const from = this.#at
    if (from + bytes > this.#bytes.length) throw new StatemqError('SMQ_STORE_DAMAGED', 'a record ends too early')
    this.#at = from + bytes
    return from
  }
}
