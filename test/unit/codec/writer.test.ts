import { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { slab } from '../../../src/codec/slab.ts'
import { FlushQueue, Writer } from '../../../src/codec/writer.ts'

/** Keeps what it was given, as it was when it was given: a writer may not touch it afterwards. */
class Sink extends Duplex {
  readonly chunks: Buffer[] = []
  readonly copies: Buffer[] = []
  writes = 0

  constructor(highWaterMark = 1_000_000) {
    super({ writableHighWaterMark: highWaterMark })
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.writes += 1
    this.#keep(chunk)
    process.nextTick(callback)
  }

  override _writev(chunks: Array<{ chunk: Buffer }>, callback: () => void): void {
    this.writes += 1
    for (const { chunk } of chunks) this.#keep(chunk)
    process.nextTick(callback)
  }

  #keep(chunk: Buffer): void {
    this.chunks.push(chunk)
    this.copies.push(Buffer.from(chunk))
  }

  get bytes(): Buffer {
    return Buffer.concat(this.copies)
  }

  get intact(): boolean {
    return Buffer.concat(this.chunks).equals(this.bytes)
  }
}

function open(sink = new Sink()) {
  const queue = new FlushQueue()
  let full = 0
  const writer = new Writer(sink, queue, () => (full += 1))
  return { sink, writer, queue, fullCount: () => full }
}

describe('one turn', () => {
  test('what is appended in a turn leaves in one write at its end', async () => {
    const { sink, writer } = open()
    for (const text of ['one ', 'two ', 'three']) writer.append(Buffer.from(text), 0, text.length, -1, 0)
    expect([sink.writes, writer.pendingBytes]).toEqual([0, 13])
    await turn()
    expect([sink.writes, sink.bytes.toString(), writer.pendingBytes]).toEqual([1, 'one two three', 0])
  })

  test('a range that goes on is one range, and is sent from where it lies', async () => {
    const { sink, writer } = open()
    const chunk = Buffer.from('abcdefgh')
    writer.append(chunk, 2, 4, -1, 0)
    writer.append(chunk, 4, 7, -1, 0)
    await turn()
    expect([sink.bytes.toString(), sink.chunks[0]?.buffer === chunk.buffer]).toEqual(['cdefg', true])
  })

  test('a range over 64 KiB does not wait', () => {
    const { sink, writer } = open()
    writer.append(Buffer.alloc(65_536, 'x'), 0, 65_536, -1, 0)
    expect([sink.bytes.length, writer.pendingBytes]).toEqual([65_536, 0])
  })

  test('the identifier is written into what is sent and not into what was given', async () => {
    const { sink, writer } = open()
    const image = Buffer.from('....ID....')
    writer.append(image, 2, 10, 4, 0x4142)
    writer.append(image, 2, 10, 4, 0x4344)
    await turn()
    expect([sink.bytes.toString(), image.toString()]).toEqual(['..AB......CD....', '....ID....'])
  })

  test('after close nothing is sent or taken', async () => {
    const { sink, writer } = open()
    writer.append(Buffer.from('lost'), 0, 4, -1, 0)
    writer.close()
    writer.append(Buffer.from('late'), 0, 4, -1, 0)
    writer.flush()
    await turn()
    expect([sink.writes, writer.pendingBytes]).toEqual([0, 0])
  })

  test('a stream that does not take it at once is reported, whichever way it was written', async () => {
    const { writer, fullCount } = open(new Sink(100))
    writer.append(Buffer.alloc(50), 0, 50, -1, 0)
    writer.flush()
    expect(fullCount()).toBe(0)
    for (const [size, idOffset] of [
      [200, -1],
      [200, 4],
      [5_000, -1],
    ] as const) {
      await turn()
      const before = fullCount()
      writer.append(Buffer.alloc(10), 0, 10, -1, 0)
      writer.append(Buffer.alloc(size), 0, size, idOffset, 1)
      await turn()
      expect([size, idOffset, fullCount()]).toEqual([size, idOffset, before + 1])
    }
  })

  test('many writers of one queue are flushed together, those that come meanwhile in the next turn', async () => {
    const queue = new FlushQueue()
    const sinks = [new Sink(), new Sink()]
    const [first, second] = sinks.map((sink) => new Writer(sink, queue, () => {})) as [Writer, Writer]
    first.append(Buffer.from('a'), 0, 1, -1, 0)
    second.append(Buffer.from('b'), 0, 1, -1, 0)
    await turn()
    expect(sinks.map((sink) => sink.bytes.toString())).toEqual(['a', 'b'])
    second.append(Buffer.from('c'), 0, 1, -1, 0)
    await turn()
    expect(sinks.map((sink) => sink.bytes.toString())).toEqual(['a', 'bc'])
  })
})

interface Append {
  /** Which of the buffers it is from; undefined: the next bytes of the slab. */
  readonly from: number | undefined
  readonly start: number
  readonly length: number
  readonly id: number | undefined
  /** Goes on where the one before ended. */
  readonly goesOn: boolean
  readonly flush: boolean
}

const length = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 2, max: 60 }) },
  { weight: 2, arbitrary: fc.integer({ min: 4_000, max: 4_200 }) },
  { weight: 1, arbitrary: fc.integer({ min: 20_000, max: 66_000 }) },
)

const append: fc.Arbitrary<Append> = fc.record({
  from: fc.option(fc.nat(3), { nil: undefined }),
  start: fc.nat(1_000),
  length,
  id: fc.option(fc.nat(0xffff), { nil: undefined }),
  goesOn: fc.boolean(),
  flush: fc.boolean(),
})

test('any sequence of ranges, identifiers and flushes is their plain concatenation', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(append, { maxLength: 60 }),
      fc.constantFrom(1, 16_384, 1_000_000),
      async (appends, mark) => {
        const buffers = [0, 1, 2, 3].map((n) => Buffer.alloc(70_000, `buffer ${n} `))
        const untouched = buffers.map((buffer) => Buffer.from(buffer))
        const { sink, writer } = open(new Sink(mark))
        const expected: Buffer[] = []
        let end = 0
        for (const each of appends) {
          let bytes: Buffer
          let start: number
          if (each.from === undefined) {
            start = slab.reserve(each.length)
            bytes = slab.bytes
            bytes.fill('slab ', start, start + each.length)
          } else {
            bytes = buffers[each.from]!
            start = each.goesOn && end + each.length <= bytes.length ? end : each.start
          }
          end = start + each.length
          const copy = Buffer.from(bytes.subarray(start, end))
          const offset = each.id === undefined ? -1 : start + each.length - 2
          if (each.id !== undefined) copy.writeUInt16BE(each.id, copy.length - 2)
          expected.push(copy)
          writer.append(bytes, start, end, offset, each.id ?? 0)
          if (each.flush) writer.flush()
        }
        await turn()
        const sent = Buffer.concat(expected)
        expect([sink.bytes.length, sink.bytes.equals(sent), sink.intact, writer.pendingBytes]).toEqual([
          sent.length,
          true,
          true,
          0,
        ])
        expect(buffers.map((buffer, n) => buffer.equals(untouched[n]!))).toEqual([true, true, true, true])
      },
    ),
    { numRuns: 200 },
  )
})
