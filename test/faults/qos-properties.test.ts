import { setImmediate as turn } from 'node:timers/promises'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { createBroker, next, type BrokerOptions } from '../../src/index.ts'
import { memoryPair } from '../../src/net/memory.ts'
import { CorrectClient } from '../support/correct-client.ts'
import { SimulatedClock } from '../support/simulated-clock.ts'
import { settle } from '../support/test-broker.ts'
import type { Version } from '../support/wire.ts'

interface Setting {
  readonly versions: readonly [publisher: Version, subscriber: Version]
  readonly subscriberQoS: 1 | 2
  readonly receiveMaximum: number
  readonly limits: NonNullable<BrokerOptions['limits']>
  /** A hook that answers in a later turn of the event loop. */
  readonly slowHook: boolean
  readonly payloadBytes: number
}

const version = fc.constantFrom<Version>(4, 5)
const upToTwenty = fc.integer({ min: 1, max: 20 })

const setting: fc.Arbitrary<Setting> = fc.record({
  versions: fc.tuple(version, version),
  subscriberQoS: fc.constantFrom<1 | 2>(1, 2),
  receiveMaximum: upToTwenty,
  limits: fc.record({
    receiveMaximumMessages: upToTwenty,
    maxInflightMessages: fc.oneof(upToTwenty, fc.constant(Infinity)),
    maxDeliveriesPerTurn: fc.constantFrom(1, 2, 10_000),
    maxSocketBufferBytes: fc.constantFrom(1, 1_000, 131_072),
  }),
  slowHook: fc.boolean(),
  payloadBytes: fc.constantFrom(0, 0, 0, 5_000, 40_000),
})

type Who = 'publisher' | 'subscriber'

type Step =
  | { readonly kind: 'publish'; readonly qos: 1 | 2; readonly topic: string }
  | { readonly kind: 'handle'; readonly who: Who; readonly packets: number }
  | { readonly kind: 'cut'; readonly who: Who; readonly bytes: number | undefined }
  | { readonly kind: 'connect'; readonly who: Who }
  | { readonly kind: 'pause' | 'resume'; readonly who: Who }
  | { readonly kind: 'turns'; readonly turns: number }

const who = fc.constantFrom<Who>('publisher', 'subscriber')
const kind = <K extends string>(name: K): fc.Arbitrary<K> => fc.constant(name)

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: kind('publish'),
      qos: fc.constantFrom<1 | 2>(1, 2),
      topic: fc.constantFrom('a', 'b'),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: kind('handle'), who, packets: fc.integer({ min: 1, max: 4 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: kind('cut'), who, bytes: fc.option(fc.nat(12), { nil: undefined }) }),
  },
  // Without a cut before it, it takes its own session over.
  { weight: 3, arbitrary: fc.record({ kind: kind('connect'), who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('pause' as const, 'resume' as const), who }) },
  { weight: 8, arbitrary: fc.record({ kind: kind('turns'), turns: fc.integer({ min: 1, max: 5 }) }) },
)

function start({ limits, slowHook, versions, receiveMaximum }: Setting) {
  const onPublish = async (): Promise<ReturnType<typeof next>> => {
    await turn()
    return next()
  }
  const clock = new SimulatedClock()
  const broker = createBroker({
    clock,
    limits: { ...limits, maxTakeoversPerTenSeconds: Infinity },
    hooks: slowHook ? { onPublish } : {},
  })
  const open = () => {
    const [client, server] = memoryPair()
    broker.attach(server)
    return client
  }
  // More than the broker's Receive Maximum may be: MQTT 3.1.1 is not told of it, and must not fall foul of it.
  const common = { open, maxUnderWay: 20 }
  const clients = {
    publisher: new CorrectClient({ clientId: 'publisher', version: versions[0], receiveMaximum: 20, ...common }),
    subscriber: new CorrectClient({ clientId: 'subscriber', version: versions[1], receiveMaximum, ...common }),
  }
  const all = [clients.publisher, clients.subscriber] as const
  const close = async (): Promise<void> => {
    for (const client of all) client.cut()
    let isOpen = true
    const closing = broker.close({ drainTimeoutMs: 0 }).finally(() => (isOpen = false))
    while (isOpen) {
      await turn()
      clock.advance(1000)
    }
    await closing
  }
  return { broker, clients, all, close }
}

type World = ReturnType<typeof start>

async function begin({ clients, all }: World, qos: 1 | 2): Promise<void> {
  for (const client of all) client.connect()
  await settle()
  for (const client of all) client.handleNext()
  clients.subscriber.subscribe('#', qos)
  await settle()
  clients.subscriber.handleNext()
}

async function run({ clients }: World, steps: readonly Step[], payloadBytes: number): Promise<void> {
  for (const [number, each] of steps.entries()) {
    switch (each.kind) {
      case 'publish':
        clients.publisher.publish(each.topic, `${number} `.padEnd(payloadBytes, '.'), each.qos)
        break
      case 'handle':
        for (let count = 0; count < each.packets; count += 1) clients[each.who].handleNext()
        break
      case 'cut':
        clients[each.who].cut(each.bytes)
        break
      case 'connect':
        clients[each.who].connect()
        break
      case 'pause':
        clients[each.who].pauseReading()
        break
      case 'resume':
        clients[each.who].resumeReading()
        break
      case 'turns':
        for (let count = 0; count < each.turns; count += 1) await turn()
    }
  }
}

/** From here on the network is well: until nothing is under way anywhere. */
async function finish({ broker, clients, all }: World): Promise<void> {
  const session = broker.sessions.get('subscriber')
  for (let round = 0; round < 3000; round += 1) {
    for (const client of all) {
      if (!client.isConnected) client.connect()
      client.resumeReading()
      while (client.handleNext()) continue
    }
    await turn()
    if (!clients.publisher.isIdle || !clients.subscriber.isIdle) continue
    if (session?.queuedMessages !== 0 || session.inflightMessages !== 0) continue
    await settle()
    if (all.every((client) => client.isIdle) && session.queuedMessages + session.inflightMessages === 0) return
  }
  throw new Error(`still under way: ${session?.queuedMessages} queued, ${session?.inflightMessages} inflight`)
}

function check({ clients }: World, subscriberQoS: 1 | 2): void {
  const { publisher, subscriber } = clients
  expect([...publisher.violations, ...subscriber.violations]).toEqual([])
  for (const { payload, qos, transmissions } of publisher.sent.values()) {
    const copies = subscriber.delivered.filter((message) => message.payload === payload)
    const name = payload.trimEnd().slice(0, 10)
    const effectiveQoS = Math.min(qos, subscriberQoS)
    expect([name, copies.map((copy) => copy.qos)]).toEqual([name, copies.map(() => effectiveQoS)])
    if (effectiveQoS === 2) {
      expect([name, copies.length]).toEqual([name, 1])
      continue
    }
    expect([name, copies.length > 0]).toEqual([name, true])
    // A message of QoS 1 that the publisher repeats is a new one; all other copies of it say that they are.
    const originals = copies.filter((copy) => !copy.dup).length
    expect([name, originals <= (qos === 1 ? transmissions : 1)]).toEqual([name, true])
  }
  // MQTT-4.6.0-6: order per topic and QoS, by the first time that each came.
  for (const topic of ['a', 'b']) {
    for (const qos of [1, 2]) {
      const sent = [...publisher.sent.values()].filter((message) => message.topic === topic && message.qos === qos)
      const seen = new Set(
        subscriber.delivered.filter((message) => message.topic === topic).map(({ payload }) => payload),
      )
      const first = [...seen].filter((payload) => publisher.sent.get(payload)?.qos === qos)
      expect(first.map(short)).toEqual(sent.map(({ payload }) => short(payload)))
    }
  }
}

function short(payload: string): string {
  return payload.slice(0, 12)
}

describe('QoS 1 is never lost, QoS 2 comes exactly once, order per topic is kept', () => {
  test(
    'threat 3, 57: whatever is cut off, delayed, taken over or held back on either side',
    { timeout: 60_000 },
    async () => {
      await fc.assert(
        fc.asyncProperty(setting, fc.array(step, { minLength: 5, maxLength: 120 }), async (chosen, steps) => {
          const world = start(chosen)
          await begin(world, chosen.subscriberQoS)
          await run(world, steps, chosen.payloadBytes)
          await finish(world)
          check(world, chosen.subscriberQoS)
          await world.close()
        }),
        { numRuns: Number(process.env['QOS_RUNS'] ?? 300) },
      )
    },
  )
})
