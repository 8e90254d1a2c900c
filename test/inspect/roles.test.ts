import { describe, expect, test } from 'vitest'

import { hashPassword } from '../../src/auth/password-hash.ts'
import { startAdmin, tokens, type Asker } from '../support/admin-api.ts'

/** Who may do what, stated here once more: a route that is missing here, or has another role, fails (threat 90). */
const expected: Readonly<Record<string, Asker | 'none'>> = {
  'GET /healthz': 'none',
  'GET /readyz': 'none',
  'GET /metrics': 'metrics',
  'POST /api/v1/login': 'none',
  'GET /api/v1/login': 'metrics',
  'POST /api/v1/logout': 'none',
  'POST /api/v1/tickets': 'read',
  'GET /api/v1/openapi.json': 'read',
  'GET /api/v1/stats': 'read',
  'GET /api/v1/stats/history': 'read',
  'GET /api/v1/census': 'read',
  'GET /api/v1/flows': 'read',
  'GET /api/v1/slow-subscribers': 'read',
  'GET /api/v1/sessions': 'read',
  'GET /api/v1/session': 'read',
  'GET /api/v1/session/history': 'read',
  'PATCH /api/v1/session/properties': 'operate',
  'POST /api/v1/session/roles': 'operate',
  'POST /api/v1/session/disconnect': 'operate',
  'POST /api/v1/session/revoke': 'operate',
  'POST /api/v1/session/expire': 'operate',
  'POST /api/v1/session/trace': 'operate',
  'GET /api/v1/traces': 'read',
  'POST /api/v1/sessions/actions': 'operate',
  'POST /api/v1/filter/check': 'read',
  'GET /api/v1/filter/words': 'read',
  'POST /api/v1/explain': 'read',
  'GET /api/v1/roles': 'read',
  'GET /api/v1/retained': 'read',
  'GET /api/v1/retained/message': 'read',
  'DELETE /api/v1/retained/message': 'operate',
  'POST /api/v1/publish': 'operate',
  'GET /api/v1/jobs': 'read',
  'POST /api/v1/jobs/retry': 'operate',
  'POST /api/v1/jobs/drop': 'operate',
  'GET /api/v1/bans': 'read',
  'POST /api/v1/bans': 'operate',
  'DELETE /api/v1/bans': 'operate',
  'GET /api/v1/drain': 'read',
  'POST /api/v1/drain': 'operate',
  'DELETE /api/v1/drain': 'operate',
  'GET /machines/session.mermaid': 'read',
  'GET /machines/session.json': 'read',
  'GET /machines/session.layout.json': 'read',
  'GET /machines/session.svg': 'read',
  'GET /machines/will.mermaid': 'read',
  'GET /machines/will.json': 'read',
  'GET /machines/will.layout.json': 'read',
  'GET /machines/will.svg': 'read',
  'GET /machines/broker.mermaid': 'read',
  'GET /machines/broker.json': 'read',
  'GET /machines/broker.layout.json': 'read',
  'GET /machines/broker.svg': 'read',
  'GET /api/v1/events': 'read',
  'GET /api/v1/tap': 'read',
}

const ranks = ['metrics', 'read', 'operate'] as const

/** What is wrong with every body and query: whoever gets in is told so, and nothing happens. */
const nonsense = 'nonsense=1'

describe('every route × everybody', () => {
  test('is let in or refused by the role, before anything else of the request is looked at', async () => {
    const { document, ask } = await startAdmin()
    const routes = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
    )
    expect(Object.fromEntries(routes.map((one) => [`${one.method} ${one.path}`, one.operation['x-role']]))).toEqual(
      expected,
    )
    for (const { path, method } of routes) {
      const role = expected[`${method} ${path}`]!
      for (const asker of [undefined, ...ranks]) {
        const body = method === 'GET' || method === 'DELETE' ? undefined : { nonsense: 1 }
        const { status } = await ask(method, `${path}?${nonsense}`, { as: asker, body })
        const isLetIn = role === 'none' || (asker !== undefined && ranks.indexOf(asker) >= ranks.indexOf(role))
        const refusal = asker === undefined ? 401 : 403
        expect(`${method} ${path} as ${asker}: ${status}`).toBe(
          `${method} ${path} as ${asker}: ${isLetIn ? 400 : refusal}`,
        )
      }
    }
  })

  test('a refused body is not even read', async () => {
    const { ask } = await startAdmin()
    const { status } = await ask('POST', '/api/v1/publish', { as: 'read', body: '{ no JSON' })
    expect(status).toBe(403)
  })

  test.each([
    ['a wrong token', `Bearer ${'x'.repeat(40)}`],
    ['one character less', `Bearer ${tokens.operate.slice(1)}`],
    ['no token', 'Bearer'],
    ['another scheme', `Digest ${tokens.operate}`],
    ['a name without a password', `Basic ${Buffer.from('operate').toString('base64')}`],
    ['a token as a password', `Basic ${Buffer.from(`operate:${tokens.operate}`).toString('base64')}`],
  ])('%s is nobody', async (_what, authorization) => {
    const { ask } = await startAdmin()
    const { status, headers } = await ask('GET', '/api/v1/stats', { headers: { authorization } })
    expect([status, headers['www-authenticate']]).toEqual([401, 'Bearer realm="statemq"'])
  })
})

describe('who decided', () => {
  const someone = async () => {
    const passwordHash = await hashPassword(Buffer.from('a password'), { memoryKibibytes: 8, passes: 1 })
    const admin = await startAdmin({ users: [{ name: 'olga', role: 'operate', passwordHash }] })
    const basic = { authorization: `Basic ${Buffer.from('olga:a password').toString('base64')}` }
    const session = { clientId: 'press', sessionExpiryIntervalSeconds: 60 }
    await admin.broker.client(session)
    /** The last step of the session, by who decided on it. */
    const last = (): unknown => {
      const { by, name, reason } = admin.broker.inspection.history('press').at(-1)!.decision!
      return [by, name, reason]
    }
    return { ...admin, basic, session, last }
  }

  test('is the name of the login, in the history of the session: never what it logged in with', async () => {
    const { ask, broker, basic, session, last } = await someone()
    const clientId = 'press'
    const steps = [
      ['session/roles', { add: ['crew'] }, 'its roles are now: crew'],
      ['session/disconnect', { reason: 'maintenance' }, 'maintenance'],
    ] as const
    for (const [path, body, reason] of steps) {
      expect((await ask('POST', `/api/v1/${path}`, { headers: basic, body: { clientId, ...body } })).status).toBe(200)
      expect(last()).toEqual(['operator', 'olga', reason])
    }
    await broker.client(session)
    // A token has a name as well, and many sessions are done like one.
    const action = { target: { filter: 'all' }, action: { type: 'revoke', reason: 'stolen' } }
    expect((await ask('POST', '/api/v1/sessions/actions', { as: 'operate', body: action })).status).toBe(200)
    expect(last()).toEqual(['operator', 'operate', 'stolen'])
    const properties = { clientId, properties: { line: '7' } }
    await ask('PATCH', '/api/v1/session/properties', { headers: basic, body: properties })
    const { rows } = await broker.inspection.jobs({ kind: 'session-expiry', offset: 0, limit: 1 })
    await ask('POST', '/api/v1/jobs/retry', { headers: basic, body: { id: rows[0]!.id } })
    expect(last()).toEqual(['operator', 'olga', 'session ended by the operator'])
    const { text } = await ask('GET', `/api/v1/session/history?clientId=${clientId}`, { as: 'read' })
    expect(text).toContain('"name":"olga"')
    for (const secret of [tokens.operate, 'a password', '$argon2', basic.authorization.slice(6)])
      expect(text).not.toContain(secret)
  })

  test('is nobody by name where the embedder names nobody, and a name of any length is cut', async () => {
    const { broker, session, last } = await someone()
    await broker.sessions.disconnect({ clientId: 'press' }, undefined, 'by code')
    expect(last()).toEqual(['operator', '', 'by code'])
    for (const [name, kept] of [
      ['night shift', 'night shift'],
      ['x'.repeat(1_000), 'x'.repeat(256)],
    ]) {
      await broker.client(session)
      broker.sessions.by(name!).get('press')!.disconnect(undefined, 'by a view')
      expect(last()).toEqual(['operator', kept, 'by a view'])
    }
  })
})
