/** What is to happen later: queues of those who are away, wills, ends of sessions; done now, or not at all. */
import { describe, expect, test } from 'vitest'

import type { JobPage, JobQuery } from '../../src/inspection.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { pubrec } from '../support/wire.ts'
import { startScene, stores, type Scene } from './inspection-scene.ts'

const jobs = (t: Scene, kind: JobQuery['kind']): Promise<JobPage> => t.inspection.jobs({ kind, offset: 0, limit: 100 })

const will = { topic: 'gone', payload: 'farewell', properties: { willDelayInterval: 30 } } as const

/** A client that is away, with messages waiting. */
async function away(t: Scene, clientId: string, messages: number): Promise<void> {
  const client = await t.stay(clientId)
  await client.subscribe([[`to/${clientId}`, { qos: 1 }]])
  await t.lose(client)
  for (let i = 0; i < messages; i++) await t.broker.publish({ topic: `to/${clientId}`, payload: `${i}`, qos: 1 })
}

describe.each(stores)('with the store %s', (kind) => {
  test('offline queues, the longest first', async () => {
    const t = await startScene(kind)
    await away(t, 'few', 1)
    await away(t, 'many', 3)
    await away(t, 'none', 0)
    const page = await jobs(t, 'offline-queue')
    expect(page).toMatchObject({ total: 2, offset: 0 })
    const size = 'to/many'.length + 1 + 64
    expect(page.rows).toEqual([
      {
        id: expect.stringMatching(/^queue:s/) as string,
        kind: 'offline-queue',
        clientId: 'many',
        dueAtMs: simulatedEpochMs + 60_000,
        messages: 3,
        bytes: 3 * size,
        topic: null,
        attempts: 0,
        failure: null,
        canRetry: false,
        canDrop: true,
      },
      expect.objectContaining({ clientId: 'few', messages: 1 }),
    ])
    await expect(t.inspection.retryJob(page.rows[0]!.id)).rejects.toMatchObject({ code: 'SMQ_JOB_FIXED' })
  })

  test('a dropped queue is empty for good, and new messages wait again', async () => {
    const t = await startScene(kind)
    await away(t, 'ada', 300)
    const [queue] = (await jobs(t, 'offline-queue')).rows
    expect(await t.inspection.dropJob(queue!.id)).toBe(true)
    expect((await jobs(t, 'offline-queue')).rows).toEqual([])
    await t.settle()
    const dropped = t.events.filter((event) => event.type === 'message.dropped')
    expect(dropped).toHaveLength(300)
    expect(new Set(dropped.map(({ reason }) => reason))).toEqual(new Set(['administrative']))
    expect(await t.inspection.dropJob(queue!.id)).toBe(false)
    await t.broker.publish({ topic: 'to/ada', payload: 'later', qos: 1 })
    const last = kind === 'lmdb' ? await restarted(t) : t
    const client = await last.stay('ada')
    await client.expectPublish({ topic: 'to/ada', payload: 'later', qos: 1 })
    await client.expectNothing()
  })

  test('what a client has been sent already is not dropped: it knows it by its identifier', async () => {
    const t = await startScene(kind)
    const client = await t.stay('ada')
    await client.subscribe([['q', { qos: 2 }]])
    await t.broker.publish({ topic: 'q', payload: 'sent', qos: 2 })
    await t.broker.publish({ topic: 'q', payload: 'released', qos: 2 })
    const [, second] = [await client.expectPacket('publish'), await client.expectPacket('publish')]
    client.send(pubrec(second.packetId))
    await client.expectPacket('pubrel')
    await t.lose(client)
    await t.broker.publish({ topic: 'q', payload: 'waits', qos: 2 })
    const [queue] = (await jobs(t, 'offline-queue')).rows
    expect(queue).toMatchObject({ messages: 1 })
    expect(await t.inspection.dropJob(queue!.id)).toBe(true)
    const back = await t.stay('ada')
    await back.expectPublish({ topic: 'q', payload: 'sent', qos: 2, dup: true, packetId: second.packetId - 1 })
    expect(await back.expectPacket('pubrel')).toMatchObject({ packetId: second.packetId })
    await back.expectNothing()
  })

  test('messages of a shared subscription go to other members', async () => {
    const t = await startScene(kind)
    const first = await t.stay('ada')
    await first.subscribe([['$share/g/work', { qos: 1 }]])
    await t.lose(first)
    await t.broker.publish({ topic: 'work', payload: 'one', qos: 1 })
    const other = await t.stay('bob')
    await other.subscribe([['$share/g/work', { qos: 1 }]])
    const [queue] = (await jobs(t, 'offline-queue')).rows
    await t.inspection.dropJob(queue!.id)
    await other.expectPublish({ topic: 'work', payload: 'one', qos: 1 })
  })

  test('wills wait for their time; one is sent now, one never', async () => {
    const t = await startScene(kind)
    const witness = await t.join('witness')
    await witness.subscribe(['gone'])
    const early = await t.stay('early', {}, { will })
    await t.advance(1_000)
    const late = await t.stay('late', {}, { will })
    expect((await jobs(t, 'will')).rows).toEqual([])
    await t.lose(early)
    await t.advance(1_000)
    await t.lose(late)
    const { rows, total } = await jobs(t, 'will')
    expect(total).toBe(2)
    expect(rows).toMatchObject([
      {
        kind: 'will',
        clientId: 'early',
        topic: 'gone',
        bytes: 8,
        dueAtMs: simulatedEpochMs + 31_000,
        canRetry: true,
        canDrop: true,
      },
      { clientId: 'late', dueAtMs: simulatedEpochMs + 32_000 },
    ])
    expect(await t.inspection.retryJob(rows[1]!.id)).toBe(true)
    await witness.expectPublish({ topic: 'gone', payload: 'farewell' })
    expect(await t.inspection.dropJob(rows[0]!.id)).toBe(true)
    await t.advance(40_000)
    await witness.expectNothing()
    expect(t.events.filter(({ type }) => type === 'will.withheld')).toMatchObject([
      { clientId: 'early', reason: 'dropped by the operator' },
    ])
    expect(await t.inspection.retryJob(rows[0]!.id)).toBe(false)
    expect(await t.inspection.dropJob(rows[1]!.id)).toBe(false)
  })

  test('sessions that end, the next one first; one ends now', async () => {
    const t = await startScene(kind)
    await away(t, 'later', 0)
    await t.lose(await t.join('sooner', {}, { properties: { sessionExpiryInterval: 5 } }))
    await t.lose(await t.join('never', {}, { properties: { sessionExpiryInterval: 0xffffffff } }))
    const { rows } = await jobs(t, 'session-expiry')
    expect(rows.map(({ clientId, dueAtMs, canDrop }) => [clientId, dueAtMs! - simulatedEpochMs, canDrop])).toEqual([
      ['sooner', 5_000, false],
      ['later', 60_000, false],
    ])
    await expect(t.inspection.dropJob(rows[1]!.id)).rejects.toMatchObject({ code: 'SMQ_JOB_FIXED' })
    expect(await t.inspection.retryJob(rows[1]!.id)).toBe(true)
    expect(t.state('later')).toBeUndefined()
    expect(await t.inspection.retryJob(rows[1]!.id)).toBe(false)
    // Who is back has no time at which it ends.
    await t.join('sooner', {}, { cleanStart: false, properties: { sessionExpiryInterval: 5 } })
    expect(await t.inspection.retryJob(rows[0]!.id)).toBe(false)
    expect((await jobs(t, 'session-expiry')).total).toBe(0)
  })
})

async function restarted(t: Scene): Promise<Scene> {
  await t.close()
  return startScene('lmdb', {}, t.directory)
}

test('pages', async () => {
  const t = await startScene()
  for (const name of ['a', 'b', 'c']) await away(t, name, 1)
  const page = await t.inspection.jobs({ kind: 'session-expiry', offset: 1, limit: 1 })
  expect(page).toMatchObject({ total: 3, offset: 1, rows: [{ clientId: 'b' }] })
})

test('dead jobs are nobody’s where the broker has its sessions for itself, and unknown names nothing', async () => {
  const t = await startScene()
  expect(await jobs(t, 'dead')).toEqual({ total: 0, offset: 0, rows: [] })
  for (const id of ['dead:1', 'queue:', 'will:s1:1', 'nonsense', '', '__proto__']) {
    expect(await t.inspection.dropJob(id)).toBe(false)
  }
  for (const id of ['dead:1', 'expiry:', 'will:s1:1', 'nonsense', ''])
    expect(await t.inspection.retryJob(id)).toBe(false)
})
