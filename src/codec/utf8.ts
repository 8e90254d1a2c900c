import { isUtf8 } from 'node:buffer'

import { malformed } from './faults.ts'

/**
 * Whether every byte lies in 0x01–0x7F. Most strings on the wire do, and for short ones this loop
 * beats the call into native code that full UTF-8 needs.
 */
function isPlainAscii(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!
    if (byte === 0 || byte > 0x7f) return false
  }
  return true
}

/**
 * Refuses what is not a UTF-8 encoded string in the sense of MQTT: surrogates and overlong forms
 * (MQTT-1.5.4-1) and U+0000 (MQTT-1.5.4-2) are malformed.
 */
export function checkMultibyte(bytes: Buffer, start: number, end: number): void {
  const slice = bytes.subarray(start, end)
  if (!isUtf8(slice)) malformed('a string is not well-formed UTF-8')
  if (slice.includes(0)) malformed('a string contains U+0000')
}

/** Checks a string without making one. */
export function checkUtf8(bytes: Buffer, start: number, end: number): void {
  if (!isPlainAscii(bytes, start, end)) checkMultibyte(bytes, start, end)
}

/** The string in these bytes; EF BB BF stays what it is, U+FEFF (MQTT-1.5.4-3). */
export function decodeUtf8(bytes: Buffer, start: number, end: number): string {
  if (isPlainAscii(bytes, start, end)) return bytes.toString('latin1', start, end)
  checkMultibyte(bytes, start, end)
  return bytes.toString('utf8', start, end)
}
