import type { JWK } from 'jose'

import { StatemqError } from '../errors.ts'
import type { GrantLimits } from '../limits.ts'
import type { Clock, GrantFeatures, Logger } from '../options.ts'
import { assignablePropertyNames, isPropertyName } from '../properties.ts'

/** Signature algorithms of RFC 7518, 8037 and 9864 that may be allowed. `none` can't be. */
export type JwtAlgorithm =
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'EdDSA'
  | 'Ed25519'
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'HS256'
  | 'HS384'
  | 'HS512'

/** A claim by name, or by the names that lead to it: `['realm_access', 'roles']`. A dot in a name is part of it. */
export type ClaimPath = string | readonly string[]

/** One key that is known beforehand. Without `kid` it is tried for tokens with any `kid`, or none. */
export type JwtKey =
  /** A public key as JSON Web Key. */
  | { readonly jwk: JWK; readonly kid?: string }
  /** A public key or a certificate, PEM. */
  | { readonly pem: string; readonly kid?: string }
  /** For HS256 at least 32 bytes, for HS384 48, for HS512 64, and random: a password is none. */
  | { readonly secret: Uint8Array; readonly kid?: string }

/** A key set (RFC 7517) that an identity provider publishes. */
export interface JwksOptions {
  /** `https:`, or `http:` to a loopback address. It is the only address that is ever asked. */
  readonly url: string | URL
  /** Take `http:` from any address: whoever can change the answer can make tokens. Default false. */
  readonly allowHttp?: boolean
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>>
  /** Keys of that age are fetched again before the next token is judged. Default 600. */
  readonly refreshSeconds?: number
  /** At most one request in that time, failed ones too, however many tokens name unknown keys. Default 10. */
  readonly cooldownSeconds?: number
  /** How long the keys still serve once their refresh is due and fails; then every token is refused. Default 3,600. */
  readonly maxStaleSeconds?: number
  /** One request, body included. Default 3,000. */
  readonly timeoutMs?: number
  /** Of the answer. Default 262,144. */
  readonly maxBytes?: number
}

/** What {@link jwt} takes. At least one of `jwks`, `jwksFile` and `keys` is needed. */
export interface JwtOptions {
  /** Shown in grants, events and logs. Default `jwt`. */
  readonly name?: string
  readonly jwks?: JwksOptions
  /** Path of a key set, read again when it has changed. What is broken then changes nothing, and `logger` is told. */
  readonly jwksFile?: string
  readonly keys?: readonly JwtKey[]
  /** Default: ES256, EdDSA, Ed25519, RS256 and PS256 where there are public keys, HS256 where there is a secret. */
  readonly algorithms?: readonly JwtAlgorithm[]
  /** What `iss` must be, or one of it. `false`: not looked at, any token that these keys signed will do. */
  readonly issuer: string | readonly string[] | false
  /** What `aud` must hold, or one of it. `false`: not looked at, a token for another service will do. */
  readonly audience: string | readonly string[] | false
  /** Leaves tokens of another issuer to the next authenticator (`next`) instead of refusing them. Default `deny`. */
  readonly otherIssuers?: 'deny' | 'next'
  /** What the header's `typ` must be, for example `at+jwt`. Default: not looked at. */
  readonly typ?: string
  /** By how much the issuer's clock may differ, from 0 to 60. Default 30. */
  readonly skewSeconds?: number
  /** Default 8,192. */
  readonly maxTokenBytes?: number
  /** From `iat`, or now where that is missing, to `exp`; longer ones are refused. Default: any. */
  readonly maxLifetimeSeconds?: number
  /** Claims without which a token is refused, besides `exp` and those of other options. */
  readonly requiredClaims?: readonly string[]
  /** Whether a token may come as the password of CONNECT. Default true. */
  readonly password?: boolean
  /** The MQTT 5 authentication method whose data is a token; false: none. Default `JWT`. */
  readonly method?: string | false
  /**
   * A user name that a client sends must equal this claim; false: it may be any. Default: false for a token as
   * password, where the user name often only says that the password is one; the principal's claim
   * with the authentication method (semantics 7.9).
   */
  readonly usernameClaim?: ClaimPath | false
  /** A text. Default `sub`. */
  readonly principalClaim?: ClaimPath
  /** A list of texts, or one text with spaces in between; may be missing. Default `roles`. */
  readonly rolesClaim?: ClaimPath | false
  /** Broker roles for each role of the claim; those that are not named here give none. Default: the same names. */
  readonly roleMapping?: Readonly<Record<string, string | readonly string[]>>
  /** Roles of everybody, besides those of the claim. */
  readonly roles?: readonly string[]
  /** Session properties by name, and the claim each is taken from: a text, number or boolean; may be missing. */
  readonly properties?: Readonly<Record<string, ClaimPath>>
  /** Of every session that comes in this way. */
  readonly limits?: GrantLimits
  /** Of every session that comes in this way. */
  readonly connack?: GrantFeatures
  /** A claim with limits by name, which win over `limits`. Default: tokens set no limits. */
  readonly limitsClaim?: ClaimPath
  /** By which tokens and keys age. Default: the system's. */
  readonly clock?: Pick<Clock, 'nowMs'>
  /** Told when keys can't be read or fetched. Default: silent. */
  readonly logger?: Pick<Logger, 'warn'>
}

/** Numbers that {@link JwtOptions} has a default for; the page `docs/authenticators.md` lists them. */
export const jwtDefaults = Object.freeze({
  skewSeconds: 30,
  maxTokenBytes: 8_192,
  maxLifetimeSeconds: Infinity,
  refreshSeconds: 600,
  cooldownSeconds: 10,
  maxStaleSeconds: 3_600,
  timeoutMs: 3_000,
  maxBytes: 262_144,
})

/** Keys of one set; a token without `kid` is tried with all that fit its algorithm. */
export const maxKeysOfSet = 50

const publicAlgorithms: readonly JwtAlgorithm[] = ['ES256', 'EdDSA', 'Ed25519', 'RS256', 'PS256']
const knownAlgorithms: ReadonlySet<string> = new Set<JwtAlgorithm>([
  ...publicAlgorithms,
  'ES384',
  'ES512',
  'RS384',
  'RS512',
  'PS384',
  'PS512',
  'HS256',
  'HS384',
  'HS512',
])

/** Bytes that a secret needs at least: as many as the hash has (RFC 7518, 3.2). */
const secretBytes: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 }

export function invalid(detail: string): StatemqError {
  return new StatemqError('SMQ_OPTION_INVALID', `jwt: ${detail}`)
}

/** The algorithms that tokens may name. Throws SMQ_OPTION_INVALID where there are no keys for one of them. */
export function allowedAlgorithms({ algorithms, keys = [], jwks, jwksFile }: JwtOptions): readonly JwtAlgorithm[] {
  const secrets = keys.flatMap((key) => ('secret' in key ? [key.secret] : []))
  const hasPublic = jwks !== undefined || jwksFile !== undefined || secrets.length < keys.length
  if (!hasPublic && secrets.length === 0) throw invalid('one of jwks, jwksFile and keys is needed')
  const allowed: readonly JwtAlgorithm[] = algorithms ?? [
    ...(hasPublic ? publicAlgorithms : []),
    ...(secrets.length > 0 ? (['HS256'] as const) : []),
  ]
  if (allowed.length === 0) throw invalid('algorithms: at least one is needed')
  for (const name of allowed) {
    if (!knownAlgorithms.has(name)) throw invalid(`algorithms: there is no ${JSON.stringify(name)}`)
    const bytes = Object.hasOwn(secretBytes, name) ? secretBytes[name] : undefined
    if (bytes === undefined && !hasPublic) throw invalid(`algorithms: ${name} needs public keys, and there are none`)
    if (bytes === undefined) continue
    if (secrets.length === 0) throw invalid(`algorithms: ${name} needs a secret in keys, and there is none`)
    if (secrets.some(({ length }) => length < bytes))
      throw invalid(`keys: a secret for ${name} has ${bytes} bytes or more`)
  }
  return allowed
}

/** Throws SMQ_OPTION_INVALID for what no token or clock could make sense of. */
export function checkJwtOptions(options: JwtOptions): void {
  const { issuer, audience, skewSeconds, maxTokenBytes, maxLifetimeSeconds, jwks, method, password } = options
  // Without a type checker these are forgotten first, and jose then looks at neither.
  for (const [name, value] of Object.entries({ issuer, audience })) {
    if (value === false || (typeof value === 'string' && value !== '')) continue
    if (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string' && one !== ''))
      continue
    throw invalid(`${name}: a text, a list of texts, or false is needed`)
  }
  if (options.otherIssuers === 'next' && issuer === false)
    throw invalid('otherIssuers: an issuer is needed to tell them')
  inRange('skewSeconds', skewSeconds, 0, 60)
  inRange('maxTokenBytes', maxTokenBytes, 1)
  inRange('maxLifetimeSeconds', maxLifetimeSeconds, 1)
  if (method === '') throw invalid('method: a name is needed')
  if (password === false && method === false) throw invalid('password and method: one of them is needed')
  for (const name of Object.keys(options.properties ?? {})) {
    if (isPropertyName(name) || (assignablePropertyNames as readonly string[]).includes(name)) continue
    throw invalid(`properties: ${JSON.stringify(name)} is no name that a property can have`)
  }
  if (jwks) checkJwks(jwks)
}

function checkJwks(jwks: JwksOptions): void {
  const { refreshSeconds = jwtDefaults.refreshSeconds, cooldownSeconds = jwtDefaults.cooldownSeconds } = jwks
  inRange('jwks.refreshSeconds', refreshSeconds, 1)
  inRange('jwks.cooldownSeconds', cooldownSeconds, 1, refreshSeconds)
  inRange('jwks.maxStaleSeconds', jwks.maxStaleSeconds, 0)
  // Above, a timer would fire at once.
  inRange('jwks.timeoutMs', jwks.timeoutMs, 1, 0x7fff_ffff)
  inRange('jwks.maxBytes', jwks.maxBytes, 1)
  if (!URL.canParse(String(jwks.url))) throw invalid('jwks.url: it is no URL')
  const { protocol, hostname, username, password } = new URL(jwks.url)
  // They would be in every log line that names the address.
  if (username !== '' || password !== '') throw invalid('jwks.url: credentials belong into jwks.headers')
  if (protocol === 'https:' || (protocol === 'http:' && (jwks.allowHttp === true || isLoopback(hostname)))) return
  throw invalid('jwks.url: https is needed, or http to a loopback address, or allowHttp')
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

function inRange(name: string, value: number | undefined, min: number, max = Infinity): void {
  if (value === undefined || (typeof value === 'number' && value >= min && value <= max)) return
  throw invalid(`${name}: expected a number from ${min} to ${max}`)
}
