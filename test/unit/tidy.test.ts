import { describe, expect, test } from 'vitest'

import { errorTable } from '../../src/errors.ts'
import { defaultLimits } from '../../src/limits.ts'
import { readFiles } from '../support/source-files.ts'

const sources = readFiles('src/**/*.{ts,tsx}', 'machines/**/*.ts')
const prose = readFiles('README.md', 'docs/**/*.md')

/** Lines that match, as `file:line: text`. */
function hits(files: readonly { path: string; text: string }[], pattern: RegExp): string[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  )
}

describe('style', () => {
  // Functions of up to 70 lines are the linter's to count (max-lines-per-function in .oxlintrc.json).
  test('no file of src/ or machines/ is longer than 400 lines, unless its first line says why', () => {
    const long = sources.filter(
      ({ text }) => text.trimEnd().split('\n').length > 400 && !/^\/[/*] oxlint-disable max-lines -- \S/.test(text),
    )
    expect(long.map(({ path }) => path)).toEqual([])
  })

  test('nothing is left unfinished', () => {
    // Each word in two halves, so that this file does not name what it forbids.
    const words = ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'not ' + 'implemented', 'place' + 'holder']
    expect(hits([...sources, ...prose], new RegExp(`\\b(${words.join('|')})\\b`, 'i'))).toEqual([])
  })

  test('the types have no holes', () => {
    expect(hits(sources, /@ts-(ignore|nocheck|expect-error)/)).toEqual([])
    // The word is common in comments, so only what stands before one counts.
    expect(hits(sources, /^(?!\s*\*)(?:(?!\/\/|\/\*).)*(:|<|\bas) any\b/)).toEqual([])
  })

  test('exports are listed by hand', () => {
    expect(hits(sources, /^\s*export\s*\*/)).toEqual([])
  })

  test('tests neither wait by the clock, nor are skipped or singled out', () => {
    const tests = readFiles('test/**/*.ts').filter(({ path }) => !/^test\/(bench|support)\//.test(path))
    // The system's timers; a clock's own method of that name is how tests keep away from them.
    expect(hits(tests, new RegExp('(?<![.\\w]|override )(set' + 'Timeout|sl' + 'eep)\\('))).toEqual([])
    expect(hits(tests, new RegExp('import.*\\bset' + 'Timeout\\b.*timers/promises'))).toEqual([])
    expect(hits(tests, new RegExp('\\b(it|test|describe)\\.(on' + 'ly|sk' + 'ip|to' + 'do|fa' + 'ils)\\b'))).toEqual([])
  })
})

/** The text of one page of docs/. */
function page(name: string): string {
  const [file] = readFiles(`docs/${name}`)
  if (!file) throw new Error(`docs/${name} is missing`)
  return file.text
}

/** Rows of every table on the page whose first cell is code: the cells, code marks removed. */
function codeRows(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    )
}

describe('docs/errors.md', () => {
  test('explains every error code, and no other', () => {
    const headings = [...page('errors.md').matchAll(/^## (SMQ_\w+)$/gm)].map((match) => match[1]!)
    expect(headings).toEqual(Object.keys(errorTable))
  })

  test('opens each with the first sentence of its message', () => {
    const documented = [...page('errors.md').matchAll(/^## (SMQ_\w+)\n\n\*\*(.+?)\.\*\*/gm)].map((match) => [
      match[1],
      match[2],
    ])
    expect(Object.fromEntries(documented)).toEqual(errorTable)
  })
})

describe('docs/limits.md', () => {
  test('lists every limit with its default, and no other', () => {
    const documented = codeRows(page('limits.md')).map(([name = '', value = '']) => [
      name,
      value.startsWith('Infinity') ? Infinity : Number(value.replaceAll(',', '')),
    ])
    expect(Object.fromEntries(documented)).toEqual(defaultLimits)
    expect(documented).toHaveLength(Object.keys(defaultLimits).length)
  })
})
