import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

import { resolveSettings, type Flags } from '../../../src/cli/settings.ts'
import { StatemqError } from '../../../src/errors.ts'
import { tempFolder } from '../../support/temp-files.ts'

function listenersOf(flags: Flags): unknown {
  return resolveSettings(flags).config.listeners
}

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
      config: { listeners: [{ transport: 'tcp' }], store: 'memory', logLevel: 'info', drainTimeoutMs: 5_000 },
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
    store: 'memory',
    drainTimeoutMs: 5,
    allowAnonymous: true,
    maximumQoS: 1,
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
