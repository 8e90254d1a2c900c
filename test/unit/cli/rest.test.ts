import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { repository } from '../../support/source-files.ts'

test('a process that is about to end has no function compiled any more', () => {
  const script = `
    const { rest } = await import(process.argv[1])
    const numbers = Array.from({ length: 1_000 }, (_, at) => at)
    // Each its own function, or they would share what V8 knows of them.
    const [before, after] = ['hotBefore', 'hotAfter'].map((name) =>
      new Function('numbers', 'return (function ' + name + '() { let sum = 0; for (const one of numbers) sum += one; return sum })()'))
    for (let round = 0; round < 20_000; round++) before(numbers)
    await rest()
    for (let round = 0; round < 20_000; round++) after(numbers)
  `
  const rest = join(repository, 'src', 'cli', 'rest.ts')
  const words = ['--trace-opt', '--input-type=module', '-e', script, rest]
  const { status, stdout } = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 60_000 })
  expect(status).toBe(0)
  expect(stdout).toMatch(/compiling method .*hotBefore/)
  expect(stdout).not.toMatch(/compiling method .*hotAfter/)
})
