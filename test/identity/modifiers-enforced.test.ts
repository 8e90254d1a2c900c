/** What an authenticator sets for one session holds from its CONNACK on, for MQTT 5 and 3.1.1. */
import { describe, expect, test } from 'vitest'

import { allow, type Allow, type BrokerEvent, type BrokerOptions } from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { auth, connect, disconnect, publish, subscribe, type ConnectInput, type Version } from '../support/wire.ts'

type Given = Omit<Allow, 'type'>
const versions: readonly Version[] = [4, 5]

/** A broker that gives the client `own` modifiers, and any other none. */
function start(given: Given, options: BrokerOptions = {}) {
  const t = startBroker({
    authenticators: [{ name: 'a', authenticate: ({ clientId }) => (clientId === 'own' ? allow(given) : allow()) }],
    ...options,
  })
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => events.push(event))
  const own = (version: Version, input: ConnectInput = {}) => t.connect({ clientId: 'own', version, ...input })
  return { ...t, events, own }
}

/** What a client that breaks a rule gets: MQTT 5 hears why. */
async function expectEnd(client: Awaited<ReturnType<ReturnType<typeof start>['own']>>, code: number): Promise<void> {
  if (client.version === 5) await client.expectDisconnect(code)
  else await client.expectClosed()
}

describe.each(versions)('MQTT version %i', (version) => {
  test('limits.maxPacketBytes: a larger packet ends the connection before it is there', async () => {
    const t = start({ limits: { maxPacketBytes: 100 } })
    const other = await t.connect({ version })
    const client = await t.own(version)
    await client.publish({ topic: 't', payload: 'x'.repeat(80) })
    await other.publish({ topic: 't', payload: 'x'.repeat(200) })
    client.send(publish({ version, topic: 't', payload: 'x'.repeat(200) }).subarray(0, 20))
    await expectEnd(client, 0x95)
  })

  test('limits.maxPacketBytes may be more than the listener’s', async () => {
    const t = start({ limits: { maxPacketBytes: 1_000 } }, { limits: { maxPacketBytes: 100 } })
    const client = await t.own(version)
    expect(await client.publish({ topic: 't', payload: 'x'.repeat(500), qos: 1 })).toMatchObject({ type: 'puback' })
  })

  test('limits.maxTopicLevels: of what it publishes and of what it subscribes to', async () => {
    const t = start({ limits: { maxTopicLevels: 2 } })
    const client = await t.own(version)
    client.send(subscribe({ version, packetId: 1, filters: ['x/y', 'a/b/c'] }))
    await client.expectPacket('suback', { reasonCodes: [0, version === 5 ? 0x8f : 0x80] })
    await client.publish({ topic: 'a/b' })
    client.send(publish({ version, topic: 'a/b/c' }))
    await expectEnd(client, 0x90)
  })

  test('limits.maxSubscriptionsPerSession', async () => {
    const t = start({ limits: { maxSubscriptionsPerSession: 1 } })
    const client = await t.own(version)
    client.send(subscribe({ version, packetId: 1, filters: ['a', 'b'] }))
    await client.expectPacket('suback', { reasonCodes: [0, version === 5 ? 0x97 : 0x80] })
  })

  test('limits.maxMessagesPerSecond and messageBurst: the rest is read later', async () => {
    const t = start({ limits: { maxMessagesPerSecond: 10, messageBurst: 2 } })
    const watcher = await t.connect()
    await watcher.subscribe(['t'])
    const client = await t.own(version)
    client.send(...['1', '2', '3', '4'].map((payload) => publish({ version, topic: 't', payload })))
    await t.settle()
    expect(await watcher.drain()).toMatchObject([{ payload: '1' }, { payload: '2' }])
    await t.advance(100)
    expect(await watcher.drain()).toMatchObject([{ payload: '3' }])
    await t.advance(100)
    expect(await watcher.drain()).toMatchObject([{ payload: '4' }])
  })

  test('limits.maxInflightMessages: the next waits for an acknowledgement', async () => {
    const t = start({ limits: { maxInflightMessages: 2 } })
    const client = await t.own(version)
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    for (const payload of ['1', '2', '3']) await publisher.publish({ topic: 't', payload, qos: 1 })
    const first = await client.expectPacket('publish', { payload: '1' })
    await client.expectPacket('publish', { payload: '2' })
    await client.expectNothing()
    await client.acknowledge(first)
    await client.expectPacket('publish', { payload: '3' })
  })

  test.each([
    ['drop-oldest', ['3', '4']],
    ['drop-newest', ['1', '2']],
  ] as const)('limits.maxQueuedMessages with connack.overflowPolicy %s', async (overflowPolicy, left) => {
    const t = start(
      { limits: { maxQueuedMessages: 2 }, connack: { overflowPolicy } },
      { overflowPolicy: overflowPolicy === 'drop-oldest' ? 'drop-newest' : 'drop-oldest' },
    )
    const stay = { cleanStart: false, properties: { sessionExpiryInterval: 60 } }
    const client = await t.own(version, stay)
    await client.subscribe([['t', { qos: 1 }]])
    client.drop()
    await t.settle()
    const publisher = await t.connect()
    for (const payload of ['1', '2', '3', '4']) await publisher.publish({ topic: 't', payload, qos: 1 })
    const again = await t.own(version, stay)
    expect(await again.drain()).toMatchObject(left.map((payload) => ({ type: 'publish', payload })))
  })

  test('connack.overflowPolicy of who comes back holds for what waits from then on', async () => {
    const policies = ['drop-newest', 'drop-oldest'] as const
    let at = 0
    const t = startBroker({
      limits: { maxQueuedMessages: 2 },
      authenticators: [
        {
          name: 'a',
          authenticate: ({ clientId }) =>
            allow(clientId === 'own' ? { connack: { overflowPolicy: policies[Math.min(at++, 1)]! } } : {}),
        },
      ],
    })
    const publisher = await t.connect()
    for (let turn = 0; turn < 2; turn += 1) {
      const client = await t.connect({
        clientId: 'own',
        version,
        cleanStart: false,
        properties: { sessionExpiryInterval: 60 },
      })
      for (const packet of await client.drain()) if (packet.type === 'publish') await client.acknowledge(packet)
      await client.subscribe([['t', { qos: 1 }]])
      client.drop()
      await t.settle()
      for (const payload of ['1', '2', '3', '4']) await publisher.publish({ topic: 't', payload, qos: 1 })
    }
    const last = await t.connect({ clientId: 'own', version, cleanStart: false })
    expect(await last.drain()).toMatchObject([{ payload: '3' }, { payload: '4' }])
  })

  test('limits.maxQueuedBytes', async () => {
    const t = start({ limits: { maxQueuedBytes: 400 } })
    const stay = { cleanStart: false, properties: { sessionExpiryInterval: 60 } }
    const client = await t.own(version, stay)
    await client.subscribe([['t', { qos: 1 }]])
    client.drop()
    await t.settle()
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: '1'.repeat(300), qos: 1 })
    await publisher.publish({ topic: 't', payload: '2'.repeat(300), qos: 1 })
    expect(t.broker.sessions.get('own')?.queuedMessages).toBe(1)
  })

  test('connack.overflowPolicy disconnect', async () => {
    const t = start({
      limits: { maxQueuedMessages: 1, maxInflightMessages: 1 },
      connack: { overflowPolicy: 'disconnect' },
    })
    const client = await t.own(version)
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await t.connect()
    for (const payload of ['1', '2', '3']) await publisher.publish({ topic: 't', payload, qos: 1 })
    await client.expectPacket('publish', { payload: '1' })
    await expectEnd(client, 0x97)
  })

  test('connack.maximumQoS: of what it publishes, subscribes to, and wants as its will', async () => {
    const t = start({ connack: { maximumQoS: 1 } })
    const client = await t.own(version)
    expect((await client.subscribe([['t', { qos: 2 }]])).reasonCodes).toEqual([1])
    await client.publish({ topic: 'other', qos: 1 })
    client.send(publish({ version, topic: 't', qos: 2, packetId: 1 }))
    await expectEnd(client, 0x9b)
    const refused = t.attach({ version })
    refused.send(connect({ version, clientId: 'own', will: { topic: 'w', qos: 2 } }))
    if (version === 5) await refused.expectRefused(0x9b)
    else await refused.expectClosed()
  })

  test('connack.retainAvailable', async () => {
    const t = start({ connack: { retainAvailable: false } })
    const client = await t.own(version)
    client.send(publish({ version, topic: 't', retain: true }))
    await expectEnd(client, 0x9a)
  })

  test('connack.wildcardSubscriptionAvailable and sharedSubscriptionAvailable', async () => {
    const t = start({ connack: { wildcardSubscriptionAvailable: false, sharedSubscriptionAvailable: false } })
    const client = await t.own(version)
    client.send(subscribe({ version, packetId: 1, filters: ['a', 'a/#', '$share/g/a'] }))
    await client.expectPacket('suback', { reasonCodes: version === 5 ? [0, 0xa2, 0x9e] : [0, 0x80, 0x80] })
  })

  test('connack.sharedSubscriptionStrategy: of what it publishes, and of nobody else’s', async () => {
    const t = start({ connack: { sharedSubscriptionStrategy: 'sticky' } })
    const members = await Promise.all([1, 2].map(() => t.connect()))
    for (const member of members) await member.subscribe(['$share/g/t'])
    const counts = async (): Promise<number[]> =>
      Promise.all(members.map(async (member) => (await member.drain()).length))
    const client = await t.own(version)
    for (let count = 0; count < 4; count += 1) await client.publish({ topic: 't' })
    expect((await counts()).toSorted((a, b) => a - b)).toEqual([0, 4])
    const other = await t.connect({ version })
    for (let count = 0; count < 4; count += 1) await other.publish({ topic: 't' })
    expect(await counts()).toEqual([2, 2])
  })

  test('limits.maxConnectionSeconds', async () => {
    const t = start({ limits: { maxConnectionSeconds: 10 } })
    const client = await t.own(version)
    await t.advance(9_000)
    await client.expectNothing()
    await t.advance(2_000)
    await expectEnd(client, 0xa0)
  })

  test('who resumes the session from elsewhere has what holds there', async () => {
    const t = start({ limits: { maxPacketBytes: 100, maxTopicLevels: 1 }, connack: { maximumQoS: 1 } })
    const stay = { cleanStart: false, properties: { sessionExpiryInterval: 60 } }
    const first = await t.connect({ clientId: 'else', version, ...stay })
    await first.subscribe([['t', { qos: 2 }]])
    const second = await t.own(version, stay)
    await second.publish({ topic: 't', qos: 1 })
    second.send(publish({ version, topic: 'a/b' }))
    await expectEnd(second, 0x90)
    await first.expectPacket('publish', { topic: 't', qos: 1 })
  })
})

describe('MQTT 5', () => {
  test('limits.receiveMaximumMessages: one more QoS 2 message under way', async () => {
    const t = start({ limits: { receiveMaximumMessages: 2 } })
    const client = await t.own(5)
    for (const packetId of [1, 2]) {
      client.send(publish({ topic: 't', qos: 2, packetId }))
      await client.expectPacket('pubrec', { packetId })
    }
    client.send(publish({ topic: 't', qos: 2, packetId: 3 }))
    await client.expectDisconnect(0x93)
  })

  test('limits.topicAliasMaximum: a higher alias', async () => {
    const t = start({ limits: { topicAliasMaximum: 1 } })
    const client = await t.own(5)
    await client.publish({ topic: 't', properties: { topicAlias: 1 } })
    client.send(publish({ topic: 't', properties: { topicAlias: 2 } }))
    await client.expectDisconnect(0x94)
  })

  test('limits.maxOutboundTopicAliases: no higher one is set', async () => {
    const t = start({ limits: { maxOutboundTopicAliases: 1 } })
    const client = await t.own(5, { properties: { topicAliasMaximum: 10 } })
    await client.subscribe(['a', 'b'])
    const publisher = await t.connect()
    await publisher.publish({ topic: 'a' })
    await publisher.publish({ topic: 'b' })
    await client.expectPublish({ topic: 'a', properties: { topicAlias: 1 } })
    await client.expectPublish({ topic: 'b', properties: { topicAlias: 1 } })
  })

  test('connack.subscriptionIdentifiersAvailable', async () => {
    const t = start({ connack: { subscriptionIdentifiersAvailable: false } })
    const client = await t.own(5)
    client.send(subscribe({ packetId: 1, filters: ['a'], properties: { subscriptionIdentifiers: [1] } }))
    await client.expectPacket('suback', { reasonCodes: [0xa1] })
  })

  test('limits.maxSessionExpirySeconds: DISCONNECT can’t raise it beyond', async () => {
    const t = start({ limits: { maxSessionExpirySeconds: 10 } })
    const client = await t.own(5, { properties: { sessionExpiryInterval: 5 } })
    client.send(disconnect(0, { sessionExpiryInterval: 1_000 }))
    await client.expectClosed()
    await t.advance(9_000)
    expect(t.state('own')).toBe('offline')
    await t.advance(2_000)
    expect(t.state('own')).toBeUndefined()
  })

  test('a re-authentication leaves what CONNACK has told', async () => {
    const verdicts = [allow({ connack: { maximumQoS: 1 } }), allow({ connack: { maximumQoS: 0 } })]
    const t = startBroker({
      authenticators: [{ name: 'a', methods: ['M'], authenticate: () => verdicts.shift()! }],
    })
    const properties = { authenticationMethod: 'M' }
    const client = await t.connect({ clientId: 'own', properties })
    client.send(auth(0x19, properties))
    await client.expectPacket('auth', { reasonCode: 0 })
    expect(await client.publish({ topic: 't', qos: 1 })).toMatchObject({ type: 'puback' })
  })

  test('an in-process client is held to what CONNACK says too', async () => {
    const t = start({ limits: { maxPacketBytes: 100 } })
    const client = await t.broker.client({ clientId: 'own' })
    await expect(client.publish({ topic: 't', payload: 'x'.repeat(200) })).rejects.toMatchObject({
      code: 'SMQ_MESSAGE_INVALID',
    })
  })
})
