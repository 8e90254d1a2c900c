/**
 * Clients that do what they like with who they are, and an operator who does too: connections, takeovers, authentications
 * of every outcome, wills, changes of roles, properties and rules, reloads, and time that passes. After every few steps
 * what the broker knows of its sessions has to fit together.
 */
import type { Duplex } from 'node:stream'
import { expect } from 'vitest'

import {
  allow,
  challenge,
  createBroker,
  deny,
  next,
  StatemqError,
  type AuthenticationRequest,
  type Authenticator,
  type Broker,
  type BrokerEvent,
  type BrokerOptions,
  type LocalClient,
  type RoleDefinitions,
  type SessionView,
  type Verdict,
} from '../../src/index.ts'
import { memoryPair } from '../../src/net/memory.ts'
import { drawFrom, type Draw } from '../support/draw.ts'
import { SimulatedClock } from '../support/simulated-clock.ts'
import { settle } from '../support/test-broker.ts'
import {
  auth,
  connect,
  disconnect,
  pingreq,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  unsubscribe,
} from '../support/wire.ts'
import { decode, splitFrame, type ServerPacket } from '../support/wire-decode.ts'

const clientIds = ['a', 'b', 'c', 'd', 'e']
const users = ['anna', 'bert', 'cleo']
const roleNames = ['reader', 'writer', 'admin', 'guest']
const topics = ['a/1', 'a/2', 'b/1', 'b/2/x']
const filters = ['a/#', 'b/#', '+/1', 'b/2/+', '#', '$share/g/a/#', '$share/g/#']
const selections = ['all', 'hasRoles ["reader"]', '$Principal is "anna"', 'team is "red" or not hasRoles ["writer"]']
const method = 'TICKET'

/** A client as its network sees it: it answers what has to be answered, and nothing by itself. */
class Peer {
  readonly version: 4 | 5
  readonly #stream: Duplex
  readonly #draw: Draw
  #pending: Buffer = Buffer.alloc(0)
  #packetId = 0
  /** It came by the method, so it may authenticate again. */
  byTicket = false
  isOnline = false
  isClosed = false

  constructor(stream: Duplex, version: 4 | 5, draw: Draw) {
    this.version = version
    this.#stream = stream
    this.#draw = draw
    stream.on('data', (chunk: Buffer) => this.#receive(chunk))
    const close = (): void => void (this.isClosed = true)
    stream.on('end', close).on('close', close).on('error', close)
  }

  send(bytes: Buffer): void {
    if (!this.isClosed) this.#stream.write(bytes)
  }

  drop(): void {
    this.isClosed = true
    this.#stream.destroy()
  }

  packetId(): number {
    this.#packetId = (this.#packetId % 60_000) + 1
    return this.#packetId
  }

  #receive(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk])
    for (let split = splitFrame(this.#pending); split; split = splitFrame(this.#pending)) {
      this.#pending = split.rest
      this.#answer(decode(split.frame, this.version))
    }
  }

  #answer(packet: ServerPacket): void {
    if (packet.type === 'connack') this.isOnline = packet.reasonCode === 0
    // Now and then it has forgotten what it had to say.
    if (this.#draw(20) === 0) return
    if (packet.type === 'publish' && packet.qos === 1) this.send(puback(packet.packetId!))
    if (packet.type === 'publish' && packet.qos === 2) this.send(pubrec(packet.packetId!))
    if (packet.type === 'pubrel') this.send(pubcomp(packet.packetId))
    if (packet.type === 'pubrec' && packet.reasonCode < 0x80) this.send(pubrel(packet.packetId))
    if (packet.type === 'auth' && packet.reasonCode === 0x18) this.send(ticket(0x18, this.#draw))
  }
}

const usual = ['allow', 'brief', 'later', 'ask', 'limited']
const unusual = ['deny', 'fail', 'garbage']
function word(draw: Draw): string {
  const words = draw(5) === 0 ? unusual : usual
  return words[draw(words.length)]!
}

const ticket = (reasonCode: 0x18 | 0x19, draw: Draw): Buffer =>
  auth(reasonCode, { authenticationMethod: method, authenticationData: Buffer.from(word(draw)) })

/** What a watch was told, held against what is so. */
interface Watched {
  readonly filter: string
  readonly known: Set<string>
  stop(): void
}

export class Soak {
  readonly broker: Broker
  readonly clock = new SimulatedClock()
  readonly failures: string[] = []
  /** How often each thing happened, so that a run that does nothing is seen to. */
  readonly happened = new Map<string, number>()
  readonly #draw: Draw
  readonly #peers: Peer[] = []
  readonly #inside: LocalClient[] = []
  readonly #pending: ((verdict: Verdict | undefined) => void)[] = []
  readonly #watched: Watched[] = []
  /** Whose each session was when it was first seen, by its identifier. */
  readonly #owners = new Map<string, string | undefined>()

  constructor(seed: number) {
    this.#draw = drawFrom(seed)
    const logger = {
      debug() {},
      info() {},
      warn() {},
      error: (details: object, message: string) => void this.failures.push(`${message} ${JSON.stringify(details)}`),
    }
    this.broker = createBroker({
      clock: this.clock,
      logger,
      authenticators: this.#authenticators(),
      roles: this.#roles(),
      hooks: { onRegister: () => (this.#chance(20) ? this.#later(next()) : next()), onPublish: () => next() },
      limits: {
        grantExpiringMs: 2_000,
        grantGraceMs: 1_000,
        maxTakeoversPerTenSeconds: 1_000,
        maxConnectsPerSecond: 100_000,
      },
    })
    this.broker.events$.subscribe((event) => this.#see(event))
  }

  #chance(percent: number): boolean {
    return this.#draw(100) < percent
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#draw(items.length)]!
  }

  #some(items: readonly string[]): string[] {
    return items.filter(() => this.#chance(40))
  }

  #see(event: BrokerEvent): void {
    this.happened.set(event.type, (this.happened.get(event.type) ?? 0) + 1)
    if (event.type === 'session.failed') this.failures.push(`session.failed ${String(event.error)}`)
    if (event.type !== 'session.online') return
    const { sessionId, grant } = event
    if (this.#owners.has(sessionId)) {
      if (this.#owners.get(sessionId) !== grant.principal) this.failures.push(`${sessionId} has another owner`)
    } else this.#owners.set(sessionId, grant.principal)
  }

  // What the broker is set up with.

  #authenticators(): Authenticator[] {
    const judge = (request: AuthenticationRequest, told: string | undefined): Verdict | Promise<Verdict> =>
      this.#judge(request, told ?? 'allow')
    return [
      { name: 'tickets', methods: [method], authenticate: (one) => judge(one, one.authenticationData?.toString()) },
      { name: 'passwords', authenticate: (one) => judge(one, one.password?.toString()) },
    ]
  }

  #judge(request: AuthenticationRequest, told: string): Verdict | Promise<Verdict> {
    const { username, authenticationMethod } = request
    if (username === undefined && authenticationMethod === undefined) return next()
    const verdict = (): Verdict =>
      allow({
        ...(username === undefined ? {} : { principal: username }),
        roles: this.#some(roleNames),
        ...(this.#chance(50) ? { properties: { team: this.#pick(['red', 'blue']) } } : {}),
        ...(told === 'brief' ? { expiresAtMs: this.clock.nowMs() + 1 + this.#draw(10_000) } : {}),
        ...(told === 'limited' ? { limits: { maxQueuedMessages: 3, grantGraceMs: 0 } } : {}),
      })
    if (told === 'deny') return deny(0x87, 'not you')
    if (told === 'ask' && authenticationMethod !== undefined && request.round < 3) return challenge()
    if (told === 'garbage') return { type: 'perhaps' } as never
    if (told === 'fail') throw new Error('the authenticator broke')
    if (told === 'later') return this.#later(verdict())
    return verdict()
  }

  /** An answer that is given when the storm comes to it, or not at all. */
  #later<Answer>(answer: Answer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#pending.push((given) => {
        if (given === undefined) reject(new Error('it broke later'))
        else resolve((given.type === 'deny' ? given : answer) as Answer)
      })
    })
  }

  #roles(): RoleDefinitions {
    const one = (topic: string) =>
      ({
        topic,
        ...(this.#chance(75) ? { allow: ['publish', 'subscribe'] } : { deny: this.#pick(['publish', 'subscribe']) }),
      }) as never
    return Object.fromEntries(
      roleNames.map((name) => [
        name,
        { permissions: [one(this.#pick(['#', 'a/#', '+/1'])), one(this.#pick(['b/#', 'a/%u']))] },
      ]),
    )
  }

  // What happens.

  /** What may happen, with how often beside each other. */
  readonly #moves: Readonly<Record<string, readonly [weight: number, move: () => unknown]>> = {
    connect: [12, () => this.#connect()],
    drop: [2, () => this.#peer()?.drop()],
    leave: [1, () => this.#peer()?.send(disconnect(this.#chance(30) ? 4 : undefined))],
    subscribe: [4, () => this.#withPeer((peer) => subscribe({ ...this.#packet(peer), filters: [this.#filter()] }))],
    unsubscribe: [
      1,
      () => this.#withPeer((peer) => unsubscribe({ ...this.#packet(peer), filters: [this.#pick(filters)] })),
    ],
    publish: [5, () => this.#withPeer((peer) => this.#message(peer))],
    ping: [1, () => this.#withPeer(() => pingreq())],
    reauthenticate: [4, () => this.#withPeer(() => ticket(0x19, this.#draw), true)],
    answer: [6, () => this.#pending.splice(this.#draw(this.#pending.length || 1), 1)[0]?.(this.#verdict())],
    'time passes': [6, () => this.clock.advance(1 + this.#draw(this.#chance(5) ? 60_000 : 1_000))],
    roles: [4, () => this.#operate((target) => this.broker.sessions.changeRoles(target, this.#roleChange()))],
    properties: [
      2,
      () =>
        this.#operate((target) =>
          this.broker.sessions.setProperties(target, { team: this.#chance(30) ? null : this.#pick(['red', 'blue']) }),
        ),
    ],
    attributes: [
      2,
      () =>
        this.#operate((target) =>
          this.broker.sessions.setAttributes(
            target,
            { risk: this.#chance(30) ? null : this.#draw(5) },
            { scope: this.#pick(['session', 'connection'] as const) },
          ),
        ),
    ],
    'an end': [
      1,
      () =>
        this.#operate((target) =>
          this.broker.sessions[this.#pick(['revoke', 'disconnect', 'expire'] as const)](target),
        ),
    ],
    'publish to': [
      2,
      () => this.#operate((target) => this.broker.sessions.publishTo(target, { topic: this.#pick(topics), qos: 1 })),
    ],
    publishes: [2, () => this.broker.publish({ topic: this.#pick(topics), payload: 'x', retain: this.#chance(30) })],
    watch: [2, () => void (this.#watched.length < 4 && this.#watch(this.#pick(selections)))],
    unwatch: [1, () => this.#watched.splice(this.#draw(this.#watched.length || 1), 1)[0]?.stop()],
    reload: [2, () => this.broker.reload(this.#changes())],
    explain: [2, () => this.#explain()],
    inside: [1, () => this.#comeInside()],
  }

  #nextMove(): string {
    const all = Object.entries(this.#moves)
    let left = this.#draw(all.reduce((sum, [, [weight]]) => sum + weight, 0))
    return all.find(([, [weight]]) => (left -= weight) < 0)![0]
  }

  async step(): Promise<void> {
    const name = this.#nextMove()
    try {
      await this.#moves[name]![1]()
    } catch (error) {
      // What may be refused is; anything else is a fault.
      if (!(error instanceof StatemqError)) throw new Error(`${name} failed`, { cause: error })
    }
    for (let at = this.#peers.length - 1; at >= 0; at -= 1) if (this.#peers[at]!.isClosed) this.#peers.splice(at, 1)
  }

  #connect(): void {
    const [ours, theirs] = memoryPair()
    this.broker.attach(theirs)
    const version = this.#pick([4, 5] as const)
    const peer = new Peer(ours, version, this.#draw)
    this.#peers.push(peer)
    const clientId = this.#pick(clientIds)
    // Mostly the one whose it is.
    const usual = users[clientIds.indexOf(clientId) % users.length]!
    const username = this.#chance(90) ? { username: this.#chance(85) ? usual : this.#pick(users) } : {}
    const byTicket = version === 5 && this.#chance(60)
    peer.byTicket = byTicket
    const data = { authenticationMethod: method, authenticationData: Buffer.from(word(this.#draw)) }
    const will = { topic: this.#pick(topics), payload: 'will', qos: this.#pick([0, 1, 2] as const) }
    peer.send(
      connect({
        version,
        clientId,
        cleanStart: this.#chance(30),
        ...(this.#chance(30) ? { keepAlive: 1 + this.#draw(60) } : {}),
        ...username,
        ...(username.username === undefined || byTicket ? {} : { password: word(this.#draw) }),
        ...(this.#chance(40) ? { will } : {}),
        ...(version === 5
          ? { properties: { sessionExpiryInterval: this.#draw(3) * 60, ...(byTicket ? data : {}) } }
          : {}),
      }),
    )
    if (this.#chance(5)) peer.drop()
  }

  #peer(): Peer | undefined {
    return this.#peers.length === 0 ? undefined : this.#pick(this.#peers)
  }

  #withPeer(make: (peer: Peer) => Buffer, byTicket = false): void {
    const online = this.#peers.filter((peer) => peer.isOnline && (peer.byTicket || !byTicket))
    if (online.length === 0) return
    const peer = this.#pick(online)
    peer.send(make(peer))
  }

  #packet(peer: Peer) {
    return { version: peer.version, packetId: peer.packetId() }
  }

  #filter() {
    return [this.#pick(filters), { qos: this.#draw(3) as 0 | 1 | 2 }] as const
  }

  #message(peer: Peer): Buffer {
    const qos = this.#draw(3) as 0 | 1 | 2
    const { version, packetId } = this.#packet(peer)
    return publish({
      version,
      topic: this.#pick(topics),
      payload: 'x',
      qos,
      retain: this.#chance(10),
      ...(qos === 0 ? {} : { packetId }),
    })
  }

  #verdict(): Verdict | undefined {
    return this.#pick([allow(), allow(), allow(), deny(0x87, 'not now'), undefined])
  }

  #operate<Outcome>(run: (target: { clientId: string } | { filter: string }) => Promise<Outcome>): Promise<Outcome> {
    return run(this.#chance(80) ? { clientId: this.#pick(clientIds) } : { filter: this.#pick(selections) })
  }

  #roleChange() {
    const add = this.#some(roleNames)
    return { add, remove: this.#some(roleNames).filter((name) => !add.includes(name)) }
  }

  #changes(): Parameters<Broker['reload']>[0] {
    return this.#pick<() => Partial<BrokerOptions>>([
      () => ({ roles: this.#roles() }),
      () => ({ authenticators: this.#authenticators() }),
      () => ({ takeover: this.#pick(['same-principal', 'same-principal-when-offline'] as const) }),
      () => ({ willPolicy: this.#pick(['grant', 'unexpired-grant'] as const) }),
      () => ({ grantExpiry: this.#pick(['disconnect', 'stay-without-rights'] as const) }),
      () => ({ failedReauthentication: this.#pick(['disconnect', 'keep'] as const) }),
      () => ({ partialSubscriptions: this.#pick(['filter', 'refuse'] as const), roles: this.#roles() }),
      () => ({ allowAnonymous: this.#chance(70), anonymousRoles: this.#some(roleNames) }),
    ])()
  }

  #explain(): void {
    const action = this.#pick(['publish', 'deliver', 'subscribe', 'connect'] as const)
    const topic = this.#pick(action === 'subscribe' ? filters : topics)
    this.broker.explain({
      clientId: this.#pick(clientIds),
      action,
      ...(action === 'connect' ? {} : { topic }),
    } as never)
  }

  /** Not waited for: who decides on it may take its time. */
  #comeInside(): void {
    const one = this.#chance(50) ? this.#inside.pop() : undefined
    if (one) return void one.close()
    if (this.#inside.length > 1) return
    this.broker
      .client({ clientId: this.#pick(clientIds), username: 'anna' })
      .then((client) => {
        this.#inside.push(client)
        client.messages(this.#pick(filters)).subscribe({ error: () => {} })
      })
      .catch((error: unknown) => {
        if (!(error instanceof StatemqError)) this.failures.push(`inside: ${String(error)}`)
      })
  }

  #watch(filter: string): void {
    const known = new Set<string>()
    const subscription = this.broker.sessions.watch(filter).subscribe({
      next: ({ type, session }) => {
        const isNew = type === 'initial' || type === 'added'
        if (isNew === known.has(session.sessionId) && type !== 'changed') this.failures.push(`${filter}: ${type} twice`)
        if (type === 'removed') known.delete(session.sessionId)
        else known.add(session.sessionId)
      },
    })
    this.#watched.push({ filter, known, stop: () => subscription.unsubscribe() })
  }

  // What must be so.

  async check(): Promise<void> {
    await settle()
    const views = [...this.broker.sessions.values()]
    const idsOf = (some: readonly SessionView[]): string[] => some.map(({ sessionId }) => sessionId).toSorted()
    const where = (isOne: (view: SessionView) => boolean): string[] => idsOf(views.filter(isOne))
    const { sessions } = this.broker
    for (const name of roleNames)
      expect(idsOf(sessions.select(`hasRoles ["${name}"]`))).toEqual(where(({ grant }) => grant!.roles.includes(name)))
    for (const name of users)
      expect(idsOf(sessions.select(`$Principal is "${name}"`))).toEqual(where(({ grant }) => grant!.principal === name))
    for (const { filter, known } of this.#watched) expect([...known].toSorted()).toEqual(idsOf(sessions.select(filter)))
    for (const { clientId, state, context, actorRef } of views) {
      expect([clientId, actorRef.getSnapshot().status]).toEqual([clientId, 'active'])
      expect(sessions.get(clientId)!.sessionId).toBe(context.sessionId)
      if (state === 'offline') expect({ ...context.connectionAttributes }).toEqual({})
    }
    expect(this.failures).toEqual([])
  }

  /** Everybody leaves, and time does the rest. */
  async end(): Promise<void> {
    for (const peer of this.#peers.splice(0)) peer.drop()
    for (const client of this.#inside.splice(0)) await client.close()
    for (const answer of this.#pending.splice(0)) answer(allow())
    for (const { stop } of this.#watched.splice(0)) stop()
    for (let hour = 0; hour < 3; hour += 1) {
      await settle()
      this.clock.advance(3_600_000)
    }
    await settle()
    // Sessions of 3.1.1 have no end of their own.
    await this.broker.sessions.expire({ filter: 'all' })
    // A topic that nobody has: the router keeps what the last one has matched.
    await this.broker.publish({ topic: 'nobody' })
    await settle()
    this.#owners.clear()
  }
}
