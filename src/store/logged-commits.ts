import { StatemqError } from '../errors.ts'
import { Layer, type Table } from './layer.ts'
import type { Step } from './lmdb-environment.ts'
import { isNoRoom } from './no-room.ts'
import { RedoLog } from './redo-log.ts'
import type { RedoStep } from './redo-record.ts'

type Write = (steps: readonly Step[]) => Promise<void>

export interface LoggedCommitsOptions {
  readonly directory: string
  readonly redoBytes: number
  /** What is over the tables: filled and emptied here, the older layer first. */
  readonly layers: Layer[]
  /** By their index. */
  readonly tables: readonly Table[]
  readonly marker: Table
  /** One transaction of LMDB's. */
  readonly write: Write
  /** The tables could not take what was to go into them behind everybody's back. */
  readonly onFault: ((error: StatemqError) => void) | undefined
}

/**
 * Commits go into the redo log, where one flush makes them durable, and later, many together, into the tables:
 *
 *     commit ──▶ log, generation 7 ──▶ layer 7 ┐
 *                log, generation 6     layer 6 ┴─▶ tables of LMDB, with “6 is here”
 *
 * Who reads looks through the layers first. A process that ends leaves the log to its successor, which does
 * again what is beyond the generation that the tables speak of; doing something twice changes nothing.
 */
export class LoggedCommits {
  readonly #options: LoggedCommitsOptions
  /** Undefined: not begun. Null: there is no room for one, and all goes into the tables at once. */
  #log: RedoLog | null | undefined = undefined
  /** One after the other. */
  #last: Promise<void> = Promise.resolve()
  /** What an older generation had is on its way into the tables; never rejects. */
  #applying: Promise<void> = Promise.resolve()

  constructor(options: LoggedCommitsOptions) {
    this.#options = options
  }

  commit(steps: readonly Step[]): Promise<void> {
    return this.#inTurn(() => this.#commit(steps))
  }

  checkpoint(): Promise<void> {
    return this.#inTurn(() => this.#empty())
  }

  async close(): Promise<void> {
    // What finds no room in the tables stays in the log.
    await this.checkpoint().catch(() => {})
    await this.#log?.close()
  }

  #inTurn(action: () => Promise<void>): Promise<void> {
    const done = this.#last.then(action)
    this.#last = done.catch(() => {})
    return done
  }

  async #commit(steps: readonly Step[]): Promise<void> {
    const log = (this.#log ??= await this.#begin())
    if (log === null) return this.#options.write(steps)
    const logged = steps.map(({ table, key, record }) => ({ table: table.index, key, record }))
    let record = log.encode(logged)
    if (record === undefined) {
      await this.#turn(log)
      record = log.encode(logged)
    }
    if (record === undefined) {
      // It is larger than a segment.
      await this.#empty()
      return this.#options.write(steps)
    }
    await log.append(record).catch((error: unknown) => {
      throw faultOf(error)
    })
    const layer = this.#options.layers.at(-1)!
    for (const step of logged) layer.add(step)
  }

  async #begin(): Promise<RedoLog | null> {
    const { directory, redoBytes, layers, marker, write } = this.#options
    const log = await RedoLog.begin(directory, redoBytes).catch(() => null)
    if (log === null) return null
    // From here on it is this log that the tables speak of.
    await write([markerStep(marker, log.id, 0)]).catch(async (error: unknown) => {
      await log.close()
      throw error
    })
    layers.push(new Layer())
    return log
  }

  /** Fills the other segment from now on; what this one has goes into the tables meanwhile. */
  async #turn(log: RedoLog): Promise<void> {
    await this.#applyOlder(log)
    this.#seal(log)
    this.#applying = this.#apply(log).catch((error: unknown) => {
      if (error instanceof StatemqError) this.#options.onFault?.(error)
    })
  }

  /** Everything goes into the tables. */
  async #empty(): Promise<void> {
    const log = this.#log
    if (log === undefined || log === null) return
    await this.#applyOlder(log)
    if (this.#options.layers[0]!.size === 0) return
    this.#seal(log)
    await this.#apply(log)
  }

  /** What was on its way is in the tables, or is tried once more. */
  async #applyOlder(log: RedoLog): Promise<void> {
    await this.#applying
    if (this.#options.layers.length > 1) await this.#apply(log)
  }

  /** What is committed from now on is of another generation, in a layer of its own. */
  #seal(log: RedoLog): void {
    log.next()
    this.#options.layers.push(new Layer())
  }

  /** The older of two layers goes into the tables. */
  async #apply(log: RedoLog): Promise<void> {
    const { layers, tables, marker, write } = this.#options
    await writeLayer(layers[0]!, tables, write, markerStep(marker, log.id, log.generation - 1))
    layers.shift()
  }
}

/** So much goes into the tables at once: the loop goes round in between. */
const CHUNK_STEPS = 2_048

/** Brings a layer into the tables; with the last of it they say so. */
export async function writeLayer(layer: Layer, tables: readonly Table[], write: Write, lastStep: Step): Promise<void> {
  let chunk: Step[] = []
  for (const step of layer.steps()) {
    chunk.push(stepOf(step, tables))
    if (chunk.length < CHUNK_STEPS) continue
    await write(chunk)
    chunk = []
  }
  await write([...chunk, lastStep])
}

function stepOf({ table, key, record }: RedoStep, tables: readonly Table[]): Step {
  const found = tables[table]
  if (found === undefined) throw new StatemqError('SMQ_STORE_DAMAGED', `the redo log speaks of table ${table}`)
  return { table: found, key, record }
}

const MARKER_KEY = Buffer.from('applied')
const ID_BYTES = 8

/** Which log the tables belong to, and which of its generations they have. */
export function readMarker(marker: Table): { readonly log: Buffer; readonly applied: number } | undefined {
  const found = marker.getBinary(MARKER_KEY)
  return found && { log: found.subarray(0, ID_BYTES), applied: found.readUIntBE(ID_BYTES, 6) }
}

export function markerStep(marker: Table, log: Buffer, applied: number): Step {
  const record = Buffer.alloc(ID_BYTES + 6)
  log.copy(record)
  record.writeUIntBE(applied, ID_BYTES, 6)
  return { table: marker, key: MARKER_KEY, record }
}

function faultOf(error: unknown): StatemqError {
  const { message } = error as Error
  return new StatemqError(isNoRoom(error) ? 'SMQ_STORE_FULL' : 'SMQ_STORE_FAILED', message, { cause: error })
}
