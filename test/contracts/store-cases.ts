/** What a store should hold, kept in lists in memory, and random steps that change both alike. */
import fc from 'fast-check'

import { Publication } from '../../src/publication.ts'
import type { Store } from '../../src/store/store.ts'
import type { QueuedMessage, SessionKey, StoredInflight } from '../../src/stored.ts'

export function message(sequence: number, text: string, changes: Partial<QueuedMessage> = {}): QueuedMessage {
  return {
    sequence,
    publication: publicationOf(`t/${text}`, text),
    qos: 1,
    retain: false,
    subscriptionIdentifiers: undefined,
    shared: undefined,
    ...changes,
  }
}

export function publicationOf(topic: string, text: string): Publication {
  const payload = Buffer.from(text)
  return new Publication(topic, 1, true, false, 0, payload, 0, payload.length)
}

export async function all<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const found: T[] = []
  for await (const page of pages) found.push(...page)
  return found
}

/**
 * The payloads that wait in a line, page by page. `isWhole`: no record of it is lost, so that the oldest
 * message that the store knows of is the first that it reads.
 */
export async function lineOf(store: Store, key: SessionKey, pageSize = 3, isWhole = true): Promise<string[]> {
  const texts: string[] = []
  for (let from = 1; ;) {
    const oldest = store.oldest(key, from)?.sequence
    const page = await store.page(key, from, pageSize, 1_000_000)
    if (isWhole && page[0]?.sequence !== oldest) throw new Error(`the oldest is ${page[0]?.sequence}, not ${oldest}`)
    if (page.length === 0) return texts
    if (page.length > pageSize) throw new Error(`a page of ${page.length} messages, not ${pageSize}`)
    for (const queued of page) texts.push(queued.publication.payload.toString())
    from = page.at(-1)!.sequence + 1
  }
}

interface ModelSession {
  readonly key: SessionKey
  record: string
  readonly subscriptions: Record<string, string>
  readonly received: Set<number>
  readonly inflight: Map<number, StoredInflight>
  readonly line: Map<number, string>
  nextSequence: number
}

/** Everything in a store, as a value that can be compared. */
export interface Contents {
  readonly sessions: readonly unknown[]
  readonly wills: readonly unknown[]
  readonly retained: readonly unknown[]
}

const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)

export async function contentsOf(store: Store, isWhole = true): Promise<Contents> {
  const sessions: unknown[] = []
  for (const session of (await all(store.sessions())).sort((a, b) => a.key - b.key)) {
    sessions.push({
      key: session.key,
      record: session.record.toString(),
      subscriptions: Object.fromEntries(
        session.subscriptions.map(({ filter, record }) => [filter, record.toString()]).sort(byText),
      ),
      received: [...session.received].sort((a, b) => a - b),
      inflight: [...session.inflight].sort((a, b) => a.packetId - b.packetId),
      line: await lineOf(store, session.key, 7, isWhole),
    })
  }
  const wills = (await all(store.wills())).map(({ session, epoch, record }) => [session, epoch, record.toString()])
  const retained = (await all(store.retained())).map(({ topic, payload }) => [topic, payload.toString()])
  return { sessions, wills: wills.sort(byText), retained: retained.sort(byText) }
}

/** One of three sessions, by its place. */
const session = fc.nat(2)
const small = fc.integer({ min: 1, max: 3 })

const at = fc.nat(20)

/** One kind of step, and how often it comes. */
function kind<const T extends string, F extends object>(
  weight: number,
  type: T,
  fields: { [Name in keyof F]: fc.Arbitrary<F[Name]> },
): { weight: number; arbitrary: fc.Arbitrary<F & { readonly type: T }> } {
  return { weight, arbitrary: fc.record(fields).map((given) => ({ ...(given as F), type })) }
}

export const changes = fc.oneof(
  kind(8, 'append', { sessions: fc.subarray([0, 1, 2], { minLength: 1 }) }),
  kind(7, 'settle', { session, at }),
  kind(2, 'record', { session, text: fc.string({ maxLength: 4 }) }),
  kind(2, 'subscribe', { session, filter: small }),
  kind(1, 'unsubscribe', { session, filter: small }),
  kind(2, 'receive', { session, id: small }),
  kind(2, 'release', { session, id: small }),
  kind(3, 'assign', { session, id: small, at, released: fc.boolean() }),
  kind(2, 'free', { session, id: small }),
  kind(1, 'arm', { session, epoch: small }),
  kind(1, 'disarm', { session, epoch: small }),
  kind(1, 'retain', { topic: small }),
  kind(1, 'clear', { topic: small }),
  kind(1, 'delete', { session }),
)
export type Change = typeof changes extends fc.Arbitrary<infer T> ? T : never

export class Model {
  sessions: ModelSession[] = []
  readonly wills = new Map<string, [SessionKey, number, string]>()
  readonly retained = new Map<string, string>()
  #count = 0

  constructor(store: Store) {
    for (let at = 0; at < 3; at++) this.sessions.push(this.#fresh(store))
  }

  #fresh(store: Store): ModelSession {
    const key = store.nextSessionKey()
    store.putSession(key, `c${key}`, Buffer.from('first'))
    return {
      key,
      record: 'first',
      subscriptions: {},
      received: new Set(),
      inflight: new Map(),
      line: new Map(),
      nextSequence: 1,
    }
  }

  /** As {@link contentsOf} would find it. */
  contents(): Contents {
    const sessions = this.sessions.map(({ key, record, subscriptions, received, inflight, line }) => ({
      key,
      record,
      subscriptions: Object.fromEntries(Object.entries(subscriptions).sort(byText)),
      received: [...received].sort((a, b) => a - b),
      inflight: [...inflight.values()]
        .filter(({ released, sequence }) => released || line.has(sequence))
        .sort((a, b) => a.packetId - b.packetId),
      line: [...line.values()],
    }))
    return {
      sessions: sessions.sort((a, b) => a.key - b.key),
      wills: [...this.wills.values()].sort(byText),
      retained: [...this.retained].sort(byText),
    }
  }

  apply(store: Store, step: Change): void {
    const value = `v${++this.#count}`
    switch (step.type) {
      case 'append': {
        const { publication } = message(0, value)
        for (const at of step.sessions) {
          const { key, line } = this.sessions[at]!
          const sequence = this.sessions[at]!.nextSequence++
          store.append(key, message(sequence, '', { publication }))
          line.set(sequence, value)
        }
        return
      }
      case 'retain':
        store.putRetained(publicationOf(`r/${step.topic}`, value))
        this.retained.set(`r/${step.topic}`, value)
        return
      case 'clear':
        store.deleteRetained(`r/${step.topic}`)
        this.retained.delete(`r/${step.topic}`)
        return
      case 'delete':
        store.deleteSession(this.sessions[step.session]!.key)
        this.sessions[step.session] = this.#fresh(store)
        return
      default:
        this.#applyTo(this.sessions[step.session]!, store, step, value)
    }
  }

  #applyTo(
    session: ModelSession,
    store: Store,
    step: Exclude<Change, { type: 'append' | 'retain' | 'clear' | 'delete' }>,
    value: string,
  ): void {
    const { key, line } = session
    switch (step.type) {
      case 'settle': {
        const sequence = [...line.keys()][step.at % Math.max(1, line.size)]
        if (sequence === undefined) return
        store.settle(key, sequence)
        line.delete(sequence)
        return
      }
      case 'record':
        session.record = step.text
        return store.putSession(key, `c${key}`, Buffer.from(step.text))
      case 'subscribe':
        session.subscriptions[`f/${step.filter}`] = value
        return store.putSubscription(key, `f/${step.filter}`, Buffer.from(value))
      case 'unsubscribe':
        delete session.subscriptions[`f/${step.filter}`]
        return store.deleteSubscription(key, `f/${step.filter}`)
      case 'receive':
        session.received.add(step.id)
        return store.putReceived(key, step.id)
      case 'release':
        session.received.delete(step.id)
        return store.deleteReceived(key, step.id)
      case 'assign': {
        const sequence = [...line.keys()][step.at % Math.max(1, line.size)]
        if (sequence === undefined) return
        const inflight: StoredInflight = { packetId: step.id, sequence, qos: 2, released: step.released }
        session.inflight.set(step.id, inflight)
        return store.putInflight(key, inflight)
      }
      case 'free':
        session.inflight.delete(step.id)
        return store.deleteInflight(key, step.id)
      case 'arm':
        this.wills.set(`${key} ${step.epoch}`, [key, step.epoch, value])
        return store.putWill(key, step.epoch, Buffer.from(value))
      case 'disarm':
        this.wills.delete(`${key} ${step.epoch}`)
        return store.deleteWill(key, step.epoch)
    }
  }
}
