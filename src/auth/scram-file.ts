import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'

import { StatemqError } from '../errors.ts'
import type { Logger } from '../options.ts'
import { FileWatch } from './file-watch.ts'
import { lineFields, maxPasswordFileBytes } from './password-users.ts'
import { replaceFile } from './replace-file.ts'
import {
  formatCredentials,
  saslprep,
  scramCredentials,
  scramMechanisms,
  type ScramMechanism,
} from './scram-credentials.ts'
import { readScramUsers, scramFileHeader, type ScramProfile, type ScramUser, type ScramUsers } from './scram-users.ts'

/** A file of SCRAM users that is read again when it changes. One that breaks leaves the last good one in use. */
export class ScramFile {
  readonly #path: string
  readonly #logger: Pick<Logger, 'info' | 'warn'> | undefined
  readonly #watch: FileWatch
  #content: ScramUsers

  /** Reads the file. Throws SMQ_PASSWORD_FILE_INVALID. */
  constructor(path: string, logger: Pick<Logger, 'info' | 'warn'> | undefined) {
    this.#path = path
    this.#logger = logger
    // Before the file is read: a change in between is then seen as one.
    this.#watch = new FileWatch(path, () => this.#follow())
    try {
      this.#judge(statSync(path))
      this.#content = readScramUsers(readFileSync(path, 'utf8'), path)
    } catch (error) {
      this.#watch.close()
      throw fileError(path, error)
    }
  }

  get secret(): Buffer {
    return this.#content.secret
  }

  profile(mechanism: ScramMechanism): ScramProfile | undefined {
    return this.#content.profiles.get(mechanism)
  }

  find(username: string): ScramUser | undefined {
    return this.#content.users.get(username)
  }

  close(): void {
    this.#watch.close()
  }

  async #follow(): Promise<void> {
    const file = this.#path
    try {
      this.#judge(await stat(file))
      this.#content = readScramUsers(await readFile(file, 'utf8'), file)
      this.#logger?.info({ file, users: this.#content.users.size }, 'the file of SCRAM users was read again')
    } catch (error) {
      const details = { file, err: fileError(file, error) }
      this.#logger?.warn(details, 'the file of SCRAM users was not read again; its users stay as they were')
    }
  }

  #judge({ size, mode }: { readonly size: number; readonly mode: number }): void {
    const file = this.#path
    if (size > maxPasswordFileBytes)
      throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${file}: more than ${maxPasswordFileBytes} bytes`)
    // Threat 96. Others may not read it, and a group not write it.
    if ((mode & 0o027) !== 0) {
      const details = { file, mode: `0${(mode & 0o777).toString(8)}` }
      this.#logger?.warn(details, 'the file of SCRAM users is open to others; chmod 600 keeps the keys to yourself')
    }
  }
}

function fileError(path: string, cause: unknown): StatemqError {
  if (cause instanceof StatemqError) return cause
  return new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: ${(cause as Error).message}`, { cause })
}

/** What {@link addScramUser} takes. */
export interface NewScramUser {
  readonly user: string
  readonly password: string
  /** Default: both. */
  readonly mechanisms?: readonly ScramMechanism[]
  /** Default 15,000. Where the users of a file differ in it, a stranger may guess who exists. */
  readonly iterations?: number
  /** Default: those that the user had. */
  readonly roles?: readonly string[]
}

/**
 * Adds a user to a file of SCRAM users, or gives the one of this name a new password, and makes the
 * file where there is none, readable to its owner only. Everything else in it stays as it is. Rejects
 * with SMQ_OPTION_INVALID and SMQ_PASSWORD_FILE_INVALID.
 */
export async function addScramUser(path: string, options: NewScramUser): Promise<void> {
  const { password, mechanisms = scramMechanisms, iterations, roles } = options
  const user = await preparedName(options.user)
  const credentials = await Promise.all(
    mechanisms.map((mechanism) =>
      scramCredentials(password, { mechanism, ...(iterations === undefined ? {} : { iterations }) }),
    ),
  )
  const lines = await linesOf(path)
  const at = lines.findIndex((line) => lineFields(line)?.['user'] === user)
  const before = at < 0 ? {} : lineFields(lines[at]!)
  const scram = credentials.map(formatCredentials)
  const line = JSON.stringify({ ...before, user, scram, ...(roles === undefined ? {} : { roles }) })
  await replace(path, at < 0 ? [...lines, line] : lines.with(at, line))
}

/** Removes a user; false where there was none. Rejects as {@link addScramUser} does. */
export async function removeScramUser(path: string, name: string): Promise<boolean> {
  const user = await preparedName(name)
  const lines = await linesOf(path)
  const left = lines.filter((line) => lineFields(line)?.['user'] !== user)
  if (left.length === lines.length) return false
  await replace(path, left)
  return true
}

async function preparedName(name: string): Promise<string> {
  const prepared = await saslprep(name, false)
  if (prepared === undefined)
    throw new StatemqError('SMQ_OPTION_INVALID', 'the user name is empty or has forbidden characters')
  return prepared
}

async function linesOf(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return scramFileHeader(randomBytes(32))
    throw fileError(path, error)
  })
  readScramUsers(text, path)
  return text.trimEnd().split('\n')
}

/** What the file would become is read before it becomes so. */
async function replace(path: string, lines: readonly string[]): Promise<void> {
  const text = `${lines.join('\n')}\n`
  readScramUsers(text, path)
  try {
    await replaceFile(path, text)
  } catch (error) {
    throw fileError(path, error)
  }
}
