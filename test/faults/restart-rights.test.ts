/** What a session may do after a restart, where its grant or its roles are not what they were. */
import { describe, expect, onTestFinished, test } from 'vitest'

import { allow, type BrokerOptions } from '../../src/index.ts'
import { tempFolder } from '../support/temp-files.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { startBroker, type TestBroker } from '../support/test-broker.ts'

/** A broker on a store in a folder of its own, and the ones that come after it. Passwords say how long a grant lasts. */
function machine(options: BrokerOptions = {}) {
  const directory = tempFolder()
  let running: TestBroker | undefined
  const start = async (more: BrokerOptions = {}): Promise<TestBroker> => {
    running = startBroker({
      authenticators: [
        {
          name: 'people',
          authenticate: ({ username = '', password }) =>
            allow({
              principal: username,
              roles: [username],
              ...(password ? { expiresAtMs: simulatedEpochMs + Number(password.toString()) } : {}),
            }),
        },
      ],
      store: { type: 'lmdb', directory },
      ...options,
      ...more,
    })
    await running.broker.ready
    return running
  }
  onTestFinished(async () => {
    await running?.close()
  })
  return { start }
}

const persistent = { username: 'alice', cleanStart: false, properties: { sessionExpiryInterval: 3600 } } as const

describe('semantics 7.16: rights that ended before a restart come back with the next grant', () => {
  test.each(['revoked', 'expired'] as const)('%s', async (standing) => {
    const { start } = machine()
    const before = await start()
    const client = await before.connect({ clientId: 'c', ...persistent, password: '1000' })
    await client.subscribe([['a/#', { qos: 1 }]])
    if (standing === 'revoked') await before.broker.sessions.revoke({ clientId: 'c' })
    else await before.advance(1_000)
    await before.settle()
    expect([before.state('c'), before.broker.sessions.get('c')?.context.standing]).toEqual(['offline', standing])
    await before.broker.publish({ topic: 'a/x', payload: 'kept', retain: true })
    await before.close()

    const after = await start()
    const view = after.broker.sessions.get('c')!
    expect([view.context.standing, view.subscriptions]).toEqual([standing, ['a/#']])
    await after.broker.publish({ topic: 'a/1', qos: 1 })
    const back = await after.connect({ clientId: 'c', ...persistent })
    expect(back.connack?.sessionPresent).toBe(true)
    await after.broker.publish({ topic: 'a/2', qos: 1 })
    // Nothing of what came while it had no rights, and nothing retained: its subscription was there all the time.
    await back.expectPublish({ topic: 'a/2', qos: 1 })
  })
})

test('a message that came by a shared subscription is judged as one', async () => {
  const roles = {
    alice: { permissions: [{ topic: 'a/#', allow: 'subscribe', shared: true }] },
  } as const
  const { start } = machine({ roles })
  const before = await start()
  const client = await before.connect({ clientId: 'c', ...persistent })
  await client.subscribe([['$share/g/a/#', { qos: 1 }]])
  client.drop()
  await before.settle()
  await before.broker.publish({ topic: 'a/1', payload: 'x', qos: 1 })
  expect(before.broker.sessions.get('c')?.queuedMessages).toBe(1)
  await before.close()
  const after = await start()
  await (await after.connect({ clientId: 'c', ...persistent })).expectPublish({ topic: 'a/1', payload: 'x', qos: 1 })
})

test('who has fewer roles when it comes back gets less of what waited', async () => {
  const reader = { permissions: [{ topic: '#', allow: 'subscribe' }] } as const
  const { start } = machine()
  const before = await start({ roles: { alice: reader } })
  const client = await before.connect({ clientId: 'c', ...persistent })
  await client.subscribe([['#', { qos: 1 }]])
  client.drop()
  await before.settle()
  for (const topic of ['a', 'secret']) await before.broker.publish({ topic, qos: 1 })
  await before.close()
  const after = await start({
    roles: { alice: { permissions: [...reader.permissions, { topic: 'secret', deny: 'subscribe' }] } },
  })
  const back = await after.connect({ clientId: 'c', ...persistent })
  await back.expectPublish({ topic: 'a', qos: 1 })
  await back.expectNothing()
})
