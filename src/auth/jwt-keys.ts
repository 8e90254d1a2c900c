import { createPublicKey } from 'node:crypto'

import { createLocalJWKSet, errors, type CryptoKey, type JWK, type LocalJWKSet } from 'jose'

import { invalid, maxKeysOfSet, type JwtKey } from './jwt-options.ts'

/** What of a token's header chooses a key. `kid` is compared with those of known keys and leads nowhere else. */
export interface KeyQuery {
  readonly alg: string
  readonly kid: string | undefined
}

/** Where keys come from: those that may have signed such a token, likeliest first. */
export interface KeySource {
  keysFor(query: KeyQuery): AsyncIterable<CryptoKey | Uint8Array>
  close(): void
}

/** A key set as jose takes it, with public keys only. Throws an Error that says what is wrong with it. */
export function readKeySet(json: unknown): LocalJWKSet {
  const members = typeof json === 'object' && json !== null && 'keys' in json ? json.keys : undefined
  if (!Array.isArray(members)) throw new Error('it is no key set')
  if (members.length > maxKeysOfSet) throw new Error(`it has more than ${maxKeysOfSet} keys`)
  // Kinds of keys that nobody knows yet are no fault (RFC 7517, 5); a secret in a public place is of no use.
  const keys = members.filter(isPublicJwk)
  return createLocalJWKSet({ keys })
}

function isPublicJwk(value: unknown): value is JWK {
  if (typeof value !== 'object' || value === null) return false
  const jwk = value as JWK
  if (jwk.kty === 'oct' || jwk.k !== undefined || jwk.d !== undefined || 'priv' in jwk) return false
  // RFC 7518, 3.3: shorter ones can be broken.
  return jwk.kty !== 'RSA' || (typeof jwk.n === 'string' && Buffer.from(jwk.n, 'base64url').length >= 256)
}

/** The keys of a set that fit. One that can't be used (a point off its curve) counts as not there. */
export async function keysOf(
  set: LocalJWKSet,
  { alg, kid }: KeyQuery,
): Promise<AsyncIterable<CryptoKey> | CryptoKey[]> {
  try {
    return [await set(kid === undefined ? { alg } : { alg, kid })]
  } catch (error) {
    return error instanceof errors.JWKSMultipleMatchingKeys ? error : []
  }
}

/** Keys and secrets that were given as options. Public keys and secrets are never mixed up: each has its algorithms. */
export class StaticKeys implements KeySource {
  readonly #named: LocalJWKSet
  readonly #nameless: LocalJWKSet
  readonly #secrets: readonly { readonly kid: string | undefined; readonly secret: Uint8Array }[]

  constructor(keys: readonly JwtKey[]) {
    const jwks = keys.flatMap((key) => ('secret' in key ? [] : [publicJwk(key)]))
    this.#named = createLocalJWKSet({ keys: jwks.filter(({ kid }) => kid !== undefined) })
    this.#nameless = createLocalJWKSet({ keys: jwks.filter(({ kid }) => kid === undefined) })
    this.#secrets = keys.flatMap((key) =>
      'secret' in key ? [{ kid: key.kid, secret: checkedSecret(key.secret) }] : [],
    )
  }

  async *keysFor({ alg, kid }: KeyQuery): AsyncGenerator<CryptoKey | Uint8Array> {
    if (alg.startsWith('HS')) {
      for (const one of this.#secrets)
        if (kid === undefined || one.kid === undefined || one.kid === kid) yield one.secret
      return
    }
    yield* await keysOf(this.#named, { alg, kid })
    yield* await keysOf(this.#nameless, { alg, kid: undefined })
  }

  close(): void {}
}

function publicJwk(key: Exclude<JwtKey, { readonly secret: Uint8Array }>): JWK {
  const jwk = 'jwk' in key ? key.jwk : jwkOfPem(key.pem)
  if (!isPublicJwk(jwk) || typeof jwk.kty !== 'string')
    throw invalid('keys: a public key is needed, RSA with 2,048 bits or more')
  try {
    createPublicKey({ key: { ...jwk }, format: 'jwk' })
  } catch {
    throw invalid("keys: a jwk can't be used")
  }
  const kid = key.kid ?? jwk.kid
  const { kid: _, ...rest } = jwk
  return kid === undefined ? rest : { ...rest, kid }
}

function jwkOfPem(pem: string): JWK {
  // Node would quietly take the public half; the other half has no business in a broker.
  if (/PRIVATE KEY/.test(pem)) throw invalid('keys: a pem is a private key; the public one is needed')
  try {
    return createPublicKey(pem).export({ format: 'jwk' }) as JWK
  } catch {
    throw invalid('keys: a pem is no public key and no certificate')
  }
}

/** A public key that everybody has must never become a secret by which anybody signs (threat 66). */
function checkedSecret(secret: Uint8Array): Uint8Array {
  if (!(secret instanceof Uint8Array)) throw invalid('keys: a secret is bytes')
  const text = Buffer.from(secret).toString('latin1').trimStart()
  if (text.startsWith('-----BEGIN') || /^\{[^]*"(kty|keys)"/.test(text)) throw invalid('keys: a secret is a public key')
  if (secret.length < 32) throw invalid('keys: a secret has 32 bytes or more')
  return Uint8Array.from(secret)
}
