/** Several plugins: who is asked, whose word stands, and what the next one sees (semantics 7.11, 7.12). */
import { describe, expect, test } from 'vitest'

import {
  allow,
  createBroker,
  deny,
  next,
  type BrokerEvent,
  type BrokerOptions,
  type Hooks,
  type Next,
} from '../../src/index.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect, publish, subscribe, unsubscribe } from '../support/wire.ts'

function start(hooks: BrokerOptions['hooks'], options: BrokerOptions = {}) {
  const t = startBroker({ ...(hooks ? { hooks } : {}), ...options })
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => events.push(event))
  const of = <Type extends BrokerEvent['type']>(type: Type) => events.filter((event) => event.type === type)
  return { ...t, events, of }
}

/** Notes who was asked what, and goes on. */
function recorder() {
  const asked: string[] = []
  const plugin = (name: string, verdict: Next | undefined = next()): Hooks => ({
    name,
    onRegister: ({ clientId }) => {
      asked.push(`${name} ${clientId}`)
      return verdict
    },
  })
  return { asked, plugin }
}

describe('semantics 7.11: decisions', () => {
  test('one plugin, or several in their order', async () => {
    const { asked, plugin } = recorder()
    await start(plugin('alone')).connect({ clientId: 'c' })
    await start([plugin('first'), plugin('second'), {}]).connect({ clientId: 'd' })
    expect(asked).toEqual(['alone c', 'first d', 'second d'])
  })

  test('the first verdict but next stands, and the others are not asked', async () => {
    const { asked, plugin } = recorder()
    const second: Hooks = { name: 'second', onRegister: () => deny(0x97, 'full') }
    const t = start([plugin('first'), second, plugin('third')])
    await t.first(connect({ clientId: 'c' })).expectRefused(0x97)
    await t.settle()
    expect(asked).toEqual(['first c'])
    expect(t.of('hook.denied')).toMatchObject([
      { hook: 'onRegister', plugin: 'second', clientId: 'c', reasonCode: 0x97, reason: 'full' },
    ])
  })

  test('answers that take their time are waited for, in order', async () => {
    const asked: string[] = []
    const answers: (() => void)[] = []
    const slow = (name: string): Hooks => ({
      onRegister: () => {
        asked.push(name)
        return new Promise<Next>((resolve) => answers.push(() => resolve(next())))
      },
    })
    const t = start([slow('first'), slow('second')])
    const client = t.first(connect({ clientId: 'c' }))
    await t.settle()
    expect(asked).toEqual(['first'])
    answers[0]?.()
    await t.settle()
    expect(asked).toEqual(['first', 'second'])
    answers[1]?.()
    await client.expectPacket('connack', { reasonCode: 0 })
  })

  test('all plugins of one point share its time, and the one that hangs is named', async () => {
    const hangs: Hooks = { name: 'hangs', onRegister: () => new Promise<Next>(() => {}) }
    const t = start([{ name: 'quick', onRegister: () => Promise.resolve(next()) }, hangs])
    const client = t.first(connect({ clientId: 'c' }))
    await t.advance(4_000)
    await t.advance(1_001)
    await client.expectRefused(0x87)
    expect(t.of('hook.failed')).toMatchObject([{ hook: 'onRegister', plugin: 'hangs', clientId: 'c' }])
  })

  const planted = new Error('planted')
  const failures: [string, () => never][] = [
    [
      'throws',
      () => {
        throw planted
      },
    ],
    ['rejects', () => Promise.reject(planted) as never],
    ['answers garbage', () => ({ type: 'allowed' }) as never],
    ['answers later, garbage', () => Promise.resolve({ type: 'allowed' }) as never],
  ]
  test.each(failures)(
    'threat 60: one that %s denies and is named, and the next client is asked about afresh',
    async (_, fail) => {
      const { asked, plugin } = recorder()
      const broken: Hooks = { name: 'broken', onRegister: ({ clientId }) => (clientId === 'c' ? fail() : next()) }
      const t = start([plugin('first'), broken, plugin('last')])
      await t.first(connect({ clientId: 'c' })).expectRefused(0x87)
      await t.connect({ clientId: 'd' })
      await t.settle()
      expect(asked).toEqual(['first c', 'first d', 'last d'])
      expect(t.of('hook.failed')).toMatchObject([{ hook: 'onRegister', plugin: 'broken', clientId: 'c' }])
    },
  )

  test('a plugin may be an object of a class', async () => {
    class Banner {
      readonly name = 'banner'
      readonly #banned = new Set(['c'])
      onRegister({ clientId }: { readonly clientId: string }) {
        return this.#banned.has(clientId) ? deny(0x8a, 'banned') : next()
      }
    }
    const t = start(new Banner())
    await t.first(connect({ clientId: 'c' })).expectRefused(0x8a)
    await t.connect({ clientId: 'd' })
  })

  test('onConnection: deny closes without a byte', async () => {
    const second: Hooks = { name: 'second', onConnection: () => deny(0x8a, 'not from there') }
    const t = start([{ onConnection: () => next() }, second])
    await t.first(connect({ clientId: 'c' })).expectClosed()
    await t.settle()
    expect(t.of('connection.refused')).toMatchObject([{ reason: 'not from there' }])
    expect(t.of('hook.denied')).toMatchObject([{ hook: 'onConnection', plugin: 'second' }])
  })

  test('onTakeover: allow of the first stands', async () => {
    const { asked } = recorder()
    const t = start([{ onTakeover: () => allow() }, { onTakeover: () => deny(0x87, 'no') }], {
      authenticators: [{ name: 'a', authenticate: () => allow() }],
    })
    await t.connect({ clientId: 'c', username: 'anna', password: 'x' })
    await t.connect({ clientId: 'c', username: 'otto', password: 'x' })
    expect(asked).toEqual([])
  })
})

describe('what a hook rewrites', () => {
  test('onPublish: the next plugin is asked about the changed message, and all changes are made', async () => {
    const seen: unknown[] = []
    const t = start([
      { onPublish: ({ message }) => ({ type: 'allow', topic: `tenant/${message.topic}` }) },
      {
        onPublish: ({ message }) => {
          seen.push([message.topic, String(message.payload), message.qos])
          return { type: 'allow', payload: Buffer.from('changed'), qos: 0 }
        },
      },
      {
        onPublish: ({ message }) => {
          seen.push([message.topic, String(message.payload), message.qos])
          return next()
        },
      },
    ])
    const watcher = await t.connect()
    await watcher.subscribe([['#', { qos: 2 }]])
    const client = await t.connect()
    await client.publish({ topic: 't', payload: 'x', qos: 2 })
    await watcher.expectPublish({ topic: 'tenant/t', payload: 'changed', qos: 0 })
    expect(seen).toEqual([
      ['tenant/t', 'x', 2],
      ['tenant/t', 'changed', 0],
    ])
  })

  test('onPublish: an allow without changes ends the round, with what was changed before it', async () => {
    let asked = 0
    const t = start([
      { onPublish: () => ({ type: 'allow', topic: 'changed' }) },
      { onPublish: () => Promise.resolve(allow()) },
      { onPublish: () => (asked++, deny(0x87, 'no')) },
    ])
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    await (await t.connect()).publish({ topic: 't', qos: 1 })
    await watcher.expectPublish({ topic: 'changed' })
    expect(asked).toBe(0)
  })

  test('onPublish: deny stands, whatever was changed before it', async () => {
    const t = start([{ onPublish: () => ({ type: 'allow', topic: 'changed' }) }, { onPublish: () => deny(0x87, 'no') }])
    const client = await t.connect()
    expect(await client.publish({ topic: 't', qos: 1 })).toMatchObject({ reasonCode: 0x87 })
  })

  test('onPublish: what can’t be sent fails in the plugin that wanted it', async () => {
    const t = start([
      { name: 'wild', onPublish: () => ({ type: 'allow', topic: 'a/#' }) },
      { name: 'innocent', onPublish: () => next() },
    ])
    const client = await t.connect({ clientId: 'c' })
    expect(await client.publish({ topic: 't', qos: 1 })).toMatchObject({ reasonCode: 0x87 })
    await t.settle()
    expect(t.of('hook.failed')).toMatchObject([{ plugin: 'wild', error: { code: 'SMQ_TOPIC_INVALID' } }])
  })

  test('onPublish: QoS and RETAIN of what is routed, while the client is answered as it asked', async () => {
    const t = start({ onPublish: () => ({ type: 'allow', qos: 1, retain: false }) })
    const watcher = await t.connect()
    await watcher.subscribe([['#', { qos: 2 }]])
    const client = await t.connect()
    expect(await client.publish({ topic: 't', payload: 'x', qos: 2, retain: true })).toMatchObject({ type: 'pubrec' })
    await watcher.expectPublish({ topic: 't', payload: 'x', qos: 1 })
    const late = await t.connect()
    await late.subscribe(['t'])
    await late.expectNothing()
  })

  test.each([-1, NaN, Infinity, 3_600_001, '5' as unknown as number])(
    'onPublish: throttleMs %s is none',
    async (throttleMs) => {
      const t = start({ name: 'p', onPublish: () => ({ type: 'allow', throttleMs }) })
      const client = await t.connect()
      expect(await client.publish({ topic: 't', qos: 1 })).toMatchObject({ reasonCode: 0x87 })
    },
  )

  test('onPublish: throttleMs: the client is read again after the longest of them, its message is not held', async () => {
    const t = start([
      { onPublish: ({ message }) => ({ type: 'allow', throttleMs: message.topic === 'slow' ? 1_000 : 0 }) },
      { onPublish: ({ message }) => ({ type: 'allow', throttleMs: message.topic === 'slow' ? 10 : 0 }) },
    ])
    const watcher = await t.connect()
    await watcher.subscribe(['#'])
    const client = await t.connect({ keepAlive: 1 })
    client.send(publish({ topic: 'slow' }), publish({ topic: 'a' }), publish({ topic: 'b' }))
    await t.settle()
    expect(await watcher.drain()).toMatchObject([{ topic: 'slow' }])
    await t.advance(999)
    expect(await watcher.drain()).toEqual([])
    await t.advance(2)
    expect(await watcher.drain()).toMatchObject([{ topic: 'a' }, { topic: 'b' }])
    await client.expectNothing()
  })

  test('onPublish: a pause ends with its connection, and silence is not the client’s meanwhile', async () => {
    const t = start({ onPublish: () => ({ type: 'allow', throttleMs: 3_600_000 }) })
    const stay = { clientId: 'c', cleanStart: false, properties: { sessionExpiryInterval: 60 } }
    const client = await t.connect({ ...stay, keepAlive: 1 })
    client.send(publish({ topic: 't' }))
    await t.advance(60_000)
    expect(t.state('c')).toBe('online')
    const again = await t.connect({ ...stay, keepAlive: 1 })
    await again.expectNothing()
  })

  test('onSubscribe: the filter goes through all plugins, and a QoS is only lowered', async () => {
    const seen: unknown[] = []
    const t = start([
      { onSubscribe: ({ filter }) => ({ type: 'allow', filter: `tenant/${filter}`, qos: 1 }) },
      {
        onSubscribe: ({ filter, qos }) => {
          seen.push([filter, qos])
          return { type: 'allow', qos: 2 }
        },
      },
    ])
    const client = await t.connect()
    expect((await client.subscribe([['a', { qos: 2 }]])).reasonCodes).toEqual([1])
    await (await t.connect()).publish({ topic: 'tenant/a', payload: 'x' })
    await client.expectPublish({ topic: 'tenant/a', payload: 'x' })
    expect(seen).toEqual([['tenant/a', 1]])
  })

  test('onSubscribe: one filter is refused, the others are not', async () => {
    const guard: Hooks = {
      name: 'guard',
      onSubscribe: ({ filter }) => (filter === 'b' ? Promise.resolve(deny(0x87, 'not b')) : next()),
    }
    const t = start([{ onSubscribe: () => next() }, guard])
    const client = await t.connect({ clientId: 'c' })
    client.send(subscribe({ packetId: 1, filters: ['a', 'b', 'c'] }))
    await client.expectPacket('suback', { reasonCodes: [0, 0x87, 0], properties: { reasonString: 'not b' } })
    expect(t.of('hook.denied')).toMatchObject([{ hook: 'onSubscribe', plugin: 'guard', clientId: 'c' }])
  })

  test('onUnsubscribe: the filter may be another one, it can’t be refused, and a failure changes nothing', async () => {
    const t = start([
      { name: 'p', onUnsubscribe: (filter) => (filter === 'old' ? { type: 'allow', filter: 'new' } : undefined) },
      {
        name: 'q',
        onUnsubscribe: async (filter) => {
          if (filter === 'broken') throw new Error('planted')
          if (filter === 'denied') return deny(0x87, 'no') as unknown as Next
          return next()
        },
      },
    ])
    const client = await t.connect({ clientId: 'c' })
    await client.subscribe(['new', 'broken', 'denied', 'same'])
    client.send(unsubscribe({ packetId: 9, filters: ['old', 'broken', 'denied', 'same', 'never'] }))
    await client.expectPacket('unsuback', { packetId: 9, reasonCodes: [0, 0, 0, 0, 0x11] })
    expect(t.broker.sessions.get('c')?.subscriptions).toEqual([])
    await t.settle()
    expect(t.of('hook.failed')).toMatchObject([
      { hook: 'onUnsubscribe', plugin: 'q' },
      { hook: 'onUnsubscribe', plugin: 'q' },
    ])
  })

  test('onUnsubscribe: what follows waits for the verdict', async () => {
    const answers: (() => void)[] = []
    const t = start({ onUnsubscribe: () => new Promise<void>((resolve) => answers.push(resolve)) })
    const client = await t.connect({ clientId: 'c' })
    await client.subscribe(['a'])
    client.send(unsubscribe({ packetId: 9, filters: ['a'] }), subscribe({ packetId: 10, filters: ['b'] }))
    await t.settle()
    expect(t.broker.sessions.get('c')?.subscriptions).toEqual(['a'])
    answers[0]?.()
    await client.expectPacket('unsuback', { packetId: 9 })
    await client.expectPacket('suback', { packetId: 10 })
    expect(t.broker.sessions.get('c')?.subscriptions).toEqual(['b'])
  })

  test('onDeliver: changes go on to the next plugin, a veto stands', async () => {
    const t = start([
      { onDeliver: ({ topic }) => ({ type: 'allow', topic: `own/${topic}` }) },
      { name: 'veto', onDeliver: ({ topic }) => (topic === 'own/secret' ? deny(0x87, 'no') : next()) },
    ])
    const client = await t.connect({ clientId: 'c' })
    await client.subscribe(['#'])
    const publisher = await t.connect()
    await publisher.publish({ topic: 'secret', qos: 1 })
    await publisher.publish({ topic: 'open', qos: 1 })
    await client.expectPublish({ topic: 'own/open' })
    await t.settle()
    expect(t.of('hook.denied')).toMatchObject([{ hook: 'onDeliver', plugin: 'veto', clientId: 'c' }])
    expect(t.of('message.dropped')).toMatchObject([{ clientId: 'c', reason: 'denied' }])
  })

  test('onDeliver: a promise is no verdict, and is not waited for', async () => {
    const t = start([
      { onDeliver: () => next() },
      { name: 'late', onDeliver: () => Promise.reject(new Error('x')) as never },
    ])
    const client = await t.connect({ clientId: 'c' })
    await client.subscribe(['#'])
    await (await t.connect()).publish({ topic: 't', qos: 1 })
    await client.expectNothing()
    await t.settle()
    expect(t.of('hook.failed')).toMatchObject([{ hook: 'onDeliver', plugin: 'late', clientId: 'c' }])
    expect(t.of('message.dropped')).toMatchObject([{ clientId: 'c', reason: 'denied' }])
  })

  test('a will is rewritten too', async () => {
    const t = start([
      { onPublish: ({ message, will }) => (will ? { type: 'allow', topic: `wills/${message.topic}` } : next()) },
      {
        onPublish: ({ will }) => (will ? { type: 'allow', payload: Buffer.from('p'), qos: 1, throttleMs: 5 } : next()),
      },
    ])
    const watcher = await t.connect()
    await watcher.subscribe([['#', { qos: 2 }]])
    const client = await t.connect({ will: { topic: 'w' } })
    client.drop()
    await watcher.expectPacket('publish', { topic: 'wills/w', payload: 'p', qos: 1 })
  })
})

describe('hooks of a listener', () => {
  test('are asked instead of the broker’s where they have the point, the others stay', async () => {
    const asked: string[] = []
    const named = (name: string): Hooks => ({
      onRegister: () => (asked.push(`${name} register`), next()),
      onPublish: () => (asked.push(`${name} publish`), next()),
    })
    const t = start([named('broker')])
    const { onRegister } = named('listener')
    const { port } = await t.listen({ transport: 'tcp', port: 0, hooks: [{ onRegister: onRegister! }] })
    const client = await t.tcp(port)
    await client.connect({ clientId: 'c' })
    await client.publish({ topic: 't', qos: 1 })
    expect(asked).toEqual(['listener register', 'broker publish'])
  })
})

test.each([{ onPublsih: () => next() }, [{ onOnlin: () => {} }], 5, [null]])(
  'a hook that does not exist is refused: %j',
  (hooks) => {
    expect(() => createBroker({ hooks: hooks as Hooks })).toThrow(
      expect.objectContaining({ code: 'SMQ_OPTION_INVALID' }),
    )
  },
)
