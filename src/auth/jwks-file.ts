import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'

import type { CryptoKey, LocalJWKSet } from 'jose'

import type { Logger } from '../options.ts'
import { FileWatch } from './file-watch.ts'
import { keysOf, readKeySet, type KeyQuery, type KeySource } from './jwt-keys.ts'
import { invalid } from './jwt-options.ts'
import { tell } from './tell.ts'

/** A key set in a file, read again when the file changes. One that can't be read then changes nothing. */
export class FileKeys implements KeySource {
  readonly #path: string
  readonly #logger: Pick<Logger, 'warn'> | undefined
  readonly #watch: FileWatch
  #set: LocalJWKSet

  /** Reads it once; throws SMQ_OPTION_INVALID when that fails. */
  constructor(path: string, logger?: Pick<Logger, 'warn'>) {
    this.#path = path
    this.#logger = logger
    // Watched first: a change while it is read is a change.
    this.#watch = new FileWatch(path, () => this.#reload())
    try {
      this.#set = readKeySet(JSON.parse(readFileSync(path, 'utf8')))
    } catch (error) {
      this.#watch.close()
      throw invalid(`jwksFile: ${JSON.stringify(path)}: ${problemOf(error)}`)
    }
  }

  async *keysFor(query: KeyQuery): AsyncGenerator<CryptoKey> {
    yield* await keysOf(this.#set, query)
  }

  close(): void {
    this.#watch.close()
  }

  async #reload(): Promise<void> {
    try {
      this.#set = readKeySet(JSON.parse(await readFile(this.#path, 'utf8')))
    } catch (error) {
      const details = { file: this.#path, reason: problemOf(error) }
      tell(this.#logger, 'warn', details, 'the JWT keys could not be read')
    }
  }
}

function problemOf(error: unknown): string {
  if (error instanceof SyntaxError) return 'it is not JSON'
  if (error instanceof Error) return 'code' in error ? String(error.code) : error.message
  return 'unknown'
}
