import { expect, test } from 'vitest'

import { Decoder } from '../../../src/codec/decoder.ts'
import { defaultLimits } from '../../../src/limits.ts'
import { Publication } from '../../../src/publication.ts'
import { connect, publish } from '../../support/wire.ts'

function connected(): Decoder {
  const decoder = new Decoder(defaultLimits)
  decoder.feed(connect({ version: 5, clientId: 'c' }))
  decoder.next()
  decoder.accept()
  return decoder
}

function large(payload: Buffer): Buffer {
  return publish({ version: 5, topic: 'large', payload })
}

/** Feeds a packet in parts of a size and returns the publication, and what the decoder held before the last part. */
function inParts(packet: Buffer, partBytes: number): { publication: Publication; heldBytes: number } {
  const decoder = connected()
  let heldBytes = 0
  for (let at = 0; at < packet.length; at += partBytes) {
    heldBytes = decoder.bufferedBytes
    decoder.feed(Buffer.from(packet.subarray(at, at + partBytes)))
    const found = decoder.next()
    if (found instanceof Publication) return { publication: found, heldBytes }
  }
  throw new Error('the packet did not come to its end')
}

const payload = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i & 0xff))

test('a large payload stays in the chunks that it came in', () => {
  const { publication } = inParts(large(payload), 30_000)
  expect(publication.rest?.map((piece) => piece.length)).toEqual([
    30_000,
    30_000,
    10_000 + large(payload).length - 100_000,
  ])
  expect(publication.payloadLength).toBe(100_000)
  expect(publication.payload.equals(payload)).toBe(true)
  // Asked for as a whole it is joined, once.
  expect(publication.rest).toBeUndefined()
  expect(publication.payloadLength).toBe(100_000)
})

test('threat 30: a payload that drips in is copied together, a byte at a time makes no object each', () => {
  const { publication, heldBytes } = inParts(large(payload), 20)
  expect(publication.rest).toHaveLength(7)
  expect(heldBytes).toBeGreaterThan(99_000)
  expect(publication.payload.equals(payload)).toBe(true)
})

test('what waits counts the chunks that it keeps, and keeps them', () => {
  const { publication } = inParts(large(payload), 30_000)
  expect(publication.sizeBytes).toBeGreaterThan(100_000)
  publication.detach()
  expect(publication.rest).toHaveLength(3)
})
