/**
 * Writes docs/conformance.md: every normative statement of `mqtt-normative.tsv` beside the tests that
 * show it, or the reason why none can.
 *
 *     node test/conformance/collect.ts            writes the page        (npm run conformance)
 *     node test/conformance/collect.ts --check    fails where the page is stale (.ci/run)
 *
 * The names come from `vitest list`, so a statement counts as shown only by a test that exists and
 * runs under that name. It fails, in both forms, when a statement has neither test nor reason, when
 * it has both, or when a test names a statement that the table does not know.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

const root = new URL('../..', import.meta.url).pathname
const here = join(root, 'test/conformance')
const pagePath = join(root, 'docs/conformance.md')
/** A row names that many tests of one file; `test.each` can make dozens of one. */
const maxNamesPerFile = 3

/** Which folder's tests speak of which version. */
const suites = [
  { version: '5.0', title: 'MQTT 5.0', folder: 'mqtt5' },
  { version: '3.1.1', title: 'MQTT 3.1.1 (and 3.1 where it does not differ)', folder: 'mqtt311' },
] as const
type Version = (typeof suites)[number]['version']

interface Statement {
  readonly version: Version
  readonly id: string
  readonly appliesTo: 'server' | 'client' | 'both'
  /** `no` where the table itself says that a server cannot show it. */
  readonly testable: string
  readonly paraphrase: string
}

interface NamedTest {
  readonly folder: string
  readonly file: string
  readonly name: string
  readonly ids: readonly string[]
}

function readStatements(): Statement[] {
  const [, ...lines] = readFileSync(join(here, 'mqtt-normative.tsv'), 'utf8').trimEnd().split('\n')
  return lines.map((line) => {
    const [version, id, appliesTo, testable, paraphrase] = line.split('\t')
    return { version, id, appliesTo, testable, paraphrase } as Statement
  })
}

/** Reasons by version and id: statements that apply to a server and cannot be shown from outside. */
function readReasons(): Record<Version, Record<string, string>> {
  return JSON.parse(readFileSync(join(here, 'untestable.json'), 'utf8')) as Record<Version, Record<string, string>>
}

/**
 * Asks vitest for the names. Files are loaded rather than parsed, because most statements are in the
 * tables of `test.each`; the list goes to a file, because vitest prints other things too.
 */
function listTests(): NamedTest[] {
  const folder = mkdtempSync(join(tmpdir(), 'statemq-conformance-'))
  try {
    const output = join(folder, 'tests.json')
    const vitest = join(root, 'node_modules/vitest/vitest.mjs')
    const config = ['--config', join(root, 'test/vitest.config.ts'), '--project', 'conformance']
    execFileSync(process.execPath, [vitest, 'list', ...config, '--no-static-parse', `--json=${output}`], {
      cwd: root,
      stdio: 'pipe',
    })
    const listed = JSON.parse(readFileSync(output, 'utf8')) as { name: string; file: string }[]
    // Files are collected in parallel and come in any order; within one, the order is its own.
    listed.sort((a, b) => (a.file < b.file ? -1 : Number(a.file > b.file)))
    return listed.map(({ name, file }) => {
      const [suite = '', ...rest] = relative(here, file).split('/')
      return { folder: suite, file: rest.join('/'), name, ids: name.match(/MQTT-\d+(?:\.\d+)*-\d+/g) ?? [] }
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** One line of text, safe inside a table cell; the ids have a column of their own. */
function cell(text: string): string {
  return text
    .replaceAll(/MQTT-\d+(?:\.\d+)*-\d+,? ?/g, '')
    .replaceAll('\\', '\\\\')
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;')
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim()
}

/** Each file once, with the names of its tests. */
function testsCell(folder: string, tests: readonly NamedTest[]): string {
  const byFile = Map.groupBy(tests, ({ file }) => file)
  const files = [...byFile].map(([file, mine]) => {
    const names = mine.map(({ name }) => cell(name))
    const shown = names.length > maxNamesPerFile ? names.slice(0, maxNamesPerFile - 1) : names
    const more = names.length > shown.length ? [`and ${names.length - shown.length} more`] : []
    return `[${file}](../test/conformance/${folder}/${file}): ${[...shown, ...more].join('; ')}`
  })
  return files.join('<br>')
}

interface Row {
  readonly statement: Statement
  readonly tests: readonly NamedTest[]
  readonly reason: string | undefined
}

function makeRows(statements: readonly Statement[], tests: readonly NamedTest[]): Row[] {
  const reasons = readReasons()
  return statements.map((statement) => {
    const folder = suites.find(({ version }) => version === statement.version)?.folder
    const mine = tests.filter((test) => test.folder === folder && test.ids.includes(statement.id))
    const clientsOnly = statement.appliesTo === 'client' && statement.testable === 'no'
    const reason =
      reasons[statement.version]?.[statement.id] ??
      (clientsOnly ? 'A rule for clients; nothing that a server does shows it.' : undefined)
    return { statement, tests: mine, reason: mine.length > 0 && clientsOnly ? undefined : reason }
  })
}

function findFaults(rows: readonly Row[], tests: readonly NamedTest[]): string[] {
  const faults: string[] = []
  for (const { statement, tests: mine, reason } of rows) {
    if (mine.length === 0 && reason === undefined)
      faults.push(`${statement.version} ${statement.id} has no test and no reason: ${statement.paraphrase}`)
    if (mine.length > 0 && reason !== undefined)
      faults.push(`${statement.version} ${statement.id} has a test and a reason why there is none`)
  }
  for (const { version, folder } of suites) {
    const known = new Set(
      rows.filter(({ statement }) => statement.version === version).map(({ statement }) => statement.id),
    )
    for (const { file, name, ids } of tests.filter((test) => test.folder === folder)) {
      for (const id of ids)
        if (!known.has(id)) faults.push(`${folder}/${file} names ${id}, which ${version} does not have: ${name}`)
    }
    for (const id of Object.keys(readReasons()[version] ?? {}))
      if (!known.has(id)) faults.push(`untestable.json has ${version} ${id}, which does not exist`)
  }
  return faults
}

function renderPage(rows: readonly Row[], tests: readonly NamedTest[]): string {
  const lines = [
    '# Conformance',
    '',
    'Generated by `npm run conformance` from the names of the tests in `test/conformance`; do not edit.',
    'Every test speaks to the broker in raw bytes, through a client and a decoder of its own. A statement',
    'without a test says why it cannot be shown from outside. The texts are paraphrases of ours; the',
    'standards are [MQTT 5.0](https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html) and',
    '[MQTT 3.1.1](https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html).',
    '',
    '| version | statements | shown by tests | rules for clients only | not testable from outside | tests |',
    '|---|--:|--:|--:|--:|--:|',
  ]
  for (const { version, folder } of suites) {
    const mine = rows.filter(({ statement }) => statement.version === version)
    const shown = mine.filter((row) => row.tests.length > 0).length
    const clients = mine.filter((row) => row.tests.length === 0 && row.statement.appliesTo === 'client').length
    const count = tests.filter((test) => test.folder === folder).length
    lines.push(`| ${version} | ${mine.length} | ${shown} | ${clients} | ${mine.length - shown - clients} | ${count} |`)
  }
  for (const { version, title, folder } of suites) {
    lines.push(
      '',
      `## ${title}`,
      '',
      '| version | id | statement | tests, or why there are none |',
      '|---|---|---|---|',
    )
    for (const { statement, tests: shown, reason } of rows) {
      if (statement.version !== version) continue
      const last = shown.length > 0 ? testsCell(folder, shown) : cell(reason ?? '')
      lines.push(`| ${version} | ${statement.id} | ${cell(statement.paraphrase)} | ${last} |`)
    }
  }
  return `${lines.join('\n')}\n`
}

const tests = listTests()
const rows = makeRows(readStatements(), tests)
const page = renderPage(rows, tests)
const faults = findFaults(rows, tests)
if (process.argv.includes('--check')) {
  if (readFileSync(pagePath, 'utf8') !== page)
    faults.push('docs/conformance.md is not what the tests say: run `npm run conformance`')
} else {
  writeFileSync(pagePath, page)
}
for (const fault of faults) console.error(fault)
process.exitCode = faults.length > 0 ? 1 : 0
