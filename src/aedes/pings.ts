import type { Duplex } from 'node:stream'

const PINGREQ = 0xc0

/**
 * Tells of every PINGREQ that comes in on a stream, beside whoever reads it: the broker has no event for pings, since
 * it would be the most frequent of all. Only the fixed headers are looked at.
 */
export function watchPings(stream: Duplex, onPing: () => void): void {
  /** Bytes of the packet under way that are still to come; below 0: its header is being read. */
  let missing = -1
  let first = 0
  let length = 0
  let shift = 0
  stream.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length;) {
      if (missing > 0) {
        const skipped = Math.min(missing, chunk.length - at)
        at += skipped
        missing -= skipped
      } else if (missing === 0 || first === 0) {
        first = chunk[at++]!
        length = shift = 0
        missing = -1
      } else {
        const byte = chunk[at++]!
        length += (byte & 0x7f) * 2 ** shift
        shift += 7
        // What is no MQTT is the broker's to find, and ends the connection.
        if (byte > 0x7f && shift < 28) continue
        missing = length
        if (first === PINGREQ && length === 0) onPing()
      }
    }
  })
}
