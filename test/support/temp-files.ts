import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A folder with these files, gone when the test ends; the result is its path. */
export function tempFolder(files: Readonly<Record<string, string>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'statemq-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  return folder
}

/** The files of an embedded store. */
export const storeFiles = ['data.mdb', 'redo-0', 'redo-1'] as const

/** Copies what an embedded store has on the disk, as its next owner finds it if this one is killed now. */
export function copyStore(from: string, into: string): void {
  for (const name of storeFiles) if (existsSync(join(from, name))) copyFileSync(join(from, name), join(into, name))
}
