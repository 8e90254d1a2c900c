/** Beginnings and ends: what is told of them, and what comes in between. */
import { describe, expect, test } from 'vitest'

import { allow, next, type Authenticator, type Grant, type Next, type Verdict } from '../../src/hooks.ts'
import { createBroker } from '../../src/index.ts'
import type { BrokerEvent } from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { auth, connect, disconnect, publish } from '../support/wire.ts'

const session = { clientId: 's', cleanStart: false, properties: { sessionExpiryInterval: 1000 } }

/** Answers that the test gives. */
function held<T>() {
  const answers: ((answer: T) => void)[] = []
  return { answers, ask: (): Promise<T> => new Promise((resolve) => answers.push(resolve)) }
}

test('the last event is that the broker has stopped', async () => {
  const t = startBroker()
  const states: string[] = []
  t.broker.events$.subscribe({
    next: (event) => event.type === 'broker.state' && states.push(event.state),
    complete: () => states.push('(complete)'),
  })
  await t.connect()
  await t.close()
  expect(states).toEqual(['running', 'draining', 'stopped', '(complete)'])
})

describe('the cause of a transition is what led to it, not what it led to', () => {
  const will = { topic: 'w', properties: { willDelayInterval: 100 } }
  const causesOf = (events: readonly BrokerEvent[]): string[] =>
    events.flatMap((event) => (event.type === 'session.transition' ? [`${event.to}: ${event.cause}`] : []))

  test('a DISCONNECT that takes the will back, and a return before the will is due', async () => {
    const t = startBroker()
    const client = await t.connect({ ...session, will })
    const events: BrokerEvent[] = []
    t.broker.events$.subscribe(
      (event) => event.type === 'session.transition' && event.clientId === 's' && events.push(event),
    )
    client.send(disconnect())
    await client.expectClosed()
    const again = await t.connect({ ...session, will })
    again.drop()
    await t.settle()
    await t.connect(session)
    await t.settle()
    const sessionId = t.broker.sessions.get('s')?.sessionId
    expect(causesOf(events.filter((event) => 'sessionId' in event && event.sessionId === sessionId))).toEqual([
      'offline: packet.disconnect',
      'online: session.resume',
      'offline: connection.closed',
      'online: session.resume',
    ])
  })
})

test('keepalive counts from CONNACK: a client that waited for its answer has not been silent', async () => {
  const answer = held<Verdict>()
  const t = startBroker({ authenticators: [{ name: 'slow', authenticate: answer.ask }] })
  // The sweep runs only while somebody is watched.
  const other = t.attach()
  other.send(connect({ clientId: 'other', keepAlive: 60 }))
  await t.settle()
  answer.answers[0]?.(allow())
  await other.expectPacket('connack', { reasonCode: 0 })
  const client = t.attach()
  client.send(connect({ clientId: 'c', keepAlive: 1 }))
  await t.advance(4_000)
  answer.answers[1]?.(allow())
  await client.expectPacket('connack', { reasonCode: 0 })
  await t.advance(1_000)
  expect(t.state('c')).toBe('online')
  await t.advance(2_000)
  await client.expectDisconnect(0x8d)
})

test('a connection that a hook lets in while the broker drains is not served', async () => {
  const hook = held<Next>()
  const t = startBroker({ hooks: { onConnection: hook.ask } })
  const client = t.attach()
  client.send(connect())
  await t.settle()
  const closing = t.broker.close({ drainTimeoutMs: 1_000 })
  await t.settle()
  hook.answers[0]?.(next())
  await t.settle()
  await client.expectClosed()
  await closing
})

test('an answer to a re-authentication of an earlier connection does not end that of the next one', async () => {
  const answer = held<Verdict>()
  let asked = 0
  const authenticator: Authenticator = {
    name: 'm',
    methods: ['m'],
    authenticate: ({ reauthentication, round }) => {
      if (!reauthentication) return allow({ roles: ['first'] })
      asked += 1
      if (asked === 1) return answer.ask()
      return round === 0 ? { type: 'challenge' } : allow({ roles: ['second'] })
    },
  }
  const t = startBroker({ authenticators: [authenticator] })
  const input = { ...session, properties: { ...session.properties, authenticationMethod: 'm' } }
  const first = await t.connect(input)
  first.send(auth(0x19, { authenticationMethod: 'm' }))
  await t.settle()
  const second = await t.connect(input)
  second.send(auth(0x19, { authenticationMethod: 'm' }))
  await second.expectPacket('auth', { reasonCode: 0x18 })
  answer.answers[0]?.(allow({ roles: ['late'] }))
  await t.settle()
  second.send(auth(0x18, { authenticationMethod: 'm' }))
  await second.expectPacket('auth', { reasonCode: 0 })
  const grant: Grant | undefined = t.broker.sessions.get('s')?.context.grant
  expect(grant?.roles).toEqual(['second'])
})

test('MQTT-3.8.3-3 No Local holds for retained messages too', async () => {
  const t = startBroker()
  const client = await t.connect({ clientId: 'c' })
  client.send(publish({ topic: 'own', payload: 'x', retain: true }))
  const other = await t.connect({ clientId: 'o' })
  await other.publish({ topic: 'other', payload: 'y', retain: true })
  await client.subscribe([['+', { noLocal: true }]])
  await client.expectPublish({ topic: 'other', payload: 'y', retain: true })
  await client.expectNothing()
})

test('a hook may move a subscription to another group of the same filter', async () => {
  let group = 'a'
  const t = startBroker({ hooks: { onSubscribe: () => ({ type: 'allow', filter: `$share/${group}/t` }) } })
  const [one, two] = [await t.connect(), await t.connect()]
  await one.subscribe(['t'])
  group = 'b'
  await one.subscribe(['t'])
  await two.subscribe(['t'])
  await t.broker.publish({ topic: 't', payload: '1' })
  await t.broker.publish({ topic: 't', payload: '2' })
  await t.settle()
  // Both are in group b now: each message goes to one of them.
  expect([...(await one.drain()), ...(await two.drain())]).toHaveLength(2)
})

test.each(['constructor', 'toString', '__proto__'])('limits.%s is no limit', (name) => {
  const limits = JSON.parse(`{ "${name}": 1 }`) as object
  expect(() => createBroker({ limits })).toThrow(expect.objectContaining({ code: 'SMQ_OPTION_INVALID' }) as Error)
})

test('what was matched for a session that ends before its turn is not lost in silence', async () => {
  const t = startBroker({
    hooks: {
      onDeliver: (_message, { clientId }) => {
        if (clientId !== 'last') t.broker.sessions.get(clientId)?.expire()
        return next()
      },
    },
  })
  const dropped: string[] = []
  t.broker.events$.subscribe((event) => {
    if (event.type === 'message.dropped') dropped.push(`${event.clientId} ${event.topic} ${event.reason}`)
  })
  for (const clientId of ['plain', 'member']) {
    const client = await t.connect({ clientId })
    await client.subscribe([[clientId === 'plain' ? 'a' : '$share/g/b', { qos: 1 }]])
  }
  const last = await t.connect({ clientId: 'last' })
  await last.subscribe([['$share/g/b', { qos: 1 }]])
  await t.broker.publish({ topic: 'a', qos: 1 })
  await t.broker.publish({ topic: 'b', qos: 1 })
  await last.expectPublish({ topic: 'b', qos: 1 })
  await t.settle()
  expect(dropped).toEqual(['plain a session-ended'])
})
