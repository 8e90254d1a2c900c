import fc from 'fast-check'
import { expect, test } from 'vitest'

import { Inflight, InflightState } from '../../../src/session/inflight.ts'
import type { DeliveryGroup } from '../../../src/router/subscriber.ts'
import { publicationOf } from '../../support/publications.ts'

const message = publicationOf('t', 'x', 1)

function add(inflight: Inflight, qos: 1 | 2 = 1): number | undefined {
  return inflight.add(message, qos, false, undefined, undefined)
}

function settle(inflight: Inflight, packetId: number): void {
  const entry = inflight.get(packetId)
  if (!entry) throw new Error(`${packetId} is not in use`)
  inflight.settle(entry)
}

test('identifiers count up from 1 and an unknown one has no entry', () => {
  const inflight = new Inflight()
  expect([add(inflight), add(inflight, 2), add(inflight)]).toEqual([1, 2, 3])
  expect([inflight.get(0), inflight.get(4), inflight.get(17), inflight.get(65_537)]).toEqual(Array(4).fill(undefined))
  expect(inflight.get(2)).toEqual({
    packetId: 2,
    state: InflightState.Published,
    sequence: 1,
    qos: 2,
    retain: false,
    publication: message,
    subscriptionIdentifiers: undefined,
    group: undefined,
    place: 0,
    sent: 0,
  })
})

test('a settled entry is gone and lets go of its message', () => {
  const inflight = new Inflight()
  const group: DeliveryGroup = {
    name: 'g',
    shared: 'g/t',
    redeliver: () => false,
    get alone() {
      return group
    },
  }
  const packetId = inflight.add(message, 2, true, [7], group)!
  const entry = inflight.get(packetId)!
  inflight.settle(entry)
  expect([inflight.get(packetId), inflight.size, inflight.inOrder()]).toEqual([undefined, 0, []])
  expect([entry.publication, entry.subscriptionIdentifiers, entry.group]).toEqual([undefined, undefined, undefined])
})

test('threat 55: identifiers wrap at 65535 past those in use, and there is none when all are', () => {
  const inflight = new Inflight()
  const given = Array.from({ length: 65_535 }, () => add(inflight))
  expect(given.findIndex((packetId, index) => packetId !== index + 1)).toBe(-1)
  expect([add(inflight), inflight.size]).toEqual([undefined, 65_535])

  settle(inflight, 40_000)
  expect([add(inflight), add(inflight)]).toEqual([40_000, undefined])

  settle(inflight, 65_535)
  settle(inflight, 1)
  settle(inflight, 12)
  expect([add(inflight), add(inflight), add(inflight), add(inflight)]).toEqual([65_535, 1, 12, undefined])
  expect(
    inflight
      .inOrder()
      .slice(-3)
      .map((entry) => entry.packetId),
  ).toEqual([65_535, 1, 12])
})

test('one message that stays unacknowledged keeps its identifier through many rounds', () => {
  const inflight = new Inflight()
  const stuck = add(inflight)
  const given = new Set<number>()
  for (let count = 0; count < 140_000; count += 1) {
    const packetId = add(inflight)!
    given.add(packetId)
    settle(inflight, packetId)
  }
  // Those that share its slot are passed over with it; the rest came round at least twice.
  expect([stuck, given.has(1), given.has(0), Math.max(...given), inflight.size]).toEqual([1, false, false, 65_535, 1])
})

test('threat 55: against the plain definition: free identifiers only, ascending, in order of transmission', () => {
  const step = fc.oneof({ weight: 3, arbitrary: fc.constant('add' as const) }, { weight: 2, arbitrary: fc.nat() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const inflight = new Inflight(1)
      const inUse: number[] = []
      let last = 0
      for (const each of steps) {
        if (each === 'add') {
          const packetId = add(inflight)!
          // The next one up, unless its place is taken: never one in use, never 0.
          expect(inUse).not.toContain(packetId)
          expect(packetId).toBeGreaterThan(last)
          last = packetId
          inUse.push(packetId)
        } else if (inUse.length > 0) {
          const [packetId] = inUse.splice(each % inUse.length, 1)
          settle(inflight, packetId!)
        }
        expect(inflight.size).toBe(inUse.length)
      }
      expect(inflight.inOrder().map((entry) => entry.packetId)).toEqual(inUse)
      for (const packetId of inUse) expect(inflight.get(packetId)?.packetId).toBe(packetId)
    }),
  )
})
