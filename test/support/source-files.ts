import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { SourceFile } from './import-law.ts'

/** The repository's root folder. */
export const repository = join(import.meta.dirname, '..', '..')

/** Files below the repository that fit the patterns, in a fixed order, with their texts. */
export function readFiles(...patterns: string[]): SourceFile[] {
  return globSync(patterns, { cwd: repository })
    .toSorted()
    .map((path) => ({ path, text: readFileSync(join(repository, path), 'utf8') }))
}
