import { X509Certificate } from 'node:crypto'

import { StatemqError } from '../errors.ts'

const pem = /-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----[^-]+-----END \1-----/g

/**
 * The certificates of a PEM text. Throws SMQ_TLS_INVALID for one that is none: Node would skip it,
 * and then trust nobody without saying so.
 */
export function readAuthorities(ca: string | Buffer | undefined): X509Certificate[] {
  if (ca === undefined) return []
  const texts = ca.toString('latin1').match(pem) ?? [ca]
  try {
    return texts.map((text) => new X509Certificate(text))
  } catch (error) {
    throw new StatemqError('SMQ_TLS_INVALID', (error as Error).message, { cause: error })
  }
}

/**
 * Whether a certificate and, as far as they are among the authorities, those that it comes from have
 * not ended. Of an authority that was renewed one certificate is enough.
 */
export function isCurrent(
  certificate: X509Certificate,
  authorities: readonly X509Certificate[],
  nowMs: number,
): boolean {
  if (Date.parse(certificate.validTo) < nowMs) return false
  // A root comes from nobody, also where an older one has its name and its key.
  if (certificate.checkIssued(certificate)) return true
  const others = authorities.filter(({ fingerprint256 }) => fingerprint256 !== certificate.fingerprint256)
  const issuers = others.filter((authority) => certificate.checkIssued(authority))
  return issuers.length === 0 || issuers.some((issuer) => isCurrent(issuer, others, nowMs))
}
