import { isIPv4, isIPv6, Socket, SocketAddress } from 'node:net'
import { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

import { StatemqError } from '../errors.ts'
import type { ClientCertificate, ConnectionInfo, TlsFacts, Transport } from '../messages.ts'
import { MemoryStream } from './memory.ts'
import { readSubjectAltNames } from './subject-alt-names.ts'

/**
 * The one spelling of an address: canonical IPv6, and an IPv4 address that came through a
 * dual-stack socket (`::ffff:10.0.0.1`) as plain IPv4, so that rules about addresses need to know
 * one form only. Undefined for what is not an address.
 */
export function normalizeAddress(address: string): string | undefined {
  if (isIPv4(address)) return address
  if (!isIPv6(address)) return undefined
  const canonical = new SocketAddress({ address, family: 'ipv6' }).address
  const mapped = canonical.startsWith('::ffff:') ? canonical.slice(7) : ''
  return isIPv4(mapped) ? mapped : canonical
}

function clientCertificate(socket: TLSSocket): ClientCertificate | undefined {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return undefined
  const { CN: commonName } = certificate.toLegacyObject().subject
  return {
    subject: distinguishedName(certificate.subject),
    issuer: distinguishedName(certificate.issuer),
    // Several common names would let an authenticator pick the wrong one.
    commonName: typeof commonName === 'string' ? commonName : undefined,
    subjectAltName: certificate.subjectAltName,
    subjectAltNames: readSubjectAltNames(certificate.subjectAltName),
    fingerprint256: certificate.fingerprint256,
    serialNumber: certificate.serialNumber,
    validFromMs: Date.parse(certificate.validFrom),
    validToMs: Date.parse(certificate.validTo),
  }
}

/** Node prints one attribute per line and escapes commas within values, so joining is unambiguous. */
function distinguishedName(lines: string | undefined): string {
  return (lines ?? '').split('\n').join(',')
}

/** The facts of a finished TLS handshake. */
export function tlsFacts(socket: TLSSocket): TlsFacts {
  const certificate = clientCertificate(socket)
  return {
    version: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher().name,
    serverName: serverName(socket),
    resumed: socket.isSessionReused(),
    // Whatever is said of a resumed session: without a certificate nothing was verified.
    authorized: socket.authorized && certificate !== undefined,
    clientCertificate: certificate,
  }
}

function serverName(socket: TLSSocket): string | undefined {
  // On the server's side Node keeps the client's SNI here, or false; its types only know the client's
  // side. A resumed TLS 1.2 session does not have it: OpenSSL drops the name in that case.
  const name: unknown = Reflect.get(socket, 'servername')
  return typeof name === 'string' && name !== '' ? name : undefined
}

function detectTransport(stream: Duplex): Transport {
  if (stream instanceof TLSSocket) return 'tls'
  if (stream instanceof MemoryStream) return 'memory'
  if (stream instanceof Socket && stream.remoteAddress !== undefined) return 'tcp'
  return 'stream'
}

/**
 * Throws SMQ_OPTION_INVALID for what is no stream, before anything counts it: a broker waits for its streams when it
 * closes. One of another implementation (readable-stream) is a stream by what it can do.
 */
export function assertDuplex(stream: unknown): asserts stream is Duplex {
  const { on, write, destroy } = (stream ?? {}) as Partial<Duplex>
  if (stream instanceof Duplex || [on, write, destroy].every((method) => typeof method === 'function')) return
  throw new StatemqError('SMQ_OPTION_INVALID', 'attach: expected a Duplex stream')
}

/** Facts of a stream that an embedder brings; what it states itself in `partial` counts. */
export function describeStream(stream: Duplex, partial: Partial<ConnectionInfo> = {}): ConnectionInfo {
  const socket = stream instanceof Socket ? stream : undefined
  return {
    listener: 'attached',
    transport: detectTransport(stream),
    remoteAddress: socket?.remoteAddress === undefined ? undefined : normalizeAddress(socket.remoteAddress),
    remotePort: socket?.remotePort,
    localPort: socket?.localPort,
    proxyAddress: undefined,
    tls: stream instanceof TLSSocket ? tlsFacts(stream) : undefined,
    ...partial,
  }
}

/** Facts of a socket that a listener accepted. */
export function describeSocket(
  socket: Socket,
  listener: string,
  transport: Transport,
  localPort: number | undefined,
): ConnectionInfo {
  const { remoteAddress } = socket
  return {
    listener,
    transport,
    remoteAddress: remoteAddress === undefined ? undefined : normalizeAddress(remoteAddress),
    remotePort: socket.remotePort,
    localPort,
    proxyAddress: undefined,
    tls: undefined,
  }
}
