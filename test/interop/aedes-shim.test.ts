import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import type { Duplex } from 'node:stream'
import { Aedes as RealAedes } from 'aedes'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { expect, onTestFinished, test } from 'vitest'

import { Aedes, type AedesClient, type AedesOptions, type AedesPublishPacket } from 'statemq/aedes'

/** What an application uses of either. */
interface Used {
  readonly id: string
  readonly connectedClients: number
  readonly closed: boolean
  handle(stream: Duplex): unknown
  publish(packet: object, callback: (error?: Error) => void): void
  subscribe(topic: string, deliver: (packet: AedesPublishPacket, done: () => void) => void, callback: () => void): void
  unsubscribe(
    topic: string,
    deliver: (packet: AedesPublishPacket, done: () => void) => void,
    callback: () => void,
  ): void
  close(callback: () => void): void
  on(event: string, listener: (...given: never[]) => void): unknown
  once(event: string, listener: (...given: never[]) => void): unknown
}

const brokers: Record<string, (options: AedesOptions) => Promise<Used>> = {
  aedes: async (options) => (await RealAedes.createBroker(options as object)) as unknown as Used,
  'statemq/aedes': async (options) => (await Aedes.createBroker(options)) as unknown as Used,
}

interface Bench {
  readonly aedes: Used
  /** What happened, one line each. */
  readonly log: string[]
  connect(options: IClientOptions): Promise<MqttClient>
  /** Waits for the line; whatever else comes before it is in the log too. */
  line(text: string): Promise<void>
}

async function start(make: (options: AedesOptions) => Promise<Used>, options: AedesOptions): Promise<Bench> {
  const log: string[] = []
  const waiting = new Set<() => void>()
  const note = (text: string): void => {
    log.push(text)
    for (const look of waiting) look()
  }
  const aedes = await make(options)
  const server: Server = createServer((socket) => aedes.handle(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const clients: MqttClient[] = []
  onTestFinished(async () => {
    for (const client of clients) client.end(true)
    await new Promise<void>((resolve) => aedes.close(resolve))
    await new Promise<unknown>((resolve) => server.close(resolve))
  })
  const idOf = (client: AedesClient | null): string => client?.id ?? 'broker'
  for (const event of ['client', 'clientReady', 'clientDisconnect', 'keepaliveTimeout'])
    aedes.on(event, (client: AedesClient) => note(`${event} ${client.id}`))
  for (const event of ['clientError', 'connectionError'])
    aedes.on(event, (client: AedesClient, error: Error) =>
      note(`${event} ${client.id || '-'} ${error instanceof Error}`),
    )
  aedes.on('subscribe', (subs: { topic: string; qos: number }[], client: AedesClient) =>
    note(`subscribe ${client.id} ${subs.map(({ topic, qos }) => `${topic}:${qos}`).join()}`),
  )
  aedes.on('unsubscribe', (topics: string[], client: AedesClient) => note(`unsubscribe ${client.id} ${topics.join()}`))
  aedes.on('publish', (packet: AedesPublishPacket, client: AedesClient | null) => {
    if (!packet.topic.startsWith('$SYS/'))
      note(`publish ${idOf(client)} ${packet.topic} ${packet.payload.toString()} ${packet.qos}`)
  })
  aedes.on('ack', (_packet: object, client: AedesClient) => note(`ack ${client.id}`))
  aedes.on('ping', (_packet: object, client: AedesClient) => note(`ping ${client.id}`))
  aedes.once('closed', () => note('closed'))
  const { port } = server.address() as { port: number }
  return {
    aedes,
    log,
    connect: async (given) => {
      const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, ...given }, false)
      clients.push(client)
      return client
    },
    line: async (text) => {
      if (log.includes(text)) return
      await new Promise<void>((resolve) => {
        const look = (): void => {
          if (!log.includes(text)) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
      })
    },
  }
}

type Script = (bench: Bench) => Promise<void>

/** Runs a script on both; gives their logs. */
async function onBoth(options: AedesOptions, script: Script): Promise<Record<string, readonly string[]>> {
  const logs: Record<string, readonly string[]> = {}
  for (const [name, make] of Object.entries(brokers)) {
    const bench = await start(make, options)
    await script(bench)
    logs[name] = [...bench.log]
  }
  return logs
}

/** Both did the same, in the same order, and it was this. */
async function expectSame(options: AedesOptions, script: Script, expected: readonly string[]): Promise<void> {
  const logs = await onBoth(options, script)
  expect(logs).toEqual({ aedes: expected, 'statemq/aedes': expected })
}

const got = (client: MqttClient): Promise<string> =>
  new Promise((resolve) => {
    client.once('message', (topic, payload) => resolve(`${topic} ${payload.toString()}`))
  })

test('a life: connect, subscribe, publish, acknowledge, ping, unsubscribe, disconnect', async () => {
  await expectSame(
    { id: 'the-broker' },
    async (bench) => {
      expect(bench.aedes.id).toBe('the-broker')
      expect(bench.aedes.closed).toBe(false)
      const client = await bench.connect({ clientId: 'a' })
      await bench.line('clientReady a')
      expect(bench.aedes.connectedClients).toBe(1)
      await client.subscribeAsync('t', { qos: 1 })
      await bench.line('subscribe a t:1')
      const message = got(client)
      await client.publishAsync('t', 'x', { qos: 1 })
      expect(await message).toBe('t x')
      await bench.line('ack a')
      client.sendPing()
      await bench.line('ping a')
      await client.unsubscribeAsync('t')
      await bench.line('unsubscribe a t')
      await client.endAsync()
      await bench.line('clientDisconnect a')
      expect(bench.aedes.connectedClients).toBe(0)
    },
    [
      'client a',
      'clientReady a',
      'subscribe a t:1',
      'publish a t x 1',
      'ack a',
      'ping a',
      'unsubscribe a t',
      'clientDisconnect a',
    ],
  )
})

test('authenticate: user name, password, and a return code of one’s own', async () => {
  const seen: (string | undefined)[] = []
  await expectSame(
    {
      authenticate: (client, username, password, callback) => {
        seen.push(`${client.id} ${username ?? '-'} ${password?.toString() ?? '-'} ${client.conn !== undefined}`)
        if (username === 'broken') return callback(Object.assign(new Error('database'), { returnCode: 3 }))
        callback(null, password?.toString() === 'right')
      },
    },
    async (bench) => {
      await bench.connect({ clientId: 'a', username: 'anna', password: 'right' })
      await bench.line('clientReady a')
      await expect(bench.connect({ clientId: 'b', username: 'anna', password: 'wrong' })).rejects.toMatchObject({
        code: 5,
      })
      await bench.line('clientError b true')
      await expect(bench.connect({ clientId: 'c', username: 'broken' })).rejects.toMatchObject({ code: 3 })
      await bench.line('clientError c true')
    },
    ['client a', 'clientReady a', 'clientError b true', 'clientError c true'],
  )
  const once = ['a anna right true', 'b anna wrong true', 'c broken - true']
  expect(seen).toEqual([...once, ...once])
})

test('preConnect sees CONNECT first, and may count connections', async () => {
  const seen: string[] = []
  await expectSame(
    {
      preConnect: (_client, packet, callback) => {
        seen.push(`${packet.clientId} ${packet.protocolVersion} ${packet.clean} ${packet.keepalive}`)
        callback(null, true)
      },
    },
    async (bench) => {
      await bench.connect({ clientId: 'a', keepalive: 20 })
      await bench.line('clientReady a')
    },
    ['client a', 'clientReady a'],
  )
  expect(seen).toEqual(['a 4 true 20', 'a 4 true 20'])
})

test('authorizePublish may change a message, and an error ends the connection', async () => {
  await expectSame(
    {
      authorizePublish: (client, packet, callback) => {
        if (packet.topic === 'forbidden') return callback(new Error(`not for ${client?.id}`))
        if (packet.topic === 'change') packet.payload = Buffer.from('changed')
        callback(null)
      },
    },
    async (bench) => {
      const [a, b] = [await bench.connect({ clientId: 'a' }), await bench.connect({ clientId: 'b' })]
      await bench.line('clientReady b')
      await b.subscribeAsync('#', { qos: 0 })
      await bench.line('subscribe b #:0')
      const message = got(b)
      await a.publishAsync('change', 'as sent', { qos: 1 })
      expect(await message).toBe('change changed')
      const closed = once(a.stream, 'close')
      a.publish('forbidden', 'x', { qos: 1 })
      await closed
      await bench.line('clientDisconnect a')
    },
    [
      'client a',
      'clientReady a',
      'client b',
      'clientReady b',
      'subscribe b #:0',
      'publish a change changed 1',
      'clientError a true',
      'clientDisconnect a',
    ],
  )
})

test('authorizeSubscribe: less QoS, none at all, or an error', async () => {
  await expectSame(
    {
      authorizeSubscribe: (_client, subscription, callback) => {
        if (subscription.topic === 'error') return callback(new Error('never'))
        if (subscription.topic === 'secret') return callback(null, null)
        if (subscription.topic === 'less') subscription.qos = 0
        callback(null, subscription)
      },
    },
    async (bench) => {
      const client = await bench.connect({ clientId: 'a' })
      await bench.line('clientReady a')
      expect((await client.subscribeAsync('free', { qos: 2 }))[0]?.qos).toBe(2)
      await bench.line('subscribe a free:2')
      // Aedes grants 2 in SUBACK all the same; both deliver with 0.
      await client.subscribeAsync('less', { qos: 2 })
      const qos = new Promise((resolve) => client.once('message', (_topic, _payload, packet) => resolve(packet.qos)))
      await client.publishAsync('less', 'x', { qos: 1 })
      expect(await qos).toBe(0)
      await expect(client.subscribeAsync('secret', { qos: 1 })).rejects.toThrow('Unspecified error')
      const closed = once(client.stream, 'close')
      client.subscribe('error', () => {})
      await closed
      await bench.line('clientDisconnect a')
      // Aedes tells of what was refused as a subscription of QoS 128, and on every end of all that there were.
      const kept = bench.log.filter((text) => !/^unsubscribe |^subscribe a (secret|less)|^publish /.test(text))
      bench.log.splice(0, bench.log.length, ...kept)
    },
    ['client a', 'clientReady a', 'subscribe a free:2', 'clientError a true', 'clientDisconnect a'],
  )
})

test('authorizeForward lets through, changes, or keeps back', async () => {
  const asked: string[] = []
  await expectSame(
    {
      authorizeForward: (client, packet) => {
        asked.push(`${client.id} ${packet.topic}`)
        if (packet.topic === 'kept') return null
        if (packet.topic === 'changed') packet.payload = Buffer.from('by forward')
        return packet
      },
    },
    async (bench) => {
      const client = await bench.connect({ clientId: 'a' })
      await bench.line('clientReady a')
      await client.subscribeAsync('+', { qos: 0 })
      const messages: string[] = []
      client.on('message', (topic, payload) => messages.push(`${topic} ${payload.toString()}`))
      for (const topic of ['kept', 'changed', 'plain']) {
        await new Promise<void>((resolve) =>
          bench.aedes.publish({ topic, payload: 'x', cmd: 'publish', qos: 0 }, () => resolve()),
        )
      }
      while (messages.length < 2) await got(client)
      expect(messages).toEqual(['changed by forward', 'plain x'])
    },
    [
      'client a',
      'clientReady a',
      'subscribe a +:0',
      'publish broker kept x 0',
      'publish broker changed x 0',
      'publish broker plain x 0',
    ],
  )
  const each = ['a kept', 'a changed', 'a plain']
  expect(asked).toEqual([...each, ...each])
})

test('published, aedes.publish, aedes.subscribe and aedes.unsubscribe', async () => {
  const published: string[] = []
  await expectSame(
    {
      published: (packet, client, callback) => {
        if (!packet.topic.startsWith('$SYS/')) published.push(`${client?.id ?? 'broker'} ${packet.topic}`)
        callback(null)
      },
    },
    async (bench) => {
      const inside: string[] = []
      const deliver = (packet: AedesPublishPacket, done: () => void): void => {
        inside.push(`${packet.topic} ${packet.payload.toString()}`)
        done()
      }
      await new Promise<void>((resolve) => bench.aedes.subscribe('in/#', deliver, resolve))
      const client = await bench.connect({ clientId: 'a' })
      await bench.line('clientReady a')
      await client.publishAsync('in/1', 'one', { qos: 1 })
      await bench.line('publish a in/1 one 1')
      await new Promise<void>((resolve) => bench.aedes.unsubscribe('in/#', deliver, resolve))
      await client.publishAsync('in/2', 'two', { qos: 1 })
      await bench.line('publish a in/2 two 1')
      expect(inside).toEqual(['in/1 one'])
    },
    ['client a', 'clientReady a', 'publish a in/1 one 1', 'publish a in/2 two 1'],
  )
  expect(published).toEqual(['a in/1', 'a in/2', 'a in/1', 'a in/2'])
})

test('retained messages, wills and a second connection of the same client', async () => {
  await expectSame(
    {},
    async (bench) => {
      const watcher = await bench.connect({ clientId: 'w' })
      await bench.line('clientReady w')
      await watcher.publishAsync('kept', 'still here', { qos: 1, retain: true })
      await bench.line('publish w kept still here 1')
      const kept = got(watcher)
      await watcher.subscribeAsync('kept', { qos: 0 })
      expect(await kept).toBe('kept still here')
      await watcher.subscribeAsync('will', { qos: 0 })
      const will = got(watcher)
      const first = await bench.connect({
        clientId: 'a',
        will: { topic: 'will', payload: Buffer.from('gone'), qos: 0, retain: false },
      })
      await bench.line('clientReady a')
      const second = await bench.connect({ clientId: 'b' })
      await bench.line('clientReady b')
      await bench.connect({ clientId: 'b' })
      await once(second.stream, 'close')
      await bench.line('clientDisconnect b')
      first.stream.destroy()
      expect(await will).toBe('will gone')
      await bench.line('clientDisconnect a')
      // The client is gone by the time that its will is published: whose it was differs in nothing else.
      for (const text of ['publish a will gone 0', 'publish broker will gone 0']) {
        const at = bench.log.indexOf(text)
        if (at >= 0) bench.log.splice(at, 1)
      }
    },
    [
      'client w',
      'clientReady w',
      'publish w kept still here 1',
      'subscribe w kept:0',
      'subscribe w will:0',
      'client a',
      'clientReady a',
      'client b',
      'clientReady b',
      'clientDisconnect b',
      'client b',
      'clientReady b',
      'clientDisconnect a',
    ],
  )
})

test('close ends connections, and says so', async () => {
  await expectSame(
    {},
    async (bench) => {
      const client = await bench.connect({ clientId: 'a' })
      await bench.line('clientReady a')
      const closed = once(client.stream, 'close')
      await new Promise<void>((resolve) => bench.aedes.close(resolve))
      await closed
      await bench.line('closed')
      expect(bench.aedes.closed).toBe(true)
      expect(bench.aedes.connectedClients).toBe(0)
    },
    ['client a', 'clientReady a', 'clientDisconnect a', 'closed'],
  )
})

test('a connection that is no MQTT is told of, and nobody else notices', async () => {
  await expectSame(
    {},
    async (bench) => {
      const { connect } = await import('node:net')
      const client = await bench.connect({ clientId: 'a' })
      await bench.line('clientReady a')
      const { remotePort } = client.stream as unknown as { remotePort: number }
      const socket = connect(remotePort, '127.0.0.1')
      await once(socket, 'connect')
      socket.write('GET / HTTP/1.1\r\n\r\n')
      socket.on('error', () => {})
      await once(socket, 'close')
      await bench.line('connectionError - true')
      await client.publishAsync('t', 'x', { qos: 1 })
      await bench.line('publish a t x 1')
    },
    ['client a', 'clientReady a', 'connectionError - true', 'publish a t x 1'],
  )
})
