import type { Duplex } from 'node:stream'

import { describe, expect, test } from 'vitest'

import { defaultLimits, type BrokerEvent } from '../../src/index.ts'
import { memoryPair } from '../../src/net/memory.ts'
import { RawClient } from '../support/raw-client.ts'
import { startBroker, type TestBroker } from '../support/test-broker.ts'
import {
  connect,
  disconnect,
  pingreq,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  unsubscribe,
} from '../support/wire.ts'

/** A client whose broker-side stream the test looks into. */
function attachBoth({ broker }: TestBroker): { client: RawClient; server: Duplex } {
  const [mine, server] = memoryPair()
  broker.attach(server)
  return { client: new RawClient(mine), server }
}

function eventsOf<Type extends BrokerEvent['type']>(
  { broker }: TestBroker,
  type: Type,
): Extract<BrokerEvent, { type: Type }>[] {
  const events: Extract<BrokerEvent, { type: Type }>[] = []
  broker.events$.subscribe((event) => {
    if (event.type === type) events.push(event as Extract<BrokerEvent, { type: Type }>)
  })
  return events
}

const persistent = { cleanStart: false, properties: { sessionExpiryInterval: 3600 } } as const

describe('threat 44: the time until CONNACK is absolute', () => {
  test('threat 44: CONNECT at one byte a second is cut at five seconds, not later and not before', async () => {
    const running = startBroker()
    const client = running.attach()
    const bytes = connect({ clientId: 'slow' })
    for (let at = 0; at < 4; at += 1) {
      client.send(bytes.subarray(at, at + 1))
      await running.advance(1000)
    }
    client.send(bytes.subarray(4, 5))
    await running.advance(999)
    expect(client.closed).toBe(false)
    await running.advance(1)
    await client.expectClosed()
    expect(running.broker.sessions.size).toBe(0)
  })

  test('threat 44: rounds of an authentication do not begin it anew', async () => {
    const running = startBroker({
      authenticators: [{ name: 'endless', methods: ['m'], authenticate: () => ({ type: 'challenge' }) }],
    })
    const client = running.first(connect({ clientId: 'c', properties: { authenticationMethod: 'm' } }))
    for (let round = 0; round < 4; round += 1) {
      await client.expectPacket('auth', { reasonCode: 0x18 })
      await running.advance(1200)
      client.send('f0 06 18 04 15 00 01 6d')
    }
    await client.expectPacket('auth', { reasonCode: 0x18 })
    await running.advance(200)
    await client.expectRefused(0x87)
  })
})

describe('threat 45: a client that does not read', () => {
  const limits = { maxQueuedBytes: 100_000, maxQueuedMessages: 1000, maxSocketBufferBytes: 70_000 }
  const payload = 'x'.repeat(1000)

  test.each([0, 1, 2])('threat 45: its outbox is capped in bytes, its peers get everything (QoS %i)', async (qos) => {
    const running = startBroker({ limits: { ...limits, maxInflightMessages: 50 } })
    const { client: slow, server } = attachBoth(running)
    await slow.connect({ clientId: 'slow' })
    await slow.subscribe([['t', { qos }]])
    slow.stream.pause()
    const peer = await running.connect({ clientId: 'peer' })
    await peer.subscribe(['t'])
    const publisher = await running.connect({ clientId: 'publisher' })
    let worst = { queued: 0, buffered: 0 }
    for (let count = 0; count < 1000; count += 1) {
      await publisher.publish({ topic: 't', payload: `${count} ${payload}`, qos })
      await peer.expectPublish({ topic: 't', payload: `${count} ${payload}` })
      const { queuedBytes } = running.broker.sessions.get('slow')!
      worst = { queued: Math.max(worst.queued, queuedBytes), buffered: Math.max(worst.buffered, server.writableLength) }
    }
    expect(worst.queued).toBeLessThanOrEqual(limits.maxQueuedBytes)
    expect(worst.queued).toBeGreaterThan(limits.maxQueuedBytes / 2)
    expect(worst.buffered).toBeLessThanOrEqual(limits.maxSocketBufferBytes + 65_536)
    expect(running.state('slow')).toBe('online')

    // What it gets in the end is in order, and the newest is there.
    slow.stream.resume()
    const numbers: number[] = []
    while (numbers.at(-1) !== 999) {
      const packet = await slow.next()
      if (packet === 'closed') break
      if (packet.type === 'pubrel') slow.send(pubcomp(packet.packetId))
      if (packet.type !== 'publish') continue
      numbers.push(Number.parseInt(packet.payload, 10))
      if (qos > 0) slow.send(qos === 1 ? puback(packet.packetId) : pubrec(packet.packetId))
    }
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    expect(numbers.length).toBeGreaterThan(80)
  })

  test.each([
    ['PINGREQ', pingreq()],
    ['SUBSCRIBE', subscribe({ packetId: 1, filters: ['a', 'b', 'c', 'd'] })],
    ['UNSUBSCRIBE', unsubscribe({ packetId: 1, filters: ['a', 'b', 'c', 'd'] })],
    ['PUBLISH of QoS 1', publish({ topic: 'nobody', qos: 1, packetId: 1 })],
    ['PUBREL', pubrel(9)],
    ['PUBREC', pubrec(9)],
  ])('threat 45: one that floods %s without reading its answers is no longer read', async (_name, request) => {
    const running = startBroker({ limits })
    const { client: flooding, server } = attachBoth(running)
    await flooding.connect({ clientId: 'flooding' })
    flooding.stream.pause()
    const count = Math.ceil(4_000_000 / request.length)
    const chunk = Buffer.concat(Array.from({ length: 1000 }, () => request))
    for (let sent = 0; sent < count; sent += 1000) flooding.stream.write(chunk)
    await running.settle(500)
    // It has stopped: what the answers would need is not there, and most requests are where they were.
    expect(server.writableLength).toBeLessThanOrEqual(limits.maxSocketBufferBytes + 65_536)
    expect(flooding.stream.writableLength).toBeGreaterThan(3_000_000)
    const other = await running.connect({ clientId: 'other' })
    await other.expectNothing()
    // As soon as it reads, it is served to the end.
    let answered = 0
    flooding.stream.on('data', (bytes: Buffer) => (answered += bytes.length))
    flooding.stream.resume()
    const requests = Math.ceil(count / 1000) * 1000
    for (let round = 0; round < 5000 && answered < requests * 2; round += 1) await running.settle(10)
    await running.settle()
    expect([flooding.stream.writableLength, answered % requests, answered / requests >= 2]).toEqual([0, 0, true])
  })
})

describe('threat 46: half-open connections', () => {
  test('threat 46: silence of 1.5 times the keepalive: DISCONNECT 0x8D and the will, never before', async () => {
    const running = startBroker()
    const witness = await running.connect({ clientId: 'witness' })
    await witness.subscribe(['gone'])
    const silent = await running.connect({
      clientId: 'silent',
      keepAlive: 10,
      will: { topic: 'gone', payload: 'silent' },
    })
    await running.advance(14_999)
    expect([silent.closed, running.state('silent')]).toEqual([false, 'online'])
    await running.advance(1_001)
    await silent.expectDisconnect(0x8d)
    await witness.expectPublish({ topic: 'gone', payload: 'silent' })
    expect(running.state('silent')).toBe(undefined)
  })

  test('threat 46: bytes of a packet that never ends are no sign of life', async () => {
    const running = startBroker()
    const client = await running.connect({ clientId: 'drip', keepAlive: 10 })
    client.send(publish({ topic: 't', payload: 'x'.repeat(1000) }).subarray(0, 100))
    for (let second = 0; second < 16; second += 1) {
      client.send('61')
      await running.advance(1000)
    }
    await client.expectDisconnect(0x8d)
  })

  test('threat 46: a client that is waiting for our decision is not silent', async () => {
    const running = startBroker({
      limits: { decisionTimeoutMs: 60_000 },
      hooks: { onPublish: () => new Promise(() => {}) },
    })
    const client = await running.connect({ clientId: 'waiting', keepAlive: 1 })
    client.send(publish({ topic: 't', qos: 1, packetId: 1 }))
    await running.advance(59_000)
    expect(running.state('waiting')).toBe('online')
    await running.advance(1_000)
    await client.expectPacket('puback', { reasonCode: 0x87 })
    await running.advance(2_500)
    await client.expectDisconnect(0x8d)
  })
})

describe('threat 47: the keepalive that is granted', () => {
  test.each([
    [0, 0, undefined, Infinity],
    [0, 60, 60, 90],
    [65_535, 60, 60, 90],
    [30, 60, undefined, 45],
    [65_535, 0, undefined, 98_302.5],
  ])('threat 47: asked %i, at most %i: told %s, lost after %d s', async (asked, maximum, told, lostAfterSeconds) => {
    const running = startBroker({ limits: { maxKeepAliveSeconds: maximum } })
    const client = await running.connect({ clientId: 'c', keepAlive: asked })
    expect(client.connack?.properties.serverKeepAlive).toBe(told)
    await running.advance(Math.min(lostAfterSeconds, 200_000) * 1000 - 1)
    expect(running.state('c')).toBe('online')
    if (lostAfterSeconds === Infinity) return
    await running.advance(1001)
    await client.expectDisconnect(0x8d)
  })
})

test('threat 48: one subscription more than allowed is refused with 0x97, the others stay', async () => {
  const running = startBroker({ limits: { maxSubscriptionsPerSession: 3 } })
  const client = await running.connect({ clientId: 'c' })
  client.send(subscribe({ packetId: 1, filters: ['a', 'b', 'a', '$share/g/c', 'd', 'e'] }))
  await client.expectPacket('suback', { packetId: 1, reasonCodes: [0, 0, 0, 0, 0x97, 0x97] })
  // A filter that is there already may change, and one that goes makes room.
  client.send(subscribe({ packetId: 2, filters: [['b', { qos: 1 }]] }), unsubscribe({ packetId: 3, filters: ['a'] }))
  await client.expectPacket('suback', { packetId: 2, reasonCodes: [1] })
  await client.expectPacket('unsuback', { packetId: 3, reasonCodes: [0] })
  await client.subscribe(['d'])
  expect(running.broker.sessions.get('c')?.subscriptions).toEqual(['b', '$share/g/c', 'd'])
})

describe('threat 49: a publish to very many', () => {
  test('threat 49: no turn of the loop gives out more than its budget, whatever many publishers pipeline', async () => {
    const budget = 50
    let turnNumber = 0
    const perTurn = new Map<number, number>()
    const running = startBroker({
      limits: { maxDeliveriesPerTurn: budget },
      hooks: {
        onDeliver: () => {
          perTurn.set(turnNumber, (perTurn.get(turnNumber) ?? 0) + 1)
          return { type: 'next' }
        },
      },
    })
    const subscribers = await Promise.all(Array.from({ length: 20 }, (_, n) => running.connect({ clientId: `s${n}` })))
    for (const client of subscribers) await client.subscribe(['#'])
    const publisher = await running.connect({ clientId: 'p' })
    publisher.send(...Array.from({ length: 60 }, (_, n) => publish({ topic: 't', payload: `${n}` })))
    let counting = true
    const count = (): void => {
      turnNumber += 1
      if (counting) setImmediate(count)
    }
    setImmediate(count)
    await running.settle(300)
    counting = false
    const most = Math.max(...perTurn.values())
    // One message is not cut for it: a turn may end up to one fan-out above.
    expect([[...perTurn.values()].reduce((sum, n) => sum + n, 0), most <= budget + 20]).toEqual([1200, true])
    for (const client of subscribers) {
      for (let n = 0; n < 60; n += 1) await client.expectPublish({ topic: 't', payload: `${n}` })
    }
  })

  test('threat 49: order is kept over slices, and two publishers take turns', async () => {
    const running = startBroker({ limits: { maxDeliveriesPerTurn: 7 } })
    const subscribers = await Promise.all(Array.from({ length: 30 }, (_, n) => running.connect({ clientId: `s${n}` })))
    for (const [n, client] of subscribers.entries()) await client.subscribe([n % 2 ? '+' : '#'])
    const [a, b] = [await running.connect({ clientId: 'a' }), await running.connect({ clientId: 'b' })]
    for (const [name, client] of [
      ['a', a],
      ['b', b],
    ] as const) {
      client.send(
        ...Array.from({ length: 20 }, (_, n) =>
          publish({ topic: 't', payload: `${name}${n}`, qos: n % 3, packetId: n % 3 ? n + 1 : undefined! }),
        ),
      )
    }
    await running.settle(600)
    let first: string[] | undefined
    for (const client of subscribers) {
      const seen = await Promise.all(
        Array.from({ length: 40 }, async () => (await client.expectPacket('publish')).payload),
      )
      for (const name of ['a', 'b']) {
        expect(seen.filter((payload) => payload.startsWith(name))).toEqual(
          Array.from({ length: 20 }, (_, n) => `${name}${n}`),
        )
      }
      // Everybody sees the same order.
      expect(seen).toEqual((first ??= seen))
    }
    // Neither is more than a few messages ahead of the other.
    let ahead = 0
    let most = 0
    for (const payload of first!) {
      ahead += payload.startsWith('a') ? 1 : -1
      most = Math.max(most, Math.abs(ahead))
    }
    expect(most).toBeLessThanOrEqual(3)
  })
})

describe('threat 50: retained messages', () => {
  test('threat 50: the store is capped in messages and bytes; live subscribers still get what it does not take', async () => {
    const running = startBroker({ limits: { maxRetainedMessages: 10, maxRetainedBytes: 3000 } })
    const drops = eventsOf(running, 'message.dropped')
    const live = await running.connect({ clientId: 'live' })
    await live.subscribe(['#'])
    const publisher = await running.connect({ clientId: 'p' })
    for (let n = 0; n < 12; n += 1) await publisher.publish({ topic: `t/${n}`, retain: true, payload: 'x' })
    await publisher.publish({ topic: 't/0', retain: true, payload: 'y'.repeat(5000) })
    for (let n = 0; n < 13; n += 1) await live.expectPacket('publish')
    await running.settle()
    expect(drops.map(({ topic, reason }) => [topic, reason])).toEqual([
      ['t/10', 'retained-full'],
      ['t/11', 'retained-full'],
      ['t/0', 'retained-full'],
    ])
    const late = await running.connect({ clientId: 'late' })
    await late.subscribe(['#'])
    const topics = (await late.drain()).map((packet) => (packet.type === 'publish' ? packet.topic : packet.type))
    expect(topics.length).toBeLessThanOrEqual(10)
    // A new message for a topic that is there takes its place.
    await publisher.publish({ topic: 't/1', retain: true, payload: 'z' })
    const again = await running.connect({ clientId: 'again' })
    await again.subscribe(['t/1'])
    await again.expectPublish({ topic: 't/1', payload: 'z', retain: true })
  })

  test('threat 50: a huge replay comes page by page, all of it, and holds nobody up', async () => {
    const limits = {
      maxRetainedPerTurn: 100,
      maxQueuedMessages: 50,
      maxSocketBufferBytes: 10_000,
      maxConnectsPerSecond: Infinity,
    }
    const running = startBroker({ limits })
    const drops = eventsOf(running, 'message.dropped')
    const publisher = await running.connect({ clientId: 'p' })
    for (let n = 0; n < 5000; n += 1)
      publisher.send(publish({ topic: `t/${n}`, payload: 'x', retain: true, qos: 1, packetId: 1 + n }))
    for (let n = 0; n < 5000; n += 1) await publisher.expectPacket('puback', { packetId: 1 + n })

    const { client: slow, server } = attachBoth(running)
    await slow.connect({ clientId: 'slow' })
    slow.send(subscribe({ packetId: 1, filters: [['#', { qos: 1 }]] }))
    await slow.expectPacket('suback')
    const seen = new Set<string>()
    let worst = 0
    while (seen.size < 5000) {
      const { topic, packetId } = await slow.expectPacket('publish', { payload: 'x', retain: true, qos: 1 })
      seen.add(topic)
      slow.send(puback(packetId))
      worst = Math.max(worst, server.writableLength + running.broker.sessions.get('slow')!.queuedBytes)
      if (seen.size === 2000) await (await running.connect({ clientId: 'other' })).expectNothing()
    }
    await slow.expectNothing()
    expect([drops, worst < 100_000]).toEqual([[], true])
  })
})

test('threat 51: wills of a crowd that breaks off together are published at their rate, each once, in order', async () => {
  const running = startBroker({ limits: { maxWillsPerSecond: 10, maxConnectsPerSecond: Infinity } })
  const witness = await running.connect({ clientId: 'witness' })
  await witness.subscribe(['wills/#'])
  const crowd: RawClient[] = []
  for (let n = 0; n < 50; n += 1)
    crowd.push(await running.connect({ clientId: `c${n}`, will: { topic: `wills/${n}` } }))
  for (const client of crowd) client.drop()
  await running.settle()
  const seen: string[] = []
  const perSecond: number[] = []
  for (let second = 0; second < 6; second += 1) {
    const before = seen.length
    for (const packet of await witness.drain()) if (packet.type === 'publish') seen.push(packet.topic)
    perSecond.push(seen.length - before)
    await running.advance(1000)
  }
  expect(perSecond).toEqual([10, 10, 10, 10, 10, 0])
  expect(seen).toEqual(Array.from({ length: 50 }, (_, n) => `wills/${n}`))
})

describe('threat 52: sessions that are kept', () => {
  test('threat 52: one more than allowed gets 0x97, under whatever identifier it tries', async () => {
    const running = startBroker({ limits: { maxOfflineSessions: 3 } })
    for (const clientId of ['a', 'b', 'c']) (await running.connect({ clientId, ...persistent })).drop()
    await running.settle()
    await running.first(connect({ clientId: 'd', ...persistent })).expectRefused(0x97)
    // Coming first without a wish to stay does not help.
    const trick = await running.connect({ clientId: 'e' })
    await running.first(connect({ clientId: 'e', ...persistent })).expectRefused(0x97)
    await trick.expectNothing()
    // Who wants nothing kept is served, and so is who has a session already.
    await running.connect({ clientId: 'f' })
    const back = await running.connect({ clientId: 'a', ...persistent })
    expect(back.connack?.sessionPresent).toBe(true)
    const once = await running.connect({ clientId: 'a', ...persistent })
    expect(once.connack?.sessionPresent).toBe(true)
  })

  test('threat 52: a wave of clients that are online together are no more than that when all of them have left', async () => {
    const running = startBroker({ limits: { maxOfflineSessions: 3 } })
    const online = ['a', 'b', 'c'].map((clientId) => running.connect({ clientId, ...persistent }))
    const clients = await Promise.all(online)
    await running.first(connect({ clientId: 'd', ...persistent })).expectRefused(0x97)
    await running.connect({ clientId: 'e' })
    for (const client of clients) client.drop()
    await running.settle()
    expect([...running.broker.sessions.keys()].toSorted()).toEqual(['a', 'b', 'c', 'e'])
    // Who does not want its session kept any more makes room.
    const back = await running.connect({ clientId: 'a', ...persistent })
    back.send(disconnect(0, { sessionExpiryInterval: 0 }))
    await back.expectClosed()
    await running.connect({ clientId: 'd', ...persistent })
  })

  test('threat 52: the places of sessions that expire, end or fail are free again', async () => {
    const running = startBroker({ limits: { maxOfflineSessions: 2 } })
    const keep = async (clientId: string, seconds: number): Promise<RawClient> =>
      running.connect({ clientId, cleanStart: false, properties: { sessionExpiryInterval: seconds } })
    ;(await keep('short', 10)).drop()
    ;(await keep('long', 10_000)).drop()
    await running.advance(10_000)
    ;(await keep('next', 10_000)).drop()
    await running.settle()
    await running.first(connect({ clientId: 'x', ...persistent })).expectRefused(0x97)
    running.broker.sessions.get('long')!.expire()
    ;(await keep('x', 10_000)).drop()
    await running.settle()
    const clean = await running.connect({ clientId: 'x' })
    clean.send(disconnect())
    await clean.expectClosed()
    await keep('y', 10_000)
    expect([...running.broker.sessions.keys()].sort()).toEqual(['next', 'y'])
  })
})

describe('threat 53: admission', () => {
  test('threat 53: more connections a second than allowed get 0x9F, in the client’s own words', async () => {
    const running = startBroker({ limits: { maxConnectsPerSecond: 5 } })
    for (let n = 0; n < 5; n += 1) await running.connect({ clientId: `c${n}` })
    await running.first(connect({ clientId: 'v5' })).expectRefused(0x9f)
    const old = running.attach({ version: 4 })
    old.send(connect({ version: 4, clientId: 'v4' }))
    await old.expectBytes('20 02 00 03')
    await running.advance(1000)
    await running.connect({ clientId: 'later' })
  })

  test('threat 53: more connections than allowed get 0x89 until one leaves', async () => {
    const running = startBroker({ limits: { maxConnections: 2 } })
    const leaving = await running.connect({ clientId: 'a' })
    await running.connect({ clientId: 'b' })
    await running.first(connect({ clientId: 'c' })).expectRefused(0x89)
    leaving.drop()
    await running.settle()
    await running.connect({ clientId: 'c' })
  })

  test('threat 53: the work for one that comes back does not grow with how many do', async () => {
    const perConnection = async (count: number): Promise<number> => {
      const running = startBroker({ limits: { maxConnectsPerSecond: Infinity } })
      const counted = ['nowMs', 'setTimeout', 'clearTimeout'] as const
      let work = 0
      for (const name of counted) {
        const original = running.clock[name].bind(running.clock) as (...args: unknown[]) => unknown
        Object.assign(running.clock, {
          [name]: (...args: unknown[]) => {
            work += 1
            return original(...args)
          },
        })
      }
      const session = (n: number) => ({ clientId: `c${n}`, keepAlive: 60, ...persistent })
      const crowd = await Promise.all(Array.from({ length: count }, async (_, n) => running.connect(session(n))))
      for (const client of crowd) client.drop()
      await running.settle()
      work = 0
      await Promise.all(Array.from({ length: count }, async (_, n) => running.connect(session(n))))
      return work / count
    }
    const [few, many] = [await perConnection(100), await perConnection(2000)]
    expect(many).toBeLessThan(few * 1.2 + 1)
  })

  test('threat 53: who is refused costs nothing that stays', async () => {
    const running = startBroker({ limits: { maxConnectsPerSecond: 1 } })
    await running.connect({ clientId: 'kept' })
    for (let n = 0; n < 500; n += 1) await running.first(connect({ clientId: `c${n}` })).expectRefused(0x9f)
    await running.advance(2000)
    // One timer serves all deadlines.
    expect([running.broker.sessions.size, running.clock.pending <= 1]).toEqual([1, true])
  })
})

describe('threat 54: takeovers', () => {
  test('threat 54: two that fight over an identifier: one owner, 0x8E, and 0x9F from the eleventh on', async () => {
    const running = startBroker()
    let owner = await running.connect({ clientId: 'wanted', ...persistent })
    for (let count = 0; count < 10; count += 1) {
      const next = await running.connect({ clientId: 'wanted', ...persistent })
      await owner.expectDisconnect(0x8e)
      owner = next
    }
    for (let count = 0; count < 20; count += 1) {
      await running.first(connect({ clientId: 'wanted', ...persistent })).expectRefused(0x9f)
    }
    await owner.expectNothing()
    expect(running.broker.sessions.size).toBe(1)
    // Somebody else is not concerned, and after a while neither are they.
    await running.connect({ clientId: 'other' })
    await running.advance(10_001)
    await running.connect({ clientId: 'wanted', ...persistent })
    await owner.expectDisconnect(0x8e)
  })

  test('threat 54: many at once: one owner in the end, everybody else was told', async () => {
    const running = startBroker({ limits: { maxTakeoversPerTenSeconds: Infinity, maxConnectsPerSecond: Infinity } })
    const events = eventsOf(running, 'session.taken-over')
    const crowd = Array.from({ length: 200 }, (_, n) =>
      running.first(
        connect({ clientId: 'wanted', cleanStart: n % 3 === 0, properties: { sessionExpiryInterval: n % 2 ? 60 : 0 } }),
      ),
    )
    await running.settle(200)
    const open = crowd.filter((client) => !client.closed)
    expect([open.length, running.broker.sessions.size, events.length]).toEqual([1, 1, 199])
    for (const client of crowd) {
      await client.expectPacket('connack', { reasonCode: 0 })
      if (client !== open[0]) await client.expectDisconnect(0x8e)
    }
    await open[0]!.expectNothing()
    expect(running.clock.pending).toBeLessThanOrEqual(1)
  })
})

test('the limits that these tests rely on are the documented ones', () => {
  expect(defaultLimits).toMatchObject({
    connectTimeoutMs: 5000,
    maxQueuedBytes: 8_388_608,
    maxQueuedMessages: 1000,
    maxTakeoversPerTenSeconds: 10,
    maxSubscriptionsPerSession: 1000,
    maxPacketBytesBeforeConnect: 65_536,
  })
})
