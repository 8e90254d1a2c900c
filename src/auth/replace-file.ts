import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, realpath, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Puts another text into a file in one step: whoever reads it sees the old one or the new one, also
 * after a crash. Mode and owner stay; a file that was not there is made with mode 0600. A link stays a
 * link. Rejects with the system's error, and the old file is as it was.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const target = await realpath(path).catch(() => path)
  const before = await stat(target).catch(() => undefined)
  const temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`)
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
  const handle = await open(temporary, flags, 0o600)
  try {
    try {
      await handle.writeFile(text)
      if (before) {
        const now = await handle.stat()
        // Before the mode: a change of owner may take bits of it away.
        if (before.uid !== now.uid || before.gid !== now.gid) await handle.chown(before.uid, before.gid)
        await handle.chmod(before.mode & 0o7777)
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, target)
  } catch (error) {
    await unlink(temporary).catch(() => {})
    throw error
  }
  await syncFolder(dirname(target))
}

/** The new name is on disk when its folder is; not every system lets a folder be synced. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined)
  await folder?.sync().catch(() => {})
  await folder?.close()
}
