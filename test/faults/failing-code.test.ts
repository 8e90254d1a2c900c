import { Duplex } from 'node:stream'

import { map, type Observable } from 'rxjs'
import { fromPromise } from 'xstate'
import { describe, expect, test } from 'vitest'

import { sessionMachine, type SessionMachine } from '../../machines/index.ts'
import { createBroker, type BrokerEvent, type DecisionHooks, type Logger } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { startBroker, type TestBroker } from '../support/test-broker.ts'
import { connect, disconnect, pingreq, publish, subscribe, unsubscribe } from '../support/wire.ts'

// Vitest fails a run in which an error or a rejection reaches the process: that nobody is killed is checked throughout.

const planted = new Error('planted')

function fail(): never {
  throw planted
}

/** The ways in which code of others goes wrong. */
const failures: Record<string, () => never> = {
  throws: fail,
  'throws no error': () => {
    // eslint-disable-next-line typescript/only-throw-error
    throw 'planted'
  },
  rejects: () => Promise.reject(planted) as never,
  'answers nothing': () => undefined as never,
  'answers null': () => null as never,
  'answers garbage': () => ({ type: 'allowed', payload: 5 }) as never,
}

/** Calls the failing code for the client `victim` only, and lets everyone else through. */
function forVictim(failing: () => never): Required<DecisionHooks> {
  const isVictim = (...args: readonly unknown[]): boolean =>
    args.some((arg) => typeof arg === 'object' && arg !== null && 'clientId' in arg && arg.clientId === 'victim')
  const hook = (...args: readonly unknown[]) => (isVictim(...args) ? failing() : ({ type: 'next' } as const))
  return {
    onConnection: () => ({ type: 'next' }),
    onRegister: hook,
    onTakeover: hook,
    onSubscribe: hook,
    onPublish: hook,
    onDeliver: hook,
    onUnsubscribe: hook as () => void,
  }
}

function watch({ broker }: TestBroker): BrokerEvent[] {
  const events: BrokerEvent[] = []
  broker.events$.subscribe((event) => events.push(event))
  return events
}

function hooksFailed(events: readonly BrokerEvent[]): string[] {
  return [
    ...new Set(events.flatMap((event) => (event.type === 'hook.failed' ? [`${event.hook} ${event.clientId}`] : []))),
  ]
}

/** Two clients that are not concerned, before and after. */
async function bystanders(running: TestBroker): Promise<{ check: () => Promise<void> }> {
  const subscriber = await running.connect({ clientId: 'bystander' })
  await subscriber.subscribe(['news'])
  const check = async (): Promise<void> => {
    const publisher = await running.connect({ clientId: 'publisher' })
    await publisher.publish({ topic: 'news', payload: 'still here', qos: 1 })
    await subscriber.expectPublish({ topic: 'news', payload: 'still here' })
    publisher.drop()
  }
  return { check }
}

type Trial = (running: TestBroker) => Promise<void>

/** For each hook, what its victim gets when it fails: a refusal of the thing asked for, never a grant. */
const trials: Record<keyof Omit<DecisionHooks, 'onConnection'>, Trial> = {
  onRegister: async ({ first }) => {
    await first(connect({ clientId: 'victim' })).expectRefused(0x87)
  },
  onTakeover: async ({ connect: online, first }) => {
    const incumbent = await online({ clientId: 'victim' })
    await first(connect({ clientId: 'victim' })).expectRefused(0x87)
    await incumbent.expectNothing()
  },
  onSubscribe: async ({ connect: online }) => {
    const victim = await online({ clientId: 'victim' })
    victim.send(subscribe({ packetId: 1, filters: ['a', 'b'] }))
    await victim.expectPacket('suback', { packetId: 1, reasonCodes: [0x87, 0x87] })
    await victim.expectNothing()
  },
  onPublish: async ({ connect: online }) => {
    const victim = await online({ clientId: 'victim' })
    for (const [qos, answer] of [
      [1, 'puback'],
      [2, 'pubrec'],
    ] as const) {
      victim.send(publish({ topic: 'news', payload: 'forged', qos, packetId: 5 }))
      await victim.expectPacket(answer, { packetId: 5, reasonCode: 0x87 })
    }
    victim.send(publish({ topic: 'news', payload: 'forged' }))
    await victim.expectNothing()
  },
  onDeliver: async ({ connect: online, broker, settle }) => {
    const victim = await online({ clientId: 'victim' })
    await victim.subscribe([['secret', { qos: 1 }]])
    await broker.publish({ topic: 'secret', qos: 1 })
    await settle()
    await victim.expectNothing()
  },
  onUnsubscribe: async ({ connect: online, broker }) => {
    const victim = await online({ clientId: 'victim' })
    await victim.subscribe(['a', 'b'])
    victim.send(unsubscribe({ packetId: 2, filters: ['a'] }))
    await victim.expectPacket('unsuback', { packetId: 2, reasonCodes: [0] })
    expect(broker.sessions.get('victim')?.subscriptions).toEqual(['b'])
  },
}

describe.each(Object.keys(failures))('threat 60: a hook that %s', (way) => {
  test.each(Object.keys(trials) as (keyof typeof trials)[])(
    'threat 60: %s: denied for that client, told in an event, others unaffected',
    async (hook) => {
      // Only this hook fails; an observer's answer is not looked at.
      const failing = forVictim(failures[way]!)
      const running = startBroker({ hooks: { [hook]: failing[hook] } })
      const events = watch(running)
      const { check } = await bystanders(running)
      await trials[hook](running)
      await running.settle()
      await check()
      const isIgnored = hook === 'onUnsubscribe' && way === 'answers nothing'
      expect(hooksFailed(events)).toEqual(isIgnored ? [] : [`${hook} victim`])
      expect(events.filter((event) => event.type === 'session.failed')).toEqual([])
    },
  )

  test('threat 60: an asynchronous onUnsubscribe or onDeliver that fails later ends nobody', async () => {
    const later = forVictim((() => Promise.resolve().then(failures[way])) as unknown as () => never)
    const running = startBroker({ hooks: { onUnsubscribe: later.onUnsubscribe, onDeliver: later.onDeliver } })
    const { check } = await bystanders(running)
    await trials.onUnsubscribe(running)
    const again = await running.connect({ clientId: 'victim' })
    await again.subscribe(['secret'])
    await running.broker.publish({ topic: 'secret' })
    await running.settle()
    // What a hook that has to answer at once answers later lets nothing through.
    await again.expectNothing()
    await check()
  })

  test('threat 60: onConnection: the connection is closed without a byte', async () => {
    let isVictim = false
    const running = startBroker({ hooks: { onConnection: () => (isVictim ? failures[way]!() : { type: 'next' }) } })
    const { check } = await bystanders(running)
    isVictim = true
    await running.first(connect({ clientId: 'victim' })).expectClosed()
    isVictim = false
    await check()
  })

  test('threat 60: an authenticator: refused, and the next client is asked about afresh', async () => {
    const running = startBroker({
      authenticators: [
        {
          name: 'failing',
          authenticate: ({ clientId }) =>
            clientId === 'victim' ? failures[way]!() : { type: 'allow', principal: clientId },
        },
      ],
    })
    const { check } = await bystanders(running)
    await running.first(connect({ clientId: 'victim' })).expectRefused(0x87)
    await check()
  })
})

describe('threat 60: decisions that never come', () => {
  test.each(['onRegister', 'onSubscribe', 'onPublish'] as const)(
    'threat 60: %s is over after its time, against the client',
    async (hook) => {
      const failing = forVictim((() => new Promise(() => {})) as unknown as () => never)
      const running = startBroker({
        hooks: { [hook]: failing[hook] },
        limits: { decisionTimeoutMs: 1000, connectTimeoutMs: 60_000 },
      })
      const events = watch(running)
      const { check } = await bystanders(running)
      const trial = trials[hook](running)
      const done = trial.then(() => true)
      for (let second = 0; second < 5; second += 1) await running.advance(1000)
      expect(await done).toBe(true)
      await check()
      expect(hooksFailed(events)).toEqual([`${hook} victim`])
    },
  )

  test('threat 60: a limit of Infinity means that they are waited for', async () => {
    let answer: (() => void) | undefined
    const running = startBroker({
      limits: { decisionTimeoutMs: Infinity },
      hooks: { onPublish: () => new Promise((resolve) => (answer = () => resolve({ type: 'next' }))) },
    })
    const client = await running.connect({ clientId: 'c' })
    client.send(publish({ topic: 't', qos: 1, packetId: 1 }))
    await running.advance(60_000)
    expect([client.waitingPackets, client.closed]).toEqual([0, false])
    answer!()
    await client.expectPacket('puback', { packetId: 1 })
  })
})

test('threat 60: decisions that lead to others keep the client’s order: a rate, then a hook that answers the last first', async () => {
  const answers: (() => void)[] = []
  const asked: string[] = []
  const running = startBroker({
    limits: { maxMessagesPerSecond: 1, messageBurst: 1 },
    hooks: {
      onPublish: ({ message }) => {
        asked.push(message.payload.toString())
        return new Promise((resolve) => answers.push(() => resolve({ type: 'next' })))
      },
    },
  })
  const subscriber = await running.connect({ clientId: 's' })
  await subscriber.subscribe(['t'])
  const client = await running.connect({ clientId: 'c' })
  client.send(
    publish({ topic: 't', payload: '0' }),
    publish({ topic: 't', payload: '1' }),
    publish({ topic: 't', payload: '2' }),
  )
  for (let second = 0; second < 4; second += 1) await running.advance(1000)
  expect(asked).toEqual(['0'])
  for (let round = 0; round < 3; round += 1) {
    for (const answer of answers.splice(0).reverse()) answer()
    await running.advance(1000)
    await running.advance(1000)
  }
  for (const payload of ['0', '1', '2']) await subscriber.expectPublish({ topic: 't', payload })
})

/** Whoever writes JavaScript may subscribe with an async function. */
const failLater = (): void => Promise.resolve().then(fail) as unknown as void

describe('threat 60: observers', () => {
  const observers: Record<string, (stream: Observable<unknown>) => void> = {
    'a function': (stream) => void stream.subscribe(fail),
    'an object': (stream) => void stream.subscribe({ next: fail }),
    'an operator': (stream) => void stream.pipe(map(fail)).subscribe(() => {}),
    'an async function': (stream) => void stream.subscribe(failLater),
    'a consumer behind an operator': (stream) => void stream.pipe(map((value) => value)).subscribe(fail),
  }

  test.each(Object.keys(observers))('threat 60: %s that throws is unsubscribed, nobody else notices', async (kind) => {
    const running = startBroker()
    const { broker } = running
    observers[kind]!(broker.events$)
    observers[kind]!(broker.messages('#'))
    const local = await broker.client({ clientId: 'local' })
    observers[kind]!(local.messages('#'))
    const seen: string[] = []
    const events = watch(running)
    broker.messages('#').subscribe((message) => seen.push(`broker ${message.topic}`))
    local.messages('news').subscribe((message) => seen.push(`local ${message.topic}`))
    await running.settle()
    const { check } = await bystanders(running)
    for (let round = 0; round < 3; round += 1) await check()
    await running.settle()
    expect(seen.filter((text) => text === 'broker news')).toHaveLength(3)
    expect(seen.filter((text) => text === 'local news')).toHaveLength(3)
    expect(events.length).toBeGreaterThan(5)
  })

  test('threat 60: a logger that throws', async () => {
    const logger: Logger = { debug: fail, info: fail, warn: fail, error: fail, isLevelEnabled: () => true }
    const running = startBroker({ logger, hooks: forVictim(fail) })
    const { check } = await bystanders(running)
    await trials.onRegister(running)
    running.broker.events$.subscribe(fail)
    await check()
    const { port } = await running.listen({ transport: 'tcp', port: 0 })
    await (await running.tcp(port)).connect({ clientId: 'over tcp' })
    await check()
  })
})

/** Throws where the broker would write the answer to `victim`. */
class FailingStream extends Duplex {
  readonly #request: Buffer
  #isRead = false
  readonly #failsAt: 'write' | 'end' | 'pause'

  constructor(request: Buffer, failsAt: 'write' | 'end' | 'pause') {
    super()
    this.#request = request
    this.#failsAt = failsAt
  }

  override _read(): void {
    if (!this.#isRead) this.push(this.#request)
    this.#isRead = true
  }

  override pause(): this {
    if (this.#failsAt === 'pause') fail()
    return super.pause()
  }

  override _write(_chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    if (this.#failsAt === 'write') fail()
    callback()
  }

  override _final(callback: () => void): void {
    if (this.#failsAt === 'end') fail()
    callback()
  }
}

test.each([
  ['write', false],
  ['write', true],
  ['end', true],
  ['pause', true],
] as const)(
  'threat 60: a stream of the embedder whose %s throws, with DISCONNECT: %s',
  async (failsAt, disconnects) => {
    const running = startBroker()
    const { check } = await bystanders(running)
    const request = [connect({ clientId: 'victim' }), pingreq(), ...(disconnects ? [disconnect()] : [])]
    running.broker.attach(new FailingStream(Buffer.concat(request), failsAt))
    await running.settle()
    await check()
    await running.advance(10_000)
    expect(running.state('victim')).toBe(undefined)
  },
)

type Implementations = { readonly actions: object; readonly guards: object; readonly actors: object }

function machineWith(kind: keyof Implementations, name: string, failing: () => never): SessionMachine {
  const implementation = kind === 'actors' ? fromPromise(async () => failing()) : failing
  return sessionMachine.provide({ [kind]: { [name]: implementation } } as Parameters<SessionMachine['provide']>[0])
}

/** A life with everything in it; a machine that fails may cut it short anywhere. */
async function live({ broker, attach, settle, clock }: TestBroker): Promise<void> {
  const say = async (client: RawClient, ...bytes: Buffer[]): Promise<void> => {
    client.send(...bytes)
    await settle(8)
  }
  const method = { authenticationMethod: 'm' }
  const hello = (cleanStart: boolean, extra: object = {}): Buffer =>
    connect({
      clientId: 'victim',
      cleanStart,
      keepAlive: 10,
      will: { topic: 'w', properties: { willDelayInterval: 1 } },
      properties: { sessionExpiryInterval: 5, ...extra },
    })
  const [first, second, third, fourth, fifth] = [attach(), attach(), attach(), attach(), attach()]
  await say(first, hello(false, method))
  await say(
    first,
    Buffer.from('f007180515000161'.replace('0161', '016d').replace('f00718', 'f00618').replace('0515', '0415'), 'hex'),
  )
  await say(
    first,
    subscribe({ packetId: 1, filters: [['t', { qos: 1 }]] }),
    publish({ topic: 't', qos: 1, packetId: 2 }),
  )
  await say(first, Buffer.from('f0061904150001 6d'.replace(' ', ''), 'hex'))
  await say(second, hello(false))
  second.drop()
  await settle(8)
  clock.advance(2000)
  await say(third, hello(false))
  await say(third, connect({ clientId: 'victim' }))
  await say(fourth, hello(true))
  clock.advance(20_000)
  await settle(8)
  clock.advance(20_000)
  await say(fifth, hello(true), disconnect(0x04))
  broker.sessions.get('victim')?.disconnect()
  broker.sessions.get('victim')?.expire()
  await settle(8)
  for (const client of [first, second, third, fourth, fifth]) client.drop()
  await settle(8)
}

describe('threat 60: a machine with implementations of the embedder’s', () => {
  const { actions, guards, actors } = sessionMachine.implementations as Implementations
  const names = Object.entries({ actions, guards, actors }).flatMap(([kind, table]) =>
    Object.keys(table).map((name) => [kind, name] as const),
  )

  test('the table is whole', () => {
    expect(names.length).toBeGreaterThan(50)
  })

  test.each(names)(
    'threat 60: %s %s throws: the sessions that it serves end, the broker lives and closes',
    async (kind, name) => {
      const running = startBroker({
        machine: machineWith(kind as keyof Implementations, name, fail),
        allowAnonymous: true,
        authenticators: [
          {
            name: 'm',
            methods: ['m'],
            authenticate: ({ round }) => (round === 0 ? { type: 'challenge' } : { type: 'allow' }),
          },
        ],
        limits: { maxConnections: 3, maxOfflineSessions: 1 },
      })
      const seen: string[] = []
      running.broker.messages('alive').subscribe((message) => seen.push(message.topic))
      await live(running)
      await live(running)
      await running.broker.publish({ topic: 'alive' })
      clockOut(running)
      await running.settle()
      // Nothing that failed is still counted: neither as a connection nor as a session that is kept.
      const answer = running.attach()
      answer.send(connect({ clientId: 'late', cleanStart: false, properties: { sessionExpiryInterval: 5 } }))
      await running.settle()
      const packet = answer.waitingPackets > 0 ? await answer.next() : 'closed'
      const code = packet === 'closed' || packet.type !== 'connack' ? undefined : packet.reasonCode
      expect([seen, [undefined, 0x00, 0x87].includes(code), code]).toEqual([['alive'], true, code])
      await running.close()
      expect(running.broker.state).toBe('stopped')
    },
  )

  function clockOut({ clock }: TestBroker): void {
    clock.advance(100_000)
  }
})

test('a broker can be made without any of this', async () => {
  const broker = createBroker()
  await broker.close()
  expect(broker.state).toBe('stopped')
})
