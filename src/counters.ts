import type { DropReason, SessionState } from './events.ts'
import type { BrokerCounters } from './inspection.ts'

type Writable<T> = {
  -readonly [Name in keyof T]: T[Name] extends Readonly<Record<string, number>> ? Writable<T[Name]> : T[Name]
}

/**
 * What a broker counts, as plain numbers that the rooms add to where things happen: an addition costs
 * about a nanosecond, so that it is done whether or not somebody looks. Nobody but the piece that
 * counts writes to its own.
 */
export interface Counters extends Omit<Writable<BrokerCounters>, 'packetsSent'> {
  /** Packets to clients that are not PUBLISH: with `messagesSent` they are all of them. */
  otherPacketsSent: number
  /** Sessions that are in each state just now. */
  readonly states: Record<SessionState, number>
  /** Most sessions that were online at once. */
  mostOnline: number
}

/** Why messages are dropped, in the order in which they are shown. */
export const dropReasons: readonly DropReason[] = [
  'queue-full',
  'expired',
  'too-large',
  'offline',
  'denied',
  'store-full',
  'retained-full',
  'observer-slow',
  'session-ended',
]

/** The states of a session, in their order. */
export const sessionStates: readonly SessionState[] = [
  'connecting',
  'authenticating',
  'enhanced-auth',
  'online',
  'offline',
  'expired',
]

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>
}

/** Counters at the start of a broker. */
export function newCounters(): Counters {
  return {
    bytesReceived: 0,
    bytesSent: 0,
    messagesReceived: 0,
    messagesSent: 0,
    payloadBytesReceived: 0,
    payloadBytesSent: 0,
    packetsReceived: 0,
    otherPacketsSent: 0,
    connectionsOpened: 0,
    connectionsRefused: 0,
    sessionsAdmitted: 0,
    sessionsRefused: {},
    sessionsExpired: 0,
    takeovers: 0,
    subscriptionsAdded: 0,
    subscriptionsRemoved: 0,
    dropped: zeros(dropReasons),
    willsPublished: 0,
    willsWithheld: 0,
    willsCancelled: 0,
    hooksDenied: 0,
    hooksFailed: 0,
    states: zeros(sessionStates),
    mostOnline: 0,
  }
}

/** The counters as they are shown; a copy, since they go on. */
export function countersNow(counters: Counters): BrokerCounters {
  const { otherPacketsSent, states: _, mostOnline: __, sessionsRefused, dropped, ...plain } = counters
  return {
    ...plain,
    packetsSent: plain.messagesSent + otherPacketsSent,
    sessionsRefused: { ...sessionsRefused },
    dropped: { ...dropped },
  }
}
