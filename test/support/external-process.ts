/**
 * A program that runs beside the test and is told apart from the broker by being somebody else's.
 * The test waits for its lines; every wait ends when the program ends, and the program is killed
 * when its time is over or the test has finished. Whatever fails shows the program's output.
 *
 * ```ts
 * const sub = new ExternalProcess('mosquitto_sub', ['-t', 'a'])
 * expect(await sub.line()).toBe('hello')
 * expect(await sub.status()).toBe(0)
 * ```
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'

/** A guard, not a wait: long beside what these programs need, even on a busy machine. */
const defaultTimeoutMs = 20_000

export class ExternalProcess {
  readonly #child: ChildProcess
  readonly #command: string
  readonly #lines: string[] = []
  readonly #changes = new EventEmitter()
  #output = ''
  #ending: string | undefined
  #status: number | null = null

  constructor(command: string, args: readonly string[], timeoutMs: number = defaultTimeoutMs) {
    this.#command = [command, ...args].join(' ')
    const child = spawn(command, args, { stdio: 'pipe' })
    this.#child = child
    const guard = setTimeout(() => this.#kill(`was killed after ${timeoutMs} ms`), timeoutMs)
    const reader = createInterface({ input: child.stdout })
    reader.on('line', (line) => {
      this.#output += `${line}\n`
      this.#lines.push(line)
      this.#changes.emit('change')
    })
    child.stderr.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString()
    })
    // A program that has ended does not read; the wait for its lines says so better.
    child.stdin.on('error', () => {})
    child.on('error', (error) => this.#end(`could not be started: ${error.message}`))
    // 'close' comes when all output has been read, unlike 'exit'.
    child.on('close', (status, signal) => {
      clearTimeout(guard)
      this.#status = status
      this.#end(signal ? `ended by ${signal}` : `ended with status ${status}`)
    })
    onTestFinished(() => this.kill())
  }

  /** The next line of its standard output. */
  async line(): Promise<string> {
    for (;;) {
      const line = this.#lines.shift()
      if (line !== undefined) return line
      if (this.#ending !== undefined) throw new Error(`waited for a line: ${this.describe()}`)
      await once(this.#changes, 'change')
    }
  }

  /** Its exit status, once it has ended by itself; null where a signal ended it. */
  async status(): Promise<number | null> {
    while (this.#ending === undefined) await once(this.#changes, 'change')
    return this.#status
  }

  /** Waits for its end; fails unless that was a success. Gives the lines that nobody has taken. */
  async finished(): Promise<string[]> {
    if ((await this.status()) !== 0) throw new Error(this.describe())
    return this.#lines.splice(0)
  }

  write(line: string): void {
    this.#child.stdin?.write(`${line}\n`)
  }

  /** Ends it without a chance to say goodbye: the system closes its sockets. */
  kill(): void {
    this.#kill('was killed')
  }

  /** Stops it without ending it: its connections stay open and silent. */
  freeze(): void {
    this.#child.kill('SIGSTOP')
  }

  /** Lets it go on. */
  thaw(): void {
    this.#child.kill('SIGCONT')
  }

  describe(): string {
    return `${this.#command}\n${this.#ending ?? 'is running'}; its output:\n${this.#output || '(nothing)'}`
  }

  #kill(why: string): void {
    if (this.#ending !== undefined) return
    this.#output += `[${why}]\n`
    this.#child.kill('SIGKILL')
  }

  #end(how: string): void {
    this.#ending ??= how
    this.#changes.emit('change')
  }
}
