import { once } from 'node:events'

import { expect, test } from 'vitest'

import { memoryPair } from '../../../src/net/memory.ts'
import { closeOf } from '../../support/net-clients.ts'

test('nothing is delivered before the writer has returned', async () => {
  const [client, server] = memoryPair()
  const order: string[] = []
  server.on('data', (chunk: Buffer) => order.push(chunk.toString()))
  client.write('a')
  client.write('b')
  order.push('written')
  await once(server, 'data')
  client.write('c')
  order.push('written again')
  await once(server, 'data')
  expect(order.join()).toBe('written,a,b,written again,c')
})

test('a writer may reuse its buffer once its callback ran', async () => {
  const [client, server] = memoryPair()
  const buffer = Buffer.from('first')
  await new Promise((resolve) => client.write(buffer, resolve))
  buffer.write('XXXXX')
  expect((server.read() as Buffer).toString()).toBe('first')
})

test('write returns false at the high water mark, and the bytes on their way are bounded', async () => {
  const [client, server] = memoryPair()
  expect(client.write(Buffer.alloc(client.writableHighWaterMark - 1))).toBe(true)
  expect(client.write(Buffer.of(1))).toBe(false)
  await new Promise(setImmediate)
  // One high water mark fits into the reader; the next one stays with the writer.
  expect([server.readableLength, client.writableLength]).toEqual([server.readableHighWaterMark, 1])
  const drained = once(client, 'drain')
  server.resume()
  await drained
  expect(client.writableLength).toBe(0)
})

test('an error of one end stays at that end: the other one sees an end', async () => {
  const [client, server] = memoryPair()
  const failure = new Error('boom')
  const errors: Error[] = []
  server.on('error', (error) => errors.push(error))
  client.resume()
  const ended = once(client, 'end')
  server.destroy(failure)
  await ended
  await closeOf(client)
  expect([errors, client.errored]).toEqual([[failure], null])
})

test('what was written before a destroy is still read', async () => {
  const [client, server] = memoryPair()
  await new Promise((resolve) => server.write('goodbye', resolve))
  server.destroy()
  await closeOf(server)
  const chunks: Buffer[] = []
  client.on('data', (chunk: Buffer) => chunks.push(chunk))
  await closeOf(client)
  expect(Buffer.concat(chunks).toString()).toBe('goodbye')
})

test.each([
  ['that waits for room', 65_536],
  ['that comes too late', 0],
])('a write %s fails with EPIPE when the other end is destroyed', async (_name, bytesBefore) => {
  const [client, server] = memoryPair()
  client.write(Buffer.alloc(bytesBefore))
  await new Promise(setImmediate)
  const failed = once(client, 'error')
  if (bytesBefore === 0) server.destroy()
  client.write('x')
  if (bytesBefore > 0) server.destroy()
  const [error] = (await failed) as [NodeJS.ErrnoException]
  expect(error.code).toBe('EPIPE')
  await closeOf(client)
})

test('a destroyed end takes nothing any more', async () => {
  const [client, server] = memoryPair()
  let received = 0
  server.on('data', () => (received += 1))
  client.on('error', () => {})
  client.write('x')
  server.destroy()
  await closeOf(client)
  expect(received).toBe(0)
})
