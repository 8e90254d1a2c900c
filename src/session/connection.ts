import type { Observable } from 'rxjs'

import type { ChannelBindingType } from '../hooks.ts'
import type { ConnectionInfo, InboundPacket, OutboundPacket, ProtocolVersion, QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'

/** What a session may send in answer to PUBLISH and PUBREL, by hand-written code. */
export type AcknowledgementType = 4 | 5 | 6 | 7

/** Why a connection is not read: a decision is pending, the client does not read itself, or it has sent more than its rate. */
export type PauseReason = 'decision' | 'throttle' | 'rate'

/** Takes note of the packets of one connection, as they come and go; it keeps none of them. */
export interface PacketTap {
  received(packet: InboundPacket): void
  published(publication: Publication, qos: QoS, packetId: number, duplicate: boolean, retain: boolean): void
  acknowledged(type: AcknowledgementType, packetId: number, reasonCode: number): void
  ponged(): void
  sent(packet: OutboundPacket): void
}

/** What the client and the broker agreed on at CONNECT, as far as bytes go. */
export interface WireSettings {
  /** Aliases that the broker may set towards the client. */
  readonly outboundTopicAliases: number
  /** Aliases that the client may set. */
  readonly inboundTopicAliases: number
  /** Whether the client promises to be heard from; if not, the transport must find out that it is gone. */
  readonly hasKeepAlive: boolean
  /** Of a packet that the client sends. */
  readonly maxPacketBytes: number
  /** Of the topics that it publishes to. */
  readonly maxTopicLevels: number
}

/**
 * The session's side of a connection: packets in as a stream, packets out as calls. What is sent
 * within one turn of the event loop leaves in one write. The codec implements it over any byte
 * stream; an in-process client implements it without bytes.
 */
export interface Connection {
  readonly info: ConnectionInfo
  /** Known from the first bytes of a CONNECT on; 4 before. */
  readonly protocolVersion: ProtocolVersion
  /**
   * The packets of the client. One subscriber at a time; the decoder rests while there is none. It
   * errors with a ProtocolError when the client breaks the protocol, and completes when the stream
   * ends.
   */
  readonly packets$: Observable<InboundPacket>
  /** False while the system has not taken what was written: the outbox holds back. */
  readonly writable: boolean
  /** Sweeps of the keepalive at the time of the last packet; see Keepalive. */
  lastTick: number
  /** Undefined, as nearly always: nobody takes note of its packets. */
  tap: PacketTap | undefined
  /** Called when `writable` turns false or true again. */
  onWritable: ((writable: boolean) => void) | undefined
  /** Called with how many bytes have come, before the packets in them are. Never where there are no bytes. */
  onReceived: ((count: number) => void) | undefined

  /** What CONNECT asks of every packet of ours, of AUTH and a refusing CONNACK too (MQTT-3.1.2-24). */
  limitOutbound(maxPacketBytes: number, requestProblemInformation: boolean): void
  /** CONNECT is accepted: what the client may send and which aliases both sides use changes. */
  accept(settings: WireSettings): void
  /**
   * Sends a PUBLISH. False when it is larger than the client accepts; then nothing was sent and the
   * message counts as delivered (MQTT-3.1.2-25).
   */
  publish(
    publication: Publication,
    qos: QoS,
    packetId: number,
    duplicate: boolean,
    retain: boolean,
    subscriptionIdentifiers: readonly number[] | undefined,
  ): boolean
  acknowledge(type: AcknowledgementType, packetId: number, reasonCode: number, reasonString?: string): void
  pingResponse(): void
  /** False when the packet is larger than the client accepts, or does not exist in its version. */
  send(packet: OutboundPacket): boolean
  /** The channel binding of its TLS connection, if it has one of that type. */
  channelBinding(type: ChannelBindingType): Buffer | undefined
  /**
   * What is sent from the last turn on goes out when `until` resolves, in its order; when it rejects, it
   * is dropped.
   */
  hold(until: Promise<void>): void
  /** False while it is paused for any reason. */
  readonly isReading: boolean
  /** Stops reading; bytes that are not decoded yet stay where they are. Each reason needs its `resume`. */
  pause(reason: PauseReason): void
  resume(reason: PauseReason): void
  /** Writes what is left and ends the stream; destroys it if the peer does not take it in time. */
  end(): void
}
