import { countReceived } from '../counters.ts'
import { ProtocolError } from '../errors.ts'
import { isPromise, type AllowPublish, type Deny, type Next } from '../hooks.ts'
import { PacketType, type AcknowledgementPacket, type InboundPacket, type QoS } from '../messages.ts'
import { Keeping, type Publication } from '../publication.ts'
import { ReasonCode, isFailure } from '../reason-codes.ts'
import type { Decision } from '../inspection.ts'
import { isReservedTopic } from '../router/topics.ts'
import type { DecidingPermission } from '../roles.ts'
import { accessOf } from './access.ts'
import type { Connection } from './connection.ts'
import type { Deadline } from './deadlines.ts'
import { decidedByHook, hookDenied, hookFailed, withTimeout } from './decide.ts'
import { decidedByRoles } from './decided.ts'
import { changed } from './message-check.ts'
import { tellPlugins } from './observing.ts'
import { Pace } from './pace.ts'
import { RateLimit } from './rate-limit.ts'
import type { Session } from './session.ts'
import { Subscriptions } from './subscriptions.ts'

type DataPacket = Exclude<InboundPacket, { type: 1 | 14 | 15 }>
type PublishVerdict = Next | Deny | AllowPublish

/**
 * The data packets of an online client. It answers each of them, and keeps their order: while a
 * decision is pending the connection is not read.
 */
export class Inbound {
  readonly #session: Session
  #rate: RateLimit | undefined
  pace: Pace | undefined = undefined
  /** QoS 2 identifiers that were received and not released yet (MQTT-4.3.3-10). */
  #unreleased: Set<number> | undefined = undefined
  /** Those of them that the router is not done with. */
  #underWay: Map<number, Promise<void>> | undefined = undefined
  /** Until then a hook wants the client not to be read. */
  #pause: { readonly deadline: Deadline; readonly end: () => void } | undefined = undefined

  constructor(session: Session) {
    this.#session = session
    this.limit()
  }

  /** Takes the limits of the listener that the client came through. */
  limit(): void {
    const { maxMessagesPerSecond, messageBurst } = this.#session.policy.limits
    this.#rate =
      maxMessagesPerSecond === Infinity
        ? undefined
        : new RateLimit(this.#session.core.clock, maxMessagesPerSecond, messageBurst)
    this.pace?.close()
    this.pace = Pace.of(this.#session)
  }

  /** Identifiers of QoS 2 messages whose PUBREL is due. */
  get unreleased(): Iterable<number> {
    return this.#unreleased ?? []
  }

  handle(packet: DataPacket): void {
    switch (packet.type) {
      case PacketType.Publish:
        countReceived(this.#session.core.counters, packet)
        return this.#onPublish(packet)
      case PacketType.Puback:
      case PacketType.Pubrec:
      case PacketType.Pubrel:
      case PacketType.Pubcomp:
        return this.#onAcknowledgement(packet)
      case PacketType.Pingreq:
        return this.#session.connection?.pingResponse()
      case PacketType.Subscribe:
        this.pace?.filters(packet.subscriptions.length)
        return this.#session.decide(this.#subscriptions().subscribe(packet))
      case PacketType.Unsubscribe:
        this.pace?.filters(packet.filters.length)
        return this.#session.decide(this.#subscriptions().unsubscribe(packet))
    }
  }

  #subscriptions(): Subscriptions {
    const session = this.#session
    session.subscriptions ??= new Subscriptions(session)
    return session.subscriptions
  }

  // --- PUBLISH ------------------------------------------------------------------------------

  #onPublish(publication: Publication): void {
    const session = this.#session
    if (this.#rate) {
      const waitMs = this.#rate.takeOrWait()
      // The rest is read when the client's rate allows it: nothing is lost, and its order is kept.
      if (waitMs > 0) return session.decide(this.#after(waitMs, publication))
    }
    if (publication.qos === 2 && this.#isRepeated(publication)) return
    if (publication.qos === 1 && this.#isInUse(publication)) return
    this.#checkFeatures(publication)
    publication.publisher = session.clientId
    publication.startExpiry(session.core.clock)
    if (isReservedTopic(publication.topic)) {
      return this.#refuse(publication, ReasonCode.NotAuthorized, 'the topic is reserved')
    }
    if (publication.qos === 2 && session.messageKeeper?.isFull === true)
      return this.#refuseUnkept(2, publication.packetId)
    // Roles deny first; a hook can only take away from what they allow.
    if (!this.#mayPublish(publication)) return this.#deny(publication)
    const { onPublish } = session.policy.hooks
    if (onPublish === undefined) return this.#route(publication)
    this.#ask(publication, onPublish)
  }

  #mayPublish({ topic, qos, retain }: Publication): boolean {
    const session = this.#session
    if (!session.hasRights) return false
    const access = accessOf(session)
    return access === undefined || access.publish(topic, qos, retain)
  }

  #deny(publication: Publication, received = publication): void {
    const { topic, qos, retain } = publication
    const decision = accessOf(this.#session)?.explainPublish(topic, qos, retain)
    // One that allows says nothing here: it is the grant itself that gives no right any more.
    const rule = decision?.allowed === false ? decision.rule : undefined
    this.#refuse(received, ReasonCode.NotAuthorized, 'not authorized', rule, () =>
      decidedByRoles(`publishing to ${topic}`, ReasonCode.NotAuthorized, rule),
    )
  }

  async #after(waitMs: number, publication: Publication): Promise<void> {
    const { connection, core } = this.#session
    await new Promise<void>((resolve) => {
      core.deadlines.schedule(core.clock.nowMs() + waitMs, resolve)
    })
    if (this.#isStill(connection)) this.#onPublish(publication)
  }

  /** MQTT-4.3.3-10: the same message again is answered again and not delivered again. */
  #isRepeated(publication: Publication): boolean {
    const unreleased = (this.#unreleased ??= new Set())
    const { packetId } = publication
    const underWay = this.#underWay?.get(packetId)
    if (underWay !== undefined) {
      const { connection } = this.#session
      this.#session.decide(underWay.then(() => this.#isStill(connection) && this.#onPublish(publication)))
      return true
    }
    if (unreleased.has(packetId)) {
      if (this.#session.messageKeeper !== undefined) this.#session.holdAnswers()
      this.#session.connection?.acknowledge(PacketType.Pubrec, packetId, ReasonCode.Success)
      return true
    }
    // MQTT-3.3.4-7: the window that CONNACK announced. Clients before MQTT 5 were told of none, and
    // several send as many as there are identifiers, which is then all that bounds this set.
    if (this.#session.isMqtt5 && unreleased.size >= this.#session.policy.limits.receiveMaximumMessages) {
      throw new ProtocolError(ReasonCode.ReceiveMaximumExceeded, 'more QoS 2 messages under way than allowed')
    }
    return false
  }

  /** An identifier that a QoS 2 message still holds is not free for another one; only MQTT 5 can be told. */
  #isInUse({ packetId }: Publication): boolean {
    const session = this.#session
    if (!session.isMqtt5 || this.#unreleased?.has(packetId) !== true) return false
    session.connection?.acknowledge(PacketType.Puback, packetId, ReasonCode.PacketIdentifierInUse)
    return true
  }

  #checkFeatures(publication: Publication): void {
    const { features } = this.#session.policy
    // MQTT-3.2.2-11
    if (publication.qos > features.maximumQoS)
      throw new ProtocolError(ReasonCode.QoSNotSupported, 'this QoS is not offered')
    // MQTT-3.2.2-14
    if (publication.retain && !features.retainAvailable) {
      throw new ProtocolError(ReasonCode.RetainNotSupported, 'retained messages are not offered')
    }
  }

  #ask(publication: Publication, onPublish: NonNullable<Session['policy']['hooks']['onPublish']>): void {
    const session = this.#session
    let decision: PublishVerdict | Promise<PublishVerdict>
    try {
      decision = onPublish({ message: publication.toMessage(), will: false }, session.hookClient)
    } catch (error) {
      return this.#refuseFailed(publication, error)
    }
    if (!isPromise(decision)) return this.#onVerdict(publication, decision)
    const { decisionTimeoutMs } = session.policy.limits
    const { connection } = session
    session.decide(
      withTimeout(session.core.clock, decisionTimeoutMs, 'onPublish', decision).then(
        (verdict) => this.#isStill(connection) && this.#onVerdict(publication, verdict),
        (error: unknown) => this.#isStill(connection) && this.#refuseFailed(publication, error),
      ),
    )
  }

  #refuseFailed(publication: Publication, error: unknown): void {
    hookFailed(this.#session.core.events, 'onPublish', this.#session.clientId, error)
    this.#refuse(publication, ReasonCode.NotAuthorized, 'the decision failed')
  }

  #onVerdict(publication: Publication, verdict: PublishVerdict): void {
    switch (verdict?.type) {
      case 'next':
        return this.#routePermitted(publication)
      case 'deny':
        hookDenied(this.#session.core.events, 'onPublish', this.#session.clientId, verdict)
        return this.#refuse(publication, verdict.reasonCode, verdict.reason, undefined, () =>
          decidedByHook('onPublish', verdict, verdict.reason, verdict.reasonCode),
        )
      case 'allow':
        return this.#routeChanged(publication, verdict)
      default:
        return this.#refuseFailed(publication, new TypeError('onPublish gave no verdict'))
    }
  }

  #routeChanged(publication: Publication, verdict: AllowPublish): void {
    let given: Publication
    try {
      given = changed(publication, verdict)
      if (verdict.properties) given.restartExpiry(this.#session.core.clock)
    } catch (error) {
      return this.#refuseFailed(publication, error)
    }
    this.#routePermitted(given, publication)
    if (verdict.throttleMs !== undefined && verdict.throttleMs > 0) this.#rest(verdict.throttleMs)
  }

  /** The client is not read meanwhile: what it sends waits where it is, and its order is kept. */
  #rest(ms: number): void {
    const { core, isOpen } = this.#session
    if (!isOpen) return
    this.#endPause()
    this.#session.decide(
      new Promise<void>((resolve) => {
        this.#pause = { deadline: core.deadlines.schedule(core.clock.nowMs() + ms, resolve), end: resolve }
      }),
    )
  }

  /** The connection is gone: nobody has to wait any more. */
  close(): void {
    this.pace?.close()
    this.#endPause()
  }

  #endPause(): void {
    this.#session.core.deadlines.cancel(this.#pause?.deadline)
    this.#pause?.end()
    this.#pause = undefined
  }

  /** The roles may have changed while a hook thought, and the hook may have changed the topic (threat 84). */
  #routePermitted(publication: Publication, received = publication): void {
    if (this.#mayPublish(publication)) this.#route(publication, received)
    else this.#deny(publication, received)
  }

  /**
   * Whether the connection that a packet came in on is the one there is. Where it is not, the client
   * repeats what it got no answer for (MQTT-4.4.0-1): it must be neither answered nor done twice.
   */
  #isStill(connection: Connection | undefined): boolean {
    return this.#session.isOpen && this.#session.connection === connection
  }

  /** `received` is what is answered, where a hook has put something else in its place. */
  #route(publication: Publication, received = publication): void {
    const session = this.#session
    const { connection, policy, core } = session
    publication.sharedStrategy = policy.features.sharedSubscriptionStrategy
    // MQTT-4.3.3-10: from here on it is delivered, so a copy on another connection is answered only.
    if (received.qos === 2) (this.#unreleased ??= new Set()).add(received.packetId)
    const pending = core.router.publish(publication)
    if (pending === undefined) {
      this.#keepReceived(received)
      return this.#accept(publication, received)
    }
    const done = pending.then(() => {
      this.#keepReceived(received)
      if (this.#isStill(connection)) this.#accept(publication, received)
      else this.#tellPublished(publication)
    })
    if (received.qos === 2) {
      const underWay = (this.#underWay ??= new Map<number, Promise<void>>()).set(received.packetId, done)
      const forget = (): boolean => underWay.delete(received.packetId)
      void done.then(forget, forget)
    }
    session.decide(done)
  }

  /** In one commit with the last of its deliveries: a process that ends before gets the message again, and routes it. */
  #keepReceived({ qos, packetId }: Publication): void {
    const session = this.#session
    if (qos === 2 && session.core.registry.hosts.has(session.id)) session.messageKeeper?.received(packetId)
  }

  /** Somebody who must be able to rely on it can't have it: the publisher keeps it, and sends it again. */
  #refuseUnkept(qos: QoS, packetId: number): void {
    const session = this.#session
    const reason = 'the store has no room'
    if (qos === 2) this.#forget(packetId)
    if (!session.isMqtt5) return session.refusePacket(ReasonCode.QuotaExceeded, reason)
    const type = qos === 1 ? PacketType.Puback : PacketType.Pubrec
    session.connection?.acknowledge(type, packetId, ReasonCode.QuotaExceeded, reason)
  }

  /** A QoS 2 identifier is free again. Returns whether it was not before. */
  #forget(packetId: number): boolean {
    if (this.#unreleased?.delete(packetId) !== true) return false
    this.#session.messageKeeper?.released(packetId)
    return true
  }

  /** Brings back the identifiers that an earlier process had received and not seen released. */
  restore(packetIds: readonly number[]): void {
    this.#unreleased = new Set(packetIds)
  }

  #tellPublished({ topic, qos, retain, payloadLength, reached }: Publication): void {
    const session = this.#session
    // The router has told the broker's observers.
    if (session.policy.observers?.has('message.published') !== true) return
    const { clientId } = session
    const payloadBytes = payloadLength
    tellPlugins(session, { type: 'message.published', clientId, topic, qos, retain, payloadBytes, reached })
  }

  /** MQTT-4.3.2-4, MQTT-4.3.3-8: the message is ours now. */
  #accept(publication: Publication, { qos, packetId }: Publication): void {
    const session = this.#session
    this.#tellPublished(publication)
    if (qos === 0) return
    const { keeping } = publication
    if (keeping === Keeping.Refused) return this.#refuseUnkept(qos, packetId)
    if (keeping === Keeping.Written || (qos === 2 && session.messageKeeper !== undefined)) session.holdAnswers()
    const code =
      publication.reached === 0 && !publication.observed ? ReasonCode.NoMatchingSubscribers : ReasonCode.Success
    session.connection?.acknowledge(qos === 1 ? PacketType.Puback : PacketType.Pubrec, packetId, code)
  }

  /** Semantics 7.17: MQTT 5 is told, QoS 0 is dropped, an older client is disconnected; or as `deniedPublish` says. */
  #refuse(
    publication: Publication,
    reasonCode: ReasonCode,
    reason: string,
    rule?: DecidingPermission,
    who?: () => Decision,
  ): void {
    const session = this.#session
    const { qos, packetId } = publication
    const { mqtt5, mqtt3 } = session.policy.deniedPublish
    session.dropped(publication, qos, 'denied', rule)
    if ((session.isMqtt5 ? mqtt5 : mqtt3) === 'disconnect')
      return session.refusePacket(reasonCode, reason, false, who?.())
    if (qos === 0) return
    const type = qos === 1 ? PacketType.Puback : PacketType.Pubrec
    if (session.isMqtt5) return session.connection?.acknowledge(type, packetId, reasonCode, reason)
    // An acknowledgement before MQTT 5 can't say no: the client goes on as if all were well, with its PUBREL too.
    if (qos === 2) (this.#unreleased ??= new Set()).add(packetId)
    session.connection?.acknowledge(type, packetId, ReasonCode.Success)
  }

  // --- acknowledgements ---------------------------------------------------------------------

  #onAcknowledgement({ type, packetId, reasonCode }: AcknowledgementPacket): void {
    const session = this.#session
    const connection = session.connection as Connection
    switch (type) {
      case PacketType.Puback:
        session.outbound?.onPuback(packetId)
        return
      case PacketType.Pubrec:
        if (session.outbound) session.outbound.onPubrec(connection, packetId, reasonCode)
        else if (!isFailure(reasonCode)) {
          connection.acknowledge(PacketType.Pubrel, packetId, ReasonCode.PacketIdentifierNotFound)
        }
        return
      case PacketType.Pubrel: {
        // MQTT-4.3.3-11: always answered; MQTT 5 learns when there was nothing to release.
        const known = this.#forget(packetId)
        // The client may use the identifier for another message as soon as it knows.
        if (known && session.messageKeeper !== undefined) session.holdAnswers()
        connection.acknowledge(
          PacketType.Pubcomp,
          packetId,
          known ? ReasonCode.Success : ReasonCode.PacketIdentifierNotFound,
        )
        return
      }
      case PacketType.Pubcomp:
        session.outbound?.onPubcomp(packetId)
    }
  }
}
