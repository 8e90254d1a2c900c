import { chmod, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { StatemqError } from '../errors.ts'
import { openLocked, type Environment } from './lmdb-environment.ts'
import { lockDirectory } from './lock.ts'
import { importLines } from './transfer.ts'

const FILE = 'data.mdb'

/** Between two looks at how much of a copy is there. */
const LOOK_MS = 50

/** Opens a store that is there for somebody who is no broker. Rejects with `SMQ_STORE_…`, and SMQ_USAGE where there is none. */
export async function withStore<T>(directory: string, action: (store: Environment) => Promise<T>): Promise<T> {
  if ((await sizeOf(directory)) === 0) throw new StatemqError('SMQ_USAGE', `there is no store in ${directory}`)
  return locked(directory, async () => withEnvironment(directory, action))
}

export interface Compaction {
  readonly bytesBefore: number
  readonly bytesAfter: number
}

/**
 * Copies what a store holds into a new file, and puts that in place of the old one in one step. `onProgress` is told how
 * many bytes are written, of about how many: at the beginning, while it goes on, and at the end.
 */
export async function compactStore(
  directory: string,
  onProgress: (written: number, expected: number) => void = () => {},
): Promise<Compaction> {
  const bytesBefore = await sizeOf(directory)
  if (bytesBefore === 0) throw new StatemqError('SMQ_USAGE', `there is no store in ${directory}`)
  return locked(directory, async () => {
    await replaceBy(directory, 'compacting', (into) =>
      withEnvironment(directory, async (store) => {
        const expected = bytesUsed(store)
        await whileWatching(
          () => store.copyTo(into),
          async () => onProgress(await sizeOf(into), expected),
        )
      }),
    )
    return { bytesBefore, bytesAfter: await sizeOf(directory) }
  })
}

/** Fills an empty directory, or an empty store, from the lines of an export: with all of them or with none. */
export async function importStore(
  directory: string,
  lines: AsyncIterable<string>,
  onProgress?: (records: number) => void,
): Promise<number> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  return locked(directory, async () => {
    if ((await sizeOf(directory)) > 0) await withEnvironment(directory, assertEmpty)
    let records = 0
    await replaceBy(directory, 'importing', (into) =>
      withEnvironment(into, async (store) => {
        records = await importLines(store, lines, onProgress)
      }),
    )
    return records
  })
}

/** LMDB copies by itself, on a thread of its own, and tells nobody how far it is: the file is looked at. */
async function whileWatching(work: () => Promise<void>, look: () => Promise<void>): Promise<void> {
  await look()
  let looking = Promise.resolve()
  const timer = setInterval(() => {
    looking = looking.then(look)
  }, LOOK_MS)
  try {
    await work()
  } finally {
    clearInterval(timer)
    await looking
  }
  await look()
}

/** What the pages of all tables come to: about as long is a file with nothing else in it. */
function bytesUsed({ tables }: Environment): number {
  return Object.values(tables).reduce((sum, { bytes }) => sum + bytes, 0)
}

async function assertEmpty({ tables }: Environment): Promise<void> {
  for (const table of Object.values(tables)) {
    if (table.count > 0) throw new StatemqError('SMQ_USAGE', 'the store is not empty')
  }
}

async function locked<T>(directory: string, action: () => Promise<T>): Promise<T> {
  const unlock = await lockDirectory(directory)
  try {
    return await action()
  } catch (error) {
    if (error instanceof StatemqError) throw error
    throw new StatemqError('SMQ_STORE_FAILED', String((error as Error).message), { cause: error })
  } finally {
    await unlock()
  }
}

async function withEnvironment<T>(directory: string, action: (store: Environment) => Promise<T>): Promise<T> {
  const store = await openLocked(directory, 'disk')
  try {
    return await action(store)
  } finally {
    await store.close()
  }
}

/** Whatever ends the process meanwhile: the store is the old one or the new one. */
async function replaceBy(directory: string, name: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = join(directory, name)
  // What an earlier one left behind when it was killed.
  await rm(temporary, { recursive: true, force: true })
  await mkdir(temporary, { mode: 0o700 })
  try {
    await make(temporary)
    const file = join(temporary, FILE)
    await chmod(file, 0o600)
    await flush(file)
    await rename(file, join(directory, FILE))
    await flush(directory)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function sizeOf(directory: string): Promise<number> {
  return (await stat(join(directory, FILE)).catch(() => undefined))?.size ?? 0
}
