/** MQTT 3.1.1 section 3.1.2.5: the will. */
import { describe, expect, test } from 'vitest'

import { connect4, publish4, startBroker4 } from '../../support/mqtt3.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { disconnect, hex, type ConnectInput, type WillInput } from '../../support/wire.ts'

/** A broker, a client that watches `w`, and one with the will under test. */
async function scene(will: Partial<WillInput> = {}, input: ConnectInput = {}) {
  const t = startBroker4()
  const watcher = await t.connect({ clientId: 'watcher' })
  await watcher.subscribe([['w', { qos: 2 }]])
  const settings: ConnectInput = { clientId: 'c', ...input, will: { topic: 'w', payload: 'gone', ...will } }
  const client = await t.connect(settings)
  const nothing = async (): Promise<void> => {
    await t.settle()
    await watcher.expectNothing()
  }
  return { ...t, watcher, client, settings, nothing }
}

describe('when it is published', () => {
  const ends: ReadonlyArray<readonly [string, (client: RawClient) => void]> = [
    ['the network is gone', (client) => client.drop()],
    ['the client ends the stream without DISCONNECT', (client) => client.stream.end()],
    ['the client breaks the protocol', (client) => client.send(hex('c1 00'))],
    ['the client publishes to a wildcard', (client) => client.send(publish4({ topic: '#' }))],
    ['the client sends a second CONNECT', (client) => client.send(connect4({ clientId: 'c' }))],
  ]
  test.each(ends)('MQTT-3.1.2-8 MQTT-3.1.2-10 when %s, and once', async (_name, leave) => {
    const { client, watcher, nothing } = await scene()
    await nothing()
    leave(client)
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
    await nothing()
  })

  test('MQTT-3.1.2-8 when the keep alive is lost', async () => {
    const { watcher, advance } = await scene({}, { keepAlive: 10 })
    await advance(16_000)
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
  })

  test('MQTT-3.1.2-8 MQTT-3.1.4-2 when another connection takes over, with Clean Session 0 too', async () => {
    for (const cleanStart of [true, false]) {
      const { client, watcher, settings, nothing, connect } = await scene({}, { cleanStart })
      const newer = await connect({ ...settings, will: { topic: 'w', payload: 'the new one' } })
      await client.expectClosed()
      await watcher.expectPublish({ topic: 'w', payload: 'gone' })
      await nothing()
      newer.drop()
      await watcher.expectPublish({ topic: 'w', payload: 'the new one' })
    }
  })

  test('MQTT-3.1.2-10 a resumed session has the will of its last CONNECT, or none', async () => {
    const { client, watcher, nothing, connect, settle } = await scene({}, { cleanStart: false })
    client.drop()
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
    const again = await connect({ clientId: 'c', cleanStart: false })
    expect(again.connack?.sessionPresent).toBe(true)
    again.drop()
    await settle()
    await nothing()
  })

  test('MQTT-3.1.2-10 MQTT-3.14.4-3 not after DISCONNECT', async () => {
    for (const cleanStart of [true, false]) {
      const { client, nothing, advance } = await scene({}, { cleanStart })
      client.send(disconnect())
      await client.expectClosed()
      await advance(86_400_000)
      await nothing()
    }
  })

  test('MQTT-3.1.2-12 not without the flag', async () => {
    const t = startBroker4()
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    const client = await t.connect({ clientId: 'c' })
    client.drop()
    await t.settle()
    await watcher.expectNothing()
  })

  test('MQTT-3.1.2-8 its message may be empty', async () => {
    const { client, watcher } = await scene({ payload: '' })
    client.drop()
    await watcher.expectPublish({ topic: 'w' })
  })
})

describe('how it is published', () => {
  test.each([
    ['MQTT-3.1.2-16 with QoS 0, not retained', 0, false],
    ['MQTT-3.1.2-17 with QoS 0, retained', 0, true],
    ['MQTT-3.1.2-16 with QoS 1, not retained', 1, false],
    ['MQTT-3.1.2-17 with QoS 2, retained', 2, true],
  ])('%s', async (_name, qos, retain) => {
    const { client, watcher, connect } = await scene({ qos, retain })
    client.drop()
    // MQTT-3.3.1-9: established subscriptions see RETAIN 0.
    await watcher.acknowledge(await watcher.expectPublish({ topic: 'w', payload: 'gone', qos }))
    const late = await connect({ clientId: 'late' })
    await late.subscribe([['w', { qos: 2 }]])
    if (retain) await late.acknowledge(await late.expectPublish({ topic: 'w', payload: 'gone', qos, retain: true }))
    await late.expectNothing()
  })
})
