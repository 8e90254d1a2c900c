import { Duplex } from 'node:stream'

import { expect, onTestFinished, test } from 'vitest'

import { openListener } from '../../../src/net/listen.ts'
import { memoryPair } from '../../../src/net/memory.ts'
import { describeStream, normalizeAddress } from '../../../src/net/stream-info.ts'
import { connectRaw } from '../../support/net-clients.ts'
import { TestListenContext } from '../../support/net-context.ts'

const unknown = {
  listener: 'attached',
  transport: 'stream',
  remoteAddress: undefined,
  remotePort: undefined,
  localPort: undefined,
  proxyAddress: undefined,
  tls: undefined,
}

test('of any stream nothing is known', () => {
  expect(describeStream(new Duplex())).toEqual(unknown)
})

test('an end of a memory pair is seen as such', () => {
  expect(describeStream(memoryPair()[1])).toEqual({ ...unknown, transport: 'memory' })
})

test('what the embedder states counts', () => {
  const stated = {
    listener: 'gateway',
    transport: 'tls',
    remoteAddress: '192.0.2.1',
    proxyAddress: '10.0.0.1',
  } as const
  expect(describeStream(new Duplex(), stated)).toEqual({ ...unknown, ...stated })
})

test('a socket tells its addresses', async () => {
  const context = new TestListenContext()
  const listener = await openListener({ transport: 'tcp', port: 0 }, context)
  onTestFinished(() => listener.close())
  const socket = await connectRaw(listener.address)
  onTestFinished(() => void socket.destroy())
  const { stream } = await context.accepted.next()
  expect(describeStream(stream)).toEqual({
    ...unknown,
    transport: 'tcp',
    remoteAddress: '127.0.0.1',
    remotePort: socket.localPort,
    localPort: socket.remotePort,
  })
})

test.each([
  ['10.0.0.1', '10.0.0.1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['::FFFF:a00:1', '10.0.0.1'],
  ['0:0:0:0:0:ffff:10.0.0.1', '10.0.0.1'],
  ['2001:DB8:0:0:0::1', '2001:db8::1'],
  ['::1', '::1'],
  ['::', '::'],
  ['localhost', undefined],
  ['', undefined],
])('%j is %j', (address, expected) => {
  expect(normalizeAddress(address)).toBe(expected)
})
