import type { QoS } from '../messages.ts'
import type { BatchFacts } from './line.ts'
import { readMessage, writeMessage } from './message-record.ts'
import { RecordReader, type RecordWriter } from './record.ts'
import type { QueuedMessage } from '../stored.ts'

/**
 * The messages of one session that were made durable together, as one record:
 *
 *     ┌───────┬───────┬──────┬───────────┬────────────┬─────────────────────┐
 *     │ count │ bytes │ span │ gaps      │ references │ per message: step,  │
 *     │       │       │      │           │            │ flags, what its     │
 *     │       │       │      │           │            │ delivery adds, and  │
 *     │       │       │      │           │            │ the message or the  │
 *     │       │       │      │           │            │ next reference      │
 *     └───────┴───────┴──────┴───────────┴────────────┴─────────────────────┘
 *
 * `span` is how far the last sequence is from the first, gaps are those in between that are not there,
 * references are the numbers of messages that are kept once for several sessions. What a store must
 * know of a batch when it starts is thus at its head.
 */
export interface BatchHead extends BatchFacts {
  readonly references: readonly number[]
}

/** A message for a batch; one with a reference is kept elsewhere. */
export type BatchMessage =
  | (QueuedMessage & { readonly reference?: number | undefined })
  | (Omit<QueuedMessage, 'publication'> & { readonly publication?: undefined; readonly reference: number })

const Flag = {
  QoS: 0b0000_0011,
  Retain: 0b0000_0100,
  Identifiers: 0b0000_1000,
  Shared: 0b0001_0000,
  Reference: 0b0010_0000,
} as const

/** Writes messages that rise in their sequences; returns what its head says. `bytes`: where not all of them are at hand. */
export function writeBatch(out: RecordWriter, messages: readonly BatchMessage[], bytes = bytesOf(messages)): BatchHead {
  const head = headOf(messages, bytes)
  const { first, last, count, gaps, references } = head
  out
    .varint(count)
    .varint(bytes)
    .varint(last - first)
  writeSteps(out, first, gaps ?? [])
  out.varint(references.length)
  for (const number of references) out.varint(number)
  writeEntries(out, messages, first)
  return head
}

/**
 * Writes a batch that grows: those that are in it already, as `content` has them, and messages that follow on them
 * without a gap. Undefined: it refers to messages that are kept elsewhere, or is not what it is
 * taken for, and stays as it is.
 */
export function writeGrown(
  out: RecordWriter,
  content: Buffer,
  { first, last: end }: Pick<BatchFacts, 'first' | 'last'>,
  messages: readonly QueuedMessage[],
): BatchHead | undefined {
  const record = new RecordReader(content)
  const head = readBatchHead(record, first)
  if (head.references.length > 0 || head.last !== end) return undefined
  const count = head.count + messages.length
  const bytes = head.bytes + bytesOf(messages)
  const last = messages.at(-1)!.sequence
  out
    .varint(count)
    .varint(bytes)
    .varint(last - first)
  writeSteps(out, first, [])
  out.varint(0).raw(record.rest())
  writeEntries(out, messages, head.last)
  return { first, last, count, bytes, gaps: undefined, references: head.references }
}

/** `start`: the sequence that the first step begins at. */
function writeEntries(out: RecordWriter, messages: readonly BatchMessage[], start: number): void {
  let before = start
  for (const message of messages) {
    const { reference, publication } = message
    out.varint(message.sequence - before)
    before = message.sequence
    out.uint8(
      message.qos |
        (message.retain ? Flag.Retain : 0) |
        (message.subscriptionIdentifiers === undefined ? 0 : Flag.Identifiers) |
        (message.shared === undefined ? 0 : Flag.Shared) |
        (reference === undefined ? 0 : Flag.Reference),
    )
    if (message.subscriptionIdentifiers !== undefined) {
      out.varint(message.subscriptionIdentifiers.length)
      for (const identifier of message.subscriptionIdentifiers) out.varint(identifier)
    }
    if (message.shared !== undefined) out.text(message.shared)
    if (reference === undefined && publication) writeMessage(out, publication)
  }
}

function headOf(messages: readonly BatchMessage[], bytes: number): BatchHead {
  const first = messages[0]!.sequence
  const last = messages.at(-1)!.sequence
  const references = messages.flatMap(({ reference }) => reference ?? [])
  return { first, last, count: messages.length, bytes, gaps: gapsOf(messages, first, last), references }
}

function bytesOf(messages: readonly BatchMessage[]): number {
  let bytes = 0
  for (const { publication } of messages) bytes += publication?.sizeBytes ?? 0
  return bytes
}

function gapsOf(messages: readonly BatchMessage[], first: number, last: number): Set<number> | undefined {
  if (last - first + 1 === messages.length) return undefined
  const gaps = new Set<number>()
  let expected = first
  for (const { sequence } of messages) {
    for (; expected < sequence; expected++) gaps.add(expected)
    expected = sequence + 1
  }
  return gaps
}

export function readBatchHead(record: RecordReader, first: number): BatchHead {
  const count = record.varint()
  const bytes = record.varint()
  const last = first + record.varint()
  const missing = readSteps(record, first)
  const references: number[] = []
  for (let left = record.varint(); left > 0; left--) references.push(record.varint())
  return { first, last, count, bytes, gaps: missing.length > 0 ? new Set(missing) : undefined, references }
}

/** Reads the messages behind a {@link readBatchHead}, one after the other. */
export function* readBatch(
  record: RecordReader,
  { first, count, references }: BatchHead,
): Generator<BatchMessage, void> {
  let sequence = first
  let referred = 0
  for (let left = count; left > 0; left--) {
    sequence += record.varint()
    const flags = record.uint8()
    let subscriptionIdentifiers: number[] | undefined
    if (flags & Flag.Identifiers) {
      subscriptionIdentifiers = []
      for (let more = record.varint(); more > 0; more--) subscriptionIdentifiers.push(record.varint())
    }
    const shared = flags & Flag.Shared ? record.text() : undefined
    const reference = flags & Flag.Reference ? references[referred++] : undefined
    const delivery = {
      sequence,
      qos: (flags & Flag.QoS) as QoS,
      retain: (flags & Flag.Retain) !== 0,
      subscriptionIdentifiers,
      shared,
    }
    yield reference === undefined ? { ...delivery, publication: readMessage(record) } : { ...delivery, reference }
  }
}

/** Numbers that rise, from a first one on. */
export function writeSteps(out: RecordWriter, first: number, numbers: Iterable<number>): void {
  const list = [...numbers]
  out.varint(list.length)
  let before = first
  for (const number of list) {
    out.varint(number - before)
    before = number
  }
}

export function readSteps(record: RecordReader, first: number): number[] {
  const numbers: number[] = []
  let number = first
  for (let left = record.varint(); left > 0; left--) numbers.push((number += record.varint()))
  return numbers
}
