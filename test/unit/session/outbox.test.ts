import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import type { QoS } from '../../../src/messages.ts'
import type { OverflowPolicy } from '../../../src/options.ts'
import { BoundedOutbox, type Delivery } from '../../../src/session/outbox.ts'
import { publicationOf } from '../../support/publications.ts'

/** What a message costs besides topic and payload. */
const overheadBytes = publicationOf('', '').sizeBytes

function delivery(name: string, qos: QoS = 1, payloadBytes = 0): Delivery {
  const publication = publicationOf(name, Buffer.alloc(payloadBytes), qos)
  return { publication, qos, retain: false, subscriptionIdentifiers: undefined, group: undefined, place: 0 }
}

function names(deliveries: readonly Delivery[] | undefined): string[] | undefined {
  return deliveries?.map((each) => each.publication.topic)
}

function drain(outbox: BoundedOutbox, qos: QoS): string[] {
  const all: Delivery[] = []
  for (let next = outbox.shift(qos); next; next = outbox.shift(qos)) all.push(next)
  return names(all)!
}

describe('the policies of a full outbox', () => {
  function filled(policy: OverflowPolicy, maxMessages = 3, maxBytes = Infinity): BoundedOutbox {
    const outbox = new BoundedOutbox(maxMessages, maxBytes, policy)
    for (const [name, qos] of [
      ['a', 1],
      ['b', 0],
      ['c', 2],
    ] as const)
      outbox.push(delivery(name, qos))
    return outbox
  }

  test('drop-oldest gives up what may be lost first: QoS 0, then the oldest', () => {
    const outbox = filled('drop-oldest')
    expect(names(outbox.push(delivery('d')))).toEqual(['b'])
    expect(names(outbox.push(delivery('e')))).toEqual(['a'])
    expect([drain(outbox, 0), drain(outbox, 1)]).toEqual([[], ['c', 'd', 'e']])
    expect([outbox.size, outbox.bytes]).toEqual([0, 0])
  })

  test('drop-newest gives up the message that came', () => {
    const outbox = filled('drop-newest')
    expect(names(outbox.push(delivery('d')))).toEqual(['d'])
    expect([drain(outbox, 0), drain(outbox, 1)]).toEqual([['b'], ['a', 'c']])
  })

  test('disconnect keeps what is there and says so', () => {
    const outbox = filled('disconnect')
    expect(outbox.push(delivery('d'))).toBe(undefined)
    expect([drain(outbox, 0), drain(outbox, 1)]).toEqual([['b'], ['a', 'c']])
  })

  test('as many are given up as a large one needs, and none for one that never fits', () => {
    const outbox = filled('drop-oldest', 1000, 4 * (overheadBytes + 1))
    expect(names(outbox.push(delivery('d', 1, 5 * overheadBytes)))).toEqual(['d'])
    expect(names(outbox.push(delivery('e', 1, 2 * overheadBytes)))).toEqual(['b', 'a'])
    expect(drain(outbox, 1)).toEqual(['c', 'e'])
  })

  test('an outbox for no message at all takes none', () => {
    for (const [messages, bytes] of [
      [0, Infinity],
      [Infinity, 0],
    ] as const) {
      const outbox = new BoundedOutbox(messages, bytes, 'drop-oldest')
      expect([names(outbox.push(delivery('a'))), outbox.size, outbox.bytes]).toEqual([['a'], 0, 0])
    }
  })
})

test('QoS 0 has a line of its own, and what is extracted leaves no gap', () => {
  const outbox = new BoundedOutbox(10, Infinity, 'drop-newest')
  for (const [name, qos] of [
    ['a', 1],
    ['b', 0],
    ['c', 2],
    ['d', 0],
    ['e', 1],
  ] as const)
    outbox.push(delivery(name, qos))
  expect([outbox.hasAtMostOnce, outbox.hasAcknowledged, outbox.peek(0)?.publication.topic]).toEqual([true, true, 'b'])
  expect(names(outbox.extract((each) => each.qos === 2 || each.publication.topic === 'b'))).toEqual(['b', 'c'])
  expect([outbox.size, outbox.bytes]).toEqual([3, 3 * (overheadBytes + 1)])
  expect([drain(outbox, 0), drain(outbox, 1)]).toEqual([['d'], ['a', 'e']])
  expect([outbox.hasAtMostOnce, outbox.hasAcknowledged, outbox.peek(1)]).toEqual([false, false, undefined])
})

test('threat 45: bytes are given back as they were counted, whatever became of the message meanwhile', () => {
  const outbox = new BoundedOutbox(10, 1_000_000, 'drop-newest')
  const waiting = delivery('a')
  outbox.push(waiting)
  // Another subscriber's connection has encoded the properties in between.
  waiting.publication.propertyBytes = Buffer.alloc(5_000)
  outbox.shift(1)
  expect([outbox.size, outbox.bytes]).toEqual([0, 0])
  const extracted = delivery('b')
  outbox.push(extracted)
  extracted.publication.propertyBytes = Buffer.alloc(5_000)
  outbox.extract(() => true)
  expect([outbox.size, outbox.bytes]).toEqual([0, 0])
})

test('threat 45: properties that are not encoded yet count', () => {
  const publication = publicationOf('t', 'x', 1)
  publication.properties = {
    contentType: 'c'.repeat(1000),
    responseTopic: 'r'.repeat(1000),
    correlationData: Buffer.alloc(1000),
    userProperties: [['n'.repeat(500), 'v'.repeat(500)]],
  }
  expect(publication.sizeBytes).toBeGreaterThanOrEqual(4_000)
})

test('what waits does not pin the chunk that it came in', () => {
  const outbox = new BoundedOutbox(10, Infinity, 'drop-newest')
  const waiting = delivery('a')
  waiting.publication.bytes = Buffer.allocUnsafeSlow(65_536).fill('x')
  waiting.publication.payloadStart = 100
  waiting.publication.payloadEnd = 103
  outbox.push(waiting)
  expect([waiting.publication.bytes.buffer.byteLength, waiting.publication.payload.toString()]).toEqual([3, 'xxx'])
})

type Step = { readonly push: QoS; readonly payloadBytes: number } | { readonly take: QoS } | 'extract'

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ push: fc.constantFrom<QoS>(0, 1, 2), payloadBytes: fc.nat(300) }) },
  { weight: 2, arbitrary: fc.record({ take: fc.constantFrom<QoS>(0, 1) }) },
  { weight: 1, arbitrary: fc.constant('extract' as const) },
)

/** The outbox as one would define it: two lists, counted anew every time. */
class PlainOutbox {
  lines: [Delivery[], Delivery[]] = [[], []]
  readonly #fits: (lines: Delivery[]) => boolean
  readonly #policy: OverflowPolicy

  constructor(maxMessages: number, maxBytes: number, policy: OverflowPolicy) {
    this.#policy = policy
    this.#fits = (all) => all.length <= maxMessages && bytesOf(all) <= maxBytes
  }

  push(delivery: Delivery): Delivery[] | undefined {
    const line = this.lines[delivery.qos === 0 ? 0 : 1]
    if (this.#fits([...this.lines.flat(), delivery])) {
      line.push(delivery)
      return []
    }
    if (this.#policy === 'disconnect') return undefined
    if (this.#policy === 'drop-newest' || !this.#fits([delivery])) return [delivery]
    const dropped: Delivery[] = []
    while (!this.#fits([...this.lines.flat(), delivery]))
      dropped.push((this.lines[0].shift() ?? this.lines[1].shift())!)
    line.push(delivery)
    return dropped
  }
}

function bytesOf(deliveries: readonly Delivery[]): number {
  return deliveries.reduce((sum, each) => sum + each.publication.sizeBytes, 0)
}

test('threat 45: against the plain definition, under every policy and limit', () => {
  const policy = fc.constantFrom<OverflowPolicy>('drop-oldest', 'drop-newest', 'disconnect')
  const limit = fc.oneof(fc.nat(20), fc.constant(Infinity))
  const byteLimit = fc.oneof(fc.nat(3000), fc.constant(Infinity))
  fc.assert(
    fc.property(
      policy,
      limit,
      byteLimit,
      fc.array(step, { maxLength: 600 }),
      (chosen, maxMessages, maxBytes, steps) => {
        const outbox = new BoundedOutbox(maxMessages, maxBytes, chosen)
        const plain = new PlainOutbox(maxMessages, maxBytes, chosen)
        let count = 0
        for (const each of steps) {
          if (each === 'extract') {
            const taken = (one: Delivery): boolean => one.publication.topic.endsWith('3')
            const expected = plain.lines.flat().filter(taken)
            plain.lines = [plain.lines[0].filter((one) => !taken(one)), plain.lines[1].filter((one) => !taken(one))]
            expect(names(outbox.extract(taken))).toEqual(names(expected))
          } else if ('take' in each) {
            const expected = plain.lines[each.take === 0 ? 0 : 1].shift()
            expect([outbox.peek(each.take), outbox.shift(each.take)]).toEqual([expected, expected])
          } else {
            const pushed = delivery(`m${count++}`, each.push, each.payloadBytes)
            expect(names(outbox.push(pushed))).toEqual(names(plain.push(pushed)))
          }
          expect([outbox.size, outbox.bytes]).toEqual([plain.lines.flat().length, bytesOf(plain.lines.flat())])
        }
        expect([drain(outbox, 0), drain(outbox, 1)]).toEqual(plain.lines.map(names))
      },
    ),
  )
})
