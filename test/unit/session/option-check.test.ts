import { describe, expect, onTestFinished, test } from 'vitest'

import { createBroker, type BrokerOptions, type ListenerOptions, type ReloadOptions } from '../../../src/index.ts'

const invalid = (detail: string): unknown =>
  expect.objectContaining({ code: 'SMQ_OPTION_INVALID', message: expect.stringContaining(detail) })

const wrong: readonly (readonly [string, object])[] = [
  ['there is no option "authenticaters"', { authenticaters: [] }],
  ['there is no option "__proto__"', JSON.parse('{ "__proto__": {} }') as object],
  ['authenticators: expected a list', { authenticators: 'password-file' }],
  ['authenticators.0: expected a function "authenticate"', { authenticators: [{ type: 'password-file' }] }],
  ['authenticators.1: expected a function', { authenticators: [{ name: 'a', authenticate: () => {} }, null] }],
  ['allowAnonymous: expected true, false', { allowAnonymous: 'false' }],
  ['takeover: expected "same-principal", "same-principal-when-offline", "anyone"', { takeover: 'nobody' }],
  ['overflowPolicy: expected "drop-oldest"', { overflowPolicy: 'drop' }],
  ['maximumQoS: expected 0, 1, 2', { maximumQoS: 3 }],
  ['store.type: expected "memory", "lmdb", "redis"', { store: { type: 'sqlite' } }],
  ['store.type: expected "memory"', { store: 'lmdb' }],
  ['store.type: expected "memory"', { store: null }],
]

describe('what a compiler would have told', () => {
  test.each(wrong)('createBroker: %s', (detail, options) => {
    expect(() => createBroker(options as BrokerOptions)).toThrow(invalid(detail) as Error)
  })

  test('undefined is as good as nothing', async () => {
    const broker = createBroker({ takeover: undefined, authenticators: undefined } as unknown as BrokerOptions)
    await broker.close()
  })

  test('listen and reload judge the same', async () => {
    const broker = createBroker()
    onTestFinished(() => broker.close())
    const [authenticators, allowAnonymous] = [wrong[3]!, wrong[5]!]
    for (const [detail, options] of [authenticators, allowAnonymous]) {
      const listener = { transport: 'tcp', port: 0, ...options } as unknown as ListenerOptions
      await expect(broker.listen(listener)).rejects.toEqual(invalid(detail))
      await expect(broker.reload(options as ReloadOptions)).rejects.toEqual(invalid(detail))
    }
    const listener = await broker.listen({ transport: 'tcp', port: 0 })
    await expect(listener.reload(allowAnonymous[1])).rejects.toEqual(invalid(allowAnonymous[0]))
    await expect(broker.reload(wrong[0]![1])).rejects.toEqual(invalid(wrong[0]![0]))
  })
})
