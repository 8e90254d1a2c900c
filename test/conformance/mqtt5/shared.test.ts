/** MQTT 5 section 4.8: shared subscriptions. */
import { describe, expect, test } from 'vitest'

import { startBroker } from '../../support/test-broker.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { disconnect, puback, pubcomp, publish, pubrec, subscribe, unsubscribe } from '../../support/wire.ts'

const keeps = (clientId: string) => ({ clientId, cleanStart: false, properties: { sessionExpiryInterval: 100 } })

async function payloads(client: RawClient): Promise<string[]> {
  return (await client.drain()).map((packet) => (packet.type === 'publish' ? packet.payload : packet.type))
}

describe('the filter', () => {
  test.each(['$share//a', '$share/', '$share/g', '$share/g/'])(
    'MQTT-4.8.2-1 MQTT-4.8.2-2 without a name or a filter it is refused: %s',
    async (filter) => {
      const t = startBroker()
      const client = await t.connect()
      client.send(subscribe({ filters: [filter, 'good'] }))
      await client.expectPacket('suback', { reasonCodes: [0x8f, 0] })
    },
  )

  test.each(['$share/g+/a', '$share/+/a', '$share/#/a', '$share/g#/a', '$share/g/a#', '$share/g/#/a'])(
    'MQTT-4.8.2-2 with a wildcard in its name, or a bad filter, it is refused: %s',
    async (filter) => {
      const t = startBroker()
      const client = await t.connect()
      client.send(subscribe({ filters: [filter] }))
      await client.expectPacket('suback', { reasonCodes: [0x8f] })
    },
  )

  test('MQTT-4.8.2-1 names are compared exactly: other name or other filter is another group', async () => {
    const t = startBroker()
    const filters = ['$share/g/t', '$share/G/t', '$share/g/+', '$share/g/t/#', '$share/$share/t']
    const clients = await Promise.all(filters.map(() => t.connect()))
    for (const [index, filter] of filters.entries()) await clients[index]?.subscribe([filter])
    await (await t.connect()).publish({ topic: 't', payload: 'x' })
    await t.settle()
    for (const client of clients) expect(await payloads(client)).toEqual(['x'])
  })
})

describe('delivery', () => {
  test('each message goes to one member; beside it, plain subscriptions get their own', async () => {
    const t = startBroker()
    const members = await Promise.all([0, 1, 2].map(() => t.connect()))
    for (const member of members) await member.subscribe(['$share/g/t'])
    const plain = await t.connect()
    await plain.subscribe(['t'])
    const publisher = await t.connect()
    for (let index = 0; index < 9; index += 1) await publisher.publish({ topic: 't', payload: `${index}` })
    await t.settle()
    const got = await Promise.all(members.map((member) => payloads(member)))
    expect(got.flat().toSorted()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8'])
    expect(got.map((each) => each.length)).toEqual([3, 3, 3])
    expect(await payloads(plain)).toHaveLength(9)
  })

  test('MQTT-4.8.2-3 each member gets messages within the QoS granted to it', async () => {
    const t = startBroker()
    const members = await Promise.all([0, 1, 2].map(() => t.connect()))
    for (const [qos, member] of members.entries())
      expect((await member.subscribe([['$share/g/t', { qos }]])).reasonCodes).toEqual([qos])
    const publisher = await t.connect()
    for (let index = 0; index < 3; index += 1) await publisher.publish({ topic: 't', payload: 'x', qos: 2 })
    for (const [qos, member] of members.entries())
      await member.acknowledge(await member.expectPublish({ topic: 't', payload: 'x', qos }))
  })

  test("subscription identifiers, Retain As Published and message properties are the member's", async () => {
    const t = startBroker()
    const member = await t.connect()
    await member.subscribe([['$share/g/t', { retainAsPublished: true }]], { subscriptionIdentifiers: [6] })
    await (await t.connect()).publish({ topic: 't', payload: 'x', retain: true, properties: { contentType: 'c' } })
    await member.expectPublish({
      topic: 't',
      payload: 'x',
      retain: true,
      properties: { subscriptionIdentifiers: [6], contentType: 'c' },
    })
  })

  test('a publisher that is a member may get its own message', async () => {
    const t = startBroker()
    const member = await t.connect()
    await member.subscribe(['$share/g/t'])
    member.send(publish({ topic: 't', payload: 'own' }))
    await member.expectPublish({ topic: 't', payload: 'own' })
  })

  test('members that are away get nothing while another is here', async () => {
    const t = startBroker()
    const away = await t.connect(keeps('away'))
    await away.subscribe([['$share/g/t', { qos: 1 }]])
    away.drop()
    const here = await t.connect()
    await here.subscribe([['$share/g/t', { qos: 1 }]])
    const publisher = await t.connect()
    for (const payload of ['1', '2']) await publisher.publish({ topic: 't', payload, qos: 1 })
    for (const payload of ['1', '2']) await here.acknowledge(await here.expectPublish({ topic: 't', payload, qos: 1 }))
    await (await t.connect(keeps('away'))).expectNothing()
  })

  test('when all are away a message waits for one of them', async () => {
    const t = startBroker()
    const away = await t.connect(keeps('away'))
    await away.subscribe([['$share/g/t', { qos: 1 }]])
    away.drop()
    await t.settle()
    expect(await (await t.connect()).publish({ topic: 't', payload: 'x', qos: 1 })).toMatchObject({ reasonCode: 0 })
    await (await t.connect(keeps('away'))).expectPublish({ topic: 't', payload: 'x', qos: 1 })
  })

  test('after UNSUBSCRIBE a member gets no more, and the last one ends the group', async () => {
    const t = startBroker()
    const one = await t.connect()
    const two = await t.connect()
    for (const member of [one, two]) await member.subscribe(['$share/g/t'])
    one.send(unsubscribe({ filters: ['$share/g/t'] }))
    await one.expectPacket('unsuback', { reasonCodes: [0] })
    const publisher = await t.connect()
    for (const payload of ['1', '2']) await publisher.publish({ topic: 't', payload })
    expect(await payloads(two)).toEqual(['1', '2'])
    two.send(unsubscribe({ filters: ['$share/g/t'] }))
    await two.expectPacket('unsuback', { reasonCodes: [0] })
    expect(await publisher.publish({ topic: 't', qos: 1 })).toMatchObject({ reasonCode: 0x10 })
    await one.expectNothing()
  })
})

describe('a member that leaves or refuses', () => {
  test.each([
    ['its connection and with it its session ends', (member: RawClient) => member.drop()],
    ['it disconnects', (member: RawClient) => member.send(disconnect())],
  ])('QoS 1 messages that it did not acknowledge go to another when %s', async (_name, leave) => {
    const t = startBroker()
    const leaver = await t.connect({ clientId: 'leaver', properties: { receiveMaximum: 2 } })
    await leaver.subscribe([['$share/g/t', { qos: 1 }]])
    const publisher = await t.connect()
    for (const payload of ['1', '2', '3', '4']) await publisher.publish({ topic: 't', payload, qos: 1 })
    await leaver.expectPublish({ topic: 't', payload: '1', qos: 1 })
    await leaver.expectPublish({ topic: 't', payload: '2', qos: 1 })
    const heir = await t.connect({ clientId: 'heir' })
    await heir.subscribe([['$share/g/t', { qos: 1 }]])
    leave(leaver)
    await t.settle()
    const got = [await heir.takePublish(), await heir.takePublish(), await heir.takePublish(), await heir.takePublish()]
    expect(got.map(({ payload }) => payload)).toEqual(['1', '2', '3', '4'])
    await heir.expectNothing()
  })

  test('a waiting message goes to another when its member unsubscribes; what is under way is completed by it', async () => {
    const t = startBroker()
    const leaver = await t.connect({ clientId: 'leaver', properties: { receiveMaximum: 1 } })
    await leaver.subscribe([['$share/g/t', { qos: 1 }]])
    const publisher = await t.connect()
    for (const payload of ['1', '2']) await publisher.publish({ topic: 't', payload, qos: 1 })
    const first = await leaver.expectPublish({ topic: 't', payload: '1', qos: 1 })
    const heir = await t.connect({ clientId: 'heir' })
    await heir.subscribe([['$share/g/t', { qos: 1 }]])
    leaver.send(unsubscribe({ filters: ['$share/g/t'] }))
    await leaver.expectPacket('unsuback', { reasonCodes: [0] })
    await heir.acknowledge(await heir.expectPublish({ topic: 't', payload: '2', qos: 1 }))
    leaver.send(puback(first.packetId))
    await leaver.expectNothing()
    await heir.expectNothing()
  })

  test('what waits for a member that loses its connection goes to another; what was sent stays its own', async () => {
    const t = startBroker()
    const session = {
      clientId: 'member',
      cleanStart: false,
      properties: { sessionExpiryInterval: 100, receiveMaximum: 1 },
    }
    const member = await t.connect(session)
    await member.subscribe([['$share/g/t', { qos: 1 }]])
    const publisher = await t.connect()
    for (const payload of ['1', '2', '3']) await publisher.publish({ topic: 't', payload, qos: 1 })
    const sent = await member.expectPublish({ topic: 't', payload: '1', qos: 1 })
    const other = await t.connect({ clientId: 'other' })
    await other.subscribe([['$share/g/t', { qos: 1 }]])
    member.drop()
    await t.settle()
    expect([await other.takePublish(), await other.takePublish()].map(({ payload }) => payload)).toEqual(['2', '3'])
    const again = await t.connect(session)
    await again.acknowledge(
      await again.expectPublish({ topic: 't', payload: '1', qos: 1, dup: true, packetId: sent.packetId }),
    )
    await again.expectNothing()
    await other.expectNothing()
  })

  test('MQTT-4.8.2-4 a QoS 2 message that was begun is finished with the same member when it comes back', async () => {
    const t = startBroker()
    let member = await t.connect(keeps('member'))
    await member.subscribe([['$share/g/t', { qos: 2 }]])
    const publisher = await t.connect()
    await publisher.publish({ topic: 't', payload: '1', qos: 2 })
    await publisher.publish({ topic: 't', payload: '2', qos: 2 })
    const first = await member.expectPublish({ topic: 't', payload: '1', qos: 2 })
    const second = await member.expectPublish({ topic: 't', payload: '2', qos: 2 })
    member.send(pubrec(second.packetId))
    await member.expectPacket('pubrel', { packetId: second.packetId })
    const other = await t.connect({ clientId: 'other' })
    await other.subscribe([['$share/g/t', { qos: 2 }]])
    member.drop()
    await t.settle()
    await other.expectNothing()
    member = await t.connect(keeps('member'))
    const again = await member.expectPublish({ topic: 't', payload: '1', qos: 2, dup: true, packetId: first.packetId })
    await member.expectPacket('pubrel', { packetId: second.packetId })
    member.send(pubcomp(second.packetId))
    await member.acknowledge(again)
    await member.expectNothing()
    await other.expectNothing()
  })

  test('MQTT-4.8.2-5 if its session ends, nobody else gets that message', async () => {
    const t = startBroker()
    const member = await t.connect(keeps('member'))
    await member.subscribe([['$share/g/t', { qos: 2 }]])
    await (await t.connect()).publish({ topic: 't', payload: '1', qos: 2 })
    await member.expectPublish({ topic: 't', payload: '1', qos: 2 })
    const other = await t.connect({ clientId: 'other' })
    await other.subscribe([['$share/g/t', { qos: 2 }]])
    member.drop()
    await t.advance(100_000)
    expect(t.state('member')).toBeUndefined()
    await other.expectNothing()
  })

  test.each([
    ['PUBACK', 1],
    ['PUBREC', 2],
  ])('MQTT-4.8.2-6 a failing %s settles the message for the whole group', async (_name, qos) => {
    const t = startBroker()
    const members = await Promise.all(['a', 'b'].map((clientId) => t.connect(keeps(clientId))))
    for (const member of members) await member.subscribe([['$share/g/t', { qos }]])
    await (await t.connect()).publish({ topic: 't', payload: 'x', qos })
    await t.settle()
    const first = members.find((member) => member.waitingPackets > 0)
    const { packetId } = (await first?.expectPublish({ topic: 't', payload: 'x', qos })) ?? { packetId: 0 }
    first?.send(qos === 1 ? puback(packetId, 0x80) : pubrec(packetId, 0x80))
    for (const member of members) await member.expectNothing()
    first?.drop()
    await t.advance(101_000)
    for (const member of members) if (member !== first) await member.expectNothing()
  })
})
