import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createConnection } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { connect as connectTls, TLSSocket } from 'node:tls'

import { afterEach, describe, expect, test } from 'vitest'
import { createWebSocketStream, WebSocket } from 'ws'

import type { Transport } from '../../../src/messages.ts'
import { openListener } from '../../../src/net/listen.ts'
import { memoryPair } from '../../../src/net/memory.ts'
import type { ListenerOptions } from '../../../src/options.ts'
import { localhostPair } from '../../support/certificates.ts'
import { closeOf } from '../../support/net-clients.ts'
import { TestListenContext } from '../../support/net-context.ts'

/*
 * The contract of every transport: whatever way a connection came, the broker holds a Duplex that
 * acts the same.
 */

interface Connection {
  readonly client: Duplex
  readonly server: Duplex
}

const cleanups: Array<() => void | Promise<void>> = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function webSocketClient(url: string): Duplex {
  return createWebSocketStream(new WebSocket(url, 'mqtt', { rejectUnauthorized: false }), { allowHalfOpen: false })
}

async function connectThrough(
  options: ListenerOptions,
  open: (address: { port: number; path: string }) => Duplex,
): Promise<Connection> {
  const context = new TestListenContext()
  const listener = await openListener(options, context)
  cleanups.push(() => listener.close())
  const client = open({ port: 0, path: '', ...listener.address })
  return joined(client, context)
}

async function joined(client: Duplex, context: TestListenContext): Promise<Connection> {
  client.on('error', () => {})
  // With TLS 1.2 the server has finished before the client has.
  if (client instanceof TLSSocket) await once(client, 'secureConnect')
  const { stream: server } = await context.accepted.next()
  cleanups.push(
    () => void client.destroy(),
    () => void server.destroy(),
  )
  return { client, server }
}

const proxyHeader = 'PROXY TCP4 192.0.2.1 192.0.2.2 50000 1883\r\n'
const proxyProtocol = { trustedAddresses: ['127.0.0.1'] }

function tcpClient(port: number, preamble = ''): Duplex {
  const socket = createConnection(port, '127.0.0.1')
  if (preamble) socket.write(preamble)
  return socket
}

const transports: ReadonlyArray<readonly [name: string, connect: () => Promise<Connection>]> = [
  [
    'memory',
    async () => {
      const [client, server] = memoryPair()
      for (const end of [client, server]) end.on('error', () => {})
      return { client, server }
    },
  ],
  ['tcp', () => connectThrough({ transport: 'tcp', port: 0 }, ({ port }) => tcpClient(port))],
  [
    'tcp behind a proxy',
    () => connectThrough({ transport: 'tcp', port: 0, proxyProtocol }, ({ port }) => tcpClient(port, proxyHeader)),
  ],
  [
    'unix',
    () => {
      const directory = mkdtempSync(join(tmpdir(), 'statemq-'))
      cleanups.push(() => rmSync(directory, { recursive: true }))
      return connectThrough({ transport: 'unix', path: join(directory, 's') }, ({ path }) => createConnection(path))
    },
  ],
  [
    'tls',
    () =>
      connectThrough({ transport: 'tls', port: 0, ...localhostPair() }, ({ port }) =>
        connectTls({ port, rejectUnauthorized: false }),
      ),
  ],
  [
    'tls 1.2 behind a proxy',
    () =>
      connectThrough({ transport: 'tls', port: 0, proxyProtocol, ...localhostPair() }, ({ port }) =>
        connectTls({ socket: tcpClient(port, proxyHeader), maxVersion: 'TLSv1.2', rejectUnauthorized: false }),
      ),
  ],
  [
    'ws',
    () => connectThrough({ transport: 'ws', port: 0 }, ({ port }) => webSocketClient(`ws://127.0.0.1:${port}/mqtt`)),
  ],
  [
    'wss',
    () =>
      connectThrough({ transport: 'wss', port: 0, ...localhostPair() }, ({ port }) =>
        webSocketClient(`wss://127.0.0.1:${port}/mqtt`),
      ),
  ],
  [
    'ws on a server of the embedder',
    async () => {
      const server = createServer()
      await once(server.listen(0, '127.0.0.1'), 'listening')
      cleanups.push(() => void server.close())
      return connectThrough({ transport: 'ws', server }, () =>
        webSocketClient(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/mqtt`),
      )
    },
  ],
]

/** Bytes with a pattern of a prime length, so that no loss or swap of equal chunks goes unseen. */
function pattern(bytes: number): Buffer {
  return Buffer.alloc(bytes, Buffer.from(Array.from({ length: 251 }, (_, index) => index)))
}

async function readBytes(stream: Duplex, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  return new Promise((resolve, reject) => {
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk)
      length += chunk.length
      if (length < bytes) return
      stream.removeListener('data', onData)
      resolve(Buffer.concat(chunks))
    }
    stream.on('data', onData)
    stream.once('close', () => reject(new Error(`closed after ${length} of ${bytes} bytes`)))
  })
}

/** Writes until the stream says stop; throws if it never does. */
function fill(stream: Duplex): number {
  const chunk = Buffer.alloc(65_536)
  for (let written = chunk.length; written <= 67_108_864; written += chunk.length) {
    if (!stream.write(chunk)) return written
  }
  throw new Error('no backpressure after 64 MiB')
}

const mebibyte = 1_048_576

describe.each(transports)('%s', (_name, connect) => {
  test('bytes of 1 MiB come through unchanged in both directions at once', async () => {
    const { client, server } = await connect()
    const upward = pattern(mebibyte)
    const downward = Buffer.from(upward).reverse()
    for (let offset = 0; offset < mebibyte; offset += 30_011) {
      client.write(upward.subarray(offset, offset + 30_011))
      server.write(downward.subarray(offset, offset + 30_011))
    }
    const [atServer, atClient] = await Promise.all([readBytes(server, mebibyte), readBytes(client, mebibyte)])
    expect(atServer.equals(upward)).toBe(true)
    expect(atClient.equals(downward)).toBe(true)
  })

  test('small writes keep their order', async () => {
    const { client, server } = await connect()
    const sent = pattern(1_000)
    for (const byte of sent) client.write(Buffer.of(byte))
    expect((await readBytes(server, sent.length)).equals(sent)).toBe(true)
    for (const byte of sent) server.write(Buffer.of(byte))
    expect((await readBytes(client, sent.length)).equals(sent)).toBe(true)
  })

  test.each(['client', 'server'] as const)(
    'a %s that writes to a reader that stands still is told to stop, and to go on later',
    async (side) => {
      const connection = await connect()
      const writer = connection[side]
      const reader = connection[side === 'client' ? 'server' : 'client']
      // What was accepted so far may still vanish into the buffers of the system: go on until it has stopped for good.
      let written = fill(writer)
      for (let idle = 0; idle < 20; idle += 1) {
        await new Promise(setImmediate)
        if (!writer.writableNeedDrain) {
          written += fill(writer)
          idle = 0
        }
      }
      expect(writer.writableNeedDrain).toBe(true)
      const drained = once(writer, 'drain')
      const read = readBytes(reader, written)
      await drained
      expect((await read).length).toBe(written)
    },
  )

  test('what the client sent before its end is read, then comes end, then close', async () => {
    const { client, server } = await connect()
    client.resume()
    const order: string[] = []
    server.on('data', (chunk: Buffer) => order.push(chunk.toString()))
    for (const event of ['end', 'close']) server.on(event, () => order.push(event))
    const closed = closeOf(server)
    client.end('last words')
    await closed
    expect(order).toEqual(['last words', 'end', 'close'])
    expect([server.destroyed, server.errored]).toEqual([true, null])
  })

  test('what the server sent before its end reaches the client, and both ends close', async () => {
    const { client, server } = await connect()
    server.resume()
    const words: Buffer[] = []
    client.on('data', (chunk: Buffer) => words.push(chunk))
    const closed = Promise.all([closeOf(client), closeOf(server)])
    server.end('goodbye')
    await closed
    expect(Buffer.concat(words).toString()).toBe('goodbye')
  })

  test('when the server destroys its end, the client sees it close', async () => {
    const { client, server } = await connect()
    client.resume()
    const closed = Promise.all([closeOf(client), closeOf(server)])
    server.destroy()
    await closed
    expect([client.destroyed, server.errored]).toEqual([true, null])
  })

  test('when the client vanishes, the server sees its end close', async () => {
    const { client, server } = await connect()
    server.resume()
    const closed = closeOf(server)
    client.destroy()
    await closed
    expect(server.destroyed).toBe(true)
  })

  test('writing to a client that is gone is an error of the stream, not of the process', async () => {
    const { client, server } = await connect()
    const closed = closeOf(server)
    client.destroy()
    const write = (error?: Error | null): void => {
      if (!error && !server.destroyed) server.write(Buffer.alloc(65_536), write)
    }
    write()
    server.resume()
    await closed
    expect(server.destroyed).toBe(true)
  })
})

test('every transport of a listener is here', () => {
  const names = new Set(transports.map(([name]) => name.split(' ')[0]))
  expect(names).toEqual(new Set<Transport>(['memory', 'tcp', 'tls', 'unix', 'ws', 'wss']))
})
