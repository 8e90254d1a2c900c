import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, normalize, relative } from 'node:path'
import { build } from 'vitepress'

import { exportedNames, referencePages, writeReference, type ReferencePage } from './api-reference.ts'

/**
 * Builds the site from docs/ into .site/html: the pages as they are, the README as the first of them, the
 * examples and the files of docs/deploy as pages, the charts as pictures, and a reference of the API from
 * the declarations. A link that leads nowhere fails, and so does a name that is exported and has no page.
 */
const repository = join(import.meta.dirname, '..')
const site = join(repository, '.site')
const pagesFolder = join(site, 'pages')
const images = join(pagesFolder, 'public', 'images')
const problems: string[] = []

function read(file: string): string {
  return readFileSync(join(repository, file), 'utf8')
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

/** Where a file of the repository stands in the site, if it does; without the `.md` of pages that were none. */
function placeOf(file: string): string | undefined {
  if (file === 'README.md') return 'index.md'
  if (!file.startsWith('docs/')) return undefined
  const inside = file.slice('docs/'.length)
  if (inside.endsWith('README.md')) return join(dirname(inside), 'index.md')
  if (inside.endsWith('.md')) return inside
  // A dot in an address is taken for a file's ending by many servers.
  return isShown(inside) ? `${inside.replace(/\.ts$/, '').replaceAll('.', '-')}.md` : undefined
}

/** Files that are no pages and have one. */
function isShown(inside: string): boolean {
  return /^(examples|deploy)\//.test(inside)
}

/** Rewrites a link for the site. What is not in it is left as text that says where it is in the repository. */
function relink(page: string, text: string, link: string): string {
  if (/^[a-z]+:/.test(link) || link.startsWith('#')) return `[${text}](${link})`
  const [path = '', anchor] = link.split('#')
  const file = normalize(join(dirname(page), path))
  const place = placeOf(file)
  if (place !== undefined && existsSync(join(repository, file)))
    return `[${text}](/${place}${anchor === undefined ? '' : `#${anchor}`})`
  if (!existsSync(join(repository, file))) problems.push(`${page}: ${link} leads nowhere`)
  return `<span class="source" title="${file}">${text}</span>`
}

/** A page for the site: code is left as it is, everything else gets the site's links, pictures and charts. */
function forSite(page: string, markdown: string): string {
  const withCharts = markdown.replace(
    /<!-- chart: (\w+)(?: brief)? -->\n```mermaid\n([\s\S]*?)```\n<!-- \/chart -->/g,
    (_all, name: string, mermaid: string) =>
      `${picture(`chart-${name}`, `The statechart of the ${name}`)}\n\n::: details As mermaid\n\`\`\`text\n${mermaid}\`\`\`\n:::`,
  )
  const withPictures = withCharts.replace(
    /<picture>[\s\S]*?<img alt="([^"]*)" src="(?:docs\/)?images\/([\w-]+)\.(svg|png)">\s*<\/picture>/g,
    (_all, alt: string, name: string, type: string) => picture(name, alt, type),
  )
  const withImages = withPictures.replace(/!\[([^\]]*)\]\((?:\.\/|docs\/)?images\//g, '![$1](/images/')
  return (
    withImages
      .split(/(^```[\s\S]*?^```$)/m)
      // The highlighter has no grammar for grammars.
      .map((piece, index) => (index % 2 === 1 ? piece.replace(/^```ebnf/, '```text') : proseForSite(page, piece)))
      .join('')
  )
}

function proseForSite(page: string, prose: string): string {
  return prose
    .replaceAll(/(?<!!)\[((?:`[^`]*`|[^\]`])*)\]\(([^)\s]+)\)/g, (_all, text: string, link: string) =>
      relink(page, text, link),
    )
    .split(/(`[^`\n]*`)/)
    .map((piece, index) => (index % 2 === 1 ? piece : piece.replaceAll('{{', '&#123;&#123;')))
    .join('')
}

/** One picture for each theme: the reader chooses it, not the system. */
function picture(name: string, alt: string, type = 'svg'): string {
  const [light, dark] = name.startsWith('chart-') ? [`${name}-light`, `${name}-dark`] : [name, `${name}-dark`]
  const text = alt.replaceAll('"', '&quot;')
  return `<img class="light-only chart" alt="${text}" src="/images/${light}.${type}">\n<img class="dark-only chart" alt="${text}" src="/images/${dark}.${type}">`
}

function drawCharts(): void {
  for (const machine of ['session', 'will', 'broker']) {
    for (const theme of ['light', 'dark']) {
      const words = ['src/cli/main.ts', 'chart', '--format', 'svg', '--machine', machine, '--theme', theme]
      const { status, stdout, stderr } = spawnSync(process.execPath, words, { cwd: repository, encoding: 'utf8' })
      if (status !== 0) throw new Error(`statemq chart --machine ${machine}: ${stderr}`)
      write(join(images, `chart-${machine}-${theme}.svg`), stdout)
    }
  }
}

const languages: Readonly<Record<string, string>> = {
  ts: 'ts',
  yaml: 'yaml',
  yml: 'yaml',
  service: 'ini',
  socket: 'ini',
}

/** A file as a page: its name, and all of it. */
function filePage(file: string): string {
  const name = basename(file)
  const language = /Containerfile/.test(name) ? 'dockerfile' : (languages[name.split('.').at(-1)!] ?? 'text')
  return `# ${name}\n\n\`${file}\`\n\n\`\`\`\`${language}\n${read(file).trimEnd()}\n\`\`\`\`\n`
}

function copyPages(): void {
  write(join(pagesFolder, 'index.md'), forSite('README.md', read('README.md')))
  for (const page of globSync('docs/**/*.md', { cwd: repository })) {
    write(join(pagesFolder, placeOf(page)!), forSite(page, read(page)))
  }
  for (const file of globSync(['docs/examples/**/*.*', 'docs/deploy/**/*'], { cwd: repository, withFileTypes: true })) {
    const path = relative(repository, join(file.parentPath, file.name))
    if (file.isFile() && !path.endsWith('.md')) write(join(pagesFolder, placeOf(path)!), filePage(path))
  }
  cpSync(join(repository, 'docs', 'images'), images, { recursive: true })
  // A session's chart as small as it gets: two states, and the way between them.
  write(join(images, 'icon.svg'), icon)
}

const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect x="2" y="3" width="17" height="11" rx="3" fill="#e2f4e8" stroke="#2f9556" stroke-width="2"/>
<rect x="13" y="18" width="17" height="11" rx="3" fill="#e3eefb" stroke="#3a7fcc" stroke-width="2"/>
<path d="M8 14v10h4" fill="none" stroke="#59636e" stroke-width="2"/></svg>
`

function checkReference(pages: readonly ReferencePage[]): void {
  const known = new Set(pages.map(({ entry, name }) => `${entry} ${name}`))
  const exported = exportedNames(site)
  for (const { entry, name } of exported)
    if (!known.has(`${entry} ${name}`)) problems.push(`${entry} exports ${name}, which has no page`)
  if (exported.length < 100) problems.push(`only ${exported.length} exported names were found`)
  const silent = pages.filter(({ summary }) => summary === '').map(({ entry, name }) => `${entry} ${name}`)
  for (const name of silent) problems.push(`${name} has nothing above its declaration`)
}

rmSync(site, { recursive: true, force: true })
copyPages()
drawCharts()
const reference = referencePages(site)
writeReference(join(pagesFolder, 'reference'), reference)
checkReference(reference)
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exit(1)
// It throws for a link that leads nowhere.
await build(join(repository, 'docs'))
const count = globSync('**/*.html', { cwd: join(site, 'html') }).length
console.log(`docs site: ${count} pages, ${reference.length} of them names of the API, in .site/html`)
