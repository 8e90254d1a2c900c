#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8'

import { runCommandLine } from './program.ts'

// V8 lets its young generation grow to well over 100 MB as connections come in, which is more than
// the connections themselves need, and gains nothing: what a broker allocates dies at once or stays.
setFlagsFromString('--semi-space-growth-factor=1')

const status = await runCommandLine(
  process.argv.slice(2),
  (text) => process.stdout.write(text),
  (text) => process.stderr.write(text),
)
// Not process.exit(): what was written to a pipe must arrive first.
if (status !== undefined) process.exitCode = status
