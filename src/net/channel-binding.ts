import { createHash } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

import type { ChannelBindingType } from '../hooks.ts'

/**
 * What only the two ends of a TLS connection know, or what only its server can present, for an
 * authentication that binds to it. Undefined for streams without TLS of their own, WebSockets
 * included, and where the data could be another connection's.
 */
export function channelBindingOf(stream: Duplex, type: ChannelBindingType): Buffer | undefined {
  if (!(stream instanceof TLSSocket) || stream.destroyed) return undefined
  const isTls13 = stream.getProtocol() === 'TLSv1.3'
  // A resumed session of TLS 1.2 may share its Finished with another connection (RFC 7627 section 1),
  // and OpenSSL has forgotten the server name there, and with it the certificate that was shown.
  if (!isTls13 && stream.isSessionReused()) return undefined
  switch (type) {
    case 'tls-exporter':
      // RFC 9266; below TLS 1.3 it needs the extended master secret, which Node does not tell of.
      return isTls13 ? stream.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)) : undefined
    case 'tls-unique':
      if (isTls13) return undefined
      // RFC 5929 section 3: of the latest handshake, which has to be the last one.
      stream.disableRenegotiation()
      return stream.getPeerFinished()
    case 'tls-server-end-point': {
      const certificate = stream.getX509Certificate()?.raw
      const hash = certificate && signatureHash(certificate)
      return hash === undefined ? undefined : createHash(hash).update(certificate!).digest()
    }
  }
}

/** Signature algorithms by the DER of their identifier; MD5 and SHA-1 count as SHA-256 (RFC 5929 section 4.1). */
const signatureHashes: ReadonlyMap<string, string> = new Map([
  ['2a864886f70d010104', 'sha256'],
  ['2a864886f70d010105', 'sha256'],
  ['2a864886f70d01010b', 'sha256'],
  ['2a864886f70d01010c', 'sha384'],
  ['2a864886f70d01010d', 'sha512'],
  ['2a8648ce3d0401', 'sha256'],
  ['2a8648ce3d040302', 'sha256'],
  ['2a8648ce3d040303', 'sha384'],
  ['2a8648ce3d040304', 'sha512'],
])

/** The hash that a certificate was signed with; undefined where there is none or several (EdDSA, RSASSA-PSS). */
function signatureHash(certificate: Buffer): string | undefined {
  // Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER … } … }
  const toBeSigned = content(certificate, 0)
  const algorithm = content(certificate, content(certificate, toBeSigned.start).end)
  const { start, end } = content(certificate, algorithm.start)
  return signatureHashes.get(certificate.toString('hex', start, end))
}

/** Where the content of a DER element lies. */
function content(der: Buffer, at: number): { start: number; end: number } {
  const first = der[at + 1] ?? 0
  const sizeBytes = first < 0x80 ? 0 : first & 0x7f
  const start = at + 2 + sizeBytes
  return { start, end: start + (sizeBytes === 0 ? first : der.readUIntBE(at + 2, sizeBytes)) }
}
