/** What an authenticator sets for one session, as CONNACK tells it (semantics 7.12). */
import { describe, expect, test } from 'vitest'

import { allow, type Allow, type BrokerOptions } from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'
import type { WireProperties } from '../support/wire-properties.ts'
import { auth, connect, type ConnectInput } from '../support/wire.ts'

type Given = Omit<Allow, 'type'>

/** A broker that gives the client `own` modifiers, and any other none. */
function start(given: Given, options: BrokerOptions = {}) {
  return startBroker({
    authenticators: [{ name: 'a', authenticate: ({ clientId }) => (clientId === 'own' ? allow(given) : allow()) }],
    ...options,
  })
}

async function connackOf(given: Given, input: ConnectInput = {}, options: BrokerOptions = {}): Promise<WireProperties> {
  const t = start(given, options)
  const { connack } = await t.connect({ clientId: 'own', ...input })
  return connack!.properties
}

/** What a client is told that nobody made an exception for. */
const usual = { receiveMaximum: 100, maximumPacketSize: 1_048_576, topicAliasMaximum: 10 }

describe('semantics 7.12: CONNACK tells the client what is different for it', () => {
  const cases: [name: string, given: Given, input: ConnectInput, told: WireProperties][] = [
    ['nothing', {}, {}, {}],
    ['limits.receiveMaximumMessages', { limits: { receiveMaximumMessages: 7 } }, {}, { receiveMaximum: 7 }],
    ['limits.maxPacketBytes', { limits: { maxPacketBytes: 200 } }, {}, { maximumPacketSize: 200 }],
    ['limits.topicAliasMaximum', { limits: { topicAliasMaximum: 3 } }, {}, { topicAliasMaximum: 3 }],
    [
      'limits.maxSessionExpirySeconds',
      { limits: { maxSessionExpirySeconds: 30 } },
      { properties: { sessionExpiryInterval: 60 } },
      { sessionExpiryInterval: 30 },
    ],
    ['limits.maxKeepAliveSeconds', { limits: { maxKeepAliveSeconds: 20 } }, { keepAlive: 60 }, { serverKeepAlive: 20 }],
    ['connack.maximumQoS', { connack: { maximumQoS: 1 } }, {}, { maximumQoS: 1 }],
    ['connack.retainAvailable', { connack: { retainAvailable: false } }, {}, { retainAvailable: 0 }],
    [
      'connack.wildcardSubscriptionAvailable',
      { connack: { wildcardSubscriptionAvailable: false } },
      {},
      { wildcardSubscriptionAvailable: 0 },
    ],
    [
      'connack.subscriptionIdentifiersAvailable',
      { connack: { subscriptionIdentifiersAvailable: false } },
      {},
      { subscriptionIdentifiersAvailable: 0 },
    ],
    [
      'connack.sharedSubscriptionAvailable',
      { connack: { sharedSubscriptionAvailable: false } },
      {},
      { sharedSubscriptionAvailable: 0 },
    ],
    [
      'connack.sessionExpiryIntervalSeconds, longer',
      { connack: { sessionExpiryIntervalSeconds: 900 } },
      { properties: { sessionExpiryInterval: 60 } },
      { sessionExpiryInterval: 900 },
    ],
    [
      'connack.sessionExpiryIntervalSeconds, none',
      { connack: { sessionExpiryIntervalSeconds: 0 } },
      { properties: { sessionExpiryInterval: 60 } },
      { sessionExpiryInterval: 0 },
    ],
    [
      'connack.sessionExpiryIntervalSeconds beyond the limit',
      { connack: { sessionExpiryIntervalSeconds: 900 }, limits: { maxSessionExpirySeconds: 100 } },
      { properties: { sessionExpiryInterval: 60 } },
      { sessionExpiryInterval: 100 },
    ],
    ['connack.keepAliveSeconds', { connack: { keepAliveSeconds: 5 } }, { keepAlive: 60 }, { serverKeepAlive: 5 }],
    ['connack.keepAliveSeconds, none', { connack: { keepAliveSeconds: 0 } }, { keepAlive: 60 }, { serverKeepAlive: 0 }],
    [
      'connack.responseInformation',
      { connack: { responseInformation: 'replies/own' } },
      { properties: { requestResponseInformation: 1 } },
      { responseInformation: 'replies/own' },
    ],
    ['connack.responseInformation unasked', { connack: { responseInformation: 'replies/own' } }, {}, {}],
    ['connack.reasonString', { connack: { reasonString: 'welcome back' } }, {}, { reasonString: 'welcome back' }],
    [
      'connack.userProperties',
      {
        connack: {
          userProperties: [
            ['tier', 'gold'],
            ['tier', 'beta'],
          ],
        },
      },
      {},
      {
        userProperties: [
          ['tier', 'gold'],
          ['tier', 'beta'],
        ],
      },
    ],
  ]
  test.each(cases)('%s', async (_, given, input, told) => {
    expect(await connackOf(given, input)).toEqual({ ...usual, ...told })
  })

  test('what the broker offers nobody may be offered to one', async () => {
    const options = { maximumQoS: 0, retainAvailable: false, responseInformation: 'replies' } as const
    const input = { properties: { requestResponseInformation: 1 } }
    const given = { connack: { maximumQoS: 2, retainAvailable: true } } as const
    expect(await connackOf(given, input, options)).toEqual({ ...usual, responseInformation: 'replies' })
  })

  test('the next client is told what everybody is', async () => {
    const t = start({ limits: { receiveMaximumMessages: 7 }, connack: { maximumQoS: 1, reasonString: 'hello' } })
    await t.connect({ clientId: 'own' })
    expect((await t.connect({ clientId: 'other' })).connack!.properties).toEqual(usual)
  })

  test('a reason that does not fit is left out, a limit is not', async () => {
    const properties = { maximumPacketSize: 60 }
    const given = { connack: { reasonString: 'x'.repeat(100), maximumQoS: 1 } } as const
    expect(await connackOf(given, { properties })).toEqual({ ...usual, maximumQoS: 1 })
  })

  test('with an answer that takes its time, and in enhanced authentication', async () => {
    const t = startBroker({
      authenticators: [
        { name: 'later', authenticate: () => Promise.resolve(allow({ limits: { receiveMaximumMessages: 7 } })) },
        {
          name: 'rounds',
          methods: ['M'],
          authenticate: ({ round }) =>
            round === 0 ? { type: 'challenge' } : allow({ limits: { receiveMaximumMessages: 8 } }),
        },
      ],
    })
    const later = await t.connect({ clientId: 'later' })
    expect(later.connack!.properties).toEqual({ ...usual, receiveMaximum: 7 })
    const rounds = t.first(connect({ clientId: 'rounds', properties: { authenticationMethod: 'M' } }))
    await rounds.expectPacket('auth', { reasonCode: 0x18 })
    rounds.send(auth(0x18, { authenticationMethod: 'M' }))
    const { properties } = await rounds.expectPacket('connack', { reasonCode: 0 })
    expect(properties).toEqual({ ...usual, receiveMaximum: 8, authenticationMethod: 'M' })
  })
})

describe('who comes back', () => {
  const input = { clientId: 'own', cleanStart: false, properties: { sessionExpiryInterval: 60 } }

  test.each(['offline', 'online'])('is told what holds for it now, its session being %s', async (state) => {
    const rates = [7, 9]
    const t = startBroker({
      authenticators: [
        { name: 'a', authenticate: () => allow({ limits: { receiveMaximumMessages: rates.shift()! } }) },
      ],
    })
    const first = await t.connect(input)
    if (state === 'offline') first.drop()
    await t.settle()
    const again = await t.connect(input)
    expect(again.connack).toMatchObject({ sessionPresent: true, properties: { receiveMaximum: 9 } })
  })

  test('has no modifiers any more where none were given', async () => {
    const verdicts = [allow({ limits: { receiveMaximumMessages: 7 }, connack: { maximumQoS: 0 } }), allow()]
    const t = startBroker({ authenticators: [{ name: 'a', authenticate: () => verdicts.shift()! }] })
    await t.connect(input)
    expect((await t.connect(input)).connack!.properties).toEqual(usual)
  })
})

describe('MQTT 3.1.1, which CONNACK tells nothing', () => {
  test('the session is kept as long as the authenticator says', async () => {
    const t = start({ connack: { sessionExpiryIntervalSeconds: 10 } })
    const client = await t.connect({ version: 4, clientId: 'own', cleanStart: false })
    client.drop()
    await t.advance(9_000)
    expect(t.state('own')).toBe('offline')
    await t.advance(2_000)
    expect(t.state('own')).toBeUndefined()
  })

  test('a clean session is not kept (MQTT-3.1.2-6 of 3.1.1)', async () => {
    const t = start({ connack: { sessionExpiryIntervalSeconds: 10 } })
    const client = await t.connect({ version: 4, clientId: 'own', cleanStart: true })
    client.drop()
    await t.settle()
    expect(t.state('own')).toBeUndefined()
  })

  test('its keepalive is the server’s', async () => {
    const t = start({ connack: { keepAliveSeconds: 10 } })
    const client = await t.connect({ version: 4, clientId: 'own', keepAlive: 600 })
    await t.advance(17_000)
    await client.expectClosed()
  })
})
