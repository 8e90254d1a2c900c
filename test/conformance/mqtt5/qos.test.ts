/** MQTT 5 section 4.3 and 4.4: the three handshakes, both ways, and what is sent again. */
import { describe, expect, test } from 'vitest'

import { deny, next } from '../../../src/hooks.ts'
import { startBroker } from '../../support/test-broker.ts'
import { puback, pubcomp, publish, pubrec, pubrel } from '../../support/wire.ts'

const session = { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 1000 } }

describe('from the client', () => {
  test('MQTT-3.3.4-1 MQTT-4.3.1-1 QoS 0: no answer, delivered with QoS 0 and DUP 0', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 2 }]])
    client.send(publish({ topic: 't', payload: 'x' }))
    await client.expectPublish({ topic: 't', payload: 'x', qos: 0, dup: false })
    await client.expectNothing()
  })

  test('MQTT-3.3.4-1 MQTT-4.3.2-4 QoS 1: PUBACK once the broker owns the message', async () => {
    const t = startBroker()
    const watcher = await t.connect({ ...session, clientId: 'w' })
    await watcher.subscribe([['t', { qos: 1 }]])
    watcher.drop()
    await t.settle()
    const client = await t.connect()
    client.send(publish({ topic: 't', payload: 'x', qos: 1, packetId: 5 }))
    await client.expectBytes('40 02 0005')
    const again = await t.connect({ ...session, clientId: 'w' })
    await again.expectPublish({ topic: 't', payload: 'x', qos: 1 })
  })

  test('MQTT-4.3.2-5 after PUBACK the same identifier is a new message, whatever DUP says', async () => {
    const t = startBroker()
    const watcher = await t.connect()
    await watcher.subscribe(['t'])
    const client = await t.connect()
    for (const [payload, dup] of [
      ['1', false],
      ['2', true],
      ['3', false],
    ] as const) {
      client.send(publish({ topic: 't', payload, qos: 1, packetId: 9, dup }))
      await client.expectPacket('puback', { packetId: 9, reasonCode: 0 })
      await watcher.expectPublish({ topic: 't', payload })
    }
  })

  test('MQTT-3.3.4-1 MQTT-4.3.3-8 MQTT-4.3.3-11 QoS 2: PUBREC, then PUBCOMP for PUBREL', async () => {
    const t = startBroker()
    const watcher = await t.connect()
    await watcher.subscribe([['t', { qos: 2 }]])
    const client = await t.connect()
    client.send(publish({ topic: 't', payload: 'x', qos: 2, packetId: 5 }))
    await client.expectBytes('50 02 0005')
    client.send(pubrel(5))
    await client.expectBytes('70 02 0005')
    await watcher.expectPublish({ topic: 't', payload: 'x', qos: 2 })
  })

  test('MQTT-4.3.3-10 a repeated PUBLISH gets PUBREC again and is delivered once', async () => {
    const t = startBroker()
    const watcher = await t.connect()
    await watcher.subscribe(['t'])
    let client = await t.connect(session)
    client.send(publish({ topic: 't', payload: 'x', qos: 2, packetId: 5 }))
    await client.expectPacket('pubrec', { packetId: 5, reasonCode: 0 })
    await watcher.expectPublish({ topic: 't', payload: 'x' })
    client.send(publish({ topic: 't', payload: 'x', qos: 2, packetId: 5, dup: true }))
    await client.expectPacket('pubrec', { packetId: 5, reasonCode: 0 })
    // Also on the next connection of the session.
    client.drop()
    await t.settle()
    client = await t.connect(session)
    client.send(publish({ topic: 't', payload: 'x', qos: 2, packetId: 5, dup: true }))
    await client.expectPacket('pubrec', { packetId: 5, reasonCode: 0 })
    client.send(pubrel(5))
    await client.expectPacket('pubcomp', { packetId: 5, reasonCode: 0 })
    await t.settle()
    await watcher.expectNothing()
  })

  test('MQTT-4.3.3-12 after PUBCOMP the identifier is a new message', async () => {
    const t = startBroker()
    const watcher = await t.connect()
    await watcher.subscribe(['t'])
    const client = await t.connect()
    for (const [payload, dup] of [
      ['1', false],
      ['2', true],
    ] as const) {
      client.send(publish({ topic: 't', payload, qos: 2, packetId: 5, dup }))
      await client.expectPacket('pubrec', { packetId: 5, reasonCode: 0 })
      client.send(pubrel(5))
      await client.expectPacket('pubcomp', { packetId: 5, reasonCode: 0 })
      await watcher.expectPublish({ topic: 't', payload })
    }
  })

  test('MQTT-4.3.3-9 after a failing PUBREC the identifier is free: the next PUBLISH is a new message', async () => {
    const t = startBroker({
      hooks: { onPublish: ({ message }) => (message.topic === 'no' ? deny(0x87, 'not yours') : next()) },
    })
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    const client = await t.connect()
    client.send(publish({ topic: 'no', qos: 2, packetId: 5 }))
    await client.expectPacket('pubrec', { packetId: 5, reasonCode: 0x87 })
    client.send(publish({ topic: 'yes', qos: 2, packetId: 5 }))
    await client.expectPacket('pubrec', { packetId: 5, reasonCode: 0 })
    await watcher.expectPublish({ topic: 'yes' })
    await watcher.expectNothing()
  })

  test('PUBREL for an unknown identifier gets PUBCOMP 0x92', async () => {
    const t = startBroker()
    const client = await t.connect()
    client.send(pubrel(77))
    await client.expectPacket('pubcomp', { packetId: 77, reasonCode: 0x92 })
    await client.expectNothing()
  })

  // Section 3.4.2.1 allows 0x91 for an identifier that is in use. A QoS 1 PUBLISH on the identifier of
  // an unfinished QoS 2 one has no other reading.
  test('a QoS 1 PUBLISH on an identifier of an unfinished QoS 2 message gets 0x91', async () => {
    const t = startBroker()
    const client = await t.connect()
    client.send(publish({ topic: 't', qos: 2, packetId: 5 }))
    await client.expectPacket('pubrec', { packetId: 5, reasonCode: 0x10 })
    client.send(publish({ topic: 't', qos: 1, packetId: 5 }))
    await client.expectPacket('puback', { packetId: 5, reasonCode: 0x91 })
  })

  test('MQTT-3.4.2-1 MQTT-3.5.2-1 0x10 says that nobody subscribed, 0x00 that somebody did', async () => {
    const t = startBroker()
    const client = await t.connect()
    client.send(publish({ topic: 'nobody', qos: 1, packetId: 1 }), publish({ topic: 'nobody', qos: 2, packetId: 2 }))
    await client.expectBytes('40 03 0001 10')
    await client.expectBytes('50 03 0002 10')
    client.send(pubrel(2))
    await client.expectPacket('pubcomp', { packetId: 2, reasonCode: 0 })
    const watcher = await t.connect()
    await watcher.subscribe(['somebody'])
    client.send(
      publish({ topic: 'somebody', qos: 1, packetId: 3 }),
      publish({ topic: 'somebody', qos: 2, packetId: 4 }),
    )
    await client.expectBytes('40 02 0003')
    await client.expectBytes('50 02 0004')
  })

  test('MQTT-3.6.1-1 PUBREL with other flags is malformed', async () => {
    const t = startBroker()
    for (const first of ['60', '61', '63', '66', '6a']) {
      const client = await t.connect()
      client.send(publish({ topic: 't', qos: 2, packetId: 1 }))
      await client.expectPacket('pubrec', { packetId: 1 })
      client.send(`${first} 02 0001`)
      await client.expectDisconnect(0x81)
    }
  })

  test.each([
    ['MQTT-3.4.2-1 PUBACK', puback(1, 0x11)],
    ['MQTT-3.5.2-1 PUBREC', pubrec(1, 0x92)],
    ['MQTT-3.6.2-1 PUBREL', pubrel(1, 0x87)],
    ['MQTT-3.7.2-1 PUBCOMP', pubcomp(1, 0x10)],
  ])('%s with a reason code that it cannot have is a protocol error', async (_name, bytes) => {
    const t = startBroker()
    const client = await t.connect()
    client.send(bytes)
    await client.expectDisconnect(0x82)
  })
})

describe('to the client', () => {
  test('MQTT-4.3.2-1 MQTT-4.3.2-2 MQTT-4.3.2-3 QoS 1: DUP 0 and an identifier of its own until PUBACK', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    const ids = new Set<number>()
    for (let count = 0; count < 15; count += 1) {
      await publisher.publish({ topic: 't', payload: `${count}`, qos: 1 })
      ids.add((await client.expectPublish({ topic: 't', payload: `${count}`, qos: 1, dup: false })).packetId)
    }
    expect(ids.size).toBe(15)
  })

  test('MQTT-4.3.3-1 MQTT-4.3.3-2 MQTT-4.3.3-4 QoS 2: DUP 0, an identifier of its own, PUBREL for PUBREC', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await t.connect()
    const ids: number[] = []
    for (let count = 0; count < 5; count += 1) {
      await publisher.publish({ topic: 't', qos: 2 })
      ids.push((await client.expectPublish({ topic: 't', qos: 2, dup: false })).packetId)
    }
    expect(new Set(ids).size).toBe(5)
    for (const id of ids) {
      client.send(pubrec(id))
      await client.expectPacket('pubrel', { packetId: id, reasonCode: 0 })
      client.send(pubcomp(id))
    }
    await client.expectNothing()
  })

  test('MQTT-4.4.0-1 MQTT-4.3.2-3 QoS 1: sent again after resumption only, with the same identifier, in order', async () => {
    const t = startBroker()
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    const ids: number[] = []
    for (const payload of ['1', '2', '3']) {
      await publisher.publish({ topic: 't', payload, qos: 1 })
      ids.push((await client.expectPublish({ topic: 't', payload, qos: 1 })).packetId)
    }
    await t.advance(3_600_000)
    await client.expectNothing()
    client.send(puback(ids[1] ?? 0))
    await client.expectNothing()
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    await again.expectPublish({ topic: 't', payload: '1', qos: 1, dup: true, packetId: ids[0] ?? 0 })
    await again.expectPublish({ topic: 't', payload: '3', qos: 1, dup: true, packetId: ids[2] ?? 0 })
    await again.expectNothing()
  })

  test('MQTT-4.4.0-1 MQTT-4.3.3-3 MQTT-4.3.3-5 MQTT-4.3.3-6 QoS 2: PUBLISH until PUBREC, then PUBREL until PUBCOMP', async () => {
    const t = startBroker()
    let client = await t.connect(session)
    await client.subscribe([['t', { qos: 2 }]])
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos: 2 })
    const { packetId } = await client.expectPublish({ topic: 't', payload: 'x', qos: 2 })
    const reconnect = async () => {
      client.drop()
      await t.settle()
      client = await t.connect(session)
    }
    await reconnect()
    await client.expectPublish({ topic: 't', payload: 'x', qos: 2, dup: true, packetId })
    client.send(pubrec(packetId))
    await client.expectPacket('pubrel', { packetId, reasonCode: 0 })
    await reconnect()
    await client.expectPacket('pubrel', { packetId, reasonCode: 0 })
    await client.expectNothing()
    await reconnect()
    await client.expectPacket('pubrel', { packetId, reasonCode: 0 })
    client.send(pubcomp(packetId))
    await client.expectNothing()
    await reconnect()
    await client.expectNothing()
  })

  test.each([
    ['QoS 1 by PUBACK', 1, 0x87],
    ['QoS 1 by PUBACK', 1, 0x80],
    ['QoS 2 by PUBREC', 2, 0x87],
    ['QoS 2 by PUBREC', 2, 0x97],
  ])(
    'MQTT-4.4.0-2 MQTT-4.3.3-9 a failure settles %s (QoS %s, code %s): no PUBREL, never again, window free',
    async (_name, qos, code) => {
      const t = startBroker()
      const client = await t.connect({ ...session, properties: { sessionExpiryInterval: 1000, receiveMaximum: 1 } })
      await client.subscribe([['t', { qos }]])
      const publisher = await t.connect()
      await publisher.publish({ topic: 't', payload: '1', qos })
      await publisher.publish({ topic: 't', payload: '2', qos })
      const { packetId } = await client.expectPublish({ topic: 't', payload: '1', qos })
      client.send(qos === 1 ? puback(packetId, code) : pubrec(packetId, code))
      await client.acknowledge(await client.expectPublish({ topic: 't', payload: '2', qos }))
      await client.expectNothing()
      client.drop()
      await t.settle()
      await (await t.connect(session)).expectNothing()
    },
  )

  test('MQTT-4.3.3-7 a message that was sent does not expire any more', async () => {
    const t = startBroker()
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 2 }]])
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos: 2, properties: { messageExpiryInterval: 5 } })
    const { packetId } = await client.expectPacket('publish', { topic: 't' })
    client.drop()
    await t.advance(60_000)
    const again = await t.connect(session)
    await again.expectPacket('publish', { topic: 't', payload: 'x', qos: 2, dup: true, packetId })
  })

  test('MQTT-4.3.3-13 expiry does not interrupt the handshake, in either direction', async () => {
    const t = startBroker()
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 2 }]])
    client.send(publish({ topic: 't', payload: 'x', qos: 2, packetId: 9, properties: { messageExpiryInterval: 5 } }))
    await t.settle()
    // PUBREC and the client's own delivery come in any order.
    const delivered = (await client.drain()).find((packet) => packet.type === 'publish')
    const packetId = delivered?.packetId ?? 0
    await t.advance(60_000)
    client.send(pubrel(9))
    await client.expectPacket('pubcomp', { packetId: 9, reasonCode: 0 })
    client.send(pubrec(packetId))
    await client.expectPacket('pubrel', { packetId, reasonCode: 0 })
    await t.advance(60_000)
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    await again.expectPacket('pubrel', { packetId, reasonCode: 0 })
    again.send(pubcomp(packetId))
    await again.expectNothing()
  })

  // Section 4.3.3: PUBREC for an identifier that nothing is known of gets PUBREL 0x92. PUBACK and
  // PUBCOMP have no answer in which to say it; they change nothing.
  test('acknowledgements nobody waits for: PUBREC gets PUBREL 0x92, the others nothing', async () => {
    const t = startBroker()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 1 }]])
    client.send(pubrec(55))
    await client.expectPacket('pubrel', { packetId: 55, reasonCode: 0x92 })
    client.send(puback(56), pubcomp(57))
    await client.expectNothing()
  })
})
