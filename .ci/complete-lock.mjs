// Run after `npm install` has changed package-lock.json, where the registry in use lacks the builds
// of some tool for other platforms. npm leaves such optional packages out of the lockfile and then
// refuses it in `npm ci` ("Missing: … from lock file"). This adds the entries that the tools'
// own manifests name, with the platform that each is for, so that every platform skips the others.
import { readFileSync, writeFileSync } from 'node:fs'

const path = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(path, 'utf8'))

function platformOf(name) {
  const words = name.split('/').at(-1).split('-')
  const os = [
    'aix',
    'android',
    'darwin',
    'freebsd',
    'linux',
    'netbsd',
    'openbsd',
    'openharmony',
    'sunos',
    'win32',
  ].find((word) => words.includes(word))
  const cpu = ['arm64', 'arm', 'x64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32'].find(
    (word) => words.includes(word),
  )
  if (!os || !cpu) throw new Error(`cannot tell the platform of ${name}`)
  return {
    cpu: [cpu],
    ...(words.includes('musl') ? { libc: ['musl'] } : words.includes('gnu') ? { libc: ['glibc'] } : {}),
    os: [os],
  }
}

const missing = {}
for (const [parent, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (lock.packages[`node_modules/${name}`] || lock.packages[`${parent}/node_modules/${name}`]) continue
    missing[`node_modules/${name}`] = {
      version,
      ...(entry.dev ? { dev: true } : {}),
      optional: true,
      ...platformOf(name),
    }
  }
}
const names = Object.keys(missing)
if (names.length > 0) {
  const sorted = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) => (a < b ? -1 : 1))
  writeFileSync(path, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`)
}
process.stdout.write(`${names.length} entries added\n`)
