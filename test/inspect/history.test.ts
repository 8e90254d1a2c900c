/** `broker.inspection`: history, census, flows and transitions, from outside. */
import { describe, expect, test } from 'vitest'

import { allow, challenge, deny, ReasonCode, type Authenticator, type Broker } from '../../src/index.ts'
import type { TransitionRecord } from '../../src/inspection.ts'
import { Canaries } from '../support/canaries.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker } from '../support/test-broker.ts'
import { auth, connect as connectPacket } from '../support/wire.ts'
import { lineOf, story } from './history-stories.ts'

const kept = { properties: { sessionExpiryInterval: 600 }, cleanStart: false } as const

/** The way of one session without the regions of `online`: each place that it came to. */
function wayOf(records: readonly TransitionRecord[], sessionId: string): string[] {
  const places = records
    .filter((record) => record.sessionId === sessionId)
    .map(({ to }) => (to.length > 1 ? to[0]!.split('.')[0]! : to[0]!))
  return places.filter((place, at) => place !== places[at - 1])
}

/** What is said where nobody keeps anything: by looking at every session. */
function countedBySessions(broker: Broker): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const session of broker.sessions.values()) {
    for (const path of leavesOf(session.actorRef.getSnapshot().value)) counts[path] = (counts[path] ?? 0) + 1
  }
  return counts
}

function leavesOf(value: object | string): string[] {
  if (typeof value === 'string') return [value]
  return Object.entries(value).flatMap(([key, inner]: [string, object | string]) =>
    leavesOf(inner).map((leaf) => `${key}.${leaf}`),
  )
}

describe('history', () => {
  test('is not kept unless somebody wants it; the census is counted then', async () => {
    const { broker, connect } = startBroker()
    await connect({ clientId: 'c' })
    expect(broker.inspection.history('c')).toEqual([])
    expect(broker.inspection.flows()).toEqual([])
    expect(broker.inspection.census()).toEqual({
      'online.authority.valid': 1,
      'online.reauthentication.idle': 1,
      'online.delivery.flowing': 1,
    })
  })

  test('shows every state that was passed, also those that are left at once', async () => {
    const ticket: Authenticator = {
      name: 'tickets',
      methods: ['TICKET'],
      authenticate: ({ round }) => (round === 0 ? challenge(Buffer.from('?')) : allow({ principal: 'p' })),
    }
    const { broker, attach, settle, advance } = startBroker({ history: true, authenticators: [ticket] })
    const client = attach()
    const properties = { authenticationMethod: 'TICKET', sessionExpiryInterval: 5 }
    client.send(connectPacket({ clientId: 'c', properties }))
    await client.expectPacket('auth')
    client.send(auth(0x18, { authenticationMethod: 'TICKET' }))
    await client.expectPacket('connack')
    client.drop()
    await settle()
    await advance(5_000)
    expect(wayOf(broker.inspection.history('c'), 's1')).toEqual([
      'connecting',
      'authenticating.arriving',
      'authenticating.identity',
      'enhanced-auth',
      'authenticating.arriving',
      'authenticating.identity',
      'authenticating.admission',
      'authenticating.claiming',
      'online',
      'offline',
      'expired',
    ])
    const challenged = broker.inspection.history('c').find(({ to }) => to[0] === 'enhanced-auth')
    expect(challenged?.decision).toEqual({
      by: 'authenticator',
      name: 'tickets',
      reason: 'asks for another round',
      reasonCode: null,
      rule: null,
    })
  })

  test('a re-authentication that fails names its authenticator, behind the events that the chart raises', async () => {
    const ticket: Authenticator = {
      name: 'tickets',
      methods: ['TICKET'],
      authenticate: ({ reauthentication }) =>
        reauthentication ? deny(ReasonCode.NotAuthorized, 'stale') : allow({ principal: 'p' }),
    }
    const { broker, connect, settle } = startBroker({ history: true, authenticators: [ticket] })
    const client = await connect({ clientId: 'c', properties: { authenticationMethod: 'TICKET' } })
    client.send(auth(0x19, { authenticationMethod: 'TICKET' }))
    await client.expectDisconnect(0x87)
    await settle()
    const underway = 'online.authority.valid online.reauthentication.underway.deciding online.delivery.flowing'
    const stale = 'authenticator tickets: stale 0x87'
    expect(story(broker, 'c', broker.inspection.history('c')[0]!.atMs).slice(4)).toEqual([
      `5 +0 s1 c: packet.auth | online(flowing) -> ${underway} | client: AUTH`,
      `6 +0 s1 c: session.disconnect | ${underway} -> expired | ${stale}`,
    ])
  })

  test('refused newcomers are told of under the identifier that they wanted, and push out nothing of its owner', async () => {
    const people: Authenticator = {
      name: 'people',
      authenticate: ({ password }) =>
        password?.toString() === 'right'
          ? allow({ principal: 'alice' })
          : deny(ReasonCode.BadUserNameOrPassword, 'wrong'),
    }
    const limits = { maxTransitionsPerSession: 40 }
    const { broker, attach, connect, settle } = startBroker({ history: true, authenticators: [people], limits })
    await connect({ clientId: 'c', username: 'alice', password: 'right' })
    const before = broker.inspection.history('c')
    for (let guess = 0; guess < 60; guess++) {
      const stranger = attach()
      stranger.send(connectPacket({ clientId: 'c', username: 'alice', password: `guess ${guess}` }))
      await stranger.expectRefused(ReasonCode.BadUserNameOrPassword)
    }
    await settle()
    const after = broker.inspection.history('c')
    expect(after.slice(0, before.length)).toEqual(before)
    // Ten for refused connections, four steps each: the last two whole, and the second half of the one before.
    expect(after.slice(before.length).map(({ sessionId }) => sessionId)).toEqual([
      's59',
      's59',
      ...Array<string>(4).fill('s60'),
      ...Array<string>(4).fill('s61'),
    ])
    expect(broker.sessions.get('c')?.sessionId).toBe('s1')
  })

  test('a connection that was handed over belongs to the story of its session', async () => {
    const limits = { maxTransitionsPerSession: 60 }
    const { broker, connect, settle } = startBroker({ history: true, limits })
    for (let at = 0; at < 5; at++) await connect({ clientId: 'c', ...kept })
    await settle()
    const handedOver = broker.inspection.history('c').filter(({ sessionId }) => sessionId !== 's1')
    // Six steps each, of which strangers' connections would keep fifteen.
    expect(handedOver).toHaveLength(24)
  })

  test('of those that have ended the last are kept, and of those that live all', async () => {
    const limits = { maxEndedHistories: 2 }
    const { broker, connect, settle } = startBroker({ history: true, limits })
    await connect({ clientId: 'lives' })
    for (const clientId of ['a', 'b', 'c']) (await connect({ clientId })).drop()
    await settle()
    const lengths = ['lives', 'a', 'b', 'c'].map((clientId) => broker.inspection.history(clientId).length)
    expect(lengths).toEqual([4, 0, 5, 5])
  })

  test('what a store brings back begins where it was left', async () => {
    const directory = tempFolder()
    const store = { type: 'lmdb', directory } as const
    const first = startBroker({ history: true, store })
    await first.broker.ready
    ;(await first.connect({ clientId: 'c', ...kept })).drop()
    await first.settle()
    await first.close()
    const { broker } = startBroker({ history: true, store })
    await broker.ready
    const [record, ...rest] = broker.inspection.history('c')
    expect(rest).toEqual([])
    expect(lineOf(record!, record!.atMs)).toBe(
      `1 +0 ${record!.sessionId} c:  |  -> offline | broker store: brought back from the store`,
    )
    expect(broker.inspection.census()).toEqual({ offline: 1 })
  })

  test('that begins while sessions wait without an actor counts them once', async () => {
    const store = { type: 'lmdb', directory: tempFolder() } as const
    const first = startBroker({ store })
    await first.broker.ready
    for (const clientId of ['c', 'd']) (await first.connect({ clientId, ...kept })).drop()
    await first.settle()
    await first.close()
    const { broker, connect, settle } = startBroker({ store })
    await broker.ready
    const inspector = await broker.inspect({ port: 0 })
    expect(broker.inspection.census()).toEqual({ offline: 2 })
    await connect({ clientId: 'c', ...kept })
    await settle()
    expect(broker.inspection.census()).toEqual(countedBySessions(broker))
    expect(broker.inspection.census()['offline']).toBe(1)
    expect(broker.inspection.history('d')).toEqual([])
    await inspector.close()
  })

  test('holds no secret', async () => {
    const canaries = new Canaries()
    const payload = canaries.plant('payload of a will')
    const passwords = ['right', 'wrong'].map((name) => canaries.plant(`${name} password`))
    const data = canaries.plant('authentication data')
    const people: Authenticator = {
      name: 'people',
      methods: ['TICKET'],
      withoutMethod: true,
      authenticate: ({ password, round, authenticationMethod }) => {
        if (authenticationMethod !== undefined) return round === 0 ? challenge(Buffer.from(data)) : allow()
        if (password?.toString() === passwords[0]) return allow({ principal: 'alice' })
        throw new Error(`no: ${password?.toString()}`)
      },
    }
    const { broker, attach, connect, settle } = startBroker({ history: true, authenticators: [people] })
    const told: TransitionRecord[] = []
    broker.inspection.transitions$.subscribe((record) => told.push(record))
    const will = { topic: 'w', payload }
    await connect({ clientId: 'c', username: 'alice', password: passwords[0]!, will })
    attach().send(connectPacket({ clientId: 'c', password: passwords[1]!, will }))
    const properties = { authenticationMethod: 'TICKET', authenticationData: Buffer.from(data) }
    const enhanced = attach()
    enhanced.send(connectPacket({ clientId: 'e', properties }))
    await enhanced.expectPacket('auth')
    enhanced.send(auth(0x18, { authenticationMethod: 'TICKET', authenticationData: Buffer.from(data) }))
    await enhanced.expectPacket('connack')
    await settle()
    expect(told.length).toBe(18)
    const { inspection } = broker
    const all = JSON.stringify([told, inspection.history('c'), inspection.history('e'), inspection.flows()])
    expect(canaries.found(all)).toEqual([])
  })
})

describe('transitions$', () => {
  test('tells of each step behind the turn in which it was taken, whether or not a history is kept', async () => {
    const { broker, connect, settle } = startBroker()
    const told: TransitionRecord[] = []
    const subscription = broker.inspection.transitions$.subscribe((record) => told.push(record))
    const client = await connect({ clientId: 'c', ...kept })
    await settle()
    expect(told.map(({ to }) => to[0])).toEqual([
      'connecting',
      'authenticating.arriving',
      'online.authority.valid',
      'online.authority.valid',
    ])
    await broker.sessions.disconnect({ clientId: 'c' })
    expect(told.at(-1)?.event).toBe('')
    await settle()
    expect(told.at(-1)).toMatchObject({ event: 'session.disconnect', to: ['offline'] })
    subscription.unsubscribe()
    client.drop()
    await connect({ clientId: 'd' })
    await settle()
    expect(told).toHaveLength(5)
  })

  test('an observer that throws is taken off, and hurts nobody', async () => {
    const errors: unknown[] = []
    const logger = { debug() {}, info() {}, warn() {}, error: (details: object) => void errors.push(details) }
    const { broker, connect, settle } = startBroker({ logger })
    let calls = 0
    const told: TransitionRecord[] = []
    broker.inspection.transitions$.subscribe(() => {
      calls++
      throw new Error('broken')
    })
    broker.inspection.transitions$.subscribe((record) => told.push(record))
    await connect({ clientId: 'c' })
    await settle()
    expect({ calls, told: told.length, errors: errors.length }).toEqual({ calls: 1, told: 4, errors: 1 })
  })
})

describe('census and flows', () => {
  test('are what is so, after a storm of clients that come, go, fail and are thrown out', async () => {
    const { broker, attach, settle, advance } = startBroker({
      history: true,
      limits: { maxTakeoversPerTenSeconds: Infinity },
    })
    const told: TransitionRecord[] = []
    broker.inspection.transitions$.subscribe((record) => told.push(record))
    let seed = 42
    const draw = (n: number): number => (seed = (seed * 16_807) % 2_147_483_647) % n
    const clients: { drop(): void }[] = []
    for (let at = 0; at < 400; at++) {
      const clientId = `c${draw(20)}`
      const kind = draw(10)
      if (kind < 5) {
        const client = attach()
        const expiry = draw(3) * 10
        client.send(
          connectPacket({ clientId, cleanStart: draw(2) === 0, properties: { sessionExpiryInterval: expiry } }),
        )
        clients.push(client)
      } else if (kind < 7) clients.splice(draw(clients.length + 1), 1)[0]?.drop()
      else if (kind === 7 && broker.sessions.has(clientId)) await broker.sessions.revoke({ clientId })
      else if (kind === 8) broker.sessions.get(clientId)?.actorRef.send({ type: 'roles.change' } as never)
      else await advance(draw(8_000))
      if (at % 20 > 0) continue
      await settle()
      expect(broker.inspection.census()).toEqual(countedBySessions(broker))
    }
    await settle()
    expect(told.filter(({ decision }) => decision?.reason.includes('threw')).length).toBeGreaterThan(5)
    const flows = broker.inspection.flows()
    const steps = told.filter(({ from, to }) => from.length === 0 || from.join() !== to.join())
    const connections = flows.find(({ from }) => from === '')
    expect(connections).toEqual({ from: '', event: '', to: 'connecting', count: countOf(told) })
    const arrows = flows.map(({ from, event, to }) => `${from} ${event} ${to}`)
    expect(new Set(arrows).size).toBe(arrows.length)
    const taken = flows.reduce((sum, { count }) => sum + count, 0)
    const failed = told.filter(({ decision }) => decision?.reason.includes('threw')).length
    // Each step has one transition but those in which several regions move, which the storm brings none of.
    expect(taken).toBeGreaterThanOrEqual(steps.length - failed)
  })
})

function countOf(told: readonly TransitionRecord[]): number {
  return told.filter(({ from }) => from.length === 0).length
}
