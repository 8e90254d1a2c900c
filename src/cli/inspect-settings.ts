import { join } from 'node:path'
import { z } from 'zod'

import { hashFault } from '../auth/password-hash.ts'
import { assertProtected } from '../inspect/protection.ts'
import type { InspectOptions } from '../options.ts'
import { secret } from './authenticator-schema.ts'
import type { Material } from './material.ts'
import type { StoreSettings } from './store-settings.ts'

const filled = z.string().min(1)
const role = z.enum(['metrics', 'read', 'operate'])

/** The section `inspect` of a configuration file; empty, the admin API is open on its defaults. */
export const inspectSection = z
  .strictObject({
    port: z.int().min(0).max(65_535).exactOptional(),
    host: filled.exactOptional(),
    keyFile: filled.exactOptional(),
    certFile: filled.exactOptional(),
    allowPlaintext: z.boolean().exactOptional(),
    hosts: z.array(filled).exactOptional(),
    tokens: z.array(z.strictObject({ name: filled, role, token: secret })).exactOptional(),
    users: z.array(z.strictObject({ name: filled, role, passwordHash: filled })).exactOptional(),
    tokenFile: filled.exactOptional(),
  })
  .refine(({ keyFile, certFile }) => (keyFile === undefined) === (certFile === undefined), {
    error: 'expected keyFile and certFile, or neither',
  })
export type InspectSection = z.infer<typeof inspectSection>

/** The named flags that are about the admin API; each opens it. */
export interface InspectFlags {
  readonly inspectPort?: number
  readonly inspectHost?: string
}

export function mergeInspect(
  { inspectPort, inspectHost }: InspectFlags,
  written: InspectSection | undefined,
): InspectSection | undefined {
  if (inspectPort === undefined && inspectHost === undefined) return written
  return {
    ...written,
    ...(inspectPort === undefined ? {} : { port: inspectPort }),
    ...(inspectHost === undefined ? {} : { host: inspectHost }),
  }
}

/** The admin API as `broker.inspect` takes it. */
export interface PreparedInspect {
  readonly options: InspectOptions
  /** Where the token is that was made when nobody had named any; undefined: there are others, or there is no place for it. */
  readonly tokenFile: string | undefined
}

/** Reads what the section names; what is wrong with it is told with the rest of the configuration. */
export function prepareInspect(
  { keyFile, certFile, tokenFile, tokens = [], ...others }: InspectSection,
  store: StoreSettings,
  material: Material,
): PreparedInspect {
  const place = ['inspect']
  const tls =
    keyFile === undefined || certFile === undefined
      ? {}
      : {
          tls: {
            key: material.read(keyFile, [...place, 'keyFile']),
            cert: material.read(certFile, [...place, 'certFile']),
          },
        }
  const named = tokens.map((one, index) => ({
    ...one,
    token: material.secret(one.token, [...place, 'tokens', index, 'token']).toString(),
  }))
  const options: InspectOptions = { ...others, ...tls, tokens: named }
  if (material.isSound) material.try(place, () => assertProtected(options, hashFault))
  if (named.length > 0 || (others.users?.length ?? 0) > 0) return { options, tokenFile: undefined }
  const inStore = store.type === 'lmdb' ? join(store.directory, 'inspect-token') : undefined
  return { options, tokenFile: tokenFile === undefined ? inStore : material.resolve(tokenFile) }
}

/** What a running admin API does not take anew. */
export function fixedInspect(section: InspectSection | undefined): object | undefined {
  if (!section) return undefined
  const { tokens: _tokens, users: _users, hosts: _hosts, keyFile, certFile: _certFile, ...others } = section
  return { ...others, isTls: keyFile !== undefined }
}
