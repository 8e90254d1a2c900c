import type { Publication } from './publication.ts'
import type { ReasonCode } from './reason-codes.ts'

/** Quality of service: at most once, at least once, exactly once (MQTT 5 section 4.3). */
export type QoS = 0 | 1 | 2

/** The protocol level of a CONNECT: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0. */
export type ProtocolVersion = 3 | 4 | 5

/** User properties in the order in which they were sent; a name may occur more than once. */
export type UserProperties = ReadonlyArray<readonly [name: string, value: string]>

/** The properties that travel with an application message (MQTT 5 section 3.3.2.3). */
export interface MessageProperties {
  /** True: the payload is UTF-8 text. False or absent: unspecified bytes. */
  payloadFormatIndicator?: boolean
  /** Seconds the message may wait for a subscriber; absent: it does not expire. */
  messageExpiryIntervalSeconds?: number
  contentType?: string
  responseTopic?: string
  correlationData?: Uint8Array
  userProperties?: UserProperties
}

/** An application message as an embedder sees it. */
export interface Message {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  /** On delivery: whether it is a retained message, by the rules of the subscription. */
  readonly retain: boolean
  readonly properties: Readonly<MessageProperties>
  /** Client identifier of the publisher; empty when the broker itself published. */
  readonly publisher: string
}

/** What `broker.publish` and an in-process client take. */
export interface MessageInput {
  readonly topic: string
  /** A string is sent as UTF-8. Default: empty. */
  readonly payload?: string | Uint8Array
  /** Default 0. */
  readonly qos?: QoS
  /** Default false. */
  readonly retain?: boolean
  readonly properties?: Readonly<MessageProperties>
}

/** MQTT control packet types (MQTT 5 section 2.1.2). */
export const PacketType = {
  Connect: 1,
  Connack: 2,
  Publish: 3,
  Puback: 4,
  Pubrec: 5,
  Pubrel: 6,
  Pubcomp: 7,
  Subscribe: 8,
  Suback: 9,
  Unsubscribe: 10,
  Unsuback: 11,
  Pingreq: 12,
  Pingresp: 13,
  Disconnect: 14,
  Auth: 15,
} as const
export type PacketType = (typeof PacketType)[keyof typeof PacketType]

/** The will of a CONNECT, with its payload: lives in the session's host, never in the machine. */
export interface WillPacket {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  /** Seconds between the end of the connection and publication (MQTT 5 section 3.1.3.2.2). */
  readonly delaySeconds: number
  readonly properties: Readonly<MessageProperties>
}

export interface ConnectPacket {
  readonly type: 1
  readonly protocolVersion: ProtocolVersion
  readonly clientId: string
  /** Clean Session of 3.1 and 3.1.1, Clean Start of 5. */
  readonly cleanStart: boolean
  readonly keepAliveSeconds: number
  readonly username: string | undefined
  readonly password: Buffer | undefined
  readonly will: WillPacket | undefined
  /** Absent in MQTT 5 means 0; for 3.1 and 3.1.1 always undefined. */
  readonly sessionExpiryIntervalSeconds: number | undefined
  /** Default 65535. */
  readonly receiveMaximum: number
  /** Undefined: no limit beyond the protocol's. */
  readonly maximumPacketSizeBytes: number | undefined
  /** Default 0: the broker sends no alias. */
  readonly topicAliasMaximum: number
  readonly requestResponseInformation: boolean
  /** Default true. */
  readonly requestProblemInformation: boolean
  readonly userProperties: UserProperties
  readonly authenticationMethod: string | undefined
  readonly authenticationData: Buffer | undefined
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP. */
export interface AcknowledgementPacket {
  readonly type: 4 | 5 | 6 | 7
  readonly packetId: number
  readonly reasonCode: number
}

/** One filter of a SUBSCRIBE with its options (MQTT 5 section 3.8.3.1). */
export interface SubscriptionRequest {
  readonly filter: string
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
}

export interface SubscribePacket {
  readonly type: 8
  readonly packetId: number
  readonly subscriptions: readonly SubscriptionRequest[]
  readonly subscriptionIdentifier: number | undefined
  readonly userProperties: UserProperties
}

export interface UnsubscribePacket {
  readonly type: 10
  readonly packetId: number
  readonly filters: readonly string[]
  readonly userProperties: UserProperties
}

export interface PingreqPacket {
  readonly type: 12
}

export interface DisconnectPacket {
  readonly type: 14
  readonly reasonCode: number
  readonly sessionExpiryIntervalSeconds: number | undefined
  readonly reasonString: string | undefined
  readonly userProperties: UserProperties
  readonly serverReference: string | undefined
}

export interface AuthPacket {
  readonly type: 15
  readonly reasonCode: number
  readonly authenticationMethod: string | undefined
  readonly authenticationData: Buffer | undefined
  readonly reasonString: string | undefined
  readonly userProperties: UserProperties
}

/** What a client may send. The codec refuses every other packet type with 0x82. */
export type InboundPacket =
  | ConnectPacket
  | Publication
  | AcknowledgementPacket
  | SubscribePacket
  | UnsubscribePacket
  | PingreqPacket
  | DisconnectPacket
  | AuthPacket

/** What a CONNACK may tell an MQTT 5 client; 3.1 and 3.1.1 get only the code. */
export interface ConnackPacket {
  readonly type: 2
  readonly sessionPresent: boolean
  readonly reasonCode: ReasonCode
  readonly sessionExpiryIntervalSeconds?: number
  readonly receiveMaximum?: number
  readonly maximumQoS?: 0 | 1
  readonly retainAvailable?: boolean
  readonly maximumPacketSizeBytes?: number
  readonly assignedClientIdentifier?: string
  readonly topicAliasMaximum?: number
  readonly reasonString?: string
  readonly userProperties?: UserProperties
  readonly wildcardSubscriptionAvailable?: boolean
  readonly subscriptionIdentifiersAvailable?: boolean
  readonly sharedSubscriptionAvailable?: boolean
  readonly serverKeepAliveSeconds?: number
  readonly responseInformation?: string
  readonly serverReference?: string
  readonly authenticationMethod?: string
  readonly authenticationData?: Uint8Array
}

export interface SubackPacket {
  readonly type: 9
  readonly packetId: number
  readonly reasonCodes: readonly number[]
  readonly reasonString?: string
  readonly userProperties?: UserProperties
}

export interface UnsubackPacket {
  readonly type: 11
  readonly packetId: number
  readonly reasonCodes: readonly number[]
  readonly reasonString?: string
  readonly userProperties?: UserProperties
}

/** A DISCONNECT from the server: MQTT 5 only, after a successful CONNACK only. */
export interface ServerDisconnectPacket {
  readonly type: 14
  readonly reasonCode: ReasonCode
  readonly reasonString?: string
  readonly userProperties?: UserProperties
  readonly serverReference?: string
}

/** An AUTH from the server: 0x18 to go on, 0x00 to end a re-authentication. */
export interface ServerAuthPacket {
  readonly type: 15
  readonly reasonCode: 0x00 | 0x18
  readonly authenticationMethod: string
  readonly authenticationData?: Uint8Array
  readonly reasonString?: string
  readonly userProperties?: UserProperties
}

/** The rarer packets that the broker sends; PUBLISH, acknowledgements and PINGRESP have their own calls. */
export type OutboundPacket = ConnackPacket | SubackPacket | UnsubackPacket | ServerDisconnectPacket | ServerAuthPacket

/** How a connection reached the broker. */
export type Transport = 'tcp' | 'tls' | 'ws' | 'wss' | 'unix' | 'memory' | 'stream'

/** Facts of a TLS connection, for authenticators. */
export interface TlsFacts {
  /** For example `TLSv1.3`. */
  readonly version: string
  readonly cipher: string
  /** Server name that the client asked for (SNI). */
  readonly serverName: string | undefined
  /** True when the TLS session was resumed: a fact only, MQTT authentication is decided afresh. */
  readonly resumed: boolean
  /** True when the client's certificate was verified against the listener's authorities. */
  readonly authorized: boolean
  readonly clientCertificate: ClientCertificate | undefined
}

/** The certificate that a client showed. */
export interface ClientCertificate {
  /** Distinguished name, for example `CN=press-1,O=Plant`. */
  readonly subject: string
  readonly issuer: string
  /** Common name of the subject. */
  readonly commonName: string | undefined
  /** Subject alternative names as Node prints them, for example `DNS:a.example, IP Address:10.0.0.1`. */
  readonly subjectAltName: string | undefined
  /** The same, one by one. Empty where there are none, or where one could not be read for certain. */
  readonly subjectAltNames: readonly SubjectAltName[]
  /** SHA-256 of the certificate, upper-case hex with colons. */
  readonly fingerprint256: string
  readonly serialNumber: string
  /** Milliseconds since the epoch. */
  readonly validFromMs: number
  /** Milliseconds since the epoch. */
  readonly validToMs: number
}

/** One subject alternative name of a certificate (RFC 5280 section 4.2.1.6). */
export interface SubjectAltName {
  /** `other`: a kind that names nothing on a network, such as a directory name. */
  readonly type: 'dns' | 'email' | 'uri' | 'ip' | 'other'
  readonly value: string
}

/** What is known of a connection before its first byte. */
export interface ConnectionInfo {
  /** Name of the listener, or `attached`. */
  readonly listener: string
  readonly transport: Transport
  /** The client's address, from the PROXY header where a trusted proxy sent one. */
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  readonly localPort: number | undefined
  /** Address of the proxy that spoke for the client. */
  readonly proxyAddress: string | undefined
  readonly tls: TlsFacts | undefined
}
