#!/usr/bin/env node
import { tuneHeap } from './heap.ts'
import { runCommandLine } from './program.ts'

tuneHeap()

const status = await runCommandLine(
  process.argv.slice(2),
  (text) => process.stdout.write(text),
  (text) => process.stderr.write(text),
)
// Not process.exit(): what was written to a pipe must arrive first.
if (status !== undefined) process.exitCode = status
