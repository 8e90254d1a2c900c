/** MQTT 5 chapter 6: WebSocket as the transport. */
import { once } from 'node:events'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createWebSocketStream, WebSocket } from 'ws'

import type { WsListenerOptions } from '../../../src/options.ts'
import { RawClient } from '../../support/raw-client.ts'
import { startBroker } from '../../support/test-broker.ts'
import { connect, disconnect, pingreq, publish, subscribe } from '../../support/wire.ts'

interface Offer {
  readonly protocols?: string[]
  readonly path?: string
  readonly headers?: Record<string, string>
}

/** A listener, and a function that opens a WebSocket to it. */
async function listening(options: Omit<WsListenerOptions, 'transport'> = {}) {
  const t = startBroker()
  const { port } = await t.listen({ transport: 'ws', port: 0, ...options })
  const open = ({ protocols = ['mqtt'], path = '/mqtt', headers = {} }: Offer = {}): WebSocket => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, { headers })
    onTestFinished(() => socket.terminate())
    return socket
  }
  const ready = async (offer: Offer = {}): Promise<WebSocket> => {
    const socket = open(offer)
    await once(socket, 'open')
    return socket
  }
  /** The HTTP status of an upgrade that is refused. */
  const refused = async (offer: Offer): Promise<number> => {
    const socket = open(offer)
    socket.on('error', () => {})
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }]
    return response.statusCode
  }
  return { ...t, ready, refused }
}

const overStream = (socket: WebSocket): RawClient => new RawClient(createWebSocketStream(socket))

describe('frames', () => {
  test('MQTT-6.0.0-1 MQTT packets travel in binary frames', async () => {
    const { ready } = await listening()
    const socket = await ready()
    socket.send(connect({ clientId: 'a' }))
    const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean]
    expect(isBinary).toBe(true)
    expect(data.subarray(0, 1).toString('hex')).toBe('20')
  })

  test.each(['before CONNECT', 'after CONNECT'])('MQTT-6.0.0-1 a text frame closes the connection %s', async (when) => {
    const { ready, state, settle } = await listening()
    const socket = await ready()
    if (when === 'after CONNECT') {
      socket.send(connect({ clientId: 'a' }))
      await once(socket, 'message')
    }
    const closed = once(socket, 'close')
    socket.send('text')
    await closed
    await settle()
    expect(state('a')).toBeUndefined()
  })

  test('MQTT-6.0.0-2 a packet may span frames, and frames may hold several packets', async () => {
    const { ready } = await listening()
    const socket = await ready()
    const client = overStream(socket)
    for (const byte of connect({ clientId: 'a' })) socket.send(Buffer.from([byte]))
    await client.expectPacket('connack', { reasonCode: 0 })
    socket.send(
      Buffer.concat([
        subscribe({ packetId: 1, filters: ['t'] }),
        publish({ topic: 't', payload: '1' }),
        publish({ topic: 't', payload: '2' }).subarray(0, 4),
      ]),
    )
    await client.expectPacket('suback')
    await client.expectPublish({ topic: 't', payload: '1' })
    socket.send(Buffer.concat([publish({ topic: 't', payload: '2' }).subarray(4), pingreq()]))
    const packets = [await client.next(), await client.next()].map((packet) =>
      packet === 'closed' ? packet : packet.type,
    )
    expect(packets.toSorted()).toEqual(['pingresp', 'publish'])
  })

  test('MQTT-6.0.0-2 MQTT-4.2-1 fragments of one message are one message, empty frames are nothing', async () => {
    const { ready } = await listening()
    const socket = await ready()
    const client = overStream(socket)
    const bytes = connect({ clientId: 'a' })
    socket.send(Buffer.alloc(0))
    socket.send(bytes.subarray(0, 3), { fin: false, binary: true })
    socket.send(Buffer.alloc(0), { fin: false, binary: true })
    socket.send(bytes.subarray(3), { fin: true, binary: true })
    await client.expectPacket('connack', { reasonCode: 0 })
    await client.expectNothing()
  })

  test('MQTT-4.2-1 everything works as over TCP: large payloads, DISCONNECT, wills', async () => {
    const { ready, connect: online } = await listening()
    const watcher = await online()
    await watcher.subscribe([['#', { qos: 1 }]])
    const client = overStream(await ready())
    await client.connect({ clientId: 'a', will: { topic: 'w', payload: 'gone' } })
    const payload = 'x'.repeat(300_000)
    await client.publish({ topic: 't', payload, qos: 1 })
    await watcher.acknowledge(await watcher.expectPublish({ topic: 't', payload, qos: 1 }))
    client.send(disconnect(0x04))
    await client.expectClosed()
    await watcher.expectPublish({ topic: 'w', payload: 'gone' })
  })

  test('MQTT-4.13.1-1 a fault is answered by DISCONNECT, then the WebSocket closes', async () => {
    const { ready } = await listening()
    const socket = await ready()
    const closed = once(socket, 'close')
    const client = overStream(socket)
    await client.connect({ clientId: 'a' })
    client.send('c1 00')
    await client.expectDisconnect(0x81)
    await closed
  })
})

describe('upgrade', () => {
  test.each([
    [['mqtt'], 'mqtt'],
    [['other', 'mqtt'], 'mqtt'],
    [['mqttv3.1'], 'mqttv3.1'],
    [['mqttv3.1', 'mqtt'], 'mqtt'],
  ])('MQTT-6.0.0-3 MQTT-6.0.0-4 of the sub-protocols %j the broker selects %s', async (protocols, expected) => {
    const { ready } = await listening()
    expect((await ready({ protocols })).protocol).toBe(expected)
  })

  test.each([[[]], [['http', 'amqp']]])(
    'MQTT-6.0.0-3 threat 76: without mqtt among them (%j) the upgrade is refused with 400',
    async (protocols) => {
      const { refused } = await listening()
      expect(await refused({ protocols })).toBe(400)
    },
  )

  test('only its own path is served', async () => {
    const { refused, ready } = await listening({ path: '/here' })
    expect(await refused({ path: '/mqtt' })).toBeGreaterThanOrEqual(400)
    expect((await ready({ path: '/here' })).protocol).toBe('mqtt')
  })

  test('threat 76: foreign origins get 403 where origins are listed', async () => {
    const { refused, ready } = await listening({ origins: ['https://app.example'] })
    expect(await refused({ headers: { origin: 'https://evil.example' } })).toBe(403)
    expect(await refused({ headers: { origin: 'https://app.example.evil.example' } })).toBe(403)
    expect((await ready({ headers: { origin: 'https://app.example' } })).protocol).toBe('mqtt')
  })
})
