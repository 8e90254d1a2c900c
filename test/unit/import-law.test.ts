import { expect, test } from 'vitest'

import { breaches, importsOf } from '../support/import-law.ts'
import { readFiles } from '../support/source-files.ts'

test('every import of src/ and machines/ keeps the import law', () => {
  const files = readFiles('src/**/*.{ts,tsx}', 'machines/**/*.ts')
  expect(files.length).toBeGreaterThan(10)
  expect(breaches(files)).toEqual([])
})

test('imports of every form are seen, and comments are not', () => {
  const text = [
    "import { a } from './a.ts'",
    "import type { B } from './b.ts'",
    "import './c.ts'",
    "export { d } from './d.ts'",
    "export type { E } from './e.ts'",
    "import {\n  f,\n  type G,\n} from './f.ts'",
    "const h = await import('./h.ts')",
    "// import { i } from './i.ts'",
    "/* import { j } from './j.ts' */",
  ].join('\n')
  expect(importsOf(text)).toEqual([
    { specifier: './a.ts', typeOnly: false },
    { specifier: './b.ts', typeOnly: true },
    { specifier: './d.ts', typeOnly: false },
    { specifier: './e.ts', typeOnly: true },
    { specifier: './f.ts', typeOnly: false },
    { specifier: './c.ts', typeOnly: false },
    { specifier: './h.ts', typeOnly: false },
  ])
})

test.each([
  ['src/net/tcp.ts', '../codec/framing.ts', true],
  ['src/net/tcp.ts', '../session/host.ts', false],
  ['src/codec/decoder.ts', '../net/tcp.ts', false],
  ['src/codec/connection.ts', '../session/host.ts', true],
  ['src/codec/decoder.ts', '../messages.ts', true],
  ['src/codec/decoder.ts', '../broker.ts', false],
  ['src/codec/decoder.ts', '../../machines/session.machine.ts', false],
  ['src/codec/decoder.ts', 'rxjs', false],
  ['src/codec/connection.ts', 'rxjs', true],
  ['src/session/host.ts', '../auth/chain.ts', true],
  ['src/session/host.ts', '../../machines/session.machine.ts', true],
  ['src/session/host.ts', '../codec/writer.ts', false],
  ['src/router/router.ts', '../auth/chain.ts', true],
  ['src/router/router.ts', '../session/host.ts', false],
  ['src/router/fanout.ts', 'rxjs', true],
  ['src/auth/chain.ts', '../session/host.ts', false],
  ['src/broker.ts', './net/tcp.ts', true],
  ['src/cli/main.ts', '../broker.ts', true],
  ['src/cli/main.ts', '../net/tcp.ts', false],
  ['src/inspect/page/main.tsx', 'preact', true],
  ['src/inspect/page/shell/api.ts', '../../../reason-codes.ts', true],
  ['src/inspect/page/shell/api.ts', '../../../errors.ts', false],
  ['src/inspect/page/main.tsx', 'fastify', false],
  ['src/inspect/page/main.tsx', '../chart.ts', false],
  ['src/inspect/server.ts', './page/main.tsx', false],
  ['src/attic/old.ts', '../messages.ts', true],
  ['src/attic/old.ts', '../net/tcp.ts', false],
  ['machines/session.machine.ts', 'xstate', true],
  ['machines/session.machine.ts', 'ws', false],
  ['machines/session.machine.ts', '../src/reason-codes.ts', false],
])('%s importing %s is lawful: %s', (path, specifier, lawful) => {
  expect(breaches([{ path, text: `import { x } from '${specifier}'` }])).toHaveLength(lawful ? 0 : 1)
})

test('a machine may name types of the vocabulary', () => {
  const text = "import type { Grant } from '../src/hooks.ts'"
  expect(breaches([{ path: 'machines/session.machine.ts', text }])).toEqual([])
})
