import { readFile, stat } from 'node:fs/promises'

import { StatemqError } from '../errors.ts'
import { lineFields, passwordFileHeader, readPasswordUsers } from './password-users.ts'
import { replaceFile } from './replace-file.ts'

/** A user to write: a new hash, and new roles where they are given. */
export interface PasswordEntry {
  readonly user: string
  readonly hash: string
  readonly roles: readonly string[] | undefined
}

/** Two commands at once: as often is the change made again on what the other one wrote. */
const MAX_TRIES = 5

/**
 * Adds users to a password file or gives them new passwords; what else their lines say stays, and so
 * does every other line. Makes the file where there is none. Rejects with SMQ_PASSWORD_FILE_INVALID.
 */
export async function setPasswords(path: string, entries: readonly PasswordEntry[]): Promise<{ added: number }> {
  let added = 0
  await editLines(path, true, (lines) => {
    added = 0
    const at = new Map(lines.map((line, index) => [userOf(line), index]))
    for (const { user, hash, roles } of entries) {
      const index = at.get(user)
      const old = index === undefined ? {} : lineFields(lines[index]!)
      const line = JSON.stringify({ ...old, user, hash, ...(roles ? { roles } : {}) })
      if (index === undefined) {
        at.set(user, lines.push(line) - 1)
        added += 1
      } else lines[index] = line
    }
  })
  return { added }
}

/** Takes a user out of a password file. Rejects with SMQ_PASSWORD_FILE_INVALID, also where there is none of that name. */
export async function deletePassword(path: string, user: string): Promise<void> {
  await editLines(path, false, (lines) => {
    const index = lines.findIndex((line) => userOf(line) === user)
    if (index < 0)
      throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: there is no user ${JSON.stringify(user)}`)
    lines.splice(index, 1)
  })
}

function userOf(line: string): unknown {
  return line.trimStart().startsWith('#') ? undefined : lineFields(line)?.['user']
}

async function editLines(path: string, create: boolean, change: (lines: string[]) => void): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const before = await versionOf(path)
    if (before === undefined && !create)
      throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: there is no such file`)
    const lines = before === undefined ? [passwordFileHeader] : await readLines(path)
    change(lines)
    const text = `${lines.join('\n')}\n`
    // What would not be read must not be written.
    judge(text, path)
    if ((await versionOf(path)) !== before && tries < MAX_TRIES) continue
    await replaceFile(path, text).catch((cause: unknown) => {
      throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: ${(cause as Error).message}`, { cause })
    })
    return
  }
}

async function readLines(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new StatemqError('SMQ_PASSWORD_FILE_INVALID', `${path}: ${(cause as Error).message}`, { cause })
  })
  judge(text, path)
  return text.replace(/\n$/, '').split('\n')
}

function judge(text: string, path: string): void {
  const reading = readPasswordUsers(text, path)
  while (!reading.next().done);
}

async function versionOf(path: string): Promise<string | undefined> {
  const facts = await stat(path, { bigint: true }).catch(() => undefined)
  return facts && `${facts.ino} ${facts.size} ${facts.ctimeNs}`
}
