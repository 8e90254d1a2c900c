/** The table of sessions: what a filter selects, in every order, a page at a time, without holding up anybody. */
import { describe, expect, test } from 'vitest'

import type { SessionQuery, SessionSort } from '../../src/inspection.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { all, startScene, type Scene } from './inspection-scene.ts'

/** Five sessions that differ in everything that there is to sort by. */
async function five(): Promise<Scene> {
  const t = await startScene()
  const ada = await t.stay('ada', { principal: 'zoe', roles: ['reader'] })
  await ada.subscribe([['q/#', { qos: 1 }]])
  await t.advance(1_000)
  await t.join('bob', { principal: 'yan', roles: ['writer', 'reader'] })
  await t.advance(1_000)
  // Without a user name it has no principal.
  const cyd = await t.connect({ clientId: 'cyd', cleanStart: false, properties: { sessionExpiryInterval: 60 } })
  await cyd.subscribe(['a', 'b', 'c'])
  await t.lose(cyd)
  await t.lose(ada)
  const publisher = await t.join('dan', { principal: 'xia' })
  await publisher.publish({ topic: 'q/1', payload: 'hello', qos: 1, packetId: 1 })
  await publisher.publish({ topic: 'q/2', payload: 'hello', qos: 1, packetId: 2 })
  const eve = await t.join('eve', { principal: 'wim' })
  await eve.subscribe([['flight', { qos: 1 }]])
  await publisher.publish({ topic: 'flight', payload: 'x', qos: 1, packetId: 3 })
  return t
}

const ids = async (t: Scene, query: Partial<SessionQuery>): Promise<string[]> =>
  (await t.inspection.sessions({ ...all, ...query })).rows.map(({ clientId }) => clientId)

describe('the table of sessions', () => {
  test('a row says who it is, where it is from, what it has and what waits for it', async () => {
    const t = await five()
    const { rows, total } = await t.inspection.sessions({ ...all, filter: '$ClientId is "ada"' })
    expect(total).toBe(1)
    expect(rows).toEqual([
      {
        clientId: 'ada',
        sessionId: expect.stringMatching(/^s\d+$/) as string,
        state: 'offline',
        principal: 'zoe',
        roles: ['reader'],
        listener: 'attached',
        address: '',
        protocolVersion: 5,
        connectedAtMs: simulatedEpochMs,
        expiresAtMs: simulatedEpochMs + 62_000,
        subscriptions: 1,
        queuedMessages: 2,
        queuedBytes: 2 * ('q/1'.length + 'hello'.length + 64),
        inflightMessages: 0,
      },
    ])
    expect(JSON.parse(JSON.stringify(rows))).toEqual(rows)
  })

  test.each<[SessionSort, string]>([
    ['clientId', 'ada bob cyd dan eve'],
    // Those that are alike come by client identifier.
    ['state', 'ada cyd bob dan eve'],
    ['principal', 'eve dan bob ada cyd'],
    ['connectedAtMs', 'ada bob cyd dan eve'],
    ['queuedMessages', 'bob cyd dan eve ada'],
    ['inflightMessages', 'ada bob cyd dan eve'],
    ['subscriptions', 'bob dan ada eve cyd'],
  ])('sorts by %s', async (sort, expected) => {
    const t = await five()
    expect((await ids(t, { sort })).join(' ')).toBe(expected)
  })

  test('downwards what is alike stays in its order, and what has no value stays at the end', async () => {
    const t = await five()
    expect(await ids(t, { sort: 'queuedMessages', descending: true })).toEqual(['ada', 'bob', 'cyd', 'dan', 'eve'])
    expect(await ids(t, { sort: 'principal', descending: true })).toEqual(['ada', 'bob', 'dan', 'eve', 'cyd'])
  })

  test('a page begins at its offset, and one behind the end is empty', async () => {
    const t = await five()
    expect(await t.inspection.sessions({ ...all, offset: 2, limit: 2 })).toMatchObject({ total: 5, offset: 2 })
    expect(await ids(t, { offset: 2, limit: 2 })).toEqual(['cyd', 'dan'])
    expect(await ids(t, { offset: 5, limit: 2 })).toEqual([])
    const small = await startScene('none', { limits: { maxInspectedRows: 1 } })
    await small.join('a')
    await small.join('b')
    expect(await small.inspection.sessions({ ...all, limit: 1_000 })).toMatchObject({
      total: 2,
      rows: [{ clientId: 'a' }],
    })
  })

  test('a filter selects, an empty one everybody, and one that cannot be read says where', async () => {
    const t = await five()
    expect(await ids(t, { filter: 'hasRoles ["reader"]' })).toEqual(['ada', 'bob'])
    expect(await ids(t, { filter: '  ' })).toHaveLength(5)
    await expect(t.inspection.sessions({ ...all, filter: 'hasRoles [' })).rejects.toMatchObject({
      code: 'SMQ_SESSION_FILTER_INVALID',
      offset: 10,
    })
  })

  test('who came back has a new time of connection, and who ended is not there any more', async () => {
    const t = await five()
    await t.advance(5_000)
    await t.stay('ada', { principal: 'zoe' })
    await t.inspection.sessions(all)
    t.broker.sessions.get('bob')!.expire()
    const { rows } = await t.inspection.sessions({ ...all, sort: 'connectedAtMs', descending: true, limit: 1 })
    expect(rows).toMatchObject([{ clientId: 'ada', connectedAtMs: simulatedEpochMs + 7_000 }])
    expect(await ids(t, {})).toEqual(['ada', 'cyd', 'dan', 'eve'])
  })

  test('8,000 sessions are put in order while the event loop goes on, once for all who scroll through them', async () => {
    const t = await startScene('none', { limits: { maxConnectsPerSecond: Infinity, maxConnections: Infinity } })
    for (let at = 0; at < 8_000; at += 200) {
      await Promise.all(
        Array.from({ length: 200 }, (_, i) =>
          t.broker.client({ clientId: `c${((at + i) * 7919) % 8_000}`, username: 'x', password: '{}' }),
        ),
      )
    }
    // What others do meanwhile: a turn each time that they are let.
    let turns = 0
    let isSorting = true
    const others = (): void => {
      turns += 1
      if (isSorting) setImmediate(others)
    }
    setImmediate(others)
    const first = await t.inspection.sessions({ ...all, sort: 'connectedAtMs' })
    const pages = await Promise.all(
      Array.from({ length: 8 }, (_, page) =>
        t.inspection.sessions({ ...all, filter: 'all', offset: page * 1_000, limit: 1_000 }),
      ),
    )
    isSorting = false
    expect(first.total).toBe(8_000)
    const names = pages.flatMap(({ rows }) => rows.map(({ clientId }) => clientId))
    expect(names).toEqual(Array.from({ length: 8_000 }, (_, i) => `c${i}`).sort())
    // Who scrolls sees one order, and what has become of it since.
    t.broker.sessions.get('c0')!.expire()
    expect(await t.inspection.sessions({ ...all, filter: 'all', limit: 1 })).toMatchObject({
      total: 8_000,
      rows: [{ clientId: 'c0', state: 'expired' }],
    })
    // In one go it would be one turn for each order.
    expect(turns).toBeGreaterThan(2)
  })
})
