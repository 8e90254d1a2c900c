/** MQTT 3.1.1 sections 3.1 and 3.2: CONNECT and CONNACK. Sessions and wills have files of their own. */
import { describe, expect, test } from 'vitest'

import { allow, deny, next } from '../../../src/hooks.ts'
import { connect4, publish4, startBroker4, subscribe4, unsubscribe4 } from '../../support/mqtt3.ts'
import { binary, disconnect, frame, hex, pingreq, puback, u16, u8, utf8 } from '../../support/wire.ts'

/** CONNECT from its flags on, for payloads that the builder does not make. */
const rawConnect = (flags: number, ...payload: readonly Buffer[]): Buffer =>
  frame(0x10, utf8('MQTT'), u8(4), u8(flags), u16(0), ...payload)

describe('the first packet', () => {
  test.each([
    ['PINGREQ', pingreq()],
    ['PUBLISH', publish4({ topic: 't', payload: 'x' })],
    ['SUBSCRIBE', subscribe4({ filters: ['t'] })],
    ['UNSUBSCRIBE', unsubscribe4({ filters: ['t'] })],
    ['PUBACK', puback(1)],
    ['DISCONNECT', disconnect()],
    ['CONNACK', hex('20 02 00 00')],
  ])('MQTT-3.1.0-1 a first packet that is %s ends the connection without a byte', async (_name, bytes) => {
    const { first, broker } = startBroker4()
    await first(bytes, connect4({ clientId: 'late' })).expectClosed()
    expect(broker.sessions.size).toBe(0)
  })

  test('MQTT-3.1.0-2 MQTT-4.8.0-1 a second CONNECT closes the connection', async () => {
    const t = startBroker4()
    const client = await t.connect({ clientId: 'a' })
    client.send(connect4({ clientId: 'a' }))
    await client.expectClosed()
    expect(t.state('a')).toBeUndefined()
  })
})

describe('protocol name and level', () => {
  test('MQTT-3.1.2-1 another protocol name closes the connection', async () => {
    const { first, broker } = startBroker4()
    for (const protocolName of ['MQTX', 'mqtt', 'MQIsdpX', '', 'M']) {
      await first(connect4({ protocolName, clientId: 'a' })).expectClosed()
    }
    expect(broker.sessions.size).toBe(0)
  })

  // Levels above 5 are versions to come; they are refused in the form of MQTT 5, see mqtt5/connect.test.ts.
  test.each([0, 1, 2, 3, 0x83, 0x84])(
    'MQTT-3.1.2-2 MQTT-3.2.2-5 level %s with the name MQTT gets CONNACK 0x01 and is closed',
    async (level) => {
      const { first, broker } = startBroker4()
      const client = first(connect4({ level, clientId: 'a' }))
      await client.expectBytes('20 02 00 01')
      await client.expectClosed()
      expect(broker.sessions.size).toBe(0)
    },
  )
})

describe('flags and payload', () => {
  test.each([
    ['MQTT-3.1.2-3 the reserved flag', connect4({ flags: 0x03, clientId: 'a' })],
    ['MQTT-3.1.2-9 the will flag without topic and message', rawConnect(0x06, utf8('a'))],
    ['MQTT-3.1.2-9 a will without its message', rawConnect(0x06, utf8('a'), utf8('w'))],
    ['MQTT-3.1.2-11 will fields without the flag', rawConnect(0x02, utf8('a'), utf8('w'), binary('m'))],
    ['MQTT-3.1.2-11 MQTT-3.1.2-13 will QoS 1 without a will', connect4({ flags: 0x0a, clientId: 'a' })],
    ['MQTT-3.1.2-11 MQTT-3.1.2-13 will QoS 2 without a will', connect4({ flags: 0x12, clientId: 'a' })],
    ['MQTT-3.1.2-14 will QoS 3', connect4({ flags: 0x1e, clientId: 'a', will: { topic: 'w' } })],
    ['MQTT-3.1.2-11 MQTT-3.1.2-15 will retain without a will', connect4({ flags: 0x22, clientId: 'a' })],
    ['MQTT-3.1.2-18 a user name without its flag', rawConnect(0x02, utf8('a'), utf8('u'))],
    ['MQTT-3.1.2-19 the user name flag without a user name', rawConnect(0x82, utf8('a'))],
    ['MQTT-3.1.2-20 a password without its flag', rawConnect(0x82, utf8('a'), utf8('u'), binary('p'))],
    ['MQTT-3.1.2-21 the password flag without a password', rawConnect(0xc2, utf8('a'), utf8('u'))],
    ['MQTT-3.1.2-22 a password without a user name', rawConnect(0x42, utf8('a'), binary('p'))],
    ['MQTT-3.1.3-3 no client identifier', rawConnect(0x02)],
    ['MQTT-3.1.3-4 a client identifier that is not UTF-8', connect4({ clientId: hex('ff') })],
    ['MQTT-3.1.3-10 a will topic that is not UTF-8', connect4({ clientId: 'a', will: { topic: hex('ff') } })],
    ['MQTT-3.1.3-11 a user name that is not UTF-8', connect4({ clientId: 'a', username: hex('ff') })],
    ['MQTT-3.1.3-3 a client identifier longer than the packet', rawConnect(0x02, hex('0009 61'))],
    ['a property section as in MQTT 5', rawConnect(0x02, u8(0), utf8('a'))],
    ['nothing at all', hex('10 00')],
    ['an end in the keep alive', frame(0x10, utf8('MQTT'), u8(4), u8(2), u8(0))],
  ])('MQTT-3.1.4-1 %s: closed without CONNACK', async (_name, bytes) => {
    const { first, broker } = startBroker4()
    await first(bytes, pingreq()).expectClosed()
    expect(broker.sessions.size).toBe(0)
  })

  test.each([['w/#'], ['+'], ['']])(
    'MQTT-4.7.1-1 MQTT-4.7.3-1 a will topic "%s" is no topic name: closed without CONNACK',
    async (topic) => {
      const { first, state } = startBroker4()
      await first(connect4({ clientId: 'a', will: { topic } })).expectClosed()
      expect(state('a')).toBeUndefined()
    },
  )

  test('MQTT-3.1.3-1 MQTT-3.1.2-9 MQTT-3.1.2-19 MQTT-3.1.2-21 the fields are read in their order', async () => {
    const seen: unknown[] = []
    const t = startBroker4({
      authenticators: [
        {
          name: 'spy',
          authenticate(request) {
            seen.push([
              request.protocolVersion,
              request.clientId,
              request.cleanStart,
              request.keepAliveSeconds,
              request.username,
              request.password?.toString('hex'),
            ])
            return allow()
          },
        },
      ],
    })
    const watcher = await t.connect({ clientId: 'watcher' })
    await watcher.subscribe(['will/#'])
    const client = await t.connect({
      clientId: 'the id',
      cleanStart: false,
      keepAlive: 0x0102,
      will: { topic: 'will/topic', payload: 'will message' },
      username: 'user',
      password: hex('00 ff'),
    })
    client.drop()
    await watcher.expectPublish({ topic: 'will/topic', payload: 'will message' })
    expect(seen).toEqual([
      [4, 'watcher', true, 0, undefined, undefined],
      [4, 'the id', false, 258, 'user', '00ff'],
    ])
  })

  test('MQTT-3.1.2-18 MQTT-3.1.2-20 MQTT-3.1.2-22 user name alone, both, neither, and both empty', async () => {
    const seen: unknown[] = []
    const t = startBroker4({
      authenticators: [
        {
          name: 'spy',
          authenticate({ username, password }) {
            seen.push([username, password?.toString()])
            return allow()
          },
        },
      ],
    })
    await t.connect({ clientId: 'a', username: 'u' })
    await t.connect({ clientId: 'b', username: 'u', password: 'p' })
    await t.connect({ clientId: 'c' })
    await t.connect({ clientId: 'd', username: '', password: '' })
    expect(seen).toEqual([
      ['u', undefined],
      ['u', 'p'],
      [undefined, undefined],
      ['', ''],
    ])
  })
})

describe('client identifier', () => {
  test('MQTT-3.1.3-2 sessions are told apart by it, exactly', async () => {
    const t = startBroker4()
    const names = ['a', 'A', 'a ', 'ä', 'a\u0308', '__proto__']
    for (const clientId of names) {
      const client = await t.connect({ clientId, cleanStart: false })
      await client.subscribe([[`for/${clientId}`, { qos: 1 }]])
      client.send(disconnect())
      await client.expectClosed()
    }
    const publisher = await t.connect()
    for (const clientId of names) await publisher.publish({ topic: `for/${clientId}`, payload: clientId, qos: 1 })
    for (const clientId of names) {
      const client = await t.connect({ clientId, cleanStart: false })
      expect(client.connack?.sessionPresent).toBe(true)
      await client.expectPublish({ topic: `for/${clientId}`, payload: clientId, qos: 1 })
      await client.expectNothing()
    }
  })

  test('MQTT-3.1.3-5 1 to 23 letters and digits are accepted', async () => {
    const t = startBroker4()
    const alphabet = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
    for (let length = 1; length <= 23; length += 1)
      await t.connect({ clientId: alphabet.slice(length * 2 - 2, length * 3 - 2) })
    for (const character of alphabet) await t.connect({ clientId: character.repeat(23) })
  })

  test('MQTT-3.1.3-6 MQTT-3.1.3-7 an empty one with Clean Session 1 gets one that nobody else has', async () => {
    const t = startBroker4()
    const clients = [await t.connect(), await t.connect(), await t.connect()]
    const ids = [...t.broker.sessions.keys()]
    expect([ids.length, new Set(ids).size, ids.includes('')]).toEqual([3, 3, false])
    for (const client of clients) await client.expectNothing()
  })

  test('MQTT-3.1.3-7 MQTT-3.1.3-8 MQTT-3.2.2-4 MQTT-3.2.2-5 an empty one with Clean Session 0 gets CONNACK 0x02 and is closed', async () => {
    const { first, broker } = startBroker4()
    const client = first(connect4({ clientId: '', cleanStart: false }))
    await client.expectBytes('20 02 00 02')
    await client.expectClosed()
    expect(broker.sessions.size).toBe(0)
  })

  test('MQTT-3.1.3-9 one that is too long gets CONNACK 0x02 and is closed', async () => {
    const { first, connect } = startBroker4({ limits: { maxClientIdBytes: 10 } })
    for (const clientId of ['x'.repeat(11), 'ä'.repeat(6)]) {
      const client = first(connect4({ clientId }))
      await client.expectBytes('20 02 00 02')
      await client.expectClosed()
    }
    await connect({ clientId: 'x'.repeat(10) })
  })
})

describe('what CONNECT does', () => {
  test('MQTT-3.1.4-4 MQTT-3.2.0-1 it is answered by CONNACK 0x00, before anything else', async () => {
    const t = startBroker4({ authenticators: [{ name: 'slow', authenticate: async () => allow() }] })
    const client = t.first(connect4({ clientId: 'a' }), subscribe4({ filters: ['t'] }), pingreq())
    await client.expectBytes('20 02 00 00')
    await client.expectBytes('90 03 0001 00')
    await client.expectBytes('d0 00')
  })

  test('MQTT-3.2.0-1 CONNACK comes before what waited for the session', async () => {
    const t = startBroker4()
    const session = { clientId: 'a', cleanStart: false }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    client.drop()
    await t.settle()
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos: 1 })
    const again = t.first(connect4(session))
    await again.expectBytes('20 02 01 00')
    await again.expectPublish({ topic: 't', payload: 'x', qos: 1 })
  })

  test('MQTT-3.1.4-2 the same identifier again disconnects the older client', async () => {
    const t = startBroker4()
    const older = await t.connect({ clientId: 'a' })
    const newer = await t.connect({ clientId: 'a' })
    await older.expectClosed()
    await newer.expectNothing()
    expect(t.state('a')).toBe('online')
  })

  test.each([
    [0x80, undefined],
    [0x84, 1],
    [0x85, 2],
    [0x88, 3],
    [0x89, 3],
    [0x97, 3],
    [0x9f, 3],
    [0x86, 4],
    [0x8c, 4],
    [0x87, 5],
    [0x8a, 5],
    [0x9c, 3],
    [0x9d, 3],
  ] as const)(
    'MQTT-3.2.2-4 MQTT-3.2.2-5 MQTT-3.2.2-6 a refusal with code %s is return code %s, or none, and the end',
    async (reasonCode, returnCode) => {
      const t = startBroker4({ authenticators: [{ name: 'no', authenticate: () => deny(reasonCode, 'no') }] })
      const client = t.first(connect4({ clientId: 'a', cleanStart: false }))
      if (returnCode !== undefined)
        await client.expectPacket('connack', { sessionPresent: false, reasonCode: returnCode })
      await client.expectClosed()
      expect(t.state('a')).toBeUndefined()
    },
  )

  test('MQTT-3.2.2-4 a refusal hides that there is a session', async () => {
    const t = startBroker4({
      authenticators: [
        { name: 'users', authenticate: ({ username }) => (username === 'good' ? allow() : deny(0x86, 'no')) },
      ],
    })
    const session = { clientId: 'a', cleanStart: false }
    const client = await t.connect({ ...session, username: 'good' })
    client.drop()
    await t.settle()
    const refused = t.first(connect4({ ...session, username: 'bad' }))
    await refused.expectBytes('20 02 00 04')
    await refused.expectClosed()
    expect((await t.connect({ ...session, username: 'good' })).connack?.sessionPresent).toBe(true)
  })

  test('MQTT-3.1.4-5 nothing behind a refused CONNECT is processed', async () => {
    const t = startBroker4({
      authenticators: [
        { name: 'users', authenticate: async ({ username }) => (username ? allow() : deny(0x87, 'no')) },
      ],
    })
    const watcher = await t.connect({ clientId: 'w', username: 'u' })
    await watcher.subscribe(['#'])
    const client = t.first(
      connect4({ clientId: 'a' }),
      publish4({ topic: 't', payload: 'no' }),
      subscribe4({ filters: ['#'] }),
    )
    await client.expectBytes('20 02 00 05')
    await client.expectClosed()
    await t.settle()
    await watcher.expectNothing()
  })

  test('MQTT-3.2.2-6 MQTT-4.8.0-2 an authenticator that fails lets nobody in', async () => {
    const t = startBroker4({
      authenticators: [
        {
          name: 'broken',
          authenticate() {
            throw new Error('the directory does not answer')
          },
        },
      ],
    })
    const client = t.first(connect4({ clientId: 'a' }))
    const answer = await client.next()
    if (answer !== 'closed') {
      expect(answer).toMatchObject({ type: 'connack', sessionPresent: false })
      expect((answer as { reasonCode: number }).reasonCode).toBeGreaterThan(0)
      await client.expectClosed()
    }
  })

  test('MQTT-4.8.0-2 a failure while a packet is handled closes the connection that it came on, and no other', async () => {
    const t = startBroker4({
      hooks: {
        onPublish({ message }) {
          if (message.topic === 'bad') throw new Error('the database is away')
          return next()
        },
      },
    })
    const client = await t.connect({ clientId: 'a' })
    const other = await t.connect({ clientId: 'b' })
    client.send(publish4({ topic: 'good', qos: 1, packetId: 1 }))
    await client.expectPacket('puback', { packetId: 1 })
    client.send(publish4({ topic: 'bad', qos: 1, packetId: 2 }))
    await client.expectClosed()
    await other.expectNothing()
  })

  test('a client that sends no CONNECT is closed when its time is over', async () => {
    const t = startBroker4({ limits: { connectTimeoutMs: 5_000 } })
    const client = t.first(connect4({ clientId: 'a' }).subarray(0, 10))
    await t.advance(4_999)
    expect(client.closed).toBe(false)
    await t.advance(1)
    await client.expectClosed()
  })
})
