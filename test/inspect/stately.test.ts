/** `broker.inspection.stately`, read by the receiving side of Stately's own package. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createWebSocketReceiver, type StatelyInspectionEvent as TheirEvent } from '@statelyai/inspect'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { createMachine } from 'xstate'

import { allow, type Authenticator, type Broker } from '../../src/index.ts'
import type { StatelyInspectionEvent, StatelyOptions } from '../../src/stately.ts'
import { Canaries } from '../support/canaries.ts'
import { startBroker } from '../support/test-broker.ts'

const people: Authenticator = {
  name: 'people',
  authenticate: ({ username }) =>
    allow({ principal: username ?? '', roles: ['reader'], properties: { pin: 'p-1234' } }),
}
const kept = { cleanStart: false, properties: { sessionExpiryInterval: 60 } } as const

/** Each event as the tool would show it. */
function lineOf(event: TheirEvent): string {
  const { type, sessionId } = event
  if (type === '@xstate.event') return `${sessionId} event ${event.event.type}`
  const { snapshot } = event as { snapshot: { status?: string; value?: unknown } }
  const state = `${snapshot.status} ${JSON.stringify(snapshot.value)}`
  return type === '@xstate.actor' ? `${sessionId} actor ${event.name}: ${state}` : `${sessionId} ${state}`
}

/** What their receiver gets from a WebSocket that sends each of our events as one text. */
async function receive(broker: Broker, options?: StatelyOptions) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  onTestFinished(() => server.close())
  await once(server, 'listening')
  const received: TheirEvent[] = []
  const wanted: { count: number; resolve: () => void }[] = []
  createWebSocketReceiver({ server: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` }).subscribe((event) => {
    received.push(event)
    for (const want of wanted) if (received.length >= want.count) want.resolve()
  })
  const [socket] = (await once(server, 'connection')) as [{ send(text: string): void; terminate(): void }]
  const subscription = broker.inspection.stately(options).subscribe((event) => socket.send(JSON.stringify(event)))
  onTestFinished(() => {
    subscription.unsubscribe()
    socket.terminate()
  })
  const until = (count: number): Promise<void> =>
    received.length >= count ? Promise.resolve() : new Promise((resolve) => wanted.push({ count, resolve }))
  return { received, until, subscription }
}

test('the sessions that there are, then every step of a chart, state by state', async () => {
  const { broker, connect, advance, settle } = startBroker({ authenticators: [people] })
  await connect({ clientId: 'there', username: 'bob' })
  const { received, until } = await receive(broker)
  const client = await connect({ clientId: 'c', username: 'alice', ...kept })
  client.drop()
  await settle()
  await advance(60_000)
  await until(10)
  const online = (delivery: string): string =>
    JSON.stringify({ online: { authority: 'valid', reauthentication: 'idle', delivery } })
  expect(received.map(lineOf)).toEqual([
    `s1 actor there: active ${online('flowing')}`,
    's2 actor s2: active "connecting"',
    's2 event packet.connect',
    's2 active {"authenticating":"arriving"}',
    `s2 active ${online('waking')}`,
    `s2 active ${online('flowing')}`,
    's2 event connection.closed',
    's2 active "offline"',
    's2 event deadline.session',
    's2 done "expired"',
  ])
})

test('one client only, under the identifier that it has or wants', async () => {
  const { broker, connect } = startBroker()
  await connect({ clientId: 'other' })
  const { received, until } = await receive(broker, { clientId: 'c' })
  await connect({ clientId: 'another' })
  await connect({ clientId: 'c' })
  await until(4)
  expect(received.map(lineOf).slice(0, 3)).toEqual([
    's3 actor c: active "connecting"',
    's3 event packet.connect',
    's3 active {"authenticating":"arriving"}',
  ])
  expect(new Set(received.map(({ sessionId }) => sessionId))).toEqual(new Set(['s3']))
})

test('no more actors at once than one asks for', async () => {
  const { broker, connect, settle } = startBroker()
  await connect({ clientId: 'a' })
  const few: StatelyInspectionEvent[] = []
  broker.inspection.stately({ maxActors: 0 }).subscribe((event) => few.push(event))
  const told: StatelyInspectionEvent[] = []
  broker.inspection.stately({ maxActors: 2 }).subscribe((event) => told.push(event))
  const second = await connect({ clientId: 'b' })
  await connect({ clientId: 'c' })
  await settle()
  const actors = (): string[] => told.flatMap((event) => (event.type === '@xstate.actor' ? [event.sessionId] : []))
  expect(actors()).toEqual(['s1', 's2'])
  second.drop()
  await settle()
  await connect({ clientId: 'd' })
  await settle()
  expect(actors()).toEqual(['s1', 's2', 's4'])
  expect(few).toEqual([])
})

test('the definition is the chart that runs, as XState takes it', async () => {
  const { broker, connect, settle } = startBroker()
  const told: StatelyInspectionEvent[] = []
  broker.inspection.stately().subscribe((event) => told.push(event))
  await connect({ clientId: 'c' })
  await settle()
  const [actor] = told
  if (actor?.type !== '@xstate.actor') throw new Error('no actor')
  const machine = createMachine(JSON.parse(actor.definition) as Parameters<typeof createMachine>[0])
  expect(Object.keys(machine.states)).toEqual(Object.keys(broker.machine.states))
  expect(machine.id).toBe('session')
})

test('tells no secret, no property and no payload, and all that it tells is plain', async () => {
  const canaries = new Canaries()
  const password = canaries.plant('password')
  const payload = canaries.plant('payload of a will')
  const property = canaries.plant('user property')
  const { broker, connect, settle } = startBroker({ authenticators: [people] })
  const told: StatelyInspectionEvent[] = []
  broker.inspection.stately().subscribe((event) => told.push(event))
  const client = await connect({
    clientId: 'c',
    username: 'alice',
    password,
    will: { topic: 'w', payload },
    properties: { userProperties: [['session.secret', property]] },
  })
  await broker.sessions.setProperties({ clientId: 'c' }, { colour: canaries.plant('property') })
  await broker.sessions.setAttributes({ clientId: 'c' }, { note: canaries.plant('attribute') }, { scope: 'session' })
  client.drop()
  await settle()
  expect(canaries.found(JSON.stringify(told))).toEqual([])
  expect(JSON.stringify(told)).not.toContain('p-1234')
  const last = told.findLast((event) => event.type === '@xstate.snapshot')
  expect(last).toEqual({
    type: '@xstate.snapshot',
    event: {
      type: 'connection.closed',
      decision: {
        by: 'network',
        name: '',
        reason: 'the connection ended without DISCONNECT',
        reasonCode: null,
        rule: null,
      },
    },
    snapshot: {
      status: 'done',
      value: 'expired',
      context: {
        sessionId: 's1',
        clientId: 'c',
        principal: 'alice',
        roles: ['reader'],
        authenticator: 'people',
        standing: 'valid',
        listener: 'attached',
        transport: 'memory',
        address: null,
        epoch: 1,
        resumed: false,
        sessionExpiryIntervalSeconds: 0,
        expiresAtMs: null,
        end: { reason: 'connection-lost', reasonCode: null },
      },
    },
    sessionId: 's1',
    rootId: 's1',
    id: last?.id,
    createdAt: last?.createdAt,
    _version: '0.7.2',
  })
})
