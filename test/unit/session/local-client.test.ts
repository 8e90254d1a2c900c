import { firstValueFrom } from 'rxjs'
import { describe, expect, test } from 'vitest'

import type { LocalClient } from '../../../src/session/local-client.ts'
import { startBroker } from '../../support/test-broker.ts'

/** Rejections that nobody handled while `run` ran: in production each of them ends the process. */
async function unhandled(run: () => Promise<void>): Promise<unknown[]> {
  const seen: unknown[] = []
  const note = (reason: unknown): void => void seen.push(reason)
  const others = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', note)
  try {
    await run()
  } finally {
    process.removeListener('unhandledRejection', note)
    for (const other of others) process.on('unhandledRejection', other)
  }
  return seen
}

describe('options that cannot be sent', () => {
  test('reject the connect, leave no session behind and no rejection without a handler', async () => {
    const t = startBroker()
    const lost = await unhandled(async () => {
      await expect(t.broker.client({ clientId: 'a', will: { topic: 'a/#' } })).rejects.toMatchObject({
        code: 'SMQ_TOPIC_INVALID',
      })
      await t.advance(10_000)
    })
    expect(lost).toEqual([])
    expect(t.state('a')).toBeUndefined()
  })
})

describe('more messages at once than the window holds', () => {
  const publishAll = (client: LocalClient, qos: 1 | 2, count: number): Promise<void[]> =>
    Promise.all(Array.from({ length: count }, (_, i) => client.publish({ topic: 't', qos, payload: String(i) })))

  test('QoS 2 beyond the Receive Maximum of the broker waits its turn, in order', async () => {
    const t = startBroker({ limits: { receiveMaximumMessages: 5 } })
    const client = await t.broker.client()
    const payloads: string[] = []
    const done = t.broker.messages('t').subscribe(({ payload }) => payloads.push(payload.toString()))
    await publishAll(client, 2, 50)
    await t.settle()
    done.unsubscribe()
    expect(payloads).toEqual(Array.from({ length: 50 }, (_, i) => String(i)))
  })

  test('more QoS 1 messages than there are identifiers', async () => {
    const t = startBroker()
    const client = await t.broker.client()
    expect(await publishAll(client, 1, 66_000)).toHaveLength(66_000)
  })

  test('those that wait when the client is closed are rejected', async () => {
    const t = startBroker({ limits: { receiveMaximumMessages: 1 } })
    const client = await t.broker.client()
    const published = Promise.allSettled([1, 2, 3].map(() => client.publish({ topic: 't', qos: 2 })))
    client.abort()
    expect((await published).map((one) => one.status === 'rejected' && (one.reason as { code: string }).code)).toEqual([
      'SMQ_CLIENT_CLOSED',
      'SMQ_CLIENT_CLOSED',
      'SMQ_CLIENT_CLOSED',
    ])
  })

  test('those that were refused give their place to the next', async () => {
    const t = startBroker({
      limits: { receiveMaximumMessages: 1 },
      hooks: { onPublish: () => ({ type: 'deny', reasonCode: 0x87, reason: 'no' }) },
    })
    const client = await t.broker.client()
    const published = await Promise.allSettled([1, 2, 3].map(() => client.publish({ topic: 't', qos: 2 })))
    expect(published.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  })
})

describe('a session that is resumed by another client of the process', () => {
  test('gives what waited to the Observable of its filter, and to no other', async () => {
    const t = startBroker()
    const options = { clientId: 'a', cleanStart: false, sessionExpiryIntervalSeconds: 100 }
    const first = await t.broker.client(options)
    first.messages('old/#', { qos: 1 }).subscribe()
    await t.settle()
    first.abort()
    await t.settle()
    await t.broker.publish({ topic: 'old/1', qos: 1, payload: 'waited' })
    const second = await t.broker.client(options)
    const strays: string[] = []
    second.messages('new/#').subscribe(({ topic }) => strays.push(topic))
    const { topic, payload } = await firstValueFrom(second.messages('old/#', { qos: 1 }))
    expect([topic, payload.toString(), strays]).toEqual(['old/1', 'waited', []])
  })
})
