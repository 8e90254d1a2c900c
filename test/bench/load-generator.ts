import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { findProgram, type Pinning } from './machine.ts'
import type { LoadResult, Scenario } from './scenarios.ts'

/** A million subscriptions take Aedes about a minute. */
const runTimeoutMs = 400_000

/** Compiles the generator unless the same source has been compiled before; gives the program's path. */
export function buildLoadGenerator(folder: string): string {
  if (process.platform !== 'linux') throw new Error('the load generator uses epoll and /proc: it runs on Linux only')
  const source = join(import.meta.dirname, 'loadgen.c')
  const hash = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 12)
  const program = join(folder, `loadgen-${hash}`)
  if (existsSync(program)) return program
  const compiler = findProgram('cc')
  if (compiler === undefined) {
    throw new Error('the load generator is written in C and there is no cc: apt-get install gcc libc6-dev')
  }
  mkdirSync(folder, { recursive: true })
  const flags = ['-O2', '-Wall', '-Wno-misleading-indentation', '-o', program, source]
  const { status, stderr } = spawnSync(compiler, flags, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`cc could not compile ${source}:\n${stderr}`)
  return program
}

/** The result of a run; where the generator had to give up, only `error` with its last words. */
export function runLoad(
  program: string,
  pinning: Pinning,
  scenario: Scenario,
  target: { readonly port: number; readonly pid: number; readonly label: string },
): LoadResult {
  const { port, pid, label } = target
  const args = [...scenario.args, '-p', `${port}`, '-b', `${pid}`, '-l', `${scenario.name}/${label}`]
  const [command = program, ...rest] = pinning.generator([program, ...args])
  // Synchronous on purpose: this process stays off the processors while it measures.
  const { stdout, stderr, error } = spawnSync(command, rest, { encoding: 'utf8', timeout: runTimeoutMs })
  try {
    return JSON.parse(stdout) as LoadResult
  } catch {
    const lastWords = stderr.trim().split('\n').at(-1)
    return { error: error?.message ?? (lastWords || 'the load generator printed no result') }
  }
}
