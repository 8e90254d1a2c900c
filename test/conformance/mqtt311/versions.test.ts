/** Clients of MQTT 3.1, 3.1.1 and 5 on one port: what each gets of what the others send. */
import { describe, expect, test } from 'vitest'

import type { RawClient } from '../../support/raw-client.ts'
import { startBroker } from '../../support/test-broker.ts'
import { hex, puback, publish, type ConnectInput, type Version } from '../../support/wire.ts'

const versions = [3, 4, 5] as const

/** A broker on a TCP port with one connected client of each version. */
async function scene() {
  const t = startBroker()
  const { port } = await t.listen({ transport: 'tcp', port: 0 })
  const online = async (version: Version, input: ConnectInput = {}): Promise<RawClient> => {
    const client = await t.tcp(port)
    await client.connect({ version, clientId: `v${version}`, ...input })
    return client
  }
  const clients = new Map<Version, RawClient>()
  for (const version of versions) clients.set(version, await online(version))
  return { ...t, online, client: (version: Version) => clients.get(version) as RawClient }
}

const properties = {
  payloadFormatIndicator: 1,
  contentType: 'text/plain',
  responseTopic: 'answers',
  correlationData: hex('01 02'),
  userProperties: [
    ['b', '1'],
    ['a', '2'],
  ],
} as const

describe('three versions on one port', () => {
  test.each(versions.flatMap((from) => [0, 1, 2].map((qos) => [from, qos] as const)))(
    'all of them get what version %s publishes with QoS %s',
    async (from, qos) => {
      const { client } = await scene()
      for (const version of versions) await client(version).subscribe([['t/+', { qos: 2 }]])
      const publisher = client(from)
      publisher.send(
        publish({
          version: from,
          topic: 't/x',
          payload: 'hello',
          qos,
          ...(qos > 0 ? { packetId: 9 } : {}),
          properties,
        }),
      )
      const expected = { topic: 't/x', payload: 'hello', qos }
      for (const version of versions) {
        const receiver = client(version)
        // The publisher's own handshake may come before or behind its delivery.
        let packet = await receiver.next()
        if (packet !== 'closed' && (packet.type === 'puback' || packet.type === 'pubrec'))
          packet = await receiver.next()
        expect(packet).toMatchObject({
          type: 'publish',
          ...expected,
          properties: version === 5 && from === 5 ? properties : {},
        })
      }
    },
  )

  test('properties of MQTT 5 are dropped on the way to older clients, byte for byte, and kept among clients of MQTT 5', async () => {
    const { client } = await scene()
    for (const version of versions) await client(version).subscribe(['t'])
    client(5).send(
      publish({ topic: 't', payload: 'x', properties: { ...properties, messageExpiryInterval: 100, topicAlias: 1 } }),
    )
    await client(3).expectBytes('30 04 0001 74 78')
    await client(4).expectBytes('30 04 0001 74 78')
    const { properties: kept } = await client(5).expectPacket('publish', { topic: 't', payload: 'x' })
    expect(kept).toEqual({ ...properties, messageExpiryInterval: 100 })
  })

  test('a retained message keeps its properties for MQTT 5, and each version gets it in its own form', async () => {
    const { client } = await scene()
    await client(5).publish({ topic: 'r', payload: 'x', qos: 1, retain: true, properties })
    for (const version of versions) {
      await client(version).subscribe([['r', { qos: 1 }]])
      await client(version).expectPublish({
        topic: 'r',
        payload: 'x',
        qos: 1,
        retain: true,
        properties: version === 5 ? properties : {},
      })
    }
  })

  test('a will of MQTT 5 reaches older clients, and one of MQTT 3.1 reaches MQTT 5', async () => {
    const { client, online } = await scene()
    for (const version of versions) await client(version).subscribe(['w'])
    const leaving = await online(5, {
      clientId: 'leaving',
      will: { topic: 'w', payload: 'five', properties: { ...properties, willDelayInterval: 0 } },
    })
    leaving.drop()
    for (const version of versions)
      await client(version).expectPublish({ topic: 'w', payload: 'five', properties: version === 5 ? properties : {} })
    const old = await online(3, { clientId: 'old', will: { topic: 'w', payload: 'three' } })
    old.drop()
    for (const version of versions) await client(version).expectPublish({ topic: 'w', payload: 'three' })
  })

  test('a shared subscription has members of all versions', async () => {
    const { client } = await scene()
    for (const version of versions) await client(version).subscribe(['$share/g/t'])
    for (let count = 0; count < 3; count += 1) client(5).send(publish({ topic: 't', payload: `${count}`, properties }))
    const shares = await Promise.all(versions.map((version) => client(version).expectPacket('publish', { topic: 't' })))
    expect(shares.map(({ payload }) => payload).toSorted()).toEqual(['0', '1', '2'])
    expect(shares.map((packet) => Object.keys(packet.properties).length)).toEqual([0, 0, 5])
  })

  test('a session goes on when its client comes back with another version', async () => {
    const { client, online, settle } = await scene()
    const first = await online(4, { clientId: 's', cleanStart: false })
    await first.subscribe([['t', { qos: 1 }]])
    first.drop()
    await settle()
    const publisher = client(5)
    await publisher.publish({ topic: 't', payload: '1', qos: 1, properties })
    const second = await online(5, { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 100 } })
    expect(second.connack?.sessionPresent).toBe(true)
    const { packetId } = await second.expectPublish({ topic: 't', payload: '1', qos: 1, properties })
    second.drop()
    const third = await online(3, { clientId: 's', cleanStart: false })
    await third.expectPublish({ topic: 't', payload: '1', qos: 1, dup: true, packetId })
    third.send(puback(packetId))
    await third.expectNothing()
  })
})
