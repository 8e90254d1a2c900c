import type { Access } from '../auth/access.ts'
import { isPromise, type AllowSubscription, type DecisionHooks, type Deny, type Next } from '../hooks.ts'
import {
  PacketType,
  type QoS,
  type SubscribePacket,
  type SubscriptionRequest,
  type UnsubscribePacket,
  type SubackPacket,
  type UnsubackPacket,
} from '../messages.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { Subscription } from '../router/subscription-index.ts'
import type { SubscriptionOptions } from '../router/router.ts'
import { hasWildcard, isTopicFilter, parseShared } from '../router/topics.ts'
import type { Subscriber } from '../router/subscriber.ts'
import { accessOf } from './access.ts'
import { hookDenied, hookFailed, withTimeout } from './decide.ts'
import { observes, report } from './observing.ts'
import { reauthorise } from './reauthorise.ts'
import { RetainedReplay } from './retained-replay.ts'
import type { SubscriptionRecord } from './session-record.ts'
import type { Session } from './session.ts'
import type { SubscriptionFacts } from './subscription-facts.ts'

type OnUnsubscribe = NonNullable<DecisionHooks['onUnsubscribe']>
type SubscribeVerdict = Next | Deny | AllowSubscription

/** What became of one filter of a SUBSCRIBE. */
interface Granted {
  readonly code: number
  /** Set when retained messages are to follow. */
  readonly replay: Subscription<Subscriber> | undefined
  /** A hook's reason against it. */
  readonly reason?: string
}

const DENIED: Granted = { code: ReasonCode.NotAuthorized, replay: undefined, reason: 'not authorized' }

/** Hooks are written in JavaScript too: an answer of another shape is none (semantics 7.12). */
function isVerdict(verdict: SubscribeVerdict | undefined): boolean {
  return verdict?.type === 'next' || verdict?.type === 'allow' || verdict?.type === 'deny'
}

/** A subscription as it was asked for and may become again, beside what roles leave of it. */
interface Withheld {
  /** What the index was given, or would be. */
  readonly filter: string
  readonly group: string | undefined
  readonly options: SubscriptionOptions
}

/** The subscriptions of one session, by the filter that its client used. */
export class Subscriptions {
  readonly #session: Session
  readonly #byFilter = new Map<string, Subscription<Subscriber>>()
  /** Those that were granted once and that the roles of now do not allow: they come back with the rights. */
  #withheld: Map<string, Withheld> | undefined = undefined
  /** QoS asked for, where roles grant a lower one. */
  #wantedQoS: Map<string, QoS> | undefined = undefined

  constructor(session: Session) {
    this.#session = session
  }

  /** Withheld ones included, so that a quota bounds those too. */
  get size(): number {
    return this.#byFilter.size + (this.#withheld?.size ?? 0)
  }

  entries(): IterableIterator<[string, Subscription<Subscriber>]> {
    return this.#byFilter.entries()
  }

  /** All of them, those that are withheld at the end. */
  *facts(): Generator<SubscriptionFacts, void> {
    for (const [name, options] of this.#byFilter) {
      const { filter, group, qos: granted } = options
      yield { name, filter, group: group?.group, wanted: this.#wantedQoS?.get(name) ?? granted, granted, options }
    }
    for (const [name, { filter, group, options }] of this.#withheld ?? [])
      yield { name, filter, group, wanted: options.qos, granted: undefined, options }
  }

  /** Answers a SUBSCRIBE; the promise is for hooks that take their time. */
  subscribe(packet: SubscribePacket): Promise<void> | undefined {
    // What it has is compared with the same roles as what it asks for.
    reauthorise(this.#session)
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
      // Roles are asked first: a hook can only take away from what they allow.
      if (this.#isDenied(request)) {
        granted.push(this.#denied(request.filter))
        continue
      }
      let verdict: SubscribeVerdict
      try {
        const decision = onSubscribe(request, session.hookClient)
        const { decisionTimeoutMs } = session.policy.limits
        verdict = isPromise(decision)
          ? await withTimeout(session.core.clock, decisionTimeoutMs, 'onSubscribe', decision)
          : decision
        if (!isVerdict(verdict)) throw new TypeError('onSubscribe gave no verdict')
      } catch (error) {
        hookFailed(session.core.events, 'onSubscribe', session.clientId, error)
        verdict = { type: 'deny', reasonCode: ReasonCode.NotAuthorized, reason: 'the decision failed' }
      }
      // A client that is back on another connection asks again.
      if (!session.isOpen || session.connection !== connection) return
      if (verdict.type === 'next') granted.push(this.#grant(packet, request, request.filter, request.qos))
      else if (verdict.type === 'allow') {
        const qos = verdict.qos !== undefined && verdict.qos < request.qos ? verdict.qos : request.qos
        granted.push(this.#grant(packet, request, verdict.filter ?? request.filter, qos))
      } else {
        hookDenied(session.core.events, 'onSubscribe', session.clientId, verdict)
        granted.push({ code: verdict.reasonCode, replay: undefined, reason: verdict.reason })
      }
    }
    this.#answer(packet, granted)
  }

  /** MQTT-3.8.4-5: each filter is handled as if it had come in a SUBSCRIBE of its own. */
  #grant(packet: SubscribePacket, request: SubscriptionRequest, filter: string, requestedQoS: 0 | 1 | 2): Granted {
    const session = this.#session
    const { features } = session.policy
    const refusal = this.#refusal(packet, request, filter)
    if (refusal !== undefined) return { code: refusal, replay: undefined }
    // MQTT-3.2.2-10: the QoS asked for is lowered to what is offered, not refused.
    const wanted = requestedQoS > features.maximumQoS ? features.maximumQoS : requestedQoS
    const shared = parseShared(filter)
    const inner = shared?.filter ?? filter
    const qos = this.#permitted(inner, wanted, shared?.group)
    if (qos === undefined) return this.#denied(request.filter)
    this.#withheld?.delete(request.filter)
    const identifier = packet.subscriptionIdentifier ?? 0
    const { noLocal, retainAsPublished, retainHandling } = request
    const existing = this.#byFilter.get(request.filter)
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
    this.#keepWanted(request.filter, wanted, qos)
    session.keeper?.subscribed({ ...request, qos: wanted, inner: filter, identifier })
    if (observes(session, 'subscription.added'))
      report(session, { type: 'subscription.added', ...session.names, filter: request.filter, qos })
    // Section 4.8.2: retained messages are not sent for a shared subscription. MQTT-3.3.1-9 … -11
    const replays = !shared && (retainHandling === 0 || (retainHandling === 1 && existing === undefined))
    return { code: qos, replay: replays ? subscription : undefined }
  }

  #refusal(packet: SubscribePacket, request: SubscriptionRequest, filter: string): number | undefined {
    const { policy } = this.#session
    const { features } = policy
    if (!isTopicFilter(filter, policy.limits.maxTopicLevels)) return ReasonCode.TopicFilterInvalid
    const shared = filter.startsWith('$share/')
    if (shared && !features.sharedSubscriptionAvailable) return ReasonCode.SharedSubscriptionsNotSupported
    if (!features.wildcardSubscriptionAvailable && hasWildcard(filter))
      return ReasonCode.WildcardSubscriptionsNotSupported
    if (packet.subscriptionIdentifier !== undefined && !features.subscriptionIdentifiersAvailable) {
      return ReasonCode.SubscriptionIdentifiersNotSupported
    }
    const isNew = !this.#byFilter.has(request.filter) && this.#withheld?.has(request.filter) !== true
    if (isNew && this.size >= policy.limits.maxSubscriptionsPerSession) return ReasonCode.QuotaExceeded
    return undefined
  }

  /** What was withheld until now has been asked for again: the answer to this is what counts. */
  #denied(name: string): Granted {
    if (this.#withheld?.delete(name) === true) this.#session.keeper?.unsubscribed(name)
    return DENIED
  }

  #isDenied({ filter, qos }: SubscriptionRequest): boolean {
    if (!isTopicFilter(filter, Infinity)) return false
    const shared = parseShared(filter)
    return this.#permitted(shared?.filter ?? filter, qos, shared?.group) === undefined
  }

  /** The QoS at which roles let the session have a filter; undefined: not at all. */
  #permitted(filter: string, wanted: QoS, group: string | undefined): QoS | undefined {
    return this.#session.hasRights ? this.#byRoles(filter, wanted, group) : undefined
  }

  /** The same for what was subscribed already: it stays while the grant gives no right, for the day that it does again. */
  #byRoles(filter: string, wanted: QoS, group: string | undefined): QoS | undefined {
    const session = this.#session
    const access = accessOf(session)
    if (access === undefined) return wanted
    const { verdict, qos } = access.subscribe(filter, wanted, group)
    if (verdict === 'granted') return qos
    if (verdict === 'refused' || session.core.roles.partialSubscriptions === 'refuse') return undefined
    session.access!.isPartial = true
    return qos
  }

  #keepWanted(filter: string, wanted: QoS, qos: QoS): void {
    if (wanted > qos) (this.#wantedQoS ??= new Map()).set(filter, wanted)
    else this.#wantedQoS?.delete(filter)
  }

  /** Compares all that was asked for with what may be had now; `before` is what it was compared with last. */
  reauthorise(before: Access | undefined): void {
    const { access } = this.#session
    if (access) access.isPartial = false
    const withheld = [...(this.#withheld ?? [])]
    for (const [name, subscription] of [...this.#byFilter]) this.#lookAgain(name, subscription, before)
    for (const [name, one] of withheld) this.#giveBack(name, one)
  }

  #lookAgain(name: string, subscription: Subscription<Subscriber>, before: Access | undefined): void {
    const { filter, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier } = subscription
    const group = subscription.group?.group
    const wanted = this.#wantedQoS?.get(name) ?? subscription.qos
    const qos = this.#byRoles(filter, wanted, group)
    if (qos === undefined) {
      const options = { qos: wanted, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier }
      this.#byFilter.delete(name)
      this.#remove(name, subscription)
      ;(this.#withheld ??= new Map()).set(name, { filter, group, options })
      return
    }
    subscription.replaceOptions(qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier)
    this.#keepWanted(name, wanted, qos)
    // What it matched but might not have is new to it: with Retain Handling 1 as well.
    if (group !== undefined || retainHandling === 2 || before === undefined) return
    if (before.subscribe(filter, wanted, undefined).verdict !== 'granted')
      this.#replay()?.addGained(subscription, before)
  }

  #giveBack(name: string, { filter, group, options }: Withheld): void {
    const session = this.#session
    const qos = this.#byRoles(filter, options.qos, group)
    if (qos === undefined) return
    this.#withheld?.delete(name)
    const subscription = session.core.router.subscribe(session, filter, group, { ...options, qos })
    this.#byFilter.set(name, subscription)
    this.#keepWanted(name, options.qos, qos)
    if (observes(session, 'subscription.added'))
      report(session, { type: 'subscription.added', ...session.names, filter: name, qos })
    if (group === undefined && options.retainHandling !== 2) this.#replay()?.add([subscription])
  }

  /** Undefined where nothing is retained. */
  #replay(): RetainedReplay | undefined {
    const session = this.#session
    if (session.core.router.retained.count === 0) return undefined
    return (session.replay ??= new RetainedReplay(session))
  }

  /** Brings back a subscription of an earlier process; what roles leave of it is looked at when it is restored whole. */
  restore({
    filter: name,
    inner,
    qos,
    noLocal,
    retainAsPublished,
    retainHandling,
    identifier,
  }: SubscriptionRecord): void {
    const shared = parseShared(inner)
    const filter = shared?.filter ?? inner
    const options = { qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier: identifier }
    const granted = this.#byRoles(filter, qos, shared?.group)
    if (granted === undefined) {
      ;(this.#withheld ??= new Map()).set(name, { filter, group: shared?.group, options })
      return
    }
    const { router } = this.#session.core
    this.#byFilter.set(name, router.subscribe(this.#session, filter, shared?.group, { ...options, qos: granted }))
    this.#keepWanted(name, qos, granted)
  }

  #answer(packet: SubscribePacket, granted: readonly Granted[]): void {
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
    const { retained } = this.#session.core.router
    // One that is being given is given anew, whatever there is now.
    const isUnderWay = this.#session.replay !== undefined
    const wanted: Subscription<Subscriber>[] = []
    for (const { replay } of granted)
      if (replay && (isUnderWay || retained.mayMatch(replay.filter))) wanted.push(replay)
    if (wanted.length > 0) this.#replay()?.add(wanted)
  }

  /** Answers an UNSUBSCRIBE; the promise is for hooks that take their time. */
  unsubscribe(packet: UnsubscribePacket): Promise<void> | undefined {
    const { onUnsubscribe } = this.#session.policy.hooks
    if (onUnsubscribe) return this.#unsubscribeEach(packet, onUnsubscribe)
    this.#confirm(
      packet,
      packet.filters.map((filter) => this.#take(filter)),
    )
    return undefined
  }

  async #unsubscribeEach(packet: UnsubscribePacket, onUnsubscribe: OnUnsubscribe): Promise<void> {
    const session = this.#session
    const { connection, core, clientId, policy } = session
    const reasonCodes: number[] = []
    for (const filter of packet.filters) {
      let named = filter
      try {
        const decision = onUnsubscribe(filter, session.hookClient)
        const { decisionTimeoutMs } = policy.limits
        const verdict = isPromise(decision)
          ? await withTimeout(core.clock, decisionTimeoutMs, 'onUnsubscribe', decision)
          : decision
        if (verdict?.type === 'allow' && verdict.filter !== undefined) named = verdict.filter
      } catch (error) {
        // It can't refuse, so its failure changes nothing.
        hookFailed(core.events, 'onUnsubscribe', clientId, error)
      }
      // A client that is back on another connection asks again.
      if (!session.isOpen || session.connection !== connection) return
      reasonCodes.push(this.#take(named))
    }
    this.#confirm(packet, reasonCodes)
  }

  /** Removes a subscription by the name that the client gave it. */
  #take(filter: string): number {
    if (!isTopicFilter(filter, this.#session.policy.limits.maxTopicLevels)) return ReasonCode.TopicFilterInvalid
    const subscription = this.#byFilter.get(filter)
    const wasWithheld = this.#withheld?.delete(filter) === true
    if (wasWithheld) this.#session.keeper?.unsubscribed(filter)
    if (!subscription) return wasWithheld ? ReasonCode.Success : ReasonCode.NoSubscriptionExisted
    this.#byFilter.delete(filter)
    this.#remove(filter, subscription)
    this.#session.keeper?.unsubscribed(filter)
    return ReasonCode.Success
  }

  #confirm({ packetId }: UnsubscribePacket, reasonCodes: readonly number[]): void {
    this.#reply({ type: PacketType.Unsuback, packetId, reasonCodes })
  }

  /** An answer larger than the client takes (MQTT-3.1.2-24) would leave it waiting for ever: its connection ends. */
  #reply(packet: SubackPacket | UnsubackPacket): void {
    const { connection, keeper } = this.#session
    // What it says must hold after a restart too.
    if (keeper !== undefined) this.#session.holdAnswers()
    if (!connection || connection.send(packet)) return
    this.#session.refusePacket(ReasonCode.PacketTooLarge, 'the answer is larger than the client takes')
  }

  /** The session ends. */
  clear(): void {
    for (const [filter, subscription] of this.#byFilter) this.#remove(filter, subscription)
    this.#byFilter.clear()
    this.#withheld = undefined
  }

  #remove(filter: string, subscription: Subscription<Subscriber>): void {
    const session = this.#session
    this.#wantedQoS?.delete(filter)
    session.replay?.forget(subscription)
    const group = session.core.router.unsubscribe(subscription)
    if (group) session.outbound?.leaveGroup(group)
    if (observes(session, 'subscription.removed'))
      report(session, { type: 'subscription.removed', ...session.names, filter })
  }
}
