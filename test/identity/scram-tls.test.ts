/** SCRAM with channel binding: the proof is good for one TLS connection only (RFC 5802 section 6, 5929, 9266). */
import { createHash, X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

import { describe, expect, test } from 'vitest'

import { scram, type ListenerOptions, type ScramOptions } from '../../src/index.ts'
import { localhostPair, testAuthority } from '../support/certificates.ts'
import { ScramClient } from '../support/scram-client.ts'
import { answer, begin, bothCredentials, challengeOf, logIn } from '../support/scram-login.ts'
import { startBroker } from '../support/test-broker.ts'
import { connectTls } from '../support/tls-clients.ts'

const credentials = await bothCredentials('pencil')
const pair = localhostPair()
const plant = testAuthority().issue({ subject: '/CN=plant.example', subjectAltName: 'DNS:plant.example' })

async function start(options: Partial<ScramOptions> = {}, listener: Partial<ListenerOptions> = {}) {
  const t = startBroker({
    authenticators: [scram({ users: (name) => (name === 'anna' ? { credentials } : undefined), ...options })],
  })
  const { port } = await t.listen({ transport: 'tls', port: 0, ...pair, ...listener } as ListenerOptions)
  return { ...t, port }
}

/** What a client has of its side of the connection, read off its own socket. */
const clientSide: Readonly<Record<string, (socket: TLSSocket) => Buffer>> = {
  'tls-exporter': (socket) => socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)),
  'tls-unique': (socket) => socket.getFinished()!,
  // The certificates of the tests are signed with SHA-256.
  'tls-server-end-point': (socket) => createHash('sha256').update(socket.getPeerX509Certificate()!.raw).digest(),
}

function bound(socket: TLSSocket, type: string, method = 'SCRAM-SHA-256-PLUS', data = clientSide[type]!(socket)) {
  return new ScramClient(method, 'anna', 'pencil', { header: `p=${type},,`, channelData: data })
}

describe.each(['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-512-PLUS'])('%s', (method) => {
  test.each([
    ['TLSv1.3', 'tls-exporter'],
    ['TLSv1.3', 'tls-server-end-point'],
    ['TLSv1.2', 'tls-unique'],
    ['TLSv1.2', 'tls-server-end-point'],
  ] as const)('%s with %s', async (maxVersion, type) => {
    const t = await start()
    const { socket, mqtt } = await connectTls(t.port, { maxVersion })
    const connack = await logIn(mqtt, method, bound(socket, type, method))
    expect(connack.properties.authenticationMethod).toBe(method)
    expect(t.broker.sessions.get('a')?.context.grant).toMatchObject({ principal: 'anna', method })
  })
})

test('it is the certificate of the server name that is bound to', async () => {
  const t = await start({}, { serverNames: { 'plant.example': plant } } as Partial<ListenerOptions>)
  const { socket, mqtt } = await connectTls(t.port, { servername: 'plant.example' })
  const data = createHash('sha256').update(new X509Certificate(plant.cert).raw).digest()
  await logIn(mqtt, 'SCRAM-SHA-256-PLUS', bound(socket, 'tls-server-end-point', 'SCRAM-SHA-256-PLUS', data))
})

describe('threat 71', () => {
  const plus = 'SCRAM-SHA-256-PLUS'

  test.each([
    ['TLSv1.3', 'tls-exporter'],
    ['TLSv1.3', 'tls-server-end-point'],
    ['TLSv1.2', 'tls-unique'],
    ['TLSv1.2', 'tls-server-end-point'],
  ] as const)('%s: other data than those of the connection for %s: 0x87', async (maxVersion, type) => {
    const t = await start()
    const { socket, mqtt } = await connectTls(t.port, { maxVersion })
    const data = Buffer.from(clientSide[type]!(socket))
    data[3]! ^= 1
    const client = bound(socket, type, plus, data)
    begin(mqtt, plus, client.first())
    mqtt.send(answer(plus, client.final(await challengeOf(mqtt))))
    await mqtt.expectRefused(0x87)
  })

  test('an exchange that is relayed through a connection of the attacker: 0x87', async () => {
    const t = await start()
    // The victim speaks TLS with the attacker, who carries every message to the broker as it is.
    const [victim, attacker] = [await connectTls(t.port), await connectTls(t.port)]
    const client = bound(victim.socket, 'tls-exporter')
    begin(attacker.mqtt, plus, client.first())
    attacker.mqtt.send(answer(plus, client.final(await challengeOf(attacker.mqtt))))
    await attacker.mqtt.expectRefused(0x87)
  })

  test.each([
    ['TLSv1.3', 'tls-unique'],
    ['TLSv1.2', 'tls-exporter'],
    ['TLSv1.3', 'tls-something'],
  ] as const)('%s has no %s: 0x87', async (maxVersion, type) => {
    const t = await start()
    const { mqtt } = await connectTls(t.port, { maxVersion })
    begin(mqtt, plus, `p=${type},,n=anna,r=abc`)
    await mqtt.expectRefused(0x87)
  })

  test('one type of binding announced, the data of another: 0x87', async () => {
    const t = await start()
    const { socket, mqtt } = await connectTls(t.port)
    const client = bound(socket, 'tls-exporter', plus, clientSide['tls-server-end-point']!(socket))
    begin(mqtt, plus, client.first())
    mqtt.send(answer(plus, client.final(await challengeOf(mqtt))))
    await mqtt.expectRefused(0x87)
  })

  test('the method with binding, the message without: 0x87', async () => {
    const t = await start()
    const { mqtt } = await connectTls(t.port)
    begin(mqtt, plus, 'n,,n=anna,r=abc')
    await mqtt.expectRefused(0x87)
  })

  test('a client that could bind and was made to believe that the broker can not: 0x87', async () => {
    const t = await start()
    const { mqtt } = await connectTls(t.port)
    begin(mqtt, 'SCRAM-SHA-256', 'y,,n=anna,r=abc')
    await mqtt.expectRefused(0x87)
  })

  test('the first message changed on its way, so that no binding is asked for: 0x87', async () => {
    const t = await start()
    const { socket, mqtt } = await connectTls(t.port)
    const client = bound(socket, 'tls-exporter')
    begin(mqtt, 'SCRAM-SHA-256', String(client.first()).replace('p=tls-exporter', 'n'))
    mqtt.send(answer('SCRAM-SHA-256', client.final(await challengeOf(mqtt))))
    await mqtt.expectRefused(0x87)
  })

  test('a client without channel binding is served, unless binding is required: 0x8C', async () => {
    const t = await start()
    await logIn((await connectTls(t.port)).mqtt, 'SCRAM-SHA-256', new ScramClient('SCRAM-SHA-256', 'anna', 'pencil'))
    const strict = await start({ channelBinding: 'require' })
    const { mqtt } = await connectTls(strict.port)
    begin(mqtt, 'SCRAM-SHA-256', 'n,,n=anna,r=abc')
    await mqtt.expectRefused(0x8c)
  })
})

describe('resumed sessions', () => {
  const resume = async (maxVersion: 'TLSv1.2' | 'TLSv1.3') => {
    const t = await start()
    const one = await connectTls(t.port, { maxVersion })
    await logIn(one.mqtt, 'SCRAM-SHA-256', new ScramClient('SCRAM-SHA-256', 'anna', 'pencil'))
    const two = await connectTls(t.port, { maxVersion, session: await one.session() })
    expect(two.socket.isSessionReused()).toBe(true)
    return { one, two }
  }

  test('TLSv1.3: each connection has data of its own', async () => {
    const { one, two } = await resume('TLSv1.3')
    expect(clientSide['tls-exporter']!(two.socket)).not.toEqual(clientSide['tls-exporter']!(one.socket))
    await logIn(two.mqtt, 'SCRAM-SHA-256-PLUS', bound(two.socket, 'tls-exporter'), { clientId: 'b' })
  })

  // RFC 7627: two connections of TLS 1.2 can be made to share what a resumption starts from.
  test.each(['tls-unique', 'tls-server-end-point'])('TLSv1.2: there is no %s', async (type) => {
    const { two } = await resume('TLSv1.2')
    begin(two.mqtt, 'SCRAM-SHA-256-PLUS', `p=${type},,n=anna,r=abc`, { clientId: 'b' })
    await two.mqtt.expectRefused(0x87)
  })
})
