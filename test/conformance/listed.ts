/** Names of tests as vitest knows them, and how a page of tests is written. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

export const root = new URL('../..', import.meta.url).pathname
/** A row names that many tests of one file; `test.each` can make dozens of one. */
const maxNamesPerFile = 3

export interface ListedTest {
  /** Within `test/`. */
  readonly file: string
  readonly name: string
}

/**
 * Asks vitest for the names. Files are loaded rather than parsed, because most statements are in the
 * tables of `test.each`; the list goes to a file, because vitest prints other things too.
 */
export function listTests(projects: readonly string[], files: readonly string[] = []): ListedTest[] {
  const folder = mkdtempSync(join(tmpdir(), 'statemq-tests-'))
  try {
    const output = join(folder, 'tests.json')
    const vitest = join(root, 'node_modules/vitest/vitest.mjs')
    const config = ['--config', join(root, 'test/vitest.config.ts'), ...projects.flatMap((one) => ['--project', one])]
    execFileSync(process.execPath, [vitest, 'list', ...files, ...config, '--no-static-parse', `--json=${output}`], {
      cwd: root,
      stdio: 'pipe',
    })
    const listed = JSON.parse(readFileSync(output, 'utf8')) as { name: string; file: string }[]
    // Files are collected in parallel and come in any order; within one, the order is its own.
    listed.sort((a, b) => (a.file < b.file ? -1 : Number(a.file > b.file)))
    return listed.map(({ name, file }) => ({ name, file: relative(join(root, 'test'), file) }))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** One line of text, safe inside a table cell; what is left out has a column of its own. */
export function cell(text: string, leftOut: RegExp): string {
  return text
    .replaceAll(leftOut, '')
    .replaceAll('\\', '\\\\')
    .replaceAll('|', '\\|')
    .replaceAll('<', '&lt;')
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim()
}

/** Each file once, with the names of its tests. */
export function testsCell(tests: readonly ListedTest[], nameOf: (file: string) => string, leftOut: RegExp): string {
  const byFile = Map.groupBy(tests, ({ file }) => file)
  const files = [...byFile].map(([file, mine]) => {
    const names = mine.map(({ name }) => cell(name, leftOut))
    const shown = names.length > maxNamesPerFile ? names.slice(0, maxNamesPerFile - 1) : names
    const more = names.length > shown.length ? [`and ${names.length - shown.length} more`] : []
    return `[${nameOf(file)}](../test/${file}): ${[...shown, ...more].join('; ')}`
  })
  return files.join('<br>')
}
