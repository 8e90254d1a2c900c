export const storeTypes = ['lmdb', 'memory', 'redis'] as const

/** Those of lmdb, and of redis. */
export const lmdbDurabilities = ['disk', 'os'] as const
export const redisDurabilities = ['everysec', 'fsync'] as const
export const durabilities = [...lmdbDurabilities, ...redisDurabilities] as const

/** Where the URL of a Redis is found that nobody wrote down. */
export const redisUrlVariable = 'STATEMQ_REDIS_URL'
