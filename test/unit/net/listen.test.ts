import { once } from 'node:events'
import { createServer, Server } from 'node:net'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

import { describe, expect, onTestFinished, test, vi } from 'vitest'

import { openListener } from '../../../src/net/listen.ts'
import type { Listener } from '../../../src/net/types.ts'
import type { ListenerOptions } from '../../../src/options.ts'
import { localhostPair } from '../../support/certificates.ts'
import { closeOf, connectRaw, readToClose, until } from '../../support/net-clients.ts'
import { TestListenContext } from '../../support/net-context.ts'

async function open(options: ListenerOptions, context = new TestListenContext()) {
  const listener = await openListener(options, context)
  onTestFinished(() => listener.close())
  const { port } = listener.address as { port: number }
  return { context, listener, port }
}

function connectCode(port: number): Promise<string | undefined> {
  return connectRaw({ port }).then(
    () => 'connected',
    (error: NodeJS.ErrnoException) => error.code,
  )
}

describe('options', () => {
  test('a listener has the name it was given, or that of its address', async () => {
    const named = await open({ transport: 'tcp', port: 0, name: 'plant' })
    const plain = await open({ transport: 'tcp', port: 0 })
    expect(named.listener).toMatchObject({
      name: 'plant',
      transport: 'tcp',
      address: { host: '127.0.0.1', port: named.port },
    })
    expect(plain.listener.name).toBe(`tcp:127.0.0.1:${plain.port}`)
  })

  test.each([
    {} as ListenerOptions,
    { transport: 'quic' } as unknown as ListenerOptions,
    { transport: 'tcp', port: -1 },
    { transport: 'tcp', port: 65_536 },
    { transport: 'tcp', port: 1.5 },
    { transport: 'tcp', port: 0, host: '' },
    { transport: 'tcp', port: 0, backlog: 0 },
    { transport: 'ws', port: 0, path: 'mqtt' },
    { transport: 'unix', path: '' },
    { transport: 'unix', path: '/nowhere/x', mode: 0o1777 },
  ] satisfies ListenerOptions[])('%j can not be used', async (options) => {
    await expect(openListener(options, new TestListenContext())).rejects.toMatchObject({ code: 'SMQ_OPTION_INVALID' })
  })

  test('a port that is taken is a failure with a code', async () => {
    const { port } = await open({ transport: 'tcp', port: 0 })
    await expect(openListener({ transport: 'tcp', port }, new TestListenContext())).rejects.toMatchObject({
      code: 'SMQ_LISTEN_FAILED',
      message: `The listener could not be opened: tcp 127.0.0.1:${port}: EADDRINUSE`,
    })
  })

  test('so is a host that is not ours', async () => {
    await expect(
      openListener({ transport: 'tcp', port: 0, host: '192.0.2.1' }, new TestListenContext()),
    ).rejects.toMatchObject({
      code: 'SMQ_LISTEN_FAILED',
      message: 'The listener could not be opened: tcp 192.0.2.1:0: EADDRNOTAVAIL',
    })
  })
})

describe('accepting', () => {
  test('the socket itself is passed on, with what is known of it', async () => {
    const { context, listener, port } = await open({ transport: 'tcp', port: 0 })
    const socket = await connectRaw({ port })
    const { stream, info } = await context.accepted.next()
    expect(stream.constructor.name).toBe('Socket')
    expect(info).toEqual({
      listener: listener.name,
      transport: 'tcp',
      remoteAddress: '127.0.0.1',
      remotePort: socket.localPort,
      localPort: port,
      proxyAddress: undefined,
      tls: undefined,
    })
    expect([listener.connections, context.clock.pending]).toEqual([1, 0])
    socket.destroy()
    await closeOf(stream.resume())
    expect(listener.connections).toBe(0)
  })

  test('an IPv4 peer of a dual-stack listener has an IPv4 address', async () => {
    const { context, port } = await open({ transport: 'tcp', port: 0, host: '::' })
    const socket = await connectRaw({ port })
    const { info } = await context.accepted.next()
    expect(info.remoteAddress).toBe('127.0.0.1')
    socket.destroy()
  })

  test.each(['tcp', 'tls', 'ws', 'wss'] as const)(
    '%s: who is not admitted is cut before anything is done',
    async (transport) => {
      const { context, listener, port } = await open({ transport, port: 0, ...localhostPair() })
      context.admits = false
      const socket = await connectRaw({ port })
      expect((await readToClose(socket)).length).toBe(0)
      expect([context.admissions, context.accepted.items, context.refusals.items, listener.connections]).toEqual([
        1,
        [],
        [],
        0,
      ])
      expect(context.clock.pending).toBe(0)
    },
  )

  test('an error of a socket that nobody listens to does not reach the process', async () => {
    const { context, port } = await open({ transport: 'tcp', port: 0 })
    const streams: Duplex[] = []
    context.accept = (stream) => void streams.push(stream.resume())
    const socket = await connectRaw({ port })
    await until(() => streams.length === 1)
    socket.resetAndDestroy()
    await until(() => streams[0]?.closed === true)
    expect(streams[0]?.errored).toMatchObject({ code: 'ECONNRESET' })
  })
})

describe('closing', () => {
  test('accepted streams live on, new connections find nobody, and the port is free', async () => {
    const { context, listener, port } = await open({ transport: 'tcp', port: 0 })
    const socket = await connectRaw({ port })
    const { stream } = await context.accepted.next()
    await listener.close()
    await listener.close()
    expect(await connectCode(port)).toBe('ECONNREFUSED')
    const again = await open({ transport: 'tcp', port })
    expect(again.port).toBe(port)
    stream.write('still here')
    expect(String(await once(socket, 'data'))).toBe('still here')
    expect(listener.connections).toBe(1)
    socket.destroy()
  })

  test.each(['tls', 'ws', 'wss'] as const)(
    '%s: an unfinished handshake is dropped without a report',
    async (transport) => {
      const { context, listener, port } = await open({ transport, port: 0, ...localhostPair() })
      const socket = await connectRaw({ port })
      await until(() => context.clock.pending === 1)
      await listener.close()
      await closeOf(socket.resume())
      expect([context.refusals.items, context.clock.pending]).toEqual([[], 0])
    },
  )
})

// Threat 59.
describe('when the system runs out of descriptors', () => {
  async function openWatched() {
    const listen = vi.spyOn(Server.prototype, 'listen')
    onTestFinished(() => listen.mockRestore())
    const opened = await open({ transport: 'tcp', port: 0 })
    const server = listen.mock.contexts[0] as Server
    const exhaust = (code: string): void => void server.emit('error', Object.assign(new Error(code), { code }))
    return { ...opened, server, exhaust }
  }

  const paused = (listener: Listener, code: string) => ({
    level: 'error',
    details: { listener: listener.name, code },
    message: 'accepting is paused: the system is out of descriptors or memory',
  })

  test('accepting rests, is told once, and goes on at the same address; connections live on', async () => {
    const { context, listener, port, server, exhaust } = await openWatched()
    const socket = await connectRaw({ port })
    const { stream } = await context.accepted.next()
    exhaust('EMFILE')
    exhaust('EMFILE')
    expect(context.clock.pending).toBe(1)
    expect(await connectCode(port)).toBe('ECONNREFUSED')
    expect(context.lines).toEqual([paused(listener, 'EMFILE')])
    const listening = once(server, 'listening')
    context.clock.advance(500)
    await listening
    expect((await connectRaw({ port })).destroy().destroyed).toBe(true)
    expect((await context.accepted.next()).info.localPort).toBe(port)
    expect(listener.address).toEqual({ host: '127.0.0.1', port })
    expect(context.lines.slice(1)).toEqual([
      { level: 'info', details: { listener: listener.name }, message: 'accepting again' },
    ])
    stream.write('still here')
    expect(String(await once(socket, 'data'))).toBe('still here')
    socket.destroy()
  })

  test('it is tried until the address can be had again', async () => {
    const { context, port, server, exhaust } = await openWatched()
    exhaust('ENFILE')
    const squatter = createServer((socket: Socket) => socket.destroy())
    await once(squatter.listen(port, '127.0.0.1'), 'listening')
    context.clock.advance(500)
    await until(() => context.clock.pending === 1)
    await new Promise((resolve) => squatter.close(resolve))
    const listening = once(server, 'listening')
    context.clock.advance(500)
    await listening
    expect(await connectCode(port)).toBe('connected')
    expect(context.lines.map(({ level }) => level)).toEqual(['error', 'info'])
  })

  test('a listener that is closed meanwhile stays closed', async () => {
    const { context, listener, port, exhaust } = await openWatched()
    exhaust('ENOMEM')
    await listener.close()
    expect(context.clock.pending).toBe(0)
    expect(await connectCode(port)).toBe('ECONNREFUSED')
  })

  test('other errors of the server change nothing', async () => {
    const { context, port, exhaust } = await openWatched()
    exhaust('ECONNABORTED')
    expect(await connectCode(port)).toBe('connected')
    expect(context.lines).toEqual([])
  })
})
