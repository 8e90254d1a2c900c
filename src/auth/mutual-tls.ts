import { StatemqError } from '../errors.ts'
import {
  allow,
  deny,
  next,
  type Allow,
  type AuthenticationRequest,
  type Authenticator,
  type Deny,
  type GrantReview,
  type GrantVerdict,
  type Next,
} from '../hooks.ts'
import type { ClientCertificate } from '../messages.ts'
import type { Clock } from '../options.ts'
import { ReasonCode } from '../reason-codes.ts'

/** Where the principal is in a certificate. Names of the `subjectAltName` extension must be the only ones of their kind. */
export type CertificateName = 'commonName' | 'subject' | 'dns' | 'email' | 'uri' | 'ip' | 'fingerprint'

/** Who stands behind one name of a certificate. */
export interface CertificateUser {
  /** Default: the name. */
  readonly principal?: string
  /** Besides those of all. */
  readonly roles?: readonly string[]
  /** Besides those of all. */
  readonly properties?: Readonly<Record<string, string>>
}

/** What `mutualTls` takes. */
export interface MutualTlsOptions {
  /** Default `mutual-tls`. */
  readonly name?: string
  /** Default `commonName`. A function gives undefined for a certificate that names nobody. */
  readonly principalFrom?: CertificateName | ((certificate: ClientCertificate) => string | undefined)
  /** By name in the certificate. Where it is given, nobody else is let in by this authenticator. */
  readonly users?: Readonly<Record<string, CertificateUser>>
  /** Roles of everybody whom it lets in. Default: none. */
  readonly roles?: readonly string[]
  readonly properties?: Readonly<Record<string, string>>
  /** Distinguished names of issuers whose certificates count, such as `CN=Plant CA,O=Plant`. Default: all that the listener trusts. */
  readonly issuers?: readonly string[]
  /** SHA-256 fingerprints of the certificates that count, on top of being verified. Default: all. */
  readonly trustedFingerprints?: readonly string[]
  /** SHA-256 fingerprints of certificates that do not count any more. See also `TlsOptions.crl`. */
  readonly revokedFingerprints?: readonly string[]
  /** Asked at every CONNECT, also on a resumed TLS session. */
  readonly isRevoked?: (certificate: ClientCertificate) => boolean | Promise<boolean>
  /** What follows without a verified certificate of somebody known. Default `next`. */
  readonly otherwise?: 'next' | 'deny'
  /** A user name in CONNECT that is not the principal: refused (default), or of no account. */
  readonly username?: 'match' | 'ignore'
  /** Whether the grant ends with the certificate. Default true. */
  readonly expireWithCertificate?: boolean
  /** For validity. Default: the system's. */
  readonly clock?: Pick<Clock, 'nowMs'>
}

/**
 * The client's certificate, which TLS has verified, says who the client is. What TLS has verified once
 * is looked at again for each CONNECT: a resumed TLS session brings a certificate that may have ended
 * or been revoked since (semantics 7.18, threat 74). Throws SMQ_OPTION_INVALID.
 */
export function mutualTls(options: MutualTlsOptions = {}): Authenticator {
  const rules = {
    users: options.users && new Map(Object.entries(options.users)),
    trusted: fingerprints('trustedFingerprints', options.trustedFingerprints),
    revoked: fingerprints('revokedFingerprints', options.revokedFingerprints),
  }
  return {
    name: options.name ?? 'mutual-tls',
    authenticate: (request) => {
      const found = identify(request, options, rules)
      const { isRevoked } = options
      if (!('certificate' in found)) return found
      if (!isRevoked) return found.verdict
      const revoked = isRevoked(found.certificate)
      if (typeof revoked === 'boolean') return revoked ? refuse(REVOKED) : found.verdict
      return revoked.then((is) => (is === false ? found.verdict : refuse(REVOKED)))
    },
    review: (review) => judge(review, options, rules),
  }
}

/** By the lists only: the grant ends with the certificate by itself, and `isRevoked` may take its time. */
function judge({ grant, connection }: GrantReview, options: MutualTlsOptions, rules: Rules): GrantVerdict {
  const certificate = connection.tls?.clientCertificate
  if (!certificate) return 'holds'
  const fingerprint = plainFingerprint(certificate.fingerprint256)
  const name = nameIn(certificate, options.principalFrom ?? 'commonName') ?? ''
  const user = rules.users ? rules.users.get(name) : {}
  const isKnown =
    (options.issuers?.includes(certificate.issuer) ?? true) &&
    (rules.trusted?.has(fingerprint) ?? true) &&
    rules.revoked?.has(fingerprint) !== true &&
    user !== undefined &&
    (user.principal ?? name) === grant.principal
  return isKnown ? 'holds' : 'withdrawn'
}

interface Rules {
  readonly users: ReadonlyMap<string, CertificateUser> | undefined
  readonly trusted: ReadonlySet<string> | undefined
  readonly revoked: ReadonlySet<string> | undefined
}

interface Identified {
  readonly verdict: Allow
  readonly certificate: ClientCertificate
}

const REVOKED = 'the client certificate was revoked'

function refuse(reason: string): Deny {
  return deny(ReasonCode.NotAuthorized, reason)
}

function identify(request: AuthenticationRequest, options: MutualTlsOptions, rules: Rules): Identified | Deny | Next {
  const { tls } = request.connection
  const certificate = tls?.authorized === true ? tls.clientCertificate : undefined
  const { issuers, otherwise = 'next', expireWithCertificate = true, clock = { nowMs: Date.now } } = options
  const unknown = (): Deny | Next => (otherwise === 'next' ? next() : refuse('no client certificate that is known'))
  if (!certificate) return unknown()
  if (issuers && !issuers.includes(certificate.issuer)) return unknown()
  const fingerprint = plainFingerprint(certificate.fingerprint256)
  if (rules.trusted && !rules.trusted.has(fingerprint)) return unknown()
  const name = nameIn(certificate, options.principalFrom ?? 'commonName')
  const user = name === undefined ? undefined : rules.users ? rules.users.get(name) : {}
  if (name === undefined || name === '' || !user) return unknown()

  const { validFromMs, validToMs } = certificate
  const nowMs = clock.nowMs()
  // The comparison is such that a date which could not be read is no valid one.
  if (!(validFromMs <= nowMs && nowMs < validToMs)) return refuse('the client certificate is not valid now')
  if (rules.revoked?.has(fingerprint)) return refuse(REVOKED)
  const { principal = name } = user
  if (options.username !== 'ignore' && request.username !== undefined && request.username !== principal)
    return refuse('the user name is not that of the client certificate')
  const verdict = allow({
    principal,
    roles: [...(options.roles ?? []), ...(user.roles ?? [])],
    properties: { ...options.properties, ...user.properties },
    ...(expireWithCertificate ? { expiresAtMs: validToMs } : {}),
  })
  return { verdict, certificate }
}

function nameIn(
  certificate: ClientCertificate,
  from: NonNullable<MutualTlsOptions['principalFrom']>,
): string | undefined {
  if (typeof from === 'function') return from(certificate)
  switch (from) {
    case 'commonName':
      return certificate.commonName
    case 'subject':
      return certificate.subject
    case 'fingerprint':
      return certificate.fingerprint256
    case 'dns':
    case 'email':
    case 'uri':
    case 'ip':
      return onlyName(certificate, from)
  }
}

/** Of several names it would be a guess which one is meant; a wildcard is nobody's name. */
function onlyName(certificate: ClientCertificate, type: 'dns' | 'email' | 'uri' | 'ip'): string | undefined {
  const names = certificate.subjectAltNames.filter((one) => one.type === type)
  const [first] = names
  if (!first || names.length > 1) return undefined
  if (type !== 'dns') return first.value
  return first.value.includes('*') ? undefined : first.value.toLowerCase()
}

function plainFingerprint(text: string): string {
  return text.replaceAll(':', '').toUpperCase()
}

function fingerprints(name: string, texts: readonly string[] | undefined): ReadonlySet<string> | undefined {
  const plain = texts?.map(plainFingerprint)
  const wrong = plain?.findIndex((text) => !/^[0-9A-F]{64}$/.test(text)) ?? -1
  if (wrong < 0) return plain && new Set(plain)
  throw new StatemqError('SMQ_OPTION_INVALID', `${name}.${wrong}: expected a SHA-256 fingerprint, 64 hex digits`)
}
