import type { DropReason, SessionState } from './events.ts'
import type { BrokerCounters } from './inspection.ts'

type Writable<T> = {
  -readonly [Name in keyof T]: T[Name] extends Readonly<Record<string, number>> ? Writable<T[Name]> : T[Name]
}

/** How much there is just now of what is cheap to keep account of. */
export interface Levels {
  /** Sessions in each state; one that has expired is gone. */
  readonly states: Record<SessionState, number>
  /** Most sessions that were online at once. */
  mostOnline: number
  subscriptions: number
  /** Those of the subscriptions that are shared. */
  sharedSubscriptions: number
  /** Wills whose connection is gone and whose time has not come. */
  delayedWills: number
}

/**
 * What a broker counts, as plain numbers that the rooms add to where things happen: an addition costs
 * about a nanosecond, so that it is done whether or not somebody looks.
 */
export interface Counters extends Omit<Writable<BrokerCounters>, 'packetsSent' | 'subscriptionsRemoved'> {
  /** Packets to clients that are not PUBLISH: with `messagesSent` they are all of them. */
  otherPacketsSent: number
  readonly levels: Levels
}

/** One for each reason, in the order in which they are shown. */
const noDrops: Readonly<Record<DropReason, 0>> = {
  'queue-full': 0,
  expired: 0,
  'too-large': 0,
  offline: 0,
  denied: 0,
  'store-full': 0,
  'retained-full': 0,
  'observer-slow': 0,
  'session-ended': 0,
  administrative: 0,
}

const noSessions: Readonly<Record<SessionState, 0>> = {
  connecting: 0,
  authenticating: 0,
  'enhanced-auth': 0,
  online: 0,
  offline: 0,
  expired: 0,
}

/** A PUBLISH has come in. */
export function countReceived(counters: Counters, { payloadLength }: { readonly payloadLength: number }): void {
  counters.messagesReceived++
  counters.payloadBytesReceived += payloadLength
}

/** A PUBLISH goes out. */
export function countSent(counters: Counters, { payloadLength }: { readonly payloadLength: number }): void {
  counters.messagesSent++
  counters.payloadBytesSent += payloadLength
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
    dropped: { ...noDrops },
    willsPublished: 0,
    willsWithheld: 0,
    willsCancelled: 0,
    hooksDenied: 0,
    hooksFailed: 0,
    levels: {
      states: { ...noSessions },
      mostOnline: 0,
      subscriptions: 0,
      sharedSubscriptions: 0,
      delayedWills: 0,
    },
  }
}

/** The counters as they are shown; a copy, since they go on. */
export function countersNow({ otherPacketsSent, levels, ...plain }: Counters): BrokerCounters {
  return {
    ...plain,
    packetsSent: plain.messagesSent + otherPacketsSent,
    subscriptionsRemoved: plain.subscriptionsAdded - levels.subscriptions,
    sessionsRefused: { ...plain.sessionsRefused },
    dropped: { ...plain.dropped },
  }
}
