import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Runs every check, whichever of them fail, and ends with the line "N passed, N failed": each test
 * counts, and so does each other step. `npm run ci -- lint types` runs only the steps named.
 */
interface Step {
  readonly name: string
  readonly script: readonly string[]
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
  { name: 'tests', script: ['test'] },
]

interface Outcome {
  readonly name: string
  readonly passed: number
  readonly failed: number
  readonly seconds: number
}

function runNpm(args: readonly string[]): boolean {
  return spawnSync('npm', ['run', '--silent', ...args], { stdio: ['ignore', 'inherit', 'inherit'] }).status === 0
}

/** The part of vitest's JSON report that is read here. */
interface VitestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
}

/** A run that fails without a failed test (a file that does not load, an error outside any test) fails once. */
function runTests(script: readonly string[]): { passed: number; failed: number } {
  const folder = mkdtempSync(join(tmpdir(), 'statemq-ci-'))
  const file = join(folder, 'report.json')
  const succeeded = runNpm([...script, '--', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`])
  const report = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as VitestReport) : undefined
  rmSync(folder, { recursive: true, force: true })
  const passed = report?.numPassedTests ?? 0
  const failed = report?.numFailedTests ?? 0
  return { passed, failed: succeeded && passed > 0 ? failed : Math.max(failed, 1) }
}

function run({ name, script }: Step): Outcome {
  console.log(`\n== ${name}: npm run ${script.join(' ')}`)
  const startedAt = performance.now()
  const { passed, failed } =
    name === 'tests' ? runTests(script) : runNpm(script) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
  return { name, passed, failed, seconds: (performance.now() - startedAt) / 1000 }
}

const wanted = process.argv.slice(2)
const outcomes = steps.filter(({ name }) => wanted.length === 0 || wanted.includes(name)).map(run)

console.log('\n== summary')
for (const { name, passed, failed, seconds } of outcomes) {
  const counts = name === 'tests' ? ` (${passed} passed, ${failed} failed)` : ''
  console.log(`${failed > 0 ? 'FAILED' : 'ok    '} ${name.padEnd(12)} ${seconds.toFixed(1).padStart(6)} s${counts}`)
}
const sum = (pick: (outcome: Outcome) => number): number => outcomes.reduce((total, one) => total + pick(one), 0)
const failed = sum((outcome) => outcome.failed)
console.log(`${sum((outcome) => outcome.passed)} passed, ${failed} failed`)
process.exitCode = failed > 0 || outcomes.length === 0 ? 1 : 0
