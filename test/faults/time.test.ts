import { describe, expect, test } from 'vitest'

import { startChild } from '../support/child-broker.ts'
import { RawClient } from '../support/raw-client.ts'
import { startBroker } from '../support/test-broker.ts'
import { disconnect, publish } from '../support/wire.ts'

const never = 0xffff_ffff
const farSeconds = 0xffff_fffe
/** Beyond what a timer of the system takes. */
const thirtyDaysMs = 30 * 86_400_000

describe('threat 98: delays beyond 2^31 ms', () => {
  test('threat 98: a session that never expires has no timer and is there after 200 years', async () => {
    const running = startBroker()
    const client = await running.connect({
      clientId: 'c',
      cleanStart: false,
      properties: { sessionExpiryInterval: never },
    })
    client.drop()
    await running.settle()
    for (let month = 0; month < 2400; month += 1) running.clock.advance(thirtyDaysMs)
    expect([running.state('c'), running.broker.sessions.get('c')?.context.expiresAtMs]).toEqual(['offline', undefined])
    expect(running.clock.pending).toBeLessThanOrEqual(1)
  })

  test('threat 98: the longest expiry that is one holds to the millisecond', async () => {
    const running = startBroker()
    const client = await running.connect({
      clientId: 'c',
      cleanStart: false,
      properties: { sessionExpiryInterval: farSeconds },
    })
    client.drop()
    await running.settle()
    running.clock.advance(farSeconds * 1000 - 1)
    expect(running.state('c')).toBe('offline')
    await running.advance(1)
    expect(running.state('c')).toBe(undefined)
  })

  test('threat 98: a will that is delayed for ever comes with the end of its session, and not at once', async () => {
    const running = startBroker()
    const witness = await running.connect({ clientId: 'w' })
    await witness.subscribe(['#'])
    const will = { topic: 'gone', properties: { willDelayInterval: never } }
    const client = await running.connect({
      clientId: 'c',
      cleanStart: false,
      properties: { sessionExpiryInterval: never },
      will,
    })
    client.drop()
    await running.advance(thirtyDaysMs * 100)
    await witness.expectNothing()
    running.broker.sessions.get('c')!.expire()
    await witness.expectPublish({ topic: 'gone' })
  })

  test('threat 98: a message that lives for 136 years waits, and tells what is left of it', async () => {
    const running = startBroker()
    const session = { clientId: 'c', cleanStart: false, properties: { sessionExpiryInterval: never } }
    const client = await running.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    client.drop()
    await running.settle()
    const publisher = await running.connect({ clientId: 'p' })
    await publisher.publish({ topic: 't', qos: 1, properties: { messageExpiryInterval: never } })
    await running.advance(thirtyDaysMs)
    const back = await running.connect(session)
    const left = never - thirtyDaysMs / 1000
    await back.expectPublish({ topic: 't', qos: 1, properties: { messageExpiryInterval: left } })
  })

  test('threat 98: DISCONNECT may set the longest expiry as well', async () => {
    const running = startBroker()
    const client = await running.connect({ clientId: 'c', properties: { sessionExpiryInterval: 1 } })
    client.send(disconnect(0, { sessionExpiryInterval: never }))
    await client.expectClosed()
    await running.advance(thirtyDaysMs * 12)
    expect(running.state('c')).toBe('offline')
  })
})

/** Real milliseconds until something has happened. */
async function took(done: Promise<unknown>): Promise<number> {
  const from = performance.now()
  await done
  return performance.now() - from
}

describe('threat 99: the wall clock is set while the broker runs', () => {
  test.each([
    ['an hour forward', 3_600_000],
    ['an hour back', -3_600_000],
  ])(
    'threat 99: %s moves no deadline of a session, a will, a keepalive or a message',
    { timeout: 30_000 },
    async (_name, stepMs) => {
      const child = await startChild()
      const open = async (): Promise<RawClient> => new RawClient(await child.socket(), { timeoutMs: 10_000 })
      const witness = await open()
      await witness.connect({ clientId: 'w' })
      await witness.subscribe(['gone'])
      const silent = await open()
      await silent.connect({ clientId: 'silent', keepAlive: 1 })
      const kept = await open()
      const will = { topic: 'gone', properties: { willDelayInterval: 1 } }
      await kept.connect({ clientId: 'kept', cleanStart: false, properties: { sessionExpiryInterval: 2 }, will })
      const expired = child.ask('expired', { clientId: 'kept' })
      kept.drop()
      await child.ask('stepDate', stepMs)

      const [willMs, silenceMs, expiryMs] = await Promise.all([
        took(witness.expectPublish({ topic: 'gone' })),
        took(silent.expectDisconnect(0x8d)),
        took(expired),
      ])
      // Never early; late by what a busy machine takes.
      for (const [atLeast, ms] of [
        [900, willMs],
        [1000, silenceMs],
        [1800, expiryMs],
      ] as const) {
        expect(ms).toBeGreaterThan(atLeast)
        expect(ms).toBeLessThan(atLeast + 5000)
      }
    },
  )
})

test(
  'threat 101: a hundred thousand sessions that expire together go in slices: the loop is never late by 100 ms',
  { timeout: 60_000 },
  async () => {
    const count = 100_000
    const child = await startChild(
      { jumping: true, limits: { maxOfflineSessions: Infinity, maxConnectsPerSecond: Infinity } },
      { heapMegabytes: 2048 },
    )
    const client = new RawClient(await child.socket(), { timeoutMs: 30_000 })
    await client.connect({ clientId: 'alive' })
    await child.ask('keep', { count, expirySeconds: 3600 })
    expect(await child.sessions()).toBe(count + 1)
    await child.ask('begin')
    await child.ask('jump', 3_600_000 + 100_000)
    let rounds = 0
    while ((await child.sessions()) > 1) {
      // Meanwhile the others are served.
      client.send(publish({ topic: 't', qos: 1, packetId: 1 }))
      await client.expectPacket('puback')
      rounds += 1
    }
    await child.expectWithin({ megabytes: 300, blockMs: 100 })
    expect(rounds).toBeGreaterThan(3)
  },
)

test('the child says why its broker could not be made', async () => {
  await expect(startChild({ limits: { unknown: 1 } as never })).rejects.toThrow('unknown')
})
