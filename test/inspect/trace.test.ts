/** `broker.trace`: what one client does, in the log; threat 95. */
import { connectAsync } from 'mqtt'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'

import { allow, deny, ReasonCode, type Authenticator, type BrokerOptions, type Logger } from '../../src/index.ts'
import { Canaries } from '../support/canaries.ts'
import { startBroker as start } from '../support/test-broker.ts'
import { connect as connectPacket } from '../support/wire.ts'

type Line = Readonly<Record<string, unknown>> & { readonly message: string }

/** Details and message of each line at `info`, without fields that are undefined. */
function lines(): { readonly logger: Logger; readonly logged: Line[] } {
  const logged: Line[] = []
  const info = (details: object, message: string): void => {
    logged.push({ ...(JSON.parse(JSON.stringify(details)) as object), message })
  }
  return { logged, logger: { debug() {}, info, warn() {}, error() {} } }
}

function startBroker(options: BrokerOptions = {}) {
  const { logger, logged } = lines()
  return { ...start({ logger, ...options }), logged }
}

/** A line in few words: `in PUBLISH`, or the event and where it led. */
function wordsOf({ direction, packet, event, to }: Line): string {
  return packet === undefined ? `${event as string} -> ${(to as string[])[0]}` : [direction, packet].join(' ')
}

const told = (logged: readonly Line[]): readonly Line[] => logged.filter(({ message }) => message.startsWith('trace: '))

describe('a trace', () => {
  test('tells of every packet and step of one MQTT.js client from its CONNECT on, and of nobody else', async () => {
    const { broker, listen, logged, settle } = startBroker()
    const { port } = await listen({ transport: 'tcp', port: 0 })
    const trace = broker.trace({ clientId: 'c' }, { forSeconds: 60 })
    const come = async (clientId: string) => {
      const client = await connectAsync(`mqtt://127.0.0.1:${port}`, {
        clientId,
        protocolVersion: 5,
        reconnectPeriod: 0,
      })
      onTestFinished(() => void client.end(true))
      return client
    }
    const other = await come('other')
    const client = await come('c')
    await client.subscribeAsync('news/#', { qos: 1 })
    const arrived = new Promise((resolve) => client.once('message', resolve))
    await other.publishAsync('news/today', 'payload', { qos: 1 })
    await arrived
    await client.publishAsync('out', 'payload', { qos: 2 })
    await client.unsubscribeAsync('news/#')
    await client.endAsync()
    await settle()
    expect(told(logged).map(wordsOf)).toEqual([
      'in CONNECT',
      'packet.connect -> authenticating.arriving',
      'out CONNACK',
      ' -> online.authority.valid',
      ' -> online.authority.valid',
      'in SUBSCRIBE',
      'out SUBACK',
      'out PUBLISH',
      'in PUBACK',
      'in PUBLISH',
      'out PUBREC',
      'in PUBREL',
      'out PUBCOMP',
      'in UNSUBSCRIBE',
      'out UNSUBACK',
      'in DISCONNECT',
      'packet.disconnect -> expired',
    ])
    const names = { trace: trace.id, clientId: 'c', sessionId: 's2' }
    const packet = { ...names, message: 'trace: packet' }
    const delivered = { packet: 'PUBLISH', topic: 'news/today', qos: 1, retain: false, dup: false, payloadBytes: 7 }
    expect(told(logged)[7]).toEqual({ ...packet, direction: 'out', ...delivered, packetId: 1 })
    expect(told(logged)[16]).toEqual({
      ...names,
      event: 'packet.disconnect',
      from: ['online.authority.valid', 'online.reauthentication.idle', 'online.delivery.flowing'],
      to: ['expired'],
      by: 'client',
      name: '',
      reason: 'DISCONNECT',
      reasonCode: 0,
      message: 'trace: transition',
    })
  })

  test('of a client that is there already, and until its time is over', async () => {
    const { broker, connect, advance, settle, logged } = startBroker()
    const client = await connect({ clientId: 'c', keepAlive: 0 })
    const trace = broker.trace({ clientId: 'c' }, { forSeconds: 5 })
    expect(broker.traces()).toEqual([trace])
    client.send('c000')
    await client.expectPacket('pingresp')
    await advance(5_000)
    expect(broker.traces()).toEqual([])
    client.send('c000')
    await client.expectPacket('pingresp')
    client.drop()
    await settle()
    expect(logged.filter(({ trace: id }) => id !== undefined).map(({ message, packet }) => [message, packet])).toEqual([
      ['a trace begins', undefined],
      ['trace: packet', 'PINGREQ'],
      ['trace: packet', 'PINGRESP'],
      ['a trace ends', undefined],
    ])
  })

  test('follows a session to its next connection, and a principal to all of its clients', async () => {
    const people: Authenticator = {
      name: 'people',
      authenticate: ({ username }) =>
        username === 'mallory' ? deny(ReasonCode.Banned, 'gone') : allow({ principal: username ?? '' }),
    }
    const { broker, connect, attach, settle, logged } = startBroker({ authenticators: [people] })
    const kept = { cleanStart: false, properties: { sessionExpiryInterval: 60 } } as const
    const first = await connect({ clientId: 'c', username: 'alice', ...kept })
    await connect({ clientId: 'd', username: 'alice' })
    await connect({ clientId: 'e', username: 'bob' })
    const byPrincipal = broker.trace({ principal: 'alice' }, { forSeconds: 60 })
    const byClient = broker.trace({ clientId: 'c' }, { forSeconds: 60 })
    const second = await connect({ clientId: 'c', username: 'alice', ...kept })
    await first.expectDisconnect(0x8e)
    second.send('c000')
    await second.expectPacket('pingresp')
    const mallory = attach()
    mallory.send(connectPacket({ clientId: 'c', username: 'mallory' }))
    await mallory.expectRefused(ReasonCode.Banned)
    await settle()
    const of = (id: string) => told(logged).filter(({ trace }) => trace === id)
    const pings = (id: string) => of(id).filter(({ packet }) => packet === 'PINGREQ' || packet === 'PINGRESP')
    expect(pings(byPrincipal.id).map(({ sessionId, packet }) => [sessionId, packet])).toEqual([
      ['s1', 'PINGREQ'],
      ['s1', 'PINGRESP'],
    ])
    expect(pings(byClient.id)).toHaveLength(2)
    // Who was refused was nobody's principal, but wanted the identifier.
    expect(of(byPrincipal.id).some(({ reason }) => reason === 'gone')).toBe(false)
    const refusal = of(byClient.id).find(({ reason }) => reason === 'gone')
    expect(refusal).toMatchObject({ by: 'authenticator', name: 'people', reasonCode: 0x8a, to: ['expired'] })
    byClient.end()
    second.send('c000')
    await second.expectPacket('pingresp')
    expect([pings(byPrincipal.id).length, pings(byClient.id).length]).toEqual([4, 2])
  })

  test('of clients in the process too', async () => {
    const { broker, logged, settle } = startBroker()
    broker.trace({ clientId: 'local' }, { forSeconds: 60 })
    const client = await broker.client({ clientId: 'local' })
    await client.publish({ topic: 'a', payload: 'x', qos: 1 })
    await client.close()
    await settle()
    expect(
      told(logged)
        .map(wordsOf)
        .filter((words) => !words.includes('->')),
    ).toEqual(['in CONNECT', 'out CONNACK', 'in PUBLISH', 'out PUBACK', 'in DISCONNECT'])
  })

  test('leaves lines out beyond so many a second, and says how many', async () => {
    const { broker, connect, advance, logged } = startBroker({ limits: { maxTraceLinesPerSecond: 3 } })
    const client = await connect({ clientId: 'c' })
    broker.trace({ clientId: 'c' }, { forSeconds: 60 })
    for (let at = 0; at < 5; at++) await client.publish({ topic: `t/${at}` })
    await advance(1_000)
    await client.publish({ topic: 't/5' })
    await advance(0)
    // A ping behind each publish tells the test that it was read.
    expect(told(logged).map(({ packet, topic, linesLeftOut }) => [packet, topic, linesLeftOut])).toEqual([
      ['PUBLISH', 't/0', undefined],
      ['PINGREQ', undefined, undefined],
      ['PINGRESP', undefined, undefined],
      ['PUBLISH', 't/5', 12],
      ['PINGREQ', undefined, undefined],
      ['PINGRESP', undefined, undefined],
    ])
  })

  test('there are so many at once; what it is given is checked', () => {
    const { broker } = startBroker({ limits: { maxTraces: 2 } })
    const ids = ['a', 'b', 'c'].map((clientId) => broker.trace({ clientId }, { forSeconds: 1 }).id)
    expect(broker.traces().map(({ id }) => id)).toEqual(ids.slice(1))
    const wrong = [
      [{}, 1],
      [{ clientId: 'a', principal: 'b' }, 1],
      [{ clientId: '' }, 1],
      [{ clientId: 'a' }, 0],
      [{ clientId: 'a' }, 1.5],
      [{ clientId: 'a' }, 86_401],
    ] as const
    for (const [target, forSeconds] of wrong) {
      expect(() => broker.trace(target as never, { forSeconds })).toThrow(
        expect.objectContaining({ code: 'SMQ_OPTION_INVALID' }),
      )
    }
  })

  test('tells no payload, no secret and no property of a user', async () => {
    const canaries = new Canaries()
    const [password, will, payload, property] = ['password', 'will', 'payload', 'property'].map((name) =>
      canaries.plant(name),
    )
    const { broker, connect, logged, settle } = startBroker({
      authenticators: [{ name: 'people', authenticate: () => allow() }],
    })
    broker.trace({ clientId: 'c' }, { forSeconds: 60 })
    const userProperties = [['k', property!]] as const
    const client = await connect({
      clientId: 'c',
      username: 'u',
      password: password!,
      will: { topic: 'w', payload: will! },
      properties: { userProperties },
    })
    await client.subscribe([['t', 1]])
    await broker.publish({ topic: 't', payload: payload!, qos: 1, properties: { userProperties } })
    await client.takePublish()
    await client.publish({ topic: 'u', payload: payload!, properties: { userProperties } })
    await settle()
    expect(told(logged).filter(({ packet }) => packet === 'PUBLISH')).toHaveLength(2)
    expect(canaries.found(JSON.stringify(logged))).toEqual([])
  })
})

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, one]) => [name, ...textsIn(one)])
}

describe('threat 95: texts of clients in the log', () => {
  const hostile = [
    'one\r\n{"level":50,"msg":"forged"}',
    'colour \u001b[31mred\u001b[0m \u009b2J',
    'turned \u202egnp.exe\u202c',
    'lines \u2028 and \u2029 apart',
    'a'.repeat(200),
  ]

  test.each(hostile)('%j is one line, and plain', async (clientId) => {
    const written: string[] = []
    const logger = pino({ level: 'debug' }, { write: (line: string) => void written.push(line) })
    const { broker, attach, settle } = start({ logger: logger as unknown as Logger })
    broker.trace({ clientId }, { forSeconds: 60 })
    const client = attach()
    client.send(connectPacket({ clientId, username: clientId }))
    await settle()
    client.drop()
    await settle()
    const about = written.filter((line) => line.includes('trace: '))
    expect(about.length).toBeGreaterThan(0)
    for (const line of written) {
      expect(line.endsWith('\n')).toBe(true)
      expect(line.slice(0, -1)).toMatch(/^[\u0020-\u007e…]*$/)
      // And behind the parser, where viewers show it.
      for (const text of textsIn(JSON.parse(line))) expect(text).toMatch(/^[\u0020-\u007e…]*$/)
    }
  })

  test('a long topic is cut, with its length', async () => {
    const { broker, connect, logged, settle } = startBroker()
    const client = await connect({ clientId: 'c' })
    broker.trace({ clientId: 'c' }, { forSeconds: 60 })
    await client.publish({ topic: 'x'.repeat(5_000) })
    await settle()
    expect(told(logged)[0]?.['topic']).toBe(`${'x'.repeat(512)}… (5000 characters)`)
  })
})
