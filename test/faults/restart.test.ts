/** What a broker with a store has after its process has ended: closed in order, or not at all. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'

import {
  allow,
  deny,
  next,
  StatemqError,
  type Authenticator,
  type BrokerEvent,
  type BrokerOptions,
  type Hooks,
} from '../../src/index.ts'
import type { RawClient } from '../support/raw-client.ts'
import { LmdbStore } from '../../src/store/lmdb.ts'
import { copyStore, tempFolder } from '../support/temp-files.ts'
import { startBroker, type TestBroker } from '../support/test-broker.ts'
import { connect as connectPacket, disconnect, puback, publish, pubrec, unsubscribe } from '../support/wire.ts'

const people: Authenticator = {
  name: 'people',
  authenticate: ({ username }) =>
    allow({ principal: username ?? 'nobody', roles: ['reader'], properties: { team: 'red' } }),
}

/** A broker on a store in a folder of its own, and the ones that come after it. */
function machine(options: BrokerOptions = {}) {
  const directory = tempFolder()
  let running: TestBroker | undefined
  const start = async (): Promise<TestBroker & { events: BrokerEvent[] }> => {
    const broker = startBroker({ authenticators: [people], store: { type: 'lmdb', directory }, ...options })
    running = broker
    const events: BrokerEvent[] = []
    broker.broker.events$.subscribe((event) => events.push(event))
    await broker.broker.ready
    return { ...broker, events }
  }
  onTestFinished(async () => {
    await running?.close()
  })
  return { start, directory }
}

afterEach(() => void vi.restoreAllMocks())

const persistent = { username: 'alice', cleanStart: false, properties: { sessionExpiryInterval: 3600 } } as const

/** What a client gets until nothing more comes: topics, with the packet identifier where it is asked for. */
async function topics(client: RawClient): Promise<string[]> {
  return (await client.drain()).flatMap((packet) => (packet.type === 'publish' ? packet.topic : []))
}

describe.each([4, 5] as const)('a session of MQTT version %i after a restart', (version) => {
  const mine = version === 5 ? persistent : { username: 'alice', cleanStart: false }

  test('is there, with its subscriptions, its grant and what waits for it', async () => {
    const { start } = machine()
    const before = await start()
    const client = await before.connect({ version, clientId: 'c', ...mine })
    await client.subscribe([
      ['a/#', { qos: 2 }],
      ['b', { qos: 1 }],
    ])
    client.drop()
    await before.settle()
    const publisher = await before.connect({ clientId: 'p', username: 'bob' })
    for (const qos of [1, 2] as const) await publisher.publish({ topic: `a/${qos}`, qos, payload: `m${qos}` })
    await publisher.publish({ topic: 'b', qos: 1 })
    const { sessionId, context } = before.broker.sessions.get('c')!
    await before.close()

    const after = await start()
    const view = after.broker.sessions.get('c')!
    const { state, sessionId: same, queuedMessages, subscriptions } = view
    expect([state, same, queuedMessages, subscriptions.toSorted()]).toEqual(['offline', sessionId, 3, ['a/#', 'b']])
    expect(view.grant).toEqual(context.grant)
    expect(view.properties).toEqual({ team: 'red' })
    const back = await after.connect({ version, clientId: 'c', ...mine })
    expect(back.connack?.sessionPresent).toBe(true)
    expect(await topics(back)).toEqual(['a/1', 'a/2', 'b'])
    // And it goes on as if nothing had been.
    await (await after.connect({ clientId: 'p' })).publish({ topic: 'a/live', qos: 1 })
    expect((await back.expectPacket('publish')).topic).toBe('a/live')
  })

  test('belongs to its principal still', async () => {
    const { start } = machine()
    const before = await start()
    ;(await before.connect({ version, clientId: 'c', ...mine })).drop()
    await before.close()
    const after = await start()
    const thief = after.attach()
    thief.send(connectPacket({ version, clientId: 'c', ...mine, username: 'mallory' }))
    thief.version = version
    await thief.expectRefused(version === 5 ? 0x87 : 5)
    expect(after.state('c')).toBe('offline')
  })
})

describe('messages under way', () => {
  test('a QoS 2 message is sent again under its identifier, with DUP, and one that was released is only released', async () => {
    const { start } = machine()
    const before = await start()
    const client = await before.connect({ clientId: 'c', ...persistent })
    await client.subscribe([['t', { qos: 2 }]])
    const publisher = await before.connect({ clientId: 'p' })
    await publisher.publish({ topic: 't', qos: 2, payload: 'one' })
    const one = await client.expectPacket('publish', { dup: false })
    client.send(pubrec(one.packetId!))
    await client.expectPacket('pubrel', { packetId: one.packetId! })
    await publisher.publish({ topic: 't', qos: 2, payload: 'two' })
    const two = await client.expectPacket('publish', { dup: false })
    client.drop()
    await before.close()

    const after = await start()
    const back = await after.connect({ clientId: 'c', ...persistent })
    const resent = [await back.next(), await back.next()]
    expect(resent).toEqual([
      expect.objectContaining({ type: 'pubrel', packetId: one.packetId }),
      expect.objectContaining({ type: 'publish', packetId: two.packetId, dup: true, payload: 'two' }),
    ])
  })

  test('a QoS 2 message that was received is not taken twice', async () => {
    const { start } = machine()
    const before = await start()
    const reader = await before.connect({ clientId: 'r', ...persistent })
    await reader.subscribe([['t', { qos: 1 }]])
    reader.drop()
    const client = await before.connect({ clientId: 'c', ...persistent })
    client.send(publish({ topic: 't', qos: 2, packetId: 7 }))
    await client.expectPacket('pubrec', { packetId: 7 })
    client.drop()
    await before.close()

    const after = await start()
    const back = await after.connect({ clientId: 'c', ...persistent })
    back.send(publish({ topic: 't', qos: 2, packetId: 7, dup: true }))
    await back.expectPacket('pubrec', { packetId: 7 })
    const again = await after.connect({ clientId: 'r', ...persistent })
    await after.settle()
    expect(await topics(again)).toEqual(['t'])
  })

  test('what was acknowledged does not come back', async () => {
    const { start } = machine()
    const before = await start()
    const client = await before.connect({ clientId: 'c', ...persistent })
    await client.subscribe([['t', { qos: 1 }]])
    const publisher = await before.connect({ clientId: 'p' })
    for (const payload of ['one', 'two', 'three']) await publisher.publish({ topic: 't', qos: 1, payload })
    const ids = []
    for (let at = 0; at < 3; at++) ids.push((await client.expectPacket('publish')).packetId!)
    client.send(puback(ids[0]!), puback(ids[2]!))
    await before.settle()
    client.drop()
    await before.close()
    const after = await start()
    const back = await after.connect({ clientId: 'c', ...persistent })
    await back.expectPacket('publish', { payload: 'two', dup: true })
    await back.expectNothing()
  })
})

describe('time goes on while nobody runs', () => {
  test('a session that expires meanwhile is gone, with its will published', async () => {
    const { start } = machine()
    const before = await start()
    const watcher = await before.connect({ clientId: 'w', ...persistent })
    await watcher.subscribe([['gone', { qos: 1 }]])
    watcher.drop()
    const will = { topic: 'gone', payload: 'will of c', qos: 1, properties: { willDelayInterval: 30 } } as const
    const client = await before.connect({
      clientId: 'c',
      ...persistent,
      properties: { sessionExpiryInterval: 60 },
      will,
    })
    client.drop()
    await before.settle()
    await before.close()

    const after = await start()
    expect(after.state('c')).toBe('offline')
    await after.advance(31_000)
    const back = await after.connect({ clientId: 'w', ...persistent })
    expect(await topics(back)).toEqual(['gone'])
    await after.advance(30_000)
    expect(after.state('c')).toBeUndefined()
    expect(await topics(back)).toEqual([])
  })

  test('a will whose client comes back in time is never published', async () => {
    const { start } = machine()
    const before = await start()
    const will = { topic: 'gone', qos: 1, properties: { willDelayInterval: 30 } } as const
    ;(await before.connect({ clientId: 'c', ...persistent, will })).drop()
    await before.settle()
    await before.close()
    const after = await start()
    const watcher = await after.connect({ clientId: 'w' })
    await watcher.subscribe(['gone'])
    await after.connect({ clientId: 'c', ...persistent })
    await after.advance(60_000)
    await watcher.expectNothing()
  })
})

test('a clean start leaves nothing of the session before it', async () => {
  const { start } = machine()
  const before = await start()
  const client = await before.connect({ clientId: 'c', ...persistent })
  await client.subscribe(['t'])
  client.drop()
  ;(await before.connect({ clientId: 'c', username: 'alice' })).send(disconnect())
  await before.settle()
  await before.close()
  const after = await start()
  expect([...after.broker.sessions.keys()]).toEqual([])
})

test('retained messages are there, the last of each topic, and those that were cleared are not', async () => {
  const { start } = machine()
  const before = await start()
  const client = await before.connect({ clientId: 'p' })
  for (const [topic, payload] of [
    ['r/1', 'old'],
    ['r/1', 'new'],
    ['r/2', 'x'],
    ['r/2', ''],
  ] as const) {
    await client.publish({ topic, payload, retain: true, qos: 1 })
  }
  await before.close()
  const after = await start()
  const reader = await after.connect({ clientId: 'r' })
  await reader.subscribe(['r/#'])
  expect(await reader.expectPacket('publish', { topic: 'r/1', retain: true })).toMatchObject({
    payload: 'new',
  })
  await reader.expectNothing()
})

test('roles and attributes that the server set, and an unsubscription, hold', async () => {
  const { start } = machine()
  const before = await start()
  const client = await before.connect({ clientId: 'c', ...persistent })
  await client.subscribe(['a', 'b'])
  client.send(unsubscribe({ packetId: 9, filters: ['a'] }))
  await client.expectPacket('unsuback', { packetId: 9 })
  await before.broker.sessions.changeRoles({ clientId: 'c' }, { add: ['editor'] })
  await before.broker.sessions.setAttributes({ clientId: 'c' }, { logins: 3 }, { scope: 'session' })
  await before.broker.sessions.setAttributes({ clientId: 'c' }, { now: true }, { scope: 'connection' })
  await before.close()
  const after = await start()
  const view = after.broker.sessions.get('c')!
  expect(view.grant?.roles).toEqual(['reader', 'editor'])
  expect(view.attributes).toEqual({ session: { logins: 3 }, connection: {} })
  expect(view.subscriptions).toEqual(['b'])
  expect(after.broker.sessions.select('hasRoles ["editor"]').map(({ clientId }) => clientId)).toEqual(['c'])
})

test('a session that was revoked stays revoked, and its will is not published', async () => {
  const { start } = machine()
  const before = await start()
  const will = { topic: 'gone', qos: 1 } as const
  await before.connect({ clientId: 'c', ...persistent, will })
  await before.broker.sessions.revoke({ clientId: 'c' })
  await before.settle()
  await before.close()
  const after = await start()
  expect(after.broker.sessions.get('c')?.context.standing).toBe('revoked')
  expect(after.events.filter(({ type }) => type === 'will.published')).toEqual([])
})

test('semantics 7.8: the will of a client that was online when its process was killed is sent once, persistent or not', async () => {
  const { start, directory } = machine()
  const before = await start()
  const watcher = await before.connect({ clientId: 'w', ...persistent })
  await watcher.subscribe([['gone/#', { qos: 1 }]])
  watcher.drop()
  await before.connect({ clientId: 'kept', ...persistent, will: { topic: 'gone/kept', qos: 1 } })
  await before.connect({ clientId: 'passing', username: 'bob', will: { topic: 'gone/passing', qos: 1 } })
  // As the next process finds it, if this one is killed now.
  const copy = tempFolder()
  copyStore(directory, copy)
  const after = startBroker({ authenticators: [people], store: { type: 'lmdb', directory: copy } })
  onTestFinished(() => after.close())
  await after.broker.ready
  await after.settle()
  const back = await after.connect({ clientId: 'w', ...persistent })
  await after.settle()
  expect((await topics(back)).toSorted()).toEqual(['gone/kept', 'gone/passing'])
  expect([...after.broker.sessions.keys()].toSorted()).toEqual(['kept', 'w'])
})

test('a session of which a record is damaged is left out whole, and its client can come in', async () => {
  const { start, directory } = machine()
  const before = await start()
  const client = await before.connect({ clientId: 'c', ...persistent })
  await client.subscribe(['t'])
  client.drop()
  await before.close()
  const store = new LmdbStore({ directory })
  await store.open()
  for await (const [session] of store.sessions()) store.putSubscription(session!.key, 't', Buffer.from('not a record'))
  await store.close()
  const after = await start()
  expect(after.state('c')).toBeUndefined()
  const back = await after.connect({ clientId: 'c', ...persistent })
  expect(back.connack?.sessionPresent).toBe(false)
})

test('coming back costs no write: what was away in the store already is left as it is', async () => {
  const { start, directory } = machine()
  const before = await start()
  const client = await before.connect({ clientId: 'c', ...persistent })
  await client.subscribe([['t', { qos: 1 }]])
  client.drop()
  await before.settle()
  await before.broker.publish({ topic: 't', qos: 1 })
  await before.close()
  const bytes = readFileSync(join(directory, 'data.mdb'))
  const after = await start()
  expect(after.broker.sessions.get('c')?.queuedMessages).toBe(1)
  await after.close()
  expect(readFileSync(join(directory, 'data.mdb')).equals(bytes)).toBe(true)
})

describe('a commit that fails', () => {
  /** The store's next promise is broken a turn later, as one that waits for the disk would be. */
  function failNextCommit(): void {
    vi.spyOn(LmdbStore.prototype, 'durable').mockImplementationOnce(
      () =>
        new Promise((_, reject) => setImmediate(() => setImmediate(() => reject(new StatemqError('SMQ_STORE_FULL'))))),
    )
  }

  test('refuses the CONNECT that waited for it: nobody gets DISCONNECT before CONNACK', async () => {
    const { start } = machine()
    const { attach, connect, settle } = await start()
    const client = attach()
    failNextCommit()
    client.send(connectPacket({ clientId: 'c', ...persistent }))
    await client.expectRefused(0x97)
    await settle()
    await connect({ clientId: 'c', ...persistent })
  })

  test('takes the acknowledgement back before it was given', async () => {
    const { start } = machine()
    const { connect } = await start()
    const reader = await connect({ clientId: 'r', ...persistent })
    await reader.subscribe([['t', { qos: 1 }]])
    const publisher = await connect({ clientId: 'p' })
    failNextCommit()
    publisher.send(publish({ topic: 't', qos: 1, packetId: 5 }))
    await publisher.expectDisconnect(0x97)
  })
})

test('what a listener says of wills and lines holds for those who came through it, once it is open again', async () => {
  const { start } = machine({ willPolicy: 'grant' })
  const name = 'plant'
  const listener = { transport: 'tcp', port: 0, name, limits: { maxQueuedMessages: 1 } } as const
  const before = await start()
  const { port } = await before.listen(listener)
  const client = await before.tcp(port)
  await client.connect({ clientId: 'c', ...persistent })
  await client.subscribe([['t', { qos: 1 }]])
  client.drop()
  await vi.waitFor(() => expect(before.state('c')).toBe('offline'))
  await before.close()
  const after = await start()
  await after.listen(listener)
  const publisher = await after.connect({ clientId: 'p' })
  for (let at = 0; at < 3; at++) await publisher.publish({ topic: 't', qos: 1 })
  expect(after.broker.sessions.get('c')?.queuedMessages).toBe(1)
})

test('semantics 7.8: a will that fell due while no broker ran goes by the hooks of its listener', async () => {
  const { start, directory } = machine()
  const asked: string[] = []
  const hooks: Hooks = {
    onPublish: ({ message, will }) => {
      if (will) asked.push(message.topic)
      return asked.length > 1 ? deny(0x87, 'no wills from here') : next()
    },
  }
  const listener = { transport: 'tcp', port: 0, name: 'plant', hooks } as const
  const before = await start()
  const { port } = await before.listen(listener)
  const watcher = await before.connect({ clientId: 'w', ...persistent })
  await watcher.subscribe([['gone', { qos: 1 }]])
  watcher.drop()
  await (await before.tcp(port)).connect({ clientId: 'c', ...persistent, will: { topic: 'gone', qos: 1 } })
  // Asked about at CONNECT, and let be.
  expect(asked).toEqual(['gone'])
  const copy = tempFolder()
  copyStore(directory, copy)
  const after = startBroker({ authenticators: [people], store: { type: 'lmdb', directory: copy } })
  onTestFinished(() => after.close())
  await after.broker.ready
  await after.settle()
  await after.listen(listener)
  await vi.waitFor(() => expect(asked).toEqual(['gone', 'gone']))
  await after.settle()
  const back = await after.connect({ clientId: 'w', ...persistent })
  await back.expectNothing()
})

test('while the store takes nothing, sessions that are to be kept are refused, and others go on', async () => {
  const { start } = machine()
  const { attach, connect } = await start()
  const reader = await connect({ clientId: 'r', ...persistent })
  await reader.subscribe([['t', { qos: 1 }]])
  const fault = vi.spyOn(LmdbStore.prototype, 'fault', 'get')
  for (const [code, reasonCode] of [
    ['SMQ_STORE_FULL', 0x97],
    ['SMQ_STORE_UNAVAILABLE', 0x88],
  ] as const) {
    fault.mockReturnValue(new StatemqError(code))
    const client = attach()
    client.send(connectPacket({ clientId: 'c', ...persistent }))
    await client.expectRefused(reasonCode)
    const passing = await connect({ clientId: 'p', username: 'bob' })
    expect((await passing.publish({ topic: 't', qos: 1 }))?.reasonCode).toBe(0x97)
    expect((await passing.publish({ topic: 'nobody', qos: 1 }))?.reasonCode).toBe(0x10)
  }
})
