/**
 * Starts `fault-broker.ts` in a process with a small heap and talks to it:
 *
 * ```ts
 * const child = await startChild({ limits: { maxConnectsPerSecond: Infinity } })
 * await child.ask('begin')
 * … child.port …
 * const usage = await child.usage()      // fails when the process has ended, whatever ended it
 * ```
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'

import { expect, onTestFinished } from 'vitest'

import type { BrokerOptions } from '../../src/index.ts'
import type { Request, Response, Usage } from './fault-broker.ts'

export interface ChildOptions extends BrokerOptions {
  /** Time that `jump` moves. */
  readonly jumping?: boolean
}

export interface ChildSettings {
  /** Megabytes of V8's old generation. Default 256. */
  readonly heapMegabytes?: number
  /** File descriptors that the process may have. Default: as many as this one. */
  readonly maxFiles?: number
}

export class ChildBroker {
  readonly port: number
  readonly #process: ChildProcess
  readonly #waiting: Map<number, (response: Response) => void>
  #lastId = 0

  constructor(child: ChildProcess, waiting: Map<number, (response: Response) => void>, port: number) {
    this.#process = child
    this.#waiting = waiting
    this.port = port
  }

  /** Calls one of the functions of `fault-broker.ts`. */
  async ask(call: Request['call'], argument?: unknown): Promise<unknown> {
    return askChild(this.#process, this.#waiting, { id: (this.#lastId += 1) + 1, call, argument })
  }

  async usage(): Promise<Usage> {
    return (await this.ask('usage')) as Usage
  }

  /** How many sessions there are. */
  async sessions(): Promise<number> {
    return (await this.ask('sessions')) as number
  }

  /** Memory grew by no more than this and the loop was blocked for no longer than this. */
  async expectWithin(limits: { readonly megabytes: number; readonly blockMs: number }): Promise<Usage> {
    const usage = await this.usage()
    const megabytes = (usage.peakRssBytes - usage.baseRssBytes) / 1e6
    const isWithin = megabytes < limits.megabytes && usage.maxBlockMs < limits.blockMs
    // As one value, so that a failure tells all that was measured.
    expect(isWithin ? 'within' : { megabytes, ...usage }).toBe('within')
    return usage
  }

  /** A plain socket on which nothing was sent. */
  async socket(): Promise<Socket> {
    const socket = connectSocket({ port: this.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    onTestFinished(() => void socket.destroy())
    await Promise.race([once(socket, 'connect'), once(socket, 'close')])
    return socket
  }
}

async function askChild(
  child: ChildProcess,
  waiting: Map<number, (response: Response) => void>,
  request: Request,
): Promise<unknown> {
  if (child.exitCode !== null || child.signalCode !== null) {
    throw new Error(`the broker's process is gone: ${child.exitCode ?? child.signalCode}`)
  }
  const { result, error } = await new Promise<Response>((resolve) => {
    waiting.set(request.id, resolve)
    child.send(request)
  })
  if (error !== undefined) throw new Error(error)
  return result
}

export async function startChild(options: ChildOptions = {}, settings: ChildSettings = {}): Promise<ChildBroker> {
  const { heapMegabytes = 256, maxFiles } = settings
  const script = new URL('fault-broker.ts', import.meta.url).pathname
  const node = [process.execPath, `--max-old-space-size=${heapMegabytes}`, '--no-warnings', script]
  const limit = maxFiles === undefined ? '' : `ulimit -n ${maxFiles}; `
  const child = spawn('sh', ['-c', `${limit}exec "$0" "$@"`, ...node], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
    env: { PATH: process.env['PATH'] },
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const waiting = new Map<number, (response: Response) => void>()
  const ready = new Promise<Response>((resolve) => waiting.set(0, resolve))
  child.on('message', (response: Response) => {
    waiting.get(response.id)?.(response)
    waiting.delete(response.id)
  })
  child.once('exit', (code, signal) => {
    for (const resolve of waiting.values()) resolve({ id: 0, error: `the broker's process ended: ${signal ?? code}` })
  })
  const { error } = await ready
  if (error !== undefined) throw new Error(error)
  const port = (await askChild(child, waiting, { id: 1, call: 'start', argument: options })) as number
  return new ChildBroker(child, waiting, port)
}
