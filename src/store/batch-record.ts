import type { QoS } from '../messages.ts'
import type { Publication } from '../publication.ts'
import { readMessage, writeMessage } from './message-record.ts'
import type { RecordReader, RecordWriter } from './record.ts'
import type { QueuedMessage } from '../stored.ts'

/**
 * The messages of one session that were made durable together, as one record:
 *
 *     ┌───────┬────────┬─────────────────────────────────────────────────┐
 *     │ count │ bytes  │ per message: how far its sequence is from the   │
 *     │       │        │ one before, flags, what its delivery adds, and  │
 *     │       │        │ the message itself or the number that it is     │
 *     │       │        │ kept under for several sessions                 │
 *     └───────┴────────┴─────────────────────────────────────────────────┘
 */
export interface BatchHead {
  readonly count: number
  /** What its messages count towards the session's limit of bytes. */
  readonly bytes: number
}

/** A message that several sessions wait for, by the number it is kept under. */
export interface SharedMessages {
  /** Undefined: the message goes into the batch itself. */
  numberOf(publication: Publication): number | undefined
}

const Flag = {
  QoS: 0b0000_0011,
  Retain: 0b0000_0100,
  Identifiers: 0b0000_1000,
  Shared: 0b0001_0000,
  Reference: 0b0010_0000,
} as const

export function writeBatch(
  out: RecordWriter,
  first: number,
  messages: readonly QueuedMessage[],
  shared: SharedMessages,
): void {
  let bytes = 0
  for (const { publication } of messages) bytes += publication.sizeBytes
  out.varint(messages.length).varint(bytes)
  let before = first
  for (const message of messages) {
    const number = shared.numberOf(message.publication)
    out.varint(message.sequence - before)
    before = message.sequence
    out.uint8(
      message.qos |
        (message.retain ? Flag.Retain : 0) |
        (message.subscriptionIdentifiers === undefined ? 0 : Flag.Identifiers) |
        (message.shared === undefined ? 0 : Flag.Shared) |
        (number === undefined ? 0 : Flag.Reference),
    )
    if (message.subscriptionIdentifiers !== undefined) {
      out.varint(message.subscriptionIdentifiers.length)
      for (const identifier of message.subscriptionIdentifiers) out.varint(identifier)
    }
    if (message.shared !== undefined) out.text(message.shared)
    if (number === undefined) writeMessage(out, message.publication)
    else out.varint(number)
  }
}

export function readBatchHead(record: RecordReader): BatchHead {
  return { count: record.varint(), bytes: record.varint() }
}

/** One message of a batch, its publication either in it or elsewhere. */
export interface BatchEntry {
  readonly sequence: number
  readonly qos: QoS
  readonly retain: boolean
  readonly subscriptionIdentifiers: readonly number[] | undefined
  readonly shared: string | undefined
  readonly publication: Publication | undefined
  /** The number that it is kept under; undefined where `publication` is there. */
  readonly reference: number | undefined
}

/** Reads the messages behind a {@link readBatchHead}, one after the other. */
export function* readBatch(record: RecordReader, first: number, count: number): Generator<BatchEntry, void> {
  let sequence = first
  for (let left = count; left > 0; left--) {
    sequence += record.varint()
    const flags = record.uint8()
    let subscriptionIdentifiers: number[] | undefined
    if (flags & Flag.Identifiers) {
      subscriptionIdentifiers = []
      for (let more = record.varint(); more > 0; more--) subscriptionIdentifiers.push(record.varint())
    }
    const shared = flags & Flag.Shared ? record.text() : undefined
    const isReference = (flags & Flag.Reference) !== 0
    const reference = isReference ? record.varint() : undefined
    yield {
      sequence,
      qos: (flags & Flag.QoS) as QoS,
      retain: (flags & Flag.Retain) !== 0,
      subscriptionIdentifiers,
      shared,
      publication: isReference ? undefined : readMessage(record),
      reference,
    }
  }
}
