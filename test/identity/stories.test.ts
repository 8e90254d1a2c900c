/**
 * What people asked other brokers for, and did not get: stories 1, 3 and 4 of the issue, with real
 * clients over TCP. Story 2, TLS sessions that are resumed, is in a file of its own.
 */
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { filter, firstValueFrom } from 'rxjs'
import { describe, expect, onTestFinished, test } from 'vitest'

import { jwt, type BrokerEvent, type BrokerOptions, type JwtOptions } from '../../src/index.ts'
import { audience, issuer, jwksServer, seconds, signingKey } from '../support/jwt-issuer.ts'
import { reauthenticate } from '../support/reauthenticate.ts'
import { simulatedEpochMs } from '../support/simulated-clock.ts'
import { startBroker } from '../support/test-broker.ts'

const [june, july] = await Promise.all([signingKey('ES256', 'june'), signingKey('ES256', 'july')])
const inSeconds = (fromNow: number): number => seconds(fromNow, simulatedEpochMs)

/** A broker with tokens on simulated time, and MQTT.js on real TCP. */
async function scene(options: BrokerOptions = {}, tokenOptions: Partial<JwtOptions> = {}) {
  const server = await jwksServer([june])
  const clock = { nowMs: (): number => simulatedEpochMs }
  const tokens = jwt({
    jwks: { url: server.url },
    issuer,
    audience,
    clock,
    properties: { tenant: 'tenant' },
    ...tokenOptions,
  })
  onTestFinished(() => tokens.close?.())
  const t = startBroker({ authenticators: [tokens], ...options })
  clock.nowMs = () => t.clock.nowMs()
  const { port } = await t.listen({ transport: 'tcp', port: 0 })
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => events.push(event))

  const inboxes = new WeakMap<MqttClient, string[]>()
  /** Rejects with what the client says when it is refused. */
  const join = (clientId: string, clientOptions: IClientOptions = {}): Promise<MqttClient> => {
    const client = mqtt.connect({
      host: '127.0.0.1',
      port,
      protocolVersion: 5,
      reconnectPeriod: 0,
      keepalive: 0,
      clientId,
      ...clientOptions,
    })
    onTestFinished(() => void client.end(true))
    // From the beginning: what waited for it comes right after CONNACK.
    const received: string[] = []
    inboxes.set(client, received)
    client.on('message', (topic, payload) => void received.push(`${topic} ${payload.toString()}`))
    return new Promise((resolve, reject) => {
      client.once('connect', () => resolve(client))
      client.once('error', reject)
    })
  }
  /** The next event of that type, about that client. */
  const next = (type: BrokerEvent['type'], clientId: string): Promise<BrokerEvent> =>
    firstValueFrom(
      t.broker.events$.pipe(
        filter((event) => event.type === type && 'clientId' in event && event.clientId === clientId),
      ),
    )
  /** What it has got since it was made, in order. */
  const inbox = (client: MqttClient): string[] => inboxes.get(client)!
  return { ...t, server, events, join, next, inbox }
}

/** Credentials by the authentication method. */
const byToken = (token: string, expirySeconds = 300): IClientOptions => ({
  clean: false,
  properties: {
    authenticationMethod: 'JWT',
    authenticationData: Buffer.from(token),
    sessionExpiryInterval: expirySeconds,
  },
})

/** The network is gone: no DISCONNECT. */
const drop = (client: MqttClient): void => void client.stream.destroy()

describe('story 1: what is known of a client is kept with its session', () => {
  test('readable across all sessions, changed by the server only, and as long as the session lives', async () => {
    const t = await scene()
    const anna = await t.join(
      'a',
      byToken(await june.sign({ sub: 'anna', roles: 'operator', tenant: 'acme', exp: inSeconds(600) })),
    )
    await t.join('b', byToken(await june.sign({ sub: 'bert', roles: 'viewer', tenant: 'globex', exp: inSeconds(600) })))
    await t.broker.sessions.setAttributes({ clientId: 'a' }, { secondFactor: true, risk: 3 }, { scope: 'session' })

    const known = [...t.broker.sessions.values()].map(({ clientId, context: { grant, sessionAttributes } }) => [
      clientId,
      grant?.principal,
      grant?.roles,
      { ...grant?.properties },
      { ...sessionAttributes },
    ])
    expect(known).toEqual([
      ['a', 'anna', ['operator'], { tenant: 'acme' }, { secondFactor: true, risk: 3 }],
      ['b', 'bert', ['viewer'], { tenant: 'globex' }, {}],
    ])
    expect(t.broker.sessions.select('@session.secondFactor is true').map(({ clientId }) => clientId)).toEqual(['a'])

    // Offline it is all still there; a context can't be written to from outside.
    drop(anna)
    await t.next('session.offline', 'a')
    expect(t.broker.sessions.select('tenant is "acme" and $State is "offline"')).toHaveLength(1)
    const { context } = t.broker.sessions.get('a')!
    expect(() => Object.assign(context.sessionAttributes, { risk: 0 })).toThrow(TypeError)
    expect(() => Object.assign(context.grant!, { roles: ['admin'] })).toThrow(TypeError)

    // The client proposes other values when it comes back, and says them in every other place that it has.
    const again = await t.join('a', {
      ...byToken(await june.sign({ sub: 'anna', roles: 'operator', tenant: 'acme', exp: inSeconds(600) })),
      properties: {
        ...byToken(await june.sign({ sub: 'anna', roles: 'operator', tenant: 'acme', exp: inSeconds(600) })).properties,
        userProperties: { 'session.tenant': 'globex', 'session.risk': '0', $Roles: 'admin', 'session.$Roles': 'admin' },
      },
    })
    await again.publishAsync('t', 'x', {
      qos: 1,
      properties: { userProperties: { 'session.tenant': 'globex', risk: '0' } },
    })
    const after = t.broker.sessions.get('a')!.context
    expect(after.grant).toMatchObject({ roles: ['operator'], propertySources: { tenant: 'authenticator' } })
    expect({ ...after.grant?.properties }).toEqual({ tenant: 'acme' })
    expect({ ...after.sessionAttributes }).toEqual({ secondFactor: true, risk: 3 })

    // Gone with the session.
    await again.endAsync(false, { properties: { sessionExpiryInterval: 0 } })
    expect(t.broker.sessions.has('a')).toBe(false)
    expect(t.broker.sessions.count('has @session.secondFactor')).toBe(0)
  })

  test.each(['online', 'offline'])('nobody else gets the client identifier of a client that is %s', async (where) => {
    const t = await scene({ allowAnonymous: true })
    const token = await june.sign({ sub: 'anna', exp: inSeconds(600) })
    const anna = await t.join('a', byToken(token))
    await anna.subscribeAsync('news', { qos: 1 })
    const { sessionId } = t.broker.sessions.get('a')!
    if (where === 'offline') {
      drop(anna)
      await t.next('session.offline', 'a')
    }
    const got = t.inbox(anna)

    const nobody = { clean: false }
    const other = byToken(await june.sign({ sub: 'bert', exp: inSeconds(600) }))
    for (const credentials of [nobody, { clean: true }, other, { ...other, clean: true }])
      await expect(t.join('a', credentials)).rejects.toMatchObject({ code: 0x87 })
    // The same without a session there: only the identifier was refused.
    await (await t.join('free', nobody)).endAsync()

    expect(t.broker.sessions.get('a')).toMatchObject({ sessionId, state: where, subscriptions: ['news'] })
    await t.broker.publish({ topic: 'news', payload: 'for anna', qos: 1 })
    if (where === 'online') return expect.poll(() => got).toEqual(['news for anna'])
    const returned = t.inbox(await t.join('a', byToken(token)))
    return expect.poll(() => returned).toEqual(['news for anna'])
  })
})

describe('story 3: the will of a client whose token is over', () => {
  const will = { topic: 'wills/press', payload: Buffer.from('gone'), qos: 1 } as const

  async function longConnection(options: BrokerOptions = {}) {
    const t = await scene(options)
    const watcher = await t.join('watcher', byToken(await june.sign({ sub: 'watcher', exp: inSeconds(1_000_000) })))
    await watcher.subscribeAsync('#', { qos: 1 })
    const got = t.inbox(watcher)
    const token = await june.sign({ exp: inSeconds(3600) })
    const press = await t.join('press', { ...byToken(token, 0), will })
    return { ...t, watcher, got, token, press }
  }

  test('the token has expired: the will goes out with the end of the grant', async () => {
    const t = await longConnection()
    const left = new Promise((resolve) => t.press.once('disconnect', resolve))
    const published = t.next('will.published', 'press')
    await t.advance(3600_000)
    expect(await left).toMatchObject({ reasonCode: 0x87 })
    await published
    await expect.poll(() => t.got).toEqual(['wills/press gone'])
    await t.advance(30_000)
    await expect(t.join('press', byToken(t.token))).rejects.toMatchObject({ code: 0x87 })
  })

  test('and is withheld where only grants that are not over may send one', async () => {
    const t = await longConnection({ willPolicy: 'unexpired-grant' })
    const withheld = t.next('will.withheld', 'press')
    await t.advance(3600_000)
    expect(await withheld).toMatchObject({ topic: 'wills/press' })
    await t.watcher.publishAsync('barrier', '', { qos: 1 })
    await expect.poll(() => t.got).toEqual(['barrier '])
  })

  test('its key was rotated out: the will goes out all the same, the token lets nobody in', async () => {
    const t = await longConnection()
    t.server.publish([july])
    await t.advance(600_000)
    await expect(t.join('other', byToken(t.token))).rejects.toMatchObject({ code: 0x87 })
    const fetched = t.server.requests.length
    const published = t.next('will.published', 'press')
    drop(t.press)
    await published
    await expect.poll(() => t.got).toEqual(['wills/press gone'])
    // Nobody was asked about the token again.
    expect(t.server.requests).toHaveLength(fetched)
  })

  test('even where the keys can not be had at all by then', async () => {
    const t = await longConnection()
    await t.server.stop()
    const published = t.next('will.published', 'press')
    await t.advance(3600_000)
    await published
    await expect.poll(() => t.got).toEqual(['wills/press gone'])
  })

  test.each(['online', 'offline'])(
    'the grant was revoked while %s: the will is withheld, and an event says so',
    async (where) => {
      const t = await scene()
      const watcher = await t.join('watcher', byToken(await june.sign({ sub: 'watcher', exp: inSeconds(1_000_000) })))
      await watcher.subscribeAsync('#', { qos: 1 })
      const got = t.inbox(watcher)
      const press = await t.join('press', {
        ...byToken(await june.sign({ exp: inSeconds(3600) }), 300),
        will: { ...will, properties: { willDelayInterval: 60 } },
      })
      if (where === 'offline') {
        const offline = t.next('session.offline', 'press')
        drop(press)
        await offline
      }
      const withheld = t.next('will.withheld', 'press')
      const outcomes = await t.broker.sessions.revoke({ filter: '$Principal is "press-1"' }, 'stolen')
      expect(outcomes).toMatchObject([{ clientId: 'press', outcome: 'done' }])
      expect(await withheld).toMatchObject({ topic: 'wills/press', reason: expect.stringContaining('revoked') })
      await t.advance(3600_000)
      await watcher.publishAsync('barrier', '', { qos: 1 })
      await expect.poll(() => got).toEqual(['barrier '])
    },
  )

  test('a fresh token by AUTH, signed with the new key, keeps the session and its will', async () => {
    const t = await longConnection()
    await t.press.subscribeAsync('commands/press', { qos: 1 })
    const got = t.inbox(t.press)
    const { sessionId } = t.broker.sessions.get('press')!
    t.server.publish([june, july])
    await t.advance(3500_000)
    await reauthenticate(t.press, await july.sign({ exp: inSeconds(7200) }))
    t.server.publish([july])

    // Long after the first token, and its key, are gone.
    await t.advance(3000_000)
    expect(t.broker.sessions.get('press')).toMatchObject({
      sessionId,
      state: 'online',
      subscriptions: ['commands/press'],
    })
    await t.broker.publish({ topic: 'commands/press', payload: 'go on', qos: 1 })
    await expect.poll(() => got).toEqual(['commands/press go on'])
    expect(t.events.filter(({ type }) => type.startsWith('will.'))).toMatchObject([{ type: 'will.armed' }])

    const published = t.next('will.published', 'press')
    drop(t.press)
    await published
    await expect.poll(() => t.got).toEqual(['commands/press go on', 'wills/press gone'])
  })
})

describe('story 4: roles are changed while clients are subscribed', () => {
  const read = (topic: string) => ({ permissions: [{ allow: 'subscribe', topic } as const] })
  const roles = { alpha: read('alpha/#'), beta: read('beta/#') }

  async function subscribers() {
    const t = await scene({ roles })
    const join = async (name: string, tenant: string) => {
      const client = await t.join(
        name,
        byToken(await june.sign({ sub: name, roles: 'alpha', tenant, exp: inSeconds(3600) })),
      )
      const got = t.inbox(client)
      // The second one could match what the role may read, and more than that.
      await client.subscribeAsync('alpha/#', { qos: 1 })
      await client.subscribeAsync('+/news', { qos: 1 })
      return { client, got }
    }
    const [anna, bert] = [await join('anna', 'acme'), await join('bert', 'acme')]
    const carl = await join('carl', 'globex')
    const publish = async (payload: string): Promise<void> => {
      await t.broker.publish({ topic: 'alpha/1', payload, qos: 1 })
      await t.broker.publish({ topic: 'beta/news', payload, qos: 1 })
      await t.settle()
    }
    return { ...t, anna, bert, carl, publish }
  }

  test('by filter: lost and gained topics at once, for those that it selects', async () => {
    const t = await subscribers()
    await t.broker.publish({ topic: 'beta/news', payload: 'retained', retain: true, qos: 1 })
    await t.publish('before')
    const change = { remove: ['alpha'], add: ['beta'] }
    const outcomes = await t.broker.sessions.changeRoles({ filter: 'tenant is "acme" and hasRoles ["alpha"]' }, change)
    expect(outcomes.map(({ clientId, outcome, previous }) => [clientId, outcome, previous])).toEqual([
      ['anna', 'done', ['alpha']],
      ['bert', 'done', ['alpha']],
    ])
    await t.publish('after')
    const changed = ['alpha/1 before', 'beta/news retained', 'beta/news after']
    await expect.poll(() => t.anna.got).toEqual(changed)
    await expect.poll(() => t.bert.got).toEqual(changed)
    await expect.poll(() => t.carl.got).toEqual(['alpha/1 before', 'alpha/1 after'])
    expect(t.broker.sessions.get('anna')?.context.grant?.roles).toEqual(['beta'])
    expect(t.events.filter(({ type }) => type === 'roles.changed')).toMatchObject([
      { clientId: 'anna', roles: ['beta'], previous: ['alpha'] },
      { clientId: 'bert', roles: ['beta'], previous: ['alpha'] },
    ])

    // And back again.
    await t.broker.sessions.changeRoles({ filter: 'hasRoles ["beta"]' }, { remove: ['beta'], add: ['alpha'] })
    await t.publish('again')
    await expect.poll(() => t.anna.got).toEqual([...changed, 'alpha/1 again'])
    await expect.poll(() => t.carl.got).toEqual(['alpha/1 before', 'alpha/1 after', 'alpha/1 again'])
  })

  test('an offline client gets nothing that waited for it under a role that it has lost', async () => {
    const t = await subscribers()
    const offline = t.next('session.offline', 'anna')
    drop(t.anna.client)
    await offline
    await t.publish('queued')
    await t.broker.sessions.changeRoles({ clientId: 'anna' }, { remove: ['alpha'], add: ['beta'] })
    await t.publish('later')
    const token = await june.sign({ sub: 'anna', roles: 'beta', tenant: 'acme', exp: inSeconds(3600) })
    const got = t.inbox(await t.join('anna', byToken(token)))
    await expect.poll(() => got).toEqual(['beta/news later'])
  })

  test('a fresh token with other roles does the same', async () => {
    const t = await subscribers()
    await reauthenticate(
      t.anna.client,
      await june.sign({ sub: 'anna', roles: 'beta', tenant: 'acme', exp: inSeconds(3600) }),
    )
    await t.publish('after')
    await expect.poll(() => t.anna.got).toEqual(['beta/news after'])
    await expect.poll(() => t.bert.got).toEqual(['alpha/1 after'])
  })
})
