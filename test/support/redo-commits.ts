import { LAST_KEY, packetKey, sequenceKey } from '../../src/store/lmdb-keys.ts'

export const KEYS = 40
export const COUNTER_KEY = LAST_KEY

export function numberRecord(number: number): Buffer {
  const record = Buffer.alloc(6)
  record.writeUIntBE(number, 0, 6)
  return record
}

export const keyOf = (number: number): Buffer => sequenceKey(1, number % KEYS)

/** What the tables have after this commit of `redo-writer.ts`, and all before it: by key, in hexadecimal. */
export function recordsAfter(last: number): ReadonlyMap<string, string> {
  const records = new Map<string, string>()
  for (let number = Math.max(1, last - KEYS + 1); number <= last; number++)
    records.set(`batches ${keyOf(number).toString('hex')}`, Buffer.alloc(number % 900, number).toString('hex'))
  records.set(`received ${packetKey(1, last % KEYS).toString('hex')}`, numberRecord(last).toString('hex'))
  return records
}
