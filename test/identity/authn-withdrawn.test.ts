/** Users who are gone, and passwords that have changed: what becomes of those who are in already. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { hash } from '@node-rs/argon2'
import { describe, expect, onTestFinished, test } from 'vitest'

import {
  addScramUser,
  allow,
  mutualTls,
  next,
  passwordFile,
  removeScramUser,
  scram,
  staticUsers,
  type Authenticator,
  type BrokerEvent,
  type BrokerOptions,
  type Next,
} from '../../src/index.ts'
import { localhostPair, testAuthority } from '../support/certificates.ts'
import { RawClient } from '../support/raw-client.ts'
import { ScramClient } from '../support/scram-client.ts'
import { answer, challengeOf } from '../support/scram-login.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker } from '../support/test-broker.ts'
import { connect } from '../support/wire.ts'
import { requestOf, TestLog } from './authn-scene.ts'

const cheap = { memoryCost: 1_024, timeCost: 1 }
const WITHDRAWN = 'its authenticator does not let it in any more'
const OUTDATED = 'what it was let in with has changed'

/** Writes a password file; a user's text is the password. */
async function write(path: string, users: Readonly<Record<string, string | readonly [string, object]>>) {
  const lines = ['{"format":"statemq-passwords","version":1}']
  for (const [user, value] of Object.entries(users)) {
    const [password, fields] = typeof value === 'string' ? [value, {}] : value
    lines.push(JSON.stringify({ user, hash: hashes.get(password) ?? (await hashed(password)), ...fields }))
  }
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 })
}

/** The same password has the same hash, so that a file that is written again changes nobody else. */
const hashes = new Map<string, string>()
async function hashed(password: string): Promise<string> {
  const made = await hash(password, cheap)
  hashes.set(password, made)
  return made
}

const newFile = (): string => join(tempFolder(), 'passwords')

function start(authenticators: readonly Authenticator[], options: BrokerOptions = {}) {
  const t = startBroker({ authenticators, history: true, ...options })
  const log: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => log.push(event))
  /** A client whose session outlives its connection by an hour; its password is its user name unless said. */
  const join = (clientId: string, username: string, password = username) =>
    t.connect({ clientId, username, password, cleanStart: false, properties: { sessionExpiryInterval: 3600 } })
  const view = (clientId: string) => t.broker.sessions.get(clientId)!
  const standing = (clientId: string) => [view(clientId).state, view(clientId).context.standing]
  const revocations = () =>
    log.flatMap((event) => (event.type === 'authority.revoked' ? [`${event.clientId}: ${event.reason}`] : []))
  const lastDecision = (clientId: string) => t.broker.inspection.history(clientId).at(-1)?.decision
  return { ...t, join, view, standing, revocations, lastDecision }
}

function opened(path: string, options: Partial<Parameters<typeof passwordFile>[0]> = {}) {
  const file = passwordFile({ path, watch: false, ...options })
  onTestFinished(() => file.close())
  return file
}

describe('a user who is gone from the password file', () => {
  test('loses the grant by the time that reload() resolves, online and offline, and nobody else does', async () => {
    const path = newFile()
    const also = newFile()
    await write(path, { anna: 'anna', bob: 'bob', carl: 'carl' })
    await write(also, { dora: 'dora' })
    const file = opened(path, { unknownUsers: 'next' })
    const t = start([file, opened(also, { name: 'others' })])
    const online = await t.join('a', 'anna')
    const offline = await t.join('a-away', 'anna')
    await offline.subscribe([['in', { qos: 1 }]])
    offline.drop()
    const others = [await t.join('b', 'bob'), await t.join('d', 'dora')]
    await t.settle()
    await t.broker.publish({ topic: 'in', payload: 'x', qos: 1 })
    expect(t.view('a-away').queuedMessages).toBe(1)

    await write(path, { bob: 'bob' })
    await file.reload()
    expect((await online.expectDisconnect(0x87)).properties).toEqual({ reasonString: 'revoked' })
    await t.settle()
    expect([t.standing('a'), t.standing('a-away'), t.view('a-away').queuedMessages]).toEqual([
      ['offline', 'revoked'],
      ['offline', 'revoked'],
      0,
    ])
    expect([t.standing('b'), t.standing('d')]).toEqual([
      ['online', 'valid'],
      ['online', 'valid'],
    ])
    for (const one of others) await one.expectNothing()
    expect(t.revocations()).toEqual([`a: ${WITHDRAWN}: password-file`, `a-away: ${WITHDRAWN}: password-file`])
    expect(t.lastDecision('a')).toEqual({
      ...{ by: 'authenticator', name: 'password-file', reason: WITHDRAWN },
      ...{ reasonCode: 0x87, rule: null },
    })
    // Whom it knows again comes back to the session.
    await write(path, { anna: 'anna', bob: 'bob' })
    await file.reload()
    expect((await t.join('a', 'anna')).connack?.sessionPresent).toBe(true)
    expect(t.standing('a')).toEqual(['online', 'valid'])
  })

  test('loses it as the file is watched', async () => {
    const path = newFile()
    await write(path, { anna: 'anna', bob: 'bob' })
    const t = start([opened(path, { watch: true })])
    const [anna, bob] = [await t.join('a', 'anna'), await t.join('b', 'bob')]
    await write(path, { bob: 'bob' })
    await anna.expectDisconnect(0x87)
    await bob.expectNothing()
  })

  test('an account with an end that is over is as good as gone; one that ends later goes on', async () => {
    const path = newFile()
    await write(path, { anna: 'anna', bob: 'bob' })
    const file = opened(path)
    const t = start([file])
    const [anna, bob] = [await t.join('a', 'anna'), await t.join('b', 'bob')]
    await write(path, {
      anna: ['anna', { expiresAt: '2020-01-01T00:00:00Z' }],
      bob: ['bob', { expiresAt: '2999-01-01T00:00:00Z' }],
    })
    await file.reload()
    await anna.expectDisconnect(0x87)
    await bob.expectNothing()
  })

  test('a file that breaks takes nothing from anybody', async () => {
    const path = newFile()
    await write(path, { anna: 'anna' })
    const file = opened(path)
    const t = start([file])
    const anna = await t.join('a', 'anna')
    writeFileSync(path, 'broken\n')
    await expect(file.reload()).rejects.toMatchObject({ code: 'SMQ_PASSWORD_FILE_INVALID' })
    await anna.expectNothing()
    expect(t.standing('a')).toEqual(['online', 'valid'])
  })

  test('a client on its way in, decided on before, is refused', async () => {
    const answers: ((verdict: Next) => void)[] = []
    const path = newFile()
    await write(path, { anna: 'anna' })
    const file = opened(path)
    let asked = (): void => {}
    const isAsked = new Promise<void>((resolve) => (asked = resolve))
    const onRegister = (): Promise<Next> => {
      asked()
      return new Promise((resolve) => answers.push(resolve))
    }
    const t = start([file], { hooks: { onRegister } })
    const newcomer = t.first(connect({ clientId: 'a', username: 'anna', password: 'anna' }))
    await isAsked
    await write(path, {})
    await file.reload()
    for (const answer of answers) answer(next())
    await newcomer.expectRefused(0x87)
  })

  test('a password that is being checked while the file is read again counts by the new file', async () => {
    const path = newFile()
    // Its hash takes long enough for the file to be read twice.
    hashes.set('slow', await hash('slow', { memoryCost: 65_536, timeCost: 12 }))
    await write(path, { slow: 'slow', anna: 'anna', bob: 'bob' })
    const file = opened(path, { maxConcurrentHashes: 1 })
    const ask = async (username: string) => file.authenticate(requestOf({ username, password: Buffer.from(username) }))
    // The last two wait for the first: their users were looked up before.
    const [, ...pending] = [ask('slow'), ask('anna'), ask('bob')]
    await write(path, { bob: ['bob', { roles: ['new'] }] })
    await file.reload()
    expect(await Promise.all(pending)).toMatchObject([
      { type: 'deny', reasonCode: 0x86 },
      { type: 'allow', roles: ['new'] },
    ])
  })
})

describe('a password that has changed', () => {
  test('ends the connections that the old one opened; sessions and what waits for them stay', async () => {
    const path = newFile()
    await write(path, { anna: 'anna', bob: 'bob' })
    const file = opened(path)
    const t = start([file])
    const [anna, bob] = [await t.join('a', 'anna'), await t.join('b', 'bob')]
    await anna.subscribe([['in', { qos: 1 }]])
    const away = await t.join('a-away', 'anna')
    away.drop()
    await t.settle()
    await write(path, { anna: 'changed', bob: 'bob' })
    await file.reload()
    expect((await anna.expectDisconnect(0x87)).properties).toEqual({ reasonString: OUTDATED })
    await bob.expectNothing()
    expect(t.lastDecision('a')).toMatchObject({ by: 'authenticator', name: 'password-file', reason: OUTDATED })
    await t.broker.publish({ topic: 'in', payload: 'x', qos: 1 })
    expect([t.standing('a'), t.standing('a-away')]).toEqual([
      ['offline', 'valid'],
      ['offline', 'valid'],
    ])
    const back = await t.join('a', 'anna', 'changed')
    await back.expectPublish({ topic: 'in', payload: 'x', qos: 1 })
    // It was let in by the new one: the next reading has nothing against it.
    await file.reload()
    await back.expectNothing()
    expect(t.revocations()).toEqual([])
  })

  test('a connection that has taken over counts by what it brought itself', async () => {
    const path = newFile()
    await write(path, { anna: 'anna' })
    const file = opened(path)
    const t = start([file])
    await t.join('a', 'anna')
    const second = await t.join('a', 'anna')
    await file.reload()
    await second.expectNothing()
    await write(path, { anna: 'changed' })
    await file.reload()
    await second.expectDisconnect(0x87)
  })
})

describe('SCRAM', () => {
  const sha256 = 'SCRAM-SHA-256'
  const begin = (client: RawClient, login: ScramClient, clientId: string): RawClient =>
    client.send(
      connect({
        clientId,
        properties: {
          sessionExpiryInterval: 3600,
          authenticationMethod: sha256,
          authenticationData: Buffer.from(login.first()),
        },
      }),
    )

  async function scene() {
    const path = join(tempFolder(), 'scram.users')
    for (const user of ['anna', 'bob', 'carl']) await addScramUser(path, { user, password: user, iterations: 4096 })
    const log = new TestLog()
    const users = scram({ users: path, logger: log })
    onTestFinished(() => users.close?.())
    const t = start([users])
    const logIn = async (user: string): Promise<RawClient> => {
      const [client, login] = [t.attach(), new ScramClient(sha256, user, user)]
      begin(client, login, user)
      client.send(answer(sha256, login.final(await challengeOf(client))))
      await client.expectPacket('connack', { reasonCode: 0 })
      return client
    }
    return { ...t, path, log, logIn }
  }

  test('a user who is removed is revoked, one with another password has to come again, others stay', async () => {
    const t = await scene()
    const [anna, bob, carl] = [await t.logIn('anna'), await t.logIn('bob'), await t.logIn('carl')]
    await removeScramUser(t.path, 'anna')
    await anna.expectDisconnect(0x87)
    await addScramUser(t.path, { user: 'bob', password: 'new', iterations: 4096 })
    expect((await bob.expectDisconnect(0x87)).properties).toEqual({ reasonString: OUTDATED })
    await carl.expectNothing()
    expect([t.standing('anna'), t.standing('bob'), t.standing('carl')]).toEqual([
      ['offline', 'revoked'],
      ['offline', 'valid'],
      ['online', 'valid'],
    ])
    expect(t.revocations()).toEqual([`anna: ${WITHDRAWN}: scram`])
  })

  test('who is removed between the messages of an exchange is refused at its end', async () => {
    const t = await scene()
    const [client, login] = [t.attach(), new ScramClient(sha256, 'anna', 'anna')]
    begin(client, login, 'anna')
    const challenge = await challengeOf(client)
    await removeScramUser(t.path, 'anna')
    await t.log.logged('was read again')
    client.send(answer(sha256, login.final(challenge)))
    await client.expectRefused(0x87)
  })
})

describe('an authenticator that comes with a reload', () => {
  test('takes back what one of its name has granted, and leaves alone what others have', async () => {
    const people = (users: Record<string, { password: string }>) => staticUsers(users, 'people')
    const anybody: Authenticator = {
      name: 'anybody',
      authenticate: ({ username }) => (username === 'guest' ? allow() : next()),
    }
    const t = start([anybody, people({ anna: { password: 'anna' }, bob: { password: 'bob' }, c: { password: 'c' } })])
    const clients = [await t.join('a', 'anna'), await t.join('b', 'bob'), await t.join('c', 'c')] as const
    const guest = await t.join('g', 'guest')
    await t.broker.reload({ authenticators: [people({ bob: { password: 'bob' }, c: { password: 'changed' } })] })
    await clients[0].expectDisconnect(0x87)
    await clients[1].expectNothing()
    expect((await clients[2].expectDisconnect(0x87)).properties).toEqual({ reasonString: OUTDATED })
    await guest.expectNothing()
    expect([t.standing('a'), t.standing('c')]).toEqual([
      ['offline', 'revoked'],
      ['offline', 'valid'],
    ])
  })

  test('of several of one name it takes one to keep a grant', async () => {
    const [first, second] = [newFile(), newFile()]
    await write(first, { anna: 'anna' })
    await write(second, { bob: 'bob' })
    const t = start([opened(first, { unknownUsers: 'next' }), opened(second)])
    const clients = [await t.join('a', 'anna'), await t.join('b', 'bob')] as const
    await t.broker.reload({ authenticators: [opened(first, { unknownUsers: 'next' }), opened(second)] })
    for (const one of clients) await one.expectNothing()
  })

  test('one whose review throws, or answers with anything else, changes nothing, and the log says so', async () => {
    const guarded = (review: () => never): Authenticator => ({ name: 'mine', authenticate: () => allow(), review })
    const log = new TestLog()
    const fails = (): never => {
      throw new Error('the database is away')
    }
    const t = start([guarded(fails)], { logger: log })
    const client = await t.join('a', 'anna')
    for (const review of [fails, () => 'gone' as never]) await t.broker.reload({ authenticators: [guarded(review)] })
    await client.expectNothing()
    expect(await log.logged('failed at what it has let in')).toMatchObject({
      authenticator: 'mine',
      err: { message: 'the database is away' },
    })
  })

  test('mutual TLS: a certificate that is revoked by a list, or a name that is known no more', async () => {
    const authority = testAuthority()
    const t = start([mutualTls()])
    const certificateOf = (name: string) => authority.issue({ subject: `/CN=${name}` })
    const listener = await t.broker.listen({
      ...{ transport: 'tls', port: 0, ...localhostPair(), ca: authority.cert, requestCert: true },
    })
    const { port } = listener.address as { port: number }
    const come = async (name: string): Promise<RawClient> => {
      const socket = connectTls({ port, ca: authority.cert, servername: 'localhost', ...certificateOf(name) })
      onTestFinished(() => void socket.destroy())
      await once(socket, 'secureConnect')
      const client = new RawClient(socket)
      await client.send(connect({ clientId: name })).expectPacket('connack', { reasonCode: 0 })
      return client
    }
    const [lost, sold, kept] = [await come('lost'), await come('sold'), await come('kept')]
    const { grant, connection } = t.view('lost').context
    const fingerprint = connection.tls!.clientCertificate!.fingerprint256
    await t.broker.reload({ authenticators: [mutualTls({ revokedFingerprints: [fingerprint] })] })
    await lost.expectDisconnect(0x87)
    await t.broker.reload({ authenticators: [mutualTls({ users: { kept: {} } })] })
    await sold.expectDisconnect(0x87)
    await kept.expectNothing()
    expect(t.revocations()).toEqual([`lost: ${WITHDRAWN}: mutual-tls`, `sold: ${WITHDRAWN}: mutual-tls`])
    expect(grant?.principal).toBe('lost')
  })
})

describe('behind a restart', () => {
  test('sessions of users who went meanwhile are revoked when their listener is open, by its own file', async () => {
    const [path, own] = [newFile(), newFile()]
    const users = { anna: 'anna', bob: 'bob' }
    await write(path, users)
    await write(own, users)
    const directory = tempFolder()
    const run = async () => {
      const t = start([opened(path)], { store: { type: 'lmdb', directory } })
      await t.broker.ready
      return t
    }
    const before = await run()
    for (const name of ['outer', 'inner']) {
      const authenticators = name === 'inner' ? { authenticators: [opened(own)] } : {}
      const { port } = await before.listen({ transport: 'tcp', port: 0, name, ...authenticators })
      for (const user of ['anna', 'bob']) {
        const client = await before.tcp(port)
        const input = { clientId: `${name}-${user}`, username: user, password: user, cleanStart: false }
        client.send(connect({ ...input, properties: { sessionExpiryInterval: 3600 } }))
        await client.expectPacket('connack', { reasonCode: 0 })
      }
    }
    await before.close()
    await write(path, { bob: 'bob' })
    await write(own, { anna: 'anna' })

    const after = await run()
    const file = opened(path)
    await after.broker.reload({ authenticators: [file] })
    // Their listeners are not open yet, and may have other users.
    expect(after.revocations()).toEqual([])
    await after.broker.listen({ transport: 'tcp', port: 0, name: 'outer' })
    await after.broker.listen({ transport: 'tcp', port: 0, name: 'inner', authenticators: [opened(own)] })
    await file.reload()
    expect(after.revocations().toSorted()).toEqual([
      `inner-bob: ${WITHDRAWN}: password-file`,
      `outer-anna: ${WITHDRAWN}: password-file`,
    ])
    expect(['outer-anna', 'outer-bob', 'inner-anna', 'inner-bob'].map((id) => after.standing(id)[1])).toEqual([
      'revoked',
      'valid',
      'valid',
      'revoked',
    ])
  })
})
