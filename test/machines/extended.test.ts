import { expect, test } from 'vitest'

import { extendSession, sessionMachine, sessionSetup } from 'statemq/machines'
import { describeChart } from '../../src/inspect/chart.ts'
import { toMermaid } from '../../src/inspect/mermaid.ts'
import { StatemqError, createBroker, type BrokerOptions } from '../../src/index.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { startBroker } from '../support/test-broker.ts'
import type { RawClient } from '../support/raw-client.ts'
import { tempFolder } from '../support/temp-files.ts'

const setup = sessionSetup.extend({
  guards: {
    isQuarantined: ({ context }) => context.sessionAttributes['quarantine'] === true,
    isFree: ({ context }) => context.sessionAttributes['quarantine'] !== true,
  },
})

/** A region beside those of `online`: whoever is held gets nothing until it is free. */
const machine = extendSession(setup, {
  online: {
    states: {
      quarantine: {
        initial: 'free',
        states: {
          free: {
            always: { guard: 'isQuarantined', target: 'held' },
            on: { 'custom.hold': 'detained' },
          },
          held: { entry: 'suspendDelivery', exit: 'resumeDelivery', always: { guard: 'isFree', target: 'free' } },
          detained: { entry: 'suspendDelivery', exit: 'resumeDelivery', on: { 'custom.free': 'free' } },
        },
      },
    },
  },
})

const start = (options: BrokerOptions = {}) => startBroker({ machine, ...options })
type Bench = ReturnType<typeof start>

/** Of everything that was sent to it. */
const payloadsOf = async (client: RawClient): Promise<readonly string[]> =>
  (await client.drain()).map((packet) => (packet.type === 'publish' ? packet.payload : packet.type))

/** Every active state of a session below `online`. */
const regionsOf = ({ broker }: Bench, clientId: string): unknown =>
  (broker.sessions.get(clientId)?.actorRef.getSnapshot().value as { online?: unknown } | undefined)?.online

async function quarantine({ broker }: Bench, clientId: string, on: boolean): Promise<void> {
  await broker.sessions.setAttributes({ clientId }, { quarantine: on ? true : null }, { scope: 'session' })
}

test('a region of one’s own runs beside those of `online`, whose states stay as they are', async () => {
  const bench = start()
  await bench.connect({ clientId: 'a' })
  expect(regionsOf(bench, 'a')).toEqual({
    authority: 'valid',
    reauthentication: 'idle',
    delivery: 'flowing',
    quarantine: 'free',
  })
  await quarantine(bench, 'a', true)
  expect(regionsOf(bench, 'a')).toMatchObject({ delivery: 'flowing', quarantine: 'held' })
  expect(bench.state('a')).toBe('online')
  await quarantine(bench, 'a', false)
  expect(regionsOf(bench, 'a')).toMatchObject({ quarantine: 'free' })
})

test.each([0, 1, 2] as const)(
  'who is held gets nothing of QoS %i until it is free, then everything in order',
  async (qos) => {
    const bench = start()
    const held = await bench.connect({ clientId: 'held' })
    const other = await bench.connect({ clientId: 'other' })
    for (const client of [held, other]) await client.subscribe([['t', { qos }]])
    await quarantine(bench, 'held', true)
    for (const payload of ['1', '2', '3']) await bench.broker.publish({ topic: 't', payload, qos })
    await bench.settle()
    expect(await payloadsOf(other)).toEqual(['1', '2', '3'])
    // Its pings are answered, and it may publish.
    await held.expectNothing()
    await held.publish({ topic: 'other', qos: 1 })
    expect(bench.broker.sessions.get('held')?.queuedMessages).toBe(3)
    await quarantine(bench, 'held', false)
    await bench.settle()
    expect(await payloadsOf(held)).toEqual(['1', '2', '3'])
  },
)

test('what was under way is acknowledged while it is held, and not sent again', async () => {
  const bench = start()
  const client = await bench.connect({ clientId: 'a' })
  await client.subscribe([['t', { qos: 1 }]])
  await bench.broker.publish({ topic: 't', payload: '1', qos: 1 })
  const first = await client.expectPacket('publish', { payload: '1' })
  await quarantine(bench, 'a', true)
  await bench.broker.publish({ topic: 't', payload: '2', qos: 1 })
  await client.acknowledge(first)
  await client.expectNothing()
  expect(bench.broker.sessions.get('a')).toMatchObject({ inflightMessages: 0, queuedMessages: 1 })
  await quarantine(bench, 'a', false)
  await client.expectPublish({ topic: 't', payload: '2', qos: 1 })
})

test('retained messages of a subscription that it makes meanwhile come when it is free', async () => {
  const bench = start()
  for (const topic of ['r/1', 'r/2']) await bench.broker.publish({ topic, payload: 'kept', retain: true })
  const client = await bench.connect({ clientId: 'a' })
  await quarantine(bench, 'a', true)
  await client.subscribe(['r/#'])
  await bench.settle()
  await client.expectNothing()
  await quarantine(bench, 'a', false)
  await bench.settle()
  const topics = (await client.drain()).map((packet) => (packet.type === 'publish' ? packet.topic : packet.type))
  expect(topics.toSorted()).toEqual(['r/1', 'r/2'])
})

test('shared messages go to members that are not held', async () => {
  const bench = start()
  const [held, free] = [await bench.connect({ clientId: 'held' }), await bench.connect({ clientId: 'free' })]
  for (const client of [held, free]) await client.subscribe(['$share/g/t'])
  await quarantine(bench, 'held', true)
  for (let count = 0; count < 4; count++) await bench.broker.publish({ topic: 't', payload: `${count}` })
  await bench.settle()
  expect(await free.drain()).toHaveLength(4)
  await held.expectNothing()
})

test('it is held again when it comes back, from the first packet on', async () => {
  const bench = start()
  const input = { clientId: 'a', cleanStart: false, properties: { sessionExpiryInterval: 3600 } }
  const first = await bench.connect(input)
  await first.subscribe([['t', { qos: 1 }]])
  await quarantine(bench, 'a', true)
  first.drop()
  await bench.settle()
  await bench.broker.publish({ topic: 't', payload: 'waits', qos: 1 })
  const second = await bench.connect(input)
  await bench.settle()
  await second.expectNothing()
  expect(regionsOf(bench, 'a')).toMatchObject({ quarantine: 'held' })
  await quarantine(bench, 'a', false)
  await second.expectPublish({ topic: 't', payload: 'waits', qos: 1 })
})

test('events of one’s own reach states of one’s own, and others report that they have no use for them', async () => {
  const bench = start()
  const ignored: string[] = []
  bench.broker.events$.subscribe((event) => {
    if (event.type === 'session.ignored') ignored.push(event.event)
  })
  const client = await bench.connect({ clientId: 'a' })
  await client.subscribe(['t'])
  const { actorRef } = bench.broker.sessions.get('a')!
  actorRef.send({ type: 'custom.free' })
  actorRef.send({ type: 'custom.hold' })
  expect(regionsOf(bench, 'a')).toMatchObject({ quarantine: 'detained' })
  await bench.broker.publish({ topic: 't', payload: 'x' })
  await bench.settle()
  await client.expectNothing()
  actorRef.send({ type: 'custom.free' })
  await client.expectPublish({ topic: 't', payload: 'x' })
  await bench.settle()
  expect(ignored).toEqual(['custom.free'])
})

test('who is held may be taken over, revoked and expired as anybody', async () => {
  const bench = start()
  const first = await bench.connect({ clientId: 'a' })
  await quarantine(bench, 'a', true)
  const second = await bench.connect({ clientId: 'a' })
  await first.expectDisconnect(0x8e)
  await quarantine(bench, 'a', true)
  await bench.broker.sessions.revoke({ clientId: 'a' }, 'it was stolen')
  await second.expectDisconnect(0x87)
  expect(bench.state('a')).toBeUndefined()
})

test('a quarantine outlives the process, with a store', async () => {
  const directory = tempFolder()
  const options = { store: { type: 'lmdb', directory } } as const
  const input = { clientId: 'a', cleanStart: false, properties: { sessionExpiryInterval: 3600 } }
  const before = start(options)
  await before.broker.ready
  const client = await before.connect(input)
  await client.subscribe([['t', { qos: 1 }]])
  await quarantine(before, 'a', true)
  await before.broker.publish({ topic: 't', payload: 'waits', qos: 1 })
  await before.close()
  const after = start(options)
  await after.broker.ready
  const again = await after.connect(input)
  await after.settle()
  await again.expectNothing()
  await quarantine(after, 'a', false)
  await again.expectPublish({ topic: 't', payload: 'waits', qos: 1 })
})

test('states of one’s own are in the chart, like any other', () => {
  const chart = describeChart(machine)
  expect(chart.states?.['online']?.states?.['quarantine']?.states?.['held']).toEqual({
    id: 'session.online.quarantine.held',
    entry: ['suspendDelivery'],
    exit: ['resumeDelivery'],
    always: [{ target: ['#session.online.quarantine.free'], guard: 'isFree' }],
  })
  expect(toMermaid(chart, 'brief')).toContain('state "quarantine" as online_quarantine {')
  const { quarantine: _own, ...others } = chart.states!['online']!.states!
  expect(others).toEqual(describeChart(sessionMachine).states!['online']!.states)
})

test('what is added on the way in is done: nobody is admitted past it', async () => {
  const asked: string[] = []
  const approval = extendSession(
    sessionSetup.extend({ actions: { note: ({ context }) => void asked.push(context.connect!.clientId) } }),
    { authenticating: { states: { identity: { entry: 'note' } } } },
  )
  const bench = startBroker({ machine: approval })
  await bench.connect({ clientId: 'a' })
  expect(asked).toEqual(['a'])
  expect(bench.state('a')).toBe('online')
  expect(bench.clock.nowMs()).toBe(simulatedEpochMs)
})

test('what is there already is not replaced', () => {
  expect(() => extendSession(sessionSetup, { online: { states: { delivery: { initial: 'flowing' } } } })).toThrow(
    new TypeError('session.online.delivery: initial is there already'),
  )
  expect(() => extendSession(sessionSetup, { offline: { on: { 'session.resume': 'online' } } })).toThrow(
    new TypeError('session.offline: on session.resume is there already'),
  )
  expect(() => extendSession(sessionSetup, { quarantine: {} } as never)).toThrow(
    new TypeError('session: quarantine would be a top-level state; put it inside one of those that are there'),
  )
})

test('a broker takes no machine with a seventh top-level state', () => {
  const { config } = sessionMachine
  const seventh = sessionSetup.createMachine({ ...config, states: { ...config.states, quarantine: {} } } as never)
  expect(() => createBroker({ machine: seventh as never })).toThrow(StatemqError)
  expect(() => createBroker({ machine: seventh as never })).toThrow(/"quarantine" would be a top-level state/)
})
