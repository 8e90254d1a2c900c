import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'

import { StatemqError } from '../errors.ts'
import type { Logger } from '../options.ts'
import { deleteUser, editUserFile, userOf, type UserFileKind } from './edit-user-file.ts'
import { FileWatch } from './file-watch.ts'
import { Followers } from './followers.ts'
import { lineFields, maxPasswordFileBytes } from './password-users.ts'
import {
  formatCredentials,
  saslprep,
  scramCredentials,
  scramMechanisms,
  type ScramMechanism,
} from './scram-credentials.ts'
import { readScramUsers, scramFileHeader, type ScramProfile, type ScramUser, type ScramUsers } from './scram-users.ts'
import { tell } from './tell.ts'

/** A file of SCRAM users that is read again when it changes. One that breaks leaves the last good one in use. */
export class ScramFile {
  readonly #path: string
  readonly #logger: Pick<Logger, 'info' | 'warn'> | undefined
  readonly #watch: FileWatch
  readonly followers = new Followers()
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
      const details = { file, users: this.#content.users.size }
      tell(this.#logger, 'info', details, 'the file of SCRAM users was read again')
      await this.followers.tell()
    } catch (error) {
      const details = { file, err: fileError(file, error) }
      tell(this.#logger, 'warn', details, 'the file of SCRAM users was not read again; its users stay as they were')
    }
  }

  #judge({ size, mode }: { readonly size: number; readonly mode: number }): void {
    const file = this.#path
    if (size > maxPasswordFileBytes)
      throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${file}: more than ${maxPasswordFileBytes} bytes`)
    // Threat 96. Others may not read it, and a group not write it.
    if ((mode & 0o027) !== 0) {
      const details = { file, mode: `0${(mode & 0o777).toString(8)}` }
      tell(
        this.#logger,
        'warn',
        details,
        'the file of SCRAM users is open to others; chmod 600 keeps the keys to yourself',
      )
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

const scramFileKind: UserFileKind = {
  header: () => scramFileHeader(randomBytes(32)),
  judge: (text, path) => void readScramUsers(text, path),
}

/**
 * Adds a user to a file of SCRAM users, or gives the one of this name a new password, and makes the
 * file where there is none, readable to its owner only. Everything else in it stays as it is. Resolves
 * with whether the user is new. Rejects with SMQ_OPTION_INVALID and SMQ_PASSWORD_FILE_INVALID.
 */
export async function addScramUser(path: string, options: NewScramUser): Promise<boolean> {
  const { password, mechanisms = scramMechanisms, iterations, roles } = options
  const user = await preparedName(options.user)
  const credentials = await Promise.all(
    mechanisms.map((mechanism) =>
      scramCredentials(password, { mechanism, ...(iterations === undefined ? {} : { iterations }) }),
    ),
  )
  const changed = { user, scram: credentials.map(formatCredentials), ...(roles === undefined ? {} : { roles }) }
  let isNew = true
  await editUserFile(path, scramFileKind, true, (lines) => {
    const index = lines.findIndex((line) => userOf(line) === user)
    isNew = index < 0
    const line = JSON.stringify({ ...(isNew ? {} : lineFields(lines[index]!)), ...changed })
    if (isNew) lines.push(line)
    else lines[index] = line
  })
  return isNew
}

/** Removes a user. Rejects as {@link addScramUser} does, and where there is none of that name. */
export async function removeScramUser(path: string, user: string): Promise<void> {
  await deleteUser(path, scramFileKind, await preparedName(user))
}

async function preparedName(name: string): Promise<string> {
  const prepared = await saslprep(name, false)
  if (prepared === undefined)
    throw new StatemqError('SMQ_OPTION_INVALID', 'the user name is empty or has forbidden characters')
  return prepared
}
