/**
 * Every limit of the broker: its unit is in its name, its default and reason in
 * {@link defaultLimits} and `docs/limits.md`. A listener may set its own. Infinity switches a limit
 * off where the text does not say otherwise.
 */
export interface Limits {
  /** Bytes of a whole packet before a successful CONNACK; larger ones close the connection. */
  readonly maxPacketBytesBeforeConnect: number
  /** Bytes of a whole packet afterwards; announced in CONNACK, larger ones get 0x95. */
  readonly maxPacketBytes: number
  /** QoS 1 and 2 messages unacknowledged towards one client, next to its own Receive Maximum. */
  readonly maxInflightMessages: number
  /** QoS 1 and 2 messages that a client may have unacknowledged towards us: the Receive Maximum announced. */
  readonly receiveMaximumMessages: number
  /** Messages waiting in one session's outbox, online or offline. */
  readonly maxQueuedMessages: number
  /** Bytes waiting in one session's outbox, online or offline. */
  readonly maxQueuedBytes: number
  /** Of the messages that wait for a persistent session in the store: as many are in memory while it is online. */
  readonly maxBufferedMessages: number
  /** The same by size; at least one message is there, however large. */
  readonly maxBufferedBytes: number
  /** Bytes handed to one socket and not yet taken by the system before its outbox holds back. */
  readonly maxSocketBufferBytes: number
  /** From accept to CONNACK, enhanced authentication included. */
  readonly connectTimeoutMs: number
  /** From CONNACK on; then DISCONNECT 0xA0, and the session goes on as after any other loss. Infinity: off. */
  readonly maxConnectionSeconds: number
  /** A re-authentication, from AUTH 0x19 to its end. */
  readonly authTimeoutMs: number
  /** Rounds of one enhanced authentication. */
  readonly maxAuthRounds: number
  /** Bytes of authentication data that one exchange may send. */
  readonly maxAuthBytes: number
  /** Before the end of a grant: `authority.expiring` is raised. */
  readonly grantExpiringMs: number
  /** After the end of a grant: its rights go on, so that a client may authenticate again. */
  readonly grantGraceMs: number
  /** Client identifiers whose last refusal is remembered, for `explain`; the oldest is forgotten. */
  readonly maxRememberedRefusals: number
  /** Steps of its chart that are kept of one client identifier, where `history` is on; refused connections have a quarter. */
  readonly maxTransitionsPerSession: number
  /** The same of all together, about 100 bytes each; beyond, the longest histories are cut to an equal share. */
  readonly maxTransitions: number
  /** Client identifiers whose history is kept behind the end of their session; the oldest is forgotten. */
  readonly maxEndedHistories: number
  /** Traces of clients that run at once; one more ends the oldest. */
  readonly maxTraces: number
  /** Lines that one trace may log a second; further ones are counted. */
  readonly maxTraceLinesPerSecond: number
  /** User-defined properties of one session; an authenticator that gives more refuses the client. */
  readonly maxSessionProperties: number
  /** UTF-8 bytes of the names and values of one session's user-defined properties. */
  readonly maxSessionPropertyBytes: number
  /** Attributes of one session, and as many of its connection. */
  readonly maxAttributes: number
  /** UTF-8 bytes of the names and values of one session's attributes, and as many of its connection's. */
  readonly maxAttributeBytes: number
  /** Characters of a session filter. */
  readonly maxFilterLength: number
  /** Nesting of a session filter. */
  readonly maxFilterDepth: number
  /** Comparisons of a session filter with one session. */
  readonly maxFilterSteps: number
  /** An authenticator's or decision hook's answer; late means denied. */
  readonly decisionTimeoutMs: number
  /** Levels of a topic name or filter. */
  readonly maxTopicLevels: number
  /** UTF-8 bytes of a client identifier. */
  readonly maxClientIdBytes: number
  /** Aliases that a client may set; announced in CONNACK. */
  readonly topicAliasMaximum: number
  /** Aliases that the broker sets towards one client, within the client's own maximum. */
  readonly maxOutboundTopicAliases: number
  /** Subscriptions of one session; one more gets 0x97. */
  readonly maxSubscriptionsPerSession: number
  /** User properties of one packet; more get 0x97 or end a CONNECT with it. */
  readonly maxUserProperties: number
  /** Connections of the broker, or of one listener where set there; one more is closed with 0x89. */
  readonly maxConnections: number
  /** New connections a second, over the whole broker; more get 0x9F. */
  readonly maxConnectsPerSecond: number
  /** New connections a second from one address (IPv6: one /64), as many at once; more get 0x9F. Infinity: off. */
  readonly maxConnectsPerAddressPerSecond: number
  /** Times a minute that a client identifier may come online from one address; then it is banned from there. Infinity: off. */
  readonly maxFlapsPerMinute: number
  /** Times a minute that clients of one principal may come online; then the principal is banned. Infinity: off. */
  readonly maxFlapsPerPrincipalPerMinute: number
  /** Refused CONNECTs a minute of a client identifier from one address; then it is banned from there. Infinity: off. */
  readonly maxRefusalsPerMinute: number
  /** Refused CONNECTs a minute from one address, under any identifier; then the address is banned. Infinity: off. */
  readonly maxRefusalsPerAddressPerMinute: number
  /** How long a ban of the broker's own lasts. */
  readonly banSeconds: number
  /** Bans at once; the oldest of the broker's own makes room. */
  readonly maxBans: number
  /** Addresses and clients that the limits above count for at once; then the first is forgotten. */
  readonly maxTrackedAddresses: number
  /** Takeovers of one client identifier within ten seconds; more get 0x9F and leave the incumbent. */
  readonly maxTakeoversPerTenSeconds: number
  /** Sessions that outlive their connection, online and offline, over the whole broker; one more gets 0x97. */
  readonly maxOfflineSessions: number
  /** Sessions of one principal, online and offline, over the whole broker; one more gets 0x97. */
  readonly maxSessionsPerPrincipal: number
  /** Longest session expiry granted; told in CONNACK where it cuts. 4294967295: as asked. */
  readonly maxSessionExpirySeconds: number
  /** Longest keepalive granted, and the one set for clients that ask for none. 0: as asked. */
  readonly maxKeepAliveSeconds: number
  readonly maxRetainedMessages: number
  readonly maxRetainedBytes: number
  /** Retained messages given to one subscriber in one turn of the event loop. */
  readonly maxRetainedPerTurn: number
  /** Sessions that one publish is given to in one turn; the rest follows in the next ones, in order. */
  readonly maxDeliveriesPerTurn: number
  /** PUBLISH packets per second of one client; more are read later. Infinity: off. */
  readonly maxMessagesPerSecond: number
  /** PUBLISH packets that one client may send at once above its rate. */
  readonly messageBurst: number
  /** Bytes per second of one client, whatever they are; more are read later. Infinity: off. */
  readonly maxBytesPerSecond: number
  /** Bytes that one client may send at once above its rate. */
  readonly burstBytes: number
  /** Filters per second that one client may subscribe or unsubscribe; more are read later. Infinity: off. */
  readonly maxSubscribesPerSecond: number
  /** Filters that one client may subscribe or unsubscribe at once above its rate. */
  readonly subscribeBurst: number
  /** Wills published per second, over the whole broker; the others wait their turn. */
  readonly maxWillsPerSecond: number
  /** How long a will that fell due while no broker ran waits for its listener to be open. */
  readonly restoredWillGraceMs: number
  /** Jobs of BullMQ, wills and ends of sessions, that are done at once. */
  readonly maxConcurrentJobs: number
  /** Attempts at a will or the end of a session before it is given up. */
  readonly maxJobAttempts: number
  /** Time before the second attempt; it doubles with each. */
  readonly jobBackoffMs: number
  /** Jobs that were given up and are kept to be looked at. */
  readonly maxDeadJobs: number
  /** Calls of one plugin's observers that wait or are under way; further ones are given up. */
  readonly maxObserverCalls: number
  /** Deadlines that are fired in one turn. */
  readonly maxDeadlinesPerTurn: number
  /** WebSocket: bytes of one message, fragments together. */
  readonly maxWebSocketMessageBytes: number
  /** WebSocket: fragments of one message. */
  readonly maxWebSocketFragments: number
  /** PROXY header and TLS handshake: from accept to done. */
  readonly handshakeTimeoutMs: number
  /** Connections of the admin API; further ones are closed. */
  readonly maxInspectConnections: number
  /** Admin API: bytes of the headers of a request with its URL. */
  readonly maxInspectHeaderBytes: number
  /** Admin API: bytes of the body of a request. */
  readonly maxInspectBodyBytes: number
  /** Admin API: from the first byte of a request to its last. */
  readonly inspectRequestTimeoutMs: number
  /** Admin API: streams of events and messages that are open at once. */
  readonly maxInspectStreams: number
  /** Admin API: bytes that wait for the reader of one stream; what comes then is left out, and the reader told. */
  readonly maxInspectStreamBytes: number
  /** Admin API: logins by cookie; one more ends the oldest. */
  readonly maxInspectLogins: number
  /** Admin API: a login that is not used for so long is void. */
  readonly inspectLoginIdleSeconds: number
  /** Admin API: a login is void after so long, used or not. */
  readonly inspectLoginSeconds: number
  /** Admin API: wrong passwords and tokens from one address; then it waits. */
  readonly maxInspectFailuresPerMinute: number
  /** Admin API: sessions whose outcome an action on many sessions names; of the others it tells how many there are. */
  readonly maxInspectOutcomes: number
  /** Inspection: rows of one page of sessions, jobs or retained levels, and subscriptions shown of one session. */
  readonly maxInspectedRows: number
  /** Inspection: bytes of the payload that a retained message is shown with. */
  readonly maxInspectedPayloadBytes: number
  /** Admin API: messages a second that one live tap may ask for. */
  readonly maxTapMessagesPerSecond: number
  /** Admin API: bytes of a payload that a live tap shows. */
  readonly maxTapPayloadBytes: number
}

/** What holds where nothing else is said; `docs/limits.md` has the reasons. */
export const defaultLimits: Limits = Object.freeze({
  maxPacketBytesBeforeConnect: 65_536,
  maxPacketBytes: 1_048_576,
  maxInflightMessages: 100,
  receiveMaximumMessages: 100,
  maxQueuedMessages: 1_000,
  maxQueuedBytes: 8_388_608,
  maxBufferedMessages: 256,
  maxBufferedBytes: 262_144,
  maxSocketBufferBytes: 131_072,
  connectTimeoutMs: 5_000,
  maxConnectionSeconds: Infinity,
  authTimeoutMs: 10_000,
  maxAuthRounds: 10,
  maxAuthBytes: 65_536,
  grantExpiringMs: 60_000,
  grantGraceMs: 0,
  maxRememberedRefusals: 1_000,
  maxTransitionsPerSession: 200,
  maxTransitions: 1_000_000,
  maxEndedHistories: 10_000,
  maxTraces: 10,
  maxTraceLinesPerSecond: 1_000,
  maxSessionProperties: 50,
  maxSessionPropertyBytes: 8_192,
  maxAttributes: 50,
  maxAttributeBytes: 16_384,
  maxFilterLength: 4_096,
  maxFilterDepth: 32,
  maxFilterSteps: 1_000,
  decisionTimeoutMs: 5_000,
  maxTopicLevels: 128,
  maxClientIdBytes: 256,
  topicAliasMaximum: 10,
  maxOutboundTopicAliases: 10,
  maxSubscriptionsPerSession: 1_000,
  maxUserProperties: 100,
  maxConnections: Infinity,
  maxConnectsPerSecond: 2_000,
  maxConnectsPerAddressPerSecond: Infinity,
  maxFlapsPerMinute: Infinity,
  maxFlapsPerPrincipalPerMinute: Infinity,
  maxRefusalsPerMinute: Infinity,
  maxRefusalsPerAddressPerMinute: Infinity,
  banSeconds: 300,
  maxBans: 10_000,
  maxTrackedAddresses: 65_536,
  maxTakeoversPerTenSeconds: 10,
  maxOfflineSessions: 100_000,
  maxSessionsPerPrincipal: Infinity,
  maxSessionExpirySeconds: 4_294_967_295,
  maxKeepAliveSeconds: 0,
  maxRetainedMessages: 100_000,
  maxRetainedBytes: 268_435_456,
  maxRetainedPerTurn: 1_000,
  maxDeliveriesPerTurn: 10_000,
  maxMessagesPerSecond: Infinity,
  messageBurst: 100,
  maxBytesPerSecond: Infinity,
  burstBytes: 1_048_576,
  maxSubscribesPerSecond: Infinity,
  subscribeBurst: 100,
  maxWillsPerSecond: 1_000,
  restoredWillGraceMs: 1_000,
  maxConcurrentJobs: 100,
  maxJobAttempts: 5,
  jobBackoffMs: 1_000,
  maxDeadJobs: 10_000,
  maxObserverCalls: 10_000,
  maxDeadlinesPerTurn: 200,
  maxWebSocketMessageBytes: 1_048_576,
  maxWebSocketFragments: 256,
  handshakeTimeoutMs: 5_000,
  maxInspectConnections: 200,
  maxInspectHeaderBytes: 16_384,
  maxInspectBodyBytes: 2_097_152,
  inspectRequestTimeoutMs: 30_000,
  maxInspectStreams: 50,
  maxInspectStreamBytes: 1_048_576,
  maxInspectLogins: 1_000,
  inspectLoginIdleSeconds: 1_800,
  inspectLoginSeconds: 43_200,
  maxInspectFailuresPerMinute: 10,
  maxInspectOutcomes: 10_000,
  maxInspectedRows: 1_000,
  maxInspectedPayloadBytes: 65_536,
  maxTapMessagesPerSecond: 200,
  maxTapPayloadBytes: 4_096,
})

/** Values that a limit may have besides whole numbers from 0 on: what the protocol's fields hold, and where 0 would stop everything. */
const limitRanges: { readonly [Name in keyof Limits]?: readonly [min: number, max: number] } = {
  maxPacketBytesBeforeConnect: [1, Infinity],
  maxPacketBytes: [1, Infinity],
  maxInflightMessages: [1, Infinity],
  receiveMaximumMessages: [1, 65_535],
  maxBufferedMessages: [1, Infinity],
  maxBufferedBytes: [1, Infinity],
  maxSocketBufferBytes: [1, Infinity],
  topicAliasMaximum: [0, 65_535],
  maxOutboundTopicAliases: [0, 65_535],
  maxTopicLevels: [1, Infinity],
  maxClientIdBytes: [1, Infinity],
  maxConnectsPerSecond: [1, Infinity],
  maxConnectionSeconds: [1, Infinity],
  maxFilterLength: [1, Infinity],
  // It is read by recursion.
  maxFilterDepth: [1, 1_000],
  maxFilterSteps: [1, Infinity],
  maxSessionExpirySeconds: [0, 4_294_967_295],
  maxKeepAliveSeconds: [0, 65_535],
  maxRetainedPerTurn: [1, Infinity],
  maxDeliveriesPerTurn: [1, Infinity],
  maxMessagesPerSecond: [1, Infinity],
  messageBurst: [1, Infinity],
  maxBytesPerSecond: [1, Infinity],
  burstBytes: [1, Infinity],
  maxSubscribesPerSecond: [1, Infinity],
  subscribeBurst: [1, Infinity],
  maxConnectsPerAddressPerSecond: [1, Infinity],
  maxFlapsPerMinute: [1, Infinity],
  maxFlapsPerPrincipalPerMinute: [1, Infinity],
  maxRefusalsPerMinute: [1, Infinity],
  maxRefusalsPerAddressPerMinute: [1, Infinity],
  // A hundred years, which a clock can still count.
  banSeconds: [1, 3_153_600_000],
  maxTrackedAddresses: [1, Infinity],
  maxWillsPerSecond: [1, Infinity],
  restoredWillGraceMs: [0, 60_000],
  maxConcurrentJobs: [1, 10_000],
  maxJobAttempts: [1, 1_000],
  jobBackoffMs: [1, 2_147_483_647],
  maxDeadJobs: [1, 1_000_000],
  maxObserverCalls: [1, Infinity],
  maxTraces: [1, Infinity],
  maxTraceLinesPerSecond: [1, Infinity],
  maxSessionsPerPrincipal: [1, Infinity],
  maxDeadlinesPerTurn: [1, Infinity],
  maxInspectConnections: [1, Infinity],
  // Node's parser takes no infinity here, and its own pages need as much.
  maxInspectHeaderBytes: [1_024, 1_048_576],
  maxInspectBodyBytes: [1_024, 1_073_741_824],
  inspectRequestTimeoutMs: [1_000, 2_147_483_647],
  maxInspectStreamBytes: [16_384, Infinity],
  maxInspectLogins: [1, Infinity],
  maxInspectFailuresPerMinute: [1, Infinity],
  maxInspectedRows: [1, Infinity],
  maxTapMessagesPerSecond: [1, Infinity],
}

/** What is wrong with a value for a limit, in words; undefined: nothing. */
export function limitFault(name: keyof Limits, value: unknown): string | undefined {
  const [min, max] = limitRanges[name] ?? [0, Infinity]
  if (typeof value === 'number' && value >= min && value <= max && (value === Infinity || Number.isSafeInteger(value)))
    return undefined
  return max === Infinity
    ? `expected a whole number of ${min} or more, or infinity`
    : `expected a whole number from ${min} to ${max}`
}

/** The limits that an authenticator may set for one session. */
export type GrantLimits = Partial<
  Pick<
    Limits,
    | 'maxPacketBytes'
    | 'maxInflightMessages'
    | 'receiveMaximumMessages'
    | 'maxQueuedMessages'
    | 'maxQueuedBytes'
    | 'maxMessagesPerSecond'
    | 'messageBurst'
    | 'maxBytesPerSecond'
    | 'burstBytes'
    | 'maxSubscribesPerSecond'
    | 'subscribeBurst'
    | 'maxTopicLevels'
    | 'topicAliasMaximum'
    | 'maxOutboundTopicAliases'
    | 'maxSubscriptionsPerSession'
    | 'maxSessionsPerPrincipal'
    | 'maxSessionExpirySeconds'
    | 'maxKeepAliveSeconds'
    | 'maxConnectionSeconds'
    | 'grantExpiringMs'
    | 'grantGraceMs'
  >
>
