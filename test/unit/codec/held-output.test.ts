import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { slab } from '../../../src/codec/slab.ts'
import { FlushQueue, Writer } from '../../../src/codec/writer.ts'

function open() {
  const stream = new PassThrough({ highWaterMark: 1_000_000 })
  const writer = new Writer(stream, new FlushQueue(), () => {})
  const released: string[] = []
  return {
    writer,
    released,
    say: (text: string) => writer.append(Buffer.from(text), 0, text.length, -1, 0),
    hold: (until: Promise<void>) => writer.hold(until, () => released.push('released')),
    heard: () => (stream.read() as Buffer | null)?.toString() ?? '',
  }
}

describe('an answer that is a promise of the store', () => {
  test('leaves when what it promises is durable, with everything behind it', async () => {
    const { writer, say, hold, heard, released } = open()
    const durable = Promise.withResolvers<void>()
    hold(durable.promise)
    say('one ')
    await turn()
    say('two ')
    await turn()
    expect([heard(), writer.heldBytes, released]).toEqual(['', 8, []])
    durable.resolve()
    await turn()
    expect([heard(), writer.heldBytes, released]).toEqual(['one two ', 0, ['released']])
    say('three')
    await turn()
    expect(heard()).toBe('three')
  })

  test('does not wait for a later promise', async () => {
    const { say, hold, heard } = open()
    const first = Promise.withResolvers<void>()
    const second = Promise.withResolvers<void>()
    hold(first.promise)
    say('one ')
    await turn()
    hold(second.promise)
    say('two')
    await turn()
    first.resolve()
    await turn()
    expect(heard()).toBe('one ')
    second.resolve()
    await turn()
    expect(heard()).toBe('two')
  })

  test('is never said where the promise is broken, and nothing behind it', async () => {
    const { writer, say, hold, heard } = open()
    const durable = Promise.withResolvers<void>()
    hold(durable.promise)
    say('one ')
    await turn()
    say('two')
    durable.reject(new Error('full'))
    await turn()
    await turn()
    expect(writer.heldBytes).toBe(0)
    // What is said once the failure is known: the end of the connection.
    say('failed')
    await turn()
    expect(heard()).toBe('failed')
  })

  test('has bytes of its own: the memory it was made in is used again meanwhile', async () => {
    const { writer, hold, heard } = open()
    const durable = Promise.withResolvers<void>()
    hold(durable.promise)
    const at = slab.reserve(4)
    slab.bytes.write('mine', at)
    writer.append(slab.bytes, at, at + 4, -1, 0)
    await turn()
    slab.bytes.write('ours', at)
    durable.resolve()
    await turn()
    expect(heard()).toBe('mine')
  })

  test('comes before the end of its connection', async () => {
    const { writer, say, hold } = open()
    const durable = Promise.withResolvers<void>()
    let ended = 0
    hold(durable.promise)
    say('last')
    writer.flush()
    writer.whenReleased(() => (ended += 1))
    await turn()
    expect(ended).toBe(0)
    durable.resolve()
    await turn()
    expect(ended).toBe(1)
    writer.whenReleased(() => (ended += 1))
    expect(ended).toBe(2)
  })

  test('keeps its order, whatever the promises do', async () => {
    const step = fc.oneof(
      fc.record({ type: fc.constant('say' as const) }),
      fc.record({ type: fc.constant('hold' as const) }),
      fc.record({ type: fc.constant('turn' as const) }),
      fc.record({ type: fc.constant('settle' as const) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { say, hold, heard } = open()
        const commits: PromiseWithResolvers<void>[] = []
        let said = ''
        let got = ''
        let durable = ''
        for (const [at, { type }] of steps.entries()) {
          if (type === 'say') {
            say(`${at},`)
            said += `${at},`
          } else if (type === 'hold') {
            const commit = Promise.withResolvers<void>()
            commits.push(commit)
            hold(commit.promise)
            // What was said in earlier turns may be out already; what was said in this one waits.
            durable = got
          } else if (type === 'settle') commits.shift()?.resolve()
          else await turn()
          got += heard()
          expect(said.startsWith(got)).toBe(true)
          if (commits.length > 0 && type === 'hold') expect(got).toBe(durable)
        }
        for (const commit of commits) commit.resolve()
        await turn()
        await turn()
        got += heard()
        expect(got).toBe(said)
      }),
    )
  })
})
