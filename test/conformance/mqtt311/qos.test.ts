/** MQTT 3.1.1 section 4.3: the three qualities of service, as sender and as receiver. */
import { describe, expect, test } from 'vitest'

import { publish4, startBroker4 } from '../../support/mqtt3.ts'
import { puback, pubcomp, pubrec, pubrel } from '../../support/wire.ts'

describe('the broker as receiver', () => {
  test('MQTT-4.3.1-1 MQTT-3.3.4-1 QoS 0: delivered, not answered', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 2 }]])
    client.send(publish4({ topic: 't', payload: 'x' }))
    await client.expectBytes('30 04 0001 74 78')
    await client.expectNothing()
  })

  test('MQTT-4.3.2-2 QoS 1: PUBACK, and afterwards the identifier means a new message', async () => {
    const t = startBroker4()
    const watcher = await t.connect()
    await watcher.subscribe(['t'])
    const client = await t.connect()
    for (const [payload, dup] of [
      ['1', false],
      ['2', false],
      ['3', true],
    ] as const) {
      client.send(publish4({ topic: 't', payload, qos: 1, packetId: 5, dup }))
      await client.expectBytes('40 02 0005')
      await watcher.expectPublish({ topic: 't', payload })
    }
  })

  test('MQTT-4.3.3-2 QoS 2: delivered once, whatever is repeated before PUBREL', async () => {
    const t = startBroker4()
    const watcher = await t.connect()
    await watcher.subscribe(['t'])
    const client = await t.connect()
    client.send(publish4({ topic: 't', payload: '1', qos: 2, packetId: 5 }))
    await client.expectBytes('50 02 0005')
    client.send(publish4({ topic: 't', payload: '1', qos: 2, packetId: 5, dup: true }))
    await client.expectBytes('50 02 0005')
    client.send(pubrel(5))
    await client.expectBytes('70 02 0005')
    client.send(pubrel(5))
    await client.expectBytes('70 02 0005')
    await watcher.expectPublish({ topic: 't', payload: '1' })
    await watcher.expectNothing()
    client.send(publish4({ topic: 't', payload: '2', qos: 2, packetId: 5 }))
    await client.expectBytes('50 02 0005')
    await watcher.expectPublish({ topic: 't', payload: '2' })
  })

  test('MQTT-4.3.3-2 there is no Receive Maximum: any number of QoS 2 messages may be under way', async () => {
    const t = startBroker4({ limits: { receiveMaximumMessages: 10 } })
    const client = await t.connect()
    for (let packetId = 1; packetId <= 1000; packetId += 1) {
      client.send(publish4({ topic: 't', qos: 2, packetId }))
      await client.expectPacket('pubrec', { packetId })
    }
    for (let packetId = 1; packetId <= 1000; packetId += 1) client.send(pubrel(packetId))
    for (let packetId = 1; packetId <= 1000; packetId += 1) await client.expectPacket('pubcomp', { packetId })
    await client.expectNothing()
  })

  test('MQTT-4.3.3-2 a PUBREL for an unknown identifier is answered all the same', async () => {
    const t = startBroker4()
    const client = await t.connect()
    client.send(pubrel(77))
    await client.expectBytes('70 02 004d')
  })

  test('identifiers of the two directions, and of clients, do not meet', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 2 }]])
    const other = await t.connect()
    other.send(publish4({ topic: 't', payload: 'theirs', qos: 2, packetId: 1 }))
    const { packetId } = await client.expectPublish({ topic: 't', payload: 'theirs', qos: 2 })
    client.send(publish4({ topic: 'x', payload: 'ours', qos: 2, packetId }))
    await client.expectPacket('pubrec', { packetId })
    client.send(pubrec(packetId))
    await client.expectPacket('pubrel', { packetId })
    client.send(pubrel(packetId))
    await client.expectPacket('pubcomp', { packetId })
    client.send(pubcomp(packetId))
    await client.expectNothing()
  })
})

describe('the broker as sender', () => {
  test('MQTT-4.3.2-1 QoS 1: DUP 0, and unacknowledged until PUBACK', async () => {
    const t = startBroker4()
    const session = { clientId: 's', cleanStart: false }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos: 1 })
    const { packetId } = await client.expectPublish({ topic: 't', payload: 'x', qos: 1, dup: false })
    expect(t.broker.sessions.get('s')?.inflightMessages).toBe(1)
    // Neither another identifier nor another packet is an acknowledgement of it.
    client.send(puback(packetId + 1), pubrec(packetId + 2), pubcomp(packetId))
    await client.expectPacket('pubrel', { packetId: packetId + 2 })
    expect(t.broker.sessions.get('s')?.inflightMessages).toBe(1)
    client.send(puback(packetId))
    await client.expectNothing()
    expect(t.broker.sessions.get('s')?.inflightMessages).toBe(0)
  })

  test('MQTT-4.3.3-1 MQTT-2.3.1-6 QoS 2: PUBREL for PUBREC, and no PUBLISH after it', async () => {
    const t = startBroker4()
    const session = { clientId: 's', cleanStart: false }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 2 }]])
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos: 2 })
    const { packetId } = await client.expectPublish({ topic: 't', payload: 'x', qos: 2, dup: false })
    client.send(pubrec(packetId))
    await client.expectPacket('pubrel', { packetId })
    // A PUBREC that comes again is answered again.
    client.send(pubrec(packetId))
    await client.expectPacket('pubrel', { packetId })
    client.drop()
    await t.settle()
    const again = await t.connect(session)
    await again.expectPacket('pubrel', { packetId })
    again.send(pubcomp(packetId))
    await again.expectNothing()
    expect(t.broker.sessions.get('s')?.inflightMessages).toBe(0)
  })

  test('MQTT-4.3.2-1 MQTT-4.3.3-1 an identifier in use is not used for another message', async () => {
    const t = startBroker4({ limits: { maxInflightMessages: 50 } })
    const client = await t.connect()
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await t.connect()
    const ids: number[] = []
    for (let count = 0; count < 50; count += 1) {
      await publisher.publish({ topic: 't', qos: 1 + (count % 2) })
      ids.push((await client.expectPublish({ topic: 't', qos: 1 + (count % 2) })).packetId)
    }
    expect(new Set(ids).size).toBe(50)
  })

  test.each([
    [0, 0, 0],
    [0, 2, 0],
    [1, 0, 0],
    [1, 1, 1],
    [1, 2, 1],
    [2, 0, 0],
    [2, 1, 1],
    [2, 2, 2],
  ])(
    'MQTT-3.8.4-6 published with QoS %s and granted %s, it is delivered with %s',
    async (published, granted, expected) => {
      const t = startBroker4()
      const client = await t.connect()
      await client.subscribe([['t', { qos: granted }]])
      await (await t.connect()).publish({ topic: 't', payload: 'x', qos: published })
      await client.expectPublish({ topic: 't', payload: 'x', qos: expected })
    },
  )
})
