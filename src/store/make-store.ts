import type { StatemqError } from '../errors.ts'
import type { Logger, StoreOptions } from '../options.ts'
import { LmdbStore } from './lmdb.ts'
import { RedisStore } from './redis.ts'
import type { Store } from './store.ts'

/** Undefined: nothing outlives the process. */
export function makeStore(options: StoreOptions | undefined, logger: Logger): Store | undefined {
  if (options === undefined || options.type === 'memory') return undefined
  const onDamage = (table: string, error: unknown): void =>
    logger.error({ table, err: error }, 'a record of the store is damaged: it is left out, and left where it is')
  if (options.type === 'lmdb') return new LmdbStore({ ...options, onDamage })
  const onFault = (fault: string): void => logger.warn({ fault }, 'the server of the store keeps less than it could')
  const onAway = (error: StatemqError): void => logger.error({ err: error }, 'the store does not answer')
  const onBack = (): void => logger.info({}, 'the store answers again')
  return new RedisStore({ ...options, onDamage, onFault, onAway, onBack })
}
