import { Subject } from 'rxjs'

import { countSent, type Counters } from '../counters.ts'
import {
  PacketType,
  type ConnackPacket,
  type ConnectionInfo,
  type InboundPacket,
  type Message,
  type OutboundPacket,
  type QoS,
} from '../messages.ts'
import type { Publication } from '../publication.ts'
import { ReasonCode } from '../reason-codes.ts'
import type { AcknowledgementType, Connection, PacketTap, PauseReason } from './connection.ts'

/** Messages that wait for the end of the turn; beyond, the session's outbox holds back. */
const MAX_QUEUED_MESSAGES = 1_000

/** What a local connection hears from its session. */
export interface LocalPeer {
  onConnack(packet: ConnackPacket): void
  onMessage(message: Message, subscriptionIdentifiers: readonly number[]): void
  /** PUBACK, PUBREC or PUBCOMP. */
  onAcknowledgement(type: AcknowledgementType, packetId: number, reasonCode: number): void
  onSubscribed(packetId: number, reasonCodes: readonly number[]): void
  onClosed(reasonCode: ReasonCode | undefined): void
}

interface Waiting {
  readonly publication: Publication
  readonly qos: QoS
  readonly packetId: number
  readonly retain: boolean
  readonly identifiers: readonly number[]
}

/**
 * The connection of an in-process client: packets are handed over as objects. What the session
 * sends is given to the client at the end of the turn, so that neither can re-enter the other.
 */
export class LocalConnection implements Connection {
  readonly info: ConnectionInfo
  readonly protocolVersion = 5
  readonly #packets = new Subject<InboundPacket>()
  readonly packets$ = this.#packets.asObservable()
  lastTick = 0
  tap: PacketTap | undefined = undefined
  onWritable: ((writable: boolean) => void) | undefined = undefined
  onReceived = undefined
  writable = true
  readonly #peer: LocalPeer
  readonly #counters: Counters
  #messages: Waiting[] = []
  #held: InboundPacket[] = []
  #pauses = new Set<PauseReason>()
  #scheduled = false
  #closed = false
  /** Resolves when what it was told to hold back may be said; see `hold`. */
  #holding: Promise<void> | undefined = undefined
  #lost = false
  #reasonCode: ReasonCode | undefined = undefined

  constructor(info: ConnectionInfo, peer: LocalPeer, counters: Counters) {
    this.info = info
    this.#counters = counters
    this.#peer = peer
  }

  /** From the client to the session, in order; waits while the session decides. */
  push(packet: InboundPacket): void {
    if (this.#closed) return
    this.#counters.packetsReceived++
    if (this.#pauses.size > 0 || this.#held.length > 0) this.#held.push(packet)
    else this.#give(packet)
  }

  #give(packet: InboundPacket): void {
    this.tap?.received(packet)
    this.#packets.next(packet)
  }

  channelBinding(): undefined {}

  limitOutbound(): void {}

  accept(): void {}

  publish(
    publication: Publication,
    qos: QoS,
    packetId: number,
    duplicate: boolean,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
  ): boolean {
    publication.detach()
    countSent(this.#counters, publication)
    this.tap?.published(publication, qos, packetId, duplicate, retain)
    this.#messages.push({ publication, qos, packetId, retain, identifiers: subscriptionIdentifiers ?? [] })
    if (this.#messages.length >= MAX_QUEUED_MESSAGES && this.writable) {
      this.writable = false
      this.onWritable?.(false)
    }
    this.#schedule()
    return true
  }

  acknowledge(type: AcknowledgementType, packetId: number, reasonCode: number): void {
    this.#counters.otherPacketsSent++
    this.tap?.acknowledged(type, packetId, reasonCode)
    this.#say(() => {
      if (type === PacketType.Pubrel) this.push({ type: PacketType.Pubcomp, packetId, reasonCode: ReasonCode.Success })
      else this.#peer.onAcknowledgement(type, packetId, reasonCode)
    })
  }

  pingResponse(): void {}

  send(packet: OutboundPacket): boolean {
    this.#counters.otherPacketsSent++
    this.tap?.sent(packet)
    if (packet.type === PacketType.Disconnect) this.#reasonCode = packet.reasonCode
    this.#say(() => {
      if (packet.type === PacketType.Connack) this.#peer.onConnack(packet)
      else if (packet.type === PacketType.Suback || packet.type === PacketType.Unsuback) {
        this.#peer.onSubscribed(packet.packetId, packet.reasonCodes)
      }
    })
    return true
  }

  hold(until: Promise<void>): void {
    const before = this.#holding
    const holding = Promise.all([before, until]).then(
      () => {
        if (this.#holding === holding) this.#holding = undefined
      },
      () => {
        // What was to be said is not true. The session says so, and ends the connection.
        this.#lost = true
        if (this.#holding === holding) this.#holding = undefined
      },
    )
    this.#holding = holding
  }

  /** Behind what is held, or in a microtask, so that neither side re-enters the other. */
  #say(word: () => void): void {
    if (this.#holding === undefined) return queueMicrotask(word)
    void this.#holding.then(() => {
      if (!this.#lost) word()
    })
  }

  get isReading(): boolean {
    return this.#pauses.size === 0
  }

  pause(reason: PauseReason): void {
    this.#pauses.add(reason)
  }

  resume(reason: PauseReason): void {
    this.#pauses.delete(reason)
    while (this.#pauses.size === 0 && this.#held.length > 0) this.#give(this.#held.shift()!)
  }

  end(): void {
    if (this.#closed) return
    this.#closed = true
    const close = (): void => {
      this.#flush()
      this.#peer.onClosed(this.#reasonCode)
    }
    if (this.#holding === undefined) setImmediate(close)
    else void this.#holding.then(close)
  }

  /** The client is gone without DISCONNECT. */
  abort(): void {
    if (this.#closed) return
    this.#packets.complete()
    this.end()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    if (this.#holding === undefined) setImmediate(() => this.#flush())
    else void this.#holding.then(() => this.#flush())
  }

  #flush(): void {
    this.#scheduled = false
    const messages = this.#messages
    this.#messages = []
    for (const { publication, qos, packetId, retain, identifiers } of messages) {
      this.#peer.onMessage(publication.toMessage(qos, retain), identifiers)
      if (qos === 1) this.push({ type: PacketType.Puback, packetId, reasonCode: ReasonCode.Success })
      else if (qos === 2) this.push({ type: PacketType.Pubrec, packetId, reasonCode: ReasonCode.Success })
    }
    if (this.writable || this.#closed) return
    this.writable = true
    this.onWritable?.(true)
  }
}
