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
  ['expected an object of options', null as unknown as object],
]

describe('what a compiler would have told', () => {
  test.each(wrong)('createBroker: %s', (detail, options) => {
    expect(() => createBroker(options as BrokerOptions)).toThrow(invalid(detail) as Error)
  })

  test('undefined is as good as nothing', async () => {
    const broker = createBroker({ takeover: undefined, authenticators: undefined } as unknown as BrokerOptions)
    await broker.close()
  })

  test.each<readonly [string, unknown]>([
    ['expected an object of options', null],
    ['expected an object of options', undefined],
    ['transport: expected "tcp", "tls", "ws", "wss", "unix", not undefined', {}],
    ['transport: expected "tcp", "tls", "ws", "wss", "unix", not "quic"', { transport: 'quic' }],
    ['there is no option "prot" of a listener of transport tcp', { transport: 'tcp', prot: 1884 }],
    ['there is no option "origins" of a listener of transport tls', { transport: 'tls', origins: [] }],
    ['there is no option "port" of a listener of transport unix', { transport: 'unix', path: '/x', port: 1 }],
  ])('listen: %s', async (detail, options) => {
    const broker = createBroker()
    onTestFinished(() => broker.close())
    await expect(broker.listen(options as ListenerOptions)).rejects.toEqual(invalid(detail))
    expect(broker.state).toBe('starting')
  })

  test('a listener takes its own options anew, wherever it listens', async () => {
    const broker = createBroker()
    onTestFinished(() => broker.close())
    const options = { transport: 'tcp', port: 0 } as const
    const listener = await broker.listen(options)
    await listener.reload({ ...options, takeover: 'anyone' } as object)
    await expect(listener.reload({ takover: 'anyone' } as object)).rejects.toEqual(
      invalid('there is no option "takover" of a listener'),
    )
  })

  test('what a running broker cannot take anew is said', async () => {
    const broker = createBroker()
    onTestFinished(() => broker.close())
    const changes = { store: { type: 'memory' } } as unknown as ReloadOptions
    await expect(broker.reload(changes)).rejects.toEqual(invalid("store: a running broker can't take another one"))
  })

  test('an in-process client, its filters and its messages', async () => {
    const broker = createBroker()
    onTestFinished(() => broker.close())
    await expect(broker.client({ cleanSession: true } as object)).rejects.toEqual(
      invalid('there is no option "cleanSession" of a client'),
    )
    await expect(broker.client(null as never)).rejects.toEqual(invalid('expected an object of options'))
    expect(broker.sessions.size).toBe(0)
    const client = await broker.client()
    const code = (name: string): unknown => expect.objectContaining({ code: name })
    await expect(broker.publish(null as never)).rejects.toEqual(code('SMQ_MESSAGE_INVALID'))
    await expect(client.publish(null as never)).rejects.toEqual(code('SMQ_MESSAGE_INVALID'))
    for (const filter of [5, null, undefined]) {
      expect(() => broker.messages(filter as never)).toThrow(code('SMQ_FILTER_INVALID') as Error)
      expect(() => client.messages(filter as never)).toThrow(code('SMQ_FILTER_INVALID') as Error)
    }
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
