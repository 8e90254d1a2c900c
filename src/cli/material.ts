import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

import { StatemqError } from '../errors.ts'
import type { SecretReference } from './authenticator-schema.ts'
import type { LoadedConfig } from './config-file.ts'
import { ConfigurationError, type Problem } from './config-problems.ts'

/** Where something stands in a configuration. */
export type Place = ReadonlyArray<string | number>

/** Far above any key, certificate or list of them. */
const MAX_FILE_BYTES = 16_777_216

/**
 * What a configuration names and does not hold: files, relative to the configuration file, and
 * variables of the environment. Collects everything that is wrong, with its place.
 */
export class Material {
  readonly #problems: Problem[] = []
  readonly #folder: string
  readonly #locate: LoadedConfig['locate']

  constructor(file: string | undefined, locate: LoadedConfig['locate']) {
    this.#folder = file === undefined ? process.cwd() : dirname(resolve(file))
    this.#locate = locate
  }

  resolve(path: string): string {
    return resolve(this.#folder, path)
  }

  /** Empty where it can't be read. */
  read(path: string, place: Place): Buffer {
    try {
      const content = readFileSync(this.resolve(path))
      if (content.length > MAX_FILE_BYTES) throw new Error(`${path} has more than ${MAX_FILE_BYTES} bytes`)
      return content
    } catch (error) {
      this.add(place, (error as Error).message)
      return Buffer.alloc(0)
    }
  }

  /** The secret behind a reference; a file may end with a line end, as editors will have it. */
  secret(reference: SecretReference, place: Place): Buffer {
    if ('file' in reference) {
      const content = this.read(reference.file, [...place, 'file']).toString('latin1')
      return Buffer.from(content.replace(/\r?\n$/, ''), 'latin1')
    }
    const value = process.env[reference.env]
    if (value === undefined || value === '') this.add([...place, 'env'], `there is no variable ${reference.env}`)
    return Buffer.from(value ?? '')
  }

  /** Something that throws a {@link StatemqError} is a problem of this place; undefined then. */
  try<T>(place: Place, make: () => T): T | undefined {
    try {
      return make()
    } catch (error) {
      if (!(error instanceof StatemqError)) throw error
      this.add(place, error.message)
      return undefined
    }
  }

  add(place: Place, message: string): void {
    this.#problems.push({ where: this.#locate(place), message: `${place.join('.')}: ${message}` })
  }

  get isSound(): boolean {
    return this.#problems.length === 0
  }

  /** Throws a {@link ConfigurationError} with everything that was wrong. */
  assertSound(): void {
    if (this.#problems.length > 0) throw new ConfigurationError(this.#problems)
  }
}
