import { open, type FileHandle } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

import type { Command } from 'commander'

import { StatemqError } from '../errors.ts'
import type { Environment } from '../store/lmdb-environment.ts'
import { Progress, type ProgressUnit } from './progress.ts'

interface StoreFlags {
  readonly data: string
}

const help = `
The store must be nobody else's meanwhile: stop the broker first.

verify reads every record; the status is 1 where one is damaged.
compact gives the room that is free in the file back to the disk.
export writes everything as JSON lines, import reads them into an empty directory or store.`

/** `statemq store`: looks after the directory that a broker keeps its sessions in. */
export function addStoreCommand(program: Command, write: (text: string) => void): void {
  const store = program
    .command('store')
    .description('verify, compact, export or import a store on disk')
    .addHelpText('after', help)
  const add = (name: string, description: string): Command =>
    store
      .command(name)
      .description(description)
      .requiredOption('--data <dir>', 'the directory of the store')
      .allowExcessArguments(false)
  add('verify', 'read every record and say what is damaged').action(async ({ data }: StoreFlags) => {
    await verify(data, write)
  })
  add('compact', 'make the file as small as what is in it').action(async ({ data }: StoreFlags) => {
    const { compactStore } = await import('../store/maintenance.ts')
    const { bytesBefore, bytesAfter } = await withProgress(
      'compacting',
      (progress) => compactStore(data, (written, expected) => progress.tell(written, written / expected)),
      'bytes',
    )
    write(`${bytesBefore} bytes before, ${bytesAfter} bytes now\n`)
  })
  add('export', 'write everything as JSON lines')
    .argument('[file]', 'where to (default: standard output); must not exist')
    .action(async (file: string | undefined, { data }: StoreFlags) => {
      await exportTo(data, file)
    })
  add('import', 'read what export wrote')
    .argument('[file]', 'where from (default: standard input)')
    .action(async (file: string | undefined, { data }: StoreFlags) => {
      write(`${await importFrom(data, file)} records imported\n`)
    })
}

async function verify(data: string, write: (text: string) => void): Promise<void> {
  const [{ withStore }, { verifyStore }] = await Promise.all([
    import('../store/maintenance.ts'),
    import('../store/verify.ts'),
  ])
  const { findings, damaged, records, ...counts } = await withStore(data, (store) =>
    withProgress('verifying', async (progress) => {
      const total = recordsIn(store)
      return verifyStore(store, (done) => progress.tell(done, total > 0 ? done / total : undefined))
    }),
  )
  for (const { table, key, problem } of findings) write(`${table} ${key}: ${problem}\n`)
  if (damaged > findings.length) write(`and ${damaged - findings.length} more\n`)
  const { sessions, subscriptions, queuedMessages, retainedMessages, wills } = counts
  write(
    `${sessions} sessions, ${subscriptions} subscriptions, ${queuedMessages} queued messages, ` +
      `${retainedMessages} retained messages, ${wills} wills\n`,
  )
  if (damaged > 0) throw new StatemqError('SMQ_STORE_DAMAGED', `${damaged} of ${records} records`)
  write(`all of ${records} records are whole\n`)
}

async function importFrom(data: string, file: string | undefined): Promise<number> {
  const { importStore } = await import('../store/maintenance.ts')
  const from = file === undefined ? undefined : await openOld(file)
  const input = from?.handle.createReadStream()
  return withProgress('importing', (progress) =>
    importStore(data, linesOf(input ?? process.stdin), (records) =>
      progress.tell(records, input && from?.bytes ? input.bytesRead / from.bytes : undefined),
    ),
  )
}

/** Before a directory is made for what is in it. */
async function openOld(file: string): Promise<{ readonly handle: FileHandle; readonly bytes: number }> {
  const unreadable = (why: string): StatemqError => new StatemqError('SMQ_USAGE', `${file} can't be read: ${why}`)
  const handle = await open(file).catch((error: unknown) => {
    throw unreadable((error as Error).message)
  })
  const stats = await handle.stat()
  if (!stats.isDirectory()) return { handle, bytes: stats.size }
  await handle.close()
  throw unreadable('it is a directory')
}

async function exportTo(data: string, file: string | undefined): Promise<void> {
  const [{ withStore }, { exportLines }] = await Promise.all([
    import('../store/maintenance.ts'),
    import('../store/transfer.ts'),
  ])
  await withStore(data, async (store) => {
    // Sessions and messages are nobody else's business.
    const handle = file === undefined ? undefined : await openNew(file)
    const out = handle?.createWriteStream() ?? process.stdout
    await withProgress('exporting', async (progress) => {
      const total = recordsIn(store)
      let records = 0
      for (const line of exportLines(store)) {
        await writeTo(out, `${line}\n`)
        progress.tell(++records, total > 0 ? records / total : undefined)
      }
    })
    if (handle)
      await new Promise<void>((resolve, reject) =>
        out.end((error?: Error | null) => (error ? reject(error) : resolve())),
      )
  })
}

async function openNew(file: string): Promise<FileHandle> {
  try {
    return await open(file, 'wx', 0o600)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw new StatemqError('SMQ_USAGE', `${file} exists already`, { cause: error })
    throw new StatemqError('SMQ_STORE_FAILED', message, { cause: error })
  }
}

/** Waits where the reader is slower: nothing gathers in memory. */
function writeTo(out: Writable, text: string): Promise<void> | undefined {
  if (out.write(text)) return undefined
  return new Promise((resolve, reject) => {
    const done = (error?: Error): void => {
      out.off('drain', done).off('error', done)
      if (error) reject(error)
      else resolve()
    }
    out.on('drain', done).on('error', done)
  })
}

async function* linesOf(input: Readable): AsyncGenerator<string, void> {
  const failed = new Promise<never>((_resolve, reject) => input.once('error', reject))
  failed.catch(() => {})
  const lines = createInterface({ input, crlfDelay: Infinity })[Symbol.asyncIterator]()
  while (true) {
    const next = await Promise.race([lines.next(), failed])
    if (next.done) return
    yield next.value
  }
}

/** How many records there are: what a table says of itself, without reading it. */
function recordsIn({ tables }: Environment): number {
  return Object.values(tables).reduce((sum, { count }) => sum + count, 0)
}

/** Shows how far the work is while it goes on, and nothing of it afterwards. */
async function withProgress<T>(
  label: string,
  work: (progress: Progress) => Promise<T>,
  unit: ProgressUnit = 'records',
): Promise<T> {
  const progress = new Progress(label, unit)
  try {
    return await work(progress)
  } finally {
    progress.end()
  }
}
