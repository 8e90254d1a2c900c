/** Threat 74: what a resumed TLS session is worth after its certificate, an authority or a name has changed. */
import { createServer } from 'node:http'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { allow, deny, type BrokerEvent, type ListenerOptions, type TlsFacts } from '../../src/index.ts'
import { localhostPair, TestAuthority, testAuthority } from '../support/certificates.ts'
import { SimulatedClock } from '../support/simulated-clock.ts'
import { tempFolder } from '../support/temp-files.ts'
import { startBroker } from '../support/test-broker.ts'
import { connectTls, type TlsClient } from '../support/tls-clients.ts'

const day = 86_400_000
const server = localhostPair()
const authority = testAuthority()
const other = new TestAuthority('another authority')
const press = authority.issue({ subject: '/CN=press-1' })
const stranger = other.issue({ subject: '/CN=press-2' })

/** The time of the certificates, and more of it where a test says so. Timers stand still. */
class AheadClock extends SimulatedClock {
  aheadMs = 0
  override nowMs(): number {
    return Date.now() + this.aheadMs
  }
}

async function start(options: Partial<ListenerOptions> = {}) {
  const clock = new AheadClock()
  const facts: TlsFacts[] = []
  const t = startBroker({
    clock,
    authenticators: [
      {
        name: 'certificate',
        authenticate({ connection: { tls } }) {
          if (tls) facts.push(tls)
          const name = tls?.authorized === true ? tls.clientCertificate?.commonName : undefined
          return name === undefined ? deny(0x87, 'no certificate') : allow({ principal: name })
        },
      },
    ],
  })
  const refusals: string[] = []
  const events: BrokerEvent[] = []
  t.broker.events$.subscribe((event) => {
    events.push(event)
    if (event.type === 'connection.refused') refusals.push(event.reason)
  })
  const listener = await t.broker.listen({
    transport: 'tls',
    port: 0,
    ...server,
    ca: authority.cert,
    ...options,
  } as ListenerOptions)
  const { port } = listener.address as { port: number }
  return { ...t, aheadClock: clock, listener, port, facts, refusals }
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('threat 74, %s', (maxVersion) => {
  /** A client that is in, and the TLS session that it could come back on. */
  const first = async (port: number, pair = press, clientId = 'first') => {
    const client = await connectTls(port, { maxVersion, ...pair })
    await client.mqtt.connect({ clientId })
    return { client, session: await client.session() }
  }

  /** Comes back on the session; undefined where TLS did not let it. */
  const back = async (port: number, session: Buffer, pair = press): Promise<TlsClient | undefined> => {
    const client = await connectTls(port, { maxVersion, ...pair, session }).catch(() => undefined)
    if (!client) return undefined
    // With TLS 1.3 a client learns of its refusal when it has been through the handshake already.
    client.mqtt.send(Buffer.from('100d00044d51545405020000000000', 'hex'))
    const answer = await client.mqtt.next().catch(() => 'closed' as const)
    if (answer === 'closed') return undefined
    expect(answer).toMatchObject({ type: 'connack', reasonCode: 0 })
    return client
  }

  test('as long as nothing has changed, it is resumed', async () => {
    const t = await start()
    const { session } = await first(t.port)
    expect((await back(t.port, session))?.socket.isSessionReused()).toBe(true)
    expect(t.facts.map(({ resumed, authorized }) => [resumed, authorized])).toEqual([
      [false, true],
      [true, true],
    ])
  })

  test('a certificate that has ended since is refused', async () => {
    const t = await start()
    const { client, session } = await first(t.port)
    t.aheadClock.aheadMs = 31 * day
    expect(await back(t.port, session)).toBeUndefined()
    await t.settle()
    expect(t.refusals).toEqual(['client certificate refused: CERT_HAS_EXPIRED'])
    expect(client.socket.destroyed).toBe(false)
  })

  test('so is one whose authority has ended since', async () => {
    const brief = new TestAuthority('a brief authority', 10)
    const t = await start({ ca: `${authority.cert}\n${brief.cert}` })
    const long = brief.issue({ subject: '/CN=press-3', days: 60 })
    const { session } = await first(t.port, long)
    t.aheadClock.aheadMs = 9 * day
    expect((await back(t.port, session, long))?.socket.isSessionReused()).toBe(true)
    t.aheadClock.aheadMs = 11 * day
    expect(await back(t.port, session, long)).toBeUndefined()
    await t.settle()
    expect(t.refusals).toEqual(['client certificate refused: CERT_HAS_EXPIRED'])
  })

  test('where certificates are optional, one that has ended does not count', async () => {
    const t = await start({ rejectUnauthorized: false })
    const { session } = await first(t.port)
    t.aheadClock.aheadMs = 31 * day
    const client = await connectTls(t.port, { maxVersion, ...press, session })
    client.mqtt.send(Buffer.from('100d00044d51545405020000000000', 'hex'))
    await client.mqtt.expectRefused(0x87)
    expect(t.facts.map(({ resumed, authorized }) => [resumed, authorized])).toEqual([
      [false, true],
      [true, false],
    ])
  })

  test('an authority that was removed: its sessions are not resumed and its certificates refused', async () => {
    const t = await start()
    const { client, session } = await first(t.port)
    t.listener.setSecureContext({ ...server, ca: other.cert })
    expect(await back(t.port, session)).toBeUndefined()
    await t.settle()
    expect(t.refusals).toEqual(['client certificate refused: SELF_SIGNED_CERT_IN_CHAIN'])
    expect((await first(t.port, stranger, 'stranger')).client.socket.isSessionReused()).toBe(false)
    // Who was in before is the business of grants and their revocation, not of TLS.
    await client.mqtt.expectNothing()
  })

  test('a certificate that was revoked: its session is not resumed', async () => {
    const t = await start()
    const { session } = await first(t.port)
    const { session: kept } = await first(t.port, authority.issue({ subject: '/CN=press-4' }), 'kept')
    t.listener.setSecureContext({ ...server, ca: authority.cert, crl: authority.revocationList(press) })
    expect(await back(t.port, session)).toBeUndefined()
    await t.settle()
    expect(t.refusals).toEqual(['client certificate refused: CERT_REVOKED'])
    const client = await back(t.port, kept, authority.issue({ subject: '/CN=press-4' }))
    expect(client?.socket.isSessionReused()).toBe(false)
  })

  test('the same options anew are a change of ticket keys', async () => {
    const t = await start()
    const { session } = await first(t.port)
    t.listener.setSecureContext({ ...server, ca: authority.cert })
    const again = await back(t.port, session)
    expect(again?.socket.isSessionReused()).toBe(false)
    const next = await back(t.port, await again!.session())
    expect(next?.socket.isSessionReused()).toBe(true)
  })

  test('options that can not be used change nothing', async () => {
    const t = await start()
    const { client, session } = await first(t.port)
    for (const [options, code] of [
      [{ key: server.key, cert: press.cert }, 'SMQ_TLS_INVALID'],
      [{ ...server, ca: 'no certificate' }, 'SMQ_TLS_INVALID'],
      [{ ...server, ca: `${authority.cert}\n${authority.cert.replace(/[A-Za-z]{20}/, '')}` }, 'SMQ_TLS_INVALID'],
      [{ ...server, crl: 'no list' }, 'SMQ_TLS_INVALID'],
      [{ ...server, rejectUnauthorized: true }, 'SMQ_OPTION_INVALID'],
    ] as const) {
      expect(() => t.listener.setSecureContext(options)).toThrow(expect.objectContaining({ code }))
    }
    await client.mqtt.expectNothing()
    expect((await back(t.port, session))?.socket.isSessionReused()).toBe(true)
  })

  test('another listener does not resume it, and judges by its own authorities', async () => {
    const t = await start()
    const { session } = await first(t.port)
    const second = await t.broker.listen({ transport: 'tls', port: 0, ...server, ca: other.cert })
    expect(await back((second.address as { port: number }).port, session)).toBeUndefined()
    await t.settle()
    expect(t.refusals).toEqual(['client certificate refused: SELF_SIGNED_CERT_IN_CHAIN'])
  })

  // Newer versions of OpenSSL begin afresh under another name, older ones resume. The authorities are the
  // listener's, so the certificate holds under each of its names; TLS 1.2 does not repeat the name of a
  // resumed session, and none is claimed.
  test('under another server name the new name counts, and the certificate for what it is', async () => {
    const plant = authority.issue({ subject: '/CN=plant.example', subjectAltName: 'DNS:plant.example' })
    const t = await start({ serverNames: { 'plant.example': plant } })
    const { session } = await first(t.port)
    const client = await connectTls(t.port, { maxVersion, ...press, session, servername: 'plant.example' })
    await client.mqtt.connect({ clientId: 'second' })
    const isNameless = maxVersion === 'TLSv1.2' && client.socket.isSessionReused()
    expect(t.facts.map(({ serverName, authorized }) => [serverName, authorized])).toEqual([
      ['localhost', true],
      [isNameless ? undefined : 'plant.example', true],
    ])
    // A name that is taken away takes its certificate along.
    t.listener.setSecureContext({ ...server, ca: authority.cert })
    const later = await connectTls(t.port, { maxVersion, ...press, servername: 'plant.example' })
    expect(later.socket.getPeerCertificate().subject.CN).toBe('localhost')
  })
})

describe('setSecureContext', () => {
  test('over WebSocket', async () => {
    const t = await start({ transport: 'wss', ca: undefined } as unknown as Partial<ListenerOptions>)
    const renewed = authority.issue({ subject: '/CN=renewed', subjectAltName: 'DNS:localhost' })
    const nameOf = async (): Promise<unknown> => (await connectTls(t.port)).socket.getPeerCertificate().subject.CN
    expect(await nameOf()).toBe('localhost')
    t.listener.setSecureContext(renewed)
    expect(await nameOf()).toBe('renewed')
  })

  test('a listener without TLS of its own has none', async () => {
    const t = startBroker()
    for (const options of [
      { transport: 'tcp', port: 0 },
      { transport: 'ws', port: 0 },
      { transport: 'ws', server: createServer() },
      { transport: 'unix', path: join(tempFolder(), 'sock') },
    ] as const) {
      const listener = await t.broker.listen(options)
      expect(() => listener.setSecureContext(server)).toThrow(expect.objectContaining({ code: 'SMQ_OPTION_INVALID' }))
    }
  })
})
