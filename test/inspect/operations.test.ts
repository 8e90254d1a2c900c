import { describe, expect, test } from 'vitest'

import { allow, formatSessionFilter, type Authenticator } from '../../src/index.ts'
import { startAdmin, tokens } from '../support/admin-api.ts'
import { Canaries } from '../support/canaries.ts'

/** Text that browsers, proxies, logs and filters could take for something else. */
const hostileIds = [
  '..',
  '.',
  '../../etc/passwd',
  'a/b',
  '%2f',
  '%2e%2e%2f',
  '%',
  '%00',
  'a b',
  '?x=1#y',
  'a&clientId=b',
  '+',
  ';',
  "'; DROP TABLE sessions; --",
  '<script>alert(1)</script>',
  '"onmouseover="alert(1)',
  '\u0001\u001b[31mred\u001b[0m',
  'line\r\nInjected: header',
  '\u202Egnp.exe',
  '\u2028',
  '🦀',
  '__proto__',
  'constructor',
  ' ',
]

const query = (values: Readonly<Record<string, string>>): string => new URLSearchParams(values).toString()

describe('sessions', () => {
  test('of any client identifier are found, told and steered, each by its own', async () => {
    const { broker, ask } = await startAdmin()
    for (const clientId of hostileIds) {
      await broker.client({ clientId })
      const session = await ask('GET', `/api/v1/session?${query({ clientId })}`, { as: 'read' })
      expect([session.status, (session.body as { clientId: string }).clientId]).toEqual([200, clientId])
      const history = await ask('GET', `/api/v1/session/history?${query({ clientId })}`, { as: 'read' })
      expect(history.status).toBe(200)
      const filter = formatSessionFilter({ type: 'is', key: '$ClientId', value: clientId })
      const page = await ask('GET', `/api/v1/sessions?${query({ filter })}`, { as: 'read' })
      expect(page.body).toMatchObject({ total: 1, rows: [{ clientId }] })
      const body = { clientId, reason: 'test' }
      const gone = await ask('POST', '/api/v1/session/disconnect', { as: 'operate', body })
      expect(gone.body).toMatchObject({ clientId, outcome: 'done' })
      const again = await ask('POST', '/api/v1/session/expire', { as: 'operate', body: { clientId } })
      expect([again.status, (again.body as { code: string }).code]).toEqual([404, 'SMQ_SESSION_UNKNOWN'])
    }
    expect(broker.sessions.size).toBe(0)
  })

  test('a client identifier with a NUL is nobody, and no error of ours', async () => {
    const { ask } = await startAdmin()
    expect((await ask('GET', '/api/v1/session?clientId=%00', { as: 'read' })).status).toBe(404)
    expect((await ask('GET', '/api/v1/session?clientId=', { as: 'read' })).status).toBe(400)
    expect((await ask('GET', '/api/v1/session', { as: 'read' })).status).toBe(400)
  })

  test('one after the other: roles, properties, revocation, with what came of them', async () => {
    const people: Authenticator = { name: 'people', authenticate: () => allow({ principal: 'p', roles: ['a', 'b'] }) }
    const roles = { a: {}, b: {}, c: { include: ['a'], permissions: [{ allow: 'publish' as const, topic: '#' }] } }
    const { broker, ask, log } = await startAdmin({}, { authenticators: [people], roles })
    await broker.client({ clientId: 'x' })
    const act = async (what: string, body: object, method = 'POST') =>
      (await ask(method, `/api/v1/session/${what}`, { as: 'operate', body: { clientId: 'x', ...body } })).body
    expect(await act('roles', { add: ['c'], remove: ['a', 'z'] })).toMatchObject({ outcome: 'done', error: null })
    expect(await act('roles', { add: ['c'] })).toMatchObject({ outcome: 'unchanged' })
    expect(await act('roles', {})).toMatchObject({ code: 'SMQ_SESSION_CHANGE_INVALID' })
    expect(await act('roles', { add: ['d'], remove: ['d'] })).toMatchObject({ code: 'SMQ_SESSION_CHANGE_INVALID' })
    expect(broker.sessions.get('x')?.grant?.roles).toEqual(['b', 'c'])
    expect(await act('properties', { properties: { site: 'north', 'a b': 'x' } }, 'PATCH')).toMatchObject({
      code: 'SMQ_SESSION_CHANGE_INVALID',
    })
    expect(await act('properties', { properties: { site: 'north', $Country: 'NO' } }, 'PATCH')).toMatchObject({
      outcome: 'done',
    })
    expect(await act('properties', { properties: { site: null } }, 'PATCH')).toMatchObject({ outcome: 'done' })
    expect(broker.sessions.get('x')?.properties).toEqual({})
    expect(await act('disconnect', { reasonCode: 0x8d })).toMatchObject({ outcome: 'done' })
    expect(await act('disconnect', { reasonCode: 0x00 })).toMatchObject({ code: 'SMQ_SESSION_CHANGE_INVALID' })
    const listed = await ask('GET', '/api/v1/roles', { as: 'read' })
    expect((listed.body as { roles: { name: string }[] }).roles.map(({ name }) => name)).toEqual(['a', 'b', 'c'])
    expect(log.audit.map(({ operation, outcome }) => [operation, outcome])).toEqual([
      ['session.roles', 'done'],
      ['session.roles', 'done'],
      ['session.roles', 'SMQ_SESSION_CHANGE_INVALID'],
      ['session.roles', 'SMQ_SESSION_CHANGE_INVALID'],
      ['session.properties', 'SMQ_SESSION_CHANGE_INVALID'],
      ['session.properties', 'done'],
      ['session.properties', 'done'],
      ['session.disconnect', 'done'],
      ['session.disconnect', 'SMQ_SESSION_CHANGE_INVALID'],
    ])
  })

  test('many at once: by filter or by name, with an outcome for each', async () => {
    const { broker, ask } = await startAdmin({}, { limits: { maxInspectOutcomes: 2 } })
    for (const clientId of ['a1', 'a2', 'a3', 'b1']) await broker.client({ clientId })
    const act = async (body: object) => ask('POST', '/api/v1/sessions/actions', { as: 'operate', body })
    const disconnect = { type: 'disconnect' }
    const named = await act({ target: { clientIds: ['b1', 'nobody', 'b1'] }, action: disconnect })
    expect(named.body).toEqual({
      done: 1,
      unchanged: 0,
      failed: 1,
      outcomes: [
        { clientId: 'b1', sessionId: expect.any(String), outcome: 'done', error: null, reason: null },
        {
          clientId: 'nobody',
          sessionId: '',
          outcome: 'failed',
          error: 'SMQ_SESSION_UNKNOWN',
          reason: 'no such session',
        },
      ],
    })
    const selected = await act({ target: { filter: "$ClientId like 'a*'" }, action: { type: 'expire' } })
    expect(selected.body).toMatchObject({ done: 3, failed: 0, outcomes: [{}, {}] })
    expect(broker.sessions.size).toBe(0)
    for (const body of [
      { target: { filter: '' }, action: disconnect },
      { target: {}, action: disconnect },
      { target: { filter: 'all', clientIds: ['a'] }, action: disconnect },
      { target: { clientIds: [] }, action: disconnect },
      { target: { clientIds: Array<string>(1_001).fill('a') }, action: disconnect },
      { target: { filter: 'all' }, action: { type: 'destroy' } },
      { target: { filter: 'all' }, action: { type: 'expire', reason: 'x' } },
      { target: { filter: '$ClientId is' }, action: disconnect },
    ])
      expect((await act(body)).status).toBe(400)
  })

  test('filters are judged with the place of the fault, and words are offered for them', async () => {
    const { broker, ask } = await startAdmin()
    const check = async (filter: string) =>
      (await ask('POST', '/api/v1/filter/check', { as: 'read', body: { filter } })).body
    expect(await check("$Principal is 'x'")).toEqual({ valid: true, message: null, offset: null })
    expect(await check('')).toEqual({ valid: true, message: null, offset: null })
    expect(await check("$Principl is 'x'")).toMatchObject({ valid: false, offset: 0 })
    expect(await check('has(')).toMatchObject({ valid: false, offset: 3 })
    await broker.client({ clientId: 'a' })
    await broker.sessions.setProperties({ clientId: 'a' }, { site: 'north' })
    await broker.sessions.setAttributes({ clientId: 'a' }, { level: 1 }, { scope: 'session' })
    const words = (await ask('GET', '/api/v1/filter/words', { as: 'read' })).body
    expect(words).toMatchObject({ properties: ['site'], attributes: ['@session.level'], roles: [] })
    const faulty = await ask('GET', `/api/v1/sessions?${query({ filter: 'has(' })}`, { as: 'read' })
    expect(faulty.body).toMatchObject({ code: 'SMQ_SESSION_FILTER_INVALID', offset: 3 })
  })
})

describe('messages, jobs, bans and the rest', () => {
  test('retained messages are published, browsed, shown and taken away', async () => {
    const { ask } = await startAdmin()
    for (const topic of ['a/../b', 'a/%2f', '/', ' '])
      await ask('POST', '/api/v1/publish', {
        as: 'operate',
        body: {
          topic,
          payloadBase64: 'AAH/',
          retain: true,
          qos: 1,
          properties: { contentType: 'x', userProperties: [['k', 'v']] },
        },
      })
    for (const topic of ['a/../b', 'a/%2f', '/', ' ']) {
      const at = `/api/v1/retained/message?${query({ topic })}`
      expect((await ask('GET', at, { as: 'read' })).body).toMatchObject({
        topic,
        payloadBase64: 'AAH/',
        payloadBytes: 3,
        contentType: 'x',
        userProperties: [['k', 'v']],
      })
      expect((await ask('DELETE', at, { as: 'operate' })).status).toBe(200)
      expect((await ask('DELETE', at, { as: 'operate' })).status).toBe(404)
      expect((await ask('GET', at, { as: 'read' })).status).toBe(404)
    }
    expect((await ask('GET', '/api/v1/retained', { as: 'read' })).body).toMatchObject({ total: 0 })
  })

  test('jobs: what is not there is told', async () => {
    const { ask } = await startAdmin()
    for (const kind of ['offline-queue', 'will', 'session-expiry', 'dead'])
      expect((await ask('GET', `/api/v1/jobs?kind=${kind}`, { as: 'read' })).body).toEqual({
        total: 0,
        offset: 0,
        rows: [],
      })
    for (const what of ['retry', 'drop'])
      expect((await ask('POST', `/api/v1/jobs/${what}`, { as: 'operate', body: { id: 'will:x' } })).status).toBe(404)
  })

  test('bans come and go, traces too', async () => {
    const { ask, broker } = await startAdmin()
    const added = await ask('POST', '/api/v1/bans', {
      as: 'operate',
      body: { clientId: '../x', reason: 'r', seconds: 60 },
    })
    expect(added.body).toMatchObject({ clientId: '../x', principal: null, by: 'operator', reason: 'r' })
    const { id } = added.body as { id: string }
    expect((await ask('GET', '/api/v1/bans', { as: 'read' })).body).toEqual({ bans: [added.body] })
    expect((await ask('POST', '/api/v1/bans', { as: 'operate', body: { reason: 'nobody' } })).status).toBe(400)
    expect((await ask('DELETE', `/api/v1/bans?${query({ id })}`, { as: 'operate' })).status).toBe(200)
    expect((await ask('DELETE', `/api/v1/bans?${query({ id })}`, { as: 'operate' })).status).toBe(404)
    const trace = (seconds: number) =>
      ask('POST', '/api/v1/session/trace', { as: 'operate', body: { clientId: 'x', seconds } })
    expect((await trace(60)).body).toEqual({ clientId: 'x', untilMs: expect.any(Number) })
    expect((await trace(30)).status).toBe(200)
    expect(broker.traces()).toHaveLength(1)
    expect((await ask('GET', '/api/v1/traces', { as: 'read' })).body).toMatchObject({ traces: [{ clientId: 'x' }] })
    expect((await trace(0)).body).toEqual({ clientId: 'x', untilMs: null })
    expect(broker.traces()).toEqual([])
  })

  test('a drain makes it unready, until it is called off', async () => {
    const { ask } = await startAdmin()
    const ready = async () => {
      const { status, body } = await ask('GET', '/readyz')
      return [status, (body as { status: string }).status]
    }
    expect(await ready()).toEqual([200, 'ready'])
    expect((await ask('POST', '/api/v1/drain', { as: 'operate', body: {} })).body).toEqual({ isDraining: true })
    expect(await ready()).toEqual([503, 'draining'])
    expect((await ask('DELETE', '/api/v1/drain', { as: 'operate' })).body).toEqual({ isDraining: false })
    expect(await ready()).toEqual([200, 'ready'])
    expect((await ask('DELETE', '/api/v1/drain', { as: 'operate' })).status).toBe(404)
  })

  test('explains rights and refusals', async () => {
    const people: Authenticator = { name: 'people', authenticate: () => allow({ principal: 'p', roles: ['a'] }) }
    const roles = { a: { permissions: [{ allow: 'publish' as const, topic: 'x/#' }] } }
    const { broker, ask } = await startAdmin({}, { authenticators: [people], roles })
    await broker.client({ clientId: 'c' })
    const explain = async (body: object) => ask('POST', '/api/v1/explain', { as: 'read', body })
    expect((await explain({ clientId: 'c', action: 'publish', topic: 'x/1' })).body).toMatchObject({
      verdict: 'allow',
      rule: { role: 'a', index: 0, effect: 'allow', topic: 'x/#' },
      refusal: null,
    })
    expect((await explain({ clientId: 'c', action: 'connect' })).body).toMatchObject({ verdict: 'allow', rule: null })
    expect((await explain({ clientId: 'nobody', action: 'connect' })).status).toBe(404)
    expect((await explain({ clientId: 'c', action: 'publish' })).status).toBe(400)
  })
})

describe('what must not get out', () => {
  test('the log of what operators did holds no secret, no payload and no line of somebody else', async () => {
    const { ask, log } = await startAdmin()
    const canaries = new Canaries()
    const secret = canaries.plant('payload')
    await ask('POST', '/api/v1/publish', {
      as: 'operate',
      body: { topic: 'a\u001b[2J\r\n{"level":50}', payload: secret },
    })
    await ask('POST', '/api/v1/login', { body: { user: 'x\r\ny', password: canaries.plant('password') } })
    await ask('POST', '/api/v1/login', { body: { token: canaries.plant('token').repeat(2) } })
    await ask('POST', '/api/v1/login', { body: { token: tokens.operate } })
    await ask('PATCH', '/api/v1/session/properties', {
      as: 'operate',
      body: { clientId: 'x'.repeat(5_000), properties: { pin: canaries.plant('property') } },
    })
    canaries.add('the operator token', tokens.operate)
    const text = JSON.stringify(log.lines)
    expect(canaries.found(text)).toEqual([])
    for (const line of log.audit)
      for (const value of Object.values(line)) expect(String(value)).not.toMatch(/[\p{Cc}\u202e]/u)
    expect(log.audit.map(({ name, operation, outcome }) => [name, operation, outcome])).toEqual([
      ['operate', 'publish', 'reached 0'],
      ['', 'login', 'refused'],
      ['', 'login', 'refused'],
      ['', 'login', 'done'],
      ['operate', 'session.properties', 'SMQ_SESSION_UNKNOWN'],
    ])
    expect(log.audit.at(-1)?.['clientId']).toBe(`${'x'.repeat(200)}…`)
  })

  test('what the document does not name stays inside, whoever adds it to an answer', async () => {
    const { broker, ask } = await startAdmin()
    const stats = { ...broker.inspection.stats(), password: 'hunter2' }
    Object.defineProperty(broker.inspection, 'stats', { value: () => stats })
    const { status, text } = await ask('GET', '/api/v1/stats', { as: 'read' })
    expect([status, text.includes('hunter2')]).toEqual([200, false])
  })

  test('no answer has a secret, a stack or the text of an error that is not ours', async () => {
    const canaries = new Canaries()
    const password = canaries.plant('password of a client')
    const people: Authenticator = { name: 'people', authenticate: () => allow({ principal: 'p' }) }
    const { broker, ask, document, raw } = await startAdmin({}, { authenticators: [people] })
    await broker.client({ clientId: 'x', username: 'u', password })
    canaries.add('a token', tokens.operate)
    Object.defineProperty(broker.inspection, 'roles', {
      value: () => {
        throw new Error(`${canaries.plant('text of an error')} at /work`)
      },
    })
    const answers: string[] = []
    for (const [path, { get }] of Object.entries(document.paths)) {
      // Streams do not end, and pictures are made of the machine alone.
      if (!get || /events|tap|layout|svg/.test(path)) continue
      const needed = (get.parameters ?? [])
        .filter(({ required }) => required)
        .map(({ name }): [string, string] => [name, 'x'])
      const { text } = await raw('GET', `${path}?${new URLSearchParams(needed).toString()}`, { as: 'operate' })
      answers.push(text)
    }
    const { status, body } = await ask('GET', '/api/v1/roles', { as: 'read' })
    expect([status, body]).toEqual([
      500,
      { code: 'SMQ_API_FAILED', message: expect.stringContaining('the log says more') },
    ])
    expect(answers.length).toBeGreaterThan(20)
    expect(canaries.found(answers.join('\n'))).toEqual([])
    expect(answers.join('\n')).not.toMatch(/\bat .*\.ts:\d+|node_modules|\/work\//)
  })
})
