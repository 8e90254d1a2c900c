import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, onTestFinished, test } from 'vitest'

import { sessionMachine } from '../../machines/session.machine.ts'
import type { ExplainRequest } from '../../src/index.ts'
import { systemClock } from '../../src/session/system-clock.ts'
import { TestLog } from '../identity/authn-scene.ts'
import { startBroker } from '../support/test-broker.ts'
import { publish } from '../support/wire.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** What reached the process: XState reports by a timer, RxJS too. */
function uncaught(): unknown[] {
  const errors: unknown[] = []
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => errors.push(error))
  onTestFinished(() => {
    process.removeAllListeners('uncaughtException')
    for (const other of others) process.on('uncaughtException', other)
  })
  return errors
}

/** XState reports in a timer without a delay: one that is set later is called later. */
const timersDone = (): Promise<unknown> => new Promise((resolve) => systemClock.setTimeout(() => resolve(0), 1))

describe('observers of a session’s actor', () => {
  test('one that throws is logged and unsubscribed; the session goes on, and so do the others', async () => {
    const errors = uncaught()
    const log = new TestLog()
    const t = startBroker({ logger: log })
    const client = await t.connect({ clientId: 'a', properties: { sessionExpiryInterval: 100 } })
    const { actorRef } = t.broker.sessions.get('a')!
    expect(t.broker.sessions.get('a')!.actorRef).toBe(actorRef)
    const seen: string[] = []
    let calls = 0
    actorRef.subscribe(() => {
      calls += 1
      throw new Error('by next')
    })
    actorRef.subscribe({
      next: () => {
        throw new Error('by an observer')
      },
    })
    actorRef.on('session.offline', () => {
      throw new Error('by a listener')
    })
    actorRef.on('session.offline', ({ cause }) => seen.push(cause))
    actorRef.subscribe({ next: ({ value }) => seen.push(JSON.stringify(value)), complete: () => seen.push('complete') })
    client.drop()
    await t.settle()
    t.broker.sessions.get('a')!.expire()
    await t.settle()
    await timersDone()
    expect(errors).toEqual([])
    expect(calls).toBe(1)
    expect(seen).toEqual(['connection.closed', '"offline"', '"expired"', 'complete'])
    const messages = log.lines.filter(({ message }) => message.startsWith('an observer of a session actor'))
    expect(messages.map(({ details }) => (details as { err: Error }).err.message).toSorted()).toEqual([
      'by a listener',
      'by an observer',
      'by next',
    ])
    expect(t.broker.state).toBe('running')
  })

  test('the failure of an actor does not end the process because somebody watched it without listening for errors', async () => {
    const errors = uncaught()
    const fail = (): never => {
      throw new Error('by an action')
    }
    const machine = sessionMachine.provide({ actions: { closePackets: fail } })
    const t = startBroker({ machine })
    const client = await t.connect({ clientId: 'a' })
    t.broker.sessions.get('a')!.actorRef.subscribe(() => {})
    client.drop()
    await t.settle()
    await timersDone()
    expect(errors).toEqual([])
    expect(t.state('a')).toBeUndefined()
  })

  test('it is the actor in everything else', async () => {
    const t = startBroker()
    const client = await t.connect({ clientId: 'a' })
    const { actorRef } = t.broker.sessions.get('a')!
    expect(actorRef.getSnapshot().matches('online')).toBe(true)
    actorRef.send({ type: 'session.disconnect', reasonCode: 0x98, reason: 'enough' })
    await client.expectDisconnect(0x98)
    expect(actorRef.getSnapshot().status).toBe('done')
  })
})

describe('questions that are none', () => {
  test.each([
    [{}, 'clientId: expected a text'],
    [{ clientId: 'a' }, 'action: expected "connect", "publish", "subscribe" or "deliver"'],
    [{ clientId: 'a', action: 'fly' }, 'action: expected "connect", "publish", "subscribe" or "deliver"'],
    [{ clientId: 'a', action: 'publish' }, 'topic: expected a text'],
    [{ clientId: 'a', action: 'subscribe', topic: 1 }, 'topic: expected a text'],
    [{ clientId: 'a', action: 'deliver', topic: 't', qos: 3 }, 'qos: expected 0, 1 or 2'],
    [{ clientId: 'a', action: 'publish', topic: 't', retain: 1 }, 'retain: expected true or false'],
    [{ clientId: 'a', action: 'deliver', topic: 't', group: null }, 'group: expected a text'],
  ])('%j gets an error with a code', async (question, detail) => {
    const t = startBroker()
    await t.connect({ clientId: 'a' })
    expect(() => t.broker.explain(question as unknown as ExplainRequest)).toThrow(
      expect.objectContaining({ code: 'SMQ_OPTION_INVALID', message: expect.stringMatching(`: ${detail}$`) }),
    )
  })
})

test('a session that has ended is not kept by the last message that it got', async () => {
  const t = startBroker()
  const publisher = await t.connect({ clientId: 'p' })
  const ended = await (async () => {
    const subscriber = await t.connect({ clientId: 's' })
    await subscriber.subscribe(['t'])
    publisher.send(publish({ topic: 't', payload: 'x' }))
    await subscriber.expectPublish({ topic: 't', payload: 'x' })
    const { actorRef } = t.broker.sessions.get('s')!
    subscriber.drop()
    await t.settle()
    return new WeakRef(actorRef.getSnapshot().context)
  })()
  await t.settle()
  for (let count = 0; count < 5; count += 1) {
    collect()
    await t.settle()
  }
  expect(ended.deref()).toBeUndefined()
})
