import type { Environment } from './lmdb-environment.ts'
import { decodeEntry, type StoreEntry, type TableName } from './entries.ts'
import { StatemqError } from '../errors.ts'

const PAGE_ENTRIES = 128

/** A record as it lies there: what it says, or why that can't be told. */
export type Found =
  | { readonly table: TableName; readonly key: Buffer; readonly entry: StoreEntry; readonly error?: undefined }
  | { readonly table: TableName; readonly key: Buffer; readonly entry?: undefined; readonly error: StatemqError }

/** In an order in which whatever is referred to comes before what refers to it. */
const order: readonly TableName[] = [
  'counters',
  'sessions',
  'lines',
  'subscriptions',
  'received',
  'inflight',
  'wills',
  'messages',
  'settled',
  'batches',
  'retained',
]

/**
 * Every record of a store, some at a time. Throws SMQ_STORE_DAMAGED where LMDB can't go on.
 */
export function* walk({ tables }: Environment): Generator<readonly Found[], void> {
  for (const table of order) {
    for (let start: Buffer | undefined; ;) {
      const page: Found[] = []
      for (const { key, value } of entriesOf(tables[table], start)) page.push(found(table, key, value))
      if (page.length > 0) yield page
      if (page.length < PAGE_ENTRIES) break
      start = Buffer.concat([page.at(-1)!.key, Buffer.alloc(1)])
    }
  }
}

function entriesOf(
  table: Environment['tables'][TableName],
  start: Buffer | undefined,
): readonly { readonly key: Buffer; readonly value: Buffer }[] {
  try {
    return [...table.getRange({ limit: PAGE_ENTRIES, ...(start && { start }) })]
  } catch (error) {
    throw new StatemqError('SMQ_STORE_DAMAGED', String(error), { cause: error })
  }
}

function found(table: TableName, key: Buffer, value: Buffer): Found {
  try {
    return { table, key, entry: decodeEntry(table, key, value) }
  } catch (error) {
    return { table, key, error: error as StatemqError }
  }
}
