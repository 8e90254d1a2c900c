/** MQTT 5 section 3.2: CONNACK, what it announces, and what happens to clients that ignore it. */
import { describe, expect, test } from 'vitest'

import { allow, deny, next, type Next } from '../../../src/hooks.ts'
import { defaultLimits } from '../../../src/limits.ts'
import { startBroker } from '../../support/test-broker.ts'
import { connect, disconnect, pingreq, publish, subscribe, type WillInput } from '../../support/wire.ts'

describe('flags and reason codes', () => {
  test('MQTT-3.2.2-1 MQTT-3.2.2-2 MQTT-3.2.2-3 Session Present is the only flag and tells whether there was state', async () => {
    const t = startBroker()
    const session = { clientId: 'a', properties: { sessionExpiryInterval: 100 } }
    const present: Array<readonly [boolean, boolean | undefined]> = []
    for (const cleanStart of [false, false, true, false, true]) {
      const client = await t.connect({ ...session, cleanStart })
      present.push([cleanStart, client.connack?.sessionPresent])
      // Bits 7-1 and the place of Session Present, from the bytes themselves.
      expect(client.lastFrame.readUInt8(2)).toBe(client.connack?.sessionPresent ? 1 : 0)
      client.send(disconnect())
      await client.expectClosed()
    }
    expect(present).toEqual([
      [false, false],
      [false, true],
      [true, false],
      [false, true],
      [true, false],
    ])
  })

  test('MQTT-3.2.2-6 MQTT-3.2.2-7 MQTT-3.14.0-1 a refusal has Session Present 0, comes alone and is followed by the end', async () => {
    let open = true
    const t = startBroker({
      authenticators: [{ name: 'door', authenticate: () => (open ? allow() : deny(0x86, 'closed')) }],
    })
    const client = await t.connect({ clientId: 'a', properties: { sessionExpiryInterval: 100 } })
    client.drop()
    await t.settle()
    open = false
    const refused = t.first(connect({ clientId: 'a', cleanStart: false }))
    await refused.expectRefused(0x86)
    expect(t.state('a')).toBe('offline')
  })

  test('MQTT-3.2.0-1 MQTT-3.1.4-5 CONNACK comes before the messages of a resumed session', async () => {
    const t = startBroker()
    const session = { clientId: 'a', cleanStart: false, properties: { sessionExpiryInterval: 100 } }
    const client = await t.connect(session)
    await client.subscribe([['t', { qos: 1 }]])
    client.drop()
    await t.settle()
    await (await t.connect()).publish({ topic: 't', payload: 'waiting', qos: 1 })
    const again = t.first(connect(session))
    await again.expectPacket('connack', { reasonCode: 0, sessionPresent: true })
    await again.expectPublish({ topic: 't', payload: 'waiting', qos: 1 })
  })
})

describe('what is announced', () => {
  test('the default broker announces its limits and nothing that is the default anyway', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a' })
    expect(client.connack).toEqual({
      type: 'connack',
      sessionPresent: false,
      reasonCode: 0,
      properties: {
        receiveMaximum: defaultLimits.receiveMaximumMessages,
        maximumPacketSize: defaultLimits.maxPacketBytes,
        topicAliasMaximum: defaultLimits.topicAliasMaximum,
      },
    })
  })

  test.each([
    ['asked for', 1, 'answers/here'],
    ['declined', 0, undefined],
    ['not mentioned', undefined, undefined],
  ] as const)('MQTT-3.1.2-28 Response Information %s', async (_name, requestResponseInformation, expected) => {
    const t = startBroker({ responseInformation: 'answers/here' })
    const properties = requestResponseInformation === undefined ? {} : { requestResponseInformation }
    const client = await t.connect({ clientId: 'a', properties })
    expect(client.connack?.properties.responseInformation).toBe(expected)
  })

  test.each([
    ['above the limit', 200, 100],
    ['for ever', 0xffffffff, 100],
    ['within the limit', 50, undefined],
  ])('Session Expiry Interval: a value that was changed is told (%s)', async (_name, asked, told) => {
    const t = startBroker({ limits: { maxSessionExpirySeconds: 100 } })
    const client = await t.connect({ clientId: 'a', properties: { sessionExpiryInterval: asked } })
    expect(client.connack?.properties.sessionExpiryInterval).toBe(told)
    client.drop()
    await t.advance((told ?? asked) * 1000 - 1)
    expect(t.state('a')).toBe('offline')
    await t.advance(1)
    expect(t.state('a')).toBeUndefined()
  })

  test.each([
    ['none asked', 0, 60],
    ['more asked', 61, 60],
    ['the most possible asked', 0xffff, 60],
    ['as much asked', 60, undefined],
    ['less asked', 30, undefined],
  ])('Server Keep Alive is sent where it differs, and enforced: %s', async (_name, keepAlive, told) => {
    const t = startBroker({ limits: { maxKeepAliveSeconds: 60 } })
    const client = await t.connect({ clientId: 'a', keepAlive })
    expect(client.connack?.properties.serverKeepAlive).toBe(told)
    await t.advance((told ?? keepAlive) * 1000)
    await client.expectNothing()
    await t.advance((told ?? keepAlive) * 2000)
    await client.expectDisconnect(0x8d)
  })
})

describe('Maximum QoS', () => {
  test.each([
    [2, undefined],
    [1, 1],
    [0, 0],
  ] as const)('MQTT-3.2.2-9 a broker for QoS %s announces it', async (maximumQoS, announced) => {
    const t = startBroker({ maximumQoS })
    expect((await t.connect()).connack?.properties.maximumQoS).toBe(announced)
  })

  test.each([0, 1] as const)(
    'MQTT-3.2.2-10 it takes SUBSCRIBE with any QoS and grants at most %s',
    async (maximumQoS) => {
      const t = startBroker({ maximumQoS })
      const client = await t.connect()
      client.send(
        subscribe({
          filters: [
            ['a', { qos: 0 }],
            ['b', { qos: 1 }],
            ['c', { qos: 2 }],
          ],
        }),
      )
      await client.expectPacket('suback', { reasonCodes: [0, maximumQoS, maximumQoS] })
    },
  )

  test.each([
    [0, 1],
    [0, 2],
    [1, 2],
  ] as const)('MQTT-3.2.2-11 at maximum %s a PUBLISH with QoS %s gets 0x9B', async (maximumQoS, qos) => {
    const t = startBroker({ maximumQoS })
    const client = await t.connect()
    client.send(publish({ topic: 't', qos }))
    await client.expectDisconnect(0x9b)
  })

  test('MQTT-3.2.2-12 a will with more than that is refused with 0x9B', async () => {
    const t = startBroker({ maximumQoS: 1 })
    await t.first(connect({ clientId: 'a', will: { topic: 'w', qos: 2 } })).expectRefused(0x9b)
    await t.connect({ clientId: 'a', will: { topic: 'w', qos: 1 } })
  })
})

describe('Retain Available 0', () => {
  test('MQTT-3.2.2-13 a retained will is refused with 0x9A', async () => {
    const t = startBroker({ retainAvailable: false })
    const will: WillInput = { topic: 'w', retain: true }
    await t.first(connect({ clientId: 'a', will })).expectRefused(0x9a)
    const client = await t.connect({ clientId: 'a', will: { ...will, retain: false } })
    expect(client.connack?.properties.retainAvailable).toBe(0)
  })

  test('MQTT-3.2.2-14 a retained PUBLISH gets 0x9A', async () => {
    const t = startBroker({ retainAvailable: false })
    for (const qos of [0, 1, 2]) {
      const client = await t.connect()
      client.send(publish({ topic: 't', retain: true, payload: 'x', qos }))
      await client.expectDisconnect(0x9a)
    }
  })
})

describe('features that are switched off', () => {
  test.each([
    ['wildcard subscriptions', { wildcardSubscriptionAvailable: false }, 'a/+', 0xa2],
    ['wildcard subscriptions', { wildcardSubscriptionAvailable: false }, '#', 0xa2],
    ['shared subscriptions', { sharedSubscriptionAvailable: false }, '$share/g/a', 0x9e],
  ] as const)('%s are announced as 0 and refused in SUBACK', async (_name, option, filter, code) => {
    const t = startBroker(option)
    const client = await t.connect()
    const [name] = Object.keys(option) as [keyof typeof option]
    expect(client.connack?.properties[name]).toBe(0)
    client.send(subscribe({ filters: [filter, 'plain'] }))
    await client.expectPacket('suback', { reasonCodes: [code, 0] })
  })

  test('subscription identifiers are announced as 0 and refused', async () => {
    const t = startBroker({ subscriptionIdentifiersAvailable: false })
    const client = await t.connect()
    expect(client.connack?.properties.subscriptionIdentifiersAvailable).toBe(0)
    client.send(subscribe({ filters: ['a', 'b'], properties: { subscriptionIdentifiers: [1] } }))
    await client.expectPacket('suback', { reasonCodes: [0xa1, 0xa1] })
  })
})

describe('Maximum Packet Size', () => {
  test('MQTT-3.2.2-15 a packet above the announced size gets 0x95 before its body is there', async () => {
    const t = startBroker({ limits: { maxPacketBytes: 1000 } })
    const client = await t.connect()
    expect(client.connack?.properties.maximumPacketSize).toBe(1000)
    const overhead = publish({ topic: 't', payload: 'x'.repeat(200) }).length - 200
    client.send(publish({ topic: 't', payload: 'x'.repeat(1000 - overhead), qos: 0 }))
    await client.expectNothing()
    // Only the fixed header of a packet of 1001 bytes: 1 + 2 + 998.
    client.send('30 e6 07')
    await client.expectDisconnect(0x95)
  })

  test('a CONNECT above the size before CONNECT is closed, whatever it declares', async () => {
    const t = startBroker({ limits: { maxPacketBytesBeforeConnect: 1000 } })
    const client = t.first('10 ff ff ff 7f')
    const answer = await client.next()
    if (answer !== 'closed') {
      expect(answer).toMatchObject({ type: 'connack', reasonCode: 0x95 })
      await client.expectClosed()
    }
  })

  test('MQTT-3.2.2-19 a reason string that does not fit is left out of CONNACK', async () => {
    const reason = 'because '.repeat(20)
    const t = startBroker({ authenticators: [{ name: 'no', authenticate: () => deny(0x87, reason) }] })
    const roomy = await t.first(connect({ clientId: 'a' })).expectRefused(0x87)
    expect(roomy.properties.reasonString).toBe(reason)
    const tight = t.first(connect({ clientId: 'a', properties: { maximumPacketSize: 100 } }))
    expect((await tight.expectRefused(0x87)).properties).toEqual({})
  })

  test('MQTT-3.2.2-20 CONNACK carries no user properties, with or without room', async () => {
    const t = startBroker()
    const userProperties = [['a', 'b']] as const
    for (const maximumPacketSize of [100, 10_000]) {
      const client = await t.connect({ clientId: 'a', properties: { maximumPacketSize, userProperties } })
      expect(client.connack?.properties.userProperties).toBeUndefined()
      expect(client.lastFrame.length).toBeLessThanOrEqual(maximumPacketSize)
    }
  })
})

describe('keep alive without a Server Keep Alive', () => {
  test('MQTT-3.2.2-22 MQTT-3.1.2-22 the value of CONNECT is enforced: silence for 1.5 times as long ends the connection', async () => {
    const t = startBroker()
    const watcher = await t.connect()
    await watcher.subscribe(['w'])
    const client = await t.connect({ clientId: 'a', keepAlive: 10, will: { topic: 'w', payload: 'gone' } })
    expect(client.connack?.properties.serverKeepAlive).toBeUndefined()
    await t.advance(14_900)
    await client.expectNothing()
    await t.advance(14_900)
    expect(t.state('a')).toBe('online')
    // The sweep may find it a little late, never early.
    await t.advance(5_100)
    await client.expectDisconnect(0x8d)
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
  })

  test('MQTT-3.1.2-22 any packet counts as a sign of life, half of one does not', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a', keepAlive: 10 })
    for (let round = 0; round < 5; round += 1) {
      await t.advance(14_000)
      client.send(publish({ topic: 't' }))
      await t.settle()
    }
    await client.expectNothing()
    for (let round = 0; round < 4; round += 1) {
      await t.advance(5_000)
      client.send(round === 0 ? '30 7f' : '00')
      await t.settle()
    }
    await client.expectDisconnect(0x8d)
  })

  test('MQTT-3.1.2-22 packets that wait for a decision of the broker are no silence', async () => {
    let decide: () => void = () => {}
    const decision = new Promise<Next>((resolve) => {
      decide = () => resolve(next())
    })
    const t = startBroker({
      limits: { decisionTimeoutMs: 100_000 },
      hooks: { onPublish: () => decision },
    })
    const client = await t.connect({ clientId: 'a', keepAlive: 10 })
    client.send(publish({ topic: 't', qos: 1 }))
    for (let round = 0; round < 5; round += 1) {
      await t.advance(9_000)
      client.send(pingreq())
    }
    decide()
    await client.expectPacket('puback')
    for (let round = 0; round < 5; round += 1) await client.expectPacket('pingresp')
    await t.advance(20_000)
    await client.expectDisconnect(0x8d)
  })

  test('MQTT-3.1.2-22 keep alive 0 is never enforced', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a', keepAlive: 0 })
    await t.advance(10 * 86_400_000)
    await client.expectNothing()
  })
})

describe('server reference', () => {
  test.each([0x9c, 0x9d] as const)('onRegister sends clients elsewhere with CONNACK (case %#)', async (reasonCode) => {
    const t = startBroker({
      hooks: {
        onRegister: (request) =>
          request.clientId === 'moved' ? deny(reasonCode, 'moved', 'other.example:1883') : next(),
      },
    })
    const refused = await t.first(connect({ clientId: 'moved' })).expectRefused(reasonCode)
    expect(refused.properties.serverReference).toBe('other.example:1883')
    expect(t.state('moved')).toBeUndefined()
    await t.connect({ clientId: 'stays' })
  })
})
