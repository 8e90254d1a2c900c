import { expect, test, vi } from 'vitest'

import { makeStore } from '../../../src/store/make-store.ts'

vi.mock('bullmq', () => {
  throw new Error("Cannot find package 'bullmq'")
})

test('a store in Redis without its packages says which to install', async () => {
  const silent = (): void => {}
  const logger = { debug: silent, info: silent, warn: silent, error: silent }
  const store = makeStore({ type: 'redis', url: 'redis://127.0.0.1:1' }, logger)!
  await expect(store.open()).rejects.toMatchObject({
    code: 'SMQ_STORE_MODULE',
    message: expect.stringMatching(/npm install ioredis bullmq/),
  })
})
