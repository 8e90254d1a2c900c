/**
 * Threat 94 over the whole system: every path on which a secret comes in carries one that occurs nowhere else, and none
 * is found in what goes out: log, events, hooks, snapshots, inspection, errors, what an operator asks, files of the store.
 */
import { hash } from '@node-rs/argon2'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import pino from 'pino'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { StateMachine, StateNode, type AnyActorRef, type AnyStateMachine, type InspectionEvent } from 'xstate'

import {
  addScramUser,
  allow,
  authenticator,
  challenge,
  deny,
  jwt,
  passwordFile,
  scram,
  webhook,
  type Authenticator,
  type BrokerEvent,
  type BrokerOptions,
  type Hooks,
} from '../../src/index.ts'
import { observedEvents } from '../../src/observers.ts'
import { decisionHooks } from '../../src/session/hook-chain.ts'
import { Canaries, everythingIn } from '../support/canaries.ts'
import { localhostPair } from '../support/certificates.ts'
import { audience, issuer, seconds, signWithSecret } from '../support/jwt-issuer.ts'
import type { RawClient } from '../support/raw-client.ts'
import { ScramClient } from '../support/scram-client.ts'
import { logIn } from '../support/scram-login.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker } from '../support/test-broker.ts'
import { connectTls } from '../support/tls-clients.ts'
import { auth, connect, type ConnectInput } from '../support/wire.ts'

/** Of the program, the same for every client, and large. */
const isChart = (object: object): boolean => object instanceof StateMachine || object instanceof StateNode

/** Where secrets must not be, by name; everything that was ever there. */
class Sinks {
  readonly texts = new Map<string, string[]>()

  add(sink: string, value: unknown): void {
    const texts = this.texts.get(sink) ?? []
    texts.push(typeof value === 'string' ? value : everythingIn(value, isChart))
    this.texts.set(sink, texts)
  }

  /** For each sink whether it was used at all, and which secrets are in it. */
  judge(canaries: Canaries, control: string): Record<string, readonly [used: boolean, found: string[]]> {
    return Object.fromEntries(
      [...this.texts].map(([sink, texts]) => {
        const text = texts.join('\n')
        return [sink, [text.includes(control), [...new Set(canaries.found(text))]]]
      }),
    )
  }
}

type GetInitialSnapshot = AnyStateMachine['getInitialSnapshot']

/** Everything that XState tells an inspector of an actor, from its making on; the actor is kept to be asked for snapshots. */
class Inspector {
  readonly actors = new Set<AnyActorRef>()
  readonly #sinks: Sinks

  constructor(sinks: Sinks) {
    this.#sinks = sinks
  }

  watching(original: GetInitialSnapshot): GetInitialSnapshot {
    const watch = (actor: AnyActorRef): void => {
      this.actors.add(actor)
      actor.system.inspect((event: InspectionEvent) => {
        this.#sinks.add('inspection', { ...event, actorRef: undefined, sourceRef: undefined })
      })
    }
    return function (this: AnyStateMachine, ...given) {
      watch(given[0].self as AnyActorRef)
      return original.apply(this, given)
    }
  }
}

/** A plugin with every hook that there is, each of which tells what it was called with. */
function listening(sinks: Sinks): Hooks {
  const names = [...decisionHooks, ...Object.keys(observedEvents)]
  return Object.fromEntries(
    names.map((name) => [name, (...given: unknown[]) => (sinks.add(`hook ${name}`, given), { type: 'next' })]),
  )
}

/** A web service whose answers are none, and hold secrets: by the name that it is asked about. */
async function talkativeService(secret: string) {
  const answers: Readonly<Record<string, readonly [status: number, body: string]>> = {
    'strange-field': [200, JSON.stringify({ verdict: 'allow', strange: secret })],
    'wrong-field': [200, JSON.stringify({ verdict: 'allow', roles: secret })],
    'no-verdict': [200, JSON.stringify({ verdict: secret })],
    'no-json': [200, secret],
    'no-success': [500, JSON.stringify({ verdict: 'allow', error: secret })],
  }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { username } = JSON.parse(Buffer.concat(chunks).toString()) as { username: string }
      const [status, body] = answers[username] ?? [404, secret]
      response.writeHead(status, { 'content-type': 'application/json', 'x-secret': secret }).end(body)
    })
  })
  onTestFinished(() => void server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, users: Object.keys(answers) }
}

async function scene() {
  const canaries = new Canaries()
  const sinks = new Sinks()
  const inspector = new Inspector(sinks)
  // Of wills and of the broker; a machine binds its methods when it is made.
  const original = StateMachine.prototype.getInitialSnapshot
  const spy = vi.spyOn(StateMachine.prototype, 'getInitialSnapshot').mockImplementation(inspector.watching(original))
  onTestFinished(() => spy.mockRestore())
  const folder = tempFolder()
  const log = pino({ level: 'trace' }, { write: (line: string) => sinks.add('log', line) })

  const passwords = { right: canaries.plant('right password'), scram: canaries.plant('password of SCRAM') }
  const hashed = await hash(passwords.right, { memoryCost: 1_024, timeCost: 1 })
  canaries.add('hash in the password file', hashed.split('$').at(-1)!)
  writeFileSync(
    join(folder, 'passwords'),
    `{"format":"statemq-passwords","version":1}\n${JSON.stringify({ user: 'anna', hash: hashed, roles: ['r'] })}\n`,
  )
  await addScramUser(join(folder, 'scram'), { user: 'sarah', password: passwords.scram, iterations: 4_096 })
  const lines = readFileSync(join(folder, 'scram'), 'utf8')
  for (const [key] of lines.matchAll(/[A-Za-z0-9+/]{22,}={0,2}/g))
    canaries.add('key of SCRAM', Buffer.from(key, 'base64'))

  const tokenSecret = canaries.plant('secret of tokens') + canaries.plant('more of it')
  const inAnswer = canaries.plant('answer of the web service')
  const service = await talkativeService(inAnswer)
  const inChallenge = canaries.plant('challenge')
  const inReply = canaries.plant('data with CONNACK')
  const inVerdict = canaries.plant('value in the wrong place of a verdict')
  const inScratch = canaries.plant('scratch space of an exchange')
  const steps = authenticator(
    'steps',
    ({ round, exchange, authenticationData }) => {
      exchange.set('secret', inScratch)
      if (authenticationData?.toString().startsWith('wait')) return new Promise(() => {})
      if (round === 0) return challenge(Buffer.from(inChallenge))
      return allow({ principal: 'stella', authenticationData: Buffer.from(inReply) })
    },
    ['STEPS'],
  )
  const careless = authenticator('careless', ({ username }) => {
    if (username === 'wrong-verdict') return allow({ principal: { name: inVerdict } as never })
    return username === 'mallory' ? deny(0x87, 'not you') : { type: 'next' }
  })
  const clock = { nowMs: (): number => simulatedEpochMs }
  const tokens = jwt({ keys: [{ secret: Buffer.from(tokenSecret) }], issuer, audience, clock, logger: log })
  const authenticators: Authenticator[] = [
    careless,
    passwordFile({ path: join(folder, 'passwords'), unknownUsers: 'next', logger: log }),
    scram({ users: join(folder, 'scram'), logger: log }),
    tokens,
    steps,
    webhook({ url: service.url, headers: { authorization: `Bearer ${canaries.plant('header for the web service')}` } }),
  ]
  onTestFinished(async () => {
    for (const one of authenticators) await one.close?.()
  })
  const options: BrokerOptions = {
    authenticators,
    logger: log,
    hooks: listening(sinks),
    store: { type: 'lmdb', directory: join(folder, 'store') },
    failedReauthentication: 'keep',
  }
  const t = startBroker(options)
  const { machine } = t.broker
  machine.getInitialSnapshot = inspector.watching(machine.getInitialSnapshot).bind(machine)
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => {
    events.push(event)
    sinks.add('events', event)
  })
  t.broker.sessions.watch('all').subscribe((change) => sinks.add('watch', change))
  await t.broker.ready
  return { ...t, canaries, sinks, events, service, actors: inspector.actors, passwords, tokenSecret, folder, options }
}

type Scene = Awaited<ReturnType<typeof scene>>

const kept = (version: 4 | 5): ConnectInput =>
  version === 5 ? { cleanStart: false, properties: { sessionExpiryInterval: 600 } } : { cleanStart: false }

/** A client that is let in or not, and stays. */
async function knock(t: Scene, input: ConnectInput): Promise<void> {
  const client = t.attach({ version: input.version ?? 5 })
  client.send(connect(input))
  expect(await client.next()).toMatchObject({ type: 'connack' })
}

/** By user name and password: the right one, wrong ones, in time and too late, whole and broken. */
async function byPassword(t: Scene, version: 4 | 5): Promise<void> {
  const { right } = t.passwords
  const who = `p${version}`
  const will = { topic: 'gone', payload: 'no secret' }
  const client = await t.connect({ version, clientId: who, ...kept(version), username: 'anna', password: right, will })
  await client.subscribe([['a/#', { qos: 1 }]])
  await client.publish({ topic: 'x', payload: 'y', qos: 1 })
  for (const [username, name] of [
    ['anna', 'wrong password'],
    ['mallory', 'password that is denied'],
    ['wrong-verdict', 'password of whom a wrong verdict is about'],
    ...t.service.users.map((name) => [name, `password of ${name} that the web service gets`] as const),
  ] as (readonly [string, string])[]) {
    await knock(t, { version, clientId: who, username, password: t.canaries.plant(name) })
  }
  // The packet is broken behind the password, and one is not at its place.
  const password = t.canaries.plant('password of a broken CONNECT')
  for (const broken of [{ tail: Buffer.from(password) }, { flags: 0x43 }, { flags: 0xc3 }])
    t.attach({ version }).send(connect({ version, clientId: 'broken', username: 'anna', password, ...broken }))
  client.drop()
  await t.settle()
  await t.connect({ version, clientId: who, ...kept(version), username: 'anna', password: right })
}

async function byToken(t: Scene): Promise<void> {
  const sign = (claims: object): Promise<string> =>
    signWithSecret(Buffer.from(t.tokenSecret), { exp: seconds(600, t.clock.nowMs()), nbf: 0, iat: 0, ...claims })
  const good = await sign({ sub: 'tom' })
  const late = await sign({ sub: 'tom', exp: 1 })
  const forged = `${good.slice(0, -8)}AAAAAAAA`
  for (const token of [good, late, forged]) t.canaries.add('token', token)
  for (const version of [4, 5] as const) {
    for (const password of [good, late, forged]) await knock(t, { version, clientId: 'tom', username: 'any', password })
  }
  const data = (token: string) => ({ authenticationMethod: 'JWT', authenticationData: Buffer.from(token) })
  const client = t.first(connect({ clientId: 'tom-5', properties: data(good) }))
  await client.expectPacket('connack')
  for (const token of [good, forged]) {
    client.send(auth(0x19, data(token)))
    await t.settle()
  }
}

async function byScram(t: Scene): Promise<void> {
  const client = t.attach()
  await logIn(client, 'SCRAM-SHA-256', new ScramClient('SCRAM-SHA-256', 'sarah', t.passwords.scram), {
    clientId: 'sarah',
    password: t.canaries.plant('password beside SCRAM'),
  })
  const guess = t.canaries.plant('wrong password of SCRAM')
  await logIn(t.attach(), 'SCRAM-SHA-512', new ScramClient('SCRAM-SHA-512', 'sarah', guess)).catch(() => {})
}

async function bySteps(t: Scene): Promise<void> {
  const steps = (name: string, text = '') => ({
    authenticationMethod: 'STEPS',
    authenticationData: Buffer.from(text + t.canaries.plant(name)),
  })
  const begin = async (clientId: string): Promise<RawClient> => {
    const password = t.canaries.plant('password beside a method')
    const client = t.first(connect({ clientId, password, properties: steps('data of CONNECT') }))
    await client.expectPacket('auth')
    return client
  }
  const stella = await begin('stella')
  stella.send(auth(0x18, steps('data of AUTH')))
  await stella.expectPacket('connack', { reasonCode: 0 })
  stella.send(auth(0x19, steps('data of a re-authentication')))
  await stella.expectPacket('auth')
  // Three that are under way: before CONNACK, in a challenge, and in a re-authentication.
  stella.send(auth(0x18, steps('data of an answer that waits', 'wait')))
  await begin('challenged')
  t.first(connect({ clientId: 'waiting', properties: steps('data that waits', 'wait') }))
  await t.settle()
}

async function overTls(t: Scene): Promise<void> {
  const pair = localhostPair()
  t.canaries.add('key of TLS', pair.key.split('\n')[2]!)
  const listener = await t.broker.listen({ transport: 'tls', port: 0, ...pair })
  const client = await connectTls('port' in listener.address ? listener.address.port : 0)
  await client.mqtt.connect({ clientId: 'tls', username: 'anna', password: t.passwords.right })
  for (const key of [`${pair.key}x`, pair.key.replace('A', 'B')]) {
    try {
      listener.setSecureContext({ ...pair, key: key.replace('-----END', '--END') })
    } catch (error) {
      t.sinks.add('errors', error)
    }
  }
  await t.broker
    .listen({ transport: 'tls', port: 0, ...pair, key: pair.key.slice(0, 100) })
    .catch((error: unknown) => t.sinks.add('errors', error))
}

/** What an embedder and an operator ask. */
async function ask(t: Scene): Promise<void> {
  const password = t.canaries.plant('password of a client inside')
  for (const username of ['anna', 'mallory']) {
    await t.broker
      .client({ clientId: `inside-${username}`, username, password })
      .catch((error: unknown) => t.sinks.add('errors', ['anna', error]))
  }
  for (const clientId of ['p4', 'p5', 'tom', 'sarah', 'stella', 'inside-mallory', 'broken']) {
    for (const action of ['connect', 'publish', 'receive'] as const) {
      try {
        t.sinks.add('explain', t.broker.explain({ clientId, action, topic: 'a/b' } as never))
      } catch (error) {
        t.sinks.add('errors', error)
      }
    }
  }
  t.sinks.add('select', t.broker.sessions.select('all'))
  t.sinks.add('select', await t.broker.sessions.setProperties({ filter: 'all' }, { colour: 'red' }))
  for (const actor of t.actors) {
    t.sinks.add('snapshots', [actor.getSnapshot(), actor.getPersistedSnapshot?.()])
    t.sinks.add('snapshots', JSON.stringify(actor))
  }
}

describe('threat 94: no secret that comes in goes out', () => {
  test('every path of a credential, every place that tells something', async () => {
    const t = await scene()
    for (const version of [4, 5] as const) await byPassword(t, version)
    await byToken(t)
    await byScram(t)
    await bySteps(t)
    await overTls(t)
    await ask(t)
    await t.broker.sessions.revoke({ clientId: 'p4' })
    await t.advance(700_000)
    await t.close()
    for (const file of readdirSync(join(t.folder, 'store')))
      t.sinks.add('store', readFileSync(join(t.folder, 'store', file)).toString('latin1'))

    // Every path has been walked to its end.
    const online = t.events.flatMap((event) => (event.type === 'session.online' ? [event.grant.authenticator] : []))
    expect(new Set(online)).toEqual(new Set(['password-file', 'jwt', 'scram', 'steps']))
    const refusals = t.events.flatMap((event) => (event.type === 'session.refused' ? [event.reason] : []))
    expect(new Set(refusals)).toEqual(
      new Set([
        'bad user name or password',
        'not you',
        'authentication failed',
        'the token has expired',
        'the signature of the token is wrong',
        'SCRAM authentication failed',
      ]),
    )

    const judged = t.sinks.judge(t.canaries, 'anna')
    const leaks = Object.entries(judged).flatMap(([sink, [, found]]) => found.map((name) => `${name}: ${sink}`))
    expect(leaks).toEqual([])
    const used = Object.entries(judged).flatMap(([sink, [isUsed]]) => (isUsed ? [sink] : []))
    expect(used).toEqual(
      expect.arrayContaining([
        'log',
        'events',
        'watch',
        'inspection',
        'snapshots',
        'explain',
        'select',
        'errors',
        'store',
      ]),
    )
    expect(used).toEqual(
      expect.arrayContaining(['hook onRegister', 'hook onPublish', 'hook onOnline', 'hook onTakeover']),
    )
  })
})
