/**
 * The `statemq` command as a process of its own:
 *
 * ```ts
 * const { status, err } = runCommand(['check', '--set', 'x=1'])
 * const broker = await startCommand(['--port', '0', '--store', 'memory'])
 * … broker.port …
 * broker.child.kill('SIGTERM')
 * expect(await broker.ended).toEqual([0, null])
 * ```
 *
 * Without a `cwd` it runs in a folder of its own, which is where it keeps what it is not told to keep elsewhere.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'

import { repository } from './source-files.ts'
import { tempFolder } from './temp-files.ts'

const main = join(repository, 'src', 'cli', 'main.ts')

/** A guard, far beyond what any command takes: a worker that waits for a process can't tell that a test takes too long. */
const RUN_TIMEOUT_MS = 120_000

export interface LogLine {
  readonly msg: string
  readonly level: number
  readonly [field: string]: unknown
}

/** A listener as the log names it. */
export interface LoggedListener {
  readonly name: string
  readonly transport: string
  readonly host?: string
  readonly port: number
  readonly path?: string
}

export interface CommandOptions {
  /** Default: a fresh folder. */
  readonly cwd?: string
  /** The user that runs it; for tests that are run by root. */
  readonly uid?: number
  /** Variables on top of those of the tests. */
  readonly env?: Readonly<Record<string, string>>
}

/** Runs a command line that ends by itself. */
export function runCommand(
  words: readonly string[],
  { cwd = tempFolder(), env, ...user }: CommandOptions = {},
): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [main, ...words], {
    cwd,
    ...user,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  if (error) throw new Error(`statemq ${words.join(' ')} printed ${stdout}${stderr}`, { cause: error })
  return { status, out: stdout, err: stderr }
}

export type RunningCommand = Awaited<ReturnType<typeof startCommand>>

/** Starts a broker and waits until its log says where it listens. */
export async function startCommand(words: readonly string[], { cwd = tempFolder(), env }: CommandOptions = {}) {
  const child = spawn(process.execPath, [main, ...words], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const lines: LogLine[] = []
  const watchers = new Set<() => void>()
  let complaints = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk.toString()
  })
  createInterface({ input: child.stdout }).on('line', (text) => {
    lines.push(JSON.parse(text) as LogLine)
    for (const watcher of watchers) watcher()
  })
  child.once('exit', () => {
    for (const watcher of watchers) watcher()
  })

  /** The first line of the log with this text. */
  const logged = (text: string): Promise<LogLine> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const line = lines.find(({ msg }) => msg.includes(text))
        if (line) resolve(line)
        else if (child.exitCode !== null || child.signalCode !== null) {
          reject(new Error(`ended before it logged "${text}": ${complaints}`))
        } else return
        watchers.delete(look)
      }
      watchers.add(look)
      look()
    })

  const ready = await logged('statemq listens on')
  const listeners = ready['listeners'] as readonly LoggedListener[]
  const complained = (): string => complaints
  return { child, cwd, lines, logged, ready, listeners, port: listeners[0]!.port, ended, complained }
}
