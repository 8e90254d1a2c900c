import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import type { OverflowPolicy } from '../options.ts'
import type { DeliveryGroup } from '../router/subscriber.ts'
import { ReasonCode, isFailure } from '../reason-codes.ts'
import type { Connection } from './connection.ts'
import { Inflight, InflightState, type InflightEntry } from './inflight.ts'
import type { Keeper } from './keeper.ts'
import type { OutboundHost, OutboundLimits } from './outbound-host.ts'
import { giveAway, isExpired, leave, permitted, type Gone } from './outbound-checks.ts'
import { BoundedOutbox, type Delivery } from './outbox.ts'
import { Resend } from './resend.ts'
import { StoredTail, type StoredLine } from './stored-tail.ts'

/**
 * The way of messages from the router to one client: straight through while the client keeps up,
 * through the bounded outbox while it does not. Knows the window (Receive Maximum), what is
 * unacknowledged, and what to send again on resumption.
 */
export class Outbound {
  readonly #host: OutboundHost
  #limits: OutboundLimits
  readonly #outbox: BoundedOutbox
  readonly #inflight = new Inflight()
  /** Unacknowledged PUBLISH packets of this connection; the window counts them. */
  #outstanding = 0
  #window = 0
  readonly #resend = new Resend()
  /** Messages that were given up since the outbox was full. */
  overflows = 0

  constructor(host: OutboundHost, limits: OutboundLimits, policy: OverflowPolicy) {
    this.#host = host
    this.#limits = limits
    this.#outbox = new BoundedOutbox(limits.maxQueuedMessages, limits.maxQueuedBytes, policy)
  }

  limit(limits: OutboundLimits, policy: OverflowPolicy): void {
    this.#limits = limits
    this.#outbox.limit(limits.maxQueuedMessages, limits.maxQueuedBytes, policy)
    this.#outbox.tail?.limit(limits)
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

  /** Of the QoS 1 and 2 messages that wait, those that are in memory. */
  get buffered(): number {
    return this.#outbox.buffered
  }

  get inflight(): number {
    return this.#inflight.size
  }

  /** What is under way and what waits, for whoever looks. */
  get parts(): { readonly inflight: Inflight; readonly outbox: BoundedOutbox } {
    return { inflight: this.#inflight, outbox: this.#outbox }
  }

  get isIdle(): boolean {
    return this.#outbox.size === 0 && this.#resend.isDone
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
    const keeper = qos === 0 ? undefined : this.#messageKeeper
    const place = keeper ? keeper.keep(publication, qos, retain, subscriptionIdentifiers, group) : 0
    if (place === undefined) return this.#host.dropped(publication, qos, 'store-full')
    if (connection !== undefined && connection.writable && this.#host.isFlowing) {
      if (qos === 0) {
        if (!this.#outbox.hasAtMostOnce)
          return this.#sendAtMostOnce(connection, publication, retain, subscriptionIdentifiers)
      } else if (this.#outstanding < this.#window && !this.#outbox.awaitsOthers && this.#resend.isDone) {
        return this.#send(connection, { publication, qos, retain, subscriptionIdentifiers, group, place })
      }
    } else if (qos === 0 && connection === undefined) {
      // MQTT-3.1.2-5: only QoS 1 and 2 wait for a client that is away.
      return this.#host.dropped(publication, qos, 'offline')
    }
    const isKept = this.#enqueue({ publication, qos, retain, subscriptionIdentifiers, group, place })
    if (isKept && connection === undefined) this.#host.queuedOffline(publication, qos)
  }

  /** What new messages are written with: behind those that are only in the store there is no other place. */
  get #messageKeeper(): Keeper | undefined {
    return this.#host.messageKeeper ?? (this.#outbox.tail?.isEmpty === false ? this.#host.keeper : undefined)
  }

  /** The part of the line that is only in the store; made for the first message with a place there. */
  #tail(): StoredTail | undefined {
    const { keeper } = this.#host
    if (keeper === undefined) return undefined
    this.#outbox.tail ??= new StoredTail(this.#host, keeper, this.#outbox, this.#limits, (entry) => {
      this.#settle(entry)
    })
    return this.#outbox.tail
  }

  /** Whether the message was kept. */
  #enqueue(delivery: Delivery): boolean {
    if (delivery.place > 0) this.#tail()
    else if (this.#host.connection === undefined) delivery.publication.detach()
    const dropped = this.#outbox.push(delivery)
    if (dropped === undefined) {
      this.overflows++
      leave(this.#host, delivery.place)
      this.#host.dropped(delivery.publication, delivery.qos, 'queue-full')
      this.#host.overflowed()
      return false
    }
    this.overflows += dropped.length
    for (const lost of dropped) {
      leave(this.#host, lost.place)
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
    if (isExpired(this.#host, publication, 0)) return
    if (!connection.publish(publication, 0, 0, false, retain, subscriptionIdentifiers)) {
      this.#host.dropped(publication, 0, 'too-large')
    }
  }

  #send(connection: Connection, delivery: Delivery): void {
    const { publication, qos, retain, subscriptionIdentifiers, group, place } = delivery
    if (isExpired(this.#host, publication, qos)) return leave(this.#host, place)
    const sent = this.#host.turn.tenths
    const packetId = this.#inflight.add(publication, qos, retain, subscriptionIdentifiers, group, place, sent)
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

  /** A receiver of QoS 2 knows a message by its identifier, which must be the same after a restart. */
  #assign(packetId: number, place: number, qos: QoS): void {
    this.#host.keeper?.assign(packetId, place, qos, false)
    if (qos === 2) this.#host.holdAnswers()
  }

  #settle(entry: InflightEntry): void {
    if (entry.place > 0) {
      leave(this.#host, entry.place)
      this.#host.keeper?.free(entry.packetId)
    }
    this.#inflight.settle(entry)
  }

  /** A connection begins: what is unacknowledged goes out again (MQTT-4.4.0-1). */
  wake(window: number): void {
    this.#window = window
    this.#outstanding = 0
    this.#resend.begin(this.#inflight.inOrder())
  }

  /** Sends as much as window and socket allow. */
  pump(): void {
    const connection = this.#host.connection
    if (connection === undefined || !this.#host.isFlowing) return
    while (connection.writable) {
      const again = this.#resend.next
      if (again !== undefined) {
        if (!this.#sendAgain(connection, again)) break
      } else if (this.#outbox.hasAtMostOnce) {
        this.#sendWaiting(connection, this.#outbox.shift(0)!)
      } else if (this.#outbox.hasAcknowledged && this.#outstanding < this.#window) {
        this.#sendWaiting(connection, this.#outbox.shift(1)!)
      } else break
    }
    this.#outbox.tail?.read()
    if (connection.writable && this.isIdle) this.#host.hasRoom()
  }

  /** By what the client may have at this moment. */
  #sendWaiting(connection: Connection, waiting: Delivery): void {
    const next = this.#host.checksMessages ? permitted(this.#host, waiting) : waiting
    if (next === undefined) return
    const { publication, qos, retain, subscriptionIdentifiers } = next
    if (qos > 0) return this.#send(connection, next)
    // Roles may have left it no more than that.
    leave(this.#host, next.place)
    this.#sendAtMostOnce(connection, publication, retain, subscriptionIdentifiers)
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
    // What is only in the store is looked at when it is read.
    this.#outbox.change((waiting) => permitted(this.#host, waiting))
    if (this.#host.connection !== undefined) return
    for (const entry of this.#inflight.inOrder())
      if (entry.publication !== undefined && !this.#mayRepeat(entry)) this.#giveUp(entry)
  }

  /** As at the end of a session, QoS 1 of a shared subscription goes to another member (MQTT-4.8.2-5). */
  #giveUp(entry: InflightEntry): void {
    const { publication, qos, group } = entry
    if (qos !== 1 || !group?.redeliver(publication!)) this.#host.denied(publication!, qos, group?.name)
    this.#settle(entry)
  }

  /** False while it has to wait. */
  #sendAgain(connection: Connection, entry: InflightEntry): boolean {
    if (entry.state === InflightState.Published) {
      // One of an earlier process is still in the store.
      if (this.#outstanding >= this.#window || entry.publication === undefined) return false
      if (!this.#mayRepeat(entry)) this.#giveUp(entry)
      // MQTT-3.3.1-1: DUP says that it may have been seen before.
      else if (
        connection.publish(
          entry.publication,
          entry.qos,
          entry.packetId,
          true,
          entry.retain,
          entry.subscriptionIdentifiers,
        )
      ) {
        entry.sent = this.#host.turn.tenths
        this.#outstanding++
      } else {
        this.#host.dropped(entry.publication, entry.qos, 'too-large')
        this.#settle(entry)
      }
    } else if (entry.state === InflightState.Released) {
      connection.acknowledge(6, entry.packetId, ReasonCode.Success)
      this.#outstanding++
    }
    this.#resend.advance()
    return true
  }

  /** PUBACK. False when nothing with this identifier waits for one. */
  onPuback(packetId: number): boolean {
    const entry = this.#inflight.get(packetId)
    if (entry === undefined || entry.qos !== 1 || this.#resend.awaits(entry)) return false
    this.#finish(entry)
    return true
  }

  /** PUBREC: answered with PUBREL, unless it ends the message. */
  onPubrec(connection: Connection, packetId: number, reasonCode: number): void {
    const entry = this.#inflight.get(packetId)
    if (entry === undefined || entry.qos !== 2 || this.#resend.awaits(entry)) {
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
    this.#host.keeper?.assign(packetId, place, qos, true)
    leave(this.#host, place)
    this.#host.holdAnswers()
  }

  /** PUBCOMP. */
  onPubcomp(packetId: number): boolean {
    const entry = this.#inflight.get(packetId)
    if (entry === undefined || entry.state !== InflightState.Released || this.#resend.awaits(entry)) return false
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

  /** The connection is gone: what nobody will ask for again is given up, shared messages go to other members. */
  sleep(): void {
    this.#window = 0
    this.#resend.begin([])
    for (const lost of this.#outbox.extract(({ qos, place }) => qos === 0 && place === 0))
      this.#host.dropped(lost.publication, 0, 'offline')
    this.#giveBack((group) => group !== group.alone)
    // A message kept over the connection must not pin the chunk that it came in.
    for (const entry of this.#inflight.inOrder()) entry.publication?.detach()
    this.#outbox.release()
    this.#outbox.detach()
    this.#outbox.tail?.giveBack()
  }

  /** A member leaves its group: what waits goes to the others. */
  leaveGroup(group: DeliveryGroup): void {
    this.#giveBack((its) => its === group)
    this.#outbox.tail?.giveBack(group.shared)
  }

  #giveBack(matches: (group: DeliveryGroup) => boolean): void {
    this.#outbox.change((delivery) => {
      const { group, publication, place } = delivery
      if (group === undefined || !matches(group)) return delivery
      if (!group.redeliver(publication)) return { ...delivery, group: group.alone }
      leave(this.#host, place)
      return undefined
    })
  }

  /**
   * The session ends, or has no right to its messages any more. Unacknowledged QoS 1 messages of shared
   * subscriptions go to another member; QoS 2 ones to nobody else (MQTT-4.8.2-5). Returns what is still
   * to be waited for: messages that are read from the store first.
   */
  end(reason: 'session-ended' | 'denied' = 'session-ended'): Promise<boolean> | undefined {
    const unread = new Set(this.#outbox.tail?.unread.keys())
    for (const entry of this.#inflight.inOrder()) {
      const { place, packetId, publication, qos } = entry
      if (place > 0) this.#host.keeper?.free(packetId)
      if (unread.has(place)) continue
      leave(this.#host, place)
      if (publication) giveAway(this.#host, entry as Gone, reason, qos === 1)
    }
    for (const delivery of this.#outbox.extract(() => true)) {
      leave(this.#host, delivery.place)
      giveAway(this.#host, delivery, reason, true)
    }
    return this.#outbox.tail?.end(reason === 'session-ended', (delivery) => {
      leave(this.#host, delivery.place)
      giveAway(this.#host, delivery, reason, delivery.qos < 2 || !unread.has(delivery.place))
    })
  }

  /**
   * Brings back what an earlier process left: the packet identifiers under way, and how much waits. The
   * messages themselves are read when the client is there.
   */
  restore(stored: StoredLine): void {
    const tail = this.#tail()
    if (tail === undefined) return
    for (const { packetId, released, qos, sequence } of stored.inflight) {
      const state = released ? InflightState.Released : InflightState.Published
      const entry = this.#inflight.restore(packetId, state, qos, sequence)
      if (!released) tail.awaitUnread(entry)
    }
    tail.restore(stored)
  }
}
