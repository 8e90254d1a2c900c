/** MQTT 3.1.1 chapter 6: WebSocket as the transport; and the sub-protocol of MQTT 3.1. */
import { once } from 'node:events'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createWebSocketStream, WebSocket } from 'ws'

import { connect4, publish4, startBroker4, subscribe4 } from '../../support/mqtt3.ts'
import { RawClient } from '../../support/raw-client.ts'
import { pingreq } from '../../support/wire.ts'

/** A broker that listens for WebSockets, and a function that opens one. */
async function listening() {
  const t = startBroker4()
  const { port } = await t.listen({ transport: 'ws', port: 0 })
  const open = (protocols: string[]): WebSocket => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, protocols)
    onTestFinished(() => socket.terminate())
    return socket
  }
  const ready = async (protocols = ['mqtt']): Promise<WebSocket> => {
    const socket = open(protocols)
    await once(socket, 'open')
    return socket
  }
  return { ...t, open, ready }
}

const overStream = (socket: WebSocket): RawClient => new RawClient(createWebSocketStream(socket), { version: 4 })

describe('frames', () => {
  test('MQTT-6.0.0-1 the broker sends binary frames', async () => {
    const { ready } = await listening()
    const socket = await ready()
    socket.send(connect4({ clientId: 'a' }))
    const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean]
    expect([isBinary, data.toString('hex')]).toEqual([true, '20020000'])
  })

  test('MQTT-6.0.0-1 a frame that is not binary closes the connection', async () => {
    const { ready, state, settle } = await listening()
    const socket = await ready()
    socket.send(connect4({ clientId: 'a' }))
    await once(socket, 'message')
    const closed = once(socket, 'close')
    socket.send('text')
    await closed
    await settle()
    expect(state('a')).toBeUndefined()
  })

  test('MQTT-6.0.0-2 packets may span frames and share them', async () => {
    const { ready } = await listening()
    const socket = await ready()
    const client = overStream(socket)
    for (const byte of connect4({ clientId: 'a' })) socket.send(Buffer.from([byte]))
    await client.expectBytes('20 02 00 00')
    const last = publish4({ topic: 't', payload: 'spanning' })
    socket.send(
      Buffer.concat([
        subscribe4({ packetId: 1, filters: ['t'] }),
        publish4({ topic: 't', payload: 'whole' }),
        last.subarray(0, 4),
      ]),
    )
    await client.expectPacket('suback', { packetId: 1 })
    await client.expectPublish({ topic: 't', payload: 'whole' })
    socket.send(Buffer.concat([last.subarray(4), pingreq()]))
    const rest = [await client.next(), await client.next()].map((packet) =>
      packet === 'closed' ? packet : packet.type,
    )
    expect(rest.toSorted()).toEqual(['pingresp', 'publish'])
  })
})

describe('upgrade', () => {
  test('MQTT-6.0.0-3 MQTT-6.0.0-4 the broker selects the sub-protocol mqtt', async () => {
    const { ready } = await listening()
    expect((await ready(['other', 'mqtt'])).protocol).toBe('mqtt')
  })

  test('MQTT-6.0.0-3 a client that does not offer it is refused', async () => {
    const { open } = await listening()
    for (const protocols of [[], ['mqtt5'], ['amqp', 'MQTT']]) {
      const socket = open(protocols)
      socket.on('error', () => {})
      const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }]
      expect(response.statusCode).toBe(400)
    }
  })

  test.each([3, 4] as const)('under the sub-protocol mqttv3.1 version %s is served', async (version) => {
    const { ready } = await listening()
    const socket = await ready(['mqttv3.1'])
    expect(socket.protocol).toBe('mqttv3.1')
    const client = overStream(socket)
    await client.connect({ version, clientId: 'a' })
    await client.subscribe(['t'])
    client.send(publish4({ topic: 't', payload: 'x' }))
    await client.expectPublish({ topic: 't', payload: 'x' })
  })
})
