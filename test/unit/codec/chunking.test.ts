import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'

import { Decoder } from '../../../src/codec/decoder.ts'
import type { Publication } from '../../../src/publication.ts'
import { defaultLimits } from '../../../src/limits.ts'
import {
  auth,
  connect,
  disconnect,
  pingreq,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  unsubscribe,
  type Version,
} from '../../support/wire.ts'
import { connected, outcomes } from './decoding.ts'

const limits = { ...defaultLimits, maxPacketBytes: 100_000 }
const connectedFresh = (version: Version) => connected(version, limits)

const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', 'ä', '€', '🌱', '\ufeff'), minLength: 1, maxLength: 24 })
const pairs = fc.array(fc.tuple(text, text), { maxLength: 4 })
const packetId = fc.integer({ min: 1, max: 65_535 })
const payload = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 60 }) },
  { weight: 1, arbitrary: fc.integer({ min: 100, max: 40_000 }).map((size) => new Uint8Array(size).fill(size)) },
)

const publishes = (version: Version) =>
  fc
    .record({
      topic: text,
      payload: payload.map((bytes) => Buffer.from(bytes)),
      qos: fc.constantFrom(0, 1, 2),
      retain: fc.boolean(),
      packetId,
      properties: fc.record(
        { userProperties: pairs, contentType: text, messageExpiryInterval: fc.nat() },
        { requiredKeys: [] },
      ),
    })
    .map((input) => publish({ version, ...input, ...(input.qos === 0 ? { packetId: undefined as never } : {}) }))

/** Any packet that a connected client may send. */
function packets(version: Version): fc.Arbitrary<Buffer> {
  const filters = fc.array(fc.tuple(text, fc.constantFrom(0, 1, 2)), { minLength: 1, maxLength: 4 })
  const common = [
    publishes(version),
    fc.constantFrom(puback, pubrec, pubrel, pubcomp).chain((build) => packetId.map((id) => build(id))),
    filters.chain((list) => packetId.map((id) => subscribe({ version, packetId: id, filters: list }))),
    filters.chain((list) =>
      packetId.map((id) => unsubscribe({ version, packetId: id, filters: list.map(([filter]) => filter) })),
    ),
    fc.constant(pingreq()),
    fc.constant(disconnect()),
  ]
  if (version !== 5) return fc.oneof(...common)
  return fc.oneof(
    ...common,
    fc.tuple(packetId, pairs).map(([id, userProperties]) => pubrec(id, 0x10, { userProperties })),
    pairs.map((userProperties) => disconnect(4, { userProperties })),
    pairs.map((userProperties) => auth(0x19, { authenticationMethod: 'm', userProperties })),
  )
}

/** Cuts bytes at these places, given as fractions. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [0, ...places.map((place) => Math.floor(place * bytes.length)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, i) => Buffer.from(bytes.subarray(at[i], end)))
}

const singleBytes = (bytes: Buffer) => Array.from(bytes, (byte) => Buffer.from([byte]))
const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 })

describe.each([3, 4, 5] as const)('threat 30: MQTT level %i', (version) => {
  test('every chunking of a stream is decoded to the same packets', () => {
    fc.assert(
      fc.property(fc.array(packets(version), { minLength: 1, maxLength: 8 }), fractions, (sent, places) => {
        const stream = Buffer.concat(sent)
        const whole = outcomes(connectedFresh(version), stream)
        expect(whole).toHaveLength(sent.length)
        expect(outcomes(connectedFresh(version), ...sent)).toEqual(whole)
        expect(outcomes(connectedFresh(version), ...cut(stream, places))).toEqual(whole)
      }),
    )
  })

  test('one byte at a time too, from CONNECT on', () => {
    fc.assert(
      fc.property(fc.array(packets(version), { maxLength: 3 }), (sent) => {
        const stream = Buffer.concat([connect({ version, clientId: 'c', will: { topic: 'w' } }), ...sent])
        const whole = outcomes(new Decoder(limits), stream)
        expect(whole).toHaveLength(sent.length + 1)
        expect(outcomes(new Decoder(limits), ...singleBytes(stream))).toEqual(whole)
      }),
      { numRuns: 25 },
    )
  })

  test('threat 43: damaged streams end in the same refusal however they are cut, and in no other error', () => {
    const damage = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), to: fc.nat({ max: 255 }) })
    const stream = fc.array(packets(version), { minLength: 1, maxLength: 4 }).map((sent) => Buffer.concat(sent))
    fc.assert(
      fc.property(stream, fc.array(damage, { minLength: 1, maxLength: 3 }), fractions, (bytes, changes, places) => {
        for (const { at, to } of changes) bytes[Math.min(bytes.length - 1, Math.floor(at * bytes.length))] = to
        const whole = outcomes(connectedFresh(version), bytes)
        expect(outcomes(connectedFresh(version), ...cut(bytes, places))).toEqual(whole)
        // 0x83 would mean that mqtt-packet disagrees with our validation.
        expect(whole).not.toContainEqual({ refused: 0x83, silent: false })
      }),
      { numRuns: 300 },
    )
  })

  test('threat 43: arbitrary bytes are decoded or refused, and the decoder always comes to an end', () => {
    const firstBytes = fc.constantFrom(0x10, 0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xc0, 0xe0, 0xf0)
    const shaped = fc
      .tuple(firstBytes, fc.uint8Array({ maxLength: 40 }))
      .map(([first, body]) => Buffer.concat([Buffer.from([first, body.length]), body]))
    fc.assert(
      fc.property(
        fc.oneof(
          shaped,
          fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
        ),
        (bytes) => {
          for (const decoder of [connectedFresh(version), new Decoder(limits)]) {
            expect(outcomes(decoder, bytes)).not.toContainEqual({ refused: 0x83, silent: false })
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('threat 30: linear time', () => {
  /** Runs something and counts the bytes that Buffers copy and join meanwhile. */
  function copiedBytes(run: () => void): number {
    const prototype = Buffer.prototype as Buffer
    const copy = vi.spyOn(prototype, 'copy')
    const concat = vi.spyOn(Buffer, 'concat')
    try {
      run()
      const copied = copy.mock.results.map((result) => Number(result.value))
      const joined = concat.mock.results.map((result) => (result.value as Buffer).length)
      return [...copied, ...joined].reduce((sum, count) => sum + count, 0)
    } finally {
      vi.restoreAllMocks()
    }
  }

  test.each([1, 7, 1_000, 16_384, 65_536])(
    'a packet of 90,000 bytes in chunks of %i is copied at most three times',
    (chunkBytes) => {
      const bytes = publish({ topic: 't', payload: 'x'.repeat(90_000) })
      const chunks = Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, i) =>
        bytes.subarray(i * chunkBytes, (i + 1) * chunkBytes),
      )
      const decoder = connectedFresh(5)
      let publication: Publication | undefined
      const copied = copiedBytes(() => {
        for (const chunk of chunks) {
          decoder.feed(chunk)
          publication = (decoder.next() as Publication | undefined) ?? publication
        }
      })
      expect(publication?.payload.equals(Buffer.alloc(90_000, 'x'))).toBe(true)
      expect(copied).toBeLessThanOrEqual(bytes.length * 3)
    },
  )

  test('packets within one chunk are not copied', () => {
    const decoder = connectedFresh(5)
    decoder.feed(Buffer.concat(Array.from({ length: 50 }, () => publish({ topic: 'a/b', payload: 'x'.repeat(100) }))))
    const copied = copiedBytes(() => {
      while (decoder.next() !== undefined);
    })
    expect(copied).toBe(0)
  })

  test('a topic that repeats itself is made a string once', () => {
    const decoder = connectedFresh(5)
    decoder.feed(Buffer.concat(Array.from({ length: 5 }, () => publish({ topic: 'plant/ü', payload: 'x' }))))
    const toString = vi.spyOn(Buffer.prototype as Buffer, 'toString')
    try {
      while (decoder.next() !== undefined);
      expect(toString.mock.results.map((result) => result.value as string)).toEqual(['plant/ü'])
    } finally {
      vi.restoreAllMocks()
    }
  })

  test('a header that declares much costs little', () => {
    const decoder = connected(5, { maxPacketBytes: 268_435_460 })
    const allocUnsafe = vi.spyOn(Buffer, 'allocUnsafe')
    try {
      decoder.feed(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f, 0x00]))
      expect(decoder.next()).toBeUndefined()
      expect(allocUnsafe.mock.calls).toEqual([[16_384]])
    } finally {
      vi.restoreAllMocks()
    }
  })
})
