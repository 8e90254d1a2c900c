/** MQTT 5 sections 3.15 and 4.12: AUTH, enhanced authentication and re-authentication. */
import { describe, expect, test } from 'vitest'

import {
  allow,
  challenge,
  deny,
  type AuthenticationRequest,
  type Authenticator,
  type Verdict,
} from '../../../src/hooks.ts'
import { startBroker } from '../../support/test-broker.ts'
import {
  auth,
  connect,
  disconnect,
  pingreq,
  property,
  publish,
  pubrel,
  subscribe,
  unsubscribe,
  type PropertyInput,
} from '../../support/wire.ts'

/** Asks twice, then lets in whoever answered `two`; `data` of the last message goes back with the success. */
const rounds = (seen: AuthenticationRequest[] = []): Authenticator => ({
  name: 'rounds',
  methods: ['ROUNDS'],
  authenticate(request): Verdict {
    seen.push(request)
    if (request.round === 0) return challenge(Buffer.from('first'))
    if (request.round === 1)
      return request.authenticationData?.toString() === 'one' ? challenge(Buffer.from('second')) : deny(0x87, 'wrong')
    return request.authenticationData?.toString() === 'two'
      ? allow({ principal: 'somebody', authenticationData: Buffer.from('done') })
      : deny(0x86, 'wrong')
  },
})

const method = { authenticationMethod: 'ROUNDS' } as const
const answer = (
  data: string,
  properties: PropertyInput = { ...method, authenticationData: Buffer.from(data) },
): Buffer => auth(0x18, properties)
const challenged = (data: string) => ({
  reasonCode: 0x18,
  properties: { ...method, authenticationData: Buffer.from(data) },
})

/** A broker with the method, and a client that has gone through it. */
async function online(seen: AuthenticationRequest[] = []) {
  const t = startBroker({ authenticators: [rounds(seen)], allowAnonymous: true })
  const client = t.first(
    connect({
      clientId: 'a',
      properties: { ...method, sessionExpiryInterval: 100 },
      will: { topic: 'w', payload: 'gone' },
    }),
  )
  await client.expectPacket('auth', challenged('first'))
  client.send(answer('one'))
  await client.expectPacket('auth', challenged('second'))
  client.send(answer('two'))
  const connack = await client.expectPacket('connack', { reasonCode: 0 })
  return { t, client, connack }
}

describe('enhanced authentication', () => {
  test('MQTT-4.12.0-2 MQTT-4.12.0-5 MQTT-3.15.2-1 MQTT-3.2.0-1 MQTT-3.2.0-2 AUTH 0x18 until CONNACK, all with the method', async () => {
    const seen: AuthenticationRequest[] = []
    const { t, client, connack } = await online(seen)
    expect(connack.properties.authenticationMethod).toBe('ROUNDS')
    expect(connack.properties.authenticationData?.toString()).toBe('done')
    expect(
      seen.map(({ round, reauthentication, authenticationMethod }) => [round, reauthentication, authenticationMethod]),
    ).toEqual([
      [0, false, 'ROUNDS'],
      [1, false, 'ROUNDS'],
      [2, false, 'ROUNDS'],
    ])
    expect(t.state('a')).toBe('online')
    await client.expectNothing()
  })

  test('MQTT-4.12.0-1 an unsupported method is refused with 0x8C', async () => {
    const t = startBroker({ authenticators: [rounds()], allowAnonymous: true })
    await t.first(connect({ clientId: 'a', properties: { authenticationMethod: 'OTHER' } })).expectRefused(0x8c)
    const plain = startBroker()
    await plain.first(connect({ clientId: 'a', properties: method })).expectRefused(0x8c)
  })

  test.each([
    ['the first answer', ['wrong'], 0x87],
    ['the second answer', ['one', 'wrong'], 0x86],
  ])('MQTT-4.12.0-4 MQTT-3.1.4-2 a failure is a CONNACK with its code: %s', async (_name, answers, code) => {
    const t = startBroker({ authenticators: [rounds()] })
    const client = t.first(connect({ clientId: 'a', properties: method }))
    await client.expectPacket('auth', { reasonCode: 0x18 })
    for (const [index, data] of answers.entries()) {
      client.send(answer(data))
      if (index < answers.length - 1) await client.expectPacket('auth', { reasonCode: 0x18 })
    }
    await client.expectRefused(code)
    expect(t.state('a')).toBeUndefined()
  })

  test.each([
    ['PUBLISH', publish({ topic: 't', payload: 'x' })],
    ['PUBLISH QoS 1', publish({ topic: 't', payload: 'x', qos: 1 })],
    ['SUBSCRIBE', subscribe({ filters: ['t'] })],
    ['UNSUBSCRIBE', unsubscribe({ filters: ['t'] })],
    ['PUBREL', pubrel(1)],
    ['PINGREQ', pingreq()],
    ['a second CONNECT', connect({ clientId: 'a' })],
    ['AUTH 0x19', auth(0x19, { ...method, authenticationData: Buffer.from('one') })],
    ['AUTH 0x00', auth(0x00, method)],
    ['AUTH without a method', auth(0x18, { authenticationData: Buffer.from('one') } as PropertyInput)],
  ])('MQTT-3.1.2-30 MQTT-3.14.0-1 %s during the exchange is a protocol error without effect', async (_name, bytes) => {
    const t = startBroker({ authenticators: [rounds()], allowAnonymous: true })
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    const client = t.first(connect({ clientId: 'a', properties: method }))
    await client.expectPacket('auth', challenged('first'))
    client.send(bytes)
    await client.expectRefused(0x82)
    await t.settle()
    await watcher.expectNothing()
  })

  test('MQTT-4.12.0-5 another method in the exchange is refused with 0x8C', async () => {
    const t = startBroker({ authenticators: [rounds()] })
    const client = t.first(connect({ clientId: 'a', properties: method }))
    await client.expectPacket('auth', challenged('first'))
    client.send(auth(0x18, { authenticationMethod: 'OTHER', authenticationData: Buffer.from('one') }))
    await client.expectRefused(0x8c)
  })

  test('MQTT-3.1.2-30 DISCONNECT during the exchange ends it, without a will', async () => {
    const t = startBroker({ authenticators: [rounds()], allowAnonymous: true })
    const watcher = await t.connect()
    await watcher.subscribe(['w'])
    const client = t.first(connect({ clientId: 'a', properties: method, will: { topic: 'w' } }))
    await client.expectPacket('auth', challenged('first'))
    client.send(disconnect(0x04))
    await client.expectClosed()
    await t.settle()
    await watcher.expectNothing()
  })

  test('an exchange that never ends is ended: by time and by rounds', async () => {
    const endless: Authenticator = {
      name: 'endless',
      methods: ['ROUNDS'],
      authenticate: () => challenge(Buffer.from('more')),
    }
    const t = startBroker({ authenticators: [endless], limits: { connectTimeoutMs: 5000, maxAuthRounds: 3 } })
    const slow = t.first(connect({ clientId: 'slow', properties: method }))
    await slow.expectPacket('auth', challenged('more'))
    await t.advance(5_000)
    await slow.expectRefused(0x87)
    const busy = t.first(connect({ clientId: 'busy', properties: method }))
    let count = 0
    for (let packet = await busy.next(); packet !== 'closed'; packet = await busy.next()) {
      if (packet.type === 'connack') expect(packet.reasonCode).toBeGreaterThanOrEqual(0x80)
      else busy.send(answer('x'))
      count += 1
    }
    expect(count).toBeLessThanOrEqual(5)
  })

  test('MQTT-3.1.4-3 nothing is taken over before it has succeeded', async () => {
    const { t, client } = await online()
    const newcomer = t.first(connect({ clientId: 'a', properties: method }))
    await newcomer.expectPacket('auth', challenged('first'))
    await client.expectNothing()
    newcomer.send(answer('wrong'))
    await newcomer.expectRefused(0x87)
    await client.expectNothing()
  })

  test("the client's settings and its will survive the exchange", async () => {
    const { t, client } = await online()
    const watcher = await t.connect()
    await watcher.subscribe(['w'])
    client.drop()
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
    expect(t.state('a')).toBe('offline')
  })
})

describe('without a method', () => {
  test('MQTT-4.12.0-6 no AUTH, and no method in CONNACK', async () => {
    const t = startBroker({ authenticators: [rounds()], allowAnonymous: true })
    const client = await t.connect({ clientId: 'a' })
    expect(client.connack?.properties.authenticationMethod).toBeUndefined()
    expect(client.connack?.properties.authenticationData).toBeUndefined()
    await client.expectNothing()
  })

  test.each([
    ['AUTH 0x19', auth(0x19, method)],
    ['AUTH 0x18', auth(0x18, method)],
  ])('MQTT-4.12.0-7 %s is a protocol error', async (_name, bytes) => {
    const t = startBroker({ authenticators: [rounds()], allowAnonymous: true })
    const client = await t.connect({ clientId: 'a' })
    client.send(bytes)
    await client.expectDisconnect(0x82)
  })

  test('data without a method is a protocol error', async () => {
    const t = startBroker()
    await t.first(connect({ clientId: 'a', properties: { authenticationData: Buffer.from('x') } })).expectRefused(0x82)
  })
})

describe('re-authentication', () => {
  test('MQTT-4.12.0-5 MQTT-4.12.1-1 AUTH 0x19, rounds, AUTH 0x00; everything else goes on meanwhile', async () => {
    const seen: AuthenticationRequest[] = []
    const { t, client } = await online(seen)
    seen.length = 0
    client.send(auth(0x19, { ...method, authenticationData: Buffer.from('again') }))
    await client.expectPacket('auth', challenged('first'))
    await client.subscribe([['t', { qos: 1 }]])
    await (await t.connect()).publish({ topic: 't', payload: 'meanwhile', qos: 1 })
    await client.acknowledge(await client.expectPublish({ topic: 't', payload: 'meanwhile', qos: 1 }))
    await client.expectNothing()
    client.send(answer('one'))
    await client.expectPacket('auth', challenged('second'))
    client.send(answer('two'))
    await client.expectPacket('auth', {
      reasonCode: 0,
      properties: { ...method, authenticationData: Buffer.from('done') },
    })
    expect(seen.map(({ round, reauthentication, grant }) => [round, reauthentication, grant?.principal])).toEqual([
      [0, true, 'somebody'],
      [1, true, 'somebody'],
      [2, true, 'somebody'],
    ])
    await client.expectNothing()
    // And once more.
    client.send(auth(0x19, method))
    await client.expectPacket('auth', challenged('first'))
  })

  test('MQTT-4.12.1-2 a failure ends the connection, and the session by its own rules', async () => {
    const { t, client } = await online()
    client.send(auth(0x19, method))
    await client.expectPacket('auth', challenged('first'))
    client.send(answer('wrong'))
    await client.expectDisconnect(0x87)
    expect(t.state('a')).toBe('offline')
  })

  // Semantics 7.10: 0x82 or 0x8C. The method is the fault, and section 2.4 gives 0x8C to DISCONNECT.
  test('MQTT-4.12.1-1 another method is refused with 0x8C', async () => {
    const { client } = await online()
    client.send(auth(0x19, { authenticationMethod: 'OTHER' }))
    await client.expectDisconnect(0x8c)
  })

  test.each([
    ['AUTH 0x18 out of turn', auth(0x18, method)],
    ['AUTH 0x00', auth(0x00, method)],
    ['AUTH without properties', auth()],
    ['AUTH 0x19 without a method', auth(0x19, [])],
    ['MQTT-3.15.2-1 an undefined code', auth(0x01, method)],
    [
      'a property of another packet',
      auth(0x19, [property('authenticationMethod', 'ROUNDS'), property('topicAlias', 1)]),
    ],
    [
      'two methods',
      auth(0x19, [property('authenticationMethod', 'ROUNDS'), property('authenticationMethod', 'ROUNDS')]),
    ],
  ])('%s is a protocol error', async (_name, bytes) => {
    const { client } = await online()
    client.send(bytes)
    await client.expectDisconnect(0x82)
  })

  test('AUTH 0x19 during a re-authentication is a protocol error', async () => {
    const { client } = await online()
    client.send(auth(0x19, method))
    await client.expectPacket('auth', challenged('first'))
    client.send(auth(0x19, method))
    await client.expectDisconnect(0x82)
  })

  test('it is bounded in time', async () => {
    const { t, client } = await online()
    client.send(auth(0x19, method))
    await client.expectPacket('auth', challenged('first'))
    await t.advance(10_000)
    await client.expectDisconnect(0x87)
  })
})

describe('AUTH packets', () => {
  test.each(['f1', 'f2', 'f4', 'f8'])('MQTT-3.15.1-1 flags other than zero are malformed: %s', async (first) => {
    const { client } = await online()
    client.send(`${first} 0a 18 08 15 0006 524f554e4453`)
    await client.expectDisconnect(0x81)
  })

  // The broker says no reason and has no user properties in AUTH, so a small maximum changes nothing.
  test("MQTT-3.15.2-2 MQTT-3.15.2-3 the broker's carry no reason string and no user properties", async () => {
    const t = startBroker({ authenticators: [rounds()] })
    for (const maximumPacketSize of [60, 10_000]) {
      const client = t.first(connect({ clientId: 'a', properties: { ...method, maximumPacketSize } }))
      await client.expectPacket('auth', challenged('first'))
      client.send(
        answer('one', [
          property('authenticationMethod', 'ROUNDS'),
          property('authenticationData', 'one'),
          property('reasonString', 'why not'),
          property('userProperties', ['a', 'b']),
        ]),
      )
      await client.expectPacket('auth', challenged('second'))
      client.drop()
    }
  })
})
