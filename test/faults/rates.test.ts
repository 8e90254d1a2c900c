import { createConnection } from 'node:net'
import { once } from 'node:events'
import { describe, expect, onTestFinished, test } from 'vitest'

import type { BrokerOptions } from '../../src/index.ts'
import { memoryPair } from '../../src/net/memory.ts'
import { RawClient } from '../support/raw-client.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect, pingreq, publish, subscribe, unsubscribe } from '../support/wire.ts'

/** What an observer has seen of the messages of a topic. */
function seen(t: ReturnType<typeof startBroker>, topic: string): string[] {
  const payloads: string[] = []
  t.broker.messages(topic).subscribe(({ payload }) => payloads.push(Buffer.from(payload).toString()))
  return payloads
}

const message = (text: string): Buffer => publish({ topic: 't', payload: text })

describe('maxBytesPerSecond', () => {
  test('what is above is read later, in its order, and nothing is lost', async () => {
    const t = startBroker({ limits: { maxBytesPerSecond: 1_000, burstBytes: 2_000 } })
    const payloads = seen(t, 't')
    const client = await t.connect({ clientId: 'a' })
    const big = (name: string): string => name.padEnd(1_000 - 7, '.')
    client.send(message(big('1')), message(big('2')))
    await t.settle()
    expect(payloads).toHaveLength(2)
    // The burst is used up: this one is a second's worth, and what is behind it waits for that.
    client.send(message(big('3')))
    client.send(message('4'), pingreq())
    await t.settle()
    expect(payloads).toHaveLength(2)
    await t.advance(900)
    expect(payloads).toHaveLength(2)
    await t.advance(200)
    expect(payloads.map((text) => text[0])).toEqual(['1', '2', '3', '4'])
    await client.expectPacket('pingresp', {})
  })

  test('pings count as well', async () => {
    const t = startBroker({ limits: { maxBytesPerSecond: 10, burstBytes: 10 } })
    const client = await t.connect({ clientId: 'a' })
    client.send(...Array.from({ length: 10 }, () => pingreq()))
    await t.settle()
    await t.advance(999)
    client.send(pingreq())
    await t.advance(1)
    for (let count = 0; count < 10; count += 1) await client.expectPacket('pingresp', {})
    await t.advance(1_000)
    await client.expectPacket('pingresp', {})
  })

  test('the silence of a client that is not read is not its own', async () => {
    const t = startBroker({ limits: { maxBytesPerSecond: 10, burstBytes: 10 } })
    const client = await t.connect({ clientId: 'a', keepAlive: 2 })
    // Worth 20 seconds, ten times what the client may be silent.
    client.send(message('x'.repeat(200)))
    await t.settle()
    for (let second = 0; second < 20; second += 1) await t.advance(1_000)
    expect(t.state('a')).toBe('online')
    for (let second = 0; second < 5; second += 1) await t.advance(1_000)
    await client.expectDisconnect(0x8d)
  })

  test('a client that leaves while it is not read is gone when it is read again, and what it had sent is done', async () => {
    const t = startBroker({ limits: { maxBytesPerSecond: 10, burstBytes: 10 } })
    const payloads = seen(t, 't')
    const client = await t.connect({ clientId: 'a' })
    client.send(message('x'.repeat(200)))
    await t.settle()
    client.send(message('last'))
    client.drop()
    await t.advance(25_000)
    expect(t.state('a')).toBeUndefined()
    expect(payloads).toEqual(['x'.repeat(200), 'last'])
  })

  test('a takeover begins with a rate of its own', async () => {
    const t = startBroker({ limits: { maxBytesPerSecond: 10, burstBytes: 100 } })
    const kept = { clientId: 'a', cleanStart: false, properties: { sessionExpiryInterval: 100 } } as const
    const first = await t.connect(kept)
    first.send(message('x'.repeat(500)))
    await t.settle()
    const second = await t.connect(kept)
    await second.expectNothing()
  })

  test('over a real socket the client is slowed down by TCP: the broker does not take what it does not read', async () => {
    const t = startBroker({ limits: { maxBytesPerSecond: 1_000, burstBytes: 1_000 } } satisfies BrokerOptions)
    const { port } = await t.listen({ transport: 'tcp', port: 0 })
    const socket = createConnection(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.write(connect({ clientId: 'a' }))
    await once(socket, 'data')
    const mebibyte = publish({ topic: 't', payload: 'x'.repeat(1_000_000) })
    let writes = 0
    while (socket.write(mebibyte) || socket.writableLength < 30_000_000) writes += 1
    await t.settle(200)
    // What the system's buffers hold is not more than a few megabytes on each side.
    expect(socket.writableLength).toBeGreaterThan(15_000_000)
    expect(writes).toBeGreaterThan(25)
    expect(t.state('a')).toBe('online')
  })
})

describe('maxSubscribesPerSecond', () => {
  test('counts filters, of SUBSCRIBE and UNSUBSCRIBE; what is above is read later', async () => {
    const t = startBroker({ limits: { maxSubscribesPerSecond: 1, subscribeBurst: 3 } })
    const client = await t.connect({ clientId: 'a' })
    client.send(subscribe({ packetId: 1, filters: ['a', 'b'] }))
    await client.expectPacket('suback', { packetId: 1 })
    client.send(unsubscribe({ packetId: 2, filters: ['a'] }))
    await client.expectPacket('unsuback', { packetId: 2 })
    // The burst is used up: this is done and paid for, and what is behind it waits.
    client.send(subscribe({ packetId: 3, filters: ['c', 'd'] }), pingreq())
    await client.expectPacket('suback', { packetId: 3 })
    client.send(subscribe({ packetId: 4, filters: ['e'] }))
    await t.advance(1_999)
    expect(t.broker.sessions.get('a')?.subscriptions).toHaveLength(3)
    await t.advance(1)
    await client.expectPacket('pingresp', {})
    await client.expectPacket('suback', { packetId: 4 })
  })
})

describe('maxConnectsPerAddressPerSecond', () => {
  test('one address gets 0x9F, others and those without an address do not; it has its turn again later', async () => {
    const t = startBroker({ limits: { maxConnectsPerAddressPerSecond: 2 } })
    const from = async (remoteAddress: string | undefined, reasonCode: number): Promise<void> => {
      const [client, server] = memoryPair()
      t.broker.attach(server, { remoteAddress })
      const raw = new RawClient(client)
      raw.send(connect({ clientId: '' }))
      if (reasonCode === 0) await raw.expectPacket('connack', { reasonCode })
      else await raw.expectRefused(reasonCode)
    }
    await from('203.0.113.7', 0)
    await from('203.0.113.7', 0)
    await from('203.0.113.7', 0x9f)
    await from('203.0.113.8', 0)
    for (let count = 0; count < 4; count += 1) await from(undefined, 0)
    await t.advance(499)
    await from('203.0.113.7', 0x9f)
    await t.advance(501)
    await from('203.0.113.7', 0)
    await from('203.0.113.7', 0)
    await from('203.0.113.7', 0x9f)
  })

  test('what one address is refused is nobody else’s turn', async () => {
    const t = startBroker({ limits: { maxConnectsPerAddressPerSecond: 1, maxConnectsPerSecond: 3 } })
    const from = async (remoteAddress: string): Promise<number> => {
      const [client, server] = memoryPair()
      t.broker.attach(server, { remoteAddress })
      const raw = new RawClient(client)
      raw.send(connect({ clientId: '' }))
      return (await raw.expectPacket('connack', {})).reasonCode
    }
    const codes: number[] = []
    for (const address of ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'])
      codes.push(await from(address))
    expect(codes).toEqual([0, 0x9f, 0x9f, 0x9f, 0, 0, 0x9f])
  })
})
