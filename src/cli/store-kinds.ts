export const storeTypes = ['lmdb', 'memory'] as const

export const durabilities = ['disk', 'os'] as const
