import { expect, onTestFinished, test } from 'vitest'

import { allow, deny, next, ReasonCode, type Authenticator, type Hooks } from 'statemq'
import { memoryPair, simulatedEpochMs, testBroker, TestClient, type TestBrokerOptions } from 'statemq/testing'

/** One that is closed with its test, and has reported nothing that nobody took. */
function start(options: TestBrokerOptions = {}) {
  const bench = testBroker(options)
  onTestFinished(() => bench.close())
  return bench
}

/** What a rejected promise says. */
const complaintOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'nothing',
    (error: unknown) => (error as Error).message,
  )

test.each([3, 4, 5] as const)('a script of two clients, MQTT level %i', async (protocolVersion) => {
  const bench = start()
  const reader = await bench.connect({ clientId: 'reader', protocolVersion })
  expect(await reader.subscribe('plant/#', { qos: 2 })).toBe(2)
  const writer = await bench.connect({ clientId: 'writer', protocolVersion })
  for (const qos of [0, 1, 2] as const)
    expect(await writer.publish({ topic: `plant/${qos}`, payload: `at ${qos}`, qos })).toBe(0)
  for (const qos of [0, 1, 2] as const) {
    const message = await reader.expectMessage({ topic: `plant/${qos}`, payload: `at ${qos}`, qos, retain: false })
    expect(message.bytes).toEqual(Buffer.from(`at ${qos}`))
    expect(message.packetId === undefined).toBe(qos === 0)
  }
  await reader.expectNothing()
  expect(await reader.unsubscribe('plant/#')).toBe(0)
  await writer.publish({ topic: 'plant/0' })
  await bench.settle()
  await reader.expectNothing()
  expect(bench.broker.sessions.get('reader')?.inflightMessages).toBe(0)
  await reader.disconnect()
  expect(reader.isClosed).toBe(true)
})

test('properties of a message arrive by the names that statemq gives them', async () => {
  const bench = start()
  const client = await bench.connect({ clientId: 'a' })
  await client.subscribe('t')
  const properties = {
    payloadFormatIndicator: true,
    messageExpiryIntervalSeconds: 60,
    contentType: 'text/plain',
    responseTopic: 'answers',
    correlationData: Buffer.from('c'),
    userProperties: [
      ['a', '1'],
      ['a', '2'],
      ['b', '3'],
    ],
  } as const
  await client.publish({ topic: 't', payload: 'x', properties })
  await client.expectMessage({ topic: 't', properties })
})

test('a will is published when the network is gone, and time moves as the test says', async () => {
  const bench = start()
  const watcher = await bench.connect()
  await watcher.subscribe('will')
  const client = await bench.connect({
    clientId: 'a',
    will: { topic: 'will', payload: 'gone', delaySeconds: 30 },
    properties: { sessionExpiryInterval: 60 },
  })
  client.drop()
  expect(await bench.expectEvent('session.offline', { clientId: 'a' })).toEqual({
    type: 'session.offline',
    sessionId: 's2',
    clientId: 'a',
    cause: 'connection.closed',
    atMs: simulatedEpochMs,
  })
  await bench.advance(29_999)
  await watcher.expectNothing()
  await bench.advance(1)
  await watcher.expectMessage({ topic: 'will', payload: 'gone' })
  await bench.advance(30_000)
  expect((await bench.expectEvent('session.expired')).atMs).toBe(simulatedEpochMs + 60_000)
})

test('a refusal and a DISCONNECT are said as the broker says them', async () => {
  const guards: Authenticator = {
    name: 'guards',
    authenticate: ({ username }) => (username === 'anna' ? allow({}) : deny(ReasonCode.Banned, 'no')),
  }
  const bench = start({ authenticators: [guards] })
  const stranger = bench.attach()
  stranger.sendConnect({ clientId: 'x' })
  expect((await stranger.expectRefused(ReasonCode.Banned)).properties.reasonString).toBe('no')
  const anna = await bench.connect({ clientId: 'a', username: 'anna', keepAliveSeconds: 10 })
  await bench.advance(20_000)
  await anna.expectClosed(ReasonCode.KeepAliveTimeout)
  const old = bench.attach()
  old.sendConnect({ clientId: 'x', protocolVersion: 4 })
  await old.expectRefused(5)
})

test('a wait tells what it waited for and what came instead', async () => {
  const bench = start({ timeoutMs: 20 })
  const client = await bench.connect({ clientId: 'a' })
  expect(await complaintOf(client.expectMessage({ topic: 'never' }))).toMatch(
    /^waited 20 ms for a message of never\nreceived so far:\n {2}CONNACK \{"sessionPresent":false,"reasonCode":0/,
  )
  await client.subscribe('t', { qos: 1 })
  await bench.broker.publish({ topic: 't', payload: 'found' })
  expect(await complaintOf(client.expectMessage({ topic: 't', payload: 'meant' }))).toMatch(
    /^expected the message \{"topic":"t","payload":"meant"\}, got \{"topic":"t","payload":"found"\}\n/,
  )
  await bench.broker.publish({ topic: 't', payload: 'another' })
  expect(await complaintOf(client.expectNothing())).toMatch(/^expected nothing, got PUBLISH .*"payload":"another"/)
  expect(await complaintOf(client.expectClosed())).toMatch(/^expected the end of the connection, got PUBLISH /)
  expect(await complaintOf(client.connect({ clientId: 'twice' }))).toMatch(
    /^expected CONNACK, got DISCONNECT \{"reasonCode":130/,
  )
  expect(await complaintOf(client.publish({ topic: 't', qos: 1 }))).toMatch(
    /^the connection ended while waiting for PUBACK for t\n/,
  )
  expect(await complaintOf(bench.expectEvent('session.online', { clientId: 'b' }))).toBe(
    'waited 20 ms for the event session.online {"clientId":"b"}\nevents so far: ' +
      (await eventsSoFar(bench)).join(', '),
  )
})

async function eventsSoFar(bench: ReturnType<typeof start>): Promise<readonly string[]> {
  const text = await complaintOf(bench.expectEvent('policy.changed'))
  return text.split('events so far: ')[1]!.split(', ')
}

test('what throws in a broker fails its test, unless the test takes it', async () => {
  const broken: Hooks = {
    name: 'broken',
    onPublish: () => {
      throw new Error('oh no')
    },
  }
  const bench = testBroker({ hooks: broken })
  const client = await bench.connect({ clientId: 'a' })
  expect(await client.publish({ topic: 't', qos: 1 })).toBe(ReasonCode.NotAuthorized)
  const [failure] = bench.takeFailures()
  expect(failure).toEqual({
    message: 'a hook failed; its verdict is no',
    clientId: 'a',
    error: expect.objectContaining({ message: 'oh no' }) as unknown,
  })
  await client.publish({ topic: 't', qos: 1 })
  const error = await bench.close().catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(AggregateError)
  expect((error as AggregateError).message).toMatch(
    /^the broker reports failures:\n {2}a hook failed; its verdict is no \(a\): Error: oh no\n/,
  )
  expect((error as AggregateError).errors).toHaveLength(1)
})

test('a session that fails is told by whoever waits for it', async () => {
  const { sessionMachine } = await import('statemq/machines')
  const machine = sessionMachine.provide({
    actions: {
      sendConnack: () => {
        throw new Error('an action of mine')
      },
    },
  })
  const bench = testBroker({ machine })
  const complaint = await complaintOf(bench.connect({ clientId: 'a' }))
  expect(complaint).toMatch(/the broker reports failures:\n {2}a session actor failed \(a\): Error: an action of mine/)
  await expect(bench.close()).rejects.toThrow(AggregateError)
})

test('what is not MQTT is said to be none', async () => {
  const [near, far] = memoryPair()
  const client = new TestClient(near, { timeoutMs: 1_000 })
  far.write(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))
  expect(await complaintOf(client.expect('connack'))).toMatch(/^what the broker sent is not MQTT: /)
})

test('a plugin that only observes has nothing to fail', async () => {
  const seen: string[] = []
  const bench = start({ hooks: { onPublish: () => next(), onOnline: ({ clientId }) => void seen.push(clientId) } })
  await bench.connect({ clientId: 'a' })
  await bench.settle()
  expect(seen).toEqual(['a'])
  expect(bench.takeFailures()).toEqual([])
})
