import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { OverflowPolicy } from '../options.ts'
import { onlyMember, type DeliveryGroup } from '../router/subscriber.ts'
import { ReasonCode, isFailure } from '../reason-codes.ts'
import type { QueuedMessage, StoredInflight } from '../stored.ts'
import type { Connection } from './connection.ts'
import { Inflight, InflightState, type InflightEntry } from './inflight.ts'
import type { OutboundHost, OutboundLimits } from './outbound-host.ts'
import { BoundedOutbox, type Delivery } from './outbox.ts'

/**
 * The way of messages from the router to one client: straight through while the client keeps up,
 * through the bounded outbox while it does not. Knows the window (Receive Maximum), what is
 * unacknowledged, and what to send again on resumption.
 */
export class Outbound {
  readonly #host: OutboundHost
  readonly #outbox: BoundedOutbox
  readonly #inflight = new Inflight()
  /** Unacknowledged PUBLISH packets of this connection; the window counts them. */
  #outstanding = 0
  #window = 0
  /** Entries of an earlier connection that are still to be sent again, in order. */
  #resend: InflightEntry[] = []
  #resendAt = 0

  constructor(host: OutboundHost, limits: OutboundLimits, policy: OverflowPolicy) {
    this.#host = host
    this.#outbox = new BoundedOutbox(limits.maxQueuedMessages, limits.maxQueuedBytes, policy)
  }

  limit({ maxQueuedMessages, maxQueuedBytes }: OutboundLimits, policy: OverflowPolicy): void {
    this.#outbox.limit(maxQueuedMessages, maxQueuedBytes, policy)
  }

  get load(): number {
    return this.#inflight.size + this.#outbox.size
  }

  get queued(): number {
    return this.#outbox.size
  }

  get queuedBytes(): number {
    return this.#outbox.bytes
  }

  get inflight(): number {
    return this.#inflight.size
  }

  get isIdle(): boolean {
    return this.#outbox.size === 0 && this.#resendAt === this.#resend.length
  }

  /** True while another QoS 1 or 2 message could be sent at once. */
  get hasWindow(): boolean {
    return this.#outstanding < this.#window
  }

  deliver(
    publication: Publication,
    qos: QoS,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
    group: DeliveryGroup | undefined,
  ): void {
    const connection = this.#host.connection
    const keeper = qos === 0 ? undefined : this.#host.messageKeeper
    const place = keeper ? keeper.keep(publication, qos, retain, subscriptionIdentifiers, group) : 0
    if (place === undefined) return this.#host.dropped(publication, qos, 'store-full')
    if (connection !== undefined && connection.writable && this.#host.isFlowing) {
      if (qos === 0) {
        if (!this.#outbox.hasAtMostOnce)
          return this.#sendAtMostOnce(connection, publication, retain, subscriptionIdentifiers)
      } else if (
        this.#outstanding < this.#window &&
        !this.#outbox.hasAcknowledged &&
        this.#resendAt === this.#resend.length
      ) {
        return this.#send(connection, { publication, qos, retain, subscriptionIdentifiers, group, place })
      }
    } else if (qos === 0 && connection === undefined) {
      // MQTT-3.1.2-5: only QoS 1 and 2 wait for a client that is away.
      return this.#host.dropped(publication, qos, 'offline')
    }
    const isKept = this.#enqueue({ publication, qos, retain, subscriptionIdentifiers, group, place })
    if (isKept && connection === undefined) this.#host.queuedOffline(publication, qos)
  }

  /** Whether the message was kept. */
  #enqueue(delivery: Delivery): boolean {
    if (this.#host.connection === undefined) delivery.publication.detach()
    const dropped = this.#outbox.push(delivery)
    if (dropped === undefined) {
      this.#leave(delivery.place)
      this.#host.dropped(delivery.publication, delivery.qos, 'queue-full')
      this.#host.overflowed()
      return false
    }
    for (const lost of dropped) {
      this.#leave(lost.place)
      this.#host.dropped(lost.publication, lost.qos, 'queue-full')
    }
    return !dropped.includes(delivery)
  }

  #sendAtMostOnce(
    connection: Connection,
    publication: Publication,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
  ): void {
    if (this.#isExpired(publication, 0)) return
    if (!connection.publish(publication, 0, 0, false, retain, subscriptionIdentifiers)) {
      this.#host.dropped(publication, 0, 'too-large')
    }
  }

  #send(connection: Connection, delivery: Delivery): void {
    const { publication, qos, retain, subscriptionIdentifiers, group, place } = delivery
    if (this.#isExpired(publication, qos)) return this.#leave(place)
    const packetId = this.#inflight.add(publication, qos, retain, subscriptionIdentifiers, group, place)
    if (packetId === undefined) {
      this.#enqueue(delivery)
      return
    }
    if (place > 0) this.#assign(packetId, place, qos)
    if (connection.publish(publication, qos, packetId, false, retain, subscriptionIdentifiers)) {
      this.#outstanding++
      return
    }
    // MQTT-3.1.2-25: as if it had been delivered.
    this.#settle(this.#inflight.get(packetId)!)
    this.#host.dropped(publication, qos, 'too-large')
  }

  /** A message of the line is not this client's any more: acknowledged, given up, or given to others. */
  #leave(place: number): void {
    if (place > 0) this.#host.messageKeeper?.settle(place)
  }

  /** A receiver of QoS 2 knows a message by its identifier, which must be the same after a restart. */
  #assign(packetId: number, place: number, qos: QoS): void {
    this.#host.messageKeeper?.assign(packetId, place, qos, false)
    if (qos === 2) this.#host.holdAnswers()
  }

  #settle(entry: InflightEntry): void {
    if (entry.place > 0) {
      this.#leave(entry.place)
      this.#host.messageKeeper?.free(entry.packetId)
    }
    this.#inflight.settle(entry)
  }

  #isExpired(publication: Publication, qos: QoS): boolean {
    if (publication.expiresAtMs === Infinity || publication.expiresAtMs > this.#host.nowMs()) return false
    this.#host.dropped(publication, qos, 'expired')
    return true
  }

  /** A connection begins: what is unacknowledged goes out again (MQTT-4.4.0-1). */
  wake(window: number): void {
    this.#window = window
    this.#outstanding = 0
    this.#resend = this.#inflight.inOrder()
    this.#resendAt = 0
  }

  /** Sends as much as window and socket allow. */
  pump(): void {
    const connection = this.#host.connection
    if (connection === undefined || !this.#host.isFlowing) return
    while (connection.writable) {
      if (this.#resendAt < this.#resend.length) {
        if (!this.#resendNext(connection)) break
      } else if (this.#outbox.hasAtMostOnce) {
        this.#sendWaiting(connection, this.#outbox.shift(0)!)
      } else if (this.#outbox.hasAcknowledged && this.#outstanding < this.#window) {
        this.#sendWaiting(connection, this.#outbox.shift(1)!)
      } else break
    }
    if (connection.writable && this.isIdle) this.#host.hasRoom()
  }

  /** By what the client may have at this moment. */
  #sendWaiting(connection: Connection, waiting: Delivery): void {
    const next = this.#host.checksMessages ? this.#permitted(waiting) : waiting
    if (next === undefined) return
    const { publication, qos, retain, subscriptionIdentifiers } = next
    if (qos > 0) return this.#send(connection, next)
    // Roles may have left it no more than that.
    this.#leave(next.place)
    this.#sendAtMostOnce(connection, publication, retain, subscriptionIdentifiers)
  }

  /** The message as the client may have it; undefined: it may not, and the message has gone elsewhere or is given up. */
  #permitted(waiting: Delivery): Delivery | undefined {
    const { publication, group } = waiting
    const qos = this.#host.mayReceive(publication.ownTopic ?? publication.topic, waiting.qos, group?.name)
    if (qos === waiting.qos) return waiting
    if (qos !== undefined) return { ...waiting, qos }
    this.#leave(waiting.place)
    if (!group?.redeliver(publication)) this.#host.denied(publication, waiting.qos, group?.name)
    return undefined
  }

  /** Whether a message that an earlier connection was sent may be repeated. It can't be, at another QoS. */
  #mayRepeat({ publication, qos, group }: InflightEntry): boolean {
    return this.#host.mayReceive(publication!.ownTopic ?? publication!.topic, qos, group?.name) === qos
  }

  /**
   * What the client may receive has changed: what waits for it is given up where it may not have it. What
   * this connection was sent is out of our hands; what an earlier one was sent is not repeated, but a
   * handshake that has come to PUBREL, where no payload goes out any more, is finished (threat 86).
   */
  reauthorise(): void {
    const isOther = ({ publication, qos, group }: Delivery): boolean =>
      this.#host.mayReceive(publication.ownTopic ?? publication.topic, qos, group?.name) !== qos
    for (const waiting of this.#outbox.extract(isOther)) {
      const kept = this.#permitted(waiting)
      if (kept !== undefined) this.#enqueue(kept)
    }
    if (this.#host.connection !== undefined) return
    for (const entry of this.#inflight.inOrder())
      if (entry.state === InflightState.Published && !this.#mayRepeat(entry)) this.#giveUp(entry)
  }

  /** As at the end of a session, QoS 1 of a shared subscription goes to another member (MQTT-4.8.2-5). */
  #giveUp(entry: InflightEntry): void {
    const { publication, qos, group } = entry
    if (qos !== 1 || !group?.redeliver(publication!)) this.#host.denied(publication!, qos, group?.name)
    this.#settle(entry)
  }

  #resendNext(connection: Connection): boolean {
    const entry = this.#resend[this.#resendAt]!
    if (entry.state === InflightState.Published) {
      if (this.#outstanding >= this.#window) return false
      if (!this.#mayRepeat(entry)) this.#giveUp(entry)
      // MQTT-3.3.1-1: DUP says that it may have been seen before.
      else if (
        connection.publish(
          entry.publication!,
          entry.qos,
          entry.packetId,
          true,
          entry.retain,
          entry.subscriptionIdentifiers,
        )
      ) {
        this.#outstanding++
      } else {
        this.#host.dropped(entry.publication!, entry.qos, 'too-large')
        this.#settle(entry)
      }
    } else if (entry.state === InflightState.Released) {
      connection.acknowledge(6, entry.packetId, ReasonCode.Success)
      this.#outstanding++
    }
    this.#resendAt++
    if (this.#resendAt === this.#resend.length) {
      this.#resend = []
      this.#resendAt = 0
    }
    return true
  }

  /** PUBACK. False when nothing with this identifier waits for one. */
  onPuback(packetId: number): boolean {
    const entry = this.#inflight.get(packetId)
    if (entry === undefined || entry.qos !== 1 || this.#waitsForResend(entry)) return false
    this.#finish(entry)
    return true
  }

  /** PUBREC: answered with PUBREL, unless it ends the message. */
  onPubrec(connection: Connection, packetId: number, reasonCode: number): void {
    const entry = this.#inflight.get(packetId)
    if (entry === undefined || entry.qos !== 2 || this.#waitsForResend(entry)) {
      // MQTT-4.3.3-9: after a failing PUBREC there is nothing to release.
      if (!isFailure(reasonCode)) connection.acknowledge(6, packetId, ReasonCode.PacketIdentifierNotFound)
      return
    }
    if (isFailure(reasonCode)) {
      // MQTT-4.4.0-2: settled, and not sent again.
      if (entry.state === InflightState.Published) this.#finish(entry)
      return
    }
    if (entry.state === InflightState.Published) {
      entry.state = InflightState.Released
      this.#host.acknowledged(entry.publication!, 2)
      entry.publication = undefined
      entry.subscriptionIdentifiers = undefined
      entry.group = undefined
      if (entry.place > 0) this.#release(entry)
    }
    connection.acknowledge(6, packetId, ReasonCode.Success)
  }

  /** MQTT-4.3.3-4: from PUBREL on the message is not sent again, after a restart either. */
  #release({ packetId, place, qos }: InflightEntry): void {
    this.#host.messageKeeper?.assign(packetId, place, qos, true)
    this.#leave(place)
    this.#host.holdAnswers()
  }

  /** PUBCOMP. */
  onPubcomp(packetId: number): boolean {
    const entry = this.#inflight.get(packetId)
    if (entry === undefined || entry.state !== InflightState.Released || this.#waitsForResend(entry)) return false
    this.#finish(entry)
    return true
  }

  #finish(entry: InflightEntry): void {
    if (entry.publication) this.#host.acknowledged(entry.publication, entry.qos)
    this.#settle(entry)
    if (this.#outstanding > 0) this.#outstanding--
    if (this.isIdle) this.#host.hasRoom()
    else this.pump()
  }

  /** An acknowledgement for what this connection has not been sent is none. */
  #waitsForResend(entry: InflightEntry): boolean {
    for (let i = this.#resendAt; i < this.#resend.length; i++) if (this.#resend[i] === entry) return true
    return false
  }

  /** The connection is gone: what nobody will ask for again is given up, shared messages go to other members. */
  sleep(): void {
    this.#window = 0
    this.#resend = []
    this.#resendAt = 0
    for (const lost of this.#outbox.extract((delivery) => delivery.qos === 0))
      this.#host.dropped(lost.publication, 0, 'offline')
    this.#giveBack(this.#outbox.extract(({ group }) => group !== undefined && group !== group.alone))
    // A message kept over the connection must not pin the chunk that it came in.
    for (const entry of this.#inflight.inOrder()) entry.publication?.detach()
    this.#outbox.detach()
  }

  /** A member leaves its group: what waits goes to the others. */
  leaveGroup(group: DeliveryGroup): void {
    this.#giveBack(this.#outbox.extract((delivery) => delivery.group === group))
  }

  #giveBack(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) {
      const group = delivery.group!
      if (group.redeliver(delivery.publication)) this.#leave(delivery.place)
      else this.#enqueue({ ...delivery, group: group.alone })
    }
  }

  /**
   * The session ends, or has no right to its messages any more. Unacknowledged QoS 1 messages of shared subscriptions go to another member;
   * QoS 2 ones to nobody else (MQTT-4.8.2-5).
   */
  end(reason: 'session-ended' | 'denied' = 'session-ended'): void {
    for (const entry of this.#inflight.inOrder()) {
      const { place, packetId } = entry
      this.#leave(place)
      if (place > 0) this.#host.messageKeeper?.free(packetId)
      if (entry.publication === undefined) continue
      if (entry.qos === 1 && entry.group?.redeliver(entry.publication)) continue
      this.#host.dropped(entry.publication, entry.qos, reason)
    }
    for (const delivery of this.#outbox.extract(() => true)) {
      this.#leave(delivery.place)
      if (delivery.group?.redeliver(delivery.publication)) continue
      this.#host.dropped(delivery.publication, delivery.qos, reason)
    }
  }

  /** Brings back a message of an earlier process: under way, if it had a packet identifier, else waiting. */
  restore(message: QueuedMessage, packetId: number | undefined): void {
    const { sequence, publication, qos, retain, subscriptionIdentifiers, shared } = message
    const group = shared === undefined ? undefined : onlyMember(shared)
    const delivery: Delivery = { publication, qos, retain, subscriptionIdentifiers, group, place: sequence }
    if (packetId === undefined) this.#enqueue(delivery)
    else this.#inflight.restore(packetId, InflightState.Published, delivery)
  }

  /** The same for one that had come to PUBREL: only the identifier is still owed. */
  restoreReleased({ packetId, sequence, qos }: StoredInflight): void {
    this.#inflight.restore(packetId, InflightState.Released, {
      qos,
      retain: false,
      publication: undefined,
      subscriptionIdentifiers: undefined,
      group: undefined,
      place: sequence,
    })
  }
}
