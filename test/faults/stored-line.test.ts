/** What waits for a persistent session is in the store, and comes out of it a few messages at a time. */
import { describe, expect, onTestFinished, test } from 'vitest'

import { allow, type Authenticator, type BrokerEvent, type BrokerOptions } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker, type TestBroker } from '../support/test-broker.ts'
import { disconnect, puback, publish } from '../support/wire.ts'

const persistent = { username: 'alice', cleanStart: false, properties: { sessionExpiryInterval: 3600 } } as const
const small = { maxBufferedMessages: 8, maxQueuedMessages: 20_000, maxInflightMessages: 4 } as const

const people: Authenticator = { name: 'people', authenticate: () => allow({ roles: ['reader'] }) }

type Running = TestBroker & { readonly events: BrokerEvent[] }

/** A broker on a store in a folder of its own, and the ones that come after it. */
function machine(options: BrokerOptions = {}) {
  const directory = tempFolder()
  let running: TestBroker | undefined
  const start = async (): Promise<Running> => {
    const t = startBroker({
      authenticators: [people],
      limits: small,
      store: { type: 'lmdb', directory, durability: 'os' },
      ...options,
    })
    running = t
    const events: BrokerEvent[] = []
    t.broker.events$.subscribe((event) => events.push(event))
    await t.broker.ready
    return { ...t, events }
  }
  onTestFinished(async () => {
    await running?.close()
  })
  return { start }
}

/** A session that is away, with so many messages that wait for it: their payloads count from 0 on. */
async function away(t: Running, count: number, filter = 't', properties = {}): Promise<RawClient> {
  const client = await t.connect({ clientId: 'c', ...persistent })
  await client.subscribe([[filter, { qos: 1 }]])
  client.drop()
  await t.settle()
  const publisher = await t.connect({ clientId: 'p' })
  await fill(publisher, 0, count, properties)
  return publisher
}

async function fill(publisher: RawClient, from: number, count: number, properties = {}): Promise<void> {
  for (let at = from; at < from + count; at += 100) {
    const numbers = Array.from({ length: Math.min(100, from + count - at) }, (_, index) => at + index)
    publisher.send(
      ...numbers.map((n) => publish({ topic: 't', qos: 1, packetId: (n % 60_000) + 1, payload: `${n}`, properties })),
    )
    for (const _ of numbers) await publisher.expectPacket('puback')
  }
}

/** Takes and acknowledges so many messages; returns their payloads. */
async function take(client: RawClient, count: number): Promise<number[]> {
  const payloads: number[] = []
  while (payloads.length < count) {
    const packet = await client.expectPacket('publish')
    payloads.push(Number(packet.payload))
    client.send(puback(packet.packetId!))
  }
  return payloads
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at)

function dropped(t: Running): string[] {
  return t.events.flatMap((event) => (event.type === 'message.dropped' ? event.reason : []))
}

describe('a line that is longer than what is read at once', () => {
  test('goes out in its order, what comes meanwhile behind it, over a restart and connections that break', async () => {
    const { start } = machine()
    const before = await start()
    const publisher = await away(before, 3_000)
    const first = await before.connect({ clientId: 'c', ...persistent })
    const taken = await take(first, 500)
    await fill(publisher, 3_000, 50)
    // What was sent is sent again; what was read and not sent is read again.
    first.drop()
    await before.settle()
    const second = await before.connect({ clientId: 'c', ...persistent })
    taken.push(...(await take(second, 500)))
    // Another connection of the same client, in the middle of it.
    const third = await before.connect({ clientId: 'c', ...persistent })
    taken.push(...(await take(third, 500)))
    await before.settle()
    third.drop()
    await before.close()

    const after = await start()
    expect(after.broker.sessions.get('c')!.queuedMessages + after.broker.sessions.get('c')!.inflightMessages).toBe(1550)
    const fourth = await after.connect({ clientId: 'c', ...persistent })
    await fill(await after.connect({ clientId: 'p' }), 3_050, 50)
    taken.push(...(await take(fourth, 1_600)))
    expect(taken).toEqual(numbers(0, 3_100))
    await after.settle()
    await fourth.expectNothing()
    const { queuedMessages, queuedBytes, inflightMessages } = after.broker.sessions.get('c')!
    expect([queuedMessages, queuedBytes, inflightMessages]).toEqual([0, 0, 0])
  })

  test('loses the oldest beyond the limit, whether the client is away or slow, and tells of each', async () => {
    const { start } = machine({ limits: { ...small, maxQueuedMessages: 30 } })
    const t = await start()
    const publisher = await away(t, 50)
    expect(t.broker.sessions.get('c')!.queuedMessages).toBe(30)
    await t.settle()
    expect(dropped(t)).toEqual(Array.from({ length: 20 }, () => 'queue-full'))
    const client = await t.connect({ clientId: 'c', ...persistent })
    const under = [await client.next(), await client.next(), await client.next(), await client.next()]
    await t.settle()
    await fill(publisher, 50, 40)
    await t.settle()
    expect(dropped(t)).toHaveLength(20 + 36)
    for (const packet of under)
      if (packet !== 'closed' && packet.type === 'publish') client.send(puback(packet.packetId!))
    expect(await take(client, 30)).toEqual(numbers(60, 90))
  })

  test('expires while nobody is there', async () => {
    const { start } = machine()
    const before = await start()
    const publisher = await away(before, 40, 't', { messageExpiryInterval: 10 })
    await fill(publisher, 40, 20)
    await before.advance(5_000)
    await before.close()
    const after = await start()
    after.clock.advance(11_000)
    const client = await after.connect({ clientId: 'c', ...persistent })
    expect(await take(client, 20)).toEqual(numbers(40, 60))
    expect(dropped(after)).toEqual(Array.from({ length: 40 }, () => 'expired'))
  })

  test('semantics 7.7: goes by the roles of the moment in which it is read', async () => {
    const everything = { topic: '#', allow: ['publish', 'subscribe'] } as const
    const reader = { permissions: [everything] }
    const { start } = machine({ roles: { reader } })
    const t = await start()
    const publisher = await away(t, 60)
    const client = await t.connect({ clientId: 'c', ...persistent })
    const got = await take(client, 10)
    // The first of these are in memory by now, the others are not.
    await t.broker.reload({ roles: { reader: { permissions: [everything, { topic: 't', deny: 'subscribe' }] } } })
    const sent = await client.drain()
    expect(sent.length).toBeLessThanOrEqual(small.maxInflightMessages)
    for (const packet of sent) if (packet.type === 'publish') client.send(puback(packet.packetId!))
    for (let round = 0; round < 4; round++) await t.settle()
    await client.expectNothing()
    expect(got).toEqual(numbers(0, 10))
    expect(dropped(t)).toEqual(Array.from({ length: 50 - sent.length }, () => 'denied'))
    expect(t.broker.sessions.get('c')!.queuedMessages).toBe(0)
    publisher.drop()
  })

  test('is given up when the grant is taken away', async () => {
    const { start } = machine()
    const before = await start()
    await away(before, 1_000)
    const client = await before.connect({ clientId: 'c', ...persistent })
    await take(client, 100)
    await before.settle()
    await before.broker.sessions.revoke({ clientId: 'c' })
    for (let round = 0; round < 10; round++) await before.settle()
    expect(dropped(before)).toHaveLength(900)
    await before.close()
    const after = await start()
    expect(after.broker.sessions.get('c')!.queuedMessages).toBe(0)
  })
})

describe('messages of a shared subscription that wait in the store', () => {
  const shared = '$share/g/t'

  async function members(count: number): Promise<{ t: Running; other: RawClient; start: () => Promise<Running> }> {
    const { start } = machine()
    const t = await start()
    await away(t, count, shared)
    return { t, start, other: await t.connect({ clientId: 'o', ...persistent }) }
  }

  test('go to another member when theirs ends', async () => {
    const { t, other } = await members(300)
    await other.subscribe([[shared, { qos: 1 }]])
    await t.broker.sessions.expire({ clientId: 'c' })
    expect((await take(other, 300)).toSorted((a, b) => a - b)).toEqual(numbers(0, 300))
  })

  test('and after a restart', async () => {
    const { t, other, start } = await members(300)
    other.send(disconnect())
    await t.close()
    const after = await start()
    const again = await after.connect({ clientId: 'o', ...persistent })
    await again.subscribe([[shared, { qos: 1 }]])
    await after.broker.sessions.expire({ clientId: 'c' })
    expect((await take(again, 300)).toSorted((a, b) => a - b)).toEqual(numbers(0, 300))
    await after.close()
    const last = await start()
    expect([...last.broker.sessions.keys()]).toEqual(['o'])
  })

  test('go to another member when theirs leaves the group or goes away', async () => {
    const { t, other } = await members(300)
    const slow = await t.connect({ clientId: 'c', ...persistent })
    await slow.expectPacket('publish')
    await other.subscribe([[shared, { qos: 1 }]])
    slow.drop()
    // Four are under way: they are its own until its session ends.
    expect((await take(other, 296)).toSorted((a, b) => a - b)).toEqual(numbers(4, 300))
    await t.settle()
    expect(t.broker.sessions.get('c')!.queuedMessages).toBe(0)
  })
})
