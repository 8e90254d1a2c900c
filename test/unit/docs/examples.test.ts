import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'

import { readFiles, repository } from '../../support/source-files.ts'

// Examples import the package by its name, as users do. Here that name means the sources, so that
// nothing needs to be built and nothing old is tested.
const hooks = `
import { registerHooks } from 'node:module'
const sources = new Map([
  ['statemq', '${pathToFileURL(`${repository}/src/index.ts`).href}'],
  ['statemq/aedes', '${pathToFileURL(`${repository}/src/aedes/index.ts`).href}'],
  ['statemq/machines', '${pathToFileURL(`${repository}/machines/index.ts`).href}'],
  ['statemq/opentelemetry', '${pathToFileURL(`${repository}/src/observe/opentelemetry.ts`).href}'],
  ['statemq/testing', '${pathToFileURL(`${repository}/src/testing/index.ts`).href}'],
])
registerHooks({ resolve: (name, context, next) => next(sources.get(name) ?? name, context) })
`
const fromSources = [
  // Older versions of Node say so of node:sqlite.
  '--disable-warning=ExperimentalWarning',
  '--import',
  `data:text/javascript,${encodeURIComponent(hooks)}`,
]

/** What a process of its own prints and ends with; one that does not end by itself has no status. */
function run(args: readonly string[], input = ''): { status: number | null; output: string } {
  const options = { cwd: repository, input, encoding: 'utf8', timeout: 12_000 } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, [...fromSources, ...args], options)
  return { status, output: stdout + stderr }
}

const examples = readFiles('docs/examples/*.ts').map(({ path }) => path)

test.each(examples)('%s shows what it says, silently, and ends by itself', (path) => {
  expect(run([path])).toEqual({ status: 0, output: '' })
})

test('docs/examples/README.md names every example', () => {
  const [page] = readFiles('docs/examples/README.md')
  expect([...page!.text.matchAll(/^\| \[`([\w-]+\.ts)`\]/gm)].map((match) => `docs/examples/${match[1]}`)).toEqual(
    examples,
  )
})

test('the ten lines of the README run', () => {
  const [page] = readFiles('README.md')
  const [, text = ''] = /^## Embed it\n[\s\S]*?^```ts\n([\s\S]*?)^```$/m.exec(page!.text) ?? []
  expect(text.trim().split('\n').length).toBeLessThanOrEqual(10)
  // Any free ports, and the signal that it waits for.
  const program = `${text.replace(/port: \d+/g, 'port: 0')}\nprocess.kill(process.pid, 'SIGTERM')\n`
  expect(run(['--input-type=module-typescript', '-'], program)).toEqual({ status: 0, output: 'sensors/hall 21.5\n' })
})
