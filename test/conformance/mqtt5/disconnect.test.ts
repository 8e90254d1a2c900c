/** MQTT 5 sections 3.12 to 3.14 and 4.13: PINGREQ, DISCONNECT, and how connections end. */
import { describe, expect, test } from 'vitest'

import type { Verdict } from '../../../src/hooks.ts'
import { startBroker } from '../../support/test-broker.ts'
import { connect, disconnect, frame, hex, pingreq, property, publish, subscribe } from '../../support/wire.ts'

describe('PINGREQ', () => {
  test('MQTT-3.12.4-1 each is answered by a PINGRESP', async () => {
    const t = startBroker()
    const client = await t.connect()
    client.send(pingreq(), pingreq(), pingreq())
    for (let count = 0; count < 3; count += 1) await client.expectBytes('d0 00')
  })

  test('with a body it is malformed', async () => {
    const t = startBroker()
    const client = await t.connect()
    client.send('c0 01 00')
    await client.expectDisconnect(0x81)
  })
})

describe('DISCONNECT from the client', () => {
  test('MQTT-3.14.4-1 MQTT-3.14.4-2 the broker sends nothing more, reads nothing more, and closes', async () => {
    const t = startBroker()
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    for (const bytes of [disconnect(), disconnect(0x00), disconnect(0x04), disconnect(0, { reasonString: 'bye' })]) {
      const client = await t.connect({ clientId: 'c' })
      await client.subscribe([['t', { qos: 1 }]])
      client.send(bytes, pingreq(), publish({ topic: 't', payload: 'late', qos: 1 }))
      await client.expectClosed()
    }
    await t.settle()
    await watcher.expectNothing()
  })

  test('MQTT-3.14.1-1 MQTT-2.1.3-1 flags other than zero are malformed', async () => {
    const t = startBroker()
    for (const bytes of ['e1 00', 'e2 00', 'e4 00', 'e8 00', 'ef 00']) {
      const client = await t.connect()
      client.send(bytes)
      await client.expectDisconnect(0x81)
    }
  })

  test.each([0x01, 0x18, 0x87, 0x8b, 0x8e, 0x9c, 0xff])(
    'MQTT-3.14.2-1 a reason code that clients do not have is a protocol error: %s',
    async (code) => {
      const t = startBroker()
      const client = await t.connect()
      client.send(disconnect(code))
      await client.expectDisconnect(0x82)
    },
  )

  test.each([0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99])(
    'MQTT-3.14.2-1 the codes of clients are taken: %s',
    async (code) => {
      const t = startBroker()
      const client = await t.connect()
      client.send(disconnect(code))
      await client.expectClosed()
    },
  )

  test.each([
    ['a property of another packet', frame(0xe0, hex('00 03'), property('topicAlias', 1)), 0x82],
    [
      'a property that occurs twice',
      disconnect(0, [property('reasonString', 'a'), property('reasonString', 'b')]),
      0x82,
    ],
    ['a property length that runs over', hex('e0 02 00 05'), 0x81],
    ['bytes behind its properties', hex('e0 03 00 00 00'), 0x81],
  ])('%s', async (_name, bytes, code) => {
    const t = startBroker()
    const client = await t.connect()
    client.send(bytes)
    await client.expectDisconnect(code)
  })
})

describe('DISCONNECT from the broker', () => {
  test.each([
    ['malformed', hex('c1 00'), 0x81],
    ['protocol error', connect(), 0x82],
    ['topic name', publish({ topic: '+' }), 0x90],
    ['alias', publish({ topic: 't', properties: { topicAlias: 99 } }), 0x94],
    ['a packet of servers: CONNACK', hex('20 03 00 00 00'), 0x82],
    ['a packet of servers: SUBACK', hex('90 04 0001 00 00'), 0x82],
    ['a packet of servers: UNSUBACK', hex('b0 04 0001 00 00'), 0x82],
    ['a packet of servers: PINGRESP', hex('d0 00'), 0x82],
    ['the reserved packet type', hex('00 00'), 0x81],
  ])(
    'MQTT-4.13.1-1 MQTT-4.13.2-1 MQTT-3.14.4-1 MQTT-3.14.4-2 MQTT-3.14.2-2 one with its code, then the end, and nothing behind the fault counts: %s',
    async (_name, bytes, code) => {
      const t = startBroker()
      const watcher = await t.connect()
      await watcher.subscribe(['#'])
      const client = await t.connect({ clientId: 'c', properties: { sessionExpiryInterval: 100 } })
      await client.subscribe(['late'])
      client.send(bytes, publish({ topic: 'late' }), subscribe({ filters: ['x'] }))
      const packet = await client.expectDisconnect(code)
      expect(packet.properties.sessionExpiryInterval).toBeUndefined()
      await t.settle()
      await watcher.expectNothing()
      // The session is not what was wrong.
      expect(t.state('c')).toBe('offline')
    },
  )

  test('MQTT-3.14.0-1 MQTT-3.2.2-8 faults before CONNACK are told in CONNACK, never in DISCONNECT', async () => {
    const t = startBroker({
      authenticators: [{ name: 'never', authenticate: () => new Promise<Verdict>(() => {}) }],
    })
    // While the decision is pending nothing more is read: the second CONNECT is never looked at.
    const late = t.first(connect({ clientId: 'b' }), connect({ clientId: 'b' }))
    await t.advance(5_000)
    await late.expectRefused(0x87)
    await t.first(connect({ clientId: 'c', flags: 0x03 })).expectRefused(0x81)
  })

  test('MQTT-3.1.4-3 MQTT-4.13.2-1 disconnected by the operator', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'c' })
    t.broker.sessions.get('c')?.disconnect(0x98)
    await client.expectDisconnect(0x98)
  })

  test('MQTT-4.13.2-1 a broker that shuts down says 0x8B', async () => {
    const t = startBroker()
    const clients = await Promise.all([0, 1, 2].map(() => t.connect()))
    await t.close()
    for (const client of clients) await client.expectDisconnect(0x8b)
  })

  test('the time for CONNECT is bounded', async () => {
    const t = startBroker({ limits: { connectTimeoutMs: 5000 } })
    const silent = t.attach()
    const slow = t.attach()
    const bytes = connect({ clientId: 'slow' })
    for (let second = 0; second < 5; second += 1) {
      slow.send(bytes.subarray(second, second + 1))
      await t.advance(999)
      expect([silent.closed, slow.closed]).toEqual([false, false])
    }
    await t.advance(5)
    await silent.expectClosed()
    await slow.expectClosed()
  })
})

describe('transports', () => {
  test('MQTT-4.2-1 TCP: any chunking of the stream is the same stream', async () => {
    const t = startBroker()
    const { port } = await t.listen({ transport: 'tcp', port: 0 })
    const client = await t.tcp(port)
    const bytes = Buffer.concat([
      connect({ clientId: 'a' }),
      subscribe({ packetId: 1, filters: [['t', { qos: 1 }]] }),
      publish({ topic: 't', payload: 'x'.repeat(300), qos: 0 }),
      pingreq(),
    ])
    for (const byte of bytes) client.send(Buffer.from([byte]))
    await client.expectPacket('connack', { reasonCode: 0 })
    await client.expectPacket('suback', { reasonCodes: [1] })
    await client.expectPublish({ topic: 't', payload: 'x'.repeat(300) })
    await client.expectPacket('pingresp')
    client.send(disconnect())
    await client.expectClosed()
  })

  test('MQTT-4.2-1 the in-memory stream: byte for byte', async () => {
    const t = startBroker()
    const client = t.attach()
    for (const byte of Buffer.concat([connect({ clientId: 'a' }), pingreq()])) {
      client.send(Buffer.from([byte]))
      await t.settle(2)
    }
    await client.expectPacket('connack', { reasonCode: 0 })
    await client.expectPacket('pingresp')
  })
})
