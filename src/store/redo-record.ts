import { crc32 } from 'node:zlib'

import { RecordReader, type RecordWriter } from './record.ts'

/** One write of a commit as the redo log has it; without a record it is a removal. */
export interface RedoStep {
  /** Index of its table. */
  readonly table: number
  readonly key: Buffer
  readonly record: Buffer | undefined
}

/** Where in the log a commit belongs. */
export interface RedoPlace {
  /** Which log it is part of: each that is begun has an identifier of its own, of 8 bytes. */
  readonly log: Buffer
  /** Counts the fillings of segments, from 1 on. */
  readonly generation: number
  /** Counts the commits of a generation, from 0 on. */
  readonly index: number
  /** How many commits the generation before had. */
  readonly before: number
}

export interface RedoRecord extends RedoPlace {
  readonly steps: readonly RedoStep[]
  /** Behind its last byte. */
  readonly end: number
}

/**
 * One commit in the redo log:
 *
 *     ┌───────┬─────────┬──────────┬─────┬────────────┬───────┬────────┬─────────────────────┐
 *     │ magic │ bytes   │ CRC-32   │ log │ generation │ index │ before │ per step: table,    │
 *     │ 4     │ of all, │ of what  │ 8   │ 6          │ 4     │ 4      │ key, length of the  │
 *     │       │ 4       │ follows, │     │            │       │        │ record + 1, record; │
 *     │       │         │ 4        │     │            │       │        │ 0 for a removal     │
 *     └───────┴─────────┴──────────┴─────┴────────────┴───────┴────────┴─────────────────────┘
 */
const MAGIC = Buffer.from('SMQr')
const CRC_AT = 8
const LOG_AT = 12
const GENERATION_AT = 20
const INDEX_AT = 26
const BEFORE_AT = 30
const HEAD_BYTES = 34
const HEAD = Buffer.alloc(HEAD_BYTES)

/** Writes a commit; the result is valid until the writer is used again. */
export function writeRedo(out: RecordWriter, place: RedoPlace, steps: Iterable<RedoStep>): Buffer {
  out.reset().raw(HEAD)
  for (const { table, key, record } of steps) {
    out.uint8(table).bytes(key)
    if (record === undefined) out.varint(0)
    else out.varint(record.length + 1).raw(record)
  }
  const bytes = out.content()
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(bytes.length, MAGIC.length)
  place.log.copy(bytes, LOG_AT)
  bytes.writeUIntLE(place.generation, GENERATION_AT, 6)
  bytes.writeUInt32LE(place.index, INDEX_AT)
  bytes.writeUInt32LE(place.before, BEFORE_AT)
  bytes.writeUInt32LE(crc32(bytes.subarray(LOG_AT)), CRC_AT)
  return bytes
}

/** The commit that begins at a place; undefined: none does, or not all of it came to the disk. */
function readRedo(bytes: Buffer, at: number): RedoRecord | undefined {
  if (at + HEAD_BYTES > bytes.length || bytes.compare(MAGIC, 0, MAGIC.length, at, at + MAGIC.length) !== 0)
    return undefined
  const end = at + bytes.readUInt32LE(at + MAGIC.length)
  if (end < at + HEAD_BYTES || end > bytes.length) return undefined
  if (crc32(bytes.subarray(at + LOG_AT, end)) !== bytes.readUInt32LE(at + CRC_AT)) return undefined
  return {
    log: bytes.subarray(at + LOG_AT, at + GENERATION_AT),
    generation: bytes.readUIntLE(at + GENERATION_AT, 6),
    index: bytes.readUInt32LE(at + INDEX_AT),
    before: bytes.readUInt32LE(at + BEFORE_AT),
    steps: readSteps(bytes.subarray(at + HEAD_BYTES, end)),
    end,
  }
}

function readSteps(content: Buffer): RedoStep[] {
  const reader = new RecordReader(content)
  const steps: RedoStep[] = []
  while (!reader.ended) {
    const table = reader.uint8()
    const key = Buffer.from(reader.bytes())
    const length = reader.varint()
    steps.push({ table, key, record: length === 0 ? undefined : Buffer.from(reader.raw(length - 1)) })
  }
  return steps
}

/** The commits of one generation, as a segment of the log has them. */
export interface RedoGeneration {
  readonly generation: number
  /** How many commits the generation before had. */
  readonly before: number
  readonly commits: readonly RedoRecord[]
  /** How many commits can't be read although there are some behind them. */
  readonly lost: number
}

/**
 * What a segment has of a log beyond what is in the tables already. What did not come to the disk to its end is
 * left out: nobody was promised it. Undefined: the segment has nothing that is new.
 */
export function readSegment(bytes: Buffer, log: Buffer, applied: number): RedoGeneration | undefined {
  const commits: RedoRecord[] = []
  let at = 0
  while (at >= 0) {
    const record = readRedo(bytes, at)
    if (record === undefined || record.generation <= applied || !record.log.equals(log)) {
      at = bytes.indexOf(MAGIC, at + 1)
      continue
    }
    commits.push(record)
    at = record.end
  }
  const last = commits.at(-1)
  if (last === undefined) return undefined
  const { generation, before, index } = last
  return { generation, before, commits, lost: index + 1 - commits.length }
}
