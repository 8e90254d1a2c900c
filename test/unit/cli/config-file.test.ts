import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

import { loadConfig } from '../../../src/cli/config-file.ts'
import { ConfigurationError, problemLine } from '../../../src/cli/config-problems.ts'
import { StatemqError } from '../../../src/errors.ts'
import { tempFolder } from '../../support/temp-files.ts'

/** The configuration in this text, or the lines that are printed about it, with the folder's name left out. */
function load(text: string, settings: string[] = []): unknown {
  const folder = tempFolder({ 'broker.yaml': text })
  try {
    return loadConfig(join(folder, 'broker.yaml'), settings).config
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    return error.problems.map((problem) => problemLine(problem).replace(`${folder}/`, ''))
  }
}

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof StatemqError) return error.code
    throw error
  }
  return 'none'
}

describe('a valid file', () => {
  test('gives its options as they are', () => {
    const text = [
      'listeners:',
      '  - transport: tcp',
      '    port: 0',
      '    limits: { maxConnections: 10 }',
      '  - { transport: unix, path: run/mqtt.sock, mode: 0o660 }',
      'limits:',
      '  maxQueuedMessages: 5_000',
      'allowAnonymous: true',
      'maximumQoS: 1',
      'logLevel: warn',
    ].join('\n')
    expect(load(text.replace('5_000', '5000'))).toEqual({
      listeners: [
        { transport: 'tcp', port: 0, limits: { maxConnections: 10 } },
        { transport: 'unix', path: 'run/mqtt.sock', mode: 0o660 },
      ],
      limits: { maxQueuedMessages: 5000 },
      allowAnonymous: true,
      maximumQoS: 1,
      logLevel: 'warn',
    })
  })

  test('may be empty', () => {
    expect(load('')).toEqual({})
    expect(load('# nothing yet\n')).toEqual({})
  })

  test.each(['.inf', 'Infinity', '"Infinity"'])('switches a limit off with %s', (text) => {
    expect(load(`limits: { maxConnections: ${text} }`)).toEqual({ limits: { maxConnections: Infinity } })
  })
})

describe('mistakes', () => {
  test('are all named at once, each with its place', () => {
    const text = [
      'listeners:',
      '  - transport: tcp',
      '    port: 70000',
      '    prot: 1883',
      '  - transport: carrier-pigeon',
      '  - port: 1',
      '  - transport: tls',
      '    keyFile: key.pem',
      'limits:',
      '  maxQueuedMessages: many',
      '  maxQueuedBytes: -1',
      '  maxTopicLevels: 1.5',
      '  maxQueuedMesages: 5',
      'allowAnonymous: "yes"',
      'overflowPolicy: drop-all',
      'maximumQoS: 3',
      'xyzzy: 1',
    ].join('\n')
    expect(load(text)).toEqual([
      'broker.yaml:3:11: listeners.0.port: must be at most 65535',
      'broker.yaml:4:5: listeners.0.prot: unknown key; did you mean port?',
      'broker.yaml:5:16: listeners.1.transport: expected "tcp", "tls", "ws", "wss" or "unix"',
      'broker.yaml:6:5: listeners.2.transport: expected "tcp", "tls", "ws", "wss" or "unix"',
      'broker.yaml:7:5: listeners.3.certFile: expected a string, found nothing',
      'broker.yaml:10:22: limits.maxQueuedMessages: expected a whole number of 0 or more, or infinity',
      'broker.yaml:11:19: limits.maxQueuedBytes: expected a whole number of 0 or more, or infinity',
      'broker.yaml:12:19: limits.maxTopicLevels: expected a whole number of 1 or more, or infinity',
      'broker.yaml:13:3: limits.maxQueuedMesages: unknown key; did you mean maxQueuedMessages?',
      'broker.yaml:14:17: allowAnonymous: expected a boolean, found a string',
      'broker.yaml:15:17: overflowPolicy: expected one of "drop-oldest", "drop-newest", "disconnect"',
      'broker.yaml:16:13: maximumQoS: expected one of 0, 1, 2',
      'broker.yaml:17:1: xyzzy: unknown key',
    ])
  })

  test('of YAML itself have a place too', () => {
    expect(load('limits:\n  maxQueuedMessages: 1\n  maxQueuedMessages: 2\n')).toEqual([
      'broker.yaml:3:3: Map keys must be unique',
    ])
    expect(load('limits: { a: 1')).toEqual([expect.stringMatching(/^broker\.yaml:1:\d+: Flow map/)])
    expect(load('limits: *nowhere')).toEqual([expect.stringMatching(/^broker\.yaml:1:\d+: .*nowhere/)])
    expect(load('limits: !secret 1')).toEqual([expect.stringMatching(/^broker\.yaml:1:\d+: Unresolved tag/)])
    expect(load('a: 1\n---\nb: 2\n')).toEqual([expect.stringMatching(/^broker\.yaml:2:1: .*multiple documents/)])
  })

  test('a file that is no map is refused', () => {
    expect(load('- tcp\n')).toEqual(['broker.yaml:1:1: the file: expected a map, found a list'])
    expect(load('tcp')).toEqual(['broker.yaml:1:1: the file: expected a map, found a string'])
  })

  test('never show the value that was found', () => {
    expect(load('allowAnonymous: hunter2\nstore: hunter2\nlogLevel: hunter2\n')).toEqual([
      'broker.yaml:1:17: allowAnonymous: expected a boolean, found a string',
      'broker.yaml:2:8: store.type: expected one of "lmdb", "memory", "redis"',
      'broker.yaml:3:11: logLevel: expected one of "trace", "debug", "info", "warn", "error", "fatal", "silent"',
    ])
  })

  test('threat 89: names of the prototype are unknown keys and change nothing', () => {
    expect(load('__proto__: { polluted: 1 }\nlimits: { constructor: 1, __proto__: { maxConnections: 1 } }')).toEqual([
      'broker.yaml:2:11: limits.constructor: unknown key',
      'broker.yaml:2:27: limits.__proto__: unknown key',
      'broker.yaml:1:1: __proto__: unknown key',
    ])
    expect(load('{}', ['__proto__.polluted=1'])).toEqual(['--set __proto__.polluted=1: __proto__: unknown key'])
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('polluted')
  })

  test('aliases that multiply are refused before they have', () => {
    const rows = Array.from(
      { length: 9 },
      (_, row) => `a${row + 1}: &a${row + 1} [${Array(10).fill(`*a${row}`).join(', ')}]`,
    )
    expect(load(['a0: &a0 [x]', ...rows].join('\n'))).toEqual([
      expect.stringMatching(/^broker\.yaml:1:1: Excessive alias count/),
    ])
  })

  test('a file that cannot be read has a code of its own', () => {
    const folder = tempFolder()
    expect(codeOf(() => loadConfig(join(folder, 'none.yaml'), []))).toBe('SMQ_CONFIG_UNREADABLE')
    expect(codeOf(() => loadConfig(folder, []))).toBe('SMQ_CONFIG_UNREADABLE')
  })

  test('the error carries the place of the first', () => {
    const folder = tempFolder({ 'broker.yaml': '\n  x: 1\n' })
    const file = join(folder, 'broker.yaml')
    expect(() => loadConfig(file, [])).toThrow(
      expect.objectContaining({ code: 'SMQ_CONFIG_INVALID', position: { file, line: 2, column: 3 } }),
    )
  })
})

describe('--set', () => {
  test('adds to the file, replaces what it says, and the last one counts', () => {
    const text = 'limits: { maxConnections: 1, maxQueuedBytes: 2 }\nlisteners: [{ transport: tcp, port: 1 }]'
    const settings = [
      'limits.maxConnections=.inf',
      'listeners.0.port=2',
      'listeners.0.port=3',
      'listeners.1={ transport: ws, port: 4 }',
      'retainAvailable=false',
    ]
    expect(load(text, settings)).toEqual({
      limits: { maxConnections: Infinity, maxQueuedBytes: 2 },
      listeners: [
        { transport: 'tcp', port: 3 },
        { transport: 'ws', port: 4 },
      ],
      retainAvailable: false,
    })
  })

  test('works without a file, value types being those of YAML', () => {
    expect(
      loadConfig(undefined, ['responseInformation="5"', 'maximumQoS=0', 'listeners.0.transport=tcp']).config,
    ).toEqual({
      responseInformation: '5',
      maximumQoS: 0,
      listeners: [{ transport: 'tcp' }],
    })
  })

  test('is what a mistake in it names, and not the file', () => {
    const settings = ['limits.maxConnections=lots', 'limits.maxConections=1', 'store.kind=lmdb', 'listeners.0.port=1']
    expect(load('limits: { maxQueuedBytes: x }\nstore: memory', settings)).toEqual([
      '--set store.kind=lmdb: store.kind: goes through a value that holds no others',
    ])
    expect(load('limits: { maxQueuedBytes: x }', settings.with(2, 'store=disk'))).toEqual([
      '--set listeners.0.port=1: listeners.0.transport: expected "tcp", "tls", "ws", "wss" or "unix"',
      'broker.yaml:1:27: limits.maxQueuedBytes: expected a whole number of 0 or more, or infinity',
      '--set limits.maxConnections=lots: limits.maxConnections: expected a whole number of 0 or more, or infinity',
      '--set limits.maxConections=1: limits.maxConections: unknown key; did you mean maxConnections?',
      '--set store=disk: store.type: expected one of "lmdb", "memory", "redis"',
    ])
  })

  test.each(['limits', '=5', 'limits.=5', '.limits=5', 'limits={ a', 'a..b=1'])('%s is no setting', (text) => {
    expect(codeOf(() => loadConfig(undefined, [text]))).toBe('SMQ_USAGE')
  })
})
