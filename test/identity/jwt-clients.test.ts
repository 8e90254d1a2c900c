/** Tokens from clients of other people: as password, by the authentication method, and again by AUTH. */
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { describe, expect, onTestFinished, test } from 'vitest'

import { jwt, staticUsers, type Authenticator, type JwtOptions } from '../../src/index.ts'
import { ExternalProcess } from '../support/external-process.ts'
import { audience, issuer, jwksServer, seconds, signingKey } from '../support/jwt-issuer.ts'
import { startListeningBroker } from '../support/listening-broker.ts'

const key = await signingKey('ES256', 'k1')

/** Rejects with what the client says when it is refused. */
function online(client: MqttClient): Promise<void> {
  return new Promise((resolve, reject) => {
    client.once('connect', () => resolve())
    client.once('error', reject)
  })
}

async function scene(options: Partial<JwtOptions> = {}, chain?: readonly Authenticator[]) {
  const server = await jwksServer([key])
  const tokens = jwt({ jwks: { url: server.url }, issuer, audience, properties: { tenant: 'tenant' }, ...options })
  const t = await startListeningBroker({ authenticators: chain ?? [tokens] })
  onTestFinished(() => tokens.close?.())

  /** Rejects with what the client says when it is refused. */
  const connect = async (clientOptions: IClientOptions): Promise<MqttClient> => {
    const client = mqtt.connect({
      host: '127.0.0.1',
      port: t.ports.tcp,
      protocolVersion: 5,
      reconnectPeriod: 0,
      ...clientOptions,
    })
    onTestFinished(() => void client.end(true))
    await online(client)
    return client
  }

  /** The method of its own: what MQTT.js sends, and answers to AUTH. */
  const byMethod = (token: string | undefined, clientOptions: IClientOptions = {}): Promise<MqttClient> =>
    connect({
      ...clientOptions,
      properties: {
        authenticationMethod: 'JWT',
        ...(token === undefined ? {} : { authenticationData: Buffer.from(token) }),
        ...clientOptions.properties,
      },
    })
  const grant = (clientId: string) => t.broker.sessions.get(clientId)?.context.grant
  return { ...t, server, connect, byMethod, grant }
}

describe('as the password', () => {
  test.each([3, 4, 5] as const)('MQTT.js, protocol version %i', async (protocolVersion) => {
    const t = await scene()
    const exp = seconds(600)
    const token = await key.sign({ exp, sub: 'press-1', roles: 'device viewer', tenant: 'acme' })
    const client = await t.connect({
      protocolVersion,
      ...(protocolVersion === 3 ? { protocolId: 'MQIsdp' } : {}),
      clientId: 'p',
      username: 'whatever',
      password: token,
    })
    expect(t.grant('p')).toMatchObject({
      principal: 'press-1',
      roles: ['device', 'viewer'],
      authenticator: 'jwt',
      method: undefined,
      expiresAtMs: exp * 1000,
      properties: { tenant: 'acme' },
      propertySources: { tenant: 'authenticator' },
    })
    await client.endAsync()
  })

  test.each([
    ['expired', { exp: seconds(-61) }, 'the token has expired'],
    ['for another service', { aud: 'other' }, 'the token is for another audience'],
  ])('a token that is %s is refused, with the reason', async (_name, claims, reason) => {
    const t = await scene()
    const refused = t.connect({ clientId: 'p', username: 'u', password: await key.sign(claims) })
    await expect(refused).rejects.toMatchObject({ code: 0x86 })
    expect(t.events).toContainEqual(
      expect.objectContaining({ type: 'session.refused', clientId: 'p', reasonCode: 0x86, reason }),
    )
    expect(t.broker.sessions.get('p')).toBeUndefined()
  })

  test('what is no token, or nothing, is refused where nobody else is asked', async () => {
    const t = await scene()
    await expect(t.connect({ clientId: 'p', username: 'u', password: 'secret' })).rejects.toMatchObject({ code: 0x87 })
    await expect(t.connect({ clientId: 'p' })).rejects.toMatchObject({ code: 0x87 })
  })

  test.each(['mqttv31', 'mqttv311', 'mqttv5'])('mosquitto_pub and mosquitto_sub, %s', async (version) => {
    const t = await scene()
    const run = (program: string, token: string, ...args: string[]): ExternalProcess =>
      new ExternalProcess(program, [
        '-h',
        '127.0.0.1',
        '-p',
        `${t.ports.tcp}`,
        '-V',
        version,
        '-u',
        'jwt',
        '-P',
        token,
        ...args,
      ])
    const token = await key.sign({ sub: 'press-1' })
    const subscriber = run('mosquitto_sub', token, '-i', 'sub', '-t', 't', '-C', '1')
    await t.happened('subscription.added', 'sub')
    await run('mosquitto_pub', token, '-i', 'pub', '-t', 't', '-m', 'hello', '-q', '1').finished()
    expect(await subscriber.finished()).toEqual(['hello'])
    const refused = run('mosquitto_pub', await key.sign({ exp: seconds(-120) }), '-i', 'late', '-t', 't', '-m', 'x')
    expect(await refused.status()).not.toBe(0)
    await t.happened('session.refused', 'late')
  })
})

describe('beside other authenticators', () => {
  test('a token goes to the one that knows its issuer, and a password to the one for passwords', async () => {
    const second = await signingKey('RS256', 'second')
    const first = jwt({ name: 'first', keys: [{ jwk: key.jwk }], issuer, audience, otherIssuers: 'next' })
    const other = jwt({ name: 'second', keys: [{ jwk: second.jwk }], issuer: 'https://b.example', audience })
    const passwords = staticUsers({ anna: { password: 'secret' } })
    const t = await scene({}, [first, other, passwords])
    const by = async (password: string): Promise<string | undefined> => {
      const client = await t.connect({ clientId: 'c', username: 'anna', password })
      const name = t.grant('c')?.authenticator
      await client.endAsync()
      return name
    }
    expect(await by(await key.sign())).toBe('first')
    expect(await by(await second.sign({ iss: 'https://b.example' }))).toBe('second')
    expect(await by('secret')).toBe(passwords.name)
    await expect(by(await key.sign({ iss: 'https://b.example' }))).rejects.toMatchObject({ code: 0x86 })
    await expect(by('guess')).rejects.toMatchObject({ code: 0x86 })
  })
})

describe('by the authentication method', () => {
  test('MQTT.js sends it with CONNECT', async () => {
    const t = await scene()
    await t.byMethod(await key.sign({ sub: 'press-1', roles: ['device'] }), { clientId: 'p' })
    expect(t.grant('p')).toMatchObject({ principal: 'press-1', roles: ['device'], authenticator: 'jwt', method: 'JWT' })
  })

  test('MQTT.js sends it when it is asked', async () => {
    const t = await scene()
    const token = await key.sign({ sub: 'press-1' })
    const client = mqtt.connect({
      host: '127.0.0.1',
      port: t.ports.tcp,
      protocolVersion: 5,
      reconnectPeriod: 0,
      clientId: 'p',
      properties: { authenticationMethod: 'JWT' },
    })
    onTestFinished(() => void client.end(true))
    client.handleAuth = (_packet, callback) => {
      const properties = { authenticationMethod: 'JWT', authenticationData: Buffer.from(token) }
      callback(undefined, { cmd: 'auth', reasonCode: 0x18, properties })
    }
    await online(client)
    expect(t.grant('p')).toMatchObject({ principal: 'press-1', method: 'JWT' })
  })

  test('another method is refused with 0x8C, and so is this one where it is called otherwise', async () => {
    const t = await scene({ method: 'OAUTH2-JWT' })
    const token = await key.sign()
    await expect(t.byMethod(token, { clientId: 'p' })).rejects.toMatchObject({ code: 0x8c })
    const properties = { authenticationMethod: 'OAUTH2-JWT', authenticationData: Buffer.from(token) }
    await t.connect({ clientId: 'p', properties })
    expect(t.grant('p')?.method).toBe('OAUTH2-JWT')
  })

  test('semantics 7.9: another user name than the principal is refused', async () => {
    const t = await scene()
    const token = await key.sign({ sub: 'press-1' })
    await expect(t.byMethod(token, { clientId: 'p', username: 'press-2' })).rejects.toMatchObject({ code: 0x87 })
    await t.byMethod(token, { clientId: 'p', username: 'press-1' })
    expect(t.grant('p')?.principal).toBe('press-1')
  })
})

describe('threat 69: the key set, with clients', () => {
  test('200 clients at once make one request', async () => {
    const t = await scene()
    t.server.hold = true
    const requested = t.server.requested()
    const token = await key.sign()
    const clients = Array.from({ length: 200 }, (_value, index) =>
      t.connect({ clientId: `c${index}`, username: 'u', password: token }),
    )
    await requested
    t.server.release()
    await Promise.all(clients)
    expect(t.server.requests).toHaveLength(1)
    expect(t.broker.sessions.get('c199')?.state).toBe('online')
  })

  test('without keys clients are told to come back later', async () => {
    const t = await scene()
    t.server.mode = 'error'
    await expect(t.connect({ clientId: 'p', username: 'u', password: await key.sign() })).rejects.toMatchObject({
      code: 0x88,
    })
  })

  test('threat 73: a key set that is slower than a decision may take lets nobody in', async () => {
    const server = await jwksServer([key])
    server.mode = 'silent'
    const tokens = jwt({ jwks: { url: server.url, timeoutMs: 10_000 }, issuer, audience })
    onTestFinished(() => tokens.close?.())
    const t = await startListeningBroker({
      authenticators: [tokens],
      allowAnonymous: true,
      limits: { decisionTimeoutMs: 200 },
    })
    const client = mqtt.connect({
      host: '127.0.0.1',
      port: t.ports.tcp,
      protocolVersion: 5,
      reconnectPeriod: 0,
      clientId: 'p',
      username: 'u',
      password: await key.sign(),
    })
    onTestFinished(() => void client.end(true))
    await expect(online(client)).rejects.toMatchObject({ code: 0x87 })
    expect(t.broker.sessions.get('p')).toBeUndefined()
  })
})
