/**
 * A Redis of the test's own: on a socket in a folder of its own, with the append-only file on, so that
 * it can be killed and comes back with what it had.
 *
 * ```ts
 * const redis = await startRedis()
 * const store = new RedisStore({ url: redis.url })
 * await redis.kill()
 * await redis.start()
 * ```
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { Redis } from 'ioredis'

/** A guard, not a wait: long beside what a start needs, even on a busy machine. */
const START_TIMEOUT_MS = 20_000

export interface TestRedisOptions {
  /** Default `redis-server`. */
  readonly program?: string
  /** Words before the settings: a configuration file. */
  readonly words?: readonly string[]
  /** Its password, for the test itself. */
  readonly password?: string
}

export class TestRedis {
  readonly #options: TestRedisOptions
  readonly directory = mkdtempSync(join(tmpdir(), 'statemq-redis-'))
  readonly #settings: Readonly<Record<string, string>>
  #child: ChildProcess | undefined
  #admin: Redis | undefined

  constructor(settings: Readonly<Record<string, string>> = {}, options: TestRedisOptions = {}) {
    this.#settings = { appendonly: 'yes', appendfsync: 'everysec', ...settings }
    this.#options = options
  }

  get socket(): string {
    return join(this.directory, 'redis.sock')
  }

  get url(): string {
    return this.socket
  }

  /** For the test itself: what it looks at, and what it breaks. */
  get admin(): Redis {
    const { password } = this.#options
    const more = password === undefined ? {} : { password }
    this.#admin ??= new Redis(this.socket, { lazyConnect: true, retryStrategy: () => 50, ...more }).on(
      'error',
      () => {},
    )
    return this.#admin
  }

  /** `more`: settings of this start alone. */
  async start(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const settings = { port: '0', unixsocket: this.socket, save: '', dir: this.directory, ...this.#settings, ...more }
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
    rmSync(this.socket, { force: true })
    const { program = 'redis-server', words = [], password } = this.#options
    const child = spawn(program, [...words, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const isReady = async (): Promise<boolean> => {
      const options = { lazyConnect: true, retryStrategy: null, enableReadyCheck: false } as const
      const probe = new Redis(this.socket, { ...options, ...(password === undefined ? {} : { password }) })
      probe.on('error', () => {})
      try {
        await probe.connect()
        return (await probe.ping()) === 'PONG'
      } catch {
        return false
      } finally {
        probe.disconnect()
      }
    }
    for (const until = Date.now() + START_TIMEOUT_MS; !existsSync(this.socket) || !(await isReady()); await sleep(10)) {
      if (child.exitCode !== null || Date.now() > until) throw new Error(`redis-server did not start:\n${output}`)
    }
  }

  /** Without a chance to write anything more. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  /** It takes connections and answers nothing, like a machine that is gone behind a network that is not. */
  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Everything it wrote is gone with it. */
  async end(): Promise<void> {
    this.#admin?.disconnect()
    await this.kill()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Ports that nobody has just now. */
export async function freePorts(count: number): Promise<string[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => `${(server.address() as AddressInfo).port}`)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

export async function startRedis(
  settings: Readonly<Record<string, string>> = {},
  options: TestRedisOptions = {},
): Promise<TestRedis> {
  const redis = new TestRedis(settings, options)
  try {
    await redis.start()
  } catch (error) {
    await redis.end()
    throw error
  }
  return redis
}

/**
 * The store's owner is one of an earlier term while `use` runs: what is asked in its name fails, so that a job that is due
 * fails as it would behind a network that lets answers through late. Nothing may be written meanwhile.
 */
export async function withLateOwner(redis: TestRedis, use: () => Promise<void>): Promise<void> {
  const key = 'statemq:{store}:owner'
  const fence = (await redis.admin.get(key))!
  await redis.admin.set(key, fence.replace(/#\d+$/, '#0'))
  try {
    await use()
  } finally {
    await redis.admin.set(key, fence)
  }
}
