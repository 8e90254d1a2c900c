import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { writeIdentityConfig } from './identity.ts'
import { findProgram, type Pinning } from './machine.ts'

export type BrokerName =
  | 'statemq'
  | 'statemq-memory'
  | 'statemq-redis'
  | 'statemq-open'
  | 'aedes'
  | 'aedes-redis'
  | 'mosquitto'

/**
 * `engine`: everything in memory, beside others. `durable`: what is acknowledged is on disk. `identity`: with tokens and
 * roles, beside itself without.
 */
export type Group = 'engine' | 'durable' | 'identity'

export interface BrokerKind {
  readonly name: BrokerName
  /** As the table names it. */
  readonly title: string
  command(start: StartOptions): readonly string[]
  /** A server that it needs, of its own: started before it, and killed after it. What it costs is not counted as the broker's. */
  beside?(folder: string): readonly string[]
}

export interface StartOptions {
  readonly port: number
  /** The file that runs statemq. */
  readonly entry: string
  /** What statemq gets as `--set`. */
  readonly raised: readonly string[]
  /** For a broker's own files; removed when it stops. */
  readonly folder: string
  /** What a durable statemq has already; it stays. Undefined: it begins with nothing. */
  readonly data?: string | undefined
}

export interface RunningBroker {
  readonly port: number
  readonly pid: number
  /** From the start of its process until it took connections. */
  readonly startedInMs: number
  /** The end of what it logged, for a run that failed. */
  lastWords(): string
  stop(): Promise<void>
}

/** Some bring back a million messages. */
const startTimeoutMs = 240_000
/** A drain of statemq ends after five seconds at the latest. */
const stopTimeoutMs = 8_000

function versionIn(packageFile: string): string {
  return (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }).version
}

/** Snapshots, the only way there is: what is acknowledged between two of them is lost with the process. */
const snapshotSeconds = 5

/** Anonymous, no bound on queues, and TCP_NODELAY as the others have it. */
function mosquittoConfig(port: number, group: Group, folder: string): string {
  return [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'max_queued_messages 0',
    'max_inflight_messages 0',
    'set_tcp_nodelay true',
    'log_type error',
    ...(group === 'engine'
      ? ['persistence false']
      : ['persistence true', `persistence_location ${folder}/`, `autosave_interval ${snapshotSeconds}`]),
    // Started by root it would become a user that can't read the folder it was given.
    ...(process.getuid?.() === 0 ? ['user root'] : []),
    '',
  ].join('\n')
}

function mosquitto(group: Group): BrokerKind | undefined {
  const program = findProgram('mosquitto')
  if (program === undefined) return undefined
  const version = /^mosquitto version (\S+)/m.exec(spawnSync(program, ['-h'], { encoding: 'utf8' }).stdout)?.[1]
  return {
    name: 'mosquitto',
    title: `mosquitto${version === undefined ? '' : ` ${version}`}${group === 'durable' ? `, a snapshot every ${snapshotSeconds} s` : ''}`,
    command: ({ port, folder }) => {
      const file = join(folder, 'mosquitto.conf')
      writeFileSync(file, mosquittoConfig(port, group, folder))
      return [program, '-c', file]
    },
  }
}

/** The Node that comes with the repository; the current one where its install was blocked. */
export function nodeProgram(repository: string): string {
  const own = join(repository, 'node_modules', 'node', 'bin', 'node')
  return existsSync(own) ? own : process.execPath
}

/** The brokers that this machine can run, in the order in which they take their turns. */
export function availableBrokers(repository: string, group: Group): readonly BrokerKind[] {
  const node = nodeProgram(repository)
  const version = versionIn(join(repository, 'package.json'))
  const ours = (name: BrokerName, title: string, store: (start: StartOptions) => readonly string[]): BrokerKind => ({
    name,
    title,
    command: (start) => [
      node,
      start.entry,
      '--port',
      `${start.port}`,
      ...store(start),
      ...start.raised.flatMap((setting) => ['--set', setting]),
    ],
  })
  const inMemory = (): readonly string[] => ['--store', 'memory']
  if (group === 'durable') {
    const redis = findProgram('redis-server')
    const beside = (folder: string): readonly string[] => [
      ...[redis!, '--port', '0', '--unixsocket', redisSocket(folder), '--dir', folder, '--save', ''],
      ...['--appendonly', 'yes', '--appendfsync', 'everysec'],
    ]
    const inRedis = ({ folder }: StartOptions): readonly string[] => ['--redis', redisSocket(folder)]
    const onDisk = ({ folder, data = join(folder, 'data') }: StartOptions): readonly string[] => [
      ...['--store', 'lmdb', '--durability', 'disk', '--data', data],
    ]
    return [
      ours('statemq', `statemq ${version}, LMDB, flushed`, onDisk),
      redis === undefined
        ? undefined
        : { ...ours('statemq-redis', `statemq ${version}, Redis and BullMQ`, inRedis), beside },
      ours('statemq-memory', 'statemq in memory', inMemory),
      redis === undefined ? undefined : aedesInRedis(node, beside),
      mosquitto(group),
    ].filter((kind) => kind !== undefined)
  }
  if (group === 'identity') {
    const withRoles = ({ folder }: StartOptions): readonly string[] => [
      ...inMemory(),
      '--config',
      writeIdentityConfig(folder),
    ]
    return [
      ours('statemq', `statemq ${version}, tokens and 100 roles of 20 permissions`, withRoles),
      ours('statemq-open', 'statemq without', inMemory),
    ]
  }
  const aedes: BrokerKind = {
    name: 'aedes',
    title: `Aedes ${versionIn(join(repository, 'node_modules', 'aedes', 'package.json'))}`,
    command: ({ port }) => [node, join(import.meta.dirname, 'aedes.mjs'), `${port}`],
  }
  return [ours('statemq', `statemq ${version}`, inMemory), aedes, mosquitto(group)].filter((kind) => kind !== undefined)
}

function redisSocket(folder: string): string {
  return join(folder, 'redis.sock')
}

/**
 * Aedes with its store and its emitter in Redis, from a folder that AEDES_REDIS names, where
 * `npm install --legacy-peer-deps aedes aedes-persistence-redis mqemitter-redis` has been run.
 */
function aedesInRedis(node: string, beside: BrokerKind['beside'] & object): BrokerKind | undefined {
  const folder = process.env['AEDES_REDIS']
  if (folder === undefined) return undefined
  const version = versionIn(join(folder, 'node_modules', 'aedes', 'package.json'))
  const script = join(import.meta.dirname, 'aedes-redis.mjs')
  return {
    name: 'aedes-redis',
    title: `Aedes ${version} with Redis`,
    command: (start) => [node, script, `${start.port}`, redisSocket(start.folder), folder],
    beside,
  }
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

const running = new Set<ChildProcess>()
// Whatever ends this process, no broker stays behind.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function stop(child: ChildProcess, ended: Promise<unknown>, folder: string): Promise<void> {
  child.kill('SIGTERM')
  await Promise.race([ended, delay(stopTimeoutMs, undefined, { ref: false })])
  if (!hasEnded(child)) child.kill('SIGKILL')
  await ended
  rmSync(folder, { recursive: true, force: true })
}

function startBeside(command: readonly string[] | undefined): ChildProcess | undefined {
  if (command === undefined) return undefined
  const [program = '', ...args] = command
  const child = spawn(program, args, { stdio: 'ignore' })
  running.add(child)
  child.once('exit', () => running.delete(child))
  // It takes connections before the broker's own start has come so far.
  return child
}

/** Starts a broker on a free port and waits until it accepts connections. */
export async function startBroker(
  kind: BrokerKind,
  pinning: Pinning,
  { entry, raised, data }: Pick<StartOptions, 'entry' | 'raised' | 'data'>,
  workFolder: string,
): Promise<RunningBroker> {
  const folder = mkdtempSync(join(workFolder, `${kind.name}-`))
  const port = await freePort()
  const server = startBeside(kind.beside?.(folder))
  const [program = '', ...args] = pinning.broker(kind.command({ port, entry, raised, folder, data }))
  const logFile = join(folder, 'log')
  const log = openSync(logFile, 'w')
  const child = spawn(program, args, { stdio: ['ignore', log, log] })
  closeSync(log)
  running.add(child)
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve())
    child.once('exit', () => resolve())
  }).finally(() => {
    running.delete(child)
    server?.kill('SIGKILL')
  })
  const lastWords = (): string => readFileSync(logFile, 'utf8').trim().split('\n').slice(-12).join('\n')
  const startedAt = performance.now()
  const deadline = startedAt + startTimeoutMs
  while (!(await accepts(port))) {
    if (hasEnded(child) || child.pid === undefined || performance.now() > deadline) {
      const words = lastWords()
      if (child.pid !== undefined) await stop(child, ended, folder)
      throw new Error(`${kind.title} did not start (${[program, ...args].join(' ')}): ${words}`)
    }
    await delay(25)
  }
  const startedInMs = performance.now() - startedAt
  return { port, pid: child.pid ?? 0, startedInMs, lastWords, stop: () => stop(child, ended, folder) }
}
