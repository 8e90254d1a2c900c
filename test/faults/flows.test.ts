import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { next } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { startBroker } from '../support/test-broker.ts'
import { puback, pubcomp, publish, pubrec, pubrel } from '../support/wire.ts'

describe('threat 55: all packet identifiers in use', () => {
  test('threat 55: delivery pauses, and goes on with the identifier that comes free', { timeout: 30_000 }, async () => {
    const running = startBroker({
      limits: { maxInflightMessages: Infinity, maxQueuedMessages: 10_000, maxQueuedBytes: Infinity },
    })
    const subscriber = await running.connect({ clientId: 's' })
    await subscriber.subscribe([['t', { qos: 1 }]])
    for (let sent = 0; sent < 65_540; sent += 1)
      await running.broker.publish({ topic: 't', payload: `${sent}`, qos: 1 })
    await running.settle()
    const session = running.broker.sessions.get('s')!
    expect([session.inflightMessages, session.queuedMessages]).toEqual([65_535, 5])
    const identifiers = new Set<number>()
    for (let count = 0; count < 65_535; count += 1) {
      const packet = await subscriber.next()
      if (packet === 'closed' || packet.type !== 'publish') throw new Error('a publish was due')
      identifiers.add(packet.packetId)
    }
    expect([identifiers.size, identifiers.has(0)]).toEqual([65_535, false])
    await subscriber.expectNothing()
    for (const [index, packetId] of [40_000, 65_535, 1].entries()) {
      subscriber.send(puback(packetId))
      await subscriber.expectPublish({ topic: 't', payload: `${65_535 + index}`, qos: 1, packetId })
    }
    expect([session.inflightMessages, session.queuedMessages]).toEqual([65_535, 2])
  })
})

describe('threat 56: more under way than the Receive Maximum', () => {
  const limits = { receiveMaximumMessages: 3 }

  test('threat 56: the fourth QoS 2 message without PUBREL gets 0x93 and is not delivered', async () => {
    const running = startBroker({ limits })
    const witness = await running.connect({ clientId: 'w' })
    await witness.subscribe(['#'])
    const client = await running.connect({ clientId: 'c' })
    expect(client.connack?.properties.receiveMaximum).toBe(3)
    for (const packetId of [1, 2, 3]) {
      client.send(publish({ topic: 't', payload: `${packetId}`, qos: 2, packetId }))
      await client.expectPacket('pubrec', { packetId, reasonCode: 0 })
    }
    client.send(pubrel(2))
    await client.expectPacket('pubcomp', { packetId: 2 })
    client.send(publish({ topic: 't', payload: '4', qos: 2, packetId: 4 }))
    await client.expectPacket('pubrec', { packetId: 4 })
    client.send(publish({ topic: 't', payload: '5', qos: 2, packetId: 5 }))
    await client.expectDisconnect(0x93)
    for (const payload of ['1', '2', '3', '4']) await witness.expectPublish({ topic: 't', payload })
    await witness.expectNothing()
  })

  test('threat 56: refused QoS 2 messages do not count', async () => {
    const running = startBroker({ limits })
    const client = await running.connect({ clientId: 'c' })
    for (let packetId = 1; packetId <= 10; packetId += 1) {
      client.send(publish({ topic: '$SYS/x', qos: 2, packetId }))
      await client.expectPacket('pubrec', { packetId, reasonCode: 0x87 })
    }
  })

  test('threat 56: QoS 1 is taken one by one while a decision is pending, so none is beyond the window', async () => {
    const waiting: (() => void)[] = []
    const asked: string[] = []
    const running = startBroker({
      limits,
      hooks: {
        onPublish: async ({ message }) => {
          asked.push(message.payload.toString())
          await new Promise<void>((resolve) => waiting.push(resolve))
          return next()
        },
      },
    })
    const client = await running.connect({ clientId: 'c' })
    client.send(
      ...Array.from({ length: 10 }, (_, n) => publish({ topic: 't', payload: `${n}`, qos: 1, packetId: n + 1 })),
    )
    for (let n = 0; n < 10; n += 1) {
      await running.settle()
      expect([asked.length, client.waitingPackets]).toEqual([n + 1, 0])
      waiting.shift()!()
      await client.expectPacket('puback', { packetId: n + 1 })
    }
  })
})

describe('threat 57: PUBREL is withheld', () => {
  test('threat 57: repetitions are answered and delivered once, over connections too, and the identifier is free again after PUBREL', async () => {
    const running = startBroker({
      limits: { receiveMaximumMessages: 100, maxConnectsPerSecond: Infinity, maxTakeoversPerTenSeconds: Infinity },
    })
    const witness = await running.connect({ clientId: 'w' })
    await witness.subscribe(['#'])
    const session = { clientId: 'c', cleanStart: false, properties: { sessionExpiryInterval: 600 } }
    let client: RawClient | undefined
    for (let round = 0; round < 5; round += 1) {
      client = await running.connect(session)
      for (let packetId = 1; packetId <= 100; packetId += 1)
        client.send(publish({ topic: 't', payload: `${packetId}`, qos: 2, packetId, dup: round > 0 }))
      for (let packetId = 1; packetId <= 100; packetId += 1)
        await client.expectPacket('pubrec', { packetId, reasonCode: 0 })
    }
    for (let packetId = 1; packetId <= 100; packetId += 1)
      await witness.expectPublish({ topic: 't', payload: `${packetId}` })
    await witness.expectNothing()
    client!.send(pubrel(7))
    await client!.expectPacket('pubcomp', { packetId: 7, reasonCode: 0 })
    client!.send(publish({ topic: 't', payload: 'new', qos: 2, packetId: 7 }))
    await client!.expectPacket('pubrec', { packetId: 7, reasonCode: 0 })
    await witness.expectPublish({ topic: 't', payload: 'new' })
  })

  test('threat 57: a message that is still being given out when its connection is lost is not given out again', async () => {
    const running = startBroker({ limits: { maxDeliveriesPerTurn: 1 } })
    const witnesses = [await running.connect({ clientId: 'w1' }), await running.connect({ clientId: 'w2' })]
    for (const witness of witnesses) await witness.subscribe(['#'])
    const session = { clientId: 'c', cleanStart: false, properties: { sessionExpiryInterval: 600 } }
    const first = await running.connect(session)
    const waiting = Array.from({ length: 40 }, (_, n) => running.broker.publish({ topic: 'before', payload: `${n}` }))
    first.send(publish({ topic: 't', qos: 2, packetId: 1 }))
    await running.settle(3)
    const second = await running.connect(session)
    second.send(publish({ topic: 't', qos: 2, packetId: 1, dup: true }))
    await second.expectPacket('pubrec', { packetId: 1 })
    second.send(pubrel(1))
    await second.expectPacket('pubcomp', { packetId: 1, reasonCode: 0 })
    await Promise.all(waiting)
    await running.settle(100)
    await second.expectNothing()
    for (const witness of witnesses) {
      const topics = (await witness.drain()).map((packet) => (packet.type === 'publish' ? packet.topic : packet.type))
      expect(topics.filter((topic) => topic === 't')).toEqual(['t'])
    }
  })
})

type Kind = 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'
type Act =
  | { readonly kind: Kind; readonly packetId: number; readonly failing: boolean }
  | { readonly kind: 'incoming'; readonly packetId: number }
  | { readonly kind: 'outgoing'; readonly qos: 1 | 2 }

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom<Kind>('puback', 'pubrec', 'pubrel', 'pubcomp'),
      packetId: fc.integer({ min: 1, max: 8 }),
      failing: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('incoming' as const), packetId: fc.integer({ min: 1, max: 8 }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('outgoing' as const), qos: fc.constantFrom<1 | 2>(1, 2) }) },
)

const builders = { puback, pubrec, pubrel, pubcomp }

/** Both directions of one client by the letter of section 4.3: they share no identifiers. */
class Flows {
  readonly toClient = new Map<number, 'qos1' | 'qos2' | 'released'>()
  readonly fromClient = new Set<number>()

  /** What the broker has to answer, if anything. */
  answerTo(kind: Kind, packetId: number, failing: boolean): string | undefined {
    const state = this.toClient.get(packetId)
    switch (kind) {
      case 'puback':
        if (state === 'qos1') this.toClient.delete(packetId)
        return undefined
      case 'pubrec':
        if (failing) {
          if (state === 'qos2') this.toClient.delete(packetId)
          return undefined
        }
        if (state === undefined || state === 'qos1') return `pubrel ${packetId} 146`
        this.toClient.set(packetId, 'released')
        return `pubrel ${packetId} 0`
      case 'pubcomp':
        if (state === 'released') this.toClient.delete(packetId)
        return undefined
      case 'pubrel':
        return `pubcomp ${packetId} ${this.fromClient.delete(packetId) ? 0 : 146}`
    }
  }
}

test(
  'threat 58: wrong and unknown acknowledgements in any state: the answer of the specification, no other flow completed',
  { timeout: 60_000 },
  async () => {
    const running = startBroker({ limits: { maxInflightMessages: Infinity, maxConnectsPerSecond: Infinity } })
    let round = 0
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 40 }), async (acts) => {
        const clientId = `c${(round += 1)}`
        const client = await running.connect({ clientId })
        await client.subscribe([[clientId, { qos: 2 }]])
        const session = running.broker.sessions.get(clientId)!
        const flows = new Flows()
        for (const each of acts) {
          const expected: string[] = []
          if (each.kind === 'incoming') {
            const isNew = !flows.fromClient.has(each.packetId)
            client.send(publish({ topic: 'nobody', qos: 2, packetId: each.packetId, dup: !isNew }))
            flows.fromClient.add(each.packetId)
            expected.push(`pubrec ${each.packetId} ${isNew ? 16 : 0}`)
          } else if (each.kind === 'outgoing') {
            await running.broker.publish({ topic: clientId, qos: each.qos })
          } else {
            client.send(
              builders[each.kind](
                each.packetId,
                each.failing ? (each.kind === 'pubrel' || each.kind === 'pubcomp' ? 0x92 : 0x80) : 0,
              ),
            )
            const answer = flows.answerTo(each.kind, each.packetId, each.failing)
            if (answer) expected.push(answer)
          }
          const answers: string[] = []
          for (const packet of await client.drain()) {
            if (packet.type === 'publish') {
              expect(flows.toClient.has(packet.packetId)).toBe(false)
              flows.toClient.set(packet.packetId, packet.qos === 1 ? 'qos1' : 'qos2')
            } else
              answers.push(
                `${packet.type} ${'packetId' in packet ? packet.packetId : ''} ${'reasonCode' in packet ? packet.reasonCode : ''}`,
              )
          }
          expect([each, answers, session.inflightMessages]).toEqual([each, expected, flows.toClient.size])
        }
        client.drop()
        await running.settle(3)
      }),
      { numRuns: 150 },
    )
  },
)
