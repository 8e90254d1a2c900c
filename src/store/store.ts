import type { Publication } from '../publication.ts'
import type { JobLedger } from '../scheduled.ts'
import type { SessionStore, StoredState } from '../stored.ts'

/**
 * Where sessions, their subscriptions and queues, wills and retained messages rest; how writes become
 * durable is in {@link SessionStore}. A page of a line shows every write, what is read at the start
 * shows what is durable.
 */
export interface Store extends SessionStore, StoredState {
  readonly name: 'memory' | 'lmdb' | 'redis'
  /** For a store whose server can say when jobs are due. */
  readonly jobs?: JobLedger
  /** Opens it, and makes it this process's alone. Rejects with a `SMQ_STORE_…` error. */
  open(): Promise<void>
  /** Makes durable what was written, then closes. */
  close(): Promise<void>

  // --- retained messages --------------------------------------------------------------------

  putRetained(publication: Publication): void
  deleteRetained(topic: string): void
}
