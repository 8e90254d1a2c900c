import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

import { resolveSettings, type Flags } from '../../../src/cli/settings.ts'
import { StatemqError } from '../../../src/errors.ts'
import { tempFolder } from '../../support/temp-files.ts'

function listenersOf(flags: Flags): unknown {
  return resolveSettings(flags).config.listeners
}

/** Where the command keeps things unless it is told. */
const kept = { type: 'lmdb', directory: resolve('statemq-data'), durability: 'disk' }

/** Flags with a file of this text. */
function withFile(text: string, flags: Flags = {}, files: Record<string, string> = {}): Flags {
  return { ...flags, config: join(tempFolder({ ...files, 'broker.yaml': text }), 'broker.yaml') }
}

function refusal(flags: Flags): string {
  try {
    resolveSettings(flags)
  } catch (error) {
    if (error instanceof StatemqError) return error.code
    throw error
  }
  return 'none'
}

describe('listeners', () => {
  test('without any, there is TCP on the loopback address', () => {
    const { file, config } = resolveSettings({})
    expect({ file, config }).toEqual({
      file: undefined,
      config: { listeners: [{ transport: 'tcp' }], store: kept, logLevel: 'info', drainTimeoutMs: 5_000 },
    })
  })

  test('flags change the first of their transport, or add one', () => {
    const file =
      'listeners:\n  - { transport: ws, port: 1, path: /a }\n  - { transport: tcp, port: 2, name: inner }\n  - { transport: tcp, port: 3 }'
    expect(listenersOf(withFile(file, { port: 10, wsPort: 11, unix: '/run/a' }))).toEqual([
      { transport: 'ws', port: 11, path: '/a' },
      { transport: 'tcp', port: 10, name: 'inner' },
      { transport: 'tcp', port: 3 },
      { transport: 'unix', path: '/run/a' },
    ])
    expect(listenersOf({ wsPort: 11 })).toEqual([{ transport: 'tcp' }, { transport: 'ws', port: 11 }])
  })

  test('--ws-host is that of --host unless it is given', () => {
    const flags: Flags = { host: '::1', wsPort: 1 }
    expect(listenersOf(flags)).toEqual([
      { transport: 'tcp', host: '::1' },
      { transport: 'ws', port: 1, host: '::1' },
    ])
    expect(listenersOf({ ...flags, wsHost: '127.0.0.2' })).toEqual([
      { transport: 'tcp', host: '::1' },
      { transport: 'ws', port: 1, host: '127.0.0.2' },
    ])
  })
})

test('defaults give way to the file, the file to --set, and that to named flags', () => {
  const set = ['logLevel=warn', 'listeners.0.port=2', 'drainTimeoutMs=5']
  const file =
    'logLevel: error\nlisteners: [{ transport: tcp, port: 1 }]\nallowAnonymous: false\ndrainTimeoutMs: 4\nmaximumQoS: 1'
  const { config } = resolveSettings(withFile(file, { set, port: 3, allowAnonymous: true }))
  expect(config).toEqual({
    listeners: [{ transport: 'tcp', port: 3 }],
    logLevel: 'warn',
    store: kept,
    drainTimeoutMs: 5,
    allowAnonymous: true,
    maximumQoS: 1,
  })
})

describe('the store', () => {
  function storeOf(flags: Flags): unknown {
    return resolveSettings(flags).config.store
  }

  test.each<[string, Flags, unknown]>([
    ['', { store: 'memory' }, { type: 'memory' }],
    ['', { data: 'x' }, { ...kept, directory: resolve('x') }],
    ['', { data: '/var/lib/x', durability: 'os' }, { ...kept, directory: '/var/lib/x', durability: 'os' }],
    ['', { set: ['store.durability=os'] }, { ...kept, durability: 'os' }],
    ['', { set: ['store.directory=x'] }, { ...kept, directory: resolve('x') }],
    ['store: memory', {}, { type: 'memory' }],
    ['store: { type: memory }', {}, { type: 'memory' }],
    ['store: lmdb', {}, kept],
    ['store: {}', {}, kept],
    ['store: { durability: os }', { data: 'x' }, { ...kept, directory: resolve('x'), durability: 'os' }],
    ['store: { directory: /a, durability: os }', { durability: 'disk' }, { ...kept, directory: '/a' }],
    ['store: { directory: /a }', { store: 'memory' }, { type: 'memory' }],
    ['store: memory', { store: 'lmdb', data: '/a' }, { ...kept, directory: '/a' }],
  ])('%j with %j: %j', (file, flags, store) => {
    expect(storeOf(file === '' ? flags : withFile(file, flags))).toEqual(store)
  })

  test('a directory in a file is relative to the file, one on the command line to the working directory', () => {
    const flags = withFile('store: { directory: kept }')
    expect(storeOf(flags)).toEqual({ ...kept, directory: join(flags.config!, '..', 'kept') })
    expect(storeOf({ ...flags, data: 'x' })).toEqual({ ...kept, directory: resolve('x') })
  })

  test.each<[string, Flags, string]>([
    ['store: { type: memory, directory: /a }', {}, 'SMQ_CONFIG_INVALID'],
    ['store: { directory: "" }', {}, 'SMQ_CONFIG_INVALID'],
    ['store: { durability: fsync }', {}, 'SMQ_CONFIG_INVALID'],
    ['store: disk', {}, 'SMQ_CONFIG_INVALID'],
    ['store: memory', { data: '/a' }, 'SMQ_USAGE'],
    ['store: lmdb', { store: 'memory', durability: 'os' }, 'SMQ_USAGE'],
  ])('%j with %j: %s', (file, flags, code) => {
    expect(refusal(withFile(file, flags))).toBe(code)
  })
})

describe('a listener that other machines reach', () => {
  test.each<[Flags, string]>([
    [{ host: '0.0.0.0' }, 'SMQ_LISTEN_UNPROTECTED'],
    [{ host: '::' }, 'SMQ_LISTEN_UNPROTECTED'],
    [{ host: 'broker.example' }, 'SMQ_LISTEN_UNPROTECTED'],
    [{ host: '192.168.1.1' }, 'SMQ_LISTEN_UNPROTECTED'],
    [{ host: '127.0.0.1.example' }, 'SMQ_LISTEN_UNPROTECTED'],
    [{ wsPort: 1, wsHost: '0.0.0.0' }, 'SMQ_LISTEN_UNPROTECTED'],
    [{ set: ['listeners.0={ transport: tcp, host: 0.0.0.0 }'] }, 'SMQ_LISTEN_UNPROTECTED'],
    [{ host: '0.0.0.0', set: ['allowAnonymous=false'] }, 'SMQ_LISTEN_UNPROTECTED'],
    [{ host: '0.0.0.0', allowAnonymous: true }, 'none'],
    [{ host: '0.0.0.0', set: ['allowAnonymous=true'] }, 'none'],
    [{ set: ['listeners.0={ transport: tcp, host: 0.0.0.0, allowAnonymous: true }'] }, 'none'],
    [{ host: '0.0.0.0', set: ['authenticators=[]'] }, 'SMQ_LISTEN_UNPROTECTED'],
    [{ host: '0.0.0.0', set: ['authenticators=[{ type: mutual-tls }]'] }, 'none'],
    [{ set: ['listeners.0={ transport: tcp, host: 0.0.0.0, authenticators: [{ type: mutual-tls }] }'] }, 'none'],
    [
      {
        set: [
          'authenticators=[{ type: mutual-tls }]',
          'listeners.0={ transport: tcp, host: 0.0.0.0, authenticators: [] }',
        ],
      },
      'SMQ_LISTEN_UNPROTECTED',
    ],
    [{ host: '127.0.0.1' }, 'none'],
    [{ host: '127.9.9.9' }, 'none'],
    [{ host: 'LocalHost' }, 'none'],
    [{ host: '::1' }, 'none'],
    [{ host: '::ffff:127.0.0.1' }, 'none'],
    [{ unix: '/run/mqtt' }, 'none'],
  ])('%j: %s', (flags, code) => {
    expect(refusal(flags)).toBe(code)
  })
})
