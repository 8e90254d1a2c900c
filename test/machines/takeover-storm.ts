/** Clients that fight over one identifier while everything that may happen to a session happens. */
import { expect } from 'vitest'

import type { SessionEvent } from '../../machines/index.ts'
import { challenge, deny, next, type Deny, type Next } from '../../src/index.ts'
import { auth, connect, disconnect, hex, pingreq, puback, publish, subscribe } from '../support/wire.ts'
import { atOnce, Rig, type Pending, type ReplayClient } from './replay-rig.ts'
import { placeOf } from './replay-causes.ts'

export const stepsPerWalk = 500
/** The identifier that nearly every client wants. */
const shared = 'shared'

/** Numbers from 0 to 1 that a seed determines (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A client of the storm, as it sees itself. */
interface Member {
  readonly client: ReplayClient
  readonly clientId: string
  /** It got a CONNACK that accepts it. */
  accepted: boolean
}

export class Storm {
  readonly rig = new Rig()
  readonly members: Member[] = []
  readonly #random: () => number

  constructor(seed: number) {
    this.#random = randomOf(seed)
  }

  #chance(probability: number): boolean {
    return this.#random() < probability
  }

  #pick<Item>(items: readonly Item[]): Item | undefined {
    return items[Math.floor(this.#random() * items.length)]
  }

  /** One of the clients that are still connected. */
  #member(): Member | undefined {
    return this.#pick(this.members.filter(({ client }) => !client.raw.closed))
  }

  async run(): Promise<void> {
    for (let count = 0; count < stepsPerWalk; count += 1) {
      const [, name, move] = this.#move()
      await Promise.resolve(move())
      // Now and then the next thing happens in the middle of this one.
      if (this.#chance(0.4)) continue
      await this.rig.settle()
      await this.#check(`after step ${count + 1}, ${name}`)
    }
  }

  /** What may happen, and how often next to the others. */
  readonly #moves: readonly (readonly [weight: number, name: string, move: () => unknown])[] = [
    [24, 'connect', () => this.#connect()],
    [16, 'an authenticator answers', () => this.#authenticate()],
    [2, 'an authenticator throws', () => this.#open(this.rig.authentications)?.fail()],
    [12, 'onRegister answers', () => this.#open(this.rig.registrations)?.answer(this.#verdict())],
    [8, 'onTakeover answers', () => this.#open(this.rig.takeovers)?.answer(this.#verdict())],
    [2, 'onTakeover waits or not', () => (this.rig.asksOnTakeover = this.#chance(0.3))],
    [6, 'AUTH 0x18', () => this.#send(auth(0x18, { authenticationMethod: 'TICKET' }))],
    [4, 'AUTH 0x19', () => this.#send(auth(0x19, { authenticationMethod: 'TICKET' }))],
    [2, 'DISCONNECT', () => this.#send(disconnect(this.#chance(0.5) ? 0 : 4, this.#expiry()))],
    [1, 'nonsense', () => this.#send(hex('36 00'))],
    [8, 'SUBSCRIBE', () => this.#send(subscribe({ filters: [['work', { qos: 1 }], 'bulk'] }))],
    [6, 'PUBLISH', () => this.#send(publish({ topic: 'work', qos: 1, payload: 'x', packetId: 7 }))],
    [4, 'PINGREQ', () => this.#send(pingreq())],
    [6, 'PUBACK', () => this.#acknowledge()],
    [2, 'drop', () => this.#member()?.client.raw.drop()],
    [3, 'stop reading', () => this.#stopReading()],
    [3, 'read again', () => this.#pick(this.members.filter(({ client }) => client.isHeld))?.client.release()],
    [8, 'work', () => this.rig.broker.publish({ topic: 'work', payload: 'y', qos: 1 })],
    [1, 'expire()', () => this.rig.broker.sessions.get(shared)?.expire()],
    [1, 'disconnect()', () => this.rig.broker.sessions.get(shared)?.disconnect()],
    [2, 'revoke()', () => this.#operate({ type: 'session.revoke', reason: 'stolen' })],
    [2, 'roles change', () => this.#operate({ type: 'roles.change', roles: [String(this.#random())] })],
    [2, 'attributes change', () => this.#operate(this.#attributes())],
    [4, 'the next grants end', () => (this.rig.grantEndsAtMs = this.#chance(0.5) ? this.#soon() : undefined)],
    [4, 'time passes', () => this.rig.advance(this.#pick([100, 100, 600, 1_000, 4_000, 5_000, 10_000, 31_000]) ?? 0)],
  ]

  #move(): readonly [number, string, () => unknown] {
    let at = this.#random() * this.#moves.reduce((sum, [weight]) => sum + weight, 0)
    const found = this.#moves.find(([weight]) => (at -= weight) < 0)
    if (!found) throw new Error('the weights do not add up')
    return found
  }

  #verdict(): Next | Deny {
    return this.#chance(0.9) ? next() : deny(0x87, 'no')
  }

  #authenticate(): void {
    const allowed = this.rig.allow()
    const verdict = this.#pick([allowed, allowed, allowed, allowed, challenge(), challenge(), deny(0x87, 'no')])
    if (verdict) this.#open(this.rig.authentications)?.answer(verdict)
  }

  #expiry(): { sessionExpiryInterval?: number } {
    return this.#chance(0.3) ? { sessionExpiryInterval: 30 } : {}
  }

  #acknowledge(): void {
    const client = this.#member()?.client
    const packetId = client?.unacknowledged.shift()
    if (packetId !== undefined) client?.raw.send(puback(packetId))
  }

  #operate(event: SessionEvent): void {
    this.rig.broker.sessions.get(shared)?.actorRef.send(event)
  }

  #attributes(): SessionEvent {
    const scope = this.#chance(0.5) ? 'connection' : 'session'
    return { type: 'attributes.change', scope, attributes: { value: this.#random() } }
  }

  #soon(): number {
    return this.rig.clock.nowMs() + (this.#pick([1, 1_000, 3_000, 10_000]) ?? 0)
  }

  #stopReading(): Promise<void> {
    this.#member()?.client.hold()
    return this.rig.publishBulk()
  }

  #open<Answer>(list: readonly Pending<Answer>[]): Pending<Answer> | undefined {
    return this.#pick(list.filter(({ open }) => open))
  }

  #send(bytes: Buffer): void {
    this.#member()?.client.raw.send(bytes)
  }

  async #connect(): Promise<void> {
    const { client } = await this.rig.attach()
    const clientId = this.#chance(0.9) ? shared : `other ${Math.floor(this.#random() * 3)}`
    this.members.push({ client, clientId, accepted: false })
    if (this.#chance(0.05)) return
    const delaySeconds = this.#chance(0.5) ? 0 : 30
    client.raw.send(
      connect({
        clientId,
        // One that may stay when its grant has ended; see the guards of the model.
        ...(this.#chance(0.3) ? { username: 'known' } : {}),
        cleanStart: this.#chance(0.3),
        keepAlive: this.#chance(0.3) ? 2 : 0,
        properties: {
          sessionExpiryInterval: this.#chance(0.7) ? 60 : 0,
          authenticationMethod: 'TICKET',
          receiveMaximum: this.#chance(0.5) ? 1 : 10,
          ...(this.#chance(0.7) ? { userProperties: [atOnce] } : {}),
        },
        ...(this.#chance(0.5)
          ? { will: { topic: 'gone', payload: clientId, qos: 1, properties: { willDelayInterval: delaySeconds } } }
          : {}),
      }),
    )
  }

  /** At most one session and one connection under an identifier, and the registry shows just those that live. */
  async #check(when: string): Promise<void> {
    const { broker, tapped } = this.rig
    const living = [...tapped.values()]
      .map(({ sessionId, actor }) => ({ sessionId, snapshot: actor.getSnapshot() }))
      .filter(({ snapshot }) => snapshot.status === 'active' && ['online', 'offline'].includes(placeOf(snapshot)))
      .map(
        ({ sessionId, snapshot }) => [snapshot.context.connect?.clientId ?? '', sessionId, placeOf(snapshot)] as const,
      )
    const registered = [...broker.sessions].map(
      ([clientId, { sessionId, state }]) => [clientId, sessionId, state] as const,
    )
    expect(new Set(living.map(String)), `${when}: sessions`).toEqual(new Set(registered.map(String)))
    expect(new Set(living.map(([clientId]) => clientId)).size, `${when}: sessions`).toBe(living.length)
    await this.#readAll()
    const connected = this.members.filter(({ client, accepted }) => accepted && !client.isHeld && !client.raw.closed)
    for (const [clientId, , state] of registered) {
      const count = connected.filter((member) => member.clientId === clientId).length
      expect(count, `${when}: connections of ${clientId}, which is ${state}`).toBeLessThanOrEqual(
        state === 'online' ? 1 : 0,
      )
    }
    const known = new Set(registered.map(([clientId]) => clientId))
    expect(connected.filter(({ clientId }) => !known.has(clientId)).length, `${when}: clients without a session`).toBe(
      0,
    )
  }

  async #readAll(): Promise<void> {
    for (const member of this.members) {
      const lines = await member.client.take()
      if (lines.some((line) => line.startsWith('CONNACK 0 '))) member.accepted = true
    }
  }

  /** Every session began, ended once, and went from state to state in between; every will had one fate. */
  checkLog(): void {
    const { log } = this.rig
    const stories = Map.groupBy(
      log.filter((event) => event.type === 'session.transition'),
      ({ sessionId }) => sessionId,
    )
    expect([...stories.keys()].toSorted()).toEqual([...this.rig.tapped.keys()].toSorted())
    for (const [sessionId, story] of stories) {
      const states = ['connecting', ...story.map(({ to }) => to)]
      expect(
        story.map(({ from }) => from),
        `states of ${sessionId}`,
      ).toEqual(states.slice(0, -1))
      expect(states.indexOf('expired'), `the end of ${sessionId}`).toBe(states.length - 1)
    }
    const countOf = (...types: string[]): number => log.filter(({ type }) => types.includes(type)).length
    expect(countOf('session.expired')).toBe(stories.size)
    expect(countOf('will.published', 'will.cancelled', 'will.withheld')).toBe(countOf('will.armed'))
  }
}
