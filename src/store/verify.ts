import type { BatchMessage } from './batch-record.ts'
import type { StoreEntry, TableName } from './entries.ts'
import type { Environment } from './lmdb-environment.ts'
import { walk } from './walk.ts'
import type { SessionKey } from '../stored.ts'

/** What is wrong with one record. */
export interface Finding {
  readonly table: TableName
  /** In hexadecimal digits. */
  readonly key: string
  readonly problem: string
}

export interface Verification {
  readonly sessions: number
  readonly subscriptions: number
  /** Messages that wait or are under way, counted for each session. */
  readonly queuedMessages: number
  readonly wills: number
  readonly retainedMessages: number
  readonly records: number
  readonly damaged: number
  /** The first of what is damaged. */
  readonly findings: readonly Finding[]
}

const MAX_FINDINGS = 100

/** Reads every record, and whether those that belong together do. `onProgress` gets how many were read. */
export async function verifyStore(
  environment: Environment,
  onProgress: (records: number) => void = () => {},
): Promise<Verification> {
  const check = new Check()
  for (const page of walk(environment)) {
    for (const { table, key, entry, error } of page) {
      check.records++
      const problem = error?.message ?? check.problemOf(entry!)
      if (problem !== undefined) check.tell(table, key, problem)
    }
    onProgress(check.records)
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  const { records, damaged, findings, counts } = check
  return { ...counts, records, damaged, findings }
}

class Check {
  records = 0
  damaged = 0
  readonly findings: Finding[] = []
  readonly counts = { sessions: 0, subscriptions: 0, queuedMessages: 0, wills: 0, retainedMessages: 0 }
  readonly #sessions = new Set<SessionKey>()
  readonly #messages = new Set<number>()
  readonly #settled = new Map<string, readonly number[]>()
  #lastSessionKey = 0

  tell(table: TableName, key: Buffer, problem: string): void {
    this.damaged++
    if (this.findings.length < MAX_FINDINGS) this.findings.push({ table, key: key.toString('hex'), problem })
  }

  /** Undefined: none. */
  problemOf(entry: StoreEntry): string | undefined {
    const { counts } = this
    switch (entry.type) {
      case 'counter':
        this.#lastSessionKey = entry.lastSessionKey
        return undefined
      case 'session':
        counts.sessions++
        this.#sessions.add(entry.key)
        return entry.key > this.#lastSessionKey ? 'its number was never given' : undefined
      case 'message':
        this.#messages.add(entry.number)
        return undefined
      case 'retained':
        counts.retainedMessages++
        return undefined
      case 'will':
        counts.wills++
        return undefined
      case 'subscription':
        counts.subscriptions++
        break
      case 'settled':
        this.#settled.set(`${entry.session} ${entry.first}`, entry.sequences)
        break
      case 'batch':
        return this.#problemOfBatch(entry.session, entry.messages)
      default:
    }
    return this.#isKnown(entry.session) ? undefined : 'its session is not there'
  }

  #problemOfBatch(session: SessionKey, messages: readonly BatchMessage[]): string | undefined {
    if (!this.#isKnown(session)) return 'its session is not there'
    const settled = this.#settled.get(`${session} ${messages[0]?.sequence}`)?.length ?? 0
    this.counts.queuedMessages += messages.length - settled
    const missing = messages.find(({ reference }) => reference !== undefined && !this.#messages.has(reference))
    return missing && `message ${missing.reference} is not there`
  }

  #isKnown(session: SessionKey): boolean {
    return this.#sessions.has(session)
  }
}
