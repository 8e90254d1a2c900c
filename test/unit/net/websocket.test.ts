import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'

import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import type { ClientOptions } from 'ws'

import { openListener } from '../../../src/net/listen.ts'
import type { Limits } from '../../../src/limits.ts'
import type { WsListenerOptions } from '../../../src/options.ts'
import { closeOf, connectRaw, readToClose, until } from '../../support/net-clients.ts'
import { TestListenContext } from '../../support/net-context.ts'

async function open(options: Partial<WsListenerOptions> = {}, limits: Partial<Limits> = {}) {
  const context = new TestListenContext(limits)
  const listener = await openListener({ transport: 'ws', port: 0, ...options }, context)
  onTestFinished(() => listener.close())
  const { port } = listener.address as { port: number }
  return { context, listener, port }
}

function webSocket(
  port: number,
  protocols: string[] = ['mqtt'],
  options: ClientOptions = {},
  path = '/mqtt',
): WebSocket {
  const client = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, options)
  client.on('error', () => {})
  onTestFinished(() => client.terminate())
  return client
}

const goodHeaders = {
  Host: 'localhost',
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Protocol': 'mqtt',
}

function request(headers: Record<string, string | undefined> = {}, line = 'GET /mqtt HTTP/1.1'): string {
  const lines = Object.entries({ ...goodHeaders, ...headers }).flatMap(([name, value]) =>
    value === undefined ? [] : `${name}: ${value}`,
  )
  return `${[line, ...lines].join('\r\n')}\r\n\r\n`
}

/** Sends raw text and reads the whole answer. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = await connectRaw({ port })
  socket.write(text)
  return (await readToClose(socket)).toString()
}

/** A client's frame; the mask of zeros leaves the payload readable. */
function frame(opcode: number, payload: Buffer | string, fin = true): Buffer {
  const body = Buffer.from(payload)
  const head = body.length < 126 ? [0x80 | body.length] : [0x80 | 126, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | opcode, ...head, 0, 0, 0, 0]), body])
}

const continuation = 0
const text = 1
const binary = 2
const close = 8

/** A raw connection past its upgrade; reads the frames that the server sends. */
async function upgraded(port: number, context: TestListenContext) {
  const socket = await connectRaw({ port })
  onTestFinished(() => void socket.destroy())
  socket.write(request())
  const accepted = await context.accepted.next()
  const [head] = (await once(socket, 'data')) as [Buffer]
  expect(head.toString()).toMatch(/^HTTP\/1\.1 101 /)
  return { socket, ...accepted }
}

async function closeCode(client: WebSocket): Promise<number> {
  const [code] = (await once(client, 'close')) as [number]
  return code
}

describe('upgrade requests', () => {
  test.each([
    ['mqtt', 'mqtt'],
    ['mqttv3.1', 'mqttv3.1'],
    ['mqttv3.1, mqtt', 'mqtt'],
    ['mqtt, mqttv3.1', 'mqtt'],
    ['graphql-ws, mqtt', 'mqtt'],
  ])('MQTT-6.0.0-4: of %j the server selects %s', async (offered, selected) => {
    const { context, port } = await open()
    const client = webSocket(port, offered.split(', '))
    await once(client, 'open')
    expect(client.protocol).toBe(selected)
    const { info } = await context.accepted.next()
    expect([info.transport, info.remoteAddress, info.localPort, context.clock.pending]).toEqual([
      'ws',
      '127.0.0.1',
      port,
      0,
    ])
  })

  test('threat 77: compression is not negotiated', async () => {
    const { port } = await open()
    const client = webSocket(port, ['mqtt'], { perMessageDeflate: true })
    await once(client, 'open')
    expect(client.extensions).toBe('')
  })

  const refused = (status: number, reason: string): string => `WebSocket upgrade refused with ${status}: ${reason}`

  test.each([
    [
      'MQTT-6.0.0-3: no sub-protocol',
      request({ 'Sec-WebSocket-Protocol': undefined }),
      400,
      'no MQTT sub-protocol was offered',
    ],
    [
      'MQTT-6.0.0-3: another sub-protocol',
      request({ 'Sec-WebSocket-Protocol': 'MQTT, amqp' }),
      400,
      'no MQTT sub-protocol was offered',
    ],
    ['another path', request({}, 'GET /other HTTP/1.1'), 404, 'no such path'],
    ['a path below', request({}, 'GET /mqtt/x HTTP/1.1'), 404, 'no such path'],
    ['another method', request({}, 'POST /mqtt HTTP/1.1'), 405, 'not a GET request'],
    ['no key', request({ 'Sec-WebSocket-Key': undefined }), 400, 'Missing or invalid Sec-WebSocket-Key header'],
    [
      'an old version',
      request({ 'Sec-WebSocket-Version': '7' }),
      400,
      'Missing or invalid Sec-WebSocket-Version header',
    ],
    ['another upgrade', request({ Upgrade: 'h2c' }), 400, 'Invalid Upgrade header'],
    [
      'a list that can not be read',
      request({ 'Sec-WebSocket-Protocol': 'mqtt,mqtt' }),
      400,
      'Invalid Sec-WebSocket-Protocol header',
    ],
  ])('%s is refused', async (_name, bytes, status, reason) => {
    const { context, listener, port } = await open()
    const answer = await exchange(port, bytes)
    expect(answer.split('\r\n', 2)).toEqual([expect.stringMatching(`^HTTP/1\\.1 ${status} `), 'Connection: close'])
    expect((await context.refusals.next()).reason).toBe(refused(status, reason))
    await until(() => listener.connections === 0)
    expect([context.accepted.items, context.clock.pending]).toEqual([[], 0])
  })

  test.each([
    ['is not on the list', 'https://evil.example', 403],
    ['only begins like one', 'https://plant.example.evil.example', 403],
    ['is opaque', 'null', 403],
    ['is on the list', 'https://plant.example', 101],
    ['is missing: no browser', undefined, 101],
  ])('an Origin that %s', async (_name, origin, status) => {
    const { context, port } = await open({ origins: ['https://plant.example'] })
    if (status === 101) {
      await once(webSocket(port, ['mqtt'], origin === undefined ? {} : { origin }), 'open')
      return
    }
    expect(await exchange(port, request({ Origin: origin }))).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/)
    expect((await context.refusals.next()).reason).toBe(refused(403, 'origin not allowed'))
  })

  test.each([
    [{}, '/mqtt?token=1'],
    [{ path: '/broker' }, '/broker'],
    [{ path: '*' }, '/any/thing'],
  ])('%j serves %s', async (options, path) => {
    const { port } = await open(options)
    const client = webSocket(port, ['mqtt'], {}, path)
    await once(client, 'open')
    expect(client.protocol).toBe('mqtt')
  })

  test.each([
    ['GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n', 426],
    ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', 404],
    ['POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello', 426],
  ])('a request for a page, %j, is answered with %i', async (bytes, status) => {
    const { context, port } = await open()
    expect(await exchange(port, bytes)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect((await context.refusals.next()).reason).toBe(`HTTP request without an upgrade, answered with ${status}`)
  })

  test.each([
    ['MQTT without WebSocket', '\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00', 400],
    ['a header beyond 16 KiB', `GET /mqtt HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ])('%s is answered and ended', async (_name, bytes, status) => {
    const { context, port } = await open()
    expect(await exchange(port, bytes)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect((await context.refusals.next()).reason).toMatch(/HTTP request malformed: HPE_/)
  })

  test('half a request is waited for until the deadline of the handshake', async () => {
    const { context, listener, port } = await open()
    const socket = await connectRaw({ port })
    socket.write('GET /mqtt HTTP/1.1\r\nHost: x\r\n')
    await until(() => context.clock.pending === 1)
    context.clock.advance(5_000)
    await closeOf(socket.resume())
    expect((await context.refusals.next()).reason).toBe('no handshake within 5000 ms')
    await until(() => listener.connections === 0)
  })

  test('a client that leaves within its request is reported once', async () => {
    const { context, listener, port } = await open()
    const socket = await connectRaw({ port })
    socket.write('GET /mqtt HTTP/1.1\r\n')
    socket.resetAndDestroy()
    await context.refusals.next()
    await until(() => listener.connections === 0)
    expect([context.refusals.items, context.clock.pending]).toEqual([[], 0])
  })

  test('a frame in the same chunk as the request is not lost', async () => {
    const { context, port } = await open()
    const socket = await connectRaw({ port })
    socket.write(Buffer.concat([Buffer.from(request()), frame(binary, 'early')]))
    const { stream } = await context.accepted.next()
    expect(String(await once(stream, 'data'))).toBe('early')
    socket.destroy()
  })
})

describe('messages', () => {
  test('MQTT-6.0.0-2: what is spread over messages or shares one is one stream', async () => {
    const { context, port } = await open()
    const { socket, stream } = await upgraded(port, context)
    const received: Buffer[] = []
    stream.on('data', (chunk: Buffer) => received.push(chunk))
    const fragments = [frame(binary, 'c', false), frame(continuation, 'd', false), frame(continuation, 'e')]
    socket.write(Buffer.concat([frame(binary, 'a'), frame(binary, ''), frame(binary, 'b'), ...fragments]))
    await until(() => Buffer.concat(received).length === 5)
    expect(Buffer.concat(received).toString()).toBe('abcde')
  })

  test('each write of the broker is one binary message', async () => {
    const { context, port } = await open()
    const client = webSocket(port)
    const messages: unknown[] = []
    client.on('message', (data, isBinary) => messages.push([(data as Buffer).toString(), isBinary]))
    const { stream } = await context.accepted.next()
    stream.write('one')
    stream.end('two')
    expect(await closeCode(client)).toBe(1000)
    expect(messages).toEqual([
      ['one', true],
      ['two', true],
    ])
  })

  test('MQTT-6.0.0-1: a text frame ends the connection with 1003', async () => {
    const { context, listener, port } = await open()
    const client = webSocket(port)
    await once(client, 'open')
    const { stream } = await context.accepted.next()
    client.send('text')
    const [code] = await Promise.all([closeCode(client), closeOf(stream)])
    expect([code, stream.errored?.message]).toEqual([1003, 'a WebSocket text frame came in'])
    await until(() => listener.connections === 0)
  })

  test('data after a text frame is not read any more, and does not hold up the close', async () => {
    const { context, listener, port } = await open()
    const client = webSocket(port)
    await once(client, 'open')
    const { stream } = await context.accepted.next()
    const received: Buffer[] = []
    stream.on('data', (chunk: Buffer) => received.push(chunk))
    for (const data of [Buffer.from('a'), 'text', Buffer.from('c')]) client.send(data)
    expect(await closeCode(client)).toBe(1003)
    await until(() => listener.connections === 0)
    expect(Buffer.concat(received).toString()).toBe('a')
  })

  test('a text frame ends the connection though the broker has stopped reading', async () => {
    const { context, listener, port } = await open()
    const { socket, stream } = await upgraded(port, context)
    socket.write(frame(binary, Buffer.alloc(40_000)))
    await until(() => stream.readableLength === 40_000)
    socket.write(Buffer.concat([frame(binary, Buffer.alloc(30_000)), frame(text, 'text')]))
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect([answer[0], answer.readUInt16BE(2)]).toEqual([0x88, 1003])
    socket.write(frame(close, Buffer.from([0x03, 0xeb])))
    await until(() => listener.connections === 0)
  })

  test('a message that drips in, byte by byte, is not collected for ever', async () => {
    const { context, port } = await open()
    const { socket, stream } = await upgraded(port, context)
    const bytes = frame(binary, Buffer.alloc(60_000))
    for (let offset = 0; offset < bytes.length && !stream.closed; offset += 1) {
      socket.write(bytes.subarray(offset, offset + 1))
      await turn()
    }
    expect(stream.errored?.message).toBe('Too many buffered chunks')
  })

  test('an honest message in many chunks is', async () => {
    const { context, port } = await open()
    const { socket, stream } = await upgraded(port, context)
    const bytes = frame(binary, Buffer.alloc(2_000))
    for (let offset = 0; offset < bytes.length; offset += 1) {
      socket.write(bytes.subarray(offset, offset + 1))
      await turn()
    }
    const [message] = (await once(stream, 'data')) as [Buffer]
    expect(message.length).toBe(2_000)
  })

  test('threat 77: a message beyond the limit ends the connection with 1009', async () => {
    const { context, listener, port } = await open({}, { maxWebSocketMessageBytes: 1_000 })
    const client = webSocket(port)
    await once(client, 'open')
    const { stream } = await context.accepted.next()
    client.send(Buffer.alloc(1_000))
    expect(((await once(stream, 'data')) as [Buffer])[0].length).toBe(1_000)
    client.send(Buffer.alloc(1_001))
    const [code] = await Promise.all([closeCode(client), closeOf(stream)])
    expect([code, stream.errored?.message]).toEqual([1009, 'Max payload size exceeded'])
    await until(() => listener.connections === 0)
  })

  test('threat 77: fragments that together exceed it do, too', async () => {
    const { context, port } = await open({}, { maxWebSocketMessageBytes: 1_000 })
    const { socket, stream } = await upgraded(port, context)
    socket.write(
      Buffer.concat([frame(binary, Buffer.alloc(600), false), frame(continuation, Buffer.alloc(600), false)]),
    )
    await closeOf(stream)
    expect(stream.errored?.message).toBe('Max payload size exceeded')
  })

  test('threat 77: more fragments than the limit end the connection with 1008', async () => {
    const { context, port } = await open({}, { maxWebSocketFragments: 4 })
    const client = webSocket(port)
    await once(client, 'open')
    const { stream } = await context.accepted.next()
    const received: Buffer[] = []
    stream.on('data', (chunk: Buffer) => received.push(chunk))
    for (let count = 1; count <= 4; count += 1) client.send('x', { binary: true, fin: count === 4 })
    await until(() => received.length === 1)
    for (let count = 1; count <= 5; count += 1) client.send('y', { binary: true, fin: false })
    const [code] = await Promise.all([closeCode(client), closeOf(stream)])
    expect([code, Buffer.concat(received).toString()]).toEqual([1008, 'xxxx'])
  })

  test('with limits of Infinity there are none', async () => {
    const { context, port } = await open({}, { maxWebSocketMessageBytes: Infinity, maxWebSocketFragments: Infinity })
    const client = webSocket(port)
    await once(client, 'open')
    const { stream } = await context.accepted.next()
    for (let count = 1; count <= 300; count += 1) client.send(Buffer.alloc(10_000), { fin: count === 300 })
    let length = 0
    stream.on('data', (chunk: Buffer) => (length += chunk.length))
    await until(() => length >= 3_000_000)
    expect([length, stream.errored]).toEqual([3_000_000, null])
    client.terminate()
  })

  test('a frame that is not masked ends the connection', async () => {
    const { context, listener, port } = await open()
    const { socket, stream } = await upgraded(port, context)
    socket.write(Buffer.from([0x82, 1, 0x61]))
    await closeOf(stream)
    expect(stream.errored?.message).toBe('Invalid WebSocket frame: MASK must be set')
    await closeOf(socket.resume())
    await until(() => listener.connections === 0)
  })

  test('the broker cuts a client at once with destroy, without a close frame', async () => {
    const { context, port } = await open()
    const client = webSocket(port)
    await once(client, 'open')
    const { stream } = await context.accepted.next()
    stream.destroy()
    expect(await closeCode(client)).toBe(1006)
  })
})

describe('on a server of the embedder', () => {
  async function ownServer(): Promise<{ server: HttpServer; port: number }> {
    const server = createServer((_request, response) => response.end('a page'))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    onTestFinished(() => void server.close())
    return { server, port: (server.address() as AddressInfo).port }
  }

  test('its pages and its other upgrades stay its own', async () => {
    const { server, port } = await ownServer()
    const { context, listener } = await open({ server })
    server.on('upgrade', (incoming, socket) => {
      if (incoming.url === '/chat') socket.end('HTTP/1.1 501 Not Implemented\r\nConnection: close\r\n\r\n')
    })
    expect(await exchange(port, 'GET /mqtt HTTP/1.0\r\n\r\n')).toMatch(/a page$/)
    expect(await exchange(port, request({}, 'GET /chat HTTP/1.1'))).toMatch(/^HTTP\/1\.1 501 /)
    expect(context.admissions).toBe(0)
    const client = webSocket(port)
    await once(client, 'open')
    const { info } = await context.accepted.next()
    expect([listener.name, listener.address, listener.connections]).toEqual([
      'ws:/mqtt',
      { host: '127.0.0.1', port },
      1,
    ])
    expect([info.listener, info.transport, info.remoteAddress, info.localPort]).toEqual([
      'ws:/mqtt',
      'ws',
      '127.0.0.1',
      port,
    ])
    client.terminate()
    await until(() => listener.connections === 0)
  })

  test('paths that none of the listeners takes get an answer when nobody else would give one', async () => {
    const { server, port } = await ownServer()
    const first = await open({ server, path: '/one' })
    const second = await open({ server, path: '/two' })
    expect(await exchange(port, request({}, 'GET /three HTTP/1.1'))).toMatch(/^HTTP\/1\.1 404 /)
    expect([first.context.admissions, second.context.admissions]).toEqual([1, 0])
    await once(webSocket(port, ['mqtt'], {}, '/two'), 'open')
    expect([first.context.accepted.items.length, second.context.accepted.items.length]).toEqual([0, 1])
  })

  test('the same rules hold', async () => {
    const { server, port } = await ownServer()
    const { context } = await open({ server, origins: ['https://plant.example'] })
    expect(await exchange(port, request({ Origin: 'https://evil.example' }))).toMatch(/^HTTP\/1\.1 403 /)
    expect(await exchange(port, request({ 'Sec-WebSocket-Protocol': 'amqp' }))).toMatch(/^HTTP\/1\.1 400 /)
    expect(context.refusals.items.length).toBe(2)
    context.admits = false
    expect(await exchange(port, request())).toBe('')
  })

  test('closing the listener leaves the server and accepted clients alone', async () => {
    const { server, port } = await ownServer()
    const { context, listener } = await open({ server })
    const client = webSocket(port)
    await once(client, 'open')
    const { stream } = await context.accepted.next()
    await listener.close()
    stream.write('still here')
    expect(String(await once(client, 'message'))).toContain('still here')
    expect([server.listening, server.listenerCount('upgrade')]).toEqual([true, 0])
    client.terminate()
  })

  test('a server that does not listen yet has no address', async () => {
    const { listener } = await open({ server: createServer() })
    expect(listener.address).toEqual({ host: '', port: 0 })
  })
})
