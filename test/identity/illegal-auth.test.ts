/** Semantics 7.10: an AUTH that is not due ends the connection with 0x82 or 0x8C, in every state, whatever its code. */
import { describe, expect, test } from 'vitest'

import { allow, challenge, type Authenticator, type BrokerOptions, type Verdict } from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { startBroker, type TestBroker } from '../support/test-broker.ts'
import { auth, connect, publish, type PropertyInput } from '../support/wire.ts'

const method = { authenticationMethod: 'STEPS' } as const
const data = (text: string) => ({ ...method, authenticationData: Buffer.from(text) })

/** One challenge, then in; `hang` is never answered. */
const steps: Authenticator = {
  name: 'steps',
  methods: ['STEPS', 'OTHER'],
  authenticate({ round, authenticationData }): Verdict | Promise<Verdict> {
    if (authenticationData?.toString() === 'hang') return new Promise(() => {})
    return round === 0 ? challenge(Buffer.from('and?')) : allow({ principal: 'somebody' })
  },
}

/** What is due, and how a connection in this state is told that something else was not. */
interface State {
  readonly due: 0x18 | 0x19 | undefined
  readonly told: 'connack' | 'disconnect'
  enter(t: TestBroker): Promise<RawClient>
}

async function logIn(t: TestBroker): Promise<RawClient> {
  const client = await challenged(t)
  client.send(auth(0x18, data('so')))
  await client.expectPacket('connack', { reasonCode: 0 })
  return client
}

async function challenged(t: TestBroker, first = 'begin'): Promise<RawClient> {
  const client = t.first(connect({ clientId: 'a', properties: data(first) }))
  if (first === 'hang') await t.settle()
  else await client.expectPacket('auth', { reasonCode: 0x18 })
  return client
}

const states: Readonly<Record<string, State>> = {
  'authenticating, a decision is pending': {
    due: undefined,
    told: 'connack',
    enter: (t) => challenged(t, 'hang'),
  },
  challenged: { due: 0x18, told: 'connack', enter: (t) => challenged(t) },
  'authenticating, the decision on an answer is pending': {
    due: undefined,
    told: 'connack',
    async enter(t) {
      const client = await challenged(t)
      client.send(auth(0x18, data('hang')))
      await t.settle()
      return client
    },
  },
  'online without a method': { due: undefined, told: 'disconnect', enter: (t) => t.connect({ clientId: 'a' }) },
  'online with a method': { due: 0x19, told: 'disconnect', enter: logIn },
  'online, a re-authentication is being decided on': {
    due: undefined,
    told: 'disconnect',
    async enter(t) {
      const client = await logIn(t)
      client.send(auth(0x19, data('hang')))
      await t.settle()
      return client
    },
  },
  'online, challenged again': {
    due: 0x18,
    told: 'disconnect',
    async enter(t) {
      const client = await logIn(t)
      client.send(auth(0x19, data('begin')))
      await client.expectPacket('auth', { reasonCode: 0x18 })
      return client
    },
  },
  'online, the decision on an answer is pending': {
    due: undefined,
    told: 'disconnect',
    async enter(t) {
      const client = await logIn(t)
      client.send(auth(0x19, data('begin')))
      await client.expectPacket('auth', { reasonCode: 0x18 })
      client.send(auth(0x18, data('hang')))
      await t.settle()
      return client
    },
  },
  'resumed from offline, with a method': {
    due: 0x19,
    told: 'disconnect',
    async enter(t) {
      const persistent = { ...data('begin'), sessionExpiryInterval: 100 }
      for (let count = 0; ; count += 1) {
        const client = t.first(connect({ clientId: 'a', cleanStart: false, properties: persistent }))
        await client.expectPacket('auth', { reasonCode: 0x18 })
        client.send(auth(0x18, data('so')))
        await client.expectPacket('connack', { reasonCode: 0, sessionPresent: count > 0 })
        if (count > 0) return client
        client.drop()
        await t.settle()
        expect(t.state('a')).toBe('offline')
      }
    },
  },
}

const codes = [0x00, 0x18, 0x19, 0x01, 0x04, 0x82, 0x8c, 0xff]
const methods: ReadonlyArray<readonly [string, PropertyInput]> = [
  ['its method', data('x')],
  ['another method', { authenticationMethod: 'OTHER', authenticationData: Buffer.from('x') }],
  ['a method that nobody speaks', { authenticationMethod: 'NOBODY' }],
  ['no method', {}],
]

const options: BrokerOptions = { authenticators: [steps], allowAnonymous: true }

describe.each(Object.entries(states))('semantics 7.10: %s', (_state, { due, told, enter }) => {
  for (const code of codes) {
    for (const [name, properties] of methods) {
      if (code === due && name === 'its method') continue
      const isOfCode = code === due
      // What would be due but for its method is told so; everything else is no packet of this state.
      const expected = isOfCode && name !== 'no method' ? 0x8c : undefined
      test(`AUTH 0x${code.toString(16).padStart(2, '0')} with ${name}`, async () => {
        const t = startBroker(options)
        const watcher = await t.connect({ clientId: 'watcher' })
        await watcher.subscribe(['t'])
        const client = await enter(t)
        client.send(auth(code, properties), publish({ topic: 't', payload: 'too late' }))
        const packet = await client.expectPacket(told)
        expect(expected === undefined ? [0x82, 0x8c] : [expected]).toContain(packet.reasonCode)
        await client.expectClosed()
        await t.settle()
        await watcher.expectNothing()
        expect(['offline', undefined]).toContain(t.state('a'))
      })
    }
  }

  test('AUTH without a code and properties is AUTH 0x00', async () => {
    const t = startBroker(options)
    const client = await enter(t)
    client.send('f0 00')
    await client.expectPacket(told, { reasonCode: 0x82 })
    await client.expectClosed()
  })
})

describe.each(Object.entries(states).filter(([, { due }]) => due !== undefined))(
  'semantics 7.10: %s, the AUTH that is due',
  (_state, { due, told, enter }) => {
    test(`AUTH 0x${due?.toString(16)} with its method is taken`, async () => {
      const client = await enter(startBroker(options))
      client.send(auth(due!, data('so')))
      const taken = { type: 'auth', reasonCode: due === 0x19 ? 0x18 : 0 }
      expect(await client.next()).toMatchObject(told === 'connack' ? { type: 'connack', reasonCode: 0 } : taken)
      await client.expectNothing()
    })
  },
)

describe('semantics 7.10: where MQTT has no packet to answer with', () => {
  test.each(codes)('AUTH 0x%s in front of CONNECT closes the connection', async (code) => {
    await startBroker(options)
      .first(auth(code, data('x')), connect({ clientId: 'a' }))
      .expectClosed()
  })

  test.each([3, 4] as const)('MQTT level %s does not know AUTH: the connection is closed', async (version) => {
    const t = startBroker(options)
    const client = await t.connect({ clientId: 'a', version })
    client.send(auth(0x18, data('x')))
    await client.expectClosed()
  })

  test('AUTH behind a CONNECT without a method that is being decided on is answered after CONNACK', async () => {
    let decide: (verdict: Verdict) => void = () => {}
    const slow: Authenticator = {
      name: 'slow',
      authenticate: () =>
        new Promise((resolve) => {
          decide = resolve
        }),
    }
    const t = startBroker({ authenticators: [slow] })
    const client = t.first(connect({ clientId: 'a' }), auth(0x18, data('x')))
    await t.settle()
    decide(allow({ principal: 'somebody' }))
    await client.expectPacket('connack', { reasonCode: 0 })
    await client.expectDisconnect(0x82)
  })
})
