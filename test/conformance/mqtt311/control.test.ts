/** MQTT 3.1.1 sections 3.1.2.10, 3.12 to 3.14, 4.2 and 4.8: PINGREQ, keep alive, DISCONNECT, networks, errors. */
import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { describe, expect, test } from 'vitest'

import { RawClient } from '../../support/raw-client.ts'
import { connect4, publish4, startBroker4, subscribe4, unsubscribe4 } from '../../support/mqtt3.ts'
import { disconnect, hex, pingreq, puback, publish } from '../../support/wire.ts'

describe('PINGREQ', () => {
  test('MQTT-3.12.4-1 every one is answered', async () => {
    const t = startBroker4()
    const client = await t.connect()
    client.send(pingreq(), pingreq(), pingreq())
    for (let count = 0; count < 3; count += 1) await client.expectBytes('d0 00')
  })
})

describe('keep alive', () => {
  test('MQTT-3.1.2-24 silence of one and a half times the keep alive ends the connection, and not before', async () => {
    const t = startBroker4()
    const client = await t.connect({ clientId: 'a', keepAlive: 10 })
    await t.advance(14_999)
    expect(t.state('a')).toBe('online')
    expect(client.closed).toBe(false)
    // Looked for twice a second.
    await t.advance(1_001)
    await client.expectClosed()
    expect(t.state('a')).toBeUndefined()
  })

  test('MQTT-3.1.2-24 every packet counts as a sign of life', async () => {
    const t = startBroker4()
    const client = await t.connect({ clientId: 'a', keepAlive: 10 })
    for (const bytes of [
      pingreq(),
      publish4({ topic: 't' }),
      subscribe4({ filters: ['x'] }),
      unsubscribe4({ filters: ['x'] }),
      puback(9),
    ]) {
      await t.advance(14_000)
      client.send(bytes)
      await t.settle()
    }
    expect(
      [await client.next(), await client.next(), await client.next()].map((packet) =>
        packet === 'closed' ? packet : packet.type,
      ),
    ).toEqual(['pingresp', 'suback', 'unsuback'])
    // What the broker sends does not count.
    await client.subscribe(['t'])
    for (let count = 0; count < 4; count += 1) {
      await t.advance(4_000)
      await t.broker.publish({ topic: 't' })
    }
    for (let count = 0; count < 3; count += 1) await client.expectPublish({ topic: 't' })
    await client.expectClosed()
  })

  test('MQTT-3.1.2-24 a keep alive of 0 is none', async () => {
    const t = startBroker4()
    const client = await t.connect({ clientId: 'a', keepAlive: 0 })
    await t.advance(30 * 86_400_000)
    await client.expectNothing()
  })
})

describe('DISCONNECT', () => {
  test('MQTT-3.14.1-1 with flags it closes the connection and is no DISCONNECT', async () => {
    const t = startBroker4()
    const watcher = await t.connect()
    await watcher.subscribe(['w'])
    const client = await t.connect({ will: { topic: 'w', payload: 'gone' } })
    client.send('e1 00')
    await client.expectClosed()
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
  })

  test('MQTT-3.14.4-3 it discards the will, and the broker closes the connection', async () => {
    const t = startBroker4()
    const watcher = await t.connect()
    await watcher.subscribe(['w'])
    const client = await t.connect({ will: { topic: 'w', payload: 'gone' } })
    client.send(disconnect())
    await client.expectClosed()
    await t.settle()
    await watcher.expectNothing()
  })

  test('what follows it is not read', async () => {
    const t = startBroker4()
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    const client = await t.connect()
    client.send(publish4({ topic: 'before' }), disconnect(), publish4({ topic: 'behind' }))
    await client.expectClosed()
    await watcher.expectPublish({ topic: 'before' })
    await t.settle()
    await watcher.expectNothing()
  })

  test('none is ever sent by the broker: it has none before MQTT 5', async () => {
    const t = startBroker4()
    const client = await t.connect({ clientId: 'a' })
    t.broker.sessions.get('a')?.disconnect()
    await client.expectClosed()
    const other = await t.connect({ clientId: 'b' })
    await t.close()
    await other.expectClosed()
  })
})

describe('networks', () => {
  test('MQTT-7.1.1-1 TCP carries the protocol, however it cuts the bytes', async () => {
    const t = startBroker4()
    const { port } = await t.listen({ transport: 'tcp', port: 0 })
    const socket = connectSocket({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    const client = new RawClient(socket, { version: 4 })
    for (const byte of connect4({ clientId: 'a' })) client.send(Buffer.from([byte]))
    await client.expectBytes('20 02 00 00')
    await client.subscribe(['t'])
    const payload = 'x'.repeat(200_000)
    const bytes = Buffer.concat([publish4({ topic: 't', payload }), publish4({ topic: 't', payload: 'y' }), pingreq()])
    for (let offset = 0; offset < bytes.length; offset += 33_333) client.send(bytes.subarray(offset, offset + 33_333))
    await client.expectPublish({ topic: 't', payload })
    await client.expectPublish({ topic: 't', payload: 'y' })
    await client.expectBytes('d0 00')
    client.drop()
  })
})

describe('errors', () => {
  test('MQTT-4.8.0-1 a violation closes this connection only, and what came before it counts', async () => {
    const t = startBroker4()
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    const client = await t.connect()
    client.send(publish4({ topic: 'before' }), hex('c1 00'), publish4({ topic: 'behind' }))
    await client.expectClosed()
    await watcher.expectPublish({ topic: 'before' })
    await t.settle()
    await watcher.expectNothing()
  })

  test('MQTT-4.8.0-1 a PUBLISH in the form of MQTT 5 is another message, not a fault; an AUTH is a fault', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['t'])
    client.send(publish({ topic: 't', payload: 'x' }))
    // The empty property section is the first byte of the payload here.
    await client.expectPublish({ topic: 't', payload: '\0x' })
    client.send(hex('f0 00'))
    await client.expectClosed()
  })

  test('MQTT-4.8.0-1 a packet above the size that is allowed closes the connection', async () => {
    const t = startBroker4({ limits: { maxPacketBytes: 1000 } })
    const client = await t.connect({ clientId: 'a' })
    client.send(publish4({ topic: 't', payload: 'x'.repeat(997) }).subarray(0, 5))
    await client.expectClosed()
    expect(t.state('a')).toBeUndefined()
  })
})
