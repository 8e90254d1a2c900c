/** Filters over sessions of real connections: what each key reads, and that the index leads to the same as a scan. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { allow, StatemqError } from '../../src/index.ts'
import { codeOf, startScene } from './sessions-scene.ts'

describe('semantics 7.15', () => {
  test('fixed properties, user-defined ones and attributes select', async () => {
    const t = startScene()
    await t.join('a', {
      principal: 'ann',
      roles: ['operator', 'it'],
      properties: { Department: 'Accounts', $Country: 'UK' },
      expiresAtMs: t.clock.nowMs() + 60_000,
    })
    await t.stay('b', { principal: 'ben', roles: ['operator'] }, { version: 4, properties: {} })
    await t.stay('c', { principal: 'ann', properties: { Department: 'Sales' } })
    t.view('a').setAttributes({ level: 3, seen: true }, { scope: 'connection' })
    t.view('b').setAttributes({ level: '3' }, { scope: 'session' })
    const offline = await t.stay('d')
    offline.drop()
    await t.settle()

    const cases: Record<string, string[]> = {
      all: ['a', 'b', 'c', 'd'],
      [`$ClientId in ['a' 'd' 'x']`]: ['a', 'd'],
      [`$SessionId is '${t.view('b').sessionId}'`]: ['b'],
      [`$Principal is 'ann'`]: ['a', 'c'],
      [`$Principal like '?n?'`]: ['a', 'c'],
      [`hasRoles ['operator']`]: ['a', 'b'],
      [`hasRoles ['operator' 'it']`]: ['a'],
      [`$Roles is '"operator","it"'`]: ['a'],
      [`$State is 'offline'`]: ['d'],
      [`$ProtocolVersion is '4'`]: ['b'],
      [`$Transport is 'memory' and $Listener is 'attached'`]: ['a', 'b', 'c', 'd'],
      [`$Authenticator is 'told'`]: ['a', 'b', 'c', 'd'],
      [`has $TlsVersion or has $ClientIP or has $ServerName`]: [],
      [`$Country is 'UK'`]: ['a'],
      [`$Country ne 'UK'`]: ['b', 'c', 'd'],
      [`has Department`]: ['a', 'c'],
      [`Department is 'Sales' and not $Country is 'UK'`]: ['c'],
      [`has $ExpiryTime`]: ['a'],
      [`$ExpiryTime <= ${t.clock.nowMs() + 60_000}`]: ['a'],
      [`$ExpiryTime < ${t.clock.nowMs()}`]: [],
      [`$StartTime < 2200-01-01`]: ['a', 'b', 'c', 'd'],
      [`@connection.level > 2`]: ['a'],
      [`@session.level is '3'`]: ['b'],
      [`@session.level is 3`]: [],
      [`@connection.seen is true`]: ['a'],
    }
    const found = Object.fromEntries(Object.keys(cases).map((filter) => [filter, t.select(filter).sort()]))
    expect(found).toEqual(cases)
    for (const [filter, clientIds] of Object.entries(cases)) expect(t.sessions.count(filter)).toBe(clientIds.length)
  })

  test('what is wrong with a filter is told with its offset', async () => {
    const t = startScene()
    const fault = (() => {
      try {
        t.sessions.select('has Department and $Prinzipal is "x"')
      } catch (error) {
        return error as StatemqError
      }
      return undefined
    })()
    expect(fault).toBeInstanceOf(StatemqError)
    expect([fault?.code, fault?.offset]).toEqual(['SMQ_SESSION_FILTER_INVALID', 19])
    expect(fault?.message).toContain('did you mean $Principal?')
    expect(() => t.sessions.count('')).toThrow(fault!.message.slice(0, 20))
    expect(() => t.sessions.watch('(')).toThrow('at 1')
    expect(await codeOf(t.sessions.disconnect({ filter: 'or' }))).toBe('SMQ_SESSION_FILTER_INVALID')
  })

  test('a session of a client identifier that the broker made up is found under it', async () => {
    const t = startScene()
    const client = await t.join('')
    const clientId = client.connack!.properties.assignedClientIdentifier as string
    expect(t.select(`$ClientId is '${clientId}'`)).toEqual([clientId])
    expect(t.select(`$ClientId like 'auto-*'`)).toEqual([clientId])
    expect(t.view(clientId).fixedProperties.$ClientId).toBe(clientId)
  })

  test('a session is found under the client identifier that it has, whatever its client sent', async () => {
    const told = { name: 'told', authenticate: async () => allow({ principal: 'ann' }) }
    const t = startScene({ clientIds: { fromPrincipal: true }, authenticators: [told] })
    await t.join('sent')
    expect(t.select(`$ClientId is 'ann'`)).toEqual(['ann'])
    expect(t.select(`$ClientId like 'ann'`)).toEqual(['ann'])
    expect(t.select(`$ClientId is 'sent'`)).toEqual([])
    expect(t.view('ann').fixedProperties.$ClientId).toBe('ann')
  })
})

describe('the index', () => {
  test('follows roles, principals, takeovers and ends', async () => {
    const t = startScene({ takeover: 'anyone' })
    await t.stay('a', { principal: 'ann', roles: ['r1', 'r2'] })
    await t.stay('b', { principal: 'ben', roles: ['r1'] })
    await t.stay('c', { principal: 'ann' })
    expect([t.select(`hasRoles ['r1']`), t.select(`$Principal is 'ann'`)]).toEqual([
      ['a', 'b'],
      ['a', 'c'],
    ])
    t.view('a').changeRoles({ remove: ['r1'], add: ['r3'] })
    expect([t.select(`hasRoles ['r1']`), t.select(`hasRoles ['r2' 'r3']`)]).toEqual([['b'], ['a']])
    // Another principal takes the session over.
    const taker = await t.stay('c', { principal: 'cat', roles: ['r2'] })
    expect([t.select(`$Principal is 'ann'`), t.select(`$Principal in ['cat']`)]).toEqual([['a'], ['c']])
    expect(t.select(`hasRoles ['r2']`).sort()).toEqual(['a', 'c'])
    taker.drop()
    await t.settle()
    expect(t.select(`$Principal is 'cat'`)).toEqual(['c'])
    await t.advance(61_000)
    expect([t.select(`$Principal is 'cat'`), t.select(`hasRoles ['r2']`)]).toEqual([[], ['a']])
    t.view('b').expire()
    expect([t.select(`$Principal is 'ben'`), t.select(`hasRoles ['r1']`)]).toEqual([[], []])
  })

  test('leads to what a scan finds', async () => {
    const t = startScene()
    const roles = ['r1', 'r2', 'r3', 'r4']
    for (let i = 0; i < 40; i++) {
      const principal = i % 4 === 0 ? {} : { principal: `p${i % 7}` }
      await t.join(`c${i}`, { roles: roles.filter((_, bit) => (i >> bit) & 1), ...principal })
    }
    const clause = fc.oneof(
      fc.subarray(roles, { minLength: 1 }).map((some) => `hasRoles [${some.map((role) => `'${role}'`).join(' ')}]`),
      fc.nat(8).map((i) => `$Principal is 'p${i}'`),
      fc
        .array(fc.nat(45), { minLength: 1, maxLength: 4 })
        .map((ids) => `$ClientId in [${ids.map((i) => `'c${i}'`).join()}]`),
      fc.constantFrom(`$State is 'online'`, 'has x', `$ClientId like 'c1*'`),
    )
    const filter = fc.letrec<{ filter: string }>((tie) => ({
      filter: fc.oneof(
        { depthSize: 'small' },
        clause,
        tie('filter').map((one) => `not ${one}`),
        fc
          .tuple(tie('filter'), fc.constantFrom('and', 'or'), tie('filter'))
          .map(([a, operator, b]) => `(${a} ${operator} ${b})`),
      ),
    })).filter
    fc.assert(
      fc.property(filter, (text) => {
        // What is behind a double negation is not looked up.
        expect(t.select(text).sort()).toEqual(t.select(`not not (${text})`).sort())
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('threats', () => {
  test('threat 87: nesting and length are bounded by the broker', async () => {
    const t = startScene({ limits: { maxFilterDepth: 3, maxFilterLength: 60, maxFilterSteps: 4 } })
    await t.join('a')
    expect(t.select('not not not has x')).toEqual(['a'])
    for (const filter of ['not not not not all', `has x${' '.repeat(60)}`, `x in ['1' '2' '3' '4' '5']`]) {
      expect(() => t.select(filter)).toThrow('The session filter is not valid')
      expect(await codeOf(t.sessions.expire({ filter }))).toBe('SMQ_SESSION_FILTER_INVALID')
    }
    expect(t.state('a')).toBe('online')
  })

  test('threat 88: a session has nothing that nobody gave it', async () => {
    const t = startScene()
    await t.join('a')
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      for (const key of [name, `@session.${name}`, `@connection.${name}`])
        expect([key, t.select(`has ${key}`), t.select(`${key} ne 'x'`)]).toEqual([key, [], ['a']])
    }
    t.view('a').setAttributes({ n: 3, t: '3', b: true }, { scope: 'session' })
    expect(t.select(`@session.n is '3' or @session.t is 3 or @session.b is 'true' or @session.t > 2`)).toEqual([])
  })

  test('threat 89: __proto__ is a name like others, and Object.prototype stays as it is', async () => {
    const t = startScene()
    const properties = JSON.parse('{"__proto__":"polluted","constructor":"c"}') as Record<string, string>
    await t.join('a', { properties })
    t.view('a').setProperties(JSON.parse('{"__proto__":"p2","toString":"t"}') as Record<string, string>)
    t.view('a').setAttributes(JSON.parse('{"__proto__":true}') as Record<string, boolean>, { scope: 'session' })
    expect(t.select(`__proto__ is 'p2' and toString is 't' and constructor is 'c'`)).toEqual(['a'])
    expect(t.select('@session.__proto__ is true')).toEqual(['a'])
    expect(Object.getPrototypeOf(t.view('a').properties)).toBe(null)
    expect(Object.getPrototypeOf(t.view('a').attributes.session)).toBe(null)
    expect(Object.keys(t.view('a').properties).sort()).toEqual(['__proto__', 'constructor', 'toString'])
    expect(({} as Record<string, unknown>)['polluted']).toBe(undefined)
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('p2')
    expect(t.view('a').setProperties(JSON.parse('{"__proto__":null}') as Record<string, null>).outcome).toBe('done')
    expect(t.select('has __proto__')).toEqual([])
  })
})
