import type { JWTPayload } from 'jose'

import type { Allow } from '../hooks.ts'
import type { GrantLimits } from '../limits.ts'
import { jwtDefaults, type ClaimPath, type JwtOptions } from './jwt-options.ts'
import { TokenRefusal } from './jwt-refusal.ts'

/** The claim at a path; undefined where any step is missing. Only own members count: a token may name `__proto__`. */
export function claimAt(payload: JWTPayload, path: ClaimPath): unknown {
  let value: unknown = payload
  for (const name of typeof path === 'string' ? [path] : path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Readonly<Record<string, unknown>>)[name]
  }
  return value
}

/** What the claims of a verified token say of a session. Throws a {@link TokenRefusal} for those that can't be used. */
export class ClaimReader {
  readonly #options: JwtOptions
  readonly #roleMapping: ReadonlyMap<string, readonly string[]> | undefined
  readonly #skewMs: number
  readonly #maxLifetimeMs: number

  constructor(options: JwtOptions) {
    const { skewSeconds, maxLifetimeSeconds } = { ...jwtDefaults, ...options }
    this.#options = options
    this.#skewMs = skewSeconds * 1000
    this.#maxLifetimeMs = maxLifetimeSeconds * 1000
    // A Map, since its keys are looked up by what a token says.
    const mapping = options.roleMapping
    this.#roleMapping = mapping && new Map(Object.entries(mapping).map(([name, roles]) => [name, [roles].flat()]))
  }

  read(payload: JWTPayload, nowMs: number): Allow & { readonly principal: string } {
    const { properties, connack } = this.#options
    const limits = this.#limits(payload)
    return {
      type: 'allow',
      principal: this.#principal(payload),
      roles: this.#roles(payload),
      expiresAtMs: this.#end(payload, nowMs),
      ...(properties === undefined ? {} : { properties: this.#properties(payload, properties) }),
      ...(limits === undefined ? {} : { limits }),
      ...(connack === undefined ? {} : { connack }),
    }
  }

  #principal(payload: JWTPayload): string {
    const principal = claimAt(payload, this.#options.principalClaim ?? 'sub')
    if (typeof principal !== 'string' || principal === '' || !principal.isWellFormed()) throw new TokenRefusal('claim')
    return principal
  }

  #roles(payload: JWTPayload): string[] {
    const { rolesClaim = 'roles', roles = [] } = this.#options
    const claim = rolesClaim === false ? undefined : claimAt(payload, rolesClaim)
    const named = typeof claim === 'string' ? claim.split(' ').filter((name) => name !== '') : (claim ?? [])
    if (!Array.isArray(named) || !named.every((name) => typeof name === 'string')) throw new TokenRefusal('claim')
    const mapping = this.#roleMapping
    return [...roles, ...(mapping ? named.flatMap((name) => mapping.get(name) ?? []) : named)]
  }

  /**
   * The grant ends with the token. One that is over by our clock, but not by the issuer's as far as
   * the tolerance goes, ends with the tolerance: it would be over at once otherwise.
   */
  #end({ exp, iat }: JWTPayload, nowMs: number): number {
    if (exp === undefined) throw new TokenRefusal('claim')
    const endMs = Math.floor(exp * 1000)
    if (!Number.isSafeInteger(endMs)) throw new TokenRefusal('claim')
    const issuedMs = iat === undefined ? nowMs : Math.min(iat * 1000, nowMs)
    if (endMs - issuedMs > this.#maxLifetimeMs) throw new TokenRefusal('lifetime')
    return endMs > nowMs ? endMs : endMs + this.#skewMs
  }

  #properties(payload: JWTPayload, paths: Readonly<Record<string, ClaimPath>>): Readonly<Record<string, string>> {
    const properties = Object.create(null) as Record<string, string>
    for (const [name, path] of Object.entries(paths)) {
      const claim = claimAt(payload, path)
      if (claim === undefined || claim === null) continue
      if (typeof claim !== 'string' && typeof claim !== 'number' && typeof claim !== 'boolean')
        throw new TokenRefusal('claim')
      properties[name] = String(claim)
    }
    return properties
  }

  /** Which limits there are, and their ranges, is for the session to say: it refuses what is none. */
  #limits(payload: JWTPayload): GrantLimits | undefined {
    const { limits, limitsClaim } = this.#options
    const claim = limitsClaim === undefined ? undefined : claimAt(payload, limitsClaim)
    if (claim === undefined) return limits
    if (typeof claim !== 'object' || claim === null || Array.isArray(claim)) throw new TokenRefusal('claim')
    return { ...limits, ...(claim as GrantLimits) }
  }
}
