import type { Database } from 'lmdb'

import type { SessionKey } from '../stored.ts'
import { behindSession, sessionKey } from './lmdb-keys.ts'
import type { RedoStep } from './redo-record.ts'

/** Null: it was removed. */
type Change = Buffer | null

const PREFIX_BYTES = 6
const HASH_BYTES = 16

/** What was committed and is not in the tables of LMDB yet: for each key what it has last. */
export class Layer {
  /** By table; by session where keys begin with one, else all under one; by key. */
  readonly #tables: (Map<string, Map<string, Change>> | undefined)[] = []
  #size = 0

  /** How many keys it has. */
  get size(): number {
    return this.#size
  }

  add({ table, key, record }: RedoStep): void {
    const sessions = (this.#tables[table] ??= new Map<string, Map<string, Change>>())
    const name = key.toString('latin1')
    const prefix = prefixOf(name)
    let changes = sessions.get(prefix)
    if (changes === undefined) sessions.set(prefix, (changes = new Map<string, Change>()))
    const before = changes.size
    changes.set(name, record ?? null)
    this.#size += changes.size - before
  }

  /** Undefined: it knows nothing of the key. */
  get(table: number, name: string): Change | undefined {
    return this.#tables[table]?.get(prefixOf(name))?.get(name)
  }

  /** What it has of a session in a table. */
  ofSession(table: number, prefix: string): ReadonlyMap<string, Change> | undefined {
    return this.#tables[table]?.get(prefix)
  }

  *steps(): Generator<RedoStep, void> {
    for (const [table, sessions] of this.#tables.entries()) {
      for (const changes of sessions?.values() ?? []) {
        for (const [name, change] of changes)
          yield { table, key: Buffer.from(name, 'latin1'), record: change ?? undefined }
      }
    }
  }
}

/** Keys that are a number, or a hash, have no session in front: they lie under one name. */
function prefixOf(name: string): string {
  return name.length > PREFIX_BYTES && name.length !== HASH_BYTES ? name.slice(0, PREFIX_BYTES) : ''
}

/** A table of LMDB with the layers over it. */
export class Table {
  readonly index: number
  readonly #database: Database<Buffer, Buffer>
  readonly #layers: readonly Layer[]

  /** `layers`: the older ones first. */
  constructor(index: number, database: Database<Buffer, Buffer>, layers: readonly Layer[]) {
    this.index = index
    this.#database = database
    this.#layers = layers
  }

  getBinary(key: Buffer): Buffer | undefined {
    if (this.#layers.length > 0) {
      const name = key.toString('latin1')
      for (let at = this.#layers.length - 1; at >= 0; at--) {
        const change = this.#layers[at]!.get(this.index, name)
        if (change !== undefined) return change ?? undefined
      }
    }
    return this.#database.getBinary(key)
  }

  /** The keys of one session. */
  sessionKeys(session: SessionKey): Buffer[] {
    const start = sessionKey(session)
    const below = [...this.#database.getKeys({ start, end: behindSession(session) })]
    const prefix = start.toString('latin1')
    const changed = new Map<string, Change>()
    for (const layer of this.#layers) {
      for (const [name, change] of layer.ofSession(this.index, prefix) ?? []) changed.set(name, change)
    }
    if (changed.size === 0) return below
    const kept = below.filter((key) => !changed.has(key.toString('latin1')))
    for (const [name, change] of changed) if (change !== null) kept.push(Buffer.from(name, 'latin1'))
    return kept
  }

  // --- as LMDB has it: for those who begin, before there are layers --------------------------

  getRange(options: { readonly start?: Buffer; readonly limit: number }): Iterable<{ key: Buffer; value: Buffer }> {
    return this.#database.getRange(options)
  }

  lastKey(): Buffer | undefined {
    const [last] = this.#database.getKeys({ reverse: true, limit: 1 })
    return last
  }

  /** How many records it says that it has. */
  get count(): number {
    return this.#stats.entryCount
  }

  /** How many bytes its pages come to. */
  get bytes(): number {
    const { pageSize, treeBranchPageCount, treeLeafPageCount, overflowPages } = this.#stats
    return pageSize * (treeBranchPageCount + treeLeafPageCount + overflowPages)
  }

  get #stats(): Stats {
    return this.#database.getStats() as Stats
  }

  /** Within a transaction of LMDB's. */
  write(key: Buffer, record: Buffer | undefined): void {
    // Whether a write succeeds is its transaction's to say.
    void (record ? this.#database.put(key, record) : this.#database.remove(key))
  }
}

/** Its types leave them out. */
interface Stats {
  readonly entryCount: number
  readonly pageSize: number
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}
