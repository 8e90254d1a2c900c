/** `broker.inspection.history`: why is it offline, why was it denied? */
import { connectAsync } from 'mqtt'
import { describe, expect, onTestFinished, test } from 'vitest'

import { allow, deny, next, ReasonCode, type Authenticator, type BrokerOptions } from '../../src/index.ts'
import { startBroker as start } from '../support/test-broker.ts'
import { connect as connectPacket, disconnect as disconnectPacket } from '../support/wire.ts'
import { story as storyOf } from './history-stories.ts'

const people: Authenticator = {
  name: 'people',
  authenticate: ({ username, password }) =>
    password?.toString() === 'wrong'
      ? deny(ReasonCode.BadUserNameOrPassword, 'wrong password')
      : allow({ principal: username ?? '', roles: ['reader'] }),
}

function startBroker(options: BrokerOptions = {}) {
  const scene = start({ history: true, ...options })
  const startMs = scene.clock.nowMs()
  return { ...scene, story: (clientId: string) => storyOf(scene.broker, clientId, startMs) }
}

const kept = { properties: { sessionExpiryInterval: 60 }, cleanStart: false } as const

describe('a session as it was', () => {
  test('comes, is lost, comes back, and expires', async () => {
    const { connect, settle, advance, story } = startBroker()
    const first = await connect({ clientId: 'c', ...kept })
    first.drop()
    await advance(1_000)
    const second = await connect({ clientId: 'c', ...kept })
    second.send(disconnectPacket(0))
    await settle()
    await advance(60_000)
    expect(story('c')).toEqual([
      '1 +0 s1 :  |  -> connecting | nobody',
      '2 +0 s1 c: packet.connect | connecting -> authenticating.arriving | client: CONNECT',
      '3 +0 s1 c:  | authenticating.arriving -> online(waking) | broker allowAnonymous: anonymous clients are let in',
      '4 +0 s1 c:  | online(waking) -> online(flowing) | guard nothingToWake: nothing waits for the client',
      '5 +0 s1 c: connection.closed | online(flowing) -> offline | network: the connection ended without DISCONNECT',
      '6 +1 s2 :  |  -> connecting | nobody',
      '7 +1 s2 c: packet.connect | connecting -> authenticating.arriving | client: CONNECT',
      '8 +1 s2 c:  | authenticating.arriving -> authenticating.identity | nobody',
      '9 +1 s2 c: xstate.done.actor.0.session.authenticating.identity | authenticating.identity -> authenticating.admission | broker allowAnonymous: anonymous clients are let in',
      '10 +1 s2 c: xstate.done.actor.0.session.authenticating.admission | authenticating.admission -> authenticating.claiming | guard mayTakeOver: the session may be taken over',
      '11 +1 s1 c: session.resume | offline -> online(waking) | client: a newer connection under its client identifier: s2',
      '12 +1 s1 c:  | online(waking) -> online(flowing) | guard nothingToWake: nothing waits for the client',
      '13 +1 s2 c:  | authenticating.claiming -> expired | guard resumesIncumbent: the session under the client identifier goes on with this connection',
      '14 +1 s1 c: packet.disconnect | online(flowing) -> offline | client: DISCONNECT 0x0',
      '15 +61 s1 c: deadline.session | offline -> expired | deadline session expiry: 60 s without a connection',
    ])
  })

  test('a wrong password, and a takeover that is not allowed, by MQTT.js over TCP', async () => {
    const { broker, listen, settle, story } = startBroker({ authenticators: [people] })
    const { port } = await listen({ transport: 'tcp', port: 0 })
    const come = async (username: string, password: string) => {
      const options = { clientId: 'c', username, password, protocolVersion: 5, reconnectPeriod: 0 } as const
      const client = await connectAsync(`mqtt://127.0.0.1:${port}`, options)
      onTestFinished(() => void client.end(true))
    }
    await come('alice', 'right')
    await expect(come('alice', 'wrong')).rejects.toThrow('Bad User Name or Password')
    await expect(come('mallory', 'right')).rejects.toThrow('Not authorized')
    await settle()
    expect(broker.sessions.get('c')?.state).toBe('online')
    expect(story('c')).toEqual([
      '1 +0 s1 :  |  -> connecting | nobody',
      '2 +0 s1 c: packet.connect | connecting -> authenticating.arriving | client: CONNECT',
      '3 +0 s1 c:  | authenticating.arriving -> online(waking) | authenticator people: accepted',
      '4 +0 s1 c:  | online(waking) -> online(flowing) | guard nothingToWake: nothing waits for the client',
      '5 +0 s2 :  |  -> connecting | nobody',
      '6 +0 s2 c: packet.connect | connecting -> authenticating.arriving | client: CONNECT',
      '7 +0 s2 c:  | authenticating.arriving -> authenticating.identity | nobody',
      '8 +0 s2 c: xstate.done.actor.0.session.authenticating.identity | authenticating.identity -> expired | authenticator people: wrong password 0x86',
      '9 +0 s3 :  |  -> connecting | nobody',
      '10 +0 s3 c: packet.connect | connecting -> authenticating.arriving | client: CONNECT',
      '11 +0 s3 c:  | authenticating.arriving -> authenticating.identity | nobody',
      '12 +0 s3 c: xstate.done.actor.0.session.authenticating.identity | authenticating.identity -> authenticating.admission | authenticator people: accepted',
      "13 +0 s3 c: xstate.done.actor.0.session.authenticating.admission | authenticating.admission -> expired | guard mayTakeOver: takeover is same-principal: the session is another principal's 0x87",
    ])
  })

  /** How a client that comes online, and then something happens to it, ends: its last line, without the sequence. */
  const ends: readonly {
    readonly what: string
    readonly options?: BrokerOptions
    readonly keepAlive?: number
    readonly happen: (scene: ReturnType<typeof startBroker> & { client: { drop(): void } }) => Promise<unknown>
    readonly line: string
  }[] = [
    {
      what: 'keepalive lost',
      keepAlive: 10,
      happen: ({ advance }) => advance(15_500),
      line: '+15.5 s1 c: keepalive.lost | online(flowing) -> offline | deadline keepalive: nothing came for one and a half times the keepalive of 10 s 0x8d',
    },
    {
      what: 'disconnected by the operator',
      happen: ({ broker }) => broker.sessions.disconnect({ clientId: 'c' }, ReasonCode.ServerMoved, 'moved'),
      line: '+0 s1 c: session.disconnect | online(flowing) -> offline | operator: moved 0x9d',
    },
    {
      what: 'revoked',
      happen: ({ broker }) => broker.sessions.revoke({ clientId: 'c' }, 'left the company'),
      line: '+0 s1 c: session.revoke | online(flowing) -> offline | operator: left the company 0x87',
    },
    {
      what: 'ended by the operator',
      happen: ({ broker }) => broker.sessions.expire({ clientId: 'c' }),
      line: '+0 s1 c: session.expire | online(flowing) -> expired | operator: session ended by the operator 0x98',
    },
    {
      what: 'connected for too long',
      options: { limits: { maxConnectionSeconds: 5 } },
      happen: ({ advance }) => advance(5_000),
      line: '+5 s1 c: deadline.connection | online(flowing) -> offline | deadline maxConnectionSeconds: connected for 5 s 0xa0',
    },
    {
      what: 'drained: a session that nothing keeps',
      happen: ({ close }) => close(),
      line: '+0 s1 c: broker.drain | online(flowing) -> expired | broker: the broker stops 0x8b',
    },
    {
      what: 'a roles change',
      happen: ({ broker }) => broker.sessions.changeRoles({ clientId: 'c' }, { add: ['writer'] }),
      line: '+0 s1 c: roles.change | online(flowing) -> online(flowing) | operator: its roles are now: writer',
    },
  ]

  test.each(ends)('$what', async ({ options, keepAlive = 0, happen, line }) => {
    const scene = startBroker(options)
    const client = await scene.connect({ clientId: 'c', keepAlive, ...kept })
    await happen({ ...scene, client })
    await scene.settle()
    const last = scene.story('c').at(-1)
    expect(last?.slice(last.indexOf('+'))).toBe(line)
  })

  test('a grant ends: warned of, in grace, over', async () => {
    const { connect, advance, story, clock } = startBroker({
      authenticators: [
        { name: 'tokens', authenticate: () => allow({ principal: 'p', expiresAtMs: clock.nowMs() + 100_000 }) },
      ],
      limits: { grantGraceMs: 5_000 },
    })
    await connect({ clientId: 'c', ...kept })
    await advance(40_000)
    await advance(60_000)
    await advance(5_000)
    expect(story('c').slice(4)).toEqual([
      '5 +40 s1 c: deadline.expiring | online(flowing) -> online.authority.expiring online.reauthentication.idle online.delivery.flowing | deadline grantExpiringMs: the grant ends soon',
      '6 +100 s1 c: deadline.grant | online.authority.expiring online.reauthentication.idle online.delivery.flowing -> online.authority.grace online.reauthentication.idle online.delivery.flowing | deadline grant: the grant has ended 0x87',
      '7 +105 s1 c: deadline.grant | online.authority.grace online.reauthentication.idle online.delivery.flowing -> offline | deadline grant: the grant has ended 0x87',
    ])
  })

  test('a publish that a hook denies, and an actor that fails', async () => {
    const { connect, broker, settle, story } = startBroker({
      hooks: {
        name: 'careless',
        onPublish: ({ message }) => (message.topic === 'no' ? deny(ReasonCode.QuotaExceeded, 'not that') : next()),
      },
      deniedPublish: { mqtt5: 'disconnect' },
    })
    const client = await connect({ clientId: 'c' })
    await client.publish({ topic: 'yes' })
    client.send(Buffer.from('300500026e6f0078', 'hex').subarray(0, 7))
    await settle()
    expect(story('c').at(-1)).toBe(
      '5 +0 s1 c: connection.failed | online(flowing) -> expired | hook careless.onPublish: not that 0x97',
    )
    await connect({ clientId: 'd' })
    broker.sessions.get('d')?.actorRef.send({ type: 'properties.change' } as never)
    await settle()
    expect(story('d').at(-1)).toBe(
      '10 +0 s2 d: properties.change | online(flowing) -> expired | broker: an implementation of the chart threw 0x83',
    )
    expect(broker.inspection.census()).toEqual({})
  })
})

describe('a connection that was refused, and by whom', () => {
  const other = { username: 'bob' } as const
  const cases: readonly {
    readonly what: string
    readonly options: BrokerOptions
    readonly input?: Parameters<typeof connectPacket>[0]
    readonly code: number
    readonly line: string
  }[] = [
    {
      what: 'a will that its roles do not allow',
      options: { authenticators: [people], roles: { reader: { permissions: [{ deny: 'publish', topic: 'w/#' }] } } },
      input: { will: { topic: 'w/c', payload: 'gone' } },
      code: 0x87,
      line: 'authenticating.admission -> expired | role reader: a permission denies its will 0x87 (deny w/# of reader[0])',
    },
    {
      what: 'a will that no permission allows',
      options: { authenticators: [people], roles: { reader: {} } },
      input: { will: { topic: 'w/c', payload: 'gone' } },
      code: 0x87,
      line: 'authenticating.admission -> expired | role: no permission of its roles allows its will 0x87',
    },
    {
      what: 'a hook, with its plugin, that sends it elsewhere',
      options: {
        hooks: { name: 'quota', onRegister: () => deny(ReasonCode.UseAnotherServer, 'full', 'b.example:1883') },
      },
      code: 0x9c,
      line: 'authenticating.admission -> expired | hook quota.onRegister: full; sent to b.example:1883 0x9c',
    },
    {
      what: 'a hook that throws',
      options: {
        hooks: {
          name: 'quota',
          onRegister: () => {
            throw new Error('canary')
          },
        },
      },
      code: 0x87,
      line: 'authenticating.admission -> expired | hook quota.onRegister: it failed, which counts as no 0x87',
    },
    {
      what: 'an authenticator that throws',
      options: { authenticators: [{ name: 'broken', authenticate: () => Promise.reject(new Error('canary')) }] },
      code: 0x87,
      line: 'authenticating.identity -> expired | authenticator broken: authentication failed 0x87',
    },
    {
      what: 'nobody who knows it',
      options: { authenticators: [{ name: 'shy', authenticate: () => next() }] },
      code: 0x87,
      line: 'authenticating.identity -> expired | broker: no authenticator accepted the client 0x87',
    },
    {
      what: 'a ban',
      options: { bans: [{ clientId: 'client', reason: 'a nuisance' }] },
      code: 0x8a,
      line: 'authenticating.identity -> expired | operator bans: banned 0x8a',
    },
    {
      what: 'a limit in place of an authenticator',
      options: { limits: { maxAuthBytes: 3 }, authenticators: [{ ...people, methods: ['TICKET'] }] },
      input: { properties: { authenticationMethod: 'TICKET', authenticationData: Buffer.from('four') } },
      code: 0x87,
      line: 'authenticating.identity -> expired | limit maxAuthBytes: the authentication exchange is too long 0x87',
    },
    {
      what: 'a rule for client identifiers',
      options: { clientIds: { prefix: 'device-' } },
      code: 0x85,
      line: 'authenticating.admission -> expired | broker clientIds: the client identifier has another prefix 0x85',
    },
    {
      what: 'a quota',
      options: { limits: { maxOfflineSessions: 0 } },
      input: { properties: { sessionExpiryInterval: 60 } },
      code: 0x97,
      line: 'authenticating.claiming -> expired | limit maxOfflineSessions: one session too many 0x97',
    },
    {
      what: 'a feature that is not offered',
      options: { maximumQoS: 0 },
      input: { will: { topic: 'w', payload: '', qos: 1 } },
      code: 0x9b,
      line: 'authenticating.admission -> expired | broker maximumQoS: the will wants a QoS that is not offered 0x9b',
    },
  ]

  test.each(cases)('$what', async ({ options, input = {}, code, line }) => {
    const { attach, settle, story } = startBroker(options)
    const client = attach()
    client.send(connectPacket({ clientId: 'client', ...other, ...input }))
    await client.expectRefused(code)
    await settle()
    const lines = story('client')
    expect(lines[0]).toBe('1 +0 s1 :  |  -> connecting | nobody')
    expect(lines.at(-1)?.split(' | ').slice(1).join(' | ')).toBe(line)
  })

  test('a deadline: an authenticator that does not answer, and is seen while it does not', async () => {
    const { attach, settle, advance, story } = startBroker({
      authenticators: [{ name: 'slow', authenticate: () => new Promise(() => {}) }],
      limits: { decisionTimeoutMs: 60_000 },
    })
    attach().send(connectPacket({ clientId: 'c' }))
    await settle()
    expect(story('c').at(-1)).toBe('3 +0 s1 c:  | authenticating.arriving -> authenticating.identity | nobody')
    await advance(5_000)
    expect(story('c').at(-1)).toBe(
      '4 +5 s1 c: deadline.connect | authenticating.identity -> expired | deadline connectTimeoutMs: no end of CONNECT within 5000 ms 0x87',
    )
  })

  test('one that never says who it is, or too much of it, is kept under no client identifier', async () => {
    const { first, attach, settle, story } = startBroker({ limits: { maxClientIdBytes: 3 } })
    const client = first('c000')
    await client.expectClosed()
    await settle()
    const talkative = attach()
    talkative.send(connectPacket({ clientId: 'client' }))
    await talkative.expectRefused(0x85)
    await settle()
    expect(story('client')).toEqual([])
    expect(story('')).toEqual([
      '1 +0 s1 :  |  -> connecting | nobody',
      '2 +0 s1 : connection.failed | connecting -> expired | client: the first packet is not CONNECT 0x82',
      '3 +0 s2 :  |  -> connecting | nobody',
      '4 +0 s2 : connection.failed | connecting -> expired | limit maxClientIdBytes: the client identifier is over 3 bytes 0x85',
    ])
  })
})
