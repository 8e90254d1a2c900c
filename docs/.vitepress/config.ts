import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig, type DefaultTheme } from 'vitepress'

/** `npm run docs:site` puts the pages there: see .ci/docs-site.ts. */
const pages = join(import.meta.dirname, '..', '..', '.site', 'pages')

/** Where the site will lie on its server. */
const base = process.env['DOCS_BASE'] ?? '/'

/** Pages in the order in which somebody new would want them; one that is nowhere here stands under More. */
const sections: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Begin: { index: 'What it is', 'first-steps': 'First steps', 'examples/index': 'Examples' },
  Engine: { architecture: 'Architecture', machines: 'Machines', sessions: 'Sessions', hooks: 'Hooks and events' },
  Identity: { authenticators: 'Authenticators', authorization: 'Authorization', ownership: 'Client identifiers' },
  Operate: {
    configuration: 'Configuration',
    operations: 'Operations',
    'deploy/index': 'Deploy',
    cli: 'Command line',
    inspector: 'Inspector',
    history: 'Histories and traces',
    'admin-api': 'Admin API',
    metrics: 'Metrics',
    durability: 'Durability',
    limits: 'Limits',
    errors: 'Errors',
  },
  Extend: { testing: 'Testing your code', 'from-aedes': 'Moving from Aedes' },
  Facts: {
    conformance: 'Conformance',
    'conformance-identity': 'Conformance: identity',
    benchmarks: 'Benchmarks',
    decisions: 'Decisions',
    changelog: 'Changelog',
  },
}

function pagesIn(folder: string): string[] {
  if (!existsSync(join(pages, folder))) return []
  return readdirSync(join(pages, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md') && entry.name !== 'index.md')
    .map((entry) => entry.name.replace(/\.md$/, ''))
    .toSorted((a, b) => a.localeCompare(b))
}

function listOf(folder: string): DefaultTheme.SidebarItem[] {
  return pagesIn(folder).map((name) => ({ text: name, link: `/${folder}/${name}` }))
}

function guide(): DefaultTheme.SidebarItem[] {
  const isThere = (page: string): boolean => existsSync(join(pages, `${page}.md`))
  const listed = new Set(Object.values(sections).flatMap((section) => Object.keys(section)))
  const groups = Object.entries(sections).map(([text, section]) => ({
    text,
    items: Object.entries(section)
      .filter(([page]) => isThere(page))
      .map(([page, title]): DefaultTheme.SidebarItem => {
        const link = `/${page.replace(/index$/, '')}`
        const below = page === 'hooks' ? listOf('hooks') : page.endsWith('/index') ? listOf(page.slice(0, -6)) : []
        return below.length === 0 ? { text: title, link } : { text: title, link, items: below, collapsed: true }
      }),
  }))
  const more = pagesIn('').filter((page) => !listed.has(page))
  const rest =
    more.length === 0 ? [] : [{ text: 'More', items: more.map((page) => ({ text: page, link: `/${page}` })) }]
  return [...groups, ...rest].filter(({ items }) => items.length > 0)
}

function reference(): DefaultTheme.SidebarItem[] {
  const root = join(pages, 'reference')
  if (!existsSync(root)) return []
  const entries = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const order = ['statemq', 'machines', 'testing']
  const rank = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length)
  return entries
    .toSorted((a, b) => rank(a.name) - rank(b.name))
    .map(({ name }) => ({
      text: name === 'statemq' ? 'statemq' : `statemq/${name}`,
      items: ['functions', 'values', 'types']
        .map((kind) => ({ text: kind, items: listOf(`reference/${name}/${kind}`), collapsed: kind === 'types' }))
        .filter(({ items }) => items.length > 0),
    }))
}

export default defineConfig({
  title: 'statemq',
  description: 'An embeddable MQTT broker in which every client session is an actor running a statechart',
  lang: 'en',
  head: [['link', { rel: 'icon', type: 'image/svg+xml', href: `${base}images/icon.svg` }]],
  srcDir: pages,
  outDir: join(pages, '..', 'html'),
  cacheDir: join(pages, '..', 'cache'),
  base,
  cleanUrls: true,
  // It reads the repository's tsconfig.json, whose target is newer than it knows.
  vite: { esbuild: { target: 'es2022', tsconfigRaw: '{}' }, build: { chunkSizeWarningLimit: 2_000 } },
  themeConfig: {
    nav: [
      { text: 'Guide', link: '/architecture', activeMatch: '^/(?!reference|examples)' },
      { text: 'Examples', link: '/examples/', activeMatch: '^/examples' },
      { text: 'API', link: '/reference/', activeMatch: '^/reference' },
    ],
    sidebar: { '/reference/': reference(), '/': guide() },
    outline: [2, 3],
    search: { provider: 'local' },
    externalLinkIcon: true,
  },
})
