import { once } from 'node:events'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'

import type { BrokerStats } from '../../src/index.ts'
import type { TransitionRecord } from '../../src/inspection.ts'
import { allTokens, EventReader, startAdmin, tokens, type StreamedEvent } from '../support/admin-api.ts'
import { NodeLikeClock } from '../support/simulated-clock.ts'

interface Tapped {
  readonly topic: string
  readonly payloadBase64: string
  readonly payloadBytes: number
}

describe('GET /api/v1/events', () => {
  test('sends figures at once, then steps and events as they happen, of all clients or of one', async () => {
    const { broker, port } = await startAdmin()
    const all = await EventReader.open(port, '/api/v1/events?streams=stats,census,transitions,events', tokens.read)
    const one = await EventReader.open(port, '/api/v1/events?streams=transitions,events&clientId=b', tokens.read)
    const some = await EventReader.open(port, '/api/v1/events?streams=events&types=session.gone', tokens.read)
    expect((await all.next<BrokerStats>('stats')).state).toMatch(/starting|running/)
    const a = await broker.client({ clientId: 'a' })
    const b = await broker.client({ clientId: 'b' })
    await all.next<{ states: Record<string, number> }>('census', ({ states }) => states['online.authority.valid'] === 2)
    await a.close()
    await b.close()
    await all.next<{ type: string; clientId: string }>(
      'event',
      (event) => event.type === 'session.gone' && event.clientId === 'b',
    )
    await one.next<{ type: string }>('event', ({ type }) => type === 'session.gone')
    await some.next<{ clientId: string }>('event', ({ clientId }) => clientId === 'b')
    const clientsOf = (reader: EventReader, event: string): ReadonlySet<string> =>
      new Set(
        reader.events.filter((one) => one.event === event).map(({ data }) => (data as { clientId: string }).clientId),
      )
    expect(clientsOf(all, 'transition')).toEqual(new Set(['', 'a', 'b']))
    expect(clientsOf(one, 'transition')).toEqual(new Set(['b']))
    expect(clientsOf(one, 'event')).toEqual(new Set(['b']))
    expect(some.events.map(({ data }) => (data as { type: string }).type)).toEqual(['session.gone', 'session.gone'])
    const { to } = await one.next<TransitionRecord>(
      'transition',
      ({ to: paths }) => paths[0]?.startsWith('online') === true,
    )
    expect(to).toContain('online.authority.valid')
  })

  test('comes again every second', async () => {
    const { port } = await startAdmin()
    const reader = await EventReader.open(port, '/api/v1/events?streams=stats', tokens.read)
    const { atMs } = await reader.next<BrokerStats>('stats')
    const second = await reader.next<BrokerStats>('stats', (stats) => stats.atMs > atMs)
    expect(second.atMs - atMs).toBeGreaterThan(900)
  })

  test.each(['', 'streams=', 'streams=all', 'streams=stats&clientId=', 'streams=stats,stats2', 'stream=stats'])(
    '?%s is refused',
    async (query) => {
      const { ask } = await startAdmin()
      expect((await ask('GET', `/api/v1/events?${query}`, { as: 'read' })).status).toBe(400)
    },
  )

  test('an error that an implementation threw is not told in its own words', async () => {
    const secret = 'redis://user:hunter2@host'
    const { broker, port } = await startAdmin({}, { hooks: { onSubscribe: () => Promise.reject(new Error(secret)) } })
    const reader = await EventReader.open(port, '/api/v1/events?streams=events', tokens.read)
    const client = await broker.client({ clientId: 'a' })
    client.messages('a').subscribe({ error: () => {} })
    const event = await reader.next<{ type: string; error: unknown }>('event', ({ type }) => type === 'hook.failed')
    expect(event.error).toEqual({ code: null, message: 'the log says more' })
    expect(JSON.stringify(reader.events)).not.toContain('hunter2')
  })
})

describe('a stream', () => {
  test('leaves out what a slow reader does not take, in bounded memory, and says how much', async () => {
    const { broker, port } = await startAdmin({}, { limits: { maxInspectStreamBytes: 65_536 } })
    const reader = await EventReader.open(port, '/api/v1/events?streams=events&types=message.published', tokens.read)
    // Not read from: what the system does not hold either is the broker's to hold, or to leave out.
    reader.response.pause()
    const rest = 'x'.repeat(4_000)
    const sent = 3_000
    for (let i = 0; i < sent; i++) {
      await broker.publish({ topic: `${i}/${rest}` })
      if (i % 100 === 0) await new Promise(setImmediate)
    }
    const told = (): StreamedEvent[] => reader.events.filter(({ event }) => event === 'event')
    const lost = (): number =>
      reader.events.reduce(
        (sum, { event, data }) => sum + (event === 'lost' ? (data as { records: number }).records : 0),
        0,
      )
    reader.response.resume()
    // With those that it did not get it has them all, without anybody having to ask.
    await reader.until(() => told().length + lost() === sent)
    expect(lost()).toBeGreaterThan(sent / 2)
    await broker.publish({ topic: 'end' })
    await reader.next<{ topic: string }>('event', ({ topic }) => topic === 'end')
    const numbers = told().map(({ data }) => Number.parseInt((data as { topic: string }).topic, 10))
    expect(numbers.slice(0, -1)).toEqual(numbers.slice(0, -1).toSorted((a, b) => a - b))
  })

  test('ends when the right to it ends', async () => {
    const { broker, port } = await startAdmin()
    const reader = await EventReader.open(port, '/api/v1/events?streams=events', tokens.read)
    await broker.inspector!.reload({ tokens: allTokens.filter(({ role }) => role !== 'read') })
    await broker.client({ clientId: 'a' })
    await reader.ended
    expect(reader.events).toEqual([])
  })

  test('one more than maxInspectStreams is refused, until one has ended', async () => {
    const { port, ask } = await startAdmin({}, { limits: { maxInspectStreams: 2 } })
    const path = '/api/v1/events?streams=events'
    const first = await EventReader.open(port, path, tokens.read)
    await EventReader.open(port, '/api/v1/tap?filter=a', tokens.read)
    const { status, body } = await ask('GET', path, { as: 'read' })
    expect([status, (body as { code: string }).code]).toEqual([429, 'SMQ_API_LIMIT'])
    first.response.destroy()
    await first.ended
    for (;;) {
      const opened = await EventReader.open(port, path, tokens.read).catch(() => undefined)
      if (opened) break
    }
  })

  test('ends when the broker is closed', async () => {
    const { broker, port } = await startAdmin()
    const reader = await EventReader.open(port, '/api/v1/events?streams=events', tokens.read)
    await broker.close()
    await reader.ended
    expect(reader.events.map(({ data }) => (data as { type: string; state?: string }).state)).toContain('draining')
  })
})

describe('GET /api/v1/tap', () => {
  test('shows messages of the filter, payloads cut', async () => {
    const { broker, port } = await startAdmin({}, { limits: { maxTapPayloadBytes: 4 } })
    const reader = await EventReader.open(port, `/api/v1/tap?filter=${encodeURIComponent('a/+')}`, tokens.read)
    await broker.publish({ topic: 'b', payload: 'no' })
    await broker.publish({ topic: 'a/1', payload: '\u0000<b>bold</b>', qos: 1, retain: true })
    const message = await reader.next<Tapped>('message')
    expect(message).toEqual({
      atMs: expect.any(Number),
      topic: 'a/1',
      qos: 1,
      retain: true,
      publisher: '',
      payloadBase64: Buffer.from('\u0000<b>').toString('base64'),
      payloadBytes: 12,
    })
  })

  test('shows as many a second as asked for, and counts the others', async () => {
    const { broker, port } = await startAdmin()
    const reader = await EventReader.open(port, '/api/v1/tap?filter=a&rate=3', tokens.read)
    for (let i = 0; i < 10; i++) await broker.publish({ topic: 'a', payload: String(i) })
    expect(await reader.next('lost')).toEqual({ records: 7 })
    expect(reader.events.map(({ event }) => event)).toEqual(['message', 'message', 'message', 'lost'])
  })

  test.each([
    '',
    'filter=',
    'filter=a%23',
    'filter=%24share/g/a',
    'filter=a&rate=0',
    'filter=a&rate=201',
    'filter=a&rate=x',
  ])('?%s is refused', async (query) => {
    const { ask } = await startAdmin()
    expect((await ask('GET', `/api/v1/tap?${query}`, { as: 'read' })).status).toBe(400)
  })
})

describe('/inspect/stately', () => {
  const url = (port: number, query = ''): string => `ws://127.0.0.1:${port}/inspect/stately${query}`

  /** The status of a refused upgrade; 101: it was taken. */
  async function statusOf(socket: WebSocket): Promise<number> {
    onTestFinished(() => socket.terminate())
    return new Promise((resolve, reject) => {
      socket.on('open', () => resolve(101))
      socket.on('unexpected-response', (_request, { statusCode }) => resolve(statusCode!))
      socket.on('error', reject)
    })
  }

  test('takes a token in a header, or a ticket once, from the page of another site too', async () => {
    const clock = new NodeLikeClock()
    const { port, ask } = await startAdmin({}, { clock })
    const authorization = (role: 'metrics' | 'read') => ({ headers: { authorization: `Bearer ${tokens[role]}` } })
    const origin = { origin: 'https://stately.ai' }
    const ticket = async (): Promise<string> =>
      `?ticket=${((await ask('POST', '/api/v1/tickets', { as: 'read' })).body as { ticket: string }).ticket}`
    expect(await statusOf(new WebSocket(url(port)))).toBe(401)
    expect(await statusOf(new WebSocket(url(port), authorization('metrics')))).toBe(403)
    expect(await statusOf(new WebSocket(url(port), authorization('read')))).toBe(101)
    expect(await statusOf(new WebSocket(url(port), { ...authorization('read'), ...origin }))).toBe(403)
    const once = await ticket()
    expect(await statusOf(new WebSocket(url(port, once), origin))).toBe(101)
    expect(await statusOf(new WebSocket(url(port, once), origin))).toBe(401)
    const late = await ticket()
    clock.advance(60_000)
    expect(await statusOf(new WebSocket(url(port, late)))).toBe(401)
    expect(await statusOf(new WebSocket(url(port, '?ticket=x')))).toBe(401)
    expect(await statusOf(new WebSocket(url(port, '?nonsense=1'), authorization('read')))).toBe(400)
    expect(await statusOf(new WebSocket(`ws://127.0.0.1:${port}/api/v1/stats`, authorization('read')))).toBe(404)
  })

  test('refuses a host name that is not known', async () => {
    const { port } = await startAdmin()
    const headers = { authorization: `Bearer ${tokens.read}`, host: 'rebound.example' }
    expect(await statusOf(new WebSocket(url(port), { headers }))).toBe(403)
  })

  test('sends steps of one client as texts, and ends with the right to them', async () => {
    const { broker, port } = await startAdmin()
    const headers = { authorization: `Bearer ${tokens.read}` }
    const socket = new WebSocket(url(port, '?clientId=a'), { headers })
    const texts: { type: string; name?: string }[] = []
    socket.on('message', (data: Buffer) => texts.push(JSON.parse(data.toString()) as { type: string }))
    expect(await statusOf(socket)).toBe(101)
    await broker.client({ clientId: 'b' })
    await broker.client({ clientId: 'a' })
    await once(socket, 'message')
    expect(texts[0]).toMatchObject({ type: '@xstate.actor', name: 'a' })
    await broker.inspector!.reload({ tokens: allTokens.filter(({ role }) => role !== 'read') })
    const closed = once(socket, 'close')
    await broker.sessions.disconnect({ clientId: 'a' })
    expect((await closed)[0]).toBe(1008)
  })
})
