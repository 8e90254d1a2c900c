import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { RecordWriter } from '../../../src/store/record.ts'
import { readSegment, writeRedo, type RedoStep } from '../../../src/store/redo-record.ts'

const log = Buffer.from('12345678')
const step: fc.Arbitrary<RedoStep> = fc.record({
  table: fc.nat(12),
  key: fc.uint8Array({ minLength: 1, maxLength: 22 }).map((bytes) => Buffer.from(bytes)),
  record: fc.option(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    { nil: undefined },
  ),
})
const commits = fc.array(fc.array(step, { maxLength: 5 }), { minLength: 1, maxLength: 8 })

/** A segment with these commits, and where each of them ends. */
function segmentOf(all: readonly (readonly RedoStep[])[], generation: number, under = Buffer.alloc(0)) {
  const out = new RecordWriter()
  const parts = all.map((steps, index) => Buffer.from(writeRedo(out, { log, generation, index, before: 7 }, steps)))
  const written = Buffer.concat(parts)
  const ends: number[] = []
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + part.length)
  return { bytes: Buffer.concat([written, under.subarray(written.length)]), ends }
}

const stepsIn = (found: ReturnType<typeof readSegment>) => found?.commits.map(({ steps }) => steps)

describe('a segment of the redo log', () => {
  it('is read as it was written, over whatever an older generation left in it', () => {
    fc.assert(
      fc.property(commits, commits, (older, newer) => {
        const { bytes: under } = segmentOf(older, 3)
        const { bytes } = segmentOf(newer, 5, under)
        const found = readSegment(bytes, log, 4)
        expect(stepsIn(found)).toEqual(newer)
        expect(found).toMatchObject({ generation: 5, before: 7, lost: 0 })
        // What is in the tables already is not read again, nor what belongs to another log.
        expect(readSegment(bytes, log, 5)).toBeUndefined()
        expect(readSegment(bytes, Buffer.from('another!'), 4)).toBeUndefined()
      }),
    )
  })

  it('threat 2: is what was flushed, wherever the rest was cut off', () => {
    fc.assert(
      fc.property(commits, commits, fc.double({ min: 0, max: 1, noNaN: true }), (older, newer, part) => {
        const { bytes: under } = segmentOf(older, 3)
        const { bytes, ends } = segmentOf(newer, 5, under)
        const cut = Math.floor(ends.at(-1)! * part)
        const torn = Buffer.concat([bytes.subarray(0, cut), under.subarray(cut)])
        const whole = ends.filter((end) => end <= cut).length
        const read = stepsIn(readSegment(torn, log, 4)) ?? []
        // The bytes below may be what was to be written.
        expect(read.slice(0, whole)).toEqual(newer.slice(0, whole))
        expect(read).toEqual(newer.slice(0, read.length))
        if (!torn.subarray(0, ends.at(-1)).equals(bytes.subarray(0, ends.at(-1))))
          expect(read.length).toBeLessThan(newer.length)
      }),
    )
  })

  it('threat 11: loses the commit in which a bit flipped, and says how many there were', () => {
    fc.assert(
      fc.property(commits, fc.nat(), fc.nat(7), (all, place, bit) => {
        const { bytes, ends } = segmentOf(all, 5)
        const at = place % bytes.length
        bytes[at]! ^= 1 << bit
        const hit = ends.findIndex((end) => at < end)
        const found = readSegment(bytes, log, 4)
        expect(stepsIn(found) ?? []).toEqual(all.filter((_, index) => index !== hit))
        // The last one looks like one that was never flushed.
        if (found) expect(found.lost).toBe(hit < all.length - 1 ? 1 : 0)
      }),
    )
  })
})
