/**
 * MQTT 3.1: protocol name MQIsdp, level 3. It numbers no statements, so these tests have no ids. Where
 * it differs from 3.1.1: CONNACK has no Session Present, a client identifier is always needed, and a
 * client that repeats PUBREL, SUBSCRIBE or UNSUBSCRIBE sets DUP in it. Its limit of 23 characters for
 * an identifier is not enforced, since clients of the time went beyond it as well.
 */
import { describe, expect, test } from 'vitest'

import { connect4, publish4, startBroker4, subscribe4, unsubscribe4 } from '../../support/mqtt3.ts'
import {
  disconnect,
  frame,
  hex,
  pubcomp,
  puback,
  pubrec,
  pubrel,
  u16,
  u8,
  utf8,
  type ConnectInput,
} from '../../support/wire.ts'

const connect3 = (input: ConnectInput = {}): Buffer => connect4({ version: 3, ...input })

function startBroker3(options: Parameters<typeof startBroker4>[0] = {}) {
  const t = startBroker4(options)
  return {
    ...t,
    connect: (input: ConnectInput = {}) => t.connect({ version: 3, clientId: `c${(count += 1)}`, ...input }),
  }
}
let count = 0

describe('CONNECT', () => {
  test('it is accepted by CONNACK 0', async () => {
    const t = startBroker3()
    const bytes = connect3({ clientId: 'a' })
    expect(bytes.toString('hex')).toBe('100f00064d51497364700302000000' + '0161')
    await t.first(bytes).expectBytes('20 02 00 00')
    expect(t.broker.sessions.get('a')?.context.connect?.protocolVersion).toBe(3)
  })

  test('there is no Session Present: the byte is reserved, also for a session that is resumed', async () => {
    const t = startBroker3()
    const session = { clientId: 's', cleanStart: false }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    client.drop()
    await t.settle()
    await t.broker.publish({ topic: 't', payload: 'waited', qos: 1 })
    const again = t.first(connect3(session))
    await again.expectBytes('20 02 00 00')
    await again.expectPublish({ topic: 't', payload: 'waited', qos: 1 })
  })

  test.each([true, false])('an empty client identifier is refused with 0x02, Clean Session %s', async (cleanStart) => {
    const { first, broker } = startBroker3()
    const client = first(connect3({ clientId: '', cleanStart }))
    await client.expectBytes('20 02 00 02')
    await client.expectClosed()
    expect(broker.sessions.size).toBe(0)
  })

  test.each([0, 2, 4, 5, 6, 0x83])('level %s with the name MQIsdp gets CONNACK 0x01 and is closed', async (level) => {
    const { first } = startBroker3()
    const client = first(connect3({ level, clientId: 'a' }))
    await client.expectBytes('20 02 00 01')
    await client.expectClosed()
  })

  test.each([
    ['the reserved flag', connect3({ flags: 0x03, clientId: 'a' })],
    ['will QoS 3', connect3({ flags: 0x1e, clientId: 'a', will: { topic: 'w' } })],
    ['bytes behind the payload', connect3({ clientId: 'a', tail: hex('00') })],
    ['an end before the client identifier', frame(0x10, utf8('MQIsdp'), u8(3), u8(2), u16(0))],
  ])('%s: closed without CONNACK', async (_name, bytes) => {
    await startBroker3().first(bytes).expectClosed()
  })

  test('identifiers of more than 23 characters are accepted', async () => {
    const { connect, state } = startBroker3()
    const clientId = 'x'.repeat(24)
    await connect({ clientId })
    expect(state(clientId)).toBe('online')
  })

  test('user name, password and will are read', async () => {
    const seen: unknown[] = []
    const t = startBroker3({
      authenticators: [
        {
          name: 'spy',
          authenticate({ protocolVersion, username, password }) {
            seen.push([protocolVersion, username, password?.toString()])
            return { type: 'allow' }
          },
        },
      ],
    })
    const watcher = await t.connect()
    await watcher.subscribe([['w', { qos: 2 }]])
    const client = await t.connect({
      username: 'u',
      password: 'p',
      will: { topic: 'w', payload: 'gone', qos: 2, retain: true },
    })
    client.drop()
    await watcher.expectPublish({ topic: 'w', payload: 'gone', qos: 2 })
    expect(seen).toEqual([
      [3, undefined, undefined],
      [3, 'u', 'p'],
    ])
  })
})

describe('messages', () => {
  test.each([0, 1, 2])('are published and delivered with QoS %s', async (qos) => {
    const t = startBroker3()
    const client = await t.connect()
    expect((await client.subscribe([['a/#', { qos: 2 }]])).reasonCodes).toEqual([2])
    const publisher = await t.connect()
    await publisher.publish({ topic: 'a/b', payload: 'x', qos })
    await client.acknowledge(await client.expectPublish({ topic: 'a/b', payload: 'x', qos }))
    await client.expectNothing()
    client.send(unsubscribe4({ packetId: 7, filters: ['a/#'] }))
    await client.expectBytes('b0 02 0007')
    await publisher.publish({ topic: 'a/b', payload: 'y', qos })
    await client.expectNothing()
  })

  test('retained ones go to new subscriptions with RETAIN 1, to old ones with RETAIN 0', async () => {
    const t = startBroker3()
    const client = await t.connect()
    await client.subscribe(['t'])
    await (await t.connect()).publish({ topic: 't', payload: 'r', retain: true })
    await client.expectPublish({ topic: 't', payload: 'r' })
    await client.subscribe(['t'])
    await client.expectPublish({ topic: 't', payload: 'r', retain: true })
  })

  test('a session is resumed: unacknowledged messages and PUBREL come again', async () => {
    const t = startBroker3()
    const session = { clientId: 's', cleanStart: false }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 2 }]])
    for (const [payload, qos] of [
      ['1', 1],
      ['2', 2],
    ] as const)
      await t.broker.publish({ topic: 't', payload, qos })
    const one = await client.expectPublish({ topic: 't', payload: '1', qos: 1 })
    const two = await client.expectPublish({ topic: 't', payload: '2', qos: 2 })
    client.send(pubrec(two.packetId))
    await client.expectPacket('pubrel', { packetId: two.packetId })
    client.drop()
    await t.settle()
    await t.broker.publish({ topic: 't', payload: '3', qos: 2 })
    const again = await t.connect(session)
    await again.expectPublish({ topic: 't', payload: '1', qos: 1, dup: true, packetId: one.packetId })
    await again.expectPacket('pubrel', { packetId: two.packetId })
    await again.expectPublish({ topic: 't', payload: '3', qos: 2 })
    again.send(puback(one.packetId), pubcomp(two.packetId))
    await again.expectNothing()
  })

  test('DISCONNECT discards the will', async () => {
    const t = startBroker3()
    const watcher = await t.connect()
    await watcher.subscribe(['w'])
    const client = await t.connect({ will: { topic: 'w', payload: 'gone' } })
    client.send(disconnect())
    await client.expectClosed()
    await t.settle()
    await watcher.expectNothing()
  })
})

describe('repeated packets (section 2.1 of MQTT 3.1)', () => {
  test('PUBREL, SUBSCRIBE and UNSUBSCRIBE may have DUP', async () => {
    const t = startBroker3()
    const client = await t.connect()
    client.send(publish4({ topic: 'x', qos: 2, packetId: 5 }))
    await client.expectPacket('pubrec', { packetId: 5 })
    client.send('6a 02 0005')
    await client.expectPacket('pubcomp', { packetId: 5 })
    client.send(subscribe4({ packetId: 6, filters: [['t', { qos: 1 }]], first: 0x8a }))
    await client.expectPacket('suback', { packetId: 6, reasonCodes: [1] })
    client.send(unsubscribe4({ packetId: 7, filters: ['t'], first: 0xaa }))
    await client.expectPacket('unsuback', { packetId: 7 })
  })

  test('that is for 3.1 only', async () => {
    const t = startBroker4()
    for (const bytes of [pubrel(5), subscribe4({ filters: ['t'] }), unsubscribe4({ filters: ['t'] })]) {
      const client = await t.connect()
      client.send(Buffer.concat([u8(bytes.readUInt8(0) | 8), bytes.subarray(1)]))
      await client.expectClosed()
    }
  })

  test('other flags close the connection', async () => {
    const t = startBroker3()
    for (const bytes of [
      '60 02 0005',
      '6b 02 0005',
      '80 06 0006 0001 74 00',
      'a0 05 0007 0001 74',
      'c8 00',
      'e8 00',
      '48 02 0001',
    ]) {
      const client = await t.connect()
      client.send(bytes)
      await client.expectClosed()
    }
  })
})
