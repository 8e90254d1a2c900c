import type { JobChange } from '../scheduled.ts'
import type { SessionKey } from '../stored.ts'

/** A batch that becomes a job. */
export interface NewJob {
  readonly key: SessionKey
  readonly first: number
  readonly count: number
  /** Its record, as a job's data can carry it. */
  readonly data: string
}

/** A batch that has no message left. */
export interface EndedJob {
  readonly key: SessionKey
  readonly first: number
  /** It was taken out of the queue, so it is completed; one that never was is withdrawn. */
  readonly wasTaken: boolean
}

/**
 * A commit as it will be: made in full before anything of it is written. Doing it twice is the same as
 * doing it once, so that it can be done again when nobody knows whether it was done.
 */
export class RedisPlan {
  /** By the name of a hash, then by field; undefined removes. */
  readonly hashes = new Map<string, Map<string, Buffer | string | undefined>>()
  /** Hashes that go whole, before anything else. */
  readonly dropped: string[] = []
  /** Queues that go whole, with the jobs in them. */
  readonly droppedQueues: { readonly key: SessionKey; readonly firsts: readonly number[] }[] = []
  readonly added: NewJob[] = []
  ended: EndedJob[] = []
  /** Wills and ends of sessions by their identifiers. */
  scheduled: ReadonlyMap<string, JobChange> = new Map()
  readonly #effects: (() => void)[] = []

  put(hash: string, field: string, value: Buffer | string | undefined): void {
    let fields = this.hashes.get(hash)
    if (fields === undefined) {
      fields = new Map()
      this.hashes.set(hash, fields)
    }
    fields.set(field, value)
  }

  /** Something that is true once it is durable. */
  afterwards(effect: () => void): void {
    this.#effects.push(effect)
  }

  /** It is durable: what is known of the store changes now. */
  apply(): void {
    for (const effect of this.#effects) effect()
  }
}
