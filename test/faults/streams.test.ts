/** Streams that an embedder attaches need not be well made: one that throws ends its own connection only. */
import { Duplex } from 'node:stream'
import { expect, test } from 'vitest'

import { startBroker } from '../support/test-broker.ts'
import { connect, publish, subscribe } from '../support/wire.ts'

/** Takes what it is given until `breaks` is set, then throws in the middle of a write. */
class Fragile extends Duplex {
  breaks = false

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.breaks) throw new Error('a stream that throws')
    done()
  }
}

test('a write that throws closes that connection, and what others were to get in the same turn arrives', async () => {
  const t = startBroker()
  const fragile = new Fragile()
  t.broker.attach(fragile)
  fragile.push(Buffer.concat([connect({ clientId: 'fragile' }), subscribe({ packetId: 1, filters: ['t'] })]))
  await t.settle()
  const good = await t.connect({ clientId: 'good' })
  await good.subscribe(['t'])
  fragile.breaks = true
  for (const payload of ['1', '2']) await t.broker.publish({ topic: 't', payload })
  await good.expectPublish({ topic: 't', payload: '1' })
  await good.expectPublish({ topic: 't', payload: '2' })
  await t.settle()
  expect([fragile.destroyed, t.state('fragile'), t.state('good')]).toEqual([true, undefined, 'online'])
})

test('the same while a resumed session is sent what waited for it', async () => {
  const t = startBroker({ limits: { maxInflightMessages: 100 } })
  const session = { clientId: 'c', cleanStart: false, properties: { sessionExpiryInterval: 1000 } }
  const client = await t.connect(session)
  await client.subscribe([['t', { qos: 1 }]])
  client.drop()
  await t.settle()
  // Above what a writer holds until the end of the turn.
  for (let count = 0; count < 10; count += 1)
    await t.broker.publish({ topic: 't', qos: 1, payload: 'x'.repeat(20_000) })
  const fragile = new Fragile()
  fragile.breaks = true
  t.broker.attach(fragile)
  fragile.push(Buffer.concat([connect(session), publish({ topic: 'u' })]))
  await t.settle()
  expect([fragile.destroyed, t.state('c')]).toEqual([true, 'offline'])
  const again = await t.connect(session)
  for (let count = 0; count < 10; count += 1) await again.takePublish()
})
