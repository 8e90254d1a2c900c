#!/usr/bin/env node
import { tuneHeap } from './heap.ts'
import { runCommandLine } from './program.ts'
import { rest } from './rest.ts'

tuneHeap()

// Whoever reads may have enough (`statemq check | head`): nothing is left to do then, and nobody to tell. The log of a
// broker goes another way: it runs on without a reader.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.stderr.write(`statemq: standard output: ${error.message}\n`)
  process.exit(1)
})
process.stderr.on('error', () => {})

const status = await runCommandLine(
  process.argv.slice(2),
  (text) => process.stdout.write(text),
  (text) => process.stderr.write(text),
)
// Not process.exit(): what was written to a pipe must arrive first.
if (status !== undefined) {
  process.exitCode = status
  await rest()
}
