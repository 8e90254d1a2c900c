import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

/**
 * Does what docs/first-steps.md says, in its order, in an empty folder, with the package as it is packed: files are
 * saved, commands typed into one shell, and every line that the page shows has to come, in that order. Only the name
 * of the package to install and the two ports are others.
 */
const repository = join(import.meta.dirname, '..')
/** Of one block. A first start on a busy machine takes seconds. */
const BLOCK_TIMEOUT_MS = 120_000

/** What the page promises. */
const MAX_SECONDS = 600

interface Block {
  readonly language: string
  readonly text: string
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}

/** One shell for all blocks: folders, variables and jobs stay. */
class Shell {
  readonly #shell
  #output = ''
  #ended = false
  #look: () => void = () => {}

  constructor(folder: string, environment: NodeJS.ProcessEnv) {
    this.#shell = spawn('bash', ['--norc'], {
      cwd: folder,
      env: environment,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    })
    for (const stream of [this.#shell.stdout, this.#shell.stderr])
      stream.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString()
        process.stdout.write(chunk)
        this.#look()
      })
    this.#shell.once('exit', () => {
      this.#ended = true
      this.#look()
    })
  }

  /** Runs a block, and waits until its commands are done and the lines have come. Its jobs go on. */
  async run(text: string, expected: readonly string[]): Promise<void> {
    const mark = `end-of-block-${Math.random().toString(36).slice(2)}`
    this.#output = ''
    this.#shell.stdin.write(`${text}\necho ${mark} $?\n`)
    const isDone = (): boolean =>
      new RegExp(`^${mark} \\d+$`, 'm').test(this.#output) && missing(expected, this.#output) === undefined
    const reached = await new Promise<boolean>((resolve) => {
      const guard = setTimeout(() => resolve(false), BLOCK_TIMEOUT_MS)
      this.#look = () => {
        if (!isDone() && !this.#ended) return
        clearTimeout(guard)
        resolve(isDone())
      }
      this.#look()
    })
    if (!reached)
      throw new Error(`this did not do what the page says:\n${text}\nmissing: ${missing(expected, this.#output)}`)
    const status = new RegExp(`^${mark} (\\d+)$`, 'm').exec(this.#output)?.[1]
    if (status !== '0') throw new Error(`ended with status ${status}:\n${text}`)
  }

  close(): void {
    try {
      // With whatever it has started.
      if (this.#shell.pid !== undefined && !this.#ended) process.kill(-this.#shell.pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
}

/** The first line that did not come in its turn; undefined: all did. */
function missing(expected: readonly string[], output: string): string | undefined {
  let from = 0
  return expected.find((line) => {
    const at = output.indexOf(line, from)
    if (at < 0) return true
    from = at + line.length
    return false
  })
}

const page = readFileSync(join(repository, 'docs', 'first-steps.md'), 'utf8')
const blocks: Block[] = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map((match) => ({
  language: match[1]!,
  text: match[2]!,
}))
const folder = mkdtempSync(join(tmpdir(), 'statemq-first-steps-'))
const startedAt = performance.now()
let shell: Shell | undefined = undefined
try {
  const packed = spawnSync('npm', ['pack', '--silent', '--pack-destination', folder], {
    cwd: repository,
    stdio: 'inherit',
  })
  if (packed.status !== 0) throw new Error('npm pack failed')
  const tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? 'none.tgz')
  const [mqtt, inspect] = [await freePort(), await freePort()]
  const here = (text: string): string => text.replaceAll('1883', `${mqtt}`).replaceAll('7883', `${inspect}`)
  shell = new Shell(folder, {
    ...process.env,
    PATH: `${join(repository, 'node_modules', '.bin')}${delimiter}${process.env['PATH'] ?? ''}`,
    STATEMQ_MQTT_URL: `mqtt://127.0.0.1:${mqtt}`,
    STATEMQ_URL: `http://127.0.0.1:${inspect}`,
    npm_config_update_notifier: 'false',
  })
  for (const [index, { language, text }] of blocks.entries()) {
    if (language === 'ts') {
      const [, name] = /^\/\/ (\S+)\n/.exec(text) ?? []
      if (name === undefined) throw new Error(`a file without a name:\n${text}`)
      writeFileSync(join(folder, 'first-broker', name), here(text))
    } else if (language === 'sh') {
      const following = blocks[index + 1]
      const expected = following?.language === 'text' ? here(following.text).trimEnd().split('\n') : []
      const install = `npm install --ignore-scripts --no-audit --no-fund --prefer-offline ${tarball}`
      await shell.run(here(text).replace('npm install statemq', install), expected)
    }
  }
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  console.log(`first steps: ${blocks.length} blocks, ${seconds} s`)
  if (seconds > MAX_SECONDS) throw new Error(`took more than ${MAX_SECONDS} s`)
} catch (error) {
  console.error(`first steps: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
} finally {
  shell?.close()
  rmSync(folder, { recursive: true, force: true })
}
