import { dirname, resolve } from 'node:path'

import { StatemqError } from '../errors.ts'
import type { StoreOptions } from '../options.ts'
import { hasSecret, readRedisUrl } from '../store/redis-url.ts'
import type { SecretReference } from './authenticator-schema.ts'
import type { Config } from './config-schema.ts'
import type { Material } from './material.ts'
import {
  lmdbDurabilities,
  redisDurabilities,
  redisUrlVariable,
  type durabilities,
  type storeTypes,
} from './store-kinds.ts'

type Durability = (typeof durabilities)[number]

/** The named flags that are about the store. */
export interface StoreFlags {
  readonly store?: (typeof storeTypes)[number]
  readonly data?: string
  readonly redis?: string
  readonly durability?: Durability
}

type Redis = Extract<StoreOptions, { type: 'redis' }>

/** A store as the command knows it: what is secret in the URL of a Redis stands elsewhere, and is read when it is opened. */
export type StoreSettings =
  | Exclude<StoreOptions, { type: 'redis' }>
  | (Omit<Redis, 'url'> & { readonly url: string | SecretReference })

/** Where the command keeps things unless it is told: below the folder that it was started in. */
const defaultDirectory = 'statemq-data'

/** The command keeps what it acknowledges, unless it is told not to: `createBroker` has no place of its own for it. */
export function resolveStore(flags: StoreFlags, file: string | undefined, written: Config['store']): StoreSettings {
  const type = flags.store ?? (flags.redis === undefined ? undefined : 'redis') ?? written?.type ?? 'lmdb'
  if (type !== 'lmdb' && flags.data !== undefined) throw wrong('--data is for --store lmdb')
  if (type !== 'redis' && flags.redis !== undefined) throw wrong('--redis is for --store redis')
  // What the file says of another kind of store is not meant.
  const kept = written?.type === undefined || written.type === type ? written : undefined
  const durability = flags.durability ?? kept?.durability
  switch (type) {
    case 'memory':
      if (flags.durability !== undefined) throw wrong('--durability: in memory nothing outlives the process')
      return { type }
    case 'lmdb': {
      const folder = file === undefined ? '' : dirname(file)
      const inFile = kept?.directory === undefined ? undefined : resolve(folder, kept.directory)
      const directory = resolve(flags.data ?? inFile ?? defaultDirectory)
      return { type, directory, durability: oneOf(lmdbDurabilities, durability, type) ?? 'disk' }
    }
    case 'redis': {
      const { prefix = 'statemq', timeoutMs = 5_000 } = kept ?? {}
      const url = flags.redis === undefined ? (kept?.url ?? { env: redisUrlVariable }) : publicUrl(flags.redis)
      return { type, url, durability: oneOf(redisDurabilities, durability, type) ?? 'everysec', prefix, timeoutMs }
    }
  }
}

function oneOf<T extends Durability>(known: readonly T[], asked: Durability | undefined, type: string): T | undefined {
  if (asked !== undefined && !(known as readonly string[]).includes(asked)) {
    throw wrong(`--durability ${asked}: ${type} has ${known.join(' and ')}`)
  }
  return asked as T | undefined
}

/** Everybody on a machine sees the words that a command was started with. */
function publicUrl(url: string): string {
  if (hasSecret(url)) {
    throw wrong(
      `--redis: a password on the command line is everybody's to see: put the URL into ${redisUrlVariable}, ` +
        'or into a file that store.url names, as { file: path }',
    )
  }
  try {
    readRedisUrl(url)
  } catch (error) {
    throw wrong(`--redis: ${(error as Error).message}`)
  }
  return url
}

function wrong(what: string): StatemqError {
  return new StatemqError('SMQ_USAGE', what)
}

/** For `createBroker`: the secret is read. */
export function storeOptionsOf(settings: StoreSettings, material: Material): StoreOptions {
  if (settings.type !== 'redis' || typeof settings.url === 'string') return settings as StoreOptions
  const url = material.secret(settings.url, ['store', 'url']).toString()
  if (material.isSound) material.try(['store', 'url'], () => readRedisUrl(url))
  return { ...settings, url }
}
