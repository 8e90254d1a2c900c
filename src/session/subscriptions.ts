import { isPromise, type AllowSubscription, type Deny, type HookClient, type Next } from '../hooks.ts'
import {
  PacketType,
  type SubscribePacket,
  type SubscriptionRequest,
  type UnsubscribePacket,
  type SubackPacket,
  type UnsubackPacket,
} from '../messages.ts'
import type { Publication } from '../publication.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { Subscription } from '../router/subscription-index.ts'
import { hasWildcard, isTopicFilter, parseShared } from '../router/topics.ts'
import type { Subscriber } from '../router/subscriber.ts'
import type { RetainedCursor } from '../router/retained.ts'
import { withTimeout } from './decide.ts'
import type { Session } from './session.ts'

type SubscribeVerdict = Next | Deny | AllowSubscription

/** What became of one filter of a SUBSCRIBE. */
interface Granted {
  readonly code: number
  /** Set when retained messages are to follow. */
  readonly replay: Subscription<Subscriber> | undefined
  /** A hook's reason against it. */
  readonly reason?: string
}

/** Hooks are written in JavaScript too: an answer of another shape is none (semantics 7.12). */
function isVerdict(verdict: SubscribeVerdict | undefined): boolean {
  return verdict?.type === 'next' || verdict?.type === 'allow' || verdict?.type === 'deny'
}

/** The subscriptions of one session, by the filter that its client used. */
export class Subscriptions {
  readonly #session: Session
  readonly #byFilter = new Map<string, Subscription<Subscriber>>()

  constructor(session: Session) {
    this.#session = session
  }

  get size(): number {
    return this.#byFilter.size
  }

  entries(): IterableIterator<[string, Subscription<Subscriber>]> {
    return this.#byFilter.entries()
  }

  /** Answers a SUBSCRIBE; the promise is for hooks that take their time. */
  subscribe(packet: SubscribePacket): Promise<void> | undefined {
    const { onSubscribe } = this.#session.policy.hooks
    if (!onSubscribe) {
      this.#answer(
        packet,
        packet.subscriptions.map((request) => this.#grant(packet, request, request.filter, request.qos)),
      )
      return undefined
    }
    return this.#decideEach(packet, onSubscribe)
  }

  async #decideEach(
    packet: SubscribePacket,
    onSubscribe: NonNullable<Session['policy']['hooks']['onSubscribe']>,
  ): Promise<void> {
    const session = this.#session
    const { connection } = session
    const granted: Granted[] = []
    for (const request of packet.subscriptions) {
      let verdict: SubscribeVerdict
      try {
        const decision = onSubscribe(request, session.hookClient)
        const { decisionTimeoutMs } = session.policy.limits
        verdict = isPromise(decision)
          ? await withTimeout(session.core.clock, decisionTimeoutMs, 'onSubscribe', decision)
          : decision
        if (!isVerdict(verdict)) throw new TypeError('onSubscribe gave no verdict')
      } catch (error) {
        session.core.events.emit({ type: 'hook.failed', hook: 'onSubscribe', clientId: session.clientId, error })
        verdict = { type: 'deny', reasonCode: ReasonCode.NotAuthorized, reason: 'the decision failed' }
      }
      // A client that is back on another connection asks again.
      if (!session.isOpen || session.connection !== connection) return
      if (verdict.type === 'next') granted.push(this.#grant(packet, request, request.filter, request.qos))
      else if (verdict.type === 'allow') {
        const qos = verdict.qos !== undefined && verdict.qos < request.qos ? verdict.qos : request.qos
        granted.push(this.#grant(packet, request, verdict.filter ?? request.filter, qos))
      } else granted.push({ code: verdict.reasonCode, replay: undefined, reason: verdict.reason })
    }
    this.#answer(packet, granted)
  }

  /** MQTT-3.8.4-5: each filter is handled as if it had come in a SUBSCRIBE of its own. */
  #grant(packet: SubscribePacket, request: SubscriptionRequest, filter: string, requestedQoS: 0 | 1 | 2): Granted {
    const session = this.#session
    const { features } = session.core
    const refusal = this.#refusal(packet, request, filter)
    if (refusal !== undefined) return { code: refusal, replay: undefined }
    // MQTT-3.2.2-10: the QoS asked for is lowered to what is offered, not refused.
    const qos = requestedQoS > features.maximumQoS ? features.maximumQoS : requestedQoS
    const identifier = packet.subscriptionIdentifier ?? 0
    const { noLocal, retainAsPublished, retainHandling } = request
    const existing = this.#byFilter.get(request.filter)
    const shared = parseShared(filter)
    const inner = shared?.filter ?? filter
    let subscription = existing
    if (existing && existing.filter === inner && existing.group?.group === shared?.group) {
      // MQTT-3.8.4-3: replaced where it is, so that no message slips through.
      existing.replaceOptions(qos, noLocal, retainAsPublished, retainHandling, identifier)
    } else {
      if (existing) session.core.router.unsubscribe(existing)
      subscription = session.core.router.subscribe(session, inner, shared?.group, {
        qos,
        noLocal,
        retainAsPublished,
        retainHandling,
        subscriptionIdentifier: identifier,
      })
      this.#byFilter.set(request.filter, subscription)
    }
    if (session.core.events.observed) {
      session.core.events.emit({ type: 'subscription.added', ...session.names, filter: request.filter, qos })
    }
    // Section 4.8.2: retained messages are not sent for a shared subscription. MQTT-3.3.1-9 … -11
    const replays = !shared && (retainHandling === 0 || (retainHandling === 1 && existing === undefined))
    return { code: qos, replay: replays ? subscription : undefined }
  }

  #refusal(packet: SubscribePacket, request: SubscriptionRequest, filter: string): number | undefined {
    const { policy, core } = this.#session
    const { features } = core
    if (!isTopicFilter(filter, policy.limits.maxTopicLevels)) return ReasonCode.TopicFilterInvalid
    const shared = filter.startsWith('$share/')
    if (shared && !features.sharedSubscriptionAvailable) return ReasonCode.SharedSubscriptionsNotSupported
    if (!features.wildcardSubscriptionAvailable && hasWildcard(filter))
      return ReasonCode.WildcardSubscriptionsNotSupported
    if (packet.subscriptionIdentifier !== undefined && !features.subscriptionIdentifiersAvailable) {
      return ReasonCode.SubscriptionIdentifiersNotSupported
    }
    if (!this.#byFilter.has(request.filter) && this.#byFilter.size >= policy.limits.maxSubscriptionsPerSession)
      return ReasonCode.QuotaExceeded
    return undefined
  }

  #answer(packet: SubscribePacket, granted: readonly Granted[]): void {
    const session = this.#session
    const reasonCodes = granted.map((one) => one.code)
    // SUBACK has one reason string for all of its filters: the first refusal's.
    const reasonString = granted.find((one) => one.reason)?.reason
    // MQTT-3.8.4-6; the answer goes first, then what it lets through.
    this.#reply({
      type: PacketType.Suback,
      packetId: packet.packetId,
      reasonCodes,
      ...(reasonString ? { reasonString } : {}),
    })
    const wanted = granted.flatMap((one) => (one.replay ? [one.replay] : []))
    if (wanted.length === 0 || session.core.router.retained.count === 0) return
    session.replay ??= new RetainedReplay(session)
    session.replay.add(wanted)
  }

  unsubscribe(packet: UnsubscribePacket): void {
    const session = this.#session
    const { onUnsubscribe } = session.policy.hooks
    const reasonCodes = packet.filters.map((filter) => {
      if (!isTopicFilter(filter, session.policy.limits.maxTopicLevels)) return ReasonCode.TopicFilterInvalid
      const subscription = this.#byFilter.get(filter)
      if (!subscription) return ReasonCode.NoSubscriptionExisted
      if (onUnsubscribe) this.#tell(onUnsubscribe, filter)
      this.#byFilter.delete(filter)
      this.#remove(filter, subscription)
      return ReasonCode.Success
    })
    this.#reply({ type: PacketType.Unsuback, packetId: packet.packetId, reasonCodes })
  }

  /** Nobody waits for this hook; should it be asynchronous, its failure must still end nobody (threat 60). */
  #tell(onUnsubscribe: (filter: string, client: HookClient) => unknown, filter: string): void {
    const { core, clientId, hookClient } = this.#session
    const onError = (error: unknown): void =>
      core.events.emit({ type: 'hook.failed', hook: 'onUnsubscribe', clientId, error })
    try {
      const told = onUnsubscribe(filter, hookClient)
      if (isPromise(told)) told.catch(onError)
    } catch (error) {
      onError(error)
    }
  }

  /** An answer larger than the client takes (MQTT-3.1.2-24) would leave it waiting for ever: its connection ends. */
  #reply(packet: SubackPacket | UnsubackPacket): void {
    const { connection } = this.#session
    if (!connection || connection.send(packet)) return
    this.#session.refusePacket(ReasonCode.PacketTooLarge, 'the answer is larger than the client takes')
  }

  /** The session ends. */
  clear(): void {
    for (const [filter, subscription] of this.#byFilter) this.#remove(filter, subscription)
    this.#byFilter.clear()
  }

  #remove(filter: string, subscription: Subscription<Subscriber>): void {
    const session = this.#session
    session.replay?.forget(subscription)
    const group = session.core.router.unsubscribe(subscription)
    if (group) session.outbound?.leaveGroup(group)
    if (session.core.events.observed)
      session.core.events.emit({ type: 'subscription.removed', ...session.names, filter })
  }
}

interface Replay {
  readonly subscription: Subscription<Subscriber>
  readonly cursor: RetainedCursor
}

/**
 * Gives a session the retained messages of new subscriptions, page by page and no faster than it
 * takes them: a hundred thousand of them neither fill its outbox nor hold up the loop (threat 50).
 */
export class RetainedReplay {
  readonly #session: Session
  #waiting: Replay[] = []
  #page: Publication[] = []
  #pageAt = 0
  #scheduled = false
  #running = false

  constructor(session: Session) {
    this.#session = session
  }

  get isActive(): boolean {
    return this.#waiting.length > 0
  }

  add(subscriptions: readonly Subscription<Subscriber>[]): void {
    const { router } = this.#session.core
    for (const subscription of subscriptions) {
      this.forget(subscription)
      const cursor = router.retained.match(subscription.filter)
      this.#waiting.push({ subscription, cursor })
    }
    this.#continue()
  }

  /** The session has room. Acknowledgements come many to a read: what they make room for is given together. */
  wake(): void {
    if (this.#running || this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => this.#resume())
  }

  #resume(): void {
    this.#scheduled = false
    try {
      this.#continue()
    } catch (error) {
      this.#session.error(error)
    }
  }

  /** Goes on while the session takes messages. */
  #continue(): void {
    if (this.#running || this.#scheduled) return
    this.#running = true
    let budget = this.#session.policy.limits.maxRetainedPerTurn
    while (this.#waiting.length > 0 && this.#canTake()) {
      if (budget <= 0) {
        this.#yield()
        break
      }
      const taken = this.#step(Math.min(budget, 100))
      // Nothing went although the session seemed ready: its window is full, and an acknowledgement will call.
      if (taken === 0) break
      budget -= taken
    }
    this.#running = false
    if (this.#waiting.length === 0) this.#session.replay = undefined
  }

  forget(subscription: Subscription<Subscriber>): void {
    const at = this.#waiting.findIndex((replay) => replay.subscription === subscription)
    if (at < 0) return
    this.#waiting[at]!.cursor.close()
    this.#waiting.splice(at, 1)
    if (at > 0) return
    this.#page = []
    this.#pageAt = 0
  }

  close(): void {
    for (const { cursor } of this.#waiting) cursor.close()
    this.#waiting = []
    this.#page = []
    this.#pageAt = 0
  }

  #canTake(): boolean {
    const { connection, isFlowing, outbound } = this.#session
    return connection?.writable === true && isFlowing && (outbound === undefined || outbound.isIdle)
  }

  /** Gives what can be given of the current page, or reads the next one; returns what it counts against the budget. */
  #step(pageMessages: number): number {
    const { subscription, cursor } = this.#waiting[0]!
    if (this.#pageAt === this.#page.length) {
      this.#page = []
      this.#pageAt = 0
      const ended = cursor.read(this.#page, pageMessages)
      if (ended && this.#page.length === 0) this.#waiting.shift()
      return 1
    }
    let given = 0
    while (this.#pageAt < this.#page.length && this.#canTake()) {
      const publication = this.#page[this.#pageAt]!
      const qos = publication.qos < subscription.qos ? publication.qos : subscription.qos
      if (qos > 0 && this.#session.outbound?.hasWindow === false) return given
      this.#pageAt++
      given++
      // MQTT-3.8.3-3
      if (subscription.noLocal && publication.publisher === this.#session.clientId) continue
      const identifiers = subscription.subscriptionIdentifier > 0 ? [subscription.subscriptionIdentifier] : undefined
      // MQTT-3.3.1-8 of 3.1.1: sent because of a new subscription, so RETAIN is 1.
      this.#session.core.router.deliverTo(this.#session, publication, qos, true, identifiers, undefined)
    }
    return given
  }

  #yield(): void {
    this.#scheduled = true
    setImmediate(() => this.#resume())
  }
}
