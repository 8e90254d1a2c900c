/** Observers of plugins: what each is told, and that none of them can slow or hurt anybody (semantics 7.11, threat 60). */
import { describe, expect, test } from 'vitest'

import {
  allow,
  deny,
  next,
  type BrokerEvent,
  type BrokerOptions,
  type HookClient,
  type Hooks,
  type ObserverHooks,
} from '../../src/index.ts'
import { sessionMachine } from '../../machines/index.ts'
import { observedEvents } from '../../src/observers.ts'
import { readFiles } from '../support/source-files.ts'
import { startBroker } from '../support/test-broker.ts'
import { auth, connect, disconnect, unsubscribe } from '../support/wire.ts'

type Name = keyof ObserverHooks
interface Call {
  readonly hook: Name
  readonly event: BrokerEvent
  readonly client: HookClient
}

/** A plugin that notes every call of every observer. */
function everything(name = 'notes'): { plugin: Hooks; calls: Call[]; told: () => string[] } {
  const calls: Call[] = []
  const plugin: Record<string, unknown> = { name }
  for (const hook of Object.keys(observedEvents) as Name[])
    plugin[hook] = (event: BrokerEvent, client: HookClient) => void calls.push({ hook, event, client })
  const told = (): string[] => calls.splice(0).map(({ hook, client }) => `${hook} ${client.clientId}`)
  return { plugin, calls, told }
}

const stay = { cleanStart: false, properties: { sessionExpiryInterval: 60 } } as const

function start(options: BrokerOptions = {}) {
  const notes = everything()
  const t = startBroker({
    authenticators: [
      {
        name: 'names',
        authenticate: ({ username }) =>
          username === 'banned' ? deny(0x8a, 'banned') : allow(username ? { principal: username, roles: ['r'] } : {}),
      },
    ],
    ...options,
    hooks: options.hooks ?? notes.plugin,
  })
  return { ...t, ...notes }
}

describe('each observer is told its event, with who the session is', () => {
  test('onWakeup and onOnline, then onGone where the session ends with its connection', async () => {
    const t = start()
    const client = await t.connect({ clientId: 'c', username: 'anna' })
    await t.settle()
    expect(t.calls).toMatchObject([
      {
        hook: 'onWakeup',
        event: { type: 'session.woken', queuedMessages: 0, inflightMessages: 0, clientId: 'c' },
        client: { clientId: 'c', protocolVersion: 5, grant: { principal: 'anna', roles: ['r'] } },
      },
      {
        hook: 'onOnline',
        event: { type: 'session.online', resumed: false, sessionId: 's1', clientId: 'c' },
        client: { sessionId: 's1', connection: { transport: 'memory' } },
      },
    ])
    expect(t.calls[1]?.event.atMs).toBe(t.clock.nowMs())
    t.told()
    client.send(disconnect())
    await t.settle()
    expect(t.calls).toMatchObject([
      {
        hook: 'onGone',
        event: { type: 'session.gone', reason: 'client-disconnect', clientId: 'c' },
        client: { clientId: 'c', grant: { principal: 'anna' } },
      },
    ])
  })

  test('onOffline, onOfflineMessage, onWakeup with what waits, onExpired', async () => {
    const t = start()
    const client = await t.connect({ clientId: 'c', username: 'anna', ...stay })
    await client.subscribe([['t', { qos: 1 }]])
    await t.settle()
    t.told()
    client.drop()
    await t.settle()
    expect(t.told()).toEqual(['onOffline c'])
    const publisher = await t.broker.client({ clientId: 'p' })
    await publisher.publish({ topic: 't', qos: 1 })
    await publisher.publish({ topic: 't', qos: 0 })
    await publisher.close()
    await t.settle()
    expect(t.calls.filter(({ client: { clientId } }) => clientId === 'c')).toMatchObject([
      { hook: 'onOfflineMessage', event: { type: 'message.queued', clientId: 'c', topic: 't', qos: 1 } },
      { hook: 'onDropped', event: { type: 'message.dropped', reason: 'offline', qos: 0 } },
    ])
    t.told()
    const again = await t.connect({ clientId: 'c', username: 'anna', ...stay })
    await t.settle()
    expect(t.calls).toMatchObject([
      { hook: 'onWakeup', event: { queuedMessages: 1, inflightMessages: 0 } },
      { hook: 'onOnline', event: { resumed: true } },
    ])
    again.drop()
    await t.settle()
    t.told()
    await t.advance(61_000)
    expect(t.calls).toMatchObject([
      { hook: 'onUnsubscribed', event: { filter: 't' } },
      {
        hook: 'onDropped',
        event: { reason: 'session-ended' },
        client: { clientId: 'c', grant: { principal: 'anna' } },
      },
      {
        hook: 'onExpired',
        event: { type: 'session.expired', reason: 'session-expired' },
        client: { clientId: 'c', grant: { principal: 'anna' } },
      },
    ])
  })

  test.each([
    ['online', 'deadline.session', 'onGone', 'session.gone'],
    ['offline', 'keepalive.lost', 'onExpired', 'session.expired'],
  ] as const)('a session that fails while it is %s has ended like any other', async (state, ignored, hook, type) => {
    const notes = everything()
    const emitIgnored = (): void => {
      throw new Error('planted')
    }
    const machine = sessionMachine.provide({ actions: { emitIgnored } })
    const t = startBroker({ machine, hooks: notes.plugin })
    const client = await t.connect({ clientId: 'c', ...stay })
    if (state === 'offline') client.drop()
    await t.settle()
    notes.told()
    t.broker.sessions.get('c')?.actorRef.send({ type: ignored })
    await t.settle()
    expect(notes.calls).toMatchObject([
      { hook, event: { type, clientId: 'c', reason: 'failed' }, client: { clientId: 'c' } },
    ])
  })

  test('onRefused has the request of a client that may have no grant', async () => {
    const t = start()
    await t.first(connect({ clientId: 'c', username: 'banned' })).expectRefused(0x8a)
    await t.settle()
    expect(t.calls).toMatchObject([
      {
        hook: 'onRefused',
        event: { type: 'session.refused', reasonCode: 0x8a, reason: 'banned' },
        client: { clientId: 'c', username: 'banned', keepAliveSeconds: 0 },
      },
    ])
    // A connection that became no session has neither gone nor expired.
    expect(t.calls).toHaveLength(1)
  })

  test('onTakenOver: with who has the session now; a fresh start makes the old one go', async () => {
    const t = start()
    await t.connect({ clientId: 'c', ...stay })
    await t.settle()
    t.told()
    await t.connect({ clientId: 'c', ...stay })
    await t.settle()
    expect(t.told()).toEqual(['onTakenOver c', 'onWakeup c', 'onOnline c'])
    await t.connect({ clientId: 'c', cleanStart: true })
    await t.settle()
    expect(t.told().toSorted()).toEqual(['onGone c', 'onOnline c', 'onTakenOver c', 'onWakeup c'])
  })

  test('onSubscribed, onPublished, onAcknowledged, onDropped, onUnsubscribed', async () => {
    const t = start({ limits: { maxQueuedMessages: 1, maxInflightMessages: 1 } })
    const client = await t.connect({ clientId: 'c' })
    const publisher = await t.connect({ clientId: 'p' })
    await t.settle()
    t.told()
    await client.subscribe([['t', { qos: 1 }]])
    await publisher.publish({ topic: 't', payload: 'abc', qos: 1, retain: true })
    await client.takePublish()
    for (let count = 0; count < 3; count += 1) await publisher.publish({ topic: 't', qos: 1 })
    client.send(unsubscribe({ packetId: 1, filters: ['t'] }))
    await t.settle()
    expect(t.calls.map(({ event }) => event)).toMatchObject([
      { type: 'subscription.added', clientId: 'c', filter: 't', qos: 1 },
      { type: 'message.published', clientId: 'p', topic: 't', qos: 1, retain: true, payloadBytes: 3, reached: 1 },
      { type: 'message.acknowledged', clientId: 'c', topic: 't', qos: 1 },
      { type: 'message.published', clientId: 'p', reached: 1 },
      { type: 'message.published', clientId: 'p', reached: 1 },
      { type: 'message.dropped', clientId: 'c', reason: 'queue-full' },
      { type: 'message.published', clientId: 'p', reached: 1 },
      { type: 'subscription.removed', clientId: 'c', filter: 't' },
    ])
    expect(
      t.calls.map(({ event, client: { clientId } }) => 'clientId' in event && event.clientId === clientId),
    ).toEqual(Array.from(t.calls, () => true))
  })

  test('onWillArmed, onWillPublished, onWillWithheld', async () => {
    const notes = everything()
    const refusing: Hooks = {
      onPublish: ({ message, will }) => (will && message.topic === 'later-refused' && gone ? deny(0x87, 'no') : next()),
    }
    let gone = false
    const t = start({ hooks: [notes.plugin, refusing] })
    for (const topic of ['w', 'later-refused']) {
      const client = await t.connect({ clientId: topic, username: 'anna', will: { topic } })
      gone = true
      client.drop()
      await t.settle()
      gone = false
    }
    const wills = notes.calls.filter(({ hook }) => hook.startsWith('onWill'))
    expect(wills).toMatchObject([
      { hook: 'onWillArmed', event: { topic: 'w' }, client: { clientId: 'w', grant: { principal: 'anna' } } },
      { hook: 'onWillPublished', event: { topic: 'w' }, client: { clientId: 'w', grant: { principal: 'anna' } } },
      { hook: 'onWillArmed', event: { topic: 'later-refused' } },
      {
        hook: 'onWillWithheld',
        event: { topic: 'later-refused', reason: 'no' },
        client: { clientId: 'later-refused' },
      },
    ])
  })

  test('onReauthenticated, onAuthorityExpiring, onAuthorityExpired', async () => {
    const notes = everything()
    const t = startBroker({
      hooks: notes.plugin,
      limits: { grantExpiringMs: 1_000 },
      authenticators: [
        {
          name: 'a',
          methods: ['M'],
          authenticate: ({ reauthentication }) =>
            allow({
              principal: 'anna',
              expiresAtMs: t.clock.nowMs() + 10_000,
              roles: [reauthentication ? 'new' : 'old'],
            }),
        },
      ],
    })
    const properties = { authenticationMethod: 'M' }
    const client = await t.connect({ clientId: 'c', properties })
    client.send(auth(0x19, properties))
    await client.expectPacket('auth', { reasonCode: 0 })
    await t.advance(9_500)
    await t.advance(1_000)
    expect(notes.calls.map(({ hook, client: { grant } }) => [hook, grant.roles[0]])).toEqual([
      ['onWakeup', 'old'],
      ['onOnline', 'old'],
      ['onReauthenticated', 'new'],
      ['onAuthorityExpiring', 'new'],
      ['onAuthorityExpired', 'new'],
      ['onGone', 'new'],
    ])
  })

  test('onRolesChanged, onPropertiesChanged, onAttributesChanged, onAuthorityRevoked', async () => {
    const t = start()
    await t.connect({ clientId: 'c', username: 'anna', ...stay })
    await t.settle()
    t.told()
    const { sessions } = t.broker
    await sessions.changeRoles({ clientId: 'c' }, { add: ['s'] })
    await sessions.setProperties({ clientId: 'c' }, { Department: 'Accounts' })
    await sessions.setAttributes({ clientId: 'c' }, { seen: 1 }, { scope: 'session' })
    await sessions.revoke({ clientId: 'c' }, 'stolen')
    await t.settle()
    expect(t.calls.slice(0, 4)).toMatchObject([
      {
        hook: 'onRolesChanged',
        event: { roles: ['r', 's'], previous: ['r'] },
        client: { grant: { roles: ['r', 's'] } },
      },
      { hook: 'onPropertiesChanged', event: { changes: { Department: { value: 'Accounts', previous: undefined } } } },
      { hook: 'onAttributesChanged', event: { scope: 'session', changes: { seen: { value: 1 } } } },
      { hook: 'onAuthorityRevoked', event: { reason: 'stolen' } },
    ])
  })

  test('every observer is in one of these tests', () => {
    const [{ text } = { text: '' }] = readFiles('test/identity/hooks-observers.test.ts')
    for (const hook of Object.keys(observedEvents)) expect(text).toContain(hook)
  })
})

describe('whose observers are called', () => {
  test('the broker’s and those of the listener, the same plugin once', async () => {
    const [broker, listener] = [everything(), everything()]
    const t = startBroker({ hooks: [broker.plugin] })
    const { port } = await t.listen({ transport: 'tcp', port: 0, hooks: [listener.plugin, broker.plugin] })
    const client = await t.tcp(port)
    await client.connect({ clientId: 'c' })
    await t.connect({ clientId: 'd' })
    await t.settle()
    expect(broker.told()).toEqual(['onWakeup c', 'onOnline c', 'onWakeup d', 'onOnline d'])
    expect(listener.told()).toEqual(['onWakeup c', 'onOnline c'])
  })

  test('an observer is called with its plugin as this', async () => {
    class Counter {
      #online = 0
      onOnline(): void {
        this.#online += 1
      }
      get online(): number {
        return this.#online
      }
    }
    const counter = new Counter()
    const t = startBroker({ hooks: counter })
    await t.connect()
    await t.settle()
    expect(counter.online).toBe(1)
  })
})

describe('semantics 7.11, threat 60: observers harm nobody', () => {
  function watch(options: BrokerOptions) {
    const t = startBroker(options)
    const events: BrokerEvent[] = []
    t.broker.events$.subscribe((event) => events.push(event))
    const of = <Type extends BrokerEvent['type']>(type: Type) => events.filter((event) => event.type === type)
    return { ...t, of }
  }

  test('they run behind the turn: the session does not wait for them', async () => {
    const order: string[] = []
    const t = watch({ hooks: { onOnline: () => void order.push('observer') } })
    const client = t.first(connect({ clientId: 'c' }))
    await client.expectPacket('connack', { reasonCode: 0 })
    order.push('connack')
    await t.settle()
    expect(order.toSorted()).toEqual(['connack', 'observer'])
    const slow = watch({ hooks: { onOnline: () => new Promise<void>(() => {}) } })
    const other = await slow.connect({ clientId: 'c' })
    await other.expectNothing()
  })

  const ways: [string, () => void | Promise<void>][] = [
    [
      'throws',
      () => {
        throw new Error('planted')
      },
    ],
    ['rejects', () => Promise.reject(new Error('planted'))],
    [
      'throws no error',
      () => {
        // eslint-disable-next-line typescript/only-throw-error
        throw 'planted'
      },
    ],
  ]
  test.each(ways)('one that %s is told of and called again; the others are not concerned', async (_, fail) => {
    const seen: string[] = []
    const t = watch({
      hooks: [
        { name: 'broken', onOnline: fail },
        { name: 'fine', onOnline: ({ clientId }) => void seen.push(clientId) },
      ],
    })
    await t.connect({ clientId: 'a' })
    await t.connect({ clientId: 'b' })
    await t.settle()
    expect(seen).toEqual(['a', 'b'])
    // Once a second, however often it fails.
    expect(t.of('hook.failed')).toMatchObject([{ hook: 'onOnline', plugin: 'broken', clientId: 'a' }])
    await t.advance(1_000)
    await t.connect({ clientId: 'c' })
    await t.settle()
    expect(t.of('hook.failed')).toMatchObject([{ clientId: 'a' }, { clientId: 'c' }])
  })

  test('calls that wait or are under way are bounded for each plugin; what is lost is told twice', async () => {
    const warnings: unknown[] = []
    const pending: (() => void)[] = []
    const seen: string[] = []
    const t = watch({
      limits: { maxObserverCalls: 3 },
      logger: { debug() {}, info() {}, error() {}, warn: (details, message) => warnings.push([message, details]) },
      hooks: [
        { name: 'hangs', onPublished: () => new Promise<void>((resolve) => pending.push(resolve)) },
        { name: 'fine', onPublished: ({ topic }) => void seen.push(topic) },
      ],
    })
    const client = await t.connect({ clientId: 'c' })
    for (let count = 0; count < 10; count += 1) {
      await client.publish({ topic: `t${count}`, qos: 1 })
      await t.settle()
    }
    expect(pending).toHaveLength(3)
    expect(seen).toHaveLength(10)
    expect(t.of('hook.overflowed')).toMatchObject([{ hook: 'onPublished', plugin: 'hangs', lostCalls: 1 }])
    expect(warnings).toHaveLength(1)
    for (const end of pending.splice(0)) end()
    await t.settle()
    expect(t.of('hook.overflowed')).toMatchObject([{ lostCalls: 1 }, { lostCalls: 7 }])
    await client.publish({ topic: 'more', qos: 1 })
    await t.settle()
    expect(pending).toHaveLength(1)
    for (const end of pending) end()
    await t.settle()
    expect(t.of('hook.overflowed')).toHaveLength(2)
  })

  test('many calls do not hold up the loop: a turn makes 500 of them', async () => {
    const seen: number[] = []
    let turn = 0
    const perTurn: number[] = []
    const t = watch({ hooks: { onPublished: () => void seen.push(turn) } })
    const client = await t.broker.client({ clientId: 'c' })
    const sent = Array.from({ length: 2_000 }, () => client.publish({ topic: 't', qos: 0 }))
    for (turn = 1; seen.length < 2_000 && turn < 200; turn += 1) {
      const before = seen.length
      await new Promise((resolve) => setImmediate(resolve))
      perTurn.push(seen.length - before)
    }
    await Promise.all(sent)
    expect(seen).toHaveLength(2_000)
    expect(Math.max(...perTurn)).toBeLessThanOrEqual(1_000)
  })

  test('what happened before the broker stopped is told before it says so', async () => {
    const notes = everything()
    const t = startBroker({ hooks: notes.plugin })
    let told: string[] = []
    t.broker.events$.subscribe({ complete: () => (told = notes.told()) })
    await t.connect({ clientId: 'c' })
    await t.close()
    expect(told).toEqual(['onWakeup c', 'onOnline c', 'onGone c'])
  })

  test('an observer that publishes in answer does not disturb the order of what it is told', async () => {
    const told: string[] = []
    const t = watch({
      hooks: {
        onPublished: async ({ topic }) => {
          told.push(topic)
          if (topic === 'first') await t.broker.publish({ topic: 'answer' })
        },
      },
    })
    const watcher = await t.connect()
    await watcher.subscribe(['answer'])
    const client = await t.connect()
    await client.publish({ topic: 'first', qos: 1 })
    await client.publish({ topic: 'second', qos: 1 })
    await watcher.expectPublish({ topic: 'answer' })
    expect(told).toEqual(['first', 'second'])
  })
})
