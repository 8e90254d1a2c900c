import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Looks at the package as a user gets it: packs it (which builds it), has publint and
 * are-the-types-wrong judge the tarball, installs it into an empty project with install scripts
 * blocked, and there type-checks and runs both entry points and the command.
 */
const repository = join(import.meta.dirname, '..')
const bin = join(repository, 'node_modules', '.bin')

function run(cwd: string, command: string, ...args: string[]): void {
  console.log(`$ ${[command.replace(`${bin}/`, ''), ...args].join(' ')}`)
  const { status, error } = spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] })
  if (error) throw error
  if (status !== 0) throw new Error(`ended with status ${status}`)
}

/** Uses types of both entries; the line that must not compile is checked by the directive above it. */
const consumer = `
import { StatemqError, createBroker, type Message } from 'statemq'
import { Aedes } from 'statemq/aedes'
import { sessionMachine, type SessionEvent } from 'statemq/machines'
import { testBroker } from 'statemq/testing'

const broker = createBroker({ limits: { maxQueuedMessages: 5 } })
const listener = await broker.listen({ transport: 'tcp', port: 0 })
const subscription = broker.messages('a/#').subscribe((message: Message) => console.log(message.topic))
subscription.unsubscribe()
const online: boolean = 'online' in sessionMachine.states
if (!online) throw new StatemqError('SMQ_MACHINE_INVALID')
// @ts-expect-error: no such event
export const wrong: SessionEvent = { type: 'no.such.event' }
// @ts-expect-error: no such option
export const misspelt = (): unknown => createBroker({ limits: { maxQueuedMassages: 5 } })
console.log(typeof listener)
// The page of the inspector is in the package.
const { origin } = new URL((await broker.inspect({ port: 0 })).url)
const page = await (await fetch(origin)).text()
const [script] = /assets\\/[^"]+\\.js/.exec(page) ?? []
if (!script || !(await fetch(origin + '/' + script)).ok) throw new Error('no page')
const bench = testBroker()
await (await bench.connect({ clientId: 'a' })).publish({ topic: 'a', qos: 1 })
await bench.close()
const aedes = await Aedes.createBroker({ authenticate: (client, _user, _password, done) => done(null, client.id !== '') })
await new Promise<void>((resolve) => aedes.close(resolve))
await broker.close({ drainTimeoutMs: 1_000 })
`

const compilerOptions = {
  target: 'es2024',
  module: 'nodenext',
  strict: true,
  exactOptionalPropertyTypes: true,
  // Not skipped by everyone, but xstate's own declarations need it with exact optionals.
  skipLibCheck: true,
  noEmit: true,
  types: ['node'],
  typeRoots: [join(repository, 'node_modules', '@types')],
}

const folder = mkdtempSync(join(tmpdir(), 'statemq-pack-'))
try {
  run(repository, 'npm', 'pack', '--silent', '--pack-destination', folder)
  const tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? 'none.tgz')
  run(repository, join(bin, 'publint'), 'run', tarball, '--strict')
  run(repository, join(bin, 'attw'), tarball, '--profile', 'esm-only')

  const project = join(folder, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
  writeFileSync(join(project, 'consumer.ts'), consumer)
  run(project, 'npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', tarball)
  run(project, join(bin, 'tsc'), '-p', '.')
  run(project, process.execPath, 'consumer.ts')
  run(project, process.execPath, join('node_modules', '.bin', 'statemq'), '--version')
  run(project, process.execPath, join('node_modules', '.bin', 'statemq'), 'check')
} catch (error) {
  console.error(`package check: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
