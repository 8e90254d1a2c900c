/** Statistics of a broker over time, and who is behind. */
import { describe, expect, test } from 'vitest'

import { BacklogSurvey } from '../../src/session/backlog.ts'
import type { SessionCore } from '../../src/session/core.ts'
import { settle, startBroker } from '../support/test-broker.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { puback } from '../support/wire.ts'

describe('the last hour', () => {
  test('a sample every five seconds: rates of what was counted since the last, and what is so now', async () => {
    const t = startBroker()
    const { inspection } = t.broker
    expect(inspection.statsHistory()).toEqual([])
    const reader = await t.connect({ clientId: 'reader' })
    await reader.subscribe(['a'])
    await t.advance(5_000)
    for (let count = 0; count < 10; count++) await t.broker.publish({ topic: 'a', payload: 'x' })
    for (let count = 0; count < 5; count++) await t.connect({ clientId: `c${count}` })
    await t.advance(5_000)
    const { bytesReceived, bytesSent } = inspection.stats().counters
    const [first, second, ...more] = inspection.statsHistory()
    expect(more).toEqual([])
    expect(first).toMatchObject({
      atMs: simulatedEpochMs + 5_000,
      seconds: 5,
      messagesReceivedPerSecond: 0,
      connectsPerSecond: 1 / 5,
      sessionsOnline: 1,
    })
    expect(second).toMatchObject({
      atMs: simulatedEpochMs + 10_000,
      seconds: 5,
      messagesReceivedPerSecond: 2,
      messagesSentPerSecond: 2,
      droppedPerSecond: 0,
      connectsPerSecond: 1,
      sessionsOnline: 6,
      sessionsOffline: 0,
      queuedMessages: 0,
      inflightMessages: 0,
    })
    const sums = { received: first!.bytesReceivedPerSecond + second!.bytesReceivedPerSecond }
    expect(sums.received * 5).toBeCloseTo(bytesReceived, 6)
    expect((first!.bytesSentPerSecond + second!.bytesSentPerSecond) * 5).toBeCloseTo(bytesSent, 6)
    for (const sample of [first!, second!]) {
      expect(sample.rssBytes).toBeGreaterThan(sample.heapUsedBytes)
      expect(sample.cpuShare).toBeGreaterThanOrEqual(0)
      expect(sample.loopLagMaxMs).toBeGreaterThanOrEqual(sample.loopLagMeanMs)
    }
  })

  test('is an hour, and its oldest samples go first', async () => {
    const t = startBroker()
    const { inspection } = t.broker
    inspection.stats()
    await t.advance(5_000 * 725)
    const times = inspection.statsHistory().map(({ atMs }) => (atMs - simulatedEpochMs) / 5_000)
    expect(times).toEqual(Array.from({ length: 720 }, (_, index) => index + 6))
  })

  test('begins when somebody asks for the first time, and ends with the broker', async () => {
    const t = startBroker()
    await t.connect({ clientId: 'a' })
    await t.advance(20_000)
    const before = t.clock.pending
    const { inspection } = t.broker
    expect(inspection.slowSubscribers(1)).toEqual([])
    expect(t.clock.pending).toBe(before)
    expect(inspection.statsHistory()).toEqual([])
    expect(t.broker.inspection.stats().sessions.online).toBe(1)
    expect(t.clock.pending).toBe(before + 1)
    await t.close()
    inspection.stats()
    expect(t.clock.pending).toBe(0)
  })

  test('the event loop is measured while somebody looks', async () => {
    const t = startBroker()
    const { inspection } = t.broker
    const blockMs = 60
    // What measures is a timer of the system's: the loop is held up until it has noticed.
    while (inspection.stats().loopLagMs.max < blockMs / 2) {
      const until = performance.now() + blockMs
      while (performance.now() < until);
      await settle(1)
    }
    await t.advance(5_000)
    expect(inspection.statsHistory()[0]!.loopLagMaxMs).toBeGreaterThan(blockMs / 2)
  })
})

test('an open inspector samples, whether or not somebody looks at its page', async () => {
  const t = startBroker()
  const inspector = await t.broker.inspect({ port: 0 })
  await t.advance(10_000)
  await inspector.close()
  expect(t.broker.inspection.statsHistory().map(({ atMs }) => atMs - simulatedEpochMs)).toEqual([5_000, 10_000])
})

describe('slow subscribers', () => {
  test('the slowest first: who keeps up and who is away are none', async () => {
    const t = startBroker({ limits: { maxQueuedMessages: 2 } })
    const names = ['late', 'later', 'quick', 'away'] as const
    const clients = new Map(
      await Promise.all(
        names.map(async (clientId) => {
          const properties = { receiveMaximum: 1, sessionExpiryInterval: 600 }
          const client = await t.connect({ clientId, properties })
          await client.subscribe([[`to/${clientId}`, { qos: 1 }]])
          return [clientId, client] as const
        }),
      ),
    )
    clients.get('away')!.drop()
    await t.settle()
    const publish = (clientId: string): Promise<number> =>
      t.broker.publish({ topic: `to/${clientId}`, payload: 'x', qos: 1 })
    // The first is sent and not acknowledged, the next ones wait.
    for (let count = 0; count < 2; count++) await publish('later')
    await publish('quick')
    await publish('away')
    await t.advance(2_000)
    for (let count = 0; count < 5; count++) await publish('late')
    await t.advance(1_000)
    const { inspection } = t.broker
    const sizes = await Promise.all(['late', 'later'].map(async (id) => (await inspection.session(id))!.queue.bytes))
    const late = {
      clientId: 'late',
      principal: null,
      waitingMs: 1_000,
      queuedMessages: 2,
      queuedBytes: sizes[0],
      inflightMessages: 1,
      droppedMessages: 2,
    }
    const later = {
      clientId: 'later',
      principal: null,
      waitingMs: 3_000,
      queuedMessages: 1,
      queuedBytes: sizes[1],
      inflightMessages: 1,
      droppedMessages: 0,
    }
    expect(inspection.slowSubscribers(10)).toEqual([later, late])
    expect(inspection.slowSubscribers(1)).toEqual([later])
    const client = clients.get('later')!
    client.send(puback((await client.expectPacket('publish')).packetId))
    await client.expectPacket('publish')
    await t.settle()
    expect(inspection.slowSubscribers(10)).toEqual([late])
  })

  test('are known of a crowd too, without a long stop: the slowest thousand, looked for in slices', async () => {
    const hosts = new Map(
      Array.from({ length: 12_000 }, (_, index) => {
        const outbound = {
          queued: 1,
          queuedBytes: 10,
          inflight: 2,
          overflows: index,
          parts: { outbox: { oldest: 0 } },
        }
        // Every other one is away, and takes nobody's place among the slowest.
        const state = index % 2 === 0 ? 'online' : 'offline'
        return [`s${index}`, { clientId: `c${index}`, state, outbound, grant: undefined }] as const
      }),
    )
    const core = { clock: { nowMs: () => simulatedEpochMs }, registry: { hosts } } as unknown as SessionCore
    const survey = new BacklogSurvey(core)
    const sums = (): unknown[] => [
      survey.backlog.queuedMessages,
      survey.backlog.queuedBytes,
      survey.backlog.inflightMessages,
    ]
    expect(sums()).toEqual([12_000, 120_000, 24_000])
    const slowest = survey.slowest(2_000).map(({ droppedMessages }) => droppedMessages)
    expect(slowest).toEqual(Array.from({ length: 1_000 }, (_, index) => 11_998 - 2 * index))
    // As they were, until somebody has looked through all of them again.
    hosts.delete('s0')
    expect(sums()).toEqual([12_000, 120_000, 24_000])
    await settle()
    expect(sums()).toEqual([11_999, 119_990, 23_998])
    // Few enough to be looked at in one go.
    for (let index = 1; index <= 7_000; index++) hosts.delete(`s${index}`)
    expect(sums()).toEqual([4_999, 49_990, 9_998])
  })
})
