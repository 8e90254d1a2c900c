import { spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/**
 * Holds the pages to what is true: every \`\`\`ts block compiles, every \`\`\`yaml block is a
 * configuration that `statemq check` takes, every relative link leads somewhere, every file of
 * docs/examples runs and ends well, and every chart is the machine's own. A block whose fence says
 * more than the language (\`\`\`yaml fragment) is left alone. `--write` renews the charts.
 */
const repository = join(import.meta.dirname, '..')
const write = process.argv.includes('--write')
// Inside node_modules, so that the blocks find the packages and nothing else looks at them.
const scratch = join(repository, 'node_modules', '.cache', 'docs-check')
const problems: string[] = []
let checked = 0

interface Block {
  readonly page: string
  readonly line: number
  readonly language: string
  readonly text: string
}

function node(...args: string[]): { ok: boolean; output: string } {
  const result = spawnSync(process.execPath, args, { cwd: repository, encoding: 'utf8', timeout: 60_000 })
  return { ok: result.status === 0, output: `${result.stdout}${result.stderr}` }
}

function blocksOf(page: string, text: string): Block[] {
  return [...text.matchAll(/^```(\S+)\n([\s\S]*?)^```$/gm)].map((match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length,
    language: match[1]!,
    text: match[2]!,
  }))
}

function checkTypes(blocks: readonly Block[]): void {
  const names = new Map<string, Block>()
  for (const [index, block] of blocks.entries()) {
    // A block that begins with the name of its file is one of several that import each other.
    const [, file] = /^\/\/ ([\w.-]+)\.ts\n/.exec(block.text) ?? []
    const folder = block.page.replace(/\W/g, '-')
    const name = file === undefined ? `block-${index}.ts` : `${folder}/${file}.ts`
    names.set(names.has(name) ? name.replace(/\.ts$/, `-${index}.ts`) : name, block)
  }
  for (const [name, { text }] of names) {
    mkdirSync(dirname(join(scratch, name)), { recursive: true })
    writeFileSync(join(scratch, name), `${text}\nexport {}\n`)
  }
  const compilerOptions = {
    noUnusedLocals: false,
    paths: {
      statemq: ['../../../src/index.ts'],
      'statemq/aedes': ['../../../src/aedes/index.ts'],
      'statemq/machines': ['../../../machines/index.ts'],
      'statemq/opentelemetry': ['../../../src/observe/opentelemetry.ts'],
      'statemq/testing': ['../../../src/testing/index.ts'],
    },
  }
  writeFileSync(
    join(scratch, 'tsconfig.json'),
    JSON.stringify({ extends: '../../../tsconfig.json', compilerOptions, include: ['**/*.ts'] }),
  )
  const tsc = spawnSync(join(repository, 'node_modules', '.bin', 'tsc'), ['-p', scratch, '--pretty', 'false'], {
    encoding: 'utf8',
    cwd: scratch,
  })
  checked += blocks.length
  for (const found of tsc.stdout.matchAll(/^(.*?)\((\d+),(\d+)\): (.*)$/gm)) {
    const block = names.get(found[1]!)
    problems.push(block ? `${block.page}:${block.line + Number(found[2])}: ${found[4]}` : found[0])
  }
  if (tsc.status !== 0 && problems.length === 0) problems.push(`tsc failed: ${tsc.stdout}${tsc.stderr}`)
}

function checkConfiguration({ page, line, text }: Block): void {
  const file = join(scratch, 'block.yaml')
  writeFileSync(file, text)
  checked += 1
  const { ok, output } = node('src/cli/main.ts', 'check', '--config', file)
  if (!ok) problems.push(`${page}:${line}: statemq check refuses this: ${output.trim()}`)
}

/** The anchor that GitHub makes of a heading. */
function anchorOf(heading: string): string {
  return heading
    .replaceAll('`', '')
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-')
}

function checkLinks(page: string, text: string): void {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, '')
  for (const [, link] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(link!)) continue
    const [path = '', anchor] = link!.split('#')
    const target = path ? join(repository, dirname(page), path) : join(repository, page)
    checked += 1
    if (!existsSync(target)) problems.push(`${page}: ${link} leads nowhere`)
    else if (anchor && target.endsWith('.md')) {
      const anchors = [...readFileSync(target, 'utf8').matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1]!))
      if (!anchors.includes(anchor)) problems.push(`${page}: ${link}: no such heading`)
    }
  }
}

/** Between the marks `<!-- chart: NAME -->` (or `NAME brief`) and `<!-- /chart -->` stands what `statemq chart` prints. */
function checkCharts(page: string, text: string): void {
  const renewed = text.replace(
    /(<!-- chart: (\w+)( brief)? -->\n)[\s\S]*?(<!-- \/chart -->)/g,
    (_all, open: string, name: string, brief: string | undefined, close: string) => {
      checked += 1
      const { ok, output } = node(
        'src/cli/main.ts',
        'chart',
        '--format',
        'mermaid',
        '--machine',
        name,
        ...(brief ? ['--brief'] : []),
      )
      if (!ok) problems.push(`${page}: statemq chart --machine ${name} failed: ${output.trim()}`)
      return `${open}\`\`\`mermaid\n${output.trimEnd()}\n\`\`\`\n${close}`
    },
  )
  if (renewed === text) return
  if (write) writeFileSync(join(repository, page), renewed)
  else problems.push(`${page}: a chart is not the machine's own; renew it with: npm run docs:write`)
}

function checkExamples(): void {
  // Examples import the package by its name, which Node resolves to the built files.
  if (!existsSync(join(repository, 'dist', 'src', 'index.js')))
    spawnSync('npm', ['run', 'build'], { cwd: repository, stdio: 'inherit' })
  for (const example of globSync('docs/examples/**/*.ts', { cwd: repository }).toSorted()) {
    checked += 1
    const { ok, output } = node(example)
    if (!ok) problems.push(`${example} failed:\n${output}`)
  }
}

rmSync(scratch, { recursive: true, force: true })
mkdirSync(scratch, { recursive: true })
const pages = globSync(['README.md', 'docs/**/*.md'], { cwd: repository }).toSorted()
const texts = pages.map((page) => [page, readFileSync(join(repository, page), 'utf8')] as const)
const blocks = texts.flatMap(([page, text]) => blocksOf(page, text))
checkTypes(blocks.filter(({ language }) => language === 'ts'))
for (const block of blocks.filter(({ language }) => language === 'yaml')) checkConfiguration(block)
for (const [page, text] of texts) {
  checkLinks(page, text)
  checkCharts(page, text)
}
checkExamples()
rmSync(scratch, { recursive: true, force: true })

for (const problem of problems) console.error(problem)
console.log(
  `docs: ${checked} things checked on ${pages.length} pages, ${problems.length} wrong (${relative(process.cwd(), repository) || '.'})`,
)
process.exitCode = problems.length > 0 ? 1 : 0
