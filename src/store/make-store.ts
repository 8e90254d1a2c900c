import type { Logger, StoreOptions } from '../options.ts'
import { LmdbStore } from './lmdb.ts'
import type { Store } from './store.ts'

/** Undefined: nothing outlives the process. */
export function makeStore(options: StoreOptions | undefined, logger: Logger): Store | undefined {
  if (options === undefined || options.type === 'memory') return undefined
  const { directory, durability = 'disk' } = options
  const onDamage = (table: string, error: unknown): void =>
    logger.error({ table, err: error }, 'a record of the store is damaged: it is left out, and left where it is')
  return new LmdbStore({ directory, durability, onDamage })
}
