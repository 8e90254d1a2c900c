import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTPayload, type JWTVerifyOptions } from 'jose'

import { challenge, deny, next, type AuthenticationRequest, type Authenticator, type Verdict } from '../hooks.ts'
import { FileKeys } from './jwks-file.ts'
import { RemoteKeys } from './jwks-remote.ts'
import { claimAt, ClaimReader } from './jwt-claims.ts'
import { StaticKeys, type KeyQuery, type KeySource } from './jwt-keys.ts'
import { allowedAlgorithms, checkJwtOptions, jwtDefaults, type ClaimPath, type JwtOptions } from './jwt-options.ts'
import { reasonCodeOf, refusalOf, TokenRefusal } from './jwt-refusal.ts'

/**
 * Lets in who has a JSON Web Token (RFC 7519, RFC 8725): as the password of CONNECT, or as data of an
 * MQTT 5 authentication method, in CONNECT and again in AUTH 0x19. The token's end is the grant's.
 * Every token is verified afresh, so that a key that is gone from its set lets nobody in any more.
 * A password that is no token at all is left to the next authenticator.
 *
 * Throws SMQ_OPTION_INVALID. See `docs/authenticators.md`.
 */
export function jwt(options: JwtOptions): Authenticator {
  return new JwtAuthenticator(options)
}

/** Headers that bring or name a key of the token's own, or ask for what is not understood (threat 67). */
const refusedHeaders = ['jku', 'jwk', 'x5u', 'x5c', 'crit'] as const

/** Three parts of base64url; the last is empty in a token that nobody has signed. */
const shape = /^[\w-]+\.[\w-]*\.[\w-]*$/

class JwtAuthenticator implements Authenticator {
  readonly name: string
  readonly methods: readonly string[]
  readonly withoutMethod: boolean
  readonly comparesUsername = true
  readonly #options: JwtOptions
  readonly #sources: readonly KeySource[]
  readonly #algorithms: ReadonlySet<string>
  readonly #verification: JWTVerifyOptions
  readonly #claims: ClaimReader
  readonly #maxTokenBytes: number
  readonly #nowMs: () => number

  constructor(options: JwtOptions) {
    checkJwtOptions(options)
    const { keys, jwks, jwksFile, clock = { nowMs: Date.now }, logger, issuer, audience, typ, method = 'JWT' } = options
    const algorithms = allowedAlgorithms(options)
    this.name = options.name ?? 'jwt'
    this.methods = method === false ? [] : [method]
    this.withoutMethod = options.password ?? true
    this.#options = options
    this.#sources = [
      ...(keys ? [new StaticKeys(keys)] : []),
      ...(jwksFile === undefined ? [] : [new FileKeys(jwksFile, logger)]),
      ...(jwks ? [new RemoteKeys(jwks, clock, logger)] : []),
    ]
    this.#algorithms = new Set(algorithms)
    this.#verification = {
      algorithms: [...algorithms],
      requiredClaims: ['exp', ...(options.requiredClaims ?? [])],
      clockTolerance: options.skewSeconds ?? jwtDefaults.skewSeconds,
      ...(issuer === false ? {} : { issuer: [issuer].flat() }),
      ...(audience === false ? {} : { audience: [audience].flat() }),
      ...(typ === undefined ? {} : { typ }),
    }
    this.#claims = new ClaimReader(options)
    this.#maxTokenBytes = options.maxTokenBytes ?? jwtDefaults.maxTokenBytes
    this.#nowMs = () => clock.nowMs()
  }

  authenticate(request: AuthenticationRequest): Verdict | Promise<Verdict> {
    if (request.authenticationMethod === undefined) {
      const token = request.password?.toString('latin1')
      return token !== undefined && looksLikeToken(token) ? this.#judge(token, request) : next()
    }
    const data = request.authenticationData
    // Some clients send a token only when they are asked for it.
    if ((data === undefined || data.length === 0) && request.round === 0) return challenge()
    return this.#judge(data?.toString('latin1') ?? '', request)
  }

  close(): void {
    for (const source of this.#sources) source.close()
  }

  async #judge(token: string, request: AuthenticationRequest): Promise<Verdict> {
    try {
      if (token.length > this.#maxTokenBytes) throw new TokenRefusal('tooLong')
      if (!shape.test(token)) throw new TokenRefusal('malformed')
      if (this.#options.otherIssuers === 'next' && !this.#isOurs(token)) return next()
      const query = this.#query(token)
      const allowed = this.#claims.read(await this.#verify(token, query, request), this.#nowMs())
      const { reauthentication, grant } = request
      if (reauthentication && allowed.principal !== grant?.principal) throw new TokenRefusal('principal')
      return allowed
    } catch (error) {
      const refusal = refusalOf(error)
      if (!(refusal instanceof TokenRefusal)) throw refusal
      const viaMethod = request.authenticationMethod !== undefined
      return deny(reasonCodeOf(refusal, viaMethod, request.reauthentication), refusal.message)
    }
  }

  /** What can be refused without looking for a key. */
  #query(token: string): KeyQuery {
    const header = headerOf(token)
    if (!header) throw new TokenRefusal('malformed')
    const { alg, kid } = header
    if (typeof alg !== 'string' || !this.#algorithms.has(alg)) throw new TokenRefusal('algorithm')
    if (refusedHeaders.some((name) => header[name] !== undefined)) throw new TokenRefusal('header')
    if (kid !== undefined && typeof kid !== 'string') throw new TokenRefusal('malformed')
    return { alg, kid }
  }

  /** Says who is to judge it, and nothing more: nothing is verified yet. */
  #isOurs(token: string): boolean {
    const { issuer } = this.#options
    return [issuer].flat().includes(decodeJwt(token).iss ?? false)
  }

  async #verify(token: string, query: KeyQuery, request: AuthenticationRequest): Promise<JWTPayload> {
    let refusal = new TokenRefusal('unknownKey')
    for await (const key of this.#keysFor(query)) {
      try {
        const currentDate = new Date(this.#nowMs())
        const { payload } = await jwtVerify(token, key, { ...this.#verification, currentDate })
        this.#checkUsername(payload, request)
        return payload
      } catch (error) {
        // Of several keys that fit, another one may have signed it.
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error
        refusal = new TokenRefusal('signature')
      }
    }
    throw refusal
  }

  async *#keysFor(query: KeyQuery) {
    for (const source of this.#sources) yield* source.keysFor(query)
  }

  #checkUsername(payload: JWTPayload, { username, authenticationMethod }: AuthenticationRequest): void {
    const { principalClaim = 'sub' } = this.#options
    const byDefault: ClaimPath | false = authenticationMethod === undefined ? false : principalClaim
    const path = this.#options.usernameClaim ?? byDefault
    if (path === false || username === undefined) return
    if (claimAt(payload, path) !== username) throw new TokenRefusal('username')
  }
}

function headerOf(token: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return decodeProtectedHeader(token) as Record<string, unknown>
  } catch {
    return undefined
  }
}

/** Whether a password is meant to be a token, in order or not. */
function looksLikeToken(password: string): boolean {
  return shape.test(password) && headerOf(password) !== undefined
}
