import { connect as connectSocket } from 'node:net'
import { once } from 'node:events'
import { describe, expect, onTestFinished, test } from 'vitest'

import { allow, deny, type Authenticator, type BrokerEvent, type BrokerOptions } from '../../src/index.ts'
import { memoryPair } from '../../src/net/memory.ts'
import { RawClient } from '../support/raw-client.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect, type ConnectInput } from '../support/wire.ts'

/** Whoever has the password `right` is the principal of the user name. */
const passwords: Authenticator = {
  name: 'passwords',
  authenticate: ({ username, password }) =>
    password?.toString() === 'right' ? allow({ principal: username ?? 'nobody' }) : deny(0x86, 'wrong password'),
}

/** A broker whose clients come from addresses of the test's choice. */
function start(options: BrokerOptions = {}) {
  const t = startBroker({ authenticators: [passwords], ...options })
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => events.push(event))
  const from = (remoteAddress: string | undefined): RawClient => {
    const [client, server] = memoryPair()
    t.broker.attach(server, { remoteAddress })
    return new RawClient(client)
  }
  const owner = (clientId: string, input: ConnectInput = {}): ConnectInput => ({
    clientId,
    username: clientId,
    password: 'right',
    ...input,
  })
  /** A CONNECT with this answer. */
  const answered = async (address: string | undefined, input: ConnectInput, reasonCode: number): Promise<RawClient> => {
    const client = from(address)
    client.send(connect(input))
    if (reasonCode === 0) await client.expectPacket('connack', { reasonCode: 0 })
    else await client.expectRefused(reasonCode)
    return client
  }
  const bansOf = () =>
    t.broker.bans.list().map(({ clientId, principal, address, by }) => ({ clientId, principal, address, by }))
  return { ...t, events, from, owner, answered, bansOf }
}

const home = '198.51.100.1'
const elsewhere = '203.0.113.7'

describe('broker.bans', () => {
  test('a banned client identifier gets 0x8A wherever it comes from, and others do not', async () => {
    const { broker, owner, answered, events, settle } = start()
    const ban = broker.bans.add({ clientId: 'a', reason: 'sends nonsense' })
    expect(ban).toMatchObject({ clientId: 'a', reason: 'sends nonsense', by: 'operator', untilMs: null })
    await answered(home, owner('a'), 0x8a)
    await answered(undefined, owner('a'), 0x8a)
    await answered(home, owner('b'), 0)
    expect(broker.explain({ clientId: 'a', action: 'connect' }).refusal).toMatchObject({
      reasonCode: 0x8a,
      reason: 'banned',
    })
    expect(broker.bans.remove(ban.id)).toBe(true)
    expect(broker.bans.remove(ban.id)).toBe(false)
    await answered(home, owner('a'), 0)
    await settle()
    expect(events.filter(({ type }) => type.startsWith('ban.'))).toEqual([
      { type: 'ban.added', ban, atMs: ban.createdAtMs },
      { type: 'ban.removed', ban, cause: 'operator', atMs: ban.createdAtMs },
    ])
  })

  test('3.1.1 clients get return code 5', async () => {
    const { broker, owner, from } = start()
    broker.bans.add({ clientId: 'a' })
    const client = from(home)
    client.version = 4
    client.send(connect(owner('a', { version: 4 })))
    await client.expectBytes('20 02 00 05')
    await client.expectClosed()
  })

  test('a principal is banned under every client identifier, once it has said who it is', async () => {
    const { broker, answered, owner } = start()
    broker.bans.add({ principal: 'eve' })
    await answered(home, owner('x', { username: 'eve' }), 0x8a)
    await answered(home, owner('y', { username: 'eve', cleanStart: false }), 0x8a)
    await answered(home, owner('eve', { username: 'adam' }), 0)
  })

  test('with limits of its own, which take the long way in, it is banned too', async () => {
    const limited: Authenticator = {
      name: 'l',
      authenticate: () => allow({ principal: 'eve', limits: { messageBurst: 5 } }),
    }
    const { broker, answered } = start({ authenticators: [limited] })
    broker.bans.add({ principal: 'eve' })
    await answered(home, { clientId: 'x' }, 0x8a)
  })

  test('parts of a subject have to be so together', async () => {
    const { broker, answered, owner } = start()
    broker.bans.add({ clientId: 'a', address: '203.0.113.0/24' })
    await answered(elsewhere, owner('a'), 0x8a)
    await answered(elsewhere, owner('b'), 0)
    await answered(home, owner('a'), 0)
  })

  test('a ban ends by itself', async () => {
    const { broker, answered, owner, advance, events } = start()
    const ban = broker.bans.add({ clientId: 'a', seconds: 10 })
    await advance(9_999)
    await answered(home, owner('a'), 0x8a)
    await advance(1)
    await answered(home, owner('a'), 0)
    expect(events.find(({ type }) => type === 'ban.removed')).toMatchObject({ ban, cause: 'ended' })
  })

  test('who is connected is sent away with 0x98 and keeps its session; others stay', async () => {
    const { broker, answered, owner, state } = start()
    const kept = { properties: { sessionExpiryInterval: 100 } } as ConnectInput
    const byId = await answered(home, owner('a', kept), 0)
    const byPrincipal = await answered(home, owner('b', { username: 'eve' }), 0)
    const byAddress = await answered(elsewhere, owner('c'), 0)
    const stays = await answered(home, owner('d'), 0)
    broker.bans.add({ clientId: 'a' })
    broker.bans.add({ principal: 'eve' })
    broker.bans.add({ address: '203.0.113.0/24' })
    await byId.expectDisconnect(0x98)
    await byPrincipal.expectDisconnect(0x98)
    await byAddress.expectDisconnect(0x98)
    await stays.expectNothing()
    expect(['a', 'b', 'c', 'd'].map(state)).toEqual(['offline', undefined, undefined, 'online'])
  })

  test('the same subject again takes the place of what there was, however it is written', () => {
    const { broker } = start()
    const first = broker.bans.add({ address: '203.0.113.9/24', seconds: 10 })
    const second = broker.bans.add({ address: '203.0.113.0/24', reason: 'for good' })
    expect(second.id).toBe(first.id)
    expect(broker.bans.list()).toEqual([second])
    expect(broker.bans.get(first.id)).toEqual(second)
    expect(second.id).toMatch(/^[\w-]{22}$/)
  })

  test.each([
    [{}, 'name a clientId, a principal or an address'],
    [{ clientId: '' }, 'clientId: expected a text'],
    [{ address: '10.0.0.0/40' }, 'address: "10.0.0.0/40" is neither an address nor a range'],
    [{ clientId: 'a', seconds: 0 }, 'seconds: expected a whole number of 1 or more'],
    [{ clientId: 'a', reason: 'x'.repeat(1_025) }, 'reason: expected a text of at most 1024 characters'],
  ])('%j is refused', (input, detail) => {
    const { broker } = start()
    expect(() => broker.bans.add(input)).toThrow(
      expect.objectContaining({ code: 'SMQ_BAN_INVALID', message: expect.stringContaining(detail) }),
    )
    expect(broker.bans.list()).toEqual([])
  })

  test('no more than limits.maxBans; what a person has banned is never forgotten for another', () => {
    const { broker } = start({ limits: { maxBans: 2 } })
    broker.bans.add({ clientId: 'a' })
    broker.bans.add({ clientId: 'b' })
    expect(() => broker.bans.add({ clientId: 'c' })).toThrow(expect.objectContaining({ code: 'SMQ_BAN_LIMIT' }))
    expect(broker.bans.list().map(({ clientId }) => clientId)).toEqual(['a', 'b'])
  })

  test('clients of this process are the embedder’s own', async () => {
    const { broker } = start({ authenticators: [] })
    broker.bans.add({ clientId: 'mine' })
    const client = await broker.client({ clientId: 'mine' })
    await client.close()
  })
})

describe('bans of the configuration', () => {
  test('hold from the start, and a reload changes them and no others', async () => {
    const { broker, answered, owner, bansOf } = start({
      bans: [{ clientId: 'a' }, { principal: 'eve', reason: 'old' }],
    })
    await answered(home, owner('a'), 0x8a)
    broker.bans.add({ clientId: 'mine' })
    await broker.reload({ bans: [{ principal: 'eve', reason: 'new' }, { clientId: 'c' }] })
    await answered(home, owner('a'), 0)
    expect(bansOf()).toEqual([
      { clientId: 'mine', principal: undefined, address: undefined, by: 'operator' },
      { clientId: undefined, principal: 'eve', address: undefined, by: 'configuration' },
      { clientId: 'c', principal: undefined, address: undefined, by: 'configuration' },
    ])
    await broker.reload({ takeover: 'anyone' })
    expect(bansOf()).toHaveLength(3)
    await broker.reload({ bans: undefined })
    expect(bansOf().map(({ clientId }) => clientId)).toEqual(['mine'])
  })

  test('one that is none changes nothing', async () => {
    const { broker } = start({ bans: [{ clientId: 'a' }] })
    await expect(broker.reload({ bans: [{ address: 'x' }], takeover: 'anyone' })).rejects.toMatchObject({
      code: 'SMQ_BAN_INVALID',
    })
    expect(broker.bans.list()).toHaveLength(1)
    expect(() => startBroker({ bans: [{}] })).toThrow(expect.objectContaining({ code: 'SMQ_BAN_INVALID' }))
  })
})

describe('flapping', () => {
  test('a client identifier that comes online too often from one address is banned from there, for banSeconds', async () => {
    const { answered, owner, advance, bansOf, broker } = start({ limits: { maxFlapsPerMinute: 3, banSeconds: 30 } })
    for (let count = 0; count < 3; count += 1) (await answered(elsewhere, owner('a'), 0)).drop()
    const last = await answered(elsewhere, owner('a'), 0)
    await last.expectDisconnect(0x9f)
    expect(bansOf()).toEqual([{ clientId: 'a', principal: undefined, address: elsewhere, by: 'broker' }])
    expect(broker.bans.list()[0]!.reason).toBe('connected too often within a minute')
    await answered(elsewhere, owner('a'), 0x8a)
    await answered(elsewhere, owner('b'), 0)
    await answered(home, owner('a'), 0)
    await advance(30_000)
    await answered(elsewhere, owner('a'), 0)
  })

  test('so does a session that is resumed; what is spread over more than a minute is no flapping', async () => {
    const { answered, owner, advance, bansOf } = start({ limits: { maxFlapsPerMinute: 2 } })
    const kept = owner('a', { cleanStart: false, properties: { sessionExpiryInterval: 1_000 } })
    for (let count = 0; count < 6; count += 1) {
      ;(await answered(elsewhere, kept, 0)).drop()
      await advance(30_000)
    }
    expect(bansOf()).toEqual([])
    for (let count = 0; count < 2; count += 1) (await answered(elsewhere, kept, 0)).drop()
    await (await answered(elsewhere, kept, 0)).expectDisconnect(0x9f)
    expect(bansOf()).toHaveLength(1)
  })

  test('an IPv6 client counts by its /64', async () => {
    const { answered, owner, bansOf } = start({ limits: { maxFlapsPerMinute: 1 } })
    ;(await answered('2001:db8:0:1::1', owner('a'), 0)).drop()
    await (await answered('2001:db8:0:1:ffff::2', owner('a'), 0)).expectDisconnect(0x9f)
    expect(bansOf()[0]!.address).toBe('2001:db8:0:1::/64')
    await answered('2001:db8:0:1::3', owner('a'), 0x8a)
    await answered('2001:db8:0:2::1', owner('a'), 0)
  })

  test('a principal that comes under ever new client identifiers is banned where that is limited', async () => {
    const { answered, owner, bansOf } = start({ limits: { maxFlapsPerPrincipalPerMinute: 2 } })
    for (const clientId of ['a', 'b']) (await answered(home, owner(clientId, { username: 'eve' }), 0)).drop()
    await (await answered(elsewhere, owner('c', { username: 'eve' }), 0)).expectDisconnect(0x9f)
    expect(bansOf()).toEqual([{ clientId: undefined, principal: 'eve', address: undefined, by: 'broker' }])
    await answered(home, owner('d', { username: 'eve' }), 0x8a)
    await answered(home, owner('d', { username: 'adam' }), 0)
  })

  test('clients without an address are not counted', async () => {
    const { answered, owner, bansOf } = start({ limits: { maxFlapsPerMinute: 1 } })
    for (let count = 0; count < 5; count += 1) (await answered(undefined, owner('a'), 0)).drop()
    expect(bansOf()).toEqual([])
  })
})

describe('refusals', () => {
  test('an attacker who knows a client identifier gets it banned at home only: its owner goes on, and comes back', async () => {
    const { answered, owner, bansOf } = start({
      limits: { maxRefusalsPerMinute: 5, maxRefusalsPerAddressPerMinute: 1_000 },
    })
    const victim = await answered(home, owner('victim'), 0)
    for (let count = 0; count < 6; count += 1) await answered(elsewhere, owner('victim', { password: 'guess' }), 0x86)
    expect(bansOf()).toEqual([{ clientId: 'victim', principal: undefined, address: elsewhere, by: 'broker' }])
    // Not even the right password gets in from there.
    await answered(elsewhere, owner('victim'), 0x8a)
    await victim.expectNothing()
    victim.drop()
    await answered(home, owner('victim'), 0)
  })

  test('who guesses under ever new identifiers is banned by address; refusals of the ban do not count', async () => {
    const { answered, owner, bansOf, advance } = start({
      limits: { maxRefusalsPerAddressPerMinute: 3, banSeconds: 10 },
    })
    for (let count = 0; count < 4; count += 1)
      await answered(elsewhere, owner(`guess${count}`, { password: 'x' }), 0x86)
    expect(bansOf()).toEqual([{ clientId: undefined, principal: undefined, address: elsewhere, by: 'broker' }])
    for (let count = 0; count < 8; count += 1) await answered(elsewhere, owner('a'), 0x8a)
    await answered(home, owner('a'), 0)
    await advance(10_000)
    await answered(elsewhere, owner('b'), 0)
    expect(bansOf()).toEqual([])
  })

  test('a refusal that is not the client’s doing is not held against it', async () => {
    const busy: Authenticator = { name: 'busy', authenticate: () => deny(0x88, 'not today') }
    const { answered, bansOf } = start({ authenticators: [busy], limits: { maxRefusalsPerMinute: 1 } })
    for (let count = 0; count < 5; count += 1) await answered(elsewhere, { clientId: 'a' }, 0x88)
    expect(bansOf()).toEqual([])
  })

  test('a ban of the broker’s own makes room for the next; one of a person is not shortened by it', async () => {
    const { answered, owner, bansOf, broker } = start({ limits: { maxRefusalsPerMinute: 1, maxBans: 2 } })
    broker.bans.add({ clientId: 'a', address: elsewhere })
    const fail = async (clientId: string, address: string): Promise<void> => {
      for (let count = 0; count < 2; count += 1) await answered(address, owner(clientId, { password: 'x' }), 0x86)
    }
    await fail('b', elsewhere)
    await fail('c', elsewhere)
    expect(bansOf().map(({ clientId, by }) => [clientId, by])).toEqual([
      ['a', 'operator'],
      ['c', 'broker'],
    ])
  })
})

describe('over sockets', () => {
  test('connections from a banned address are closed before anything of them is read', async () => {
    const { broker, listen, events, settle } = start()
    const { port } = await listen({ transport: 'tcp', port: 0 })
    broker.bans.add({ address: '127.0.0.0/8' })
    const socket = connectSocket(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.on('error', () => {})
    socket.write(connect({ clientId: 'a' }))
    let bytes = 0
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length))
    await once(socket, 'close')
    await settle()
    expect(bytes).toBe(0)
    expect(events.filter(({ type }) => type === 'connection.refused')).toEqual([
      expect.objectContaining({
        reason: 'banned',
        connection: expect.objectContaining({ remoteAddress: '127.0.0.1' }),
      }),
    ])
    expect(events.filter(({ type }) => type === 'connection.opened')).toEqual([])
  })

  test('behind a proxy it is the client’s address that counts, not the proxy’s', async () => {
    const { broker, listen, tcp, owner } = start()
    const { port } = await listen({ transport: 'tcp', port: 0, proxyProtocol: { trustedAddresses: ['127.0.0.1'] } })
    broker.bans.add({ address: '127.0.0.1' })
    broker.bans.add({ address: elsewhere })
    const good = await tcp(port)
    good.send(Buffer.from(`PROXY TCP4 ${home} 192.0.2.1 1000 1883\r\n`), connect(owner('a')))
    await good.expectPacket('connack', { reasonCode: 0 })
    const bad = await tcp(port)
    bad.send(Buffer.from(`PROXY TCP4 ${elsewhere} 192.0.2.1 1000 1883\r\n`), connect(owner('b')))
    await bad.expectClosed()
  })
})

test('a history says that it was a ban, or that the broker is drained', async () => {
  const { broker, answered, owner, advance } = start({ history: true })
  broker.bans.add({ clientId: 'a' })
  broker.bans.add({ principal: 'eve' })
  await answered(home, owner('a'), 0x8a)
  await answered(home, owner('b', { username: 'eve' }), 0x8a)
  await broker.drain({ serverReference: 'elsewhere' })
  await answered(home, owner('c'), 0x9c)
  await advance(0)
  const decisionOf = (clientId: string) => {
    const { by, name, reason, reasonCode } = broker.inspection.history(clientId).at(-1)!.decision!
    return [by, name, reason, reasonCode]
  }
  expect(['a', 'b', 'c'].map(decisionOf)).toEqual([
    ['operator', 'bans', 'banned', 0x8a],
    ['operator', 'bans', 'banned', 0x8a],
    ['operator', 'drain', 'the broker is being drained; sent to elsewhere', 0x9c],
  ])
})
