import { StatemqError } from '../errors.ts'
import type { Table } from './lmdb-environment.ts'
import { sessionOf } from './lmdb-keys.ts'
import type { SessionKey } from '../stored.ts'

export interface Entry {
  readonly key: Buffer
  readonly value: Buffer
}

/** Entries that are read at once: batches are up to 256 KiB. */
const PAGE_ENTRIES = 64

/**
 * Goes through a table whose keys begin with a session, once, beside the table of sessions: a search for
 * each session would cost more than reading all there is.
 */
export class SessionCursor {
  readonly #table: Table
  #page: readonly Entry[] = []
  #at = 0
  #start: Buffer | undefined
  #isLast = false

  constructor(table: Table) {
    this.#table = table
  }

  /** The entries of a session; sessions are asked for in their order. Throws SMQ_STORE_DAMAGED where LMDB can't go on. */
  *of(key: SessionKey): Generator<Entry, void> {
    while (this.#at < this.#page.length || this.#fill()) {
      const entry = this.#page[this.#at]!
      const session = sessionOf(entry.key)
      if (session > key) return
      this.#at++
      if (session === key) yield entry
    }
  }

  #fill(): boolean {
    if (this.#isLast) return false
    try {
      this.#page = [...this.#table.getRange({ limit: PAGE_ENTRIES, ...(this.#start && { start: this.#start }) })]
    } catch (error) {
      throw new StatemqError('SMQ_STORE_DAMAGED', String(error), { cause: error })
    }
    this.#at = 0
    this.#isLast = this.#page.length < PAGE_ENTRIES
    const last = this.#page.at(-1)
    // The next key in order: this one with a byte behind it.
    if (last) this.#start = Buffer.concat([last.key, Buffer.alloc(1)])
    return this.#page.length > 0
  }
}
