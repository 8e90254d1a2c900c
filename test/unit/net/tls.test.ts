import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:tls'
import type { ConnectionOptions, TLSSocket } from 'node:tls'

import { describe, expect, onTestFinished, test } from 'vitest'

import { openListener } from '../../../src/net/listen.ts'
import type { TlsListenerOptions } from '../../../src/options.ts'
import { localhostPair, TestAuthority, testAuthority } from '../../support/certificates.ts'
import { closeOf, connectRaw, until } from '../../support/net-clients.ts'
import { TestListenContext } from '../../support/net-context.ts'

const authority = testAuthority()
const server = localhostPair()
const press = authority.issue({ subject: '/CN=press-1/O=Plant', subjectAltName: 'DNS:press-1.example,IP:10.0.0.1' })

async function open(options: Partial<TlsListenerOptions> = {}) {
  const context = new TestListenContext()
  const listener = await openListener({ transport: 'tls', port: 0, ...server, ...options }, context)
  onTestFinished(() => listener.close())
  const { port } = listener.address as { port: number }
  return { context, listener, port }
}

function client(port: number, options: ConnectionOptions = {}): TLSSocket {
  const socket = connect({ port, host: '127.0.0.1', ca: authority.cert, servername: 'localhost', ...options })
  socket.on('error', () => {})
  onTestFinished(() => void socket.destroy())
  return socket
}

/** What the client was told; a refusal shows as its error code. */
function outcome(socket: TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.once('close', () => resolve('closed'))
    socket.resume()
  })
}

describe('facts of a connection', () => {
  test('with a certificate of the client', async () => {
    const { context, listener, port } = await open({ ca: authority.cert })
    const socket = client(port, press)
    const { info } = await context.accepted.next()
    const certificate = new X509Certificate(press.cert)
    expect(info).toEqual({
      listener: listener.name,
      transport: 'tls',
      remoteAddress: '127.0.0.1',
      remotePort: socket.localPort,
      localPort: port,
      proxyAddress: undefined,
      tls: {
        version: 'TLSv1.3',
        cipher: 'TLS_AES_256_GCM_SHA384',
        serverName: 'localhost',
        resumed: false,
        authorized: true,
        clientCertificate: {
          subject: 'CN=press-1,O=Plant',
          issuer: 'CN=statemq test authority',
          commonName: 'press-1',
          subjectAltName: 'DNS:press-1.example, IP Address:10.0.0.1',
          subjectAltNames: [
            { type: 'dns', value: 'press-1.example' },
            { type: 'ip', value: '10.0.0.1' },
          ],
          fingerprint256: certificate.fingerprint256,
          serialNumber: certificate.serialNumber,
          validFromMs: Date.parse(certificate.validFrom),
          validToMs: Date.parse(certificate.validTo),
        },
      },
    })
    expect(context.clock.pending).toBe(0)
  })

  test('without one, with TLS 1.2 and without a server name', async () => {
    const { context, port } = await open()
    client(port, { servername: '', maxVersion: 'TLSv1.2', checkServerIdentity: () => undefined })
    expect((await context.accepted.next()).info.tls).toEqual({
      version: 'TLSv1.2',
      cipher: 'ECDHE-ECDSA-AES128-GCM-SHA256',
      serverName: undefined,
      resumed: false,
      authorized: false,
      clientCertificate: undefined,
    })
  })

  test.each([
    [
      'a comma in a name can not pose as two attributes',
      '/CN=press-1,O=Plant',
      'CN=press-1\\,O=Plant',
      'press-1,O=Plant',
    ],
    ['of several common names none is picked', '/CN=press-1/CN=admin', 'CN=press-1,CN=admin', undefined],
    ['without a common name there is none', '/O=Plant', 'O=Plant', undefined],
  ])('%s', async (_name, subject, expected, commonName) => {
    const { context, port } = await open({ ca: authority.cert })
    client(port, authority.issue({ subject }))
    const certificate = (await context.accepted.next()).info.tls?.clientCertificate
    expect([certificate?.subject, certificate?.commonName]).toEqual([expected, commonName])
  })
})

describe('client certificates', () => {
  const stranger = new TestAuthority('someone else').issue({ subject: '/CN=press-1/O=Plant' })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s: none where one is needed is refused', async (maxVersion) => {
    const { context, port } = await open({ ca: authority.cert })
    const told = outcome(client(port, { maxVersion }))
    const { reason } = await context.refusals.next()
    expect(reason).toBe('TLS handshake failed: ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE')
    expect(await told).toMatch(/^(ERR_SSL_|ECONNRESET)/)
    expect([context.accepted.items, context.clock.pending]).toEqual([[], 0])
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    '%s: one of another authority is refused with the reason',
    async (maxVersion) => {
      const { context, listener, port } = await open({ ca: authority.cert })
      const told = outcome(client(port, { ...stranger, maxVersion }))
      const { reason } = await context.refusals.next()
      expect(reason).toBe('client certificate refused: UNABLE_TO_VERIFY_LEAF_SIGNATURE')
      await told
      await until(() => listener.connections === 0)
      expect(context.accepted.items).toEqual([])
    },
  )

  test('where certificates are optional, an unverified one is shown as such', async () => {
    const { context, port } = await open({ ca: authority.cert, rejectUnauthorized: false })
    client(port, stranger)
    const { tls } = (await context.accepted.next()).info
    expect([tls?.authorized, tls?.clientCertificate?.commonName]).toEqual([false, 'press-1'])
    client(port)
    const { tls: none } = (await context.accepted.next()).info
    expect([none?.authorized, none?.clientCertificate]).toEqual([false, undefined])
  })
})

describe('resumed sessions', () => {
  async function twice(options: Partial<TlsListenerOptions>, clientOptions: ConnectionOptions) {
    const { context, port } = await open(options)
    const first = client(port, clientOptions)
    const ticket = once(first, 'session')
    const before = await context.accepted.next()
    before.stream.write('a ticket comes with the first bytes')
    first.resume()
    const [session] = (await ticket) as [Buffer]
    const second = client(port, { ...clientOptions, session })
    const { info } = await context.accepted.next()
    await until(() => second.getProtocol() !== null)
    return info.tls
  }

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    '%s: resumption is a fact, and the certificate is still there',
    async (maxVersion) => {
      const tls = await twice({ ca: authority.cert }, { ...press, maxVersion })
      expect([tls?.resumed, tls?.authorized, tls?.clientCertificate?.commonName]).toEqual([true, true, 'press-1'])
    },
  )

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s: nobody gets a certificate by resuming', async (maxVersion) => {
    const tls = await twice({ ca: authority.cert, rejectUnauthorized: false }, { maxVersion })
    expect([tls?.resumed, tls?.authorized, tls?.clientCertificate]).toEqual([true, false, undefined])
  })

  // A resumed TLS 1.2 session does not say which name it is for, so none is claimed.
  test.each([
    ['TLSv1.2', undefined],
    ['TLSv1.3', 'plant.example'],
  ] as const)('%s: they work under a server name of their own', async (maxVersion, serverName) => {
    const plant = authority.issue({ subject: '/CN=plant.example', subjectAltName: 'DNS:plant.example' })
    const tls = await twice(
      { ca: authority.cert, serverNames: { 'plant.example': plant } },
      { ...press, maxVersion, servername: 'plant.example' },
    )
    expect([tls?.resumed, tls?.authorized, tls?.serverName]).toEqual([true, true, serverName])
  })
})

describe('server names', () => {
  const issued = (name: string) => authority.issue({ subject: `/CN=${name}`, subjectAltName: `DNS:${name}` })
  const serverNames = {
    'plant.example': issued('plant.example'),
    '*.plant.example': issued('*.plant.example'),
    'Line1.Plant.Example': issued('line1.plant.example'),
  }

  test.each([
    ['plant.example', 'plant.example'],
    ['PLANT.example', 'plant.example'],
    ['line1.plant.example', 'line1.plant.example'],
    ['line2.plant.example', '*.plant.example'],
    ['a.line2.plant.example', 'localhost'],
    ['other.example', 'localhost'],
    ['__proto__', 'localhost'],
    ['', 'localhost'],
  ])('%j gets the certificate of %s', async (servername, expected) => {
    const { context, port } = await open({ serverNames })
    const socket = client(port, { servername, checkServerIdentity: () => undefined })
    await once(socket, 'secureConnect')
    expect(socket.getPeerCertificate().subject.CN).toBe(expected)
    expect((await context.accepted.next()).info.tls?.serverName).toBe(servername === '' ? undefined : servername)
  })

  test('clients need their certificate under every name', async () => {
    const { context, port } = await open({ serverNames, ca: authority.cert })
    client(port, { servername: 'plant.example' })
    expect((await context.refusals.next()).reason).toBe(
      'TLS handshake failed: ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE',
    )
    client(port, { servername: 'plant.example', ...press })
    expect((await context.accepted.next()).info.tls?.authorized).toBe(true)
  })
})

describe('handshakes that fail', () => {
  test('a client below the minimum version is refused', async () => {
    const { context, port } = await open({ minVersion: 'TLSv1.3' })
    const told = outcome(client(port, { maxVersion: 'TLSv1.2' }))
    expect((await context.refusals.next()).reason).toBe('TLS handshake failed: ERR_SSL_UNSUPPORTED_PROTOCOL')
    expect(await told).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION')
  })

  test('TLS 1.1 is below the default', async () => {
    const { context, port } = await open()
    client(port, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })
    expect((await context.refusals.next()).reason).toMatch(/^TLS handshake failed: ERR_SSL_/)
  })

  test('MQTT in the clear is refused, and the next client is served', async () => {
    const { context, listener, port } = await open()
    const socket = await connectRaw({ port })
    socket.write(Buffer.from('\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00', 'latin1'))
    await closeOf(socket.resume())
    const { info, reason } = await context.refusals.next()
    expect([info.remotePort !== undefined, info.listener, reason]).toEqual([
      true,
      listener.name,
      expect.stringMatching(/^TLS handshake failed: ERR_SSL_/),
    ])
    client(port)
    expect((await context.accepted.next()).info.transport).toBe('tls')
  })

  test('a client that leaves is reported once', async () => {
    const { context, listener, port } = await open()
    const socket = await connectRaw({ port })
    socket.write(Buffer.from('160301', 'hex'))
    socket.end()
    await context.refusals.next()
    await until(() => listener.connections === 0)
    expect([context.refusals.items, context.clock.pending]).toEqual([[], 0])
  })

  // Threat 61.
  test.each([
    ['nothing', ''],
    ['the beginning of a hello', '16030100c8010000c40303'],
  ])('a client that sends %s is cut at the deadline', async (_name, bytes) => {
    const { context, listener, port } = await open()
    const socket = await connectRaw({ port })
    socket.write(Buffer.from(bytes, 'hex'))
    await until(() => context.clock.pending === 1)
    context.clock.advance(4_999)
    expect([context.refusals.items, listener.connections]).toEqual([[], 1])
    context.clock.advance(1)
    await closeOf(socket.resume())
    expect((await context.refusals.next()).reason).toBe('no handshake within 5000 ms')
    await until(() => listener.connections === 0)
  })

  test('renegotiation is refused', async () => {
    const { context, port } = await open()
    const socket = client(port, { maxVersion: 'TLSv1.2' })
    const { stream } = await context.accepted.next()
    stream.resume()
    await once(socket, 'secureConnect')
    const failure = await new Promise<Error | null>((resolve) => {
      socket.once('error', resolve)
      socket.renegotiate({}, (error) => resolve(error))
    })
    expect((failure as NodeJS.ErrnoException).code).toBe('ERR_SSL_NO_RENEGOTIATION')
  })
})

describe('options', () => {
  const other = authority.issue({ subject: '/CN=other' })
  const secretLine = server.key.split('\n')[1] ?? ''

  test.each([
    ['a key of another certificate', { key: other.key }],
    ['a certificate that is none', { cert: 'not a certificate' }],
    ['a key that is none', { key: secretLine }],
    ['an authority that is none, which Node would pass over', { ca: 'not a certificate' }],
    ['a bad pair under a server name', { serverNames: { 'a.example': { key: other.key, cert: server.cert } } }],
  ])('%s is told as such, without the key', async (_name, options) => {
    const error: Error = await open(options).then(
      () => new Error('it was opened'),
      (reason: Error) => reason,
    )
    expect(error).toMatchObject({ code: 'SMQ_TLS_INVALID' })
    expect(`${error.message} ${String(error.cause)}`).not.toContain(secretLine)
  })

  test.each([
    ['rejectUnauthorized that would let everyone in', { rejectUnauthorized: true }],
    ['no key', { key: undefined as never }],
    ['no certificate', { cert: undefined as never }],
    ['a pattern within a label', { serverNames: { 'a*.example': server } }],
    ['a pattern for every name', { serverNames: { '*': server } }],
    ['an empty name', { serverNames: { '': server } }],
  ])('%s is refused', async (_name, options) => {
    await expect(open(options)).rejects.toMatchObject({ code: 'SMQ_OPTION_INVALID' })
  })
})
