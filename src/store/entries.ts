import { StatemqError } from '../errors.ts'
import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import { readBatch, readBatchHead, readSteps, writeBatch, type BatchMessage } from './batch-record.ts'
import type { Step, Tables } from './lmdb-environment.ts'
import {
  LAST_KEY,
  epochKey,
  epochOf,
  filterKey,
  numberKey,
  numberOf,
  packetIdOf,
  packetKey,
  sequenceKey,
  sequenceOf,
  sessionKey,
  sessionOf,
  topicKey,
} from './lmdb-keys.ts'
import { readMessage, writeMessage } from './message-record.ts'
import { RecordReader, RecordWriter, seal, unseal } from './record.ts'
import type { SessionKey } from '../stored.ts'

/** One record of a store, whatever table it lies in, as verify, export and import see it. */
export type StoreEntry =
  | { readonly type: 'counter'; readonly lastSessionKey: SessionKey }
  | { readonly type: 'session'; readonly key: SessionKey; readonly clientId: string; readonly record: Buffer }
  | { readonly type: 'line'; readonly session: SessionKey; readonly nextSequence: number }
  | { readonly type: 'subscription'; readonly session: SessionKey; readonly filter: string; readonly record: Buffer }
  | { readonly type: 'received'; readonly session: SessionKey; readonly packetId: number }
  | {
      readonly type: 'inflight'
      readonly session: SessionKey
      readonly packetId: number
      readonly sequence: number
      readonly qos: QoS
      readonly released: boolean
    }
  | { readonly type: 'will'; readonly session: SessionKey; readonly epoch: number; readonly record: Buffer }
  | { readonly type: 'message'; readonly number: number; readonly message: Publication }
  | { readonly type: 'settled'; readonly session: SessionKey; readonly first: number; readonly sequences: number[] }
  | {
      readonly type: 'batch'
      readonly session: SessionKey
      /** What its messages count towards the session's limit. */
      readonly bytes: number
      readonly messages: readonly BatchMessage[]
    }
  | { readonly type: 'retained'; readonly message: Publication }

export type TableName = keyof Tables
type Decode = (key: Buffer, value: Buffer) => StoreEntry

const decoders: { readonly [Name in TableName]: Decode } = {
  counters: (_key, value) => ({ type: 'counter', lastSessionKey: numberOf(value) }),
  sessions: (key, value) => {
    const record = opened(value)
    return { type: 'session', key: sessionOf(key), clientId: record.text(), record: Buffer.from(record.bytes()) }
  },
  lines: (key, value) => ({ type: 'line', session: sessionOf(key), nextSequence: opened(value).varint() }),
  subscriptions: (key, value) => {
    const record = opened(value)
    const filter = record.text()
    assertKey(key, filterKey(sessionOf(key), filter))
    return { type: 'subscription', session: sessionOf(key), filter, record: Buffer.from(record.bytes()) }
  },
  received: (key, value) => {
    opened(value)
    return { type: 'received', session: sessionOf(key), packetId: packetIdOf(key) }
  },
  inflight: (key, value) => {
    const record = opened(value)
    return {
      type: 'inflight',
      session: sessionOf(key),
      packetId: packetIdOf(key),
      sequence: record.varint(),
      qos: record.uint8() as QoS,
      released: record.uint8() === 1,
    }
  },
  wills: (key, value) => ({
    type: 'will',
    session: sessionOf(key),
    epoch: epochOf(key),
    record: Buffer.from(unseal(value)),
  }),
  messages: (key, value) => ({ type: 'message', number: numberOf(key), message: readMessage(opened(value)) }),
  settled: (key, value) => {
    const first = sequenceOf(key)
    return { type: 'settled', session: sessionOf(key), first, sequences: readSteps(opened(value), first) }
  },
  batches: (key, value) => {
    const record = opened(value)
    const head = readBatchHead(record, sequenceOf(key))
    return { type: 'batch', session: sessionOf(key), bytes: head.bytes, messages: [...readBatch(record, head)] }
  },
  retained: (key, value) => {
    const message = readMessage(opened(value))
    assertKey(key, topicKey(message.topic))
    return { type: 'retained', message }
  },
}

/** Throws SMQ_STORE_DAMAGED. */
export function decodeEntry(table: TableName, key: Buffer, value: Buffer): StoreEntry {
  try {
    return decoders[table](key, value)
  } catch (error) {
    if (error instanceof StatemqError) throw error
    throw new StatemqError('SMQ_STORE_DAMAGED', 'a key or a record is too short', { cause: error })
  }
}

const out = new RecordWriter(65_536)

/** Where an entry goes, and as what. */
export function encodeEntry(tables: Tables, entry: StoreEntry): Step {
  out.reset()
  switch (entry.type) {
    case 'counter':
      return { table: tables.counters, key: LAST_KEY, record: numberKey(entry.lastSessionKey) }
    case 'session':
      return sealed(tables.sessions, sessionKey(entry.key), out.text(entry.clientId).bytes(entry.record))
    case 'line':
      return sealed(tables.lines, sessionKey(entry.session), out.varint(entry.nextSequence))
    case 'subscription': {
      const { session, filter, record } = entry
      return sealed(tables.subscriptions, filterKey(session, filter), out.text(filter).bytes(record))
    }
    case 'received':
      return sealed(tables.received, packetKey(entry.session, entry.packetId), out)
    case 'inflight': {
      const { session, packetId, sequence, qos, released } = entry
      const record = out
        .varint(sequence)
        .uint8(qos)
        .uint8(released ? 1 : 0)
      return sealed(tables.inflight, packetKey(session, packetId), record)
    }
    case 'will':
      return { table: tables.wills, key: epochKey(entry.session, entry.epoch), record: seal(entry.record) }
    case 'message':
      writeMessage(out, entry.message)
      return sealed(tables.messages, numberKey(entry.number), out)
    case 'settled':
      throw new TypeError('what is settled is left out of its batch')
    case 'batch': {
      const { first } = writeBatch(out, entry.messages, entry.bytes)
      return sealed(tables.batches, sequenceKey(entry.session, first), out)
    }
    case 'retained':
      writeMessage(out, entry.message)
      return sealed(tables.retained, topicKey(entry.message.topic), out)
  }
}

function sealed(table: Step['table'], key: Buffer, record: RecordWriter): Step {
  return { table, key, record: seal(record.content()) }
}

function opened(value: Buffer): RecordReader {
  return new RecordReader(unseal(value))
}

/** A key that is a hash must be that of its record. */
function assertKey(key: Buffer, expected: Buffer): void {
  if (!key.equals(expected)) throw new StatemqError('SMQ_STORE_DAMAGED', 'a record lies under the key of another')
}
