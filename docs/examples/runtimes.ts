/** What a runtime has to be able to do for statemq; the same file runs under Node, Bun and Deno (docs/runtimes.md). */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'
import { firstValueFrom } from 'rxjs'
import { createBroker, type ListenerOptions } from 'statemq'
import { testBroker } from 'statemq/testing'

// Streams in memory, simulated time.
const bench = testBroker()
const scripted = await bench.connect({ clientId: 'a' })
await scripted.subscribe('t', { qos: 2 })
await scripted.publish({ topic: 't', payload: 'x', qos: 2 })
await scripted.expectMessage({ topic: 't', payload: 'x', qos: 2 })
await bench.close()

// Sockets and WebSockets, with a client that is not ours.
for (const listener of [
  { transport: 'tcp', port: 0 },
  { transport: 'ws', port: 0 },
] satisfies ListenerOptions[]) {
  const broker = createBroker()
  const { address } = await broker.listen(listener)
  const port = 'port' in address ? address.port : 0
  const url = listener.transport === 'ws' ? `ws://127.0.0.1:${port}/mqtt` : `mqtt://127.0.0.1:${port}`
  const client = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0 })
  const received = new Promise<string>((resolve) => client.once('message', (_topic, bytes) => resolve(String(bytes))))
  await client.subscribeAsync('t', { qos: 2 })
  await client.publishAsync('t', 'x', { qos: 2 })
  assert.equal(await received, 'x')
  await client.endAsync()
  await broker.close()
}

// The store on disk (LMDB, a native module), across a restart; the admin API.
const directory = mkdtempSync(join(tmpdir(), 'statemq-runtimes-'))
const before = createBroker({ store: { type: 'lmdb', directory }, inspect: { port: 0 } })
await before.ready
const ready = await fetch(new URL('/readyz', before.inspector?.url))
assert.deepEqual(await ready.json(), { status: 'ready' })
await before.publish({ topic: 'kept', payload: 'still here', retain: true, qos: 1 })
await before.close()

const after = createBroker({ store: { type: 'lmdb', directory } })
const client = await after.client({ clientId: 'a' })
const kept = await firstValueFrom(client.messages('kept'))
assert.equal(String(kept.payload), 'still here')
await after.close()
rmSync(directory, { recursive: true })
