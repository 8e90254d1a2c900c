/** Different clients with each other, and what one client alone can show: pings, silence, AUTH, takeover, bursts. */
import { once } from 'node:events'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { describe, expect, onTestFinished, test } from 'vitest'

import { allow, challenge, deny } from '../../src/index.ts'
import { ExternalProcess } from '../support/external-process.ts'
import { mqttJs, pahoPython } from '../support/interop-clients.ts'
import { startListeningBroker } from '../support/listening-broker.ts'

/** MQTT.js with options of its own; handlers may be attached before it is connected. */
function rawMqttJs(port: number, options: IClientOptions): MqttClient {
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, reconnectPeriod: 0, ...options })
  onTestFinished(() => {
    client.end(true)
  })
  client.on('error', () => {})
  return client
}

/** Waits for an event of MQTT.js; a guard far beyond what it takes. */
async function heard(client: MqttClient, event: string): Promise<unknown> {
  const [value] = (await once(client as unknown as NodeJS.EventEmitter, event, {
    signal: AbortSignal.timeout(15_000),
  })) as unknown[]
  return value
}

test('three clients of three versions and transports talk on one topic', async () => {
  const t = await startListeningBroker()
  const sub = new ExternalProcess('mosquitto_sub', [
    '-h',
    '127.0.0.1',
    '-p',
    `${t.ports.tcp}`,
    '-V',
    'mqttv31',
    '-i',
    'old',
    '-t',
    'room',
    '-q',
    '2',
    '-C',
    '3',
  ])
  await t.happened('subscription.added', 'old')
  const js = await mqttJs.connect({ transport: 'ws', port: t.ports.ws, version: 4, clientId: 'js' })
  const paho = await pahoPython.connect({
    transport: 'tls',
    port: t.ports.tls,
    caFile: t.caFile,
    version: 5,
    clientId: 'paho',
  })
  await js.subscribe('room', 1)
  await paho.subscribe('room', 2)
  const properties = { contentType: 'text/plain', userProperties: [['from', 'paho']] } as const
  await paho.publish({ topic: 'room', payload: 'from paho', qos: 2, properties })
  await js.publish({ topic: 'room', payload: 'from js', qos: 1 })
  await t.broker.publish({ topic: 'room', payload: 'from the broker', qos: 2 })
  expect(await sub.finished()).toEqual(['from paho', 'from js', 'from the broker'])
  const plain = (payload: string, qos: 0 | 1 | 2) => ({ topic: 'room', payload, qos, retain: false, properties: {} })
  expect([await js.message(), await js.message(), await js.message()]).toEqual([
    plain('from paho', 1),
    plain('from js', 1),
    plain('from the broker', 1),
  ])
  const atPaho = [await paho.message(), await paho.message(), await paho.message()]
  // QoS 2 messages are handed out at their PUBREL: only their own order counts.
  expect(atPaho.filter(({ qos }) => qos === 2)).toEqual([
    { ...plain('from paho', 2), properties },
    plain('from the broker', 2),
  ])
  expect(atPaho.filter(({ qos }) => qos === 1)).toEqual([plain('from js', 1)])
})

describe.each(['mqttv311', 'mqttv5'])('%s', (version) => {
  test.each(['0', '1', '2'])('five hundred lines with QoS %s arrive complete and in order', async (qos) => {
    const t = await startListeningBroker()
    const to = ['-h', '127.0.0.1', '-p', `${t.ports.tcp}`, '-V', version, '-t', 'burst', '-q', qos]
    const sub = new ExternalProcess('mosquitto_sub', [...to, '-i', 'sub', '-C', '500'])
    await t.happened('subscription.added', 'sub')
    const pub = new ExternalProcess('mosquitto_pub', [...to, '-l'])
    const lines = Array.from({ length: 500 }, (_value, index) => `line ${index}`)
    pub.write(lines.join('\n'))
    expect(await sub.finished()).toEqual(lines)
  })
})

describe('MQTT.js publishing without waiting', () => {
  // It keeps no window towards the broker: 100 is the broker's Receive Maximum for MQTT 5.
  test.each([
    [3, 500],
    [4, 500],
    [5, 100],
  ] as const)('version %s: %s messages at once, at each QoS', async (version, count) => {
    const t = await startListeningBroker()
    const client = await mqttJs.connect({ transport: 'tcp', port: t.ports.tcp, version, clientId: 'c' })
    for (const qos of [0, 1, 2] as const) {
      await Promise.all(Array.from({ length: count }, () => client.publish({ topic: 't', payload: 'x', qos })))
    }
    await client.end()
    await t.happened('session.expired', 'c')
    expect(t.events.filter((event) => event.type === 'message.published').length).toBe(3 * count)
    expect(t.events.filter((event) => event.type === 'session.expired')).toMatchObject([
      { reason: 'client-disconnect' },
    ])
  })
})

test('a subscriber that stops reading harms only itself, and goes on with what its queue kept', async () => {
  const maxQueuedMessages = 50
  const t = await startListeningBroker({ limits: { maxQueuedMessages } })
  const to = ['-h', '127.0.0.1', '-p', `${t.ports.tcp}`]
  const slow = new ExternalProcess('mosquitto_sub', [...to, '-i', 'slow', '-t', 'big', '-q', '1'])
  await t.happened('subscription.added', 'slow')
  const reader = await mqttJs.connect({ transport: 'tcp', port: t.ports.tcp, version: 5, clientId: 'reader' })
  await reader.subscribe('big', 1)
  slow.freeze()
  const payloadOf = (index: number): string => `${index} ${'x'.repeat(100_000)}`
  for (let index = 0; index < 200; index += 1) {
    await t.broker.publish({ topic: 'big', payload: payloadOf(index), qos: 1 })
    expect((await reader.message()).payload).toBe(payloadOf(index))
  }
  const session = t.broker.sessions.get('slow')
  expect(session?.queuedMessages).toBe(maxQueuedMessages)
  expect(session?.queuedBytes).toBeLessThanOrEqual(t.broker.limits.maxQueuedBytes)
  const dropped = t.events.filter((event) => event.type === 'message.dropped')
  const underWay = 200 - maxQueuedMessages - dropped.length
  expect(dropped.every((event) => event.clientId === 'slow' && event.reason === 'queue-full')).toBe(true)
  expect(underWay).toBe(session?.inflightMessages)
  slow.thaw()
  const indexes: number[] = []
  while (indexes.at(-1) !== 199) indexes.push(Number((await slow.line()).split(' ', 1)[0]))
  const all = Array.from({ length: 200 }, (_value, index) => index)
  // What was under way first, then the newest: the default policy gives the oldest up.
  expect(indexes).toEqual([...all.slice(0, underWay), ...all.slice(-maxQueuedMessages)])
})

describe('keep alive', () => {
  test('a client that pings stays', async () => {
    const t = await startListeningBroker()
    const client = rawMqttJs(t.ports.tcp, { clientId: 'c', keepalive: 1 })
    let answers = 0
    const answered = new Promise<void>((resolve) => {
      client.on('packetreceive', (packet) => {
        if (packet.cmd === 'pingresp') answers += 1
        if (answers === 3) resolve()
      })
    })
    await answered
    expect(t.broker.sessions.get('c')?.state).toBe('online')
  })

  test('a client that falls silent is missed, and its will is published', async () => {
    const t = await startListeningBroker()
    const watcher = await mqttJs.connect({ transport: 'tcp', port: t.ports.tcp, version: 5, clientId: 'watcher' })
    await watcher.subscribe('w', 1)
    const will = { topic: 'w', payload: 'silent' }
    const client = await pahoPython.connect({
      transport: 'tcp',
      port: t.ports.tcp,
      version: 4,
      clientId: 'c',
      clean: false,
      keepAliveSeconds: 1,
      will,
    })
    client.freeze()
    expect((await watcher.message()).payload).toBe('silent')
    expect(t.events.filter((event) => event.type === 'session.offline')).toMatchObject([
      { clientId: 'c', cause: 'keepalive.lost' },
    ])
  })
})

describe('takeover', () => {
  test('the older connection is told 0x8E and the newer one has the session', async () => {
    const t = await startListeningBroker()
    const session = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 60 } }
    const older = rawMqttJs(t.ports.tcp, session)
    await heard(older, 'connect')
    await older.subscribeAsync('t', { qos: 1 })
    const told = heard(older, 'disconnect')
    const newer = rawMqttJs(t.ports.tcp, session)
    const received = heard(newer, 'message')
    expect(await heard(newer, 'connect')).toMatchObject({ sessionPresent: true })
    expect(await told).toMatchObject({ reasonCode: 0x8e })
    await t.broker.publish({ topic: 't', payload: 'x', qos: 1 })
    expect(await received).toBe('t')
  })
})

describe('a lost connection', () => {
  test('MQTT.js reconnects by itself, goes on with its session and completes what was under way', async () => {
    const t = await startListeningBroker()
    const client = rawMqttJs(t.ports.tcp, {
      clientId: 'c',
      clean: false,
      properties: { sessionExpiryInterval: 60 },
      reconnectPeriod: 1,
    })
    await heard(client, 'connect')
    await client.subscribeAsync('t', { qos: 2 })
    const payloads: string[] = []
    const complete = new Promise<void>((resolve) => {
      client.on('message', (_topic, payload) => {
        payloads.push(payload.toString())
        if (payloads.length === 40) resolve()
      })
    })
    let sent = 0
    const publishFive = async (): Promise<void> => {
      for (const end = sent + 5; sent < end; sent += 1)
        await t.broker.publish({ topic: 't', payload: `${sent}`, qos: 2 })
    }
    for (let round = 1; round <= 4; round += 1) {
      // Five that are under way when the connection breaks, and five while there is none.
      await publishFive()
      const back = heard(client, 'connect')
      client.stream.destroy()
      await t.happened('session.offline', 'c', round)
      await publishFive()
      expect(await back).toMatchObject({ sessionPresent: true })
    }
    await complete
    expect(payloads).toEqual(Array.from({ length: 40 }, (_value, index) => `${index}`))
  })
})

describe('enhanced authentication', () => {
  const authenticator = {
    name: 'count',
    methods: ['COUNT'],
    authenticate({ authenticationData, round }: { authenticationData: Buffer | undefined; round: number }) {
      if (round === 0) return challenge(Buffer.from('what comes after one?'))
      return authenticationData?.toString() === 'two' ? allow({ principal: 'counter' }) : deny(0x87, 'wrong')
    },
  }

  test.each([
    ['two', 'lets it in'],
    ['three', 'keeps it out'],
  ])('the answer "%s" %s', async (answer, outcome) => {
    const t = await startListeningBroker({ authenticators: [authenticator] })
    const client = rawMqttJs(t.ports.tcp, { clientId: 'c', properties: { authenticationMethod: 'COUNT' } })
    const asked: string[] = []
    client.handleAuth = (packet, callback) => {
      asked.push(String(packet.properties?.authenticationData))
      callback(undefined, {
        cmd: 'auth',
        reasonCode: 0x18,
        properties: { authenticationMethod: 'COUNT', authenticationData: Buffer.from(answer) },
      })
    }
    if (outcome === 'lets it in') {
      await heard(client, 'connect')
      expect(t.broker.sessions.get('c')?.context.grant).toMatchObject({ principal: 'counter', method: 'COUNT' })
    } else {
      await expect(heard(client, 'connect')).rejects.toThrow('Not authorized')
      expect(t.broker.sessions.has('c')).toBe(false)
    }
    expect(asked).toEqual(['what comes after one?'])
  })
})
