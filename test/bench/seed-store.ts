import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'

import type { Bench } from './measure.ts'
import type { Seed } from './scenarios.ts'

/** A store that has something, for brokers to be started on; it stays until it is removed. */
export function seedStore({ entry, workFolder, say }: Pick<Bench, 'entry' | 'workFolder' | 'say'>, seed: Seed) {
  const directory = mkdtempSync(join(workFolder, 'seed-'))
  const remove = (): void => rmSync(directory, { recursive: true, force: true })
  const index = join(dirname(entry), '..', `index${extname(entry)}`)
  const { sessions, messages, goesTo } = seed
  say(`a store with ${sessions} sessions and ${messages} messages is made`)
  const args = [join(import.meta.dirname, 'seed.mjs'), index, directory, `${sessions}`, `${messages}`, goesTo]
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) {
    remove()
    throw new Error(`the store could not be made: ${stderr.trim().split('\n').at(-1) ?? ''}`)
  }
  return { directory, bytes: statSync(join(directory, 'data.mdb')).size, remove }
}
