import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'

import { createBroker, mutualTls, type BrokerOptions, type Grant, type MutualTlsOptions } from '../../src/index.ts'
import { localhostPair, TestAuthority, testAuthority, type CertificateRequest } from '../support/certificates.ts'
import { ExternalProcess } from '../support/external-process.ts'
import { RawClient } from '../support/raw-client.ts'
import { tempFolder } from '../support/temp-files.ts'
import { connect as connectPacket } from '../support/wire.ts'
import { connectMqttJs } from './authn-scene.ts'

const authority = testAuthority()
const press: CertificateRequest = {
  subject: '/CN=press-1/O=Plant',
  subjectAltName: 'DNS:Press-1.Example,email:press@plant.example,URI:urn:plant:press-1,IP:10.0.0.1',
}
const fingerprintOf = (request: CertificateRequest): string =>
  new X509Certificate(authority.issue(request).cert).fingerprint256

/** A broker behind TLS that asks for certificates and takes connections without a valid one, too. */
async function start(options: MutualTlsOptions = {}, broker: BrokerOptions = {}) {
  const engine = createBroker({ authenticators: [mutualTls(options)], ...broker })
  onTestFinished(() => engine.close({ drainTimeoutMs: 100 }))
  const grants: Grant[] = []
  const failures: string[] = []
  engine.events$.subscribe((event) => {
    if (event.type === 'session.online') grants.push(event.grant)
    if (event.type === 'hook.failed') failures.push((event.error as Error).message)
  })
  const listener = await engine.listen({
    transport: 'tls',
    port: 0,
    ...localhostPair(),
    ca: authority.cert,
    requestCert: true,
    rejectUnauthorized: false,
  })
  const { port } = listener.address as { port: number }
  const connect = (request?: CertificateRequest, client: { username?: string; password?: string } = {}) =>
    connectMqttJs(`mqtts://localhost:${port}`, {
      ca: authority.cert,
      ...(request ? authority.issue(request) : {}),
      ...client,
    })
  return { port, grants, failures, connect }
}

describe('the certificate names the principal', () => {
  test.each<[MutualTlsOptions['principalFrom'], string]>([
    [undefined, 'press-1'],
    ['commonName', 'press-1'],
    ['subject', 'CN=press-1,O=Plant'],
    ['dns', 'press-1.example'],
    ['email', 'press@plant.example'],
    ['uri', 'urn:plant:press-1'],
    ['ip', '10.0.0.1'],
    ['fingerprint', fingerprintOf(press)],
    [({ commonName }) => commonName?.toUpperCase(), 'PRESS-1'],
  ])('%s: %s', async (principalFrom, principal) => {
    const t = await start({ ...(principalFrom ? { principalFrom } : {}), roles: ['device'], properties: { site: 'n' } })
    expect(await t.connect(press)).toEqual({ code: 0, reason: undefined })
    const validTo = Date.parse(new X509Certificate(authority.issue(press).cert).validTo)
    expect(t.grants).toMatchObject([
      { principal, roles: ['device'], authenticator: 'mutual-tls', expiresAtMs: validTo, properties: { site: 'n' } },
    ])
  })

  test('mosquitto_pub with a certificate gets in, and without one does not', async () => {
    const t = await start()
    const { key, cert } = authority.issue(press)
    const folder = tempFolder({ 'ca.pem': authority.cert, 'key.pem': key, 'cert.pem': cert })
    const own = ['--cert', join(folder, 'cert.pem'), '--key', join(folder, 'key.pem')]
    const pub = (...args: string[]): Promise<number | null> =>
      new ExternalProcess('mosquitto_pub', [
        ...['-h', '127.0.0.1', '-p', String(t.port), '--cafile', join(folder, 'ca.pem')],
        ...['-t', 'a', '-m', 'x', '-q', '1', ...args],
      ]).status()
    for (const version of ['311', '5']) expect(await pub('-V', version, ...own)).toBe(0)
    expect(await pub()).not.toBe(0)
    expect(t.grants.map(({ principal }) => principal)).toEqual(['press-1', 'press-1'])
  })

  test('users by name have principals, roles and properties of their own, and nobody else is known', async () => {
    const users = { 'press-1': { principal: 'the-press', roles: ['press'], properties: { line: '2', site: 's' } } }
    const t = await start({ users, roles: ['device'], properties: { site: 'n' } })
    expect((await t.connect(press)).code).toBe(0)
    expect((await t.connect({ subject: '/CN=press-2' })).code).toBe(0x87)
    expect((await t.connect({ subject: '/CN=constructor' })).code).toBe(0x87)
    expect(t.grants).toMatchObject([
      { principal: 'the-press', roles: ['device', 'press'], properties: { line: '2', site: 's' } },
    ])
  })
})

describe('a certificate that names nobody for certain', () => {
  /** The extension with a section of its own, so that a value may hold a comma. */
  const forged = '@names\n[names]\nURI.1=urn:x, DNS:admin.example'

  test.each<[string, MutualTlsOptions, CertificateRequest]>([
    ['a name within a name', { principalFrom: 'dns' }, { subject: '/CN=x', subjectAltName: forged }],
    ['two names', { principalFrom: 'dns' }, { subject: '/CN=x', subjectAltName: 'DNS:a.example,DNS:b.example' }],
    ['a wildcard', { principalFrom: 'dns' }, { subject: '/CN=x', subjectAltName: 'DNS:*.example' }],
    ['another kind of name', { principalFrom: 'dns' }, { subject: '/CN=x', subjectAltName: 'URI:urn:admin' }],
    ['two common names', {}, { subject: '/CN=press-1/CN=admin' }],
    ['no common name', {}, { subject: '/O=Plant' }],
    ['a function that finds none', { principalFrom: () => undefined }, press],
    ['a function that finds nothing', { principalFrom: () => '' }, press],
  ])('%s', async (_name, options, request) => {
    const t = await start(options)
    expect(await t.connect(request)).toEqual({ code: 0x87, reason: 'no authenticator accepted the client' })
    expect(t.grants).toEqual([])
  })

  test('the whole of a forged name is its value', async () => {
    const t = await start({ principalFrom: 'uri' })
    await t.connect({ subject: '/CN=x', subjectAltName: forged })
    expect(t.grants.map(({ principal }) => principal)).toEqual(['urn:x, DNS:admin.example'])
  })
})

describe('who has no certificate that counts', () => {
  const stranger = { subject: '/CN=press-1/O=Plant' }
  const cases: [string, MutualTlsOptions, CertificateRequest | undefined][] = [
    ['no certificate', {}, undefined],
    ['another issuer', { issuers: ['CN=Other CA'] }, press],
    ['another fingerprint', { trustedFingerprints: [fingerprintOf(stranger)] }, press],
  ]

  test.each(cases)('%s: the next one decides', async (_name, options, request) => {
    const t = await start(options, { allowAnonymous: true })
    expect((await t.connect(request)).code).toBe(0)
    expect(t.grants.map(({ principal }) => principal)).toEqual([undefined])
  })

  test.each(cases)('%s: refused, where that is asked for', async (_name, options, request) => {
    const t = await start({ ...options, otherwise: 'deny' }, { allowAnonymous: true })
    expect(await t.connect(request)).toEqual({ code: 0x87, reason: 'no client certificate that is known' })
  })

  test('a certificate of another authority is none', async () => {
    const other = new TestAuthority('statemq test authority').issue(press)
    const t = await start()
    const answer = await connectMqttJs(`mqtts://localhost:${t.port}`, { ca: authority.cert, ...other })
    expect(answer.code).toBe(0x87)
  })

  test('issuer and fingerprint that are named let in, however the fingerprint is written', async () => {
    const plain = fingerprintOf(press).replaceAll(':', '').toLowerCase()
    const t = await start({ issuers: ['CN=statemq test authority'], trustedFingerprints: [plain] })
    expect((await t.connect(press)).code).toBe(0)
  })
})

test('a user name that is not the principal is refused, unless it is of no account', async () => {
  const strict = await start()
  expect((await strict.connect(press, { username: 'admin', password: 'x' })).code).toBe(0x87)
  expect((await strict.connect(press, { username: 'press-1' })).code).toBe(0)
  const lax = await start({ username: 'ignore' })
  expect((await lax.connect(press, { username: 'admin' })).code).toBe(0)
  expect(lax.grants.map(({ principal }) => principal)).toEqual(['press-1'])
})

describe('threat 74, semantics 7.18: a resumed TLS session', () => {
  function tls(port: number, session?: Buffer): TLSSocket {
    const common = { port, host: '127.0.0.1', servername: 'localhost', ca: authority.cert, ...authority.issue(press) }
    const socket = connectTls(session ? { ...common, session } : common)
    onTestFinished(() => void socket.destroy())
    return socket
  }

  async function connectOn(socket: TLSSocket): Promise<{ code: number; resumed: boolean }> {
    const client = new RawClient(socket)
    client.send(connectPacket({ clientId: 'a' }))
    const { reasonCode } = await client.expectPacket('connack')
    return { code: reasonCode, resumed: socket.isSessionReused() }
  }

  /** Connects for the first time; what the next connection resumes. */
  async function firstSession(port: number): Promise<Buffer> {
    const socket = tls(port)
    const ticket = once(socket, 'session') as Promise<[Buffer]>
    expect(await connectOn(socket)).toEqual({ code: 0, resumed: false })
    return (await ticket)[0]
  }

  test('is refused when the certificate has ended since', async () => {
    let nowMs = Date.now()
    const t = await start({ clock: { nowMs: () => nowMs } })
    const session = await firstSession(t.port)
    const resume = () => connectOn(tls(t.port, session))
    expect(await resume()).toEqual({ code: 0, resumed: true })
    const { validFrom, validTo } = new X509Certificate(authority.issue(press).cert)
    nowMs = Date.parse(validTo)
    expect(await resume()).toEqual({ code: 0x87, resumed: true })
    nowMs = Date.parse(validFrom) - 1
    expect(await resume()).toEqual({ code: 0x87, resumed: true })
    expect(t.grants).toHaveLength(2)
  })

  test('is refused when the certificate was revoked since', async () => {
    const revoked = new Set<string>()
    const t = await start({ isRevoked: async ({ fingerprint256 }) => revoked.has(fingerprint256) })
    const session = await firstSession(t.port)
    expect(await connectOn(tls(t.port, session))).toEqual({ code: 0, resumed: true })
    revoked.add(fingerprintOf(press))
    expect(await connectOn(tls(t.port, session))).toEqual({ code: 0x87, resumed: true })
  })
})

test('revoked fingerprints are refused, and a check that fails lets nobody in', async () => {
  const listed = await start({ revokedFingerprints: [fingerprintOf(press)] }, { allowAnonymous: true })
  expect(await listed.connect(press)).toEqual({ code: 0x87, reason: 'the client certificate was revoked' })
  const sync = await start({ isRevoked: () => true })
  expect((await sync.connect(press)).code).toBe(0x87)
  const broken = await start({ isRevoked: () => Promise.reject(new Error('no list')) })
  expect((await broken.connect(press)).code).toBe(0x87)
  expect(broken.failures).toEqual(['no list'])
  const vague = await start({ isRevoked: async () => undefined as unknown as boolean })
  expect((await vague.connect(press)).code).toBe(0x87)
})

test('the grant may outlive the certificate where that is wanted', async () => {
  const t = await start({ expireWithCertificate: false })
  await t.connect(press)
  expect(t.grants[0]?.expiresAtMs).toBeUndefined()
})

test('a fingerprint that is none is refused at once', () => {
  const code = 'SMQ_OPTION_INVALID'
  expect(() => mutualTls({ trustedFingerprints: [fingerprintOf(press), 'AB:CD'] })).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining('trustedFingerprints.1: ') }),
  )
  expect(() => mutualTls({ revokedFingerprints: ['x'.repeat(64)] })).toThrow(expect.objectContaining({ code }))
})
