/** MQTT 3.1.1 chapters 1.5 and 2: strings, fixed header, packet identifiers. */
import { describe, expect, test } from 'vitest'

import { connect4, publish4, startBroker4, subscribe4, unsubscribe4 } from '../../support/mqtt3.ts'
import {
  disconnect,
  frame,
  frameWithLength,
  hex,
  pingreq,
  puback,
  pubcomp,
  pubrec,
  pubrel,
  u16,
  utf8,
  varint,
} from '../../support/wire.ts'

describe('strings', () => {
  const faults = [
    ['MQTT-1.5.3-1 a lone surrogate', hex('61 ed a0 80')],
    ['MQTT-1.5.3-1 a surrogate pair', hex('ed a0 80 ed b0 80')],
    ['MQTT-1.5.3-1 an overlong form', hex('c0 af')],
    ['MQTT-1.5.3-1 a character beyond U+10FFFF', hex('f4 90 80 80')],
    ['MQTT-1.5.3-1 a cut-off character', hex('e2 82')],
    ['MQTT-1.5.3-2 MQTT-4.7.3-2 U+0000', hex('61 00 62')],
  ] as const

  test.each(faults)('%s in a CONNECT closes the connection without a byte', async (_name, text) => {
    const { first, broker } = startBroker4()
    await first(connect4({ clientId: text })).expectClosed()
    await first(connect4({ clientId: 'a', will: { topic: text } })).expectClosed()
    await first(connect4({ clientId: 'a', username: text })).expectClosed()
    expect(broker.sessions.size).toBe(0)
  })

  test.each(faults)('%s in a later packet closes the connection', async (_name, text) => {
    const t = startBroker4()
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    for (const bytes of [
      publish4({ topic: text }),
      publish4({ topic: text, qos: 1 }),
      subscribe4({ filters: ['good', text] }),
      unsubscribe4({ filters: ['good', text] }),
    ]) {
      const client = await t.connect()
      client.send(bytes)
      await client.expectClosed()
    }
    await t.settle()
    await watcher.expectNothing()
  })

  test('MQTT-1.5.3-3 EF BB BF is a character like any other, at the beginning too', async () => {
    const t = startBroker4()
    const client = await t.connect({ clientId: '\ufeffa' })
    expect([t.state('\ufeffa'), t.state('a')]).toEqual(['online', undefined])
    await client.subscribe(['\ufefft'])
    client.send(publish4({ topic: 't', payload: 'without' }), publish4({ topic: '\ufefft', payload: 'with' }))
    await client.expectBytes('30 0a 0004 efbbbf74 77697468')
    await client.expectNothing()
  })
})

describe('fixed header', () => {
  test('MQTT-2.2.2-1 the packets of the broker carry the prescribed flags', async () => {
    const t = startBroker4()
    const client = t.first(connect4({ clientId: 'a' }))
    await client.expectBytes('20 02 00 00')
    client.send(subscribe4({ packetId: 10, filters: [['t', { qos: 2 }]] }))
    await client.expectBytes('90 03 000a 02')
    client.send(publish4({ topic: 'x', qos: 1, packetId: 11 }))
    await client.expectBytes('40 02 000b')
    client.send(publish4({ topic: 'x', qos: 2, packetId: 12 }))
    await client.expectBytes('50 02 000c')
    client.send(pubrel(12))
    await client.expectBytes('70 02 000c')
    client.send(unsubscribe4({ packetId: 13, filters: ['y'] }))
    await client.expectBytes('b0 02 000d')
    client.send(pingreq())
    await client.expectBytes('d0 00')
    await (await t.connect()).publish({ topic: 't', payload: 'p', qos: 2 })
    const { packetId } = await client.expectPublish({ topic: 't', payload: 'p', qos: 2 })
    client.send(pubrec(packetId))
    await client.expectBytes(Buffer.concat([hex('62 02'), u16(packetId)]))
  })

  test('MQTT-2.2.2-2 MQTT-3.6.1-1 MQTT-3.8.1-1 MQTT-3.10.1-1 MQTT-3.14.1-1 any other flags close the connection', async () => {
    const t = startBroker4()
    const good = [
      puback(1),
      pubrec(1),
      pubrel(1),
      pubcomp(1),
      subscribe4({ filters: ['t'] }),
      unsubscribe4({ filters: ['t'] }),
      pingreq(),
      disconnect(),
    ]
    for (const bytes of good) {
      for (let flags = 0; flags < 16; flags += 1) {
        if (flags === (bytes.readUInt8(0) & 15)) continue
        const client = await t.connect()
        client.send(Buffer.concat([Buffer.from([(bytes.readUInt8(0) & 0xf0) | flags]), bytes.subarray(1)]))
        await client.expectClosed()
      }
    }
  })

  test('MQTT-2.2.2-2 MQTT-3.1.4-1 a CONNECT with flags is closed without a byte', async () => {
    const { first } = startBroker4()
    for (let flags = 1; flags < 16; flags += 1)
      await first(connect4({ clientId: 'a', first: 0x10 | flags })).expectClosed()
  })

  test.each([
    ['the reserved type 0', hex('00 00')],
    ['the reserved type 15', hex('f0 00')],
    ['CONNACK', hex('20 02 00 00')],
    ['SUBACK', hex('90 03 00 01 00')],
    ['UNSUBACK', hex('b0 02 00 01')],
    ['PINGRESP', hex('d0 00')],
    ['a remaining length of five bytes', frameWithLength(0x30, hex('80 80 80 80 01'))],
    ['a PINGREQ with a body', hex('c0 01 00')],
    ['a PUBACK that is too short', hex('40 01 00')],
    ['a PUBACK of MQTT 5', hex('40 03 00 01 00')],
    ['a DISCONNECT of MQTT 5', hex('e0 01 00')],
    ['a PUBLISH without a topic', hex('30 01 00')],
    ['a PUBLISH whose identifier is cut off', frame(0x32, utf8('t'), hex('00'))],
  ])('MQTT-4.8.0-1 %s closes the connection', async (_name, bytes) => {
    const t = startBroker4()
    const client = await t.connect()
    client.send(bytes)
    await client.expectClosed()
  })

  test('the remaining length has one to four bytes', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['t'])
    for (const length of [0, 124, 125, 16_380, 16_381, 300_000]) {
      const payload = 'x'.repeat(length)
      client.send(publish4({ topic: 't', payload }))
      await client.expectPublish({ topic: 't', payload })
      expect(client.lastFrame.length).toBe(1 + varint(length + 3).length + length + 3)
    }
  })
})

describe('packet identifiers', () => {
  test.each([
    ['SUBSCRIBE', subscribe4({ packetId: 0, filters: ['t'] })],
    ['UNSUBSCRIBE', unsubscribe4({ packetId: 0, filters: ['t'] })],
    ['PUBLISH with QoS 1', publish4({ topic: 't', qos: 1, packetId: 0 })],
    ['PUBLISH with QoS 2', publish4({ topic: 't', qos: 2, packetId: 0 })],
  ])('MQTT-2.3.1-1 0 as the identifier of a %s closes the connection', async (_name, bytes) => {
    const t = startBroker4()
    const client = await t.connect()
    client.send(bytes)
    await client.expectClosed()
  })

  test('MQTT-2.3.1-1 MQTT-2.3.1-4 MQTT-4.3.2-1 MQTT-4.3.3-1 the broker uses identifiers that are not 0 and not in use', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await t.connect()
    const used = new Set<number>()
    for (let count = 0; count < 10; count += 1) {
      const qos = 1 + (count % 2)
      await publisher.publish({ topic: 't', payload: `${count}`, qos })
      used.add((await client.expectPublish({ topic: 't', payload: `${count}`, qos })).packetId)
    }
    expect([used.size, used.has(0)]).toEqual([10, false])
  })

  test('MQTT-2.3.1-4 an identifier is free again after PUBACK, PUBCOMP, and never 0 when they have all been used', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe([['t', { qos: 1 }]])
    // From inside, since the test is about what comes out; one message stays unacknowledged.
    await t.broker.publish({ topic: 't', qos: 1 })
    const { packetId: kept } = await client.expectPublish({ topic: 't', qos: 1 })
    const seen = new Set<number>()
    for (let round = 0; round < 66; round += 1) {
      for (let count = 0; count < 1000; count += 1) void t.broker.publish({ topic: 't', qos: 1 })
      for (let count = 0; count < 1000; count += 1) {
        const { packetId } = await client.expectPacket('publish', { topic: 't', qos: 1, dup: false })
        seen.add(packetId)
        client.send(puback(packetId))
      }
    }
    expect([seen.has(0), seen.has(kept)]).toEqual([false, false])
  })

  test('MQTT-2.3.1-5 a PUBLISH with QoS 0 has none', async () => {
    const t = startBroker4()
    const client = await t.connect()
    await client.subscribe(['t'])
    client.send(publish4({ topic: 't', payload: 'p' }))
    await client.expectBytes('30 04 0001 74 70')
    client.send(publish4({ topic: 't', payload: 'q', qos: 1, packetId: 9 }))
    const packets = [await client.next(), await client.next()]
    expect(packets).toContainEqual({
      type: 'publish',
      topic: 't',
      payload: 'q',
      qos: 0,
      retain: false,
      dup: false,
      packetId: 0,
      properties: {},
    })
  })

  test('MQTT-2.3.1-6 MQTT-2.3.1-7 MQTT-3.8.4-2 MQTT-3.10.4-4 every answer repeats the identifier of its request', async () => {
    const t = startBroker4()
    const client = await t.connect()
    for (const packetId of [1, 255, 256, 0x7fff, 0xffff]) {
      client.send(subscribe4({ packetId, filters: ['t'] }))
      await client.expectPacket('suback', { packetId, reasonCodes: [0] })
      client.send(unsubscribe4({ packetId, filters: ['t'] }))
      await client.expectPacket('unsuback', { packetId })
      client.send(publish4({ topic: 'x', qos: 1, packetId }))
      await client.expectPacket('puback', { packetId })
      client.send(publish4({ topic: 'x', qos: 2, packetId }))
      await client.expectPacket('pubrec', { packetId })
      client.send(pubrel(packetId))
      await client.expectPacket('pubcomp', { packetId })
    }
  })
})
