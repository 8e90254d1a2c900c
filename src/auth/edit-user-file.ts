import { readFile, stat } from 'node:fs/promises'

import { StatemqError } from '../errors.ts'
import { lineFields } from './password-users.ts'
import { replaceFile } from './replace-file.ts'

/** A kind of file with one user a line, as JSON. */
export interface UserFileKind {
  /** The first line of a new one. */
  header(): string
  /** Throws SMQ_PASSWORD_FILE_INVALID for a text that is none. */
  judge(text: string, path: string): void
}

/** Two commands at once: as often is the change made again on what the other one wrote. */
const MAX_TRIES = 5

/** The user of a line; undefined for other lines. */
export function userOf(line: string): unknown {
  return line.trimStart().startsWith('#') ? undefined : lineFields(line)?.['user']
}

/** Changes of one file by this process are made one after the other. */
const underWay = new Map<string, Promise<void>>()

/**
 * Changes the lines of a file of users, in one step. `change` may be called again, on what another
 * process has written meanwhile. Rejects with SMQ_PASSWORD_FILE_INVALID, also for a file that is not
 * there, unless `create` is set.
 */
export function editUserFile(
  path: string,
  kind: UserFileKind,
  create: boolean,
  change: (lines: string[]) => void,
): Promise<void> {
  const edited = (underWay.get(path) ?? Promise.resolve()).then(() => edit(path, kind, create, change))
  const settled = edited
    .catch(() => {})
    .then(() => {
      if (underWay.get(path) === settled) underWay.delete(path)
    })
  underWay.set(path, settled)
  return edited
}

async function edit(
  path: string,
  kind: UserFileKind,
  create: boolean,
  change: (lines: string[]) => void,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const before = await versionOf(path)
    if (before === undefined && !create)
      throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: there is no such file`)
    const lines = before === undefined ? [kind.header()] : await readLines(path, kind)
    change(lines)
    const text = `${lines.join('\n')}\n`
    // What would not be read must not be written.
    kind.judge(text, path)
    if ((await versionOf(path)) !== before && tries < MAX_TRIES) continue
    await replaceFile(path, text).catch((cause: unknown) => {
      throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: ${(cause as Error).message}`, { cause })
    })
    return
  }
}

/** Takes the line of a user out. Rejects as {@link editUserFile}, and where there is no such user. */
export async function deleteUser(path: string, kind: UserFileKind, user: string): Promise<void> {
  await editUserFile(path, kind, false, (lines) => {
    const index = lines.findIndex((line) => userOf(line) === user)
    if (index < 0)
      throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: there is no user ${JSON.stringify(user)}`)
    lines.splice(index, 1)
  })
}

async function readLines(path: string, kind: UserFileKind): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: ${(cause as Error).message}`, { cause })
  })
  kind.judge(text, path)
  return text.replace(/\n$/, '').split('\n')
}

async function versionOf(path: string): Promise<string | undefined> {
  const facts = await stat(path, { bigint: true }).catch(() => undefined)
  return facts && `${facts.ino} ${facts.size} ${facts.ctimeNs}`
}
