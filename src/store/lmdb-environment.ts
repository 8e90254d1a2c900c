import { chmod, mkdir, open as openFile, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'

import type { RootDatabase, RootDatabaseOptionsWithPath, open as openType } from 'lmdb'

import { StatemqError } from '../errors.ts'
import { Layer, Table } from './layer.ts'
import { checkPages } from './lmdb-pages.ts'
import { lockDirectory } from './lock.ts'
import { isNoRoom } from './no-room.ts'
import { LoggedCommits, markerStep, readMarker, writeLayer } from './logged-commits.ts'
import { readRedoLog, SEGMENT_BYTES } from './redo-log.ts'

/** `disk`: a promise is kept through a power cut. `os`: through the end of the process, not of the machine. */
export type Durability = 'disk' | 'os'

export type { Table } from './layer.ts'

const FORMAT = 2
/** It had no redo log. */
const FORMAT_BEFORE = 1
const FILE = 'data.mdb'

const tableNames = [
  'counters',
  'sessions',
  'lines',
  'subscriptions',
  'received',
  'inflight',
  'wills',
  'batches',
  'settled',
  'messages',
  'retained',
] as const
/** What the redo log and the tables know of each other. */
const REDO_TABLE = tableNames.length

export type Tables = { readonly [Name in (typeof tableNames)[number]]: Table }

/** One write of a transaction; without a record it is a removal. */
export interface Step {
  readonly table: Table
  readonly key: Buffer
  readonly record: Buffer | undefined
}

/** An LMDB environment in a directory of its own, with the tables of a store. */
export interface Environment {
  readonly tables: Tables
  /**
   * All of these writes or none. Resolves when they are as durable as was asked for. Rejects with
   * SMQ_STORE_FULL or SMQ_STORE_FAILED.
   */
  commit(steps: readonly Step[]): Promise<void>
  /** Brings what is only in the redo log into the tables. Rejects as `commit` does. */
  checkpoint(): Promise<void>
  /** Copies what is durable into `data.mdb` of another directory, without the room that is free in it. */
  copyTo(directory: string): Promise<void>
  close(): Promise<void>
}

export interface EnvironmentOptions {
  /** What can't be read any more is told of. */
  readonly onDamage?: (table: string, error: unknown) => void
  /** The tables can't take what the redo log has, just now: see {@link Environment.checkpoint}. */
  readonly onFault?: (error: StatemqError) => void
  /** Of each segment of the redo log; 0: there is none. */
  readonly redoBytes?: number
}

/** Rejects with SMQ_STORE_LOCKED where another process has it, SMQ_STORE_DAMAGED for a file that can't be one of ours, SMQ_STORE_VERSION for a format that isn't. */
export async function openEnvironment(
  directory: string,
  durability: Durability,
  options: EnvironmentOptions = {},
): Promise<Environment> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const unlock = await lockDirectory(directory)
  try {
    const environment = await openLocked(directory, durability, options)
    const close = async (): Promise<void> => {
      await environment.close()
      await unlock()
    }
    return { ...environment, close }
  } catch (error) {
    await unlock()
    throw error
  }
}

/** The same for whoever holds the lock already, and goes on holding it. */
export async function openLocked(
  directory: string,
  durability: Durability,
  options: EnvironmentOptions = {},
): Promise<Environment> {
  const file = join(directory, FILE)
  const facts = await checkPages(file)
  // Loaded where it is used: a broker that keeps nothing needs no native code.
  const { open } = await import('lmdb')
  if (facts?.isOverlapping === true && durability === 'disk') await fallBack(open, directory)
  const root = open<Buffer, Buffer>(optionsOf(directory, durability))
  await Promise.all([chmod(file, 0o600), chmod(join(directory, 'lock.mdb'), 0o600)])
  const layers: Layer[] = []
  const table = (name: string, index: number): Table =>
    new Table(index, root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' }), layers)
  const tables = Object.fromEntries(tableNames.map((name, index) => [name, table(name, index)])) as Tables
  const write = (steps: readonly Step[]): Promise<void> => commit(root, directory, steps)
  const marker = table('redo', REDO_TABLE)
  try {
    await assertFormat(table('format', -1), write)
    await replay(directory, marker, Object.values(tables), write, options)
  } catch (error) {
    await root.close()
    throw error
  }
  const copyTo = (into: string): Promise<void> => root.backup(into, true)
  const { redoBytes = SEGMENT_BYTES, onFault } = options
  // For `os` LMDB is as fast: nothing is flushed before it is promised.
  if (durability === 'os' || redoBytes === 0)
    return { tables, commit: write, checkpoint: async () => {}, copyTo, close: () => root.close() }
  const logged = new LoggedCommits({
    directory,
    redoBytes,
    layers,
    tables: Object.values(tables),
    marker,
    write,
    onFault,
  })
  return {
    tables,
    commit: (steps) => logged.commit(steps),
    checkpoint: () => logged.checkpoint(),
    copyTo: async (into) => {
      await logged.checkpoint()
      await copyTo(into)
    },
    close: async () => {
      await logged.close()
      await root.close()
    },
  }
}

/** What an earlier process promised and did not come to put into the tables. */
async function replay(
  directory: string,
  marker: Table,
  tables: readonly Table[],
  write: (steps: readonly Step[]) => Promise<void>,
  { onDamage }: EnvironmentOptions,
): Promise<void> {
  const found = readMarker(marker)
  if (found === undefined) return
  const layer = new Layer()
  let { applied } = found
  let before: number | undefined
  for (const generation of await readRedoLog(directory, found.log, applied)) {
    const { commits, lost } = generation
    const isWhole = generation.generation === applied + 1 && (before === undefined || before === generation.before)
    if (lost > 0 || !isWhole) onDamage?.('redo', new StatemqError('SMQ_STORE_DAMAGED', 'the redo log has lost commits'))
    for (const { steps } of commits) for (const step of steps) layer.add(step)
    applied = generation.generation
    before = commits.length + lost
  }
  if (layer.size > 0) await writeLayer(layer, tables, write, markerStep(marker, found.log, applied))
}

function optionsOf(path: string, durability: Durability): RootDatabaseOptionsWithPath & { permissionsMode: number } {
  return {
    path,
    noSubdir: false,
    // Nobody else reads what clients said to each other (threat 96); its types leave it out.
    permissionsMode: 0o600,
    encoding: 'binary',
    keyEncoding: 'binary',
    // What belongs together is told by `batch`; the other way a commit that fails rejects a promise that nobody has.
    eventTurnBatching: false,
    maxDbs: tableNames.length + 3,
    // With it a commit would count as done before it is flushed (threats, fact 4): for `os` that is what is asked for.
    overlappingSync: durability === 'os',
  }
}

/** After a power cut LMDB goes back to what was flushed; only where it is opened as it was before. */
async function fallBack(open: typeof openType, directory: string): Promise<void> {
  await open(optionsOf(directory, 'os')).close()
}

async function commit(root: RootDatabase<Buffer, Buffer>, directory: string, steps: readonly Step[]): Promise<void> {
  try {
    await root.batch(() => {
      for (const { table, key, record } of steps) table.write(key, record)
    })
  } catch (error) {
    // The details are rejected apart, and with nobody waiting they would end the process.
    const details = (error as { commitError?: Promise<unknown> }).commitError
    const cause: unknown =
      details === undefined ? error : await Promise.resolve(details).catch((reason: unknown) => reason)
    throw await storeError(cause, directory)
  }
}

/** LMDB writes many pages at once: when only some of them fit, it calls that an input/output error. */
async function storeError(cause: unknown, directory: string): Promise<StatemqError> {
  const text = String((cause as Error | undefined)?.message ?? cause)
  const isFull = /no space|file too large|map.?full|quota/i.test(text) || !(await hasRoom(directory))
  return new StatemqError(isFull ? 'SMQ_STORE_FULL' : 'SMQ_STORE_FAILED', text, { cause })
}

/** A write of so much must fit, or what failed is taken to have failed for want of room. */
const PROBE_BYTES = 1_048_576

/** Finds out by a file that would end where the store's file would: a disk, a quota and a limit on files all show. */
async function hasRoom(directory: string): Promise<boolean> {
  const path = join(directory, 'probe')
  try {
    const { size } = await stat(join(directory, FILE))
    const probe = await openFile(path, 'w', 0o600)
    try {
      const content = Buffer.alloc(PROBE_BYTES)
      for (let written = 0; written < PROBE_BYTES;) {
        written += (await probe.write(content, written, PROBE_BYTES - written, size + written)).bytesWritten
      }
      await probe.sync()
    } finally {
      await probe.close()
    }
    return true
  } catch (error) {
    return !isNoRoom(error)
  } finally {
    await unlink(path).catch(() => {})
  }
}

/** A store of a later version, or one that is being changed, is left alone (threat 14). */
async function assertFormat(table: Table, write: (steps: readonly Step[]) => Promise<void>): Promise<void> {
  const key = Buffer.from('format')
  const found = table.getBinary(key)
  if (found === undefined || found[0] === FORMAT_BEFORE) return write([{ table, key, record: Buffer.from([FORMAT]) }])
  if (found[0] !== FORMAT) {
    throw new StatemqError('SMQ_STORE_VERSION', `it has format ${found[0]}, this version reads ${FORMAT}`)
  }
}
