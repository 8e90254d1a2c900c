/** What the server does to sessions: attributes, properties, roles, the end of a connection, a grant or a session, messages. */
import { describe, expect, test } from 'vitest'

import { deny, next, type BrokerEvent, type SessionOutcome } from '../../src/index.ts'
import { codeOf, startScene } from './sessions-scene.ts'

/** The outcomes without what is the same in all tests. */
function brief(outcomes: readonly SessionOutcome<unknown>[]) {
  return outcomes
    .map(({ clientId, outcome, error, previous }) => ({
      clientId,
      outcome,
      ...(error ? { error } : {}),
      ...(previous ? { previous } : {}),
    }))
    .sort((a, b) => a.clientId.localeCompare(b.clientId))
}

function recorded(t: ReturnType<typeof startScene>, ...types: BrokerEvent['type'][]): BrokerEvent[] {
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => {
    if (types.includes(event.type)) events.push(event)
  })
  return events
}

describe('semantics 7.13: attributes', () => {
  test('are set by filter, typed, told with their previous values, and found across all sessions', async () => {
    const t = startScene()
    await t.stay('a')
    const b = await t.stay('b')
    await t.join('c', {}, { version: 4 })
    b.drop()
    await t.settle()
    const events = recorded(t, 'attributes.changed')
    const set = await t.sessions.setAttributes(
      { filter: 'all' },
      { level: 1, name: 'x', ok: true },
      { scope: 'session' },
    )
    expect(brief(set).map(({ clientId, outcome }) => [clientId, outcome])).toEqual([
      ['a', 'done'],
      ['b', 'done'],
      ['c', 'done'],
    ])
    expect(t.view('b').attributes.session).toEqual({ level: 1, name: 'x', ok: true })
    expect(t.select('@session.level is 1 and @session.ok is true')).toEqual(['a', 'b', 'c'])
    const again = await t.sessions.setAttributes(
      { clientId: 'b' },
      { level: 2, name: 'x', ok: null, none: null },
      { scope: 'session' },
    )
    expect(brief(again)).toEqual([{ clientId: 'b', outcome: 'done', previous: { level: 1, ok: true } }])
    expect(t.view('b').attributes.session).toEqual({ level: 2, name: 'x' })
    await t.settle()
    expect(events).toHaveLength(4)
    expect(events[3]).toMatchObject({
      clientId: 'b',
      scope: 'session',
      changes: { level: { value: 2, previous: 1 }, ok: { value: undefined, previous: true } },
    })
    const same = await t.sessions.setAttributes({ filter: 'all' }, { name: 'x' }, { scope: 'session' })
    expect(brief(same).map(({ outcome }) => outcome)).toEqual(['unchanged', 'unchanged', 'unchanged'])
    await t.settle()
    expect(events).toHaveLength(4)
  })

  test('live as long as they say: with the session, or with the connection', async () => {
    const t = startScene()
    const a = await t.stay('a')
    t.view('a').setAttributes({ kept: 1 }, { scope: 'session' })
    t.view('a').setAttributes({ lost: 1 }, { scope: 'connection' })
    expect(t.view('a').attributes).toEqual({ session: { kept: 1 }, connection: { lost: 1 } })
    a.drop()
    await t.settle()
    expect(t.view('a').attributes).toEqual({ session: { kept: 1 }, connection: {} })
    const offline = await t.sessions.setAttributes({ filter: 'all' }, { lost: 2 }, { scope: 'connection' })
    expect(brief(offline)).toEqual([{ clientId: 'a', outcome: 'failed', error: 'SMQ_SESSION_OFFLINE' }])
    await t.stay('a')
    expect(t.view('a').attributes).toEqual({ session: { kept: 1 }, connection: {} })
    // Another connection takes the session over.
    t.view('a').setAttributes({ lost: 1 }, { scope: 'connection' })
    await t.stay('a')
    expect(t.view('a').attributes).toEqual({ session: { kept: 1 }, connection: {} })
    await t.stay('a', {}, { cleanStart: true })
    expect(t.view('a').attributes).toEqual({ session: {}, connection: {} })
  })

  test('are bounded in number and in bytes, and stay as they are where that is too much', async () => {
    const t = startScene({ limits: { maxAttributes: 2, maxAttributeBytes: 20 } })
    await t.join('a')
    const set = (change: Record<string, string | number | null>) => {
      const { outcome, error } = t.view('a').setAttributes(change, { scope: 'session' })
      return [outcome, error, t.view('a').attributes.session]
    }
    expect(set({ a: 1, b: 2, c: 3 })).toEqual(['failed', 'SMQ_SESSION_LIMIT', {}])
    expect(set({ a: 1, b: 2 })).toEqual(['done', undefined, { a: 1, b: 2 }])
    expect(set({ c: 3 })).toEqual(['failed', 'SMQ_SESSION_LIMIT', { a: 1, b: 2 }])
    expect(set({ a: null, c: 3 })).toEqual(['done', undefined, { b: 2, c: 3 }])
    // A number counts as eight bytes, so that nine are c's and ten are left behind the name of b.
    expect(set({ b: 'é'.repeat(6) })).toEqual(['failed', 'SMQ_SESSION_LIMIT', { b: 2, c: 3 }])
    expect(set({ b: 'é'.repeat(5) })).toEqual(['done', undefined, { b: 'ééééé', c: 3 }])
  })

  test.each<[string, Record<string, unknown>, string]>([
    ['an object', { a: {} }, 'session'],
    ['no number', { a: NaN }, 'session'],
    ['no end', { a: Infinity }, 'session'],
    ['undefined', { a: undefined }, 'session'],
    ['half a character', { a: '\ud800' }, 'session'],
    ['a fixed name', { $a: 1 }, 'session'],
    ['a name with a space', { 'a b': 1 }, 'session'],
    ['no name', { '': 1 }, 'session'],
    ['no such scope', { a: 1 }, 'forever'],
  ])('cannot be %s', async (_, change, scope) => {
    const t = startScene()
    await t.join('a')
    const set = t.sessions.setAttributes({ filter: 'all' }, change as never, { scope } as never)
    expect(await codeOf(set)).toBe('SMQ_SESSION_CHANGE_INVALID')
    expect(t.view('a').attributes).toEqual({ session: {}, connection: {} })
  })
})

describe('properties', () => {
  test('are set and removed by filter, with the server as their source', async () => {
    const t = startScene()
    await t.join('a', { properties: { Department: 'Accounts', Floor: '1' } })
    await t.join('b', { properties: { Department: 'Sales' } })
    const events = recorded(t, 'properties.changed')
    const outcomes = await t.sessions.setProperties(
      { filter: 'has Department' },
      { Department: 'Sales', $Country: 'DE', Floor: null },
    )
    expect(brief(outcomes)).toEqual([
      {
        clientId: 'a',
        outcome: 'done',
        previous: { Department: 'Accounts', $Country: undefined, Floor: '1' },
      },
      { clientId: 'b', outcome: 'done', previous: { $Country: undefined } },
    ])
    expect(t.view('a').properties).toEqual({ Department: 'Sales' })
    expect(t.view('a').fixedProperties.$Country).toBe('DE')
    expect(t.view('a').grant?.propertySources).toEqual({ Department: 'server', $Country: 'server' })
    expect(t.view('b').grant?.propertySources).toEqual({ Department: 'authenticator', $Country: 'server' })
    await t.settle()
    expect(events.map((event) => 'changes' in event && event.changes)).toEqual([
      {
        Department: { value: 'Sales', previous: 'Accounts' },
        $Country: { value: 'DE', previous: undefined },
        Floor: { value: undefined, previous: '1' },
      },
      { $Country: { value: 'DE', previous: undefined } },
    ])
    expect(brief(await t.sessions.setProperties({ filter: `$Country is 'DE'` }, { Department: 'Sales' }))).toEqual([
      { clientId: 'a', outcome: 'unchanged' },
      { clientId: 'b', outcome: 'unchanged' },
    ])
  })

  test('are bounded in number and in bytes', async () => {
    const t = startScene({ limits: { maxSessionProperties: 2, maxSessionPropertyBytes: 10 } })
    await t.join('a', { properties: { a: '1' } })
    await t.join('b')
    const outcomes = await t.sessions.setProperties({ filter: 'all' }, { b: '1', c: '1' })
    expect(brief(outcomes).map(({ outcome, error }) => [outcome, error])).toEqual([
      ['failed', 'SMQ_SESSION_LIMIT'],
      ['done', undefined],
    ])
    expect(t.view('a').properties).toEqual({ a: '1' })
    expect(t.view('b').setProperties({ b: '12345678' }).error).toBe('SMQ_SESSION_LIMIT')
    expect(t.view('b').setProperties({ b: '1234567' }).outcome).toBe('done')
  })

  test.each(['$Principal', '$Roles', '$SessionId', '$Nothing', '@session.a', 'a b', '', 'a"b', 'a(b)'])(
    'the key %j cannot be set',
    async (name) => {
      const t = startScene()
      await t.join('a')
      expect(await codeOf(t.sessions.setProperties({ filter: 'all' }, { ok: 'x', [name]: 'x' }))).toBe(
        'SMQ_SESSION_CHANGE_INVALID',
      )
      expect(() => t.view('a').setProperties({ [name]: null })).toThrow('The change is none that a session can take')
      expect(t.view('a').properties).toEqual({})
    },
  )
})

describe('roles', () => {
  test('are changed by filter; what is absent or present already is passed over', async () => {
    const t = startScene()
    await t.join('a', { roles: ['r1', 'r2'] })
    const b = await t.stay('b', { roles: ['r2', 'r3'] })
    await t.join('c', { roles: ['r3'] })
    b.drop()
    await t.settle()
    const events = recorded(t, 'roles.changed')
    const outcomes = await t.sessions.changeRoles(
      { filter: `hasRoles ['r2'] or $ClientId is 'c'` },
      { remove: ['r1', 'r2', 'x'], add: ['r3'] },
    )
    expect(brief(outcomes)).toEqual([
      { clientId: 'a', outcome: 'done', previous: ['r1', 'r2'] },
      { clientId: 'b', outcome: 'done', previous: ['r2', 'r3'] },
      { clientId: 'c', outcome: 'unchanged' },
    ])
    expect(['a', 'b', 'c'].map((id) => t.view(id).grant?.roles)).toEqual([['r3'], ['r3'], ['r3']])
    expect(t.view('a').fixedProperties.$Roles).toBe('"r3"')
    await t.settle()
    expect(events.map((event) => [event.type, 'clientId' in event && event.clientId])).toEqual([
      ['roles.changed', 'a'],
      ['roles.changed', 'b'],
    ])
    expect(events[0]).toMatchObject({ roles: ['r3'], previous: ['r1', 'r2'] })
    // One more to add counts, however many of the others are there.
    expect(t.view('c').changeRoles({ add: ['r3', 'r4', 'r4'] }).previous).toEqual(['r3'])
    expect(t.view('c').grant?.roles).toEqual(['r3', 'r4'])
  })

  test.each([
    {},
    { remove: [], add: [] },
    { remove: ['a', 'b'], add: ['b'] },
    { add: 'a' },
    { add: [''] },
    { remove: [1] },
  ])('%j is no change', async (change) => {
    const t = startScene()
    await t.join('a', { roles: ['a', 'b'] })
    expect(await codeOf(t.sessions.changeRoles({ filter: 'all' }, change as never))).toBe('SMQ_SESSION_CHANGE_INVALID')
    expect(() => t.view('a').changeRoles(change as never)).toThrow('The change is none')
    expect(t.view('a').grant?.roles).toEqual(['a', 'b'])
  })
})

describe('the target', () => {
  test('is one session or those of a filter, and never all by mistake', async () => {
    const t = startScene()
    await t.join('a')
    expect(await codeOf(t.sessions.expire({ clientId: 'nobody' }))).toBe('SMQ_SESSION_UNKNOWN')
    expect(await t.sessions.expire({ filter: `$ClientId is 'nobody'` })).toEqual([])
    for (const target of [{}, { filter: undefined }, { clientId: 'a', filter: 'all' }])
      expect(await codeOf(t.sessions.expire(target as never))).toBe('SMQ_SESSION_CHANGE_INVALID')
    expect(await codeOf(t.sessions.expire({ filter: '' }))).toBe('SMQ_SESSION_FILTER_INVALID')
    expect(t.state('a')).toBe('online')
  })

  test('a session is judged right before its turn', async () => {
    const t = startScene()
    const ids = Array.from({ length: 6 }, (_, i) => `c${i}`)
    for (const id of ids) await t.join(id, { roles: ['r'] })
    const last = t.view('c5')
    t.view('c0').actorRef.on('roles.changed', () => {
      t.view('c4').changeRoles({ remove: ['r'], add: ['s'] })
      last.expire()
    })
    const outcomes = await t.sessions.changeRoles({ filter: `hasRoles ['r']` }, { add: ['x'] })
    expect(outcomes.map(({ clientId }) => clientId)).toEqual(['c0', 'c1', 'c2', 'c3'])
    expect(t.view('c4').grant?.roles).toEqual(['s'])
    expect(last.changeRoles({ add: ['x'] })).toMatchObject({ outcome: 'failed', error: 'SMQ_SESSION_UNKNOWN' })
  })

  test('one that comes to match after the call is left out', async () => {
    const t = startScene()
    for (const id of ['a', 'b', 'c', 'd']) await t.join(id, id < 'c' ? { roles: ['r'] } : {})
    t.view('a').actorRef.on('roles.changed', () => void t.view('d').changeRoles({ add: ['r'] }))
    const outcomes = await t.sessions.changeRoles({ filter: `hasRoles ['r']` }, { add: ['x'] })
    expect(outcomes.map(({ clientId }) => clientId)).toEqual(['a', 'b'])
    expect(t.select(`hasRoles ['r']`)).toEqual(['a', 'b', 'd'])
  })

  test('many sessions are changed without keeping the others waiting', async () => {
    const t = startScene()
    for (let i = 0; i < 300; i++) await t.join(`c${i}`, { roles: ['r'] })
    let turns = 0
    let going = true
    const count = (): void => {
      turns++
      if (going) setImmediate(count)
    }
    setImmediate(count)
    // An operation that takes its time: each change runs an observer of the session's own actor.
    for (const [, view] of t.sessions) {
      view.actorRef.on('roles.changed', () => {
        const end = performance.now() + 0.5
        while (performance.now() < end);
      })
    }
    const outcomes = await t.sessions.changeRoles({ filter: `hasRoles ['r']` }, { remove: ['r'] })
    going = false
    expect(outcomes.filter(({ outcome }) => outcome === 'done')).toHaveLength(300)
    expect(turns).toBeGreaterThan(10)
  })
})

describe('ends', () => {
  test('disconnect ends connections, expire ends sessions, both by filter', async () => {
    const t = startScene()
    const a = await t.stay('a')
    const b = await t.join('b', { roles: ['r'] })
    const c = await t.stay('c')
    c.drop()
    await t.settle()
    expect(brief(await t.sessions.disconnect({ filter: 'not hasRoles ["r"]' }, 0x9c, 'elsewhere'))).toEqual([
      { clientId: 'a', outcome: 'done' },
      { clientId: 'c', outcome: 'unchanged' },
    ])
    await a.expectDisconnect(0x9c)
    expect(t.view('b').disconnect()).toMatchObject({ outcome: 'done' })
    await b.expectDisconnect(0x98)
    expect([t.state('a'), t.state('b'), t.state('c')]).toEqual(['offline', undefined, 'offline'])
    expect(brief(await t.sessions.expire({ filter: 'all' }))).toEqual([
      { clientId: 'a', outcome: 'done' },
      { clientId: 'c', outcome: 'done' },
    ])
    expect(t.sessions.size).toBe(0)
  })

  test('revoke takes grants away, once', async () => {
    const t = startScene()
    const a = await t.stay('a', { roles: ['r'] })
    const b = await t.join('b', { roles: ['r'] })
    const events = recorded(t, 'authority.revoked')
    expect(brief(await t.sessions.revoke({ filter: `hasRoles ['r']` }, 'stolen'))).toEqual([
      { clientId: 'a', outcome: 'done' },
      { clientId: 'b', outcome: 'done' },
    ])
    await a.expectDisconnect(0x87)
    await b.expectDisconnect(0x87)
    expect([t.state('a'), t.state('b')]).toEqual(['offline', undefined])
    expect(brief(await t.sessions.revoke({ clientId: 'a' }))).toEqual([{ clientId: 'a', outcome: 'unchanged' }])
    await t.settle()
    expect(events.map((event) => 'reason' in event && event.reason)).toEqual(['stolen', 'stolen'])
  })
})

describe('publishTo', () => {
  test('gives a message to the sessions chosen and to nobody else, subscribed or not', async () => {
    const t = startScene()
    const a = await t.join('a', { roles: ['r'] })
    const b = await t.join('b', { roles: ['r'] }, { version: 4 })
    const other = await t.join('other')
    await other.subscribe(['#'])
    await a.subscribe([['told/#', { qos: 1 }]])
    const outcomes = await t.sessions.publishTo(
      { filter: `hasRoles ['r']` },
      { topic: 'told/you', payload: 'x', qos: 1, properties: { contentType: 'text/plain' } },
    )
    expect(brief(outcomes)).toEqual([
      { clientId: 'a', outcome: 'done' },
      { clientId: 'b', outcome: 'done' },
    ])
    await a.expectPublish({
      topic: 'told/you',
      payload: 'x',
      qos: 1,
      properties: { contentType: 'text/plain' },
    })
    await b.expectPublish({ topic: 'told/you', payload: 'x', qos: 1 })
    await t.settle()
    await other.expectNothing()
    await a.expectNothing()
  })

  test('waits for a session that is away, with QoS 1 and 2 only, and tells who did not get it', async () => {
    const t = startScene()
    const a = await t.stay('a')
    a.drop()
    await t.settle()
    expect(t.view('a').publish({ topic: 't', payload: '0' })).toMatchObject({
      outcome: 'failed',
      error: 'SMQ_PUBLISH_REFUSED',
      reason: 'offline',
    })
    expect(t.view('a').publish({ topic: 't', payload: '1', qos: 1 }).outcome).toBe('done')
    expect(t.view('a').queuedMessages).toBe(1)
    const back = await t.stay('a')
    await back.expectPublish({ topic: 't', payload: '1', qos: 1 })
  })

  test('a full outbox makes room, or does not', async () => {
    const scene = async (overflowPolicy: 'drop-oldest' | 'drop-newest') => {
      const t = startScene({ limits: { maxQueuedMessages: 1 }, overflowPolicy })
      const a = await t.stay('a')
      a.drop()
      await t.settle()
      return ['1', '2'].map((payload) => t.view('a').publish({ topic: 't', payload, qos: 1 }).outcome)
    }
    expect(await scene('drop-oldest')).toEqual(['done', 'done'])
    expect(await scene('drop-newest')).toEqual(['done', 'failed'])
  })

  test('onDeliver is asked, as for every delivery', async () => {
    const t = startScene({
      hooks: {
        onDeliver: ({ topic }, { clientId }) => {
          if (clientId === 'denied') return { type: 'deny', reasonCode: 0x87, reason: 'no' }
          if (clientId === 'throws') throw new Error('planted')
          return clientId === 'other' ? { type: 'allow', topic: `${topic}/changed` } : next()
        },
      },
    })
    const clients = { a: await t.join('a'), other: await t.join('other') }
    await t.join('denied')
    await t.join('throws')
    expect(brief(await t.sessions.publishTo({ filter: 'all' }, { topic: 't' }))).toEqual([
      { clientId: 'a', outcome: 'done' },
      { clientId: 'denied', outcome: 'failed', error: 'SMQ_PUBLISH_REFUSED' },
      { clientId: 'other', outcome: 'done' },
      { clientId: 'throws', outcome: 'failed', error: 'SMQ_PUBLISH_REFUSED' },
    ])
    await clients.a.expectPublish({ topic: 't' })
    await clients.other.expectPublish({ topic: 't/changed' })
  })

  test('the right to receive is checked, as for every delivery', async () => {
    const t = startScene({ roles: { reader: { permissions: [{ allow: 'subscribe', topic: 'news/#' }] } } })
    const a = await t.join('a', { roles: ['reader'] })
    await t.join('b')
    expect(brief(await t.sessions.publishTo({ filter: 'all' }, { topic: 'news/1', payload: 'x' }))).toEqual([
      { clientId: 'a', outcome: 'done' },
      { clientId: 'b', outcome: 'failed', error: 'SMQ_PUBLISH_REFUSED' },
    ])
    expect(t.view('a').publish({ topic: 'secret' })).toMatchObject({ outcome: 'failed', reason: 'denied' })
    await a.expectPublish({ topic: 'news/1', payload: 'x' })
    await a.expectNothing()
  })

  test.each([
    [{ topic: 'a/#' }, 'SMQ_TOPIC_INVALID'],
    [{ topic: 't', qos: 3 }, 'SMQ_MESSAGE_INVALID'],
    [{ topic: 't', retain: true }, 'SMQ_MESSAGE_INVALID'],
  ])('%j is no such message', async (message, code) => {
    const t = startScene()
    await t.join('a')
    expect(await codeOf(t.sessions.publishTo({ filter: 'all' }, message as never))).toBe(code)
  })
})

test('publishTo tells what became of each message, also where a hook gives out another one meanwhile', async () => {
  const inner: string[] = []
  const t: ReturnType<typeof startScene> = startScene({
    hooks: {
      onDeliver: ({ topic }, { clientId }) => {
        if (topic !== 'outer') return next()
        inner.push(t.view('b').publish({ topic: 'inner' }).outcome)
        return clientId === 'a' ? deny(0x87, 'not for it') : next()
      },
    },
  })
  for (const clientId of ['a', 'b', 'c']) await t.join(clientId)
  const outcomes = await t.sessions.publishTo({ filter: 'all' }, { topic: 'outer' })
  expect(outcomes.map(({ clientId, outcome }) => `${clientId} ${outcome}`)).toEqual(['a failed', 'b done', 'c done'])
  expect(inner).toEqual(['done', 'done', 'done'])
})
