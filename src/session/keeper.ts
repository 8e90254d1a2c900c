import type { SessionContext } from '../../machines/session.machine.ts'
import type { QoS } from '../messages.ts'
import { Keeping, type Publication } from '../publication.ts'
import type { DeliveryGroup } from '../router/subscriber.ts'
import type { QueuedMessage, SessionKey, SessionStore } from '../stored.ts'
import { encodeSession, encodeSubscription, type SubscriptionRecord } from './session-record.ts'

/**
 * What a persistent session tells the store, as it happens. It never waits: whoever answers a client
 * holds the answer back until the store says that it is durable.
 */
export class Keeper {
  readonly key: SessionKey
  readonly #store: SessionStore
  #nextSequence: number
  #context: SessionContext | undefined = undefined
  #wasOnline = false

  constructor(store: SessionStore, key: SessionKey, nextSequence: number) {
    this.#store = store
    this.key = key
    this.#nextSequence = nextSequence
  }

  /** The store has the session as it is, offline: 100,000 that come back write nothing. */
  assume(context: SessionContext): void {
    this.#context = context
    this.#wasOnline = false
  }

  /** After each transition: the chart makes a new context where something in it changed. */
  update(clientId: string, context: SessionContext, isOnline: boolean): void {
    if (context === this.#context && isOnline === this.#wasOnline) return
    this.#context = context
    this.#wasOnline = isOnline
    this.#store.putSession(this.key, clientId, encodeSession({ wasOnline: isOnline, context }))
  }

  /** The session ends. */
  end(): void {
    this.#store.deleteSession(this.key)
  }

  /** The session ends, and there is something to do with its messages before they go. A start meanwhile ends it again. */
  bury(clientId: string, context: SessionContext): void {
    const ended = { ...context, sessionExpiryIntervalSeconds: 0 }
    this.#store.putSession(this.key, clientId, encodeSession({ wasOnline: false, context: ended }))
  }

  subscribed(subscription: SubscriptionRecord): void {
    this.#store.putSubscription(this.key, subscription.filter, encodeSubscription(subscription))
  }

  unsubscribed(filter: string): void {
    this.#store.deleteSubscription(this.key, filter)
  }

  /** A QoS 2 message was received; MQTT-4.3.3-10 must hold after a restart too. */
  received(packetId: number): void {
    this.#store.putReceived(this.key, packetId)
  }

  released(packetId: number): void {
    this.#store.deleteReceived(this.key, packetId)
  }

  /** The store takes nothing just now. */
  get isFull(): boolean {
    return this.#store.fault !== undefined
  }

  /**
   * Puts a message at the end of the session's line; returns its place. Undefined: the store takes
   * nothing, and the message says so to whoever acknowledges it.
   */
  keep(
    publication: Publication,
    qos: QoS,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
    group: DeliveryGroup | undefined,
  ): number | undefined {
    if (this.isFull) {
      publication.keeping = Keeping.Refused
      return undefined
    }
    if (publication.keeping === Keeping.None) publication.keeping = Keeping.Written
    const sequence = this.#nextSequence++
    const shared = group?.shared
    this.#store.append(this.key, { sequence, publication, qos, retain, subscriptionIdentifiers, shared })
    return sequence
  }

  /** It is acknowledged or given up. */
  settle(sequence: number): void {
    this.#store.settle(this.key, sequence)
  }

  /** The place of the next message. */
  get nextSequence(): number {
    return this.#nextSequence
  }

  /** See {@link SessionStore.page}. */
  page(from: number, maxMessages: number, maxBytes: number): Promise<readonly QueuedMessage[]> {
    return this.#store.page(this.key, from, maxMessages, maxBytes)
  }

  /** See {@link SessionStore.oldest}. */
  oldest(from: number): { readonly sequence: number; readonly bytes: number } | undefined {
    return this.#store.oldest(this.key, from)
  }

  /** A message goes out under this identifier, or has come to PUBREL. */
  assign(packetId: number, sequence: number, qos: QoS, released: boolean): void {
    this.#store.putInflight(this.key, { packetId, sequence, qos, released })
  }

  free(packetId: number): void {
    this.#store.deleteInflight(this.key, packetId)
  }
}
