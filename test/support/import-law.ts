import { posix } from 'node:path'

/** A file of `src/` or `machines/` with its text; the path is relative to the repository. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

/** Files at the root of `src/` that every room may import, besides each other. */
const vocabulary = [
  'chart-layout',
  'counters',
  'messages',
  // Options, events and the API speak of it.
  'bans',
  'option-words',
  'options',
  'errors',
  'events',
  'hooks',
  // The part of `inspection` that is about one session.
  'inspected-session',
  'inspection',
  'limits',
  'log-text',
  'observers',
  'properties',
  'publication',
  'reason-codes',
  'roles',
  'scheduled',
  'stately',
  'stored',
  'version',
]

/**
 * Which rooms a room may import besides itself and the vocabulary. Packets walk to the right only
 * (net → codec → session → router → store | jobs), `auth` is asked and asks nobody, and what leaves
 * a broker goes back through an actor reference or an injected callback.
 */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  net: ['codec'],
  codec: ['session'],
  session: ['router', 'auth', 'machines'],
  router: ['store', 'jobs', 'auth'],
  auth: [],
  store: [],
  jobs: [],
  observe: [],
  // It shows and steers what any embedder can, through the broker's own API, and draws the charts.
  inspect: ['api', 'machines'],
  cli: ['auth', 'store', 'inspect', 'observe', 'machines', 'api', 'broker'],
  machines: [],
  // Entries of their own in the package, made of what any embedder has: the broker, and pairs of streams for tests.
  testing: ['api', 'broker', 'net'],
  aedes: ['api', 'broker'],
  vocabulary: ['machines'],
}

/** Only these see every room: `broker.ts` wires them, `insight.ts` what looks at them, `index.ts` names what is public. */
const wiring = new Set(['api', 'broker', 'index', 'insight'])

/** Where streams are made; everywhere else an Observable is only a type that the vocabulary and `api.ts` may name. */
const rxjsLivesIn = [
  /^src\/router\/fanout\.ts$/,
  /^src\/observe\//,
  /^src\/codec\/connection\.ts$/,
  /^src\/session\//,
  /^src\/broker\.ts$/,
]
const rxjsTypesIn = [/^src\/(api|hooks|events|inspection|options|messages)\.ts$/, /^src\/router\//]

/** The inspector's page runs in browsers: it is bundled from these, and from nothing of the broker but types. */
const page = /^src\/inspect\/page\//
const pagePackages = /^(preact(\/hooks)?|@preact\/signals|uplot|uplot\/.*\.css)$/
const pageValues = /^src\/reason-codes\.ts$/

function judgePage({ specifier, typeOnly }: Import, target: string): string | undefined {
  if (!specifier.startsWith('.'))
    return pagePackages.test(specifier) ? undefined : 'the page is bundled from few packages'
  if (page.test(target) || pageValues.test(target)) return undefined
  return typeOnly && roomOf(target) === 'vocabulary'
    ? undefined
    : 'the page imports itself, and types of the vocabulary'
}

function roomOf(path: string): string {
  const [top, second = ''] = path.split('/')
  if (top === 'machines') return 'machines'
  const name = second.replace(/\.ts$/, '')
  return vocabulary.includes(name) ? 'vocabulary' : name
}

interface Import {
  readonly specifier: string
  readonly typeOnly: boolean
}

/** Static imports, re-exports and `import('…')`, types included. */
export function importsOf(text: string): Import[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  const found: Import[] = []
  for (const match of code.matchAll(/^\s*(?:import|export)\s+(type\s)?[^'";]*?\bfrom\s*['"]([^'"]+)['"]/gm)) {
    found.push({ specifier: match[2]!, typeOnly: match[1] !== undefined })
  }
  for (const match of code.matchAll(/^\s*import\s*['"]([^'"]+)['"]/gm)) {
    found.push({ specifier: match[1]!, typeOnly: false })
  }
  for (const match of code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)) {
    found.push({ specifier: match[1]!, typeOnly: false })
  }
  return found
}

function judge(path: string, { specifier, typeOnly }: Import): string | undefined {
  const room = roomOf(path)
  const target = posix.normalize(posix.join(posix.dirname(path), specifier))
  if (page.test(path)) return judgePage({ specifier, typeOnly }, target)
  if (page.test(target)) return 'the page runs in browsers only'
  if (specifier === 'rxjs' || specifier.startsWith('rxjs/')) {
    if (rxjsLivesIn.some((place) => place.test(path))) return undefined
    if (typeOnly && rxjsTypesIn.some((place) => place.test(path))) return undefined
    return 'rxjs lives in fanout.ts, observe/, session/, codec/connection.ts and broker.ts'
  }
  if (!specifier.startsWith('.')) {
    // A chart has to open in any XState viewer, so it depends on nothing else that runs.
    if (room !== 'machines' || specifier === 'xstate' || typeOnly) return undefined
    return 'a machine imports xstate and types only'
  }
  const targetRoom = roomOf(target)
  if (wiring.has(room) || targetRoom === room) return undefined
  if (room === 'machines')
    return typeOnly && targetRoom === 'vocabulary' ? undefined : 'a machine imports xstate and types only'
  if (targetRoom === 'vocabulary' || mayImport[room]?.includes(targetRoom)) return undefined
  return mayImport[room] ? `${room} may not import ${targetRoom}` : `${room} is no room that the import law names`
}

/** Every import that breaks the law of `docs/architecture.md`, as `file: specifier: why`. */
export function breaches(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    importsOf(text).flatMap((one) => {
      const why = judge(path, one)
      return why ? [`${path}: ${one.specifier}: ${why}`] : []
    }),
  )
}
