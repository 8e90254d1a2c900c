/** Tokens that end, and tokens that take their place: AUTH 0x19 while the client is online. */
import { filter, firstValueFrom } from 'rxjs'
import { describe, expect, onTestFinished, test } from 'vitest'

import { jwt, type BrokerOptions, type JwtOptions } from '../../src/index.ts'
import { audience, issuer, seconds, signingKey } from '../support/jwt-issuer.ts'
import type { RawClient } from '../support/raw-client.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { startBroker } from '../support/test-broker.ts'
import { auth, connect } from '../support/wire.ts'

const key = await signingKey('ES256', 'k1')
const method = 'JWT'
const inSeconds = (fromNow: number): number => seconds(fromNow, simulatedEpochMs)

function scene(options: Partial<JwtOptions> = {}, brokerOptions: BrokerOptions = {}) {
  const clock = { nowMs: (): number => simulatedEpochMs }
  const tokens = jwt({
    keys: [{ jwk: key.jwk }],
    issuer,
    audience,
    clock,
    properties: { tenant: 'tenant' },
    ...options,
  })
  onTestFinished(() => tokens.close?.())
  const t = startBroker({ authenticators: [tokens], ...brokerOptions })
  clock.nowMs = () => t.clock.nowMs()
  const online = (token: string, clientId = 'p'): Promise<RawClient> =>
    t.connect({
      clientId,
      cleanStart: false,
      keepAlive: 0,
      properties: {
        sessionExpiryInterval: 3600,
        authenticationMethod: method,
        authenticationData: Buffer.from(token),
      },
    })
  const grant = (clientId = 'p') => t.broker.sessions.get(clientId)?.context.grant
  return { ...t, online, grant }
}

const fresh = (token: string): Buffer =>
  auth(0x19, { authenticationMethod: method, authenticationData: Buffer.from(token) })

/** AUTH 0x00: the re-authentication has succeeded. */
const accepted = (client: RawClient) => client.expectPacket('auth', { reasonCode: 0 })

describe('threat 68: the end of the token is the end of the grant', () => {
  test.each(['password', 'method'])('DISCONNECT 0x87 at exp, for a token as %s', async (way) => {
    const t = scene()
    const token = await key.sign({ exp: inSeconds(600) })
    const client =
      way === 'method'
        ? await t.online(token)
        : await t.connect({ clientId: 'p', keepAlive: 0, username: 'u', password: Buffer.from(token) })
    await t.advance(599_999)
    await client.expectNothing()
    await t.advance(1)
    await client.expectDisconnect(0x87)
  })

  test('the tolerance is not added', async () => {
    const t = scene({ skewSeconds: 60 })
    const client = await t.online(await key.sign({ exp: inSeconds(1) }))
    await t.advance(1000)
    await client.expectDisconnect(0x87)
  })

  test('a token within the tolerance ends with it', async () => {
    const t = scene({ skewSeconds: 60 })
    const client = await t.online(await key.sign({ exp: inSeconds(-20) }))
    await t.advance(39_999)
    await client.expectNothing()
    await t.advance(1)
    await client.expectDisconnect(0x87)
  })
})

describe('semantics 7.5, 7.6: a fresh token by AUTH', () => {
  test('replaces roles, properties and end at once, and the session goes on', async () => {
    const t = scene()
    const client = await t.online(await key.sign({ exp: inSeconds(600), roles: 'device', tenant: 'acme' }))
    await client.subscribe(['t'])
    const { sessionId } = t.broker.sessions.get('p')!
    await t.advance(500_000)
    client.send(fresh(await key.sign({ exp: inSeconds(1200), roles: 'operator', tenant: 'globex' })))
    await accepted(client)
    expect(t.grant()).toMatchObject({
      principal: 'press-1',
      roles: ['operator'],
      properties: { tenant: 'globex' },
      authenticatedAtMs: simulatedEpochMs + 500_000,
      expiresAtMs: simulatedEpochMs + 1_200_000,
    })
    await t.advance(699_999)
    await client.expectNothing()
    expect(t.broker.sessions.get('p')).toMatchObject({ sessionId, subscriptions: ['t'] })
    await t.advance(1)
    await client.expectDisconnect(0x87)
  })

  test('other packets go on meanwhile', async () => {
    const t = scene()
    const client = await t.online(await key.sign({ exp: inSeconds(600) }))
    await client.subscribe(['t'])
    client.send(fresh(await key.sign({ exp: inSeconds(1200) })))
    await t.broker.publish({ topic: 't', payload: 'x' })
    const packets = [await client.next(), await client.next()].map((packet) =>
      packet === 'closed' ? packet : packet.type,
    )
    expect(packets.toSorted()).toEqual(['auth', 'publish'])
  })

  test.each([
    ['expired', () => key.sign({ exp: inSeconds(-61) })],
    ["another principal's", () => key.sign({ exp: inSeconds(1200), sub: 'press-2' })],
    ['forged', async () => (await key.sign({ exp: inSeconds(1200) })).slice(0, -20)],
    ['no token', async () => 'secret'],
  ])('one that is %s: DISCONNECT 0x87, or the old grant goes on where that is configured', async (_name, make) => {
    const token = await make()
    const strict = scene()
    const leaving = await strict.online(await key.sign({ exp: inSeconds(600) }))
    leaving.send(fresh(token))
    await leaving.expectDisconnect(0x87)

    const t = scene({}, { failedReauthentication: 'keep' })
    const failed = firstValueFrom(
      t.broker.events$.pipe(filter(({ type }) => type === 'session.reauthentication-failed')),
    )
    const client = await t.online(await key.sign({ exp: inSeconds(600), roles: 'device' }))
    const before = t.grant()
    client.send(fresh(token))
    expect(await failed).toMatchObject({ clientId: 'p', reasonCode: 0x87 })
    await client.expectNothing()
    expect(t.state('p')).toBe('online')
    expect(t.grant()).toBe(before)
    await t.advance(600_000)
    await client.expectDisconnect(0x87)
  })

  test('a client that sends no token is asked for it', async () => {
    const t = scene()
    const client = await t.online(await key.sign({ exp: inSeconds(600) }))
    client.send(auth(0x19, { authenticationMethod: method }))
    await client.expectPacket('auth', { reasonCode: 0x18 })
    const data = Buffer.from(await key.sign({ exp: inSeconds(1200) }))
    client.send(auth(0x18, { authenticationMethod: method, authenticationData: data }))
    await accepted(client)
    expect(t.grant()?.expiresAtMs).toBe(simulatedEpochMs + 1_200_000)
  })

  test('a client that came in with a token as password has no method to authenticate again by', async () => {
    const t = scene()
    const token = await key.sign({ exp: inSeconds(600) })
    const client = await t.connect({ clientId: 'p', username: 'u', password: Buffer.from(token) })
    client.send(fresh(token))
    await client.expectDisconnect(0x82)
  })
})

test('threat 94: no token is in any event, error, session or log', async () => {
  const lines: string[] = []
  const write = (details: object, message: string): void => void lines.push(`${JSON.stringify(details)} ${message}`)
  const logger = { debug: write, info: write, warn: write, error: write, isLevelEnabled: () => true }
  const t = scene({ logger }, { logger, failedReauthentication: 'keep' })
  const events: unknown[] = []
  t.broker.events$.subscribe((event) => events.push(event))
  const tokens = [
    await key.sign({ exp: inSeconds(600), canary: 'canary-1' }),
    await key.sign({ exp: inSeconds(-600), canary: 'canary-2' }),
    (await key.sign({ exp: inSeconds(600), canary: 'canary-3' })).slice(0, -9),
    await key.sign({ exp: inSeconds(600), aud: 'canary-4' }),
  ]
  for (const [at, token] of tokens.entries()) {
    const first = t.attach()
    first.send(connect({ clientId: `c${at}`, username: 'u', password: Buffer.from(token) }))
    await first.expectPacket('connack')
    const client = await t.online(tokens[0]!, `m${at}`)
    client.send(fresh(token))
    await client.drain()
    await t.settle()
  }
  const shown = [
    JSON.stringify(events),
    lines.join('\n'),
    JSON.stringify(
      [...t.broker.sessions.values()].map(({ context, actorRef }) => [context, actorRef.getPersistedSnapshot()]),
    ),
  ].join('\n')
  expect(lines.length).toBeGreaterThan(4)
  expect(shown).toContain('the token has expired')
  for (const token of tokens) for (const part of token.split('.').slice(1)) expect(shown).not.toContain(part)
  expect(shown).not.toContain('canary')
})
