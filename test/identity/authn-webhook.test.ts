import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'

import { webhook, type WebhookOptions } from '../../src/index.ts'
import { localhostPair, testAuthority } from '../support/certificates.ts'
import { RawClient } from '../support/raw-client.ts'
import { connect as connectPacket } from '../support/wire.ts'
import { connectMqttJs, requestOf, startAuthBroker } from './authn-scene.ts'

interface Asked {
  readonly path: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: Record<string, unknown>
}

type Reply = (response: ServerResponse, asked: Asked) => void

async function listen(server: Server): Promise<number> {
  onTestFinished(() => void server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** An endpoint that answers as `endpoint.reply` says, and remembers what it was asked. */
async function startEndpoint(reply: Reply, make: (listener: RequestListener) => Server = createServer) {
  const asked: Asked[] = []
  const changes = new EventEmitter()
  const endpoint = { reply }
  const port = await listen(
    make((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>
        const one = { path: request.url, headers: request.headers, body }
        asked.push(one)
        changes.emit('change')
        endpoint.reply(response, one)
      })
    }),
  )
  const askedTimes = async (times: number): Promise<void> => {
    while (asked.length < times) await once(changes, 'change')
  }
  return Object.assign(endpoint, { asked, askedTimes, port, url: `http://127.0.0.1:${port}/auth?v=1` })
}

const json = (body: unknown, headers: Record<string, string> = {}, status = 200): Reply => {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  }
}
const allowed = json({ verdict: 'allow' })

async function start(reply: Reply, options: Partial<WebhookOptions> = {}) {
  const endpoint = await startEndpoint(reply)
  const t = await startAuthBroker([webhook({ url: endpoint.url, ...options })])
  return { ...t, endpoint }
}

describe('the endpoint decides', () => {
  test('it gets the facts of CONNECT, and its answer makes the grant', async () => {
    const expiresAtMs = Date.now() + 3_600_000
    const t = await start(
      json({
        verdict: 'allow',
        principal: 'press-1',
        roles: ['device'],
        properties: { site: 'north', $Country: 'DE' },
        expiresAtMs,
        limits: { maxQueuedMessages: 5 },
        connack: { maximumQoS: 1, reasonString: 'welcome' },
      }),
      { headers: { authorization: 'Bearer of-the-broker' } },
    )
    const userProperties = { 'session.line': '2' }
    const answer = await t.connect({
      ...{ clientId: 'c1', username: 'anna', password: 'hünter2', keepalive: 30 },
      properties: { sessionExpiryInterval: 60, userProperties },
    })
    expect(answer).toEqual({ code: 0, reason: 'welcome' })
    expect(t.endpoint.asked).toMatchObject([
      {
        path: '/auth?v=1',
        headers: { authorization: 'Bearer of-the-broker', 'content-type': 'application/json; charset=utf-8' },
        body: {
          version: 1,
          clientId: 'c1',
          username: 'anna',
          password: 'hünter2',
          protocolVersion: 5,
          cleanStart: true,
          keepAliveSeconds: 30,
          sessionExpiryIntervalSeconds: 60,
          userProperties: [['session.line', '2']],
          proposedProperties: { line: '2' },
          connection: { transport: 'tcp', remoteAddress: '127.0.0.1', listener: `tcp:127.0.0.1:${t.port}` },
        },
      },
    ])
    expect(t.grants()).toMatchObject([
      { principal: 'press-1', roles: ['device'], authenticator: 'webhook', expiresAtMs, properties: { site: 'north' } },
    ])
    expect(await t.mosquitto('-V', '311', '-u', 'anna', '-P', 'x')).toBe(0)
  })

  test('bytes that are no text are sent as base64', async () => {
    const t = await start(allowed)
    expect((await t.connect({ username: 'a', password: Buffer.from('ff00', 'hex') as unknown as string })).code).toBe(0)
    expect(t.endpoint.asked[0]?.body).toMatchObject({ passwordBase64: '/wA=' })
    expect(t.endpoint.asked[0]?.body).not.toHaveProperty('password')
  })

  test('deny has its code, next leaves it to the others', async () => {
    const t = await start(json({ verdict: 'deny', reasonCode: 0x8a, reason: 'banned' }))
    expect(await t.connect()).toEqual({ code: 0x8a, reason: 'banned' })
    t.endpoint.reply = json({ verdict: 'next' })
    expect(await t.connect()).toEqual({ code: 0x87, reason: 'no authenticator accepted the client' })
    expect(t.failures()).toEqual([])
  })

  test('over TLS, with an authority of its own', async () => {
    const endpoint = await startEndpoint(allowed, (listener) => createTlsServer(localhostPair(), listener))
    const url = `https://localhost:${endpoint.port}/`
    const trusting = await startAuthBroker([webhook({ url, ca: testAuthority().cert })])
    expect((await trusting.connect()).code).toBe(0)
    const wary = await startAuthBroker([webhook({ url })])
    expect((await wary.connect()).code).toBe(0x87)
    expect(wary.failures()).toEqual([expect.stringMatching(/certificate/)])
    expect(endpoint.asked).toHaveLength(1)
  })
})

describe('threat 73: what is no clear answer lets nobody in', () => {
  const html: Reply = (response) => {
    response.writeHead(200, { 'content-type': 'text/html' })
    response.end('{"verdict":"allow"}')
  }
  test.each<[string, Reply, RegExp]>([
    ['status 500', json({ verdict: 'allow' }, {}, 500), /answered with status 500/],
    ['status 201', json({ verdict: 'allow' }, {}, 201), /answered with status 201/],
    ['status 204', (response) => response.writeHead(204).end(), /answered with status 204/],
    ['another content type', html, /is not application\/json/],
    ['no JSON', json('allow'), /is not a JSON object/],
    ['a list', json(['allow']), /is not a JSON object/],
    ['nothing', json(''), /is not a JSON object/],
    ['another verdict', json({ verdict: 'yes' }), /expected "verdict"/],
    ['no verdict', json({ roles: [] }), /expected "verdict"/],
    ['an unknown modifier', json({ verdict: 'allow', role: 'admin' }), /"role": there is no such modifier/],
    ['a type of its own', json({ verdict: 'next', type: 'allow' }), /next has no modifiers/],
    ['a type over the verdict', json({ verdict: 'deny', type: 'allow' }), /type: there is no such modifier/],
    ['roles that are no list', json({ verdict: 'allow', roles: 'admin' }), /roles: expected a list/],
    ['a fixed property', json({ verdict: 'allow', properties: { $Principal: 'x' } }), /is no name for a property/],
    ['an unknown limit', json({ verdict: 'allow', limits: { maxConnections: 1 } }), /no such modifier/],
    ['a prototype', json('{"verdict":"allow","__proto__":{"roles":["admin"]}}'), /no such modifier/],
    ['the past', json({ verdict: 'allow', expiresAtMs: 5 }), /is over already/],
    ['a code that is no failure', json({ verdict: 'deny', reasonCode: 0, reason: 'x' }), /means failure/],
    ['no reason', json({ verdict: 'deny', reasonCode: 0x87 }), /reason: is missing/],
    ['too much', json(JSON.stringify({ verdict: 'allow', x: 'x'.repeat(70_000) })), /more than 65536 bytes/],
    ['a hang-up', (response) => void response.socket?.destroy(), /socket hang up/],
  ])('%s', async (_name, reply, message) => {
    const t = await start(reply, { timeoutMs: 3_000 })
    expect(await t.connect({ username: 'a', password: 'canary-5e' })).toEqual({
      code: 0x87,
      reason: 'authentication failed',
    })
    expect(t.failures()).toEqual([expect.stringMatching(message)])
    // Threat 94
    expect(JSON.stringify(t.events)).not.toContain('canary')
  })

  test.each<[string, Reply]>([
    ['no answer', () => {}],
    [
      'an answer without end',
      (response) => void response.writeHead(200, { 'content-type': 'application/json' }).write('{'),
    ],
  ])('%s', async (_name, reply) => {
    const t = await start(reply, { timeoutMs: 100 })
    expect((await t.connect()).code).toBe(0x87)
    expect(t.failures()).toEqual(['no answer within 100 ms'])
  })

  test('nobody there', async () => {
    const t = await startAuthBroker([webhook({ url: 'http://127.0.0.1:1/' })])
    expect((await t.connect()).code).toBe(0x87)
    expect(t.failures()).toEqual([expect.stringContaining('ECONNREFUSED')])
  })
})

test('threat 97: redirects are not followed, and nothing of a client is part of the address', async () => {
  const inner = await startEndpoint(allowed)
  for (const status of [301, 302, 307, 308]) {
    const t = await start(json('', { location: inner.url }, status))
    expect((await t.connect({ clientId: '../@internal/#', username: '//internal:80/', password: 'x' })).code).toBe(0x87)
    expect(t.endpoint.asked.map(({ path, headers }) => [path, headers.host])).toEqual([
      ['/auth?v=1', `127.0.0.1:${t.endpoint.port}`],
    ])
  }
  expect(inner.asked).toEqual([])
})

describe('the cache', () => {
  const cached = (value: string, fields: object = {}): Reply =>
    json({ verdict: 'allow', ...fields }, { 'cache-control': value })
  const anna = { clientId: 'c', username: 'anna', password: 'x' }

  test('keeps what may be kept, for that time, and for the same question only', async () => {
    let nowMs = Date.now()
    const t = await start(cached('private, max-age=10'), { clock: { nowMs: () => nowMs } })
    const ask = async (client: object, times: number): Promise<void> => {
      expect((await t.connect({ ...anna, ...client })).code).toBe(0)
      expect(t.endpoint.asked).toHaveLength(times)
    }
    await ask({}, 1)
    await ask({}, 1)
    nowMs += 9_999
    await ask({}, 1)
    await ask({ password: 'y' }, 2)
    await ask({ username: 'bob' }, 3)
    await ask({ clientId: 'd' }, 4)
    nowMs += 1
    await ask({}, 5)
    await ask({}, 5)
  })

  test.each<[string, Reply, Partial<WebhookOptions>]>([
    ['without a word', allowed, {}],
    ['no-store', cached('no-store, max-age=60'), {}],
    ['no-cache', cached('max-age=60, no-cache'), {}],
    ['zero', cached('max-age=0'), {}],
    ['old already', json({ verdict: 'allow' }, { 'cache-control': 'max-age=60', age: '60' }), {}],
    ['s-maxage alone', cached('s-maxage=60'), {}],
    ['next', json({ verdict: 'next' }, { 'cache-control': 'max-age=60' }), {}],
    ['deny', json({ verdict: 'deny', reasonCode: 0x87, reason: 'x' }, { 'cache-control': 'max-age=60' }), {}],
    ['switched off', cached('max-age=60'), { maxCachedAnswers: 0 }],
    ['no time', cached('max-age=60'), { maxCacheSeconds: 0 }],
  ])('keeps nothing: %s', async (_name, reply, options) => {
    const t = await start(reply, options)
    await t.connect(anna)
    await t.connect(anna)
    expect(t.endpoint.asked).toHaveLength(2)
  })

  test('keeps nothing longer than the grant or maxCacheSeconds, and forgets what was used least', async () => {
    let nowMs = Date.now()
    const clock = { nowMs: () => nowMs }
    const ends = await start(cached('max-age=600', { expiresAtMs: nowMs + 5_000 }), { clock })
    await ends.connect(anna)
    nowMs += 5_000
    ends.endpoint.reply = allowed
    await ends.connect(anna)
    expect(ends.endpoint.asked).toHaveLength(2)

    const short = await start(cached('max-age=600'), { clock, maxCacheSeconds: 5, maxCachedAnswers: 2 })
    const ask = async (clientId: string): Promise<number> => {
      await short.connect({ clientId })
      return short.endpoint.asked.length
    }
    expect([await ask('a'), await ask('b'), await ask('a'), await ask('c'), await ask('a'), await ask('b')]).toEqual([
      1, 2, 2, 3, 3, 4,
    ])
    nowMs += 5_000
    expect(await ask('b')).toBe(5)
  })
})

describe('who is revoked', () => {
  const cached = json({ verdict: 'allow' }, { 'cache-control': 'max-age=60' })
  const persistent = { clean: false, properties: { sessionExpiryInterval: 60 } }

  test('is asked about again, under every client identifier; what is kept of others is kept', async () => {
    const t = await start(cached)
    const come = async (clientId: string, username: string): Promise<number[]> => {
      const { code } = await t.connect({ clientId, username, ...persistent })
      return [code, t.endpoint.asked.length]
    }
    expect(await come('a', 'anna')).toEqual([0, 1])
    expect(await come('a2', 'anna')).toEqual([0, 2])
    expect(await come('b', 'bob')).toEqual([0, 3])
    await t.broker.sessions.revoke({ clientId: 'a' })
    t.endpoint.reply = json({ verdict: 'deny', reasonCode: 0x87, reason: 'no more' })
    expect(await come('b', 'bob')).toEqual([0, 3])
    expect(await come('a', 'anna')).toEqual([0x87, 4])
    expect(await come('a2', 'anna')).toEqual([0x87, 5])
  })

  test('is asked about again where the endpoint names the principal, and on every listener', async () => {
    const t = await start(json({ verdict: 'allow', principal: 'anna' }, { 'cache-control': 'max-age=60' }))
    const own = webhook({ url: t.endpoint.url, name: 'own' })
    const { address } = await t.broker.listen({ transport: 'tcp', port: 0, authenticators: [own] })
    const other = `mqtt://127.0.0.1:${'port' in address ? address.port : 0}`
    const come = async () => [
      (await t.connect({ clientId: 'a', username: 'x', ...persistent })).code,
      (await connectMqttJs(other, { clientId: 'a2', username: 'y', ...persistent })).code,
      t.endpoint.asked.length,
    ]
    expect(await come()).toEqual([0, 0, 2])
    expect(await come()).toEqual([0, 0, 2])
    await t.broker.sessions.revoke({ clientId: 'a' })
    expect(await come()).toEqual([0, 0, 4])
  })

  test('an answer that is on its way is neither kept nor shared', async () => {
    const answers: ((reply: Reply) => void)[] = []
    const endpoint = await startEndpoint((response, asked) => answers.push((reply) => reply(response, asked)))
    const authenticator = webhook({ url: endpoint.url })
    onTestFinished(() => authenticator.close?.())
    const ask = async () => authenticator.authenticate(requestOf({ clientId: 'c', username: 'anna' }))
    const before = ask()
    await endpoint.askedTimes(1)
    authenticator.forget?.('anna')
    const behind = ask()
    await endpoint.askedTimes(2)
    answers[0]!(cached)
    expect(await before).toEqual({ type: 'allow' })
    const last = ask()
    answers[1]!(json({ verdict: 'deny', reasonCode: 0x87, reason: 'no more' }))
    expect([await behind, await last]).toMatchObject([{ type: 'deny' }, { type: 'deny' }])
    expect(endpoint.asked).toHaveLength(2)
  })
})

describe('under load', () => {
  const question = { clientId: 'c', username: 'anna', password: Buffer.from('x') }

  test('clients that say the same share one request', async () => {
    let answer: () => void = () => {}
    const endpoint = await startEndpoint((response, asked) => {
      answer = () => allowed(response, asked)
    })
    const authenticator = webhook({ url: endpoint.url })
    onTestFinished(() => authenticator.close?.())
    const verdicts = [1, 2, 3].map(async () => authenticator.authenticate(requestOf(question)))
    await endpoint.askedTimes(1)
    answer()
    expect(await Promise.all(verdicts)).toEqual([{ type: 'allow' }, { type: 'allow' }, { type: 'allow' }])
    expect(endpoint.asked).toHaveLength(1)
  })

  test('one of them that leaves takes nothing from the others; the last one ends the request', async () => {
    const hungUp = new EventEmitter()
    let answer: () => void = () => {}
    const endpoint = await startEndpoint((response, asked) => {
      answer = () => allowed(response, asked)
      response.on('close', () => hungUp.emit('close'))
    })
    const authenticator = webhook({ url: endpoint.url })
    onTestFinished(() => authenticator.close?.())
    const [first, second] = [new AbortController(), new AbortController()]
    const ask = async ({ signal }: AbortController) => authenticator.authenticate(requestOf({ ...question, signal }))
    const verdicts = [ask(first), ask(second)]
    await endpoint.askedTimes(1)
    first.abort()
    answer()
    expect(await Promise.all(verdicts)).toEqual([{ type: 'allow' }, { type: 'allow' }])

    const [third, fourth] = [new AbortController(), new AbortController()]
    const later = [ask(third), ask(fourth)]
    await endpoint.askedTimes(2)
    const closed = once(hungUp, 'close')
    third.abort()
    fourth.abort()
    await Promise.all(later.map((one) => expect(one).rejects.toThrow('aborted')))
    await closed
  })

  test('closing it lets who waits have the answer', async () => {
    let answer: () => void = () => {}
    const endpoint = await startEndpoint((response, asked) => {
      answer = () => allowed(response, asked)
    })
    const authenticator = webhook({ url: endpoint.url })
    const verdict = (async () => authenticator.authenticate(requestOf(question)))()
    await endpoint.askedTimes(1)
    await authenticator.close?.()
    answer()
    expect(await verdict).toEqual({ type: 'allow' })
  })

  test('threat 63: requests are capped, so are those that wait, and more get 0x89', async () => {
    const answers: (() => void)[] = []
    const t = await start((response, asked) => void answers.push(() => allowed(response, asked)), {
      maxConcurrentRequests: 2,
      maxWaitingRequests: 1,
    })
    const pending = ['a', 'b', 'c'].map((clientId) => t.connect({ clientId }))
    await t.endpoint.askedTimes(2)
    // The third waits within the broker; that it is there is seen by the next one being refused.
    const refused: number[] = []
    while (!refused.includes(0x89)) {
      const raw = await RawClient.tcp(t.port)
      onTestFinished(() => raw.drop())
      raw.send(connectPacket({ clientId: `d${refused.length}` }))
      refused.push((await raw.expectPacket('connack')).reasonCode)
    }
    expect(t.endpoint.asked).toHaveLength(2)
    answers.shift()!()
    await t.endpoint.askedTimes(3)
    while (answers.length > 0) answers.shift()!()
    expect((await Promise.all(pending)).map(({ code }) => code)).toEqual([0, 0, 0])
  })
})

describe('options that cannot be used', () => {
  test.each<[Partial<WebhookOptions>, RegExp]>([
    [{ url: 'nowhere' }, /url: expected a URL/],
    [{ url: 'file:///etc/passwd' }, /url: expected http: or https:/],
    [{ url: 'http://auth.example/' }, /url: http: would send passwords in the clear/],
    [{ url: 'http://127.0.0.1.example/' }, /url: http: would send passwords in the clear/],
    [{ url: 'https://user:secret@auth.example/' }, /url: credentials belong into headers/],
    [{ timeoutMs: 0 }, /timeoutMs: expected a whole number of 1 or more/],
    [{ maxCachedAnswers: -1 }, /maxCachedAnswers: expected a whole number of 0 or more/],
    [{ maxAnswerBytes: 1.5 }, /maxAnswerBytes/],
    [{ maxConcurrentRequests: Infinity }, /maxConcurrentRequests/],
  ])('%j', (options, message) => {
    expect(() => webhook({ url: 'https://auth.example/', ...options })).toThrow(
      expect.objectContaining({ code: 'SMQ_OPTION_INVALID', message: expect.stringMatching(message) }),
    )
  })

  test('plain HTTP to this machine, or where it is asked for, will do', () => {
    for (const url of ['http://127.0.0.1/', 'http://localhost:80/', 'http://[::1]:1/']) webhook({ url })
    webhook({ url: 'http://auth.example/', allowPlainHttp: true })
  })
})
