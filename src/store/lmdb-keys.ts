import { createHash } from 'node:crypto'

import type { SessionKey } from '../stored.ts'

// Keys sort as bytes: what belongs to one session lies together, in the order of its second part.

export function sessionKey(key: SessionKey): Buffer {
  const bytes = Buffer.allocUnsafe(6)
  bytes.writeUIntBE(key, 0, 6)
  return bytes
}

/** Where the entries of the sessions behind this one begin. */
export function behindSession(key: SessionKey): Buffer {
  return sessionKey(key + 1)
}

/** A session and a packet identifier. */
export function packetKey(key: SessionKey, packetId: number): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeUIntBE(key, 0, 6)
  bytes.writeUInt16BE(packetId, 6)
  return bytes
}

/** A session and the sequence of a message. */
export function sequenceKey(key: SessionKey, sequence: number): Buffer {
  const bytes = Buffer.allocUnsafe(12)
  bytes.writeUIntBE(key, 0, 6)
  bytes.writeUIntBE(sequence, 6, 6)
  return bytes
}

/** A session and the epoch of one of its connections. */
export function epochKey(key: SessionKey, epoch: number): Buffer {
  const bytes = Buffer.allocUnsafe(10)
  bytes.writeUIntBE(key, 0, 6)
  bytes.writeUInt32BE(epoch, 6)
  return bytes
}

/** A topic filter may be longer than a key, so it goes in by its hash; the record has it whole. */
export function filterKey(key: SessionKey, filter: string): Buffer {
  return Buffer.concat([sessionKey(key), hashOf(filter)])
}

export function topicKey(topic: string): Buffer {
  return hashOf(topic)
}

/** The number of a message that several sessions wait for. */
export function numberKey(number: number): Buffer {
  const bytes = Buffer.allocUnsafe(6)
  bytes.writeUIntBE(number, 0, 6)
  return bytes
}

/** Where the highest number that a session was given is counted. */
export const LAST_KEY = Buffer.from('last-session-key')

export const numberOf = (key: Buffer): number => key.readUIntBE(0, 6)
export const sessionOf = (key: Buffer): SessionKey => key.readUIntBE(0, 6)
export const packetIdOf = (key: Buffer): number => key.readUInt16BE(6)
export const sequenceOf = (key: Buffer): number => key.readUIntBE(6, 6)
export const epochOf = (key: Buffer): number => key.readUInt32BE(6)

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest().subarray(0, 16)
}
