import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Runs every check, whichever of them fail, and ends with the line "N passed, N failed": each test
 * counts, and so does each other step. A step that hangs is ended and has failed. `npm run ci -- lint types` runs only
 * the steps named.
 */
interface Step {
  readonly name: string
  readonly script: readonly string[]
  /** Default 5. */
  readonly timeoutMinutes?: number
}

const steps: readonly Step[] = [
  { name: 'lint', script: ['lint'] },
  { name: 'format', script: ['format:check'] },
  { name: 'types', script: ['types'] },
  { name: 'unused', script: ['knip'] },
  { name: 'build', script: ['build'] },
  { name: 'package', script: ['pack:check'] },
  { name: 'docs', script: ['docs:check'] },
  { name: 'first steps', script: ['first-steps'] },
  { name: 'docs site', script: ['docs:site'] },
  { name: 'conformance', script: ['conformance', '--', '--check'] },
  { name: 'tests', script: ['test'], timeoutMinutes: 35 },
]

interface Outcome {
  readonly name: string
  readonly passed: number
  readonly failed: number
  readonly seconds: number
}

async function runNpm(args: readonly string[], timeoutMinutes: number): Promise<boolean> {
  const child = spawn('npm', ['run', '--silent', ...args], { stdio: ['ignore', 'inherit', 'inherit'], detached: true })
  // It and all that it started: they are a process group of their own.
  const end = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }
  const interrupted = (): void => {
    end()
    process.exit(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted)
  const timer = setTimeout(() => {
    console.log(`\nnpm run ${args[0]} has not ended in ${timeoutMinutes} minutes. Running are:`)
    spawnSync('ps', ['-eo', 'pid,ppid,stat,etime,args', '--forest'], { stdio: ['ignore', 'inherit', 'inherit'] })
    end()
  }, timeoutMinutes * 60_000)
  try {
    const [status] = (await once(child, 'exit')) as [number | null]
    return status === 0
  } finally {
    clearTimeout(timer)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted)
  }
}

/** The part of vitest's JSON report that is read here. */
interface VitestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
}

/** A run that fails without a failed test (a file that does not load, an error outside any test) fails once. */
async function runTests(
  script: readonly string[],
  timeoutMinutes: number,
): Promise<{ passed: number; failed: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'statemq-ci-'))
  const file = join(folder, 'report.json')
  const reporters = ['default', 'json', './test/support/standstill-reporter.ts'].map((name) => `--reporter=${name}`)
  const succeeded = await runNpm([...script, '--', ...reporters, `--outputFile.json=${file}`], timeoutMinutes)
  const report = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as VitestReport) : undefined
  rmSync(folder, { recursive: true, force: true })
  const passed = report?.numPassedTests ?? 0
  const failed = report?.numFailedTests ?? 0
  return { passed, failed: succeeded && passed > 0 ? failed : Math.max(failed, 1) }
}

async function run({ name, script, timeoutMinutes = 5 }: Step): Promise<Outcome> {
  console.log(`\n== ${name}: npm run ${script.join(' ')}`)
  const startedAt = performance.now()
  const count = async (): Promise<{ passed: number; failed: number }> => {
    if (name === 'tests') return runTests(script, timeoutMinutes)
    return (await runNpm(script, timeoutMinutes)) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
  }
  return { name, ...(await count()), seconds: (performance.now() - startedAt) / 1000 }
}

const wanted = process.argv.slice(2)
const outcomes: Outcome[] = []
for (const step of steps) if (wanted.length === 0 || wanted.includes(step.name)) outcomes.push(await run(step))

console.log('\n== summary')
for (const { name, passed, failed, seconds } of outcomes) {
  const counts = name === 'tests' ? ` (${passed} passed, ${failed} failed)` : ''
  console.log(`${failed > 0 ? 'FAILED' : 'ok    '} ${name.padEnd(12)} ${seconds.toFixed(1).padStart(6)} s${counts}`)
}
const sum = (pick: (outcome: Outcome) => number): number => outcomes.reduce((total, one) => total + pick(one), 0)
const failed = sum((outcome) => outcome.failed)
console.log(`${sum((outcome) => outcome.passed)} passed, ${failed} failed`)
process.exitCode = failed > 0 || outcomes.length === 0 ? 1 : 0
