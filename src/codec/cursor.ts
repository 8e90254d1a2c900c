import { malformed } from './faults.ts'
import { checkUtf8, decodeUtf8 } from './utf8.ts'

/**
 * Reads the fields of one packet in order. Everything is checked against `end`, so a length field
 * that lies can never reach into the next packet.
 */
export class Cursor {
  bytes: Buffer
  offset: number
  end: number

  constructor(bytes: Buffer, offset: number, end: number) {
    this.bytes = bytes
    this.offset = offset
    this.end = end
  }

  get remaining(): number {
    return this.end - this.offset
  }

  byte(): number {
    return this.bytes[this.skip(1)]!
  }

  uint16(): number {
    const at = this.skip(2)
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!
  }

  uint32(): number {
    return this.bytes.readUInt32BE(this.skip(4))
  }

  /** Variable byte integer, shortest form only (MQTT-1.5.5-1). */
  varint(): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte()
      value += (byte & 0x7f) << shift
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) malformed('a variable byte integer is longer than needed')
        return value
      }
    }
    malformed('a variable byte integer has more than four bytes')
  }

  string(): string {
    const length = this.uint16()
    const at = this.skip(length)
    return decodeUtf8(this.bytes, at, at + length)
  }

  /** Checks a string and moves behind it; returns where its characters begin. */
  skipString(): number {
    const length = this.uint16()
    const at = this.skip(length)
    checkUtf8(this.bytes, at, at + length)
    return at
  }

  /** A copy, so that a few bytes of binary data never keep a whole chunk alive. */
  binary(): Buffer {
    const length = this.uint16()
    const at = this.skip(length)
    return Buffer.from(this.bytes.subarray(at, at + length))
  }

  skipBinary(): void {
    this.skip(this.uint16())
  }

  /** Moves over so many bytes; returns where they begin. */
  skip(count: number): number {
    const at = this.offset
    if (count > this.end - at) malformed('a field reaches beyond its packet')
    this.offset = at + count
    return at
  }
}
