/** Brokers that are closed before they have begun, or after somebody gave them something wrong: nothing is left open. */
import { createConnection } from 'node:net'
import type { Duplex } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'

import { createBroker } from '../../src/index.ts'
import { tempFolder } from '../support/temp-files.ts'

/** What a promise was rejected with, or undefined. */
const codeOf = (promise: Promise<unknown>): Promise<string | undefined> =>
  promise.then(
    () => undefined,
    (error: { code?: string }) => error.code,
  )

/** Whether somebody listens on this port. */
const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    onTestFinished(() => void socket.destroy())
  })

describe('a broker that is closed while its store is being opened', () => {
  test('lets go of the store: the next one in this process can have it', async () => {
    const store = { type: 'lmdb', directory: tempFolder() } as const
    const first = createBroker({ store })
    const waiting = [first.listen({ transport: 'tcp', port: 0 }), first.client(), first.publish({ topic: 'a' })]
    const answers = Promise.all(waiting.map(codeOf))
    await first.close()
    expect(first.state).toBe('stopped')
    expect(await codeOf(first.ready)).toBe('SMQ_BROKER_CLOSED')
    expect(await answers).toEqual(['SMQ_BROKER_CLOSED', 'SMQ_BROKER_CLOSED', 'SMQ_BROKER_CLOSED'])
    const second = createBroker({ store })
    onTestFinished(() => second.close())
    await second.ready
    expect(second.state).toBe('starting')
  })

  test('also where it may not wait for that', async () => {
    const store = { type: 'lmdb', directory: tempFolder() } as const
    const first = createBroker({ store })
    await first.close({ drainTimeoutMs: 0 })
    expect(await codeOf(first.ready)).toBe('SMQ_BROKER_CLOSED')
    const second = createBroker({ store })
    onTestFinished(() => second.close())
    expect(await codeOf(second.ready)).toBe(undefined)
  })
})

test('a broker at the end of its block is closed', async () => {
  let port = 0
  {
    await using broker = createBroker()
    const { address } = await broker.listen({ transport: 'tcp', port: 0 })
    port = 'port' in address ? address.port : 0
    expect(await listens(port)).toBe(true)
  }
  expect(await listens(port)).toBe(false)
})

describe('what is attached and is no stream', () => {
  const wrong: readonly unknown[] = [undefined, null, 'socket', {}, { on: () => {} }]

  test('is refused, and keeps nothing open when the broker closes', async () => {
    const broker = createBroker()
    const { address } = await broker.listen({ transport: 'tcp', port: 0 })
    const port = 'port' in address ? address.port : 0
    for (const one of wrong) {
      expect(() => broker.attach(one as Duplex)).toThrow(expect.objectContaining({ code: 'SMQ_OPTION_INVALID' }))
    }
    const { address: page } = await broker.inspect({ port: 0 })
    await broker.close()
    expect(await Promise.all([listens(port), listens(page.port)])).toEqual([false, false])
    expect(await codeOf(broker.inspect({ port: 0 }))).toBe('SMQ_BROKER_CLOSED')
  })
})
