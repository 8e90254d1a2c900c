import { describe, expect, test } from 'vitest'

import type { TransitionRecord } from '../../../src/inspection.ts'
import { ClientHistories, type HistoryBounds } from '../../../src/session/client-histories.ts'

const roomy: HistoryBounds = {
  maxTransitionsPerSession: 8,
  maxTransitions: 1_000,
  maxEndedHistories: 3,
  maxRememberedRefusals: 2,
}

function record(sequence: number): TransitionRecord {
  const names = { sessionId: 's1', clientId: 'c' }
  return { sequence, atMs: 0, ...names, event: 'e', from: ['a'], to: ['b'], decision: null }
}
const records = (...sequences: number[]): TransitionRecord[] => sequences.map(record)
const kept = (histories: ClientHistories, clientId: string): number[] =>
  histories.of(clientId).map(({ sequence }) => sequence)

describe('ClientHistories', () => {
  test('keeps the last steps of each client', () => {
    const histories = new ClientHistories(roomy)
    for (let at = 1; at <= 10; at++) histories.add('c', record(at), 'life')
    expect(kept(histories, 'c')).toEqual([3, 4, 5, 6, 7, 8, 9, 10])
    expect(kept(histories, 'd')).toEqual([])
    expect(histories).toMatchObject({ size: 8, clients: 1 })
  })

  test('puts the steps of a connection that was handed over before those that it led to', () => {
    const histories = new ClientHistories(roomy)
    histories.add('c', record(1), 'life')
    histories.add('c', record(5), 'life')
    histories.admitted('c', records(2, 3, 4, 6))
    expect(kept(histories, 'c')).toEqual([1, 2, 3, 4, 5, 6])
    // The oldest are forgotten, not those that came to the list first.
    const narrow = new ClientHistories({ ...roomy, maxTransitionsPerSession: 4 })
    narrow.add('c', record(1), 'life')
    narrow.add('c', record(5), 'life')
    narrow.admitted('c', records(2, 3, 4, 6))
    expect(kept(narrow, 'c')).toEqual([3, 4, 5, 6])
  })

  test('strangers and a client that stops reading over and over push out a quarter each, and no more', () => {
    const histories = new ClientHistories(roomy)
    for (let at = 1; at <= 8; at++) histories.add('c', record(at), 'life')
    for (let at = 9; at <= 30; at++) histories.refused('c', records(at))
    for (let at = 31; at <= 60; at++) histories.add('c', record(at), 'delivery')
    expect(kept(histories, 'c')).toEqual([5, 6, 7, 8, 29, 30, 59, 60])
    expect(histories.size).toBe(8)
  })

  test('forgets the clients that ended first, and never one that lives', () => {
    const histories = new ClientHistories(roomy)
    histories.admitted('lives', records(1))
    for (const [at, clientId] of ['a', 'b', 'c', 'a', 'd'].entries()) {
      histories.admitted(clientId, records(at + 2))
      histories.ended(clientId)
    }
    expect(['lives', 'a', 'b', 'c', 'd'].map((clientId) => kept(histories, clientId))).toEqual([
      [1],
      [2, 5],
      [],
      [4],
      [6],
    ])
    expect(histories).toMatchObject({ size: 5, clients: 4 })
  })

  test('those that were only refused do not push out the histories of clients that have ended', () => {
    const histories = new ClientHistories(roomy)
    histories.admitted('ended', records(1))
    histories.ended('ended')
    for (const [at, clientId] of ['x', 'y', 'z', 'ended', 'v'].entries()) histories.refused(clientId, records(at + 2))
    expect(['ended', 'x', 'y', 'z', 'v'].map((clientId) => kept(histories, clientId))).toEqual([
      [1, 5],
      [],
      [],
      [4],
      [6],
    ])
    // One of them is let in.
    histories.admitted('z', records(7))
    histories.refused('u', records(8))
    histories.refused('t', records(9))
    expect(['z', 'u', 't', 'v'].map((clientId) => kept(histories, clientId))).toEqual([[4, 7], [8], [9], []])
    expect(histories).toMatchObject({ size: 6, clients: 4 })
  })

  test('altogether too many: the longest are cut to an equal share, short ones stay whole', () => {
    const histories = new ClientHistories({ ...roomy, maxTransitionsPerSession: 100, maxTransitions: 120 })
    let sequence = 0
    for (let at = 0; at < 90; at++) histories.add('long', record(++sequence), 'life')
    for (let client = 0; client < 9; client++) {
      for (let at = 0; at < 4; at++) histories.add(`short${client}`, record(++sequence), 'life')
    }
    // Ten clients share 120: twelve for each that wants so many.
    expect(histories.of('long').length).toBeLessThanOrEqual(20)
    expect(histories.of('long').length).toBeGreaterThanOrEqual(12)
    for (let client = 0; client < 9; client++) expect(histories.of(`short${client}`)).toHaveLength(4)
    expect(histories.size).toBeLessThanOrEqual(120)
  })

  test('the sum is what is kept, whatever happens', () => {
    const histories = new ClientHistories({ ...roomy, maxTransitions: 300, maxEndedHistories: 10 })
    let seed = 7
    const draw = (n: number): number => (seed = (seed * 16_807) % 2_147_483_647) % n
    const clients = Array.from({ length: 60 }, (_, at) => `c${at}`)
    for (let at = 1; at <= 3_000; at++) {
      const clientId = clients[draw(clients.length)]!
      const kind = draw(6)
      if (kind === 0) histories.refused(clientId, records(at))
      else if (kind === 1) histories.ended(clientId)
      else if (kind === 2) histories.admitted(clientId, records(at))
      else histories.add(clientId, record(at), kind === 3 ? 'delivery' : 'life')
      const sum = clients.reduce((count, each) => count + histories.of(each).length, 0)
      if (histories.size !== sum) expect.fail(`${histories.size} counted, ${sum} kept after ${at} steps`)
      if (histories.size > 300) expect.fail(`${histories.size} kept after ${at} steps`)
    }
  })
})
