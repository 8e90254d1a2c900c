import { statSync, watch, type FSWatcher } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Editors and `rename` make several events of one change. */
const SETTLE_MS = 100
/** What no event tells (network file systems, links into other folders) is seen this often. */
const POLL_MS = 5_000

/**
 * Calls `changed` when the file behind a path is another one than before, or has other contents: one
 * call at a time, and once more if it changed meanwhile. Watches the folder, since a file that is
 * replaced would not be watched any more. Keeps no process alive.
 */
export class FileWatch {
  readonly #path: string
  readonly #changed: () => Promise<void>
  readonly #poll: NodeJS.Timeout
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  #seen: string
  #busy = false
  #closed = false

  /** What is there now counts as known. */
  constructor(path: string, changed: () => Promise<void>) {
    this.#path = path
    this.#changed = changed
    this.#seen = signature(() => statSync(path, { bigint: true }))
    try {
      this.#watcher = watch(dirname(path), { persistent: false }, () => this.#soon())
      this.#watcher.on('error', () => this.#watcher?.close())
    } catch {
      // The polling is left.
    }
    this.#poll = setInterval(() => void this.#look(), POLL_MS).unref()
  }

  close(): void {
    this.#closed = true
    this.#watcher?.close()
    clearInterval(this.#poll)
    clearTimeout(this.#timer)
  }

  #soon(): void {
    clearTimeout(this.#timer)
    if (!this.#closed) this.#timer = setTimeout(() => void this.#look(), SETTLE_MS).unref()
  }

  async #look(): Promise<void> {
    if (this.#busy || this.#closed) return
    this.#busy = true
    try {
      for (;;) {
        const facts = await stat(this.#path, { bigint: true }).catch(() => undefined)
        const now = facts ? signature(() => facts) : MISSING
        if (now === this.#seen || this.#closed) return
        this.#seen = now
        await this.#changed()
      }
    } finally {
      this.#busy = false
    }
  }
}

const MISSING = 'missing'

interface FileFacts {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

function signature(read: () => FileFacts): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = read()
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch {
    return MISSING
  }
}
