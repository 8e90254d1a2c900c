import { mutualTls } from '../auth/mutual-tls.ts'
import { jwt } from '../auth/jwt.ts'
import type { JwtKey, JwtOptions } from '../auth/jwt-options.ts'
import { passwordFile } from '../auth/password-file.ts'
import { scram } from '../auth/scram.ts'
import { webhook } from '../auth/webhook.ts'
import type { Authenticator } from '../hooks.ts'
import type { Logger } from '../options.ts'
import type { AuthenticatorConfig, SecretReference } from './authenticator-schema.ts'
import type { Material, Place } from './material.ts'

type Of<Type extends AuthenticatorConfig['type']> = Omit<Extract<AuthenticatorConfig, { type: Type }>, 'type'>
type HeaderConfig = Readonly<Record<string, string | SecretReference>>

/**
 * Makes authenticators of a list in a configuration. What is wrong with one is a problem of its
 * place; whatever was made before has to be closed by the caller, wrong ones among them or not.
 */
export function buildAuthenticators(
  configs: readonly AuthenticatorConfig[],
  place: Place,
  material: Material,
  logger: Logger | undefined,
): Authenticator[] {
  return configs.flatMap((config, index) => {
    const here = [...place, index]
    return material.try(here, () => build(config, here, material, logger)) ?? []
  })
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
