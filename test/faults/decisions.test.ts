/** Decisions that take their time, while the connection that they are about does not stay the same. */
import { describe, expect, test } from 'vitest'

import { next, type Next } from '../../src/hooks.ts'
import { startBroker } from '../support/test-broker.ts'
import { publish, pubrel, subscribe } from '../support/wire.ts'

const session = { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 1000 } }

/** A hook whose answers the test gives. */
function held() {
  const answers: ((verdict: Next) => void)[] = []
  const ask = (): Promise<Next> => new Promise((resolve) => answers.push(resolve))
  return { answers, ask }
}

/** All payloads that a subscriber of `#` has been given by now. */
async function payloadsOf(watcher: { drain(): Promise<{ type: string }[]> }): Promise<string[]> {
  const packets = await watcher.drain()
  return packets.map((packet) =>
    packet.type === 'publish' ? String((packet as unknown as { payload: string }).payload) : packet.type,
  )
}

describe('the connection is another one when the verdict comes', () => {
  test('a QoS 2 message that is sent again on the new one is delivered once', async () => {
    const hook = held()
    const t = startBroker({ hooks: { onPublish: hook.ask } })
    const watcher = await t.connect()
    await watcher.subscribe(['t'])
    const first = await t.connect(session)
    first.send(publish({ topic: 't', payload: 'x', qos: 2, packetId: 5 }))
    await t.settle()
    const second = await t.connect(session)
    second.send(publish({ topic: 't', payload: 'x', qos: 2, packetId: 5, dup: true }))
    await t.settle()
    expect(hook.answers).toHaveLength(2)
    for (const answer of hook.answers) answer(next())
    await t.settle()
    await second.expectPacket('pubrec', { packetId: 5, reasonCode: 0 })
    await second.expectNothing()
    expect(await payloadsOf(watcher)).toEqual(['x'])
  })

  test('SUBSCRIBE is not answered on a connection that did not send it', async () => {
    const hook = held()
    const t = startBroker({ hooks: { onSubscribe: hook.ask } })
    const first = await t.connect(session)
    first.send(subscribe({ packetId: 7, filters: ['t'] }))
    await t.settle()
    const second = await t.connect(session)
    for (const answer of hook.answers) answer(next())
    await t.settle()
    await second.expectNothing()
    expect(t.broker.sessions.get('s')?.subscriptions).toEqual([])
  })

  test('a QoS 2 message whose fan-out is under way is not routed again', async () => {
    const t = startBroker({ limits: { maxDeliveriesPerTurn: 1 } })
    const watchers = await Promise.all([1, 2, 3, 4].map(() => t.connect()))
    for (const watcher of watchers) await watcher.subscribe(['t'])
    const first = await t.connect(session)
    const second = t.attach()
    first.send(publish({ topic: 't', payload: 'x', qos: 2, packetId: 5 }))
    await second.connect(session)
    second.send(publish({ topic: 't', payload: 'x', qos: 2, packetId: 5, dup: true }))
    await second.expectPacket('pubrec', { packetId: 5, reasonCode: 0 })
    second.send(pubrel(5))
    await second.expectPacket('pubcomp', { packetId: 5, reasonCode: 0 })
    await t.settle()
    await second.expectNothing()
    for (const watcher of watchers) expect(await payloadsOf(watcher)).toEqual(['x'])
  })
})

describe('order', () => {
  test('a message that waited for its rate and then for a hook is not overtaken', async () => {
    let asked = 0
    const hook = held()
    // Every answer but the second is there at once.
    const onPublish = (): Promise<Next> => (++asked === 2 ? hook.ask() : Promise.resolve(next()))
    const t = startBroker({ limits: { maxMessagesPerSecond: 10, messageBurst: 1 }, hooks: { onPublish } })
    const watcher = await t.connect()
    await watcher.subscribe(['t'])
    const client = await t.connect()
    client.send(...['1', '2', '3'].map((payload) => publish({ topic: 't', payload })))
    for (let round = 0; round < 5; round += 1) await t.advance(100)
    expect(asked).toBe(2)
    hook.answers[0]?.(next())
    for (let round = 0; round < 5; round += 1) await t.advance(100)
    expect(await payloadsOf(watcher)).toEqual(['1', '2', '3'])
  })
})
