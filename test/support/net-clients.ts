import { once } from 'node:events'
import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'

import { memoryPair } from '../../src/net/memory.ts'

/** How many turns of the event loop a condition may take: far more than loopback needs. */
const maxTurns = 20_000

/** Waits, without a timer, for something that happens on the other side of a socket. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns += 1) {
    if (turns === maxTurns) throw new Error(`not so after ${maxTurns} turns: ${condition.toString()}`)
    await turn()
  }
}

/** A connection to loopback whose errors are told by its close. */
export async function connectRaw(address: object): Promise<Socket> {
  const target = address as { port?: number; path?: string }
  const socket =
    target.path === undefined ? createConnection(target.port ?? 0, '127.0.0.1') : createConnection(target.path)
  socket.on('error', () => {})
  // Tests that send byte by byte mean it.
  socket.setNoDelay(true)
  await once(socket, 'connect')
  return socket
}

/** Resolves at `close`, whatever came before. */
export function closeOf(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) resolve()
    else stream.once('close', () => resolve())
  })
}

/** Everything that comes until the stream closes. */
export async function readToClose(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await closeOf(stream)
  return Buffer.concat(chunks)
}

/**
 * A stream to the port whose first flight is glued to the preamble: what a TLS or HTTP client
 * writes first arrives in the same chunk as the preamble, or, with `bytewise`, one byte at a time.
 */
export async function tunnel(address: object, preamble: Buffer, bytewise = false): Promise<Duplex> {
  const socket = await connectRaw(address)
  const [near, far] = memoryPair()
  for (const end of [near, far]) end.on('error', () => {})
  far.once('data', (first: Buffer) => {
    const bytes = Buffer.concat([preamble, first])
    if (bytewise) for (const byte of bytes) socket.write(Buffer.of(byte))
    else socket.write(bytes)
    far.pipe(socket)
  })
  socket.pipe(far)
  socket.once('close', () => far.destroy())
  return near
}
