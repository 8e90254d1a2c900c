/** Story 2: TLS and MQTT authentication are two things, also where a TLS session is resumed. */
import type { TLSSocket } from 'node:tls'
import mqtt, { type IClientOptions } from 'mqtt'
import { describe, expect, onTestFinished, test } from 'vitest'

import { allow, deny, type AuthenticationRequest, type Authenticator, type TlsFacts } from '../../src/index.ts'
import { localhostPair, testAuthority } from '../support/certificates.ts'
import { startBroker } from '../support/test-broker.ts'
import { connectTls } from '../support/tls-clients.ts'
import { connect, type ConnectInput } from '../support/wire.ts'

const passwords = new Map([
  ['anna', 'pencil'],
  ['bob', 'brush'],
])
const anna = { username: 'anna', password: 'pencil' }
const bob = { username: 'bob', password: 'brush' }

async function start() {
  const asked: AuthenticationRequest[] = []
  const table: Authenticator = {
    name: 'table',
    authenticate(request) {
      asked.push(request)
      const { username = '', password } = request
      const isRight = passwords.has(username) && passwords.get(username) === password?.toString()
      return isRight ? allow() : deny(0x86, 'bad user name or password')
    },
  }
  const t = startBroker({ authenticators: [table] })
  const { port } = await t.listen({ transport: 'tls', port: 0, ...localhostPair(), ca: testAuthority().cert })
  const facts = (): Array<Pick<TlsFacts, 'resumed' | 'authorized'> | undefined> =>
    asked.map(({ connection: { tls } }) => tls && { resumed: tls.resumed, authorized: tls.authorized })
  return { ...t, port, asked, facts }
}

const device = testAuthority().issue({ subject: '/CN=press-1' })
const [fresh, resumed] = [
  { resumed: false, authorized: true },
  { resumed: true, authorized: true },
]

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('story 2, %s', (maxVersion) => {
  describe.each([4, 5] as const)('MQTT level %s', (version) => {
    const badCredentials = version === 5 ? 0x86 : 0x04

    /** Connects over TLS, on that session if there is one, and sends CONNECT. */
    const come = async (port: number, input: ConnectInput, session?: Buffer) => {
      const client = await connectTls(port, { maxVersion, ...device, ...(session ? { session } : {}) })
      expect(client.socket.isSessionReused()).toBe(session !== undefined)
      client.mqtt.version = version
      client.mqtt.send(connect({ version, clientId: 'a', ...input }))
      return client
    }

    test('refused with wrong MQTT credentials, accepted on the resumed TLS session with right ones', async () => {
      const t = await start()
      const first = await come(t.port, { ...anna, password: 'a guess' })
      await first.mqtt.expectRefused(badCredentials)
      const second = await come(t.port, anna, await first.session())
      await second.mqtt.expectPacket('connack', { reasonCode: 0 })
      expect(t.broker.sessions.get('a')?.context.grant?.principal).toBe('anna')
      expect(t.facts()).toEqual([fresh, resumed])
    })

    test('accepted with right ones, refused on the resumed TLS session with wrong ones or none', async () => {
      const t = await start()
      const first = await come(t.port, anna)
      await first.mqtt.expectPacket('connack', { reasonCode: 0 })
      const session = await first.session()
      const wrong = await come(t.port, { ...anna, password: 'a guess' }, session)
      await wrong.mqtt.expectRefused(badCredentials)
      const none = await come(t.port, {}, await first.session())
      await none.mqtt.expectRefused(badCredentials)
      // Nothing of it touched the one who is in.
      await first.mqtt.expectNothing()
      expect(t.facts()).toEqual([fresh, resumed, resumed])
    })

    test('the credentials say who it is, not who began the TLS session', async () => {
      const t = await start()
      const first = await come(t.port, anna)
      await first.mqtt.expectPacket('connack', { reasonCode: 0 })
      const second = await come(t.port, { ...bob, clientId: 'b' }, await first.session())
      await second.mqtt.expectPacket('connack', { reasonCode: 0 })
      expect(t.broker.sessions.get('b')?.context.grant?.principal).toBe('bob')
      const thief = await come(t.port, bob, await second.session())
      await thief.mqtt.expectRefused(version === 5 ? 0x87 : 0x05)
      await first.mqtt.expectNothing()
    })
  })

  test('semantics 7.18: every CONNECT is decided afresh, and resumption is a fact beside the certificate', async () => {
    const t = await start()
    let session: Buffer | undefined
    for (let count = 0; count < 4; count += 1) {
      const client = await connectTls(t.port, { maxVersion, ...device, ...(session ? { session } : {}) })
      await client.mqtt.connect({ clientId: 'a', ...anna, cleanStart: true })
      session = await client.session()
    }
    expect(t.facts()).toEqual([fresh, resumed, resumed, resumed])
    const certificates = new Set(t.asked.map(({ connection }) => connection.tls?.clientCertificate?.fingerprint256))
    expect([...certificates]).toEqual([expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/)])
  })
})

/** MQTT.js over TLS: how CONNACK answers, whether the TLS session was resumed, and the session to come back on. */
async function mqttJs(
  port: number,
  options: IClientOptions & { readonly maxVersion: string; readonly session?: Buffer },
) {
  const client = mqtt.connect(`mqtts://127.0.0.1:${port}`, {
    ca: testAuthority().cert,
    servername: 'localhost',
    checkServerIdentity: () => undefined,
    clientId: 'device',
    reconnectPeriod: 0,
    ...device,
    ...options,
  } as IClientOptions)
  onTestFinished(() => void client.end(true))
  const socket = client.stream as TLSSocket
  const sessions: Buffer[] = []
  let resumed: boolean | undefined
  socket.once('secureConnect', () => (resumed = socket.isSessionReused()))
  socket.on('session', (session: Buffer) => sessions.push(session))
  const answer = await new Promise<number>((resolve) => {
    client.on('packetreceive', (packet) => {
      if (packet.cmd === 'connack') resolve(packet.reasonCode ?? packet.returnCode ?? -1)
    })
    client.on('error', () => {})
  })
  await client.endAsync(true)
  return { answer, resumed, session: resumed ? options.session : sessions.at(-1) }
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('story 2 with MQTT.js, %s', (maxVersion) => {
  test.each([
    [4, 4],
    [5, 0x86],
  ] as const)('MQTT level %i', async (protocolVersion, refused) => {
    const { port, facts } = await start()
    const come = (who: { username: string; password: string }, session?: Buffer) =>
      mqttJs(port, { protocolVersion, maxVersion, ...who, ...(session === undefined ? {} : { session }) })
    const wrong = { ...anna, password: 'guess' }

    const first = await come(wrong)
    const second = await come(anna, first.session)
    const third = await come(wrong, second.session)
    const fourth = await come(anna, third.session)
    expect([first, second, third, fourth].map(({ answer, resumed }) => [answer, resumed])).toEqual([
      [refused, false],
      [0, true],
      [refused, true],
      [0, true],
    ])
    expect(facts()).toEqual([fresh, resumed, resumed, resumed])
  })
})
