import type { Publication } from '../publication.ts'
import type { Store } from './store.ts'
import type { QueuedMessage, SessionKey, StoredInflight, StoredSession, StoredWill } from '../stored.ts'

interface Kept {
  clientId: string
  record: Buffer
  readonly subscriptions: Map<string, Buffer>
  readonly received: Set<number>
  readonly inflight: Map<number, StoredInflight>
  readonly queue: Map<number, QueuedMessage>
  nextSequence: number
}

/** Keeps everything for as long as the object lives: for tests, and for brokers that may forget. */
export class MemoryStore implements Store {
  readonly name = 'memory'
  readonly fault = undefined
  readonly #sessions = new Map<SessionKey, Kept>()
  readonly #wills = new Map<SessionKey, Map<number, Buffer>>()
  readonly #retained = new Map<string, Publication>()
  #lastKey = 0

  async open(): Promise<void> {}

  async close(): Promise<void> {}

  async *sessions(): AsyncIterable<readonly StoredSession[]> {
    for (const [key, kept] of this.#sessions) {
      let bytes = 0
      for (const { publication } of kept.queue.values()) bytes += publication.sizeBytes
      yield [
        {
          key,
          clientId: kept.clientId,
          record: kept.record,
          subscriptions: [...kept.subscriptions].map(([filter, record]) => ({ filter, record })),
          received: [...kept.received],
          inflight: [...kept.inflight.values()]
            .filter(({ released, sequence }) => released || kept.queue.has(sequence))
            .sort((a, b) => a.sequence - b.sequence),
          queued: { messages: kept.queue.size, bytes },
          nextSequence: kept.nextSequence,
        },
      ]
    }
  }

  async *wills(): AsyncIterable<readonly StoredWill[]> {
    for (const [session, epochs] of this.#wills) {
      yield [...epochs].map(([epoch, record]) => ({ session, epoch, record }))
    }
  }

  async *retained(): AsyncIterable<readonly Publication[]> {
    yield [...this.#retained.values()]
  }

  nextSessionKey(): SessionKey {
    return ++this.#lastKey
  }

  putSession(key: SessionKey, clientId: string, record: Buffer): void {
    const kept = this.#kept(key)
    kept.clientId = clientId
    kept.record = record
  }

  deleteSession(key: SessionKey): void {
    this.#sessions.delete(key)
  }

  putSubscription(key: SessionKey, filter: string, record: Buffer): void {
    this.#kept(key).subscriptions.set(filter, record)
  }

  deleteSubscription(key: SessionKey, filter: string): void {
    this.#sessions.get(key)?.subscriptions.delete(filter)
  }

  putReceived(key: SessionKey, packetId: number): void {
    this.#kept(key).received.add(packetId)
  }

  deleteReceived(key: SessionKey, packetId: number): void {
    this.#sessions.get(key)?.received.delete(packetId)
  }

  putWill(key: SessionKey, epoch: number, record: Buffer): void {
    const epochs = this.#wills.get(key) ?? new Map<number, Buffer>()
    this.#wills.set(key, epochs.set(epoch, record))
  }

  deleteWill(key: SessionKey, epoch: number): void {
    const epochs = this.#wills.get(key)
    epochs?.delete(epoch)
    if (epochs?.size === 0) this.#wills.delete(key)
  }

  append(key: SessionKey, message: QueuedMessage): void {
    const kept = this.#kept(key)
    kept.queue.set(message.sequence, message)
    kept.nextSequence = Math.max(kept.nextSequence, message.sequence + 1)
  }

  putInflight(key: SessionKey, inflight: StoredInflight): void {
    this.#kept(key).inflight.set(inflight.packetId, inflight)
  }

  deleteInflight(key: SessionKey, packetId: number): void {
    this.#sessions.get(key)?.inflight.delete(packetId)
  }

  settle(key: SessionKey, sequence: number): void {
    this.#sessions.get(key)?.queue.delete(sequence)
  }

  async page(key: SessionKey, from: number, maxMessages: number, maxBytes: number): Promise<readonly QueuedMessage[]> {
    const page: QueuedMessage[] = []
    let bytes = 0
    for (const message of this.#sessions.get(key)?.queue.values() ?? []) {
      if (message.sequence < from) continue
      bytes += message.publication.sizeBytes
      if (page.length > 0 && (page.length >= maxMessages || bytes > maxBytes)) break
      page.push(message)
    }
    return page
  }

  oldest(key: SessionKey, from: number): { readonly sequence: number; readonly bytes: number } | undefined {
    for (const { sequence, publication } of this.#sessions.get(key)?.queue.values() ?? []) {
      if (sequence >= from) return { sequence, bytes: publication.storedBytes }
    }
    return undefined
  }

  putRetained(publication: Publication): void {
    this.#retained.set(publication.topic, publication)
  }

  deleteRetained(topic: string): void {
    this.#retained.delete(topic)
  }

  together(): () => void {
    return () => {}
  }

  durable(): undefined {
    return undefined
  }

  #kept(key: SessionKey): Kept {
    let kept = this.#sessions.get(key)
    if (kept === undefined) {
      kept = {
        clientId: '',
        record: Buffer.alloc(0),
        subscriptions: new Map(),
        received: new Set(),
        inflight: new Map(),
        queue: new Map(),
        nextSequence: 1,
      }
      this.#sessions.set(key, kept)
    }
    return kept
  }
}
