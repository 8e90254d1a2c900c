// `npm run bench`: CPU per delivered message of statemq, Aedes and mosquitto, side by side. See docs/benchmarks.md.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'

import { availableBrokers, nodeProgram, type BrokerKind, type Group } from './brokers.ts'
import { durableScenarios } from './durable.ts'
import { identityScenarios } from './identity.ts'
import { buildLoadGenerator } from './load-generator.ts'
import { choosePinning, openFilesLimit, processorModel } from './machine.ts'
import { measureScenario, type Bench } from './measure.ts'
import { markdownReport, withReport, type Circumstances, type Row } from './report.ts'
import { scenarios as engineScenarios, type Scenario } from './scenarios.ts'

const usage = `npm run bench -- [options]
  -g group       engine (default: everything in memory), durable (what is acknowledged is on disk), or identity
                 (tokens and roles, beside neither)
  -s name,name   scenarios (default: all of the group)
  -b name,name   brokers (default: all of the group; mosquitto where it is installed)
  -r number      repetitions whose median counts (default: 5)
  --list         name the scenarios and brokers
  --source       run src/cli/main.ts as it stands instead of building it first
  --write        put the table between the bench marks of README.md; only for all scenarios with statemq and Aedes
  --help
`

const repository = join(import.meta.dirname, '..', '..')
const workFolder = join(repository, '.bench')
const readme = join(repository, 'README.md')
const sourceEntry = join(repository, 'src', 'cli', 'main.ts')

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Picks by name, in the order of `all`; an unknown name is the caller's mistake. */
function pick<Item extends { readonly name: string }>(
  all: readonly Item[],
  names: string | undefined,
): readonly Item[] {
  if (names === undefined) return all
  const wanted = names.split(',')
  const unknown = wanted.find((name) => !all.some((item) => item.name === name))
  if (unknown !== undefined) {
    const hint = unknown === 'mosquitto' ? ' (to have it: apt-get install mosquitto)' : ''
    throw new Error(`there is no "${unknown}" here${hint}; there are: ${all.map(({ name }) => name).join(', ')}`)
  }
  return all.filter(({ name }) => wanted.includes(name))
}

/** What the package's users run, made of the sources as they are now; `dist/` is left alone. */
function buildStatemq(): string {
  const outDir = join(workFolder, 'dist')
  const tsc = join(repository, 'node_modules', '.bin', 'tsc')
  const config = join(repository, 'src', 'tsconfig.build.json')
  const { status, stdout } = spawnSync(nodeProgram(repository), [tsc, '-p', config, '--outDir', outDir], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`the sources do not build (--source runs them as they are):\n${stdout}`)
  return join(outDir, 'src', 'cli', 'main.js')
}

function list(scenarios: readonly Scenario[], kinds: readonly BrokerKind[]): void {
  for (const { name, about, raised } of scenarios) {
    console.log(`${name.padEnd(14)} ${about}${raised.length > 0 ? `; statemq with ${raised.join(' ')}` : ''}`)
  }
  console.log(`\nbrokers: ${kinds.map(({ title }) => title).join(', ')}`)
}

/** What the tables of the other groups need to be understood. */
function notesOf(group: Group, loadBefore: readonly number[]): Partial<Circumstances> {
  if (group === 'durable') return durableNotes(loadBefore)
  return group === 'identity' ? { baseline: { name: 'statemq-open', title: 'statemq without' } } : {}
}

/** What the table of durable figures needs to be understood. */
function durableNotes(before: readonly number[]): Pick<Circumstances, 'baseline' | 'notes'> {
  const load = [before, loadavg()].map(([minute = 0]) => minute.toFixed(1)).join(' before, ')
  return {
    baseline: { name: 'statemq-memory', title: 'statemq in memory' },
    notes: [
      'statemq answers when what it answers is flushed; mosquitto when it has it in memory.',
      `Load average of the machine: ${load} after.`,
    ],
  }
}

function circumstances(chosen: readonly Scenario[], bench: Bench): Circumstances {
  const version = spawnSync(nodeProgram(repository), ['--version'], { encoding: 'utf8' })
    .stdout.trim()
    .replace(/^v/, '')
  return {
    machine: processorModel(),
    processors: cpus().length,
    pinning: bench.pinning.about,
    node: version,
    date: new Date().toISOString().slice(0, 10),
    repetitions: bench.repetitions,
    raised: chosen
      .filter(({ raised }) => raised.length > 0)
      .map(({ name, raised }) => ({ scenario: name, settings: raised })),
  }
}

async function measureAll(chosen: readonly Scenario[], bench: Bench): Promise<{ rows: Row[]; faults: string[] }> {
  const rows: Row[] = []
  const faults: string[] = []
  for (const scenario of chosen) {
    if (openFilesLimit() < scenario.minOpenFiles) {
      throw new Error(`${scenario.name} needs ${scenario.minOpenFiles} open files: raise the limit (ulimit -Hn)`)
    }
    const measured = await measureScenario(bench, scenario)
    rows.push(...measured.rows)
    faults.push(...measured.faults)
  }
  return { rows, faults }
}

/** Refuses before the long run what would only fail after it. */
function refuseWrite(group: Group, chosen: readonly Scenario[], kinds: readonly BrokerKind[]): void {
  const compared = kinds.filter(({ name }) => name !== 'mosquitto').length === 2
  if (group !== 'engine' || chosen.length < engineScenarios.length || !compared) {
    throw new Error('--write is for the whole table: all scenarios, with statemq and Aedes')
  }
  if (!existsSync(readme)) throw new Error('--write: there is no README.md')
  withReport(readFileSync(readme, 'utf8'), '')
}

function options() {
  const { values } = parseArgs({
    options: {
      group: { type: 'string', short: 'g', default: 'engine' },
      scenarios: { type: 'string', short: 's' },
      brokers: { type: 'string', short: 'b' },
      repetitions: { type: 'string', short: 'r', default: '5' },
      list: { type: 'boolean', default: false },
      source: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const repetitions = Number(values.repetitions)
  if (!Number.isInteger(repetitions) || repetitions < 1) throw new Error('-r takes a whole number from 1 on')
  const { group } = values
  if (group !== 'engine' && group !== 'durable' && group !== 'identity')
    throw new Error('-g takes engine, durable or identity')
  return { ...values, group, repetitions } as const
}

/** The status to end with: 2 where a run lost, duplicated or reordered; a missed target is in the table only. */
async function main(): Promise<number> {
  const { help, list: listOnly, source, write, repetitions, group, ...names } = options()
  const scenarios = { engine: engineScenarios, durable: durableScenarios, identity: identityScenarios }[group]
  const loadBefore = loadavg()
  if (help) console.log(usage)
  const known = availableBrokers(repository, group)
  if (listOnly) list(scenarios, known)
  if (help || listOnly) return 0
  const chosen = pick(scenarios, names.scenarios)
  const kinds = pick(known, names.brokers)
  if (write) refuseWrite(group, chosen, kinds)
  mkdirSync(workFolder, { recursive: true })
  const bench: Bench = {
    kinds,
    entry: source || !kinds.some(({ name }) => name.startsWith('statemq')) ? sourceEntry : buildStatemq(),
    repetitions,
    loadGenerator: buildLoadGenerator(workFolder),
    pinning: choosePinning(),
    workFolder,
    resultsFile: join(workFolder, 'results.jsonl'),
    say,
  }
  const { rows, faults } = await measureAll(chosen, bench)
  const about = { ...circumstances(chosen, bench), ...notesOf(group, loadBefore) }
  const report = markdownReport(rows, kinds, about)
  console.log(report)
  say(`every run: ${relative(process.cwd(), bench.resultsFile)}`)
  if (faults.length > 0) {
    say(`runs that failed, whose figures do not count:\n${faults.join('\n')}`)
    return 2
  }
  if (write) writeFileSync(readme, withReport(readFileSync(readme, 'utf8'), report))
  return 0
}

// Through process.exit, which stops the brokers; a signal alone would leave them running.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
try {
  process.exitCode = await main()
} catch (error) {
  say(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
