import { chmod, mkdir, open as openFile, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'

import type { Database, RootDatabase } from 'lmdb'

import { StatemqError } from '../errors.ts'
import { lockDirectory } from './lock.ts'

/** `disk`: a promise is kept through a power cut. `os`: through the end of the process, not of the machine. */
export type Durability = 'disk' | 'os'

export type Table = Database<Buffer, Buffer>

const FORMAT = 1

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
  close(): Promise<void>
}

/** Rejects with SMQ_STORE_LOCKED where another process has it, SMQ_STORE_DAMAGED for a file that can't be one of ours, SMQ_STORE_VERSION for a format that isn't. */
export async function openEnvironment(directory: string, durability: Durability): Promise<Environment> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const unlock = await lockDirectory(directory)
  try {
    return await openLocked(directory, durability, unlock)
  } catch (error) {
    await unlock()
    throw error
  }
}

async function openLocked(
  directory: string,
  durability: Durability,
  unlock: () => Promise<void>,
): Promise<Environment> {
  const file = join(directory, 'data.mdb')
  await assertWhole(file)
  // Loaded where it is used: a broker that keeps nothing needs no native code.
  const { open } = await import('lmdb')
  const root = open<Buffer, Buffer>({
    path: directory,
    noSubdir: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    // What belongs together is told by `batch`; the other way a commit that fails rejects a promise that nobody has.
    eventTurnBatching: false,
    maxDbs: tableNames.length + 2,
    // With it a commit would count as done before it is flushed (threats, fact 4): for `os` that is what is asked for.
    overlappingSync: durability === 'os',
  })
  await Promise.all([chmod(file, 0o600), chmod(join(directory, 'lock.mdb'), 0o600)])
  const table = (name: string): Table =>
    root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' })
  try {
    await assertFormat(table('format'))
  } catch (error) {
    await root.close()
    throw error
  }
  const tables = Object.fromEntries(tableNames.map((name) => [name, table(name)])) as Tables
  return {
    tables,
    commit: (steps) => commit(root, directory, steps),
    close: async () => {
      await root.close()
      await unlock()
    },
  }
}

async function commit(root: RootDatabase<Buffer, Buffer>, directory: string, steps: readonly Step[]): Promise<void> {
  try {
    await root.batch(() => {
      // Whether a write succeeds is its transaction's to say.
      for (const { table, key, record } of steps) void (record ? table.put(key, record) : table.remove(key))
    })
  } catch (error) {
    // The details are rejected apart, and with nobody waiting they would end the process.
    const details = (error as { commitError?: Promise<unknown> }).commitError
    const cause: unknown =
      details === undefined ? error : await Promise.resolve(details).catch((reason: unknown) => reason)
    throw await storeError(cause, directory)
  }
}

/** Less room than this, and a write that failed is taken to have failed for want of it. */
const LITTLE_ROOM_BYTES = 1_048_576

/** LMDB writes many pages at once: when only some of them fit, the system calls that an input/output error. */
async function storeError(cause: unknown, directory: string): Promise<StatemqError> {
  const text = String((cause as Error | undefined)?.message ?? cause)
  const room = await statfs(directory).catch(() => undefined)
  const isFull =
    /no space|file too large|map.?full|quota/i.test(text) ||
    (room !== undefined && room.bavail * room.bsize < LITTLE_ROOM_BYTES)
  return new StatemqError(isFull ? 'SMQ_STORE_FULL' : 'SMQ_STORE_FAILED', text, { cause })
}

/** A store of a later version, or one that is being changed, is left alone (threat 14). */
async function assertFormat(table: Table): Promise<void> {
  const key = Buffer.from('format')
  const found = table.getBinary(key)
  if (found === undefined) {
    await table.put(key, Buffer.from([FORMAT]))
    return
  }
  if (found[0] !== FORMAT) {
    throw new StatemqError('SMQ_STORE_VERSION', `it has format ${found[0]}, this version reads ${FORMAT}`)
  }
}

/** Where the meta page of an LMDB file says what, from the start of the page. */
const META = { magic: 0xbeefc0de, magicAt: 24, pageSizeAt: 48, lastPageAt: 144, transactionAt: 152 } as const

/** A file that was cut off would end the process by SIGBUS once it is mapped (threat 12). */
async function assertWhole(file: string): Promise<void> {
  const facts = await stat(file).catch(() => undefined)
  if (facts === undefined || facts.size === 0) return
  const handle = await openFile(file, 'r')
  try {
    const head = Buffer.alloc(2 * 65_536)
    const { bytesRead } = await handle.read(head, 0, head.length, 0)
    const needed = bytesInUse(head.subarray(0, bytesRead))
    if (needed === undefined) throw new StatemqError('SMQ_STORE_DAMAGED', `${file} is not an LMDB file`)
    if (facts.size < needed) {
      throw new StatemqError('SMQ_STORE_DAMAGED', `${file} was cut off: it has ${facts.size} of ${needed} bytes`)
    }
  } finally {
    await handle.close()
  }
}

/** Where the last page in use ends, by the newer one of the two meta pages. */
function bytesInUse(head: Buffer): number | undefined {
  if (head.length < META.transactionAt + 8 || head.readUInt32LE(META.magicAt) !== META.magic) return undefined
  const pageBytes = head.readUInt32LE(META.pageSizeAt)
  const metas = [0, pageBytes].filter((at) => {
    return at + META.transactionAt + 8 <= head.length && head.readUInt32LE(at + META.magicAt) === META.magic
  })
  const newest = metas.sort((a, b) => transactionOf(head, b) - transactionOf(head, a))[0] ?? 0
  return (Number(head.readBigUInt64LE(newest + META.lastPageAt)) + 1) * pageBytes
}

function transactionOf(head: Buffer, meta: number): number {
  return Number(head.readBigUInt64LE(meta + META.transactionAt))
}
