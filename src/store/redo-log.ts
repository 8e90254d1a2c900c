import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readFile, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

import { RecordWriter } from './record.ts'
import { readSegment, writeRedo, type RedoGeneration, type RedoStep } from './redo-record.ts'

const FILES = ['redo-0', 'redo-1'] as const

/** Bytes of each of the two segments. */
export const SEGMENT_BYTES = 4_194_304

/**
 * Commits that are durable and not in the tables yet: one write to a file that has its full size already is
 * one flush, where LMDB takes two. Two segments take turns; one is filled again when all that was in it is in the
 * tables.
 */
export class RedoLog {
  readonly id: Buffer
  readonly #files: readonly FileHandle[]
  readonly #segmentBytes: number
  readonly #out = new RecordWriter(65_536)
  #generation = 1
  #index = 0
  #before = 0
  #position = 0

  private constructor(id: Buffer, files: readonly FileHandle[], segmentBytes: number) {
    this.id = id
    this.#files = files
    this.#segmentBytes = segmentBytes
  }

  /** Begins a log, over what another one may have left in its files. Rejects where the system has no room for them. */
  static async begin(directory: string, segmentBytes: number): Promise<RedoLog> {
    const files: FileHandle[] = []
    try {
      for (const name of FILES) files.push(await fileOf(join(directory, name), segmentBytes))
    } catch (error) {
      await Promise.all(files.map((file) => file.close()))
      // What is left of the room is the tables'.
      await Promise.all(FILES.map((name) => rm(join(directory, name), { force: true })))
      throw error
    }
    return new RedoLog(randomBytes(8), files, segmentBytes)
  }

  /** Counts fillings: all that was appended before {@link next} is of one, and so on. */
  get generation(): number {
    return this.#generation
  }

  /** The record of a commit, as it can be appended; undefined: the segment has no room for it. */
  encode(steps: Iterable<RedoStep>): Buffer | undefined {
    const place = { log: this.id, generation: this.#generation, index: this.#index, before: this.#before }
    const record = writeRedo(this.#out, place, steps)
    return this.#position + record.length > this.#segmentBytes ? undefined : record
  }

  /** What `encode` returned last. Resolves when it is durable. */
  async append(record: Buffer): Promise<void> {
    const file = this.#files[this.#generation % FILES.length]!
    for (let written = 0; written < record.length;) {
      const left = record.length - written
      written += (await file.write(record, written, left, this.#position + written)).bytesWritten
    }
    this.#position += record.length
    this.#index++
  }

  /** The other segment is filled from now on: what it had is in the tables. */
  next(): void {
    this.#generation++
    this.#before = this.#index
    this.#index = 0
    this.#position = 0
  }

  async close(): Promise<void> {
    await Promise.all(this.#files.map((file) => file.close()))
  }
}

/** A file with so many bytes on the disk: writing over them changes nothing that the file system has to keep account of. */
async function fileOf(path: string, bytes: number): Promise<FileHandle> {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC, 0o600)
  try {
    const { size } = await file.stat()
    if (size < bytes) {
      await file.write(Buffer.alloc(bytes - size), 0, bytes - size, size)
      if ((await file.stat()).size < bytes) throw Object.assign(new Error('no room for the log'), { code: 'ENOSPC' })
      await file.sync()
    }
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** What an earlier process left in its log and not in the tables, the older generation first. */
export async function readRedoLog(directory: string, log: Buffer, applied: number): Promise<RedoGeneration[]> {
  const generations: RedoGeneration[] = []
  for (const name of FILES) {
    const bytes = await readFile(join(directory, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return Buffer.alloc(0)
      throw error
    })
    const found = readSegment(bytes, log, applied)
    if (found) generations.push(found)
  }
  return generations.sort((one, other) => one.generation - other.generation)
}
