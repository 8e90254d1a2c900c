import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'

import { startAdmin } from '../support/admin-api.ts'

describe('headers of every answer', () => {
  test.each(['/', '/healthz', '/api/v1/stats', '/nowhere', '/api/v1/stats?x=1', '/%zz'])('%s', async (path) => {
    const { ask } = await startAdmin()
    const { headers } = await ask('GET', path, { headers: { origin: 'http://127.0.0.1:1', 'x-no': 'cors' } })
    const named = Object.keys(headers).filter((name) => name.startsWith('access-control'))
    expect(named).toEqual([])
    expect(headers['content-security-policy']).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; " +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    })
  })
})

describe('DNS rebinding and other sites (threat 91)', () => {
  const hosts: readonly (readonly [host: string, status: number])[] = [
    ['127.0.0.1', 200],
    ['127.0.0.1:7883', 200],
    ['[::1]:7883', 200],
    ['localhost', 200],
    ['LOCALHOST:1', 200],
    ['10.1.2.3', 200],
    ['broker.example', 200],
    ['Broker.Example:8443', 200],
    ['rebound.example', 403],
    ['broker.example.evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['localhost.evil.example', 403],
    ['evil.example:127.0.0.1', 403],
    ['2130706433', 403],
    [' ', 403],
  ]
  test('a name that nobody has listed is refused, whatever it leads to', async () => {
    const { raw } = await startAdmin({ hosts: ['broker.example'] })
    const came: (readonly [string, number])[] = []
    for (const [host] of hosts) came.push([host, (await raw('GET', '/healthz', { headers: { host } })).status])
    expect(came).toEqual(hosts)
  })

  test('an origin is the own one or none', async () => {
    const { raw, port } = await startAdmin({ hosts: ['broker.example'] })
    const host = `127.0.0.1:${port}`
    const statusOf = async (origin: string): Promise<number> =>
      (await raw('GET', '/api/v1/stats', { as: 'read', headers: { host, origin } })).status
    expect(await statusOf(`http://${host}`)).toBe(200)
    for (const origin of [
      'http://evil.example',
      'null',
      `http://127.0.0.1:${port + 1}`,
      `http://localhost:${port}`,
      `http://${host}.evil.example`,
      `http://evil@${host}`,
      '',
    ])
      expect([origin, await statusOf(origin)]).toEqual([origin, 403])
  })

  test('what a browser says comes from another site is refused, but for following a link', async () => {
    const { raw } = await startAdmin()
    const statusOf = async (method: string, path: string, site: string, mode: string): Promise<number> =>
      (await raw(method, path, { headers: { 'sec-fetch-site': site, 'sec-fetch-mode': mode } })).status
    expect(await statusOf('GET', '/healthz', 'same-origin', 'cors')).toBe(200)
    expect(await statusOf('GET', '/healthz', 'none', 'navigate')).toBe(200)
    expect(await statusOf('GET', '/healthz', 'cross-site', 'navigate')).toBe(200)
    expect(await statusOf('GET', '/healthz', 'cross-site', 'no-cors')).toBe(403)
    expect(await statusOf('GET', '/healthz', 'same-site', 'cors')).toBe(403)
    expect(await statusOf('POST', '/api/v1/logout', 'cross-site', 'navigate')).toBe(403)
  })
})

describe('content types, paths and pages (threat 93)', () => {
  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/json+x',
    'text/json',
  ])('%s is not taken', async (type) => {
    const { ask } = await startAdmin()
    const { status, body } = await ask('POST', '/api/v1/publish', {
      as: 'operate',
      headers: { 'content-type': type },
      body: '{"topic":"a"}',
    })
    expect([status, (body as { code: string }).code]).toEqual([415, 'SMQ_API_REQUEST_INVALID'])
  })

  test.each([
    '/API/v1/stats',
    '/api/v1/stats/',
    '//api/v1/stats',
    '/api//v1/stats',
    '/api/v1/./stats',
    '/api/v1/../v1/stats',
    '/api/v1/stats;x=1',
    '/api/v1/stats%00',
    '/api/v1/stats%2f',
    '/assets/../api/v1/stats',
    '/assets/..%2f..%2fpackage.json',
    '/..%2f..%2f..%2fpackage.json',
    '/../../package.json',
    '/%2e%2e/%2e%2e/package.json',
    '/..\\..\\package.json',
  ])('%s is no other way to anything', async (path) => {
    const { ask } = await startAdmin()
    const { status, text } = await ask('GET', path, { as: 'operate' })
    expect([status, text.includes('"version"')]).toEqual([404, false])
    expect((await ask('GET', path)).status).toBe(404)
  })

  test('an escaped letter in a path is the letter, and needs the same role', async () => {
    const { ask } = await startAdmin()
    expect((await ask('GET', '/api/v1/%73tats')).status).toBe(401)
  })

  test.each([
    'limit=0',
    'limit=1001',
    'limit=-1',
    'limit=1e3',
    'limit=0x10',
    'limit=',
    'limit=10&limit=20',
    'limit=99999999999999999999',
    'offset=-1',
    'offset=9007199254740993',
    'offset=1.5',
    'sort=nothing',
    'sort=__proto__',
    'descending=1',
    'filtr=all',
    '__proto__=1',
    'limit%5B%5D=1',
    `filter=${encodeURIComponent('$Principal is')}`,
    'filter=%ff',
  ])('/api/v1/sessions?%s is refused', async (query) => {
    const { ask } = await startAdmin()
    const { status } = await ask('GET', `/api/v1/sessions?${query}`, { as: 'read' })
    expect(status).toBe(400)
  })

  test('the farthest page there is is an empty one', async () => {
    const { ask } = await startAdmin()
    const { status, body } = await ask('GET', '/api/v1/sessions?offset=1000000000&limit=1000', { as: 'read' })
    expect([status, body]).toEqual([200, { total: 0, offset: 1_000_000_000, rows: [] }])
  })

  test.each([
    ['no JSON', '{'],
    ['nothing', ''],
    ['a list', '[]'],
    ['a number', '1'],
    ['null', 'null'],
    ['a prototype', '{"topic":"a","__proto__":{"qos":1}}'],
    ['a constructor', '{"topic":"a","constructor":{"prototype":{"qos":1}}}'],
    ['a name too many', '{"topic":"a","payloads":"x"}'],
    ['a wrong type', '{"topic":["a"]}'],
    ['half a character', '{"topic":"\\ud800"}'],
    ['two payloads', '{"topic":"a","payload":"x","payloadBase64":"eA=="}'],
    ['no base64', '{"topic":"a","payloadBase64":"*"}'],
    ['a wildcard', '{"topic":"a/#"}'],
    ['great depth', `{"topic":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  ])('a body with %s is refused', async (_what, body) => {
    const { ask } = await startAdmin()
    const { status } = await ask('POST', '/api/v1/publish', { as: 'operate', body })
    expect(status).toBe(400)
    expect(({} as { qos?: number }).qos).toBeUndefined()
  })

  test('another method is told which there are', async () => {
    const { ask } = await startAdmin()
    const { status, headers } = await ask('PUT', '/api/v1/retained/message', { as: 'operate' })
    expect([status, headers.allow]).toEqual([405, 'GET, DELETE'])
  })
})

describe('sizes', () => {
  const small = { maxInspectBodyBytes: 1_024, maxInspectHeaderBytes: 1_024 }

  test('a body above maxInspectBodyBytes is refused', async () => {
    const { ask } = await startAdmin({}, { limits: small })
    const statusOf = async (length: number): Promise<number> =>
      (await ask('POST', '/api/v1/publish', { as: 'operate', body: `{"topic":"a"${' '.repeat(length - 13)}}` })).status
    expect([await statusOf(1_024), await statusOf(1_025)]).toEqual([200, 413])
  })

  test('headers above maxInspectHeaderBytes are refused', async () => {
    const { raw } = await startAdmin({}, { limits: small })
    const { status } = await raw('GET', `/healthz?${'x'.repeat(2_000)}`)
    expect(status).toBe(431)
  })

  test('bytes that are no HTTP get an answer and an end', async () => {
    const { port } = await startAdmin()
    const socket = connect(port, '127.0.0.1')
    socket.setEncoding('utf8')
    socket.write('\u0010\u0000MQTT\r\n\r\n')
    let text = ''
    for await (const chunk of socket) text += chunk as string
    expect(text).toMatch(/^HTTP\/1\.1 400 /)
  })
})
