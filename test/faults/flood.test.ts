import { once } from 'node:events'
import type { Socket } from 'node:net'

import { describe, expect, test } from 'vitest'

import { startChild, type ChildBroker } from '../support/child-broker.ts'
import { RawClient } from '../support/raw-client.ts'
import { connect, frameWithLength, hex, publish, subscribe, varint } from '../support/wire.ts'

const patient = { timeoutMs: 20_000 }

async function client(child: ChildBroker, clientId: string): Promise<RawClient> {
  const raw = new RawClient(await child.socket(), patient)
  await raw.connect({ clientId })
  return raw
}

function inParallel<T>(count: number, one: (number: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, number) => one(number)))
}

/** Everything that comes, counted; a socket that is not read is not one of these. */
function countBytes(socket: Socket): { bytes: number; closed: boolean } {
  const seen = { bytes: 0, closed: false }
  socket.on('data', (chunk: Buffer) => (seen.bytes += chunk.length))
  socket.once('close', () => (seen.closed = true))
  return seen
}

async function until(condition: () => boolean | Promise<boolean>, child: ChildBroker): Promise<void> {
  while (!(await condition())) await child.sessions()
}

describe('packets that are declared and not sent', () => {
  test('threat 34: a thousand strangers that declare 256 MB or hold 64 KiB back cost what they sent, at most', async () => {
    const child = await startChild({ limits: { maxConnectsPerSecond: Infinity } })
    await child.ask('begin')
    const declared = await inParallel(500, async () => {
      const socket = await child.socket()
      const seen = countBytes(socket)
      socket.write(Buffer.concat([hex('10 ff ff ff 7f'), Buffer.alloc(200_000)]))
      if (!seen.closed) await once(socket, 'close')
      return seen.bytes
    })
    expect(declared).toEqual(declared.map(() => 0))
    const held = Buffer.concat([frameWithLength(0x10, varint(65_536 - 4)), Buffer.alloc(65_000)])
    await inParallel(500, async () => {
      const socket = await child.socket()
      await new Promise((resolve) => socket.write(held, resolve))
    })
    await (await client(child, 'welcome')).expectNothing()
    // 500 times 64 KiB are 33 MB; buffers that double and sockets come on top.
    await child.expectWithin({ megabytes: 150, blockMs: 300 })
  })

  test('threat 35: clients that declare the largest packet and send a byte of it cost a byte', async () => {
    const child = await startChild({ limits: { maxConnectsPerSecond: Infinity } })
    const clients = await inParallel(500, (n) => client(child, `c${n}`))
    await child.ask('begin')
    for (const each of clients)
      each.stream.write(Buffer.concat([frameWithLength(0x30, varint(1_048_000)), hex('00 01 74 00 78')]))
    await (await client(child, 'welcome')).expectNothing()
    await child.expectWithin({ megabytes: 150, blockMs: 300 })
  })
})

test(
  'threat 45: twenty subscribers that never read keep their share, the one that reads gets everything',
  { timeout: 60_000 },
  async () => {
    const limits = { maxQueuedBytes: 2_000_000, maxConnectsPerSecond: Infinity }
    const child = await startChild({ limits })
    for (let n = 0; n < 20; n += 1) {
      const socket = await child.socket()
      socket.pause()
      socket.write(Buffer.concat([connect({ clientId: `deaf${n}` }), subscribe({ filters: [['t', { qos: n % 3 }]] })]))
    }
    const listening = await client(child, 'listening')
    await listening.subscribe([['t', { qos: 0 }]])
    const publisher = await client(child, 'publisher')
    await child.ask('begin')
    const [messages, window] = [10_000, 100]
    const payload = 'x'.repeat(2_000)
    for (let sent = 0; sent < messages; sent += window) {
      for (let n = 0; n < window; n += 1)
        publisher.send(publish({ topic: 't', payload: `${sent + n} ${payload}`, qos: 1, packetId: n + 1 }))
      for (let n = 0; n < window; n += 1) await publisher.expectPacket('puback', { packetId: n + 1, reasonCode: 0 })
      for (let n = 0; n < window; n += 1)
        await listening.expectPublish({ topic: 't', payload: `${sent + n} ${payload}` })
    }
    // 20 MB were sent to each; of the deaf ones' 400 MB no more than 20 times the cap is kept.
    await child.expectWithin({ megabytes: 150, blockMs: 300 })
  },
)

test(
  'threat 49: two that publish to five hundred without a pause: all of it arrives, the loop comes round',
  { timeout: 60_000 },
  async () => {
    const child = await startChild({ limits: { maxConnectsPerSecond: Infinity } })
    const [subscribers, messages] = [500, 300]
    const seen = await inParallel(subscribers, async (n) => {
      const socket = await child.socket()
      socket.write(Buffer.concat([connect({ clientId: `s${n}` }), subscribe({ filters: [n % 2 ? '#' : '+/+'] })]))
      const [answers] = (await once(socket, 'data')) as [Buffer]
      const counted = countBytes(socket)
      counted.bytes = answers.length
      return counted
    })
    const publishers = await inParallel(2, (n) => client(child, `p${n}`))
    await until(() => seen.every(({ bytes }) => bytes >= 16 + 6), child)
    const before = seen.map(({ bytes }) => bytes)
    await child.ask('begin')
    const one = publish({ topic: 'a/b', payload: '0123456789' })
    for (const each of publishers) each.stream.write(Buffer.concat(Array.from({ length: messages }, () => one)))
    const expected = 2 * messages * one.length
    await until(() => seen.every(({ bytes }, n) => bytes - before[n]! >= expected), child)
    expect(seen.map(({ bytes }, n) => bytes - before[n]!)).toEqual(seen.map(() => expected))
    // 300,000 deliveries: thirty turns' worth.
    await child.expectWithin({ megabytes: 150, blockMs: 300 })
  },
)

test(
  'threat 50: a flood of retained messages stops at the cap, its replay comes in pages',
  { timeout: 60_000 },
  async () => {
    const [cap, flood] = [50_000, 60_000]
    const child = await startChild({ limits: { maxRetainedMessages: cap } })
    const publisher = await client(child, 'p')
    await child.ask('begin')
    for (let sent = 0; sent < flood; sent += 1000) {
      const batch = Array.from({ length: 1000 }, (_, n) =>
        publish({ topic: `flood/${sent + n}`, payload: 'x'.repeat(50), retain: true }),
      )
      publisher.send(...batch)
      await publisher.expectNothing()
    }
    await child.expectWithin({ megabytes: 150, blockMs: 300 })

    const reader = await client(child, 'reader')
    await child.ask('begin')
    reader.send(subscribe({ filters: ['#'] }))
    await reader.expectPacket('suback')
    for (let n = 0; n < cap; n += 1) {
      const packet = await reader.next()
      if (packet === 'closed' || packet.type !== 'publish') throw new Error(`message ${n} of ${cap} was due`)
    }
    await reader.expectNothing()
    await child.expectWithin({ megabytes: 150, blockMs: 300 })
  },
)

test('threat 51: a thousand wills at once go out one after the other', { timeout: 60_000 }, async () => {
  const count = 1000
  const child = await startChild({ limits: { maxConnectsPerSecond: Infinity, maxWillsPerSecond: 500 } })
  const witness = await client(child, 'witness')
  await witness.subscribe(['wills/#'])
  const crowd = await inParallel(count, async (n) => {
    const raw = new RawClient(await child.socket(), patient)
    await raw.connect({ clientId: `c${n}`, will: { topic: `wills/${n}` } })
    return raw
  })
  await child.ask('begin')
  const from = performance.now()
  for (const each of crowd) each.drop()
  const topics = new Set<string>()
  while (topics.size < count) topics.add((await witness.expectPacket('publish')).topic)
  // The first half second's worth at once, the other half over one more second.
  expect(performance.now() - from).toBeGreaterThan(900)
  // A thousand closes are one turn of the system's loop, which nobody can cut.
  const { cpuMs } = await child.expectWithin({ megabytes: 150, blockMs: 600 })
  expect(cpuMs).toBeLessThan(4000)
})

test(
  'threat 52, 53: a flood of sessions for ever: admitted up to the quota, refused beyond, at a constant cost',
  { timeout: 60_000 },
  async () => {
    const child = await startChild({ limits: { maxOfflineSessions: 500, maxConnectsPerSecond: Infinity } })
    await child.ask('begin')
    const codes = new Map<number, number>()
    for (let wave = 0; wave < 8; wave += 1) {
      await inParallel(250, async (n) => {
        const raw = new RawClient(await child.socket(), patient)
        raw.send(
          connect({
            clientId: `f${wave * 250 + n}`,
            cleanStart: false,
            properties: { sessionExpiryInterval: 0xffffffff },
          }),
        )
        const { reasonCode } = await raw.expectPacket('connack')
        codes.set(reasonCode, (codes.get(reasonCode) ?? 0) + 1)
        raw.drop()
      })
    }
    // Whoever is connected while the quota fills up still gets its place: 250 at once is a wave.
    expect(new Set(codes.keys())).toEqual(new Set([0x00, 0x97]))
    expect(codes.get(0)).toBeLessThanOrEqual(500 + 250)
    expect(await child.sessions()).toBeLessThanOrEqual(500 + 250)
    await (await client(child, 'short')).expectNothing()
    await child.expectWithin({ megabytes: 150, blockMs: 300 })
  },
)

test(
  'threat 53: two thousand that come back at once: so many a second, the others 0x9F or 0x89, the loop comes round',
  { timeout: 60_000 },
  async () => {
    const child = await startChild({ limits: { maxConnectsPerSecond: 500, maxConnections: 700 } })
    const steady = await client(child, 'steady')
    await child.ask('begin')
    const codes = await inParallel(2000, async (n) => {
      const raw = new RawClient(await child.socket(), patient)
      raw.send(connect({ clientId: `r${n}` }))
      const packet = await raw.next()
      return packet === 'closed' ? 'closed' : packet.type === 'connack' ? packet.reasonCode : packet.type
    })
    await steady.expectNothing()
    expect([...new Set(codes)].filter((code) => ![0x00, 0x9f, 0x89, 'closed'].includes(code))).toEqual([])
    expect(codes.filter((code) => code === 0).length).toBeGreaterThanOrEqual(499)
    expect(codes.filter((code) => code === 0).length).toBeLessThanOrEqual(700)
    await child.expectWithin({ megabytes: 150, blockMs: 300 })
  },
)

test('threat 54: a takeover storm: one owner in the end, everybody else was told', { timeout: 60_000 }, async () => {
  const child = await startChild({ limits: { maxConnectsPerSecond: Infinity } })
  await child.ask('begin')
  const raws = await inParallel(1000, async () => {
    const raw = new RawClient(await child.socket(), patient)
    raw.send(connect({ clientId: 'wanted', cleanStart: false, properties: { sessionExpiryInterval: 60 } }))
    return raw
  })
  const ends = await Promise.all(
    raws.map(async (raw) => {
      const packet = await raw.next()
      if (packet === 'closed' || packet.type !== 'connack') return 'wrong'
      if (packet.reasonCode !== 0) return packet.reasonCode
      // Either it is told that it was taken over, or it is the owner.
      await new Promise((resolve) => setImmediate(resolve))
      return 'in'
    }),
  )
  await child.sessions()
  expect(new Set(ends)).toEqual(new Set([0x9f, 'in']))
  expect([ends.filter((end) => end === 'in').length, await child.sessions()]).toEqual([11, 1])
  let owners = 0
  for (const [n, raw] of raws.entries()) {
    if (ends[n] !== 'in') continue
    if (raw.waitingPackets > 0 || raw.closed) await raw.expectDisconnect(0x8e)
    else owners += 1
  }
  expect(owners).toBe(1)
  await child.expectWithin({ megabytes: 150, blockMs: 300 })
})

test(
  'threat 59: out of file descriptors: who is there is served, who comes later is too',
  { timeout: 60_000 },
  async () => {
    const child = await startChild(
      { limits: { maxConnections: Infinity, maxConnectsPerSecond: Infinity, connectTimeoutMs: 60_000 } },
      { maxFiles: 64 },
    )
    const steady = await client(child, 'steady')
    await child.ask('begin')
    const crowd = await inParallel(300, () => child.socket())
    // The process is at its limit, and works.
    for (let round = 0; round < 20; round += 1) await steady.publish({ topic: 't', qos: 1 })
    expect(await child.sessions()).toBe(1)
    for (const socket of crowd) socket.destroy()
    await until(async () => {
      const raw = new RawClient(await child.socket(), patient)
      raw.send(connect({ clientId: 'later' }))
      const packet = await raw.next()
      return packet !== 'closed' && packet.type === 'connack' && packet.reasonCode === 0
    }, child)
    await steady.expectNothing()
    await child.expectWithin({ megabytes: 150, blockMs: 300 })
  },
)
