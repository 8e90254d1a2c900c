import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'

import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'

import { openListener } from '../../../src/net/listen.ts'
import { createProxyTrust } from '../../../src/net/proxy-trust.ts'
import type { Listener } from '../../../src/net/types.ts'
import type { ListenerOptions } from '../../../src/options.ts'
import { localhostPair } from '../../support/certificates.ts'
import { closeOf, connectRaw, readToClose, tunnel, until } from '../../support/net-clients.ts'
import { TestListenContext } from '../../support/net-context.ts'

const trusting = { trustedAddresses: ['127.0.0.0/8', '::1'] }
const v1 = Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.7 50000 1883\r\n')
const v2 = Buffer.from('0d0a0d0a000d0a515549540a' + '2111000c' + 'c0000201c6336407c350075b', 'hex')
const local = Buffer.from('0d0a0d0a000d0a515549540a' + '20000000', 'hex')
const unspecified = Buffer.from('PROXY UNKNOWN\r\n')
const unix = Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a' + '213100d8', 'hex'), Buffer.alloc(216)])

async function open(
  options: ListenerOptions,
): Promise<{ context: TestListenContext; listener: Listener; port: number }> {
  const context = new TestListenContext()
  const listener = await openListener(options, context)
  onTestFinished(() => listener.close())
  const { port } = listener.address as { port: number }
  return { context, listener, port }
}

const tcp = { transport: 'tcp', port: 0, proxyProtocol: trusting } as const

describe.each([
  ['all at once', false],
  ['byte by byte', true],
])('a trusted header that comes %s', (_name, bytewise) => {
  async function send(bytes: Buffer) {
    const { context, listener, port } = await open(tcp)
    const socket = await connectRaw({ port })
    onTestFinished(() => void socket.destroy())
    if (bytewise) for (const byte of bytes) socket.write(Buffer.of(byte))
    else socket.write(bytes)
    const { stream, info } = await context.accepted.next()
    const [first] = (await once(stream, 'data')) as [Buffer]
    stream.destroy()
    const common = { listener: listener.name, transport: 'tcp', localPort: port, tls: undefined }
    return { first: first.toString(), info, common, socketPort: socket.localPort }
  }

  test.each([
    ['version 1', v1],
    ['version 2', v2],
  ])('%s gives the client its address', async (_version, header) => {
    const { first, info, common } = await send(Buffer.concat([header, Buffer.from('M')]))
    expect(info).toEqual({ ...common, remoteAddress: '192.0.2.1', remotePort: 50_000, proxyAddress: '127.0.0.1' })
    expect(first).toBe('M')
  })

  test('LOCAL: the proxy speaks for itself', async () => {
    const { info, common, socketPort } = await send(Buffer.concat([local, Buffer.from('M')]))
    expect(info).toEqual({ ...common, remoteAddress: '127.0.0.1', remotePort: socketPort, proxyAddress: undefined })
  })

  test('UNKNOWN: the connection keeps its addresses', async () => {
    const { info, common, socketPort } = await send(Buffer.concat([unspecified, Buffer.from('M')]))
    expect(info).toEqual({ ...common, remoteAddress: '127.0.0.1', remotePort: socketPort, proxyAddress: '127.0.0.1' })
  })

  test('a client of a unix socket has no address, and surely not that of the proxy', async () => {
    const { info, common } = await send(Buffer.concat([unix, Buffer.from('M')]))
    expect(info).toEqual({ ...common, remoteAddress: undefined, remotePort: undefined, proxyAddress: '127.0.0.1' })
  })
})

describe('threat 75: trust', () => {
  test('bytes of a peer that is not on the list are not looked at', async () => {
    const { context, port } = await open({ ...tcp, proxyProtocol: { trustedAddresses: ['192.0.2.0/24', '::1'] } })
    const socket = await connectRaw({ port })
    socket.end(v1)
    const { stream, info } = await context.accepted.next()
    expect([info.remoteAddress, info.proxyAddress]).toEqual(['127.0.0.1', undefined])
    expect(await readToClose(stream)).toEqual(v1)
  })

  test('without the option they are not looked at either', async () => {
    const { context, port } = await open({ transport: 'tcp', port: 0 })
    const socket = await connectRaw({ port })
    socket.end(v2)
    const { stream } = await context.accepted.next()
    expect(await readToClose(stream)).toEqual(v2)
  })

  test.each([
    ['an MQTT CONNECT without a header', Buffer.from('\x10\x0c\x00\x04MQTT')],
    ['a header with a wrong family', Buffer.from('PROXY TCP9 1.2.3.4 1.2.3.4 1 1\r\n')],
  ])('%s from a trusted peer is refused', async (_name, bytes) => {
    const { context, port } = await open(tcp)
    const socket = await connectRaw({ port })
    socket.write(bytes)
    await closeOf(socket.resume())
    const { info, reason } = await context.refusals.next()
    expect([info.remoteAddress, reason]).toEqual(['127.0.0.1', 'the PROXY header is malformed'])
    expect([context.accepted.items, context.clock.pending]).toEqual([[], 0])
  })

  test('half a header is waited for until the deadline of the handshake', async () => {
    const { context, port } = await open(tcp)
    const socket = await connectRaw({ port })
    socket.write(v1.subarray(0, 20))
    await until(() => context.clock.pending === 1)
    context.clock.advance(4_999)
    expect(context.refusals.items).toEqual([])
    context.clock.advance(1)
    await closeOf(socket.resume())
    expect((await context.refusals.next()).reason).toBe('no handshake within 5000 ms')
  })

  test('a peer that leaves within the header is reported, not waited for', async () => {
    const { context, listener, port } = await open(tcp)
    const socket = await connectRaw({ port })
    socket.end(v1.subarray(0, 20))
    expect((await context.refusals.next()).reason).toBe('the connection closed during the handshake')
    await until(() => listener.connections === 0)
    expect(context.clock.pending).toBe(0)
  })
})

describe.each([
  ['in one chunk with what follows', false],
  ['byte by byte', true],
])('the header under other transports, %s', (_name, bytewise) => {
  const pair = localhostPair()

  async function echo(stream: Duplex, server: Duplex): Promise<void> {
    server.once('data', (bytes: Buffer) => server.write(bytes))
    stream.write('echo')
    expect(String(await once(stream, 'data'))).toBe('echo')
  }

  test('tls', async () => {
    const { context, port } = await open({ ...tcp, ...pair, transport: 'tls' })
    const client = connectTls({ socket: await tunnel({ port }, v2, bytewise), rejectUnauthorized: false })
    client.on('error', () => {})
    const { stream, info } = await context.accepted.next()
    expect([info.remoteAddress, info.proxyAddress, info.tls?.version]).toEqual(['192.0.2.1', '127.0.0.1', 'TLSv1.3'])
    await echo(client, stream)
    stream.destroy()
  })

  test.each(['ws', 'wss'] as const)('%s', async (transport) => {
    const { context, port } = await open({ ...tcp, ...pair, transport })
    const raw = await tunnel({ port }, v1, bytewise)
    const client = new WebSocket('ws://localhost/mqtt', 'mqtt', {
      createConnection: () =>
        (transport === 'wss' ? connectTls({ socket: raw, rejectUnauthorized: false }) : raw) as never,
    })
    client.on('error', () => {})
    const { stream, info } = await context.accepted.next()
    expect([info.remoteAddress, info.remotePort, info.proxyAddress]).toEqual(['192.0.2.1', 50_000, '127.0.0.1'])
    stream.once('data', (bytes: Buffer) => stream.write(bytes))
    await until(() => client.readyState === WebSocket.OPEN)
    client.send(Buffer.from('echo'))
    const [message] = (await once(client, 'message')) as [Buffer]
    expect(message.toString()).toBe('echo')
    stream.destroy()
  })
})

describe('the list of trusted addresses', () => {
  test.each([
    [['10.0.0.1'], '10.0.0.1', true],
    [['10.0.0.1'], '10.0.0.2', false],
    [['10.0.0.0/8'], '10.255.0.1', true],
    [['10.0.0.0/8'], '11.0.0.1', false],
    [['0.0.0.0/0'], '203.0.113.9', true],
    [['::ffff:10.0.0.1'], '10.0.0.1', true],
    [['::ffff:10.0.0.0/104'], '10.9.9.9', true],
    [['::ffff:10.0.0.0/104'], '11.9.9.9', false],
    [['2001:db8::/32'], '2001:db8:1::1', true],
    [['2001:db8::/32'], '2001:db9::1', false],
    [['::1', '192.0.2.0/24'], '192.0.2.77', true],
    [[], '127.0.0.1', false],
  ])('%j includes %s: %s', (trustedAddresses, address, expected) => {
    expect(createProxyTrust({ trustedAddresses })?.includes(address)).toBe(expected)
  })

  test.each([
    'localhost',
    '',
    '10.0.0.1/33',
    '10.0.0.1/-1',
    '10.0.0.1/',
    '10.0.0.1/8/8',
    '2001:db8::/129',
    '::ffff:10.0.0.0/8',
    '10.0.0',
  ])('%j is no address', async (entry) => {
    await expect(
      openListener({ ...tcp, proxyProtocol: { trustedAddresses: [entry] } }, new TestListenContext()),
    ).rejects.toMatchObject({
      code: 'SMQ_OPTION_INVALID',
    })
  })
})
