/** Whose a session is, and who may have it (semantics 7.3, 7.4; threat 82). */
import { describe, expect, test } from 'vitest'

import { allow, deny, next, type AllowTakeover, type Deny, type Next, type TakeoverPolicy } from '../../src/index.ts'
import { expectRefusal, staying, startOwnership, versions } from './ownership-scene.ts'

const anna = { username: 'anna', password: 'x' }
const otto = { username: 'otto', password: 'x' }
const nobody = {}
const people = { anna, otto, nobody }
type Person = keyof typeof people
type State = 'online' | 'offline'

describe.each(versions)('MQTT version %i', (version) => {
  /** Who has a session, who comes, and whether it may be had by the option. */
  const table: [policy: TakeoverPolicy, owner: Person, state: State, comes: Person, may: boolean][] = [
    ['same-principal', 'anna', 'online', 'anna', true],
    ['same-principal', 'anna', 'offline', 'anna', true],
    ['same-principal', 'anna', 'online', 'otto', false],
    ['same-principal', 'anna', 'offline', 'otto', false],
    ['same-principal', 'anna', 'online', 'nobody', false],
    ['same-principal', 'anna', 'offline', 'nobody', false],
    ['same-principal', 'nobody', 'online', 'anna', false],
    ['same-principal', 'nobody', 'offline', 'anna', false],
    ['same-principal', 'nobody', 'online', 'nobody', true],
    ['same-principal', 'nobody', 'offline', 'nobody', true],
    ['same-principal-when-offline', 'anna', 'online', 'anna', false],
    ['same-principal-when-offline', 'anna', 'offline', 'anna', true],
    ['same-principal-when-offline', 'anna', 'offline', 'otto', false],
    ['same-principal-when-offline', 'nobody', 'online', 'nobody', false],
    ['same-principal-when-offline', 'nobody', 'offline', 'nobody', true],
    ['anyone', 'anna', 'online', 'otto', true],
    ['anyone', 'anna', 'offline', 'otto', true],
    ['anyone', 'anna', 'online', 'nobody', false],
    ['anyone', 'anna', 'offline', 'nobody', false],
    ['anyone', 'nobody', 'online', 'anna', false],
    ['anyone', 'nobody', 'offline', 'anna', false],
    ['anyone', 'nobody', 'online', 'nobody', true],
  ]
  test.each(table)('semantics 7.4: %s: the session of %s, %s, and %s: %s', async (policy, owner, state, comes, may) => {
    const t = startOwnership({ takeover: policy })
    const first = await t.connect({ version, clientId: 'c', ...staying, ...people[owner] })
    await first.subscribe(['t'])
    if (state === 'offline') {
      first.drop()
      await t.settle()
    }
    const second = t.knock({ version, clientId: 'c', ...staying, ...people[comes] })
    if (may) {
      await second.expectPacket('connack', { reasonCode: 0, sessionPresent: true })
      if (state === 'online' && version === 5) await first.expectDisconnect(0x8e)
      else if (state === 'online') await first.expectClosed()
      const { principal } = t.broker.sessions.get('c')!.context.grant!
      expect(principal).toBe(comes === 'nobody' ? undefined : comes)
      return
    }
    await expectRefusal(second, 0x87, 5)
    await t.settle()
    expect(t.refusals()).toEqual([0x87])
    const session = t.broker.sessions.get('c')!
    expect(session.state).toBe(state)
    expect(session.subscriptions).toEqual(['t'])
    expect(session.context.grant?.principal).toBe(owner === 'nobody' ? undefined : owner)
    expect(session.context.epoch).toBe(1)
  })

  test.each(['online', 'offline'] as const)(
    'semantics 7.3: a refused CONNECT leaves an incumbent that is %s as it was, whatever it asked for',
    async (state) => {
      const t = startOwnership()
      const first = await t.connect({ version, clientId: 'c', ...staying, ...anna, will: { topic: 'gone' } })
      await first.subscribe([['t', { qos: 1 }]])
      const watcher = await t.connect({ version })
      await watcher.subscribe(['gone', 'other/will'])
      if (state === 'offline') {
        first.drop()
        await t.settle()
        await watcher.expectPacket('publish', { topic: 'gone' })
        await watcher.publish({ topic: 't', payload: 'waits', qos: 1 })
      }
      const before = t.broker.sessions.get('c')!.context
      for (const cleanStart of [true, false]) {
        const will = { topic: 'other/will', payload: 'x' }
        const intruder = t.knock({ version, clientId: 'c', ...otto, cleanStart, will })
        await expectRefusal(intruder, 0x87, 5)
      }
      await t.settle()
      const session = t.broker.sessions.get('c')!
      expect(session.context).toBe(before)
      expect(session.subscriptions).toEqual(['t'])
      await watcher.expectNothing()
      if (state === 'online') {
        await watcher.publish({ topic: 't', payload: 'x', qos: 1 })
        await first.expectPacket('publish', { payload: 'x' })
        return
      }
      const again = await t.connect({ version, clientId: 'c', ...staying, ...anna })
      expect(again.connack?.sessionPresent).toBe(true)
      await again.expectPacket('publish', { payload: 'waits' })
    },
  )

  test('semantics 7.4: when the session has expired, its identifier is anybody’s', async () => {
    const t = startOwnership()
    const first = await t.connect({
      clientId: 'c',
      ...anna,
      cleanStart: false,
      properties: { sessionExpiryInterval: 60 },
    })
    first.drop()
    await t.advance(59_000)
    await expectRefusal(t.knock({ version, clientId: 'c', ...otto }), 0x87, 5)
    await t.advance(2_000)
    const second = await t.connect({ version, clientId: 'c', ...otto, cleanStart: false })
    expect(second.connack?.sessionPresent).toBe(false)
  })

  test('threat 82: the answer is the same, byte for byte, whether the owner is there or not', async () => {
    const answers: string[] = []
    for (const [state, stay] of [
      ['online', true],
      ['online', false],
      ['offline', true],
    ] as const) {
      for (const cleanStart of [true, false]) {
        for (const person of [otto, nobody]) {
          const t = startOwnership()
          const first = await t.connect({ version, clientId: 'c', ...anna, ...(stay ? staying : {}) })
          if (state === 'offline') first.drop()
          await t.settle()
          const intruder = t.knock({ version, clientId: 'c', cleanStart, ...person })
          // Without the clock having moved: no answer takes longer than another.
          answers.push((await expectRefusal(intruder, 0x87, 5)).toString('hex'))
          expect(t.broker.sessions.get('c')?.state).toBe(state)
        }
      }
    }
    expect(new Set(answers).size).toBe(1)
  })

  test('threat 54: strangers do not use up the takeovers of the owner', async () => {
    const t = startOwnership({ limits: { maxTakeoversPerTenSeconds: 1 } })
    await t.connect({ version, clientId: 'c', ...anna })
    for (let count = 0; count < 5; count += 1)
      await expectRefusal(t.knock({ version, clientId: 'c', ...otto }), 0x87, 5)
    await t.connect({ version, clientId: 'c', ...anna })
    await expectRefusal(t.knock({ version, clientId: 'c', ...anna }), 0x9f, 3)
    await expectRefusal(t.knock({ version, clientId: 'c', ...otto }), 0x87, 5)
    await t.advance(10_000)
    await t.connect({ version, clientId: 'c', ...anna })
  })
})

describe('onTakeover', () => {
  type Verdict = Next | Deny | AllowTakeover
  const cases: [name: string, verdict: Verdict, outcome: 'refused' | 'resumed' | 'afresh'][] = [
    ['next: the option decides', next(), 'refused'],
    ['allow: the newcomer has the session', { type: 'allow' }, 'resumed'],
    ['allow with a clean start: the newcomer starts afresh', { type: 'allow', cleanStart: true }, 'afresh'],
    ['deny', deny(0x97, 'not now'), 'refused'],
  ]
  test.each(cases)('semantics 7.4: %s', async (_, verdict, outcome) => {
    const asked: unknown[] = []
    const t = startOwnership({
      hooks: {
        onTakeover: (request, to, previous) => {
          asked.push([request.clientId, to.principal, previous.grant.principal, previous.clientId])
          return verdict
        },
      },
    })
    const first = await t.connect({ clientId: 'c', ...staying, ...anna, will: { topic: 'w' } })
    await first.subscribe(['t'])
    const watcher = await t.connect()
    await watcher.subscribe(['w'])
    const second = t.knock({ clientId: 'c', ...staying, ...otto })
    if (outcome === 'refused') {
      await second.expectRefused(verdict.type === 'deny' ? 0x97 : 0x87)
      expect(t.state('c')).toBe('online')
      await first.expectNothing()
    } else {
      const sessionPresent = outcome === 'resumed'
      await second.expectPacket('connack', { reasonCode: 0, sessionPresent })
      await first.expectDisconnect(0x8e)
      expect(t.broker.sessions.get('c')?.subscriptions).toEqual(sessionPresent ? ['t'] : [])
      expect(t.broker.sessions.get('c')?.context.grant?.principal).toBe('otto')
      // Anna's will is hers, whoever comes after her.
      await watcher.expectPublish({ topic: 'w' })
    }
    expect(asked).toEqual([['c', 'otto', 'anna', 'c']])
  })

  test('next lets the owner come back', async () => {
    const t = startOwnership({ hooks: { onTakeover: () => next() } })
    await t.connect({ clientId: 'c', ...staying, ...anna })
    expect((await t.connect({ clientId: 'c', ...staying, ...anna })).connack?.sessionPresent).toBe(true)
  })

  test('a clean start by the hook is for this connection only', async () => {
    const verdicts: Verdict[] = [{ type: 'allow', cleanStart: true }, next()]
    const t = startOwnership({ hooks: { onTakeover: () => verdicts.shift()! } })
    await t.connect({ clientId: 'c', ...staying, ...anna })
    const second = await t.connect({ clientId: 'c', ...staying, ...otto })
    expect(second.connack?.sessionPresent).toBe(false)
    const third = await t.connect({ clientId: 'c', ...staying, ...otto })
    expect(third.connack?.sessionPresent).toBe(true)
  })

  test('what counts is whether the owner is there when the hook has answered', async () => {
    const answers: (() => void)[] = []
    const t = startOwnership({
      hooks: { onTakeover: () => new Promise<Next>((resolve) => answers.push(() => resolve(next()))) },
      takeover: 'same-principal-when-offline',
    })
    const first = await t.connect({ clientId: 'c', ...staying, ...anna })
    const second = t.knock({ clientId: 'c', ...staying, ...anna })
    await t.settle()
    first.drop()
    await t.settle()
    answers[0]?.()
    await second.expectPacket('connack', { reasonCode: 0, sessionPresent: true })
    const third = t.knock({ clientId: 'c', ...staying, ...anna })
    await t.settle()
    answers[1]?.()
    await third.expectRefused(0x87)
  })

  test('what it allowed counts for the owner that it was asked about only', async () => {
    const answers: (() => void)[] = []
    const asked: unknown[] = []
    const t = startOwnership({
      hooks: {
        onTakeover: ({ username }, _, { grant }) => {
          asked.push([username, grant.principal])
          // Otto may have what is Anna's, and so may Emil, who needs no time to be decided on.
          const verdict = grant.principal === 'anna' ? ({ type: 'allow' } as const) : next()
          if (username === 'emil') return verdict
          return new Promise<Verdict>((resolve) => answers.push(() => resolve(verdict)))
        },
      },
    })
    await t.connect({ clientId: 'c', ...staying, ...anna })
    const second = t.knock({ clientId: 'c', ...staying, ...otto })
    await t.settle()
    const third = await t.connect({ clientId: 'c', ...staying, username: 'emil', password: 'x' })
    answers[0]?.()
    await t.settle()
    answers[1]?.()
    await second.expectRefused(0x87)
    await third.expectNothing()
    expect(asked).toEqual([
      ['otto', 'anna'],
      ['emil', 'anna'],
      ['otto', 'emil'],
    ])
  })

  test('the session that it was asked about ends meanwhile: it is asked no more, and nobody is taken over', async () => {
    const answers: (() => void)[] = []
    const t = startOwnership({
      hooks: { onTakeover: () => new Promise<Next>((resolve) => answers.push(() => resolve(next()))) },
    })
    await t.connect({ clientId: 'c', ...staying, ...anna })
    const second = t.knock({ clientId: 'c', ...staying, ...otto })
    await t.settle()
    t.broker.sessions.get('c')?.expire()
    answers[0]?.()
    await second.expectPacket('connack', { reasonCode: 0, sessionPresent: false })
    expect(answers).toHaveLength(1)
  })
})

test('a listener may have a rule of its own', async () => {
  const t = startOwnership({ takeover: 'same-principal' })
  const { port } = await t.listen({ transport: 'tcp', port: 0, takeover: 'anyone' })
  await t.connect({ clientId: 'c', ...staying, ...anna })
  const second = await t.tcp(port)
  await second.connect({ clientId: 'c', ...staying, ...otto })
  expect(second.connack?.sessionPresent).toBe(true)
})

test('an allowing hook does not lift the bound on takeovers', async () => {
  const t = startOwnership({ limits: { maxTakeoversPerTenSeconds: 1 }, hooks: { onTakeover: () => allow() } })
  await t.connect({ clientId: 'c', ...anna })
  await t.connect({ clientId: 'c', ...otto })
  await t.knock({ clientId: 'c', ...anna }).expectRefused(0x9f)
})
