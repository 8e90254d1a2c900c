import { describe, expect, test } from 'vitest'

import { defaultLimits } from '../../../src/limits.ts'
import { durableScenarios } from '../../bench/durable.ts'
import { identityScenarios } from '../../bench/identity.ts'
import { scenarios, type Target } from '../../bench/scenarios.ts'

/** What passes and what is aimed at; of rates it is the least. */
function boundsOf(target: Target | undefined): unknown[] {
  if (target === undefined) return [undefined, undefined]
  return ['least' in target ? `>= ${target.least}` : target.most, target.aim]
}

function scenario(name: string) {
  const found = scenarios.find((one) => one.name === name)
  if (found === undefined) throw new Error(`no scenario ${name}`)
  return found
}

describe('the scenarios', () => {
  test('hold each figure against its target', () => {
    const targets = scenarios.flatMap(({ measures }) =>
      measures.map(({ label, judged, target }) => [label, judged, ...boundsOf(target)]),
    )
    expect(targets).toEqual([
      ['p2p-q0-w1', 'ratio', 0.65, 0.45],
      ['p2p-q0-w64', 'ratio', 0.12, 0.04],
      ['p2p-q1-w1', 'ratio', 0.6, 0.45],
      ['p2p-q1-w64', 'ratio', 0.15, 0.06],
      ['p2p-q2-w64', 'ratio', 0.15, 0.05],
      ['fanin100', 'ratio', 0.2, 0.1],
      ['fanout100', 'ratio', 0.2, 0.1],
      ['fanout1000', 'ratio', 0.2, 0.1],
      ['fanout100-q1', 'ratio', 0.3, 0.15],
      ['size65536', 'ratio', 0.6, 0.4],
      ['wild100000', 'ratio', 0.6, 0.45],
      ['wild1000000', 'ratio', 1, 0.6],
      ['conns10000: memory per connection', 'value', 16, 12],
      ['conns10000: connect and subscribe', 'ratio', 0.5, 0.3],
      ['retained10k: fetch', 'ratio', 0.25, 0.15],
      ['offline10k: queued and delivered', 'ratio', undefined, undefined],
    ])
  })

  test('of tokens and roles are those of the engine, with a token, and 15 % for it', () => {
    const names = scenarios.map(({ name }) => name).filter((name) => name !== 'wild1000000')
    expect(identityScenarios.map(({ name }) => name)).toEqual(names)
    for (const { name, args, measures } of identityScenarios) {
      expect(args.at(-2)).toBe('-t')
      const bounds = measures.map(({ judged, target }) => [judged, ...boundsOf(target)])
      expect(bounds).toEqual([name === 'conns10000' ? ['ratio', undefined, undefined] : ['ratio', 1.15, 1.05]])
    }
  })

  test('raise only limits that exist and whose default they exceed', () => {
    const raised = scenarios.flatMap(({ raised: settings }) =>
      settings.map((setting) => /^limits\.(\w+)=(\d+)$/.exec(setting)),
    )
    const pointless = raised.filter((match) => {
      const limit = Object.entries(defaultLimits).find(([name]) => name === match?.[1])
      return limit === undefined || !(Number(match?.[2]) > limit[1])
    })
    expect([raised.length, pointless]).toEqual([4, []])
  })

  test('read their figures from the fields of a result', () => {
    const result = {
      broker_us_per_msg: 1.5,
      bytes_per_conn: 10_240,
      connect_broker_us_per_msg: 50,
      fetch0_broker_us_per_msg: 6,
      fetch1_broker_us_per_msg: 2,
      fetch2_broker_us_per_msg: 1,
      enqueue_broker_us_per_msg: 7,
      drain_broker_us_per_msg: 4,
    }
    const figures = ['p2p-q0-w1', 'conns10000', 'retained10k', 'offline10k'].map((name) =>
      scenario(name).measures.map((measure) => measure.of(result)),
    )
    expect(figures).toEqual([[1.5], [10, 50], [3], [11]])
  })

  test('have no figure where a field is missing', () => {
    const figures = scenarios.flatMap(({ measures }) =>
      measures.map((measure) => measure.of({ fetch0_broker_us_per_msg: 6, drain_broker_us_per_msg: 4 })),
    )
    expect(figures).toEqual(figures.map(() => undefined))
  })
})

describe('the durable scenarios', () => {
  test('hold each figure against its target', () => {
    const targets = durableScenarios.flatMap(({ measures }) =>
      measures.map(({ label, unit, judged, target }) => [label, unit, judged, ...boundsOf(target)]),
    )
    expect(targets).toEqual([
      ['p2p-q1-w1', 'µs', 'ratio', 1.1, 1],
      ['p2p-q1-w64', 'µs', 'ratio', 1.1, 1],
      ['p2p-q1-w64-kept: delivered', 'messages/s', 'value', '>= 30000', 100_000],
      ['p2p-q1-w64-kept', 'µs', 'ratio', undefined, undefined],
      ['offline10k: drained', 'µs', 'ratio', undefined, undefined],
      ['offline100k: queued', 'messages/s', 'value', '>= 60000', 150_000],
      ['offline100k: drained', 'messages/s', 'value', '>= 150000', 300_000],
      ['offline100k: queued', 'µs', 'ratio', undefined, undefined],
      ['offline100k: drained', 'µs', 'ratio', undefined, undefined],
      ['offline1m: drained', 'µs', 'ratio', undefined, undefined],
      ['start100k', 's', 'value', 5, 2],
      ['disk1: of a message', 'B', 'value', 200, 150],
      ['disk1000: of a message for one session', 'B', 'value', 60, 40],
    ])
  })

  test('count bytes on disk for each message and session that it waits for', () => {
    const figures = durableScenarios.flatMap(({ name, measures }) =>
      name.startsWith('disk') ? measures.map((measure) => measure.of({ disk_bytes: 20_000_000 })) : [],
    )
    expect(figures).toEqual([200, 20])
  })
})
