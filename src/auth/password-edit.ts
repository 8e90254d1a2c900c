import { deleteUser, editUserFile, userOf, type UserFileKind } from './edit-user-file.ts'
import { lineFields, passwordFileHeader, readPasswordUsers } from './password-users.ts'

/** A user to write: a new hash, and new roles where they are given. */
export interface PasswordEntry {
  readonly user: string
  readonly hash: string
  readonly roles: readonly string[] | undefined
}

const passwordFileKind: UserFileKind = {
  header: () => passwordFileHeader,
  judge(text, path) {
    const reading = readPasswordUsers(text, path)
    while (!reading.next().done);
  },
}

/**
 * Adds users to a password file or gives them new passwords; what else their lines say stays, and so
 * does every other line. Makes the file where there is none. Rejects with SMQ_PASSWORD_FILE_INVALID.
 */
export async function setPasswords(path: string, entries: readonly PasswordEntry[]): Promise<{ added: number }> {
  let added = 0
  await editUserFile(path, passwordFileKind, true, (lines) => {
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
  await deleteUser(path, passwordFileKind, user)
}
