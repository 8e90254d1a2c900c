import { mutualTls } from '../auth/mutual-tls.ts'
import { jwt } from '../auth/jwt.ts'
import type { JwtKey, JwtOptions } from '../auth/jwt-options.ts'
import { passwordFile, type PasswordFile } from '../auth/password-file.ts'
import { scram } from '../auth/scram.ts'
import { webhook } from '../auth/webhook.ts'
import { StatemqError } from '../errors.ts'
import type { Authenticator } from '../hooks.ts'
import type { Logger } from '../options.ts'
import type { AuthenticatorConfig, SecretReference } from './authenticator-schema.ts'
import type { Material, Place } from './material.ts'

type Of<Type extends AuthenticatorConfig['type']> = Omit<Extract<AuthenticatorConfig, { type: Type }>, 'type'>
type HeaderConfig = Readonly<Record<string, string | SecretReference>>

/**
 * The authenticators of one configuration. Those that say the same are one, so that what it holds is
 * held once. For the broker, one that follows its file by itself is taken over from the configuration
 * before: making it anew would read a large file in one go, while clients wait. Not for a listener: the
 * broker may have ended it with the listener that had it.
 */
export class AuthenticatorPool {
  readonly #made = new Map<string, Authenticator>()
  readonly #fresh = new Set<Authenticator>()
  readonly #material: Material
  readonly #logger: Logger | undefined
  /** Of the configuration before. */
  readonly #offered: ReadonlyMap<string, Authenticator>
  readonly #reloads: { readonly place: Place; readonly authenticator: PasswordFile }[] = []

  constructor(material: Material, logger: Logger | undefined, previous: AuthenticatorPool | undefined) {
    this.#material = material
    this.#logger = logger
    this.#offered = previous ? previous.#made : new Map()
  }

  /** Those of a list. What is wrong with one is a problem of its place. */
  build(configs: readonly AuthenticatorConfig[], place: Place): Authenticator[] {
    return configs.flatMap((config, index) => {
      const here = [...place, index]
      return this.#material.try(here, () => this.#get(config, here)) ?? []
    })
  }

  #get(config: AuthenticatorConfig, place: Place): Authenticator {
    const key = JSON.stringify(config)
    let authenticator = this.#made.get(key)
    const isOfBroker = place.length === 2
    if (!authenticator && isOfBroker && followsItsFile(config)) {
      authenticator = this.#offered.get(key)
      if (authenticator && 'reload' in authenticator)
        this.#reloads.push({ place, authenticator: authenticator as PasswordFile })
    }
    if (!authenticator) {
      authenticator = build(config, place, this.#material, this.#logger)
      this.#fresh.add(authenticator)
    }
    this.#made.set(key, authenticator)
    return authenticator
  }

  /** Has those that were taken over read their files now. A broken one is a problem of its place, and stays as it was. */
  async refresh(): Promise<void> {
    for (const { place, authenticator } of this.#reloads) {
      try {
        await authenticator.reload()
      } catch (error) {
        if (!(error instanceof StatemqError)) throw error
        this.#material.add(place, error.message)
      }
    }
  }

  /** Another one has taken its place: ends those that no broker did, because their listener did not open. */
  async retire(next: AuthenticatorPool): Promise<void> {
    const kept = new Set(next.#made.values())
    for (const authenticator of this.#made.values()) if (!kept.has(authenticator)) await authenticator.close?.()
  }

  /** Ends those that only this configuration has, for when no broker has taken them. */
  async discard(): Promise<void> {
    for (const authenticator of this.#fresh) await authenticator.close?.()
  }
}

function followsItsFile(config: AuthenticatorConfig): boolean {
  return config.type === 'scram' || (config.type === 'password-file' && config.watch !== false)
}

function build(
  config: AuthenticatorConfig,
  place: Place,
  material: Material,
  logger: Logger | undefined,
): Authenticator {
  const given = logger ? { logger } : {}
  switch (config.type) {
    case 'password-file': {
      const { type: _type, path, ...options } = config
      return passwordFile({ ...options, path: material.resolve(path), ...given })
    }
    case 'scram': {
      const { type: _type, path, ...options } = config
      return scram({ ...options, users: material.resolve(path), ...given })
    }
    case 'mutual-tls': {
      const { type: _type, ...options } = config
      return mutualTls(options)
    }
    case 'webhook': {
      const { type: _type, ...options } = config
      return buildWebhook(options, place, material)
    }
    case 'jwt': {
      const { type: _type, ...options } = config
      return buildJwt(options, place, material, given)
    }
  }
}

function buildWebhook({ headers, caFile, ...options }: Of<'webhook'>, place: Place, material: Material): Authenticator {
  return webhook({
    ...options,
    ...(headers ? { headers: headersOf(headers, [...place, 'headers'], material) } : {}),
    ...(caFile === undefined ? {} : { ca: material.read(caFile, [...place, 'caFile']) }),
  })
}

function buildJwt(
  config: Of<'jwt'>,
  place: Place,
  material: Material,
  given: { readonly logger?: Logger },
): Authenticator {
  const { keys, jwks, jwksFile, algorithms, ...options } = config
  const readKeys = keys?.map((key, index): JwtKey => {
    const here = [...place, 'keys', index]
    const kid = key.kid === undefined ? {} : { kid: key.kid }
    if ('pemFile' in key) return { pem: material.read(key.pemFile, [...here, 'pemFile']).toString(), ...kid }
    const secret = material.secret(key.secret, [...here, 'secret'])
    return { secret: key.base64 ? Buffer.from(secret.toString('latin1'), 'base64') : secret, ...kid }
  })
  const { headers, ...keySet } = jwks ?? { url: '' }
  return jwt({
    ...options,
    ...given,
    ...(readKeys ? { keys: readKeys } : {}),
    ...(jwks
      ? {
          jwks: {
            ...keySet,
            ...(headers ? { headers: headersOf(headers, [...place, 'jwks', 'headers'], material) } : {}),
          },
        }
      : {}),
    ...(jwksFile === undefined ? {} : { jwksFile: material.resolve(jwksFile) }),
    // The names are judged by `jwt` itself, which knows which keys they need.
    ...(algorithms ? { algorithms: algorithms as NonNullable<JwtOptions['algorithms']> } : {}),
  })
}

function headersOf(headers: HeaderConfig, place: Place, material: Material): Record<string, string> {
  const entries = Object.entries(headers).map(([name, value]) => {
    const text = typeof value === 'string' ? value : material.secret(value, [...place, name]).toString()
    return [name, text]
  })
  return Object.fromEntries(entries) as Record<string, string>
}
