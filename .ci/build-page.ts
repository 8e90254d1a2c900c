import { createHash } from 'node:crypto'
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build, type InlineConfig } from 'vite'

/**
 * Builds the inspector's page into dist/inspect-page, where the broker serves it from, in a clone as in the
 * package. `npm start` and `npm test` come here first: nothing is done while the page is that of its sources.
 */
const repository = join(import.meta.dirname, '..')
const source = join(repository, 'src', 'inspect', 'page')
const target = join(repository, 'dist', 'inspect-page')
const stamp = '.sources'

/** Everything that the page is made of; packages by what the lockfile says of them. */
function fingerprint(): string {
  const hash = createHash('sha256')
  const files = globSync(['src/inspect/page/**/*.*', 'src/reason-codes.ts', 'package-lock.json', '.ci/build-page.ts'], {
    cwd: repository,
  })
  for (const file of files.toSorted()) hash.update(`${file}\0`).update(readFileSync(join(repository, file)))
  return hash.digest('hex')
}

function configFor(outDir: string): InlineConfig {
  return {
    root: source,
    base: './',
    configFile: false,
    envDir: false,
    logLevel: 'warn',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      outDir,
      emptyOutDir: true,
      target: ['chrome120', 'firefox121', 'safari17.2'],
      // The page's Content-Security-Policy lets no data: URL and no inline script in.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      reportCompressedSize: false,
    },
  }
}

/** The licences of what is bundled go with it. */
const bundled = [
  'preact',
  '@preact/signals',
  '@preact/signals-core',
  'uplot',
  '@fontsource-variable/ibm-plex-sans',
  '@fontsource/ibm-plex-mono',
]

function copyLicences(outDir: string): void {
  mkdirSync(join(outDir, 'licences'), { recursive: true })
  for (const name of bundled)
    cpSync(join(repository, 'node_modules', name, 'LICENSE'), join(outDir, 'licences', `${name.replace('/', '-')}.txt`))
}

/** Builds the page if it is missing or older than its sources; answers whether it did. */
export async function buildPage(): Promise<boolean> {
  const current = fingerprint()
  const stampFile = join(target, stamp)
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === current) return false
  // Beside the old page, so that who reads it meanwhile finds one or the other.
  const fresh = `${target}-${process.pid}`
  await build(configFor(fresh))
  copyLicences(fresh)
  writeFileSync(join(fresh, stamp), current)
  rmSync(target, { recursive: true, force: true })
  renameSync(fresh, target)
  return true
}

if (process.argv[1] === import.meta.filename) await buildPage()
