/** `statemq/opentelemetry` with the SDK and real clients. */
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { connectAsync, type IClientOptions } from 'mqtt'
import { describe, expect, onTestFinished, test } from 'vitest'

import {
  allow,
  challenge,
  createBroker,
  deny,
  ReasonCode,
  type Authenticator,
  type BrokerOptions,
  type UserProperties,
} from '../../src/index.ts'
import { openTelemetry, type OpenTelemetryOptions } from '../../src/observe/opentelemetry.ts'
import { traceContextIn, withTraceContext } from '../../src/observe/trace-context.ts'
import { Canaries } from '../support/canaries.ts'
import { RawClient } from '../support/raw-client.ts'
import { settle } from '../support/test-broker.ts'
import { auth, connect as connectPacket } from '../support/wire.ts'

const people: Authenticator = {
  name: 'people',
  authenticate: async ({ username }) =>
    username === 'mallory' ? deny(ReasonCode.Banned, 'not here any more') : allow({ principal: username ?? '' }),
}

/** A broker whose spans end up in a list. */
async function traced(options: BrokerOptions = {}, telemetryOptions: Partial<OpenTelemetryOptions> = {}) {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const telemetry = openTelemetry({ tracer: provider.getTracer('statemq'), ...telemetryOptions })
  const broker = createBroker({ ...options, hooks: [telemetry, ...[options.hooks ?? []].flat()] })
  const end = telemetry.observe(broker)
  const { address } = await broker.listen({ transport: 'tcp', port: 0 })
  if (!('port' in address)) throw new Error('no port')
  onTestFinished(() => broker.close({ drainTimeoutMs: 0 }))
  const come = async (given: IClientOptions) => {
    const client = await connectAsync(`mqtt://127.0.0.1:${address.port}`, {
      protocolVersion: 5,
      reconnectPeriod: 0,
      ...given,
    })
    onTestFinished(() => void client.end(true))
    return client
  }
  const spans = () =>
    exporter.getFinishedSpans().map((span) => ({
      name: span.name,
      id: span.spanContext().spanId,
      traceId: span.spanContext().traceId,
      parent: span.parentSpanContext?.spanId,
      links: span.links.map(({ context }) => context.spanId),
      attributes: span.attributes,
      status: span.status,
      events: span.events.map(({ name }) => name),
      isInOrder: span.startTime[0] * 1e9 + span.startTime[1] <= span.endTime[0] * 1e9 + span.endTime[1],
    }))
  return { come, spans, end, port: address.port }
}

const decisionOf = (by: string, name: string, reason: string) => ({
  'statemq.decision.by': by,
  'statemq.decision.name': name,
  'statemq.decision.reason': reason,
})

describe('a CONNECT', () => {
  test('is a span with the authentication and the admission in it', async () => {
    const { come, spans } = await traced({ authenticators: [people] })
    await come({ clientId: 'c', username: 'alice', password: 'secret' })
    await settle()
    const [authenticate, admit, connect, ...more] = spans()
    expect(more).toEqual([])
    expect([authenticate, admit, connect].map((span) => [span?.name, span?.parent, span?.isInOrder])).toEqual([
      ['authenticate', connect?.id, true],
      ['admit', connect?.id, true],
      ['CONNECT', undefined, true],
    ])
    expect(authenticate?.attributes).toEqual(decisionOf('authenticator', 'people', 'accepted'))
    expect(connect?.attributes).toEqual({
      'messaging.system': 'mqtt',
      'messaging.client.id': 'c',
      'statemq.session.id': 's1',
      'statemq.outcome': 'accepted',
      'mqtt.reason_code': 0,
    })
    expect(connect?.status).toEqual({ code: 0 })
  })

  test('that is refused says by whom, why, and with which code', async () => {
    const { come, spans } = await traced({ authenticators: [people] })
    await expect(come({ clientId: 'm', username: 'mallory' })).rejects.toThrow('Banned')
    await settle()
    const [authenticate, connect, ...more] = spans()
    expect(more).toEqual([])
    const decision = decisionOf('authenticator', 'people', 'not here any more')
    const status = { code: 2, message: 'not here any more' }
    expect(authenticate).toMatchObject({ name: 'authenticate', parent: connect?.id, attributes: decision, status })
    expect(connect).toMatchObject({ name: 'CONNECT', status })
    expect(connect?.attributes).toEqual({
      'messaging.system': 'mqtt',
      'messaging.client.id': 'm',
      'statemq.session.id': 's1',
      'statemq.outcome': 'refused',
      'mqtt.reason_code': ReasonCode.Banned,
      ...decision,
    })
  })

  test('of a client that nothing is waited for, and of one that goes on with its session', async () => {
    const { come, spans } = await traced()
    const kept = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 60 } }
    await come(kept)
    await come(kept)
    await settle()
    expect(spans().map(({ name, attributes }) => [name, attributes['statemq.outcome']])).toEqual([
      ['authenticate', undefined],
      ['CONNECT', 'accepted'],
      ['authenticate', undefined],
      ['admit', undefined],
      ['CONNECT', 'accepted'],
    ])
  })

  test('with several rounds is one authentication', async () => {
    const ticket: Authenticator = {
      name: 'tickets',
      methods: ['TICKET'],
      authenticate: ({ round }) => (round === 0 ? challenge(Buffer.from('?')) : allow({ principal: 'p' })),
    }
    const { port, spans } = await traced({ authenticators: [ticket] })
    const client = await RawClient.tcp(port)
    onTestFinished(() => client.drop())
    client.send(connectPacket({ clientId: 'c', properties: { authenticationMethod: 'TICKET' } }))
    await client.expectPacket('auth')
    client.send(auth(0x18, { authenticationMethod: 'TICKET' }))
    await client.expectPacket('connack')
    await settle()
    expect(spans().map(({ name, events }) => [name, events])).toEqual([
      ['authenticate', ['challenge']],
      ['admit', []],
      ['CONNECT', []],
    ])
  })

  test('holds no secret, and nothing is told once nobody listens', async () => {
    const canaries = new Canaries()
    const password = canaries.plant('password')
    const payload = canaries.plant('payload')
    const { come, spans, end } = await traced({ authenticators: [people] })
    const will = { topic: 'w', payload: Buffer.from(payload), qos: 0 as const, retain: false }
    const client = await come({ clientId: 'c\u001b[31m', username: 'alice', password, will })
    await client.publishAsync('t', payload, {
      qos: 1,
      properties: { userProperties: { k: canaries.plant('property') } },
    })
    await settle()
    const text = JSON.stringify(spans())
    expect(canaries.found(text)).toEqual([])
    expect(spans().at(-1)?.attributes['messaging.client.id']).toBe('c\\u001b[31m')
    expect(spans().filter(({ name }) => name === 'CONNECT')).toHaveLength(1)
    end()
    await come({ clientId: 'd', username: 'bob' })
    await settle()
    expect(spans().filter(({ name }) => name === 'CONNECT')).toHaveLength(1)
  })
})

const remote = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }
const traceparent = `00-${remote.traceId}-${remote.spanId}-01`

describe('a PUBLISH', () => {
  test('goes on with the trace of its publisher, and its subscribers with it', async () => {
    const { come, spans } = await traced()
    const subscriber = await come({ clientId: 'subscriber' })
    await subscriber.subscribeAsync('t/#', { qos: 1 })
    const arrived = new Promise<unknown>((resolve) =>
      subscriber.once('message', (_topic, _payload, packet) => resolve(packet.properties?.userProperties)),
    )
    const publisher = await come({ clientId: 'publisher' })
    const userProperties = { before: '1', traceparent, tracestate: 'vendor=x', after: '2' }
    await publisher.publishAsync('t/1', 'hello', { qos: 1, properties: { userProperties } })
    const received = await arrived
    await settle()
    const [publish, ...more] = spans().filter(({ name }) => name.startsWith('publish'))
    expect(more).toEqual([])
    expect(publish).toMatchObject({
      name: 'publish t/1',
      traceId: remote.traceId,
      parent: remote.spanId,
      status: { code: 0 },
    })
    expect(publish?.attributes).toEqual({
      'messaging.system': 'mqtt',
      'messaging.operation.name': 'publish',
      'messaging.destination.name': 't/1',
      'messaging.client.id': 'publisher',
      'messaging.message.body.size': 5,
      'statemq.session.id': 's2',
      'mqtt.protocol_version': 5,
      'mqtt.qos': 1,
      'mqtt.retain': false,
      'statemq.reached': 1,
    })
    expect({ ...(received as object) }).toEqual({
      before: '1',
      after: '2',
      traceparent: `00-${remote.traceId}-${publish!.id}-01`,
      tracestate: 'vendor=x',
    })
  })

  test('may be linked instead, or left alone, and its topic kept out', async () => {
    const properties = { userProperties: { traceparent } }
    const link = await traced({}, { incoming: 'link', topics: false, propagate: false })
    const first = await link.come({ clientId: 'a' })
    await first.publishAsync('t/secret', '', { qos: 1, properties })
    const ignore = await traced({}, { incoming: 'ignore' })
    const second = await ignore.come({ clientId: 'b' })
    await second.publishAsync('t', '', { qos: 1, properties })
    const none = await traced({}, { publish: false })
    const third = await none.come({ clientId: 'c' })
    await third.publishAsync('t', '', { qos: 1, properties })
    await settle()
    const publishes = [link, ignore, none].map(({ spans }) => spans().filter(({ name }) => name.startsWith('publish')))
    expect(publishes.map((each) => each.map(({ name, parent, links }) => ({ name, parent, links })))).toEqual([
      [{ name: 'publish', parent: undefined, links: [remote.spanId] }],
      [{ name: 'publish t', parent: undefined, links: [] }],
      [],
    ])
    expect(JSON.stringify(publishes)).not.toContain('secret')
  })

  test('that a later plugin denies is an error, and so is no other', async () => {
    const { come, spans } = await traced({
      hooks: {
        onPublish: ({ message }) =>
          message.topic === 'no' ? deny(ReasonCode.NotAuthorized, 'not that') : { type: 'next' },
      },
    })
    const client = await come({ clientId: 'c' })
    const sent = ['a', 'no', 'b'].map((topic) => client.publishAsync(topic, '', { qos: 1 }).catch(() => undefined))
    await Promise.all(sent)
    await settle()
    const publishes = spans().filter(({ name }) => name.startsWith('publish'))
    expect(publishes.map(({ name, status, isInOrder }) => [name, status.code, isInOrder])).toEqual([
      ['publish a', 0, true],
      ['publish no', 2, true],
      ['publish b', 0, true],
    ])
  })
})

describe('trace context', () => {
  const of = (text: string): UserProperties => [['traceparent', text]]

  test.each([
    'x',
    `ff-${remote.traceId}-${remote.spanId}-01`,
    `00-${remote.traceId}-${remote.spanId}-01-more`,
    `00-${'0'.repeat(32)}-${remote.spanId}-01`,
    `00-${remote.traceId}-${'0'.repeat(16)}-01`,
    `00-${remote.traceId.toUpperCase()}-${remote.spanId}-01`,
    `00-${remote.traceId}-${remote.spanId}`,
    `${traceparent}\r\nforged: 1`,
  ])('%j is none', (text) => {
    expect(traceContextIn(of(text))).toBeUndefined()
  })

  test('is read and written; what a later version adds is passed over', () => {
    expect(traceContextIn(of(traceparent))).toEqual({ ...remote, traceFlags: 1, isRemote: true })
    expect(traceContextIn(of(`01-${remote.traceId}-${remote.spanId}-00-later`))).toEqual({
      ...remote,
      traceFlags: 0,
      isRemote: true,
    })
    expect(traceContextIn(undefined)).toBeUndefined()
    const context = traceContextIn([...of(traceparent), ['tracestate', 'a=1']])
    expect(withTraceContext([['k', 'v'], ...of('old')], context!)).toEqual([
      ['k', 'v'],
      ['traceparent', traceparent],
      ['tracestate', 'a=1'],
    ])
    expect(traceContextIn([...of(traceparent), ['tracestate', 'a='.padEnd(600, 'x')]])?.traceState).toBeUndefined()
  })
})
