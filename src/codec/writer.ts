import type { Duplex } from 'node:stream'

import { newCounters, type Counters } from '../counters.ts'
import { HeldBytes } from './held-bytes.ts'
import { slab } from './slab.ts'

/** Pending bytes at which a writer does not wait for the end of the turn. */
const FLUSH_BYTES = 65_536
/** Ranges from this size on go to the system as they are instead of being copied together. */
const COPY_BYTES = 4_096

/**
 * Flushes every connection that has something to send, once per turn of the event loop: at the
 * turn's end, so that answers to all sockets that were readable in it leave together.
 */
export class FlushQueue {
  readonly counters: Pick<Counters, 'bytesSent'>
  #dirty: Writer[] = []
  #scheduled = false
  readonly #flush = (): void => {
    this.#scheduled = false
    const dirty = this.#dirty
    this.#dirty = []
    for (const writer of dirty) writer.flush()
  }

  constructor(counters: Pick<Counters, 'bytesSent'> = newCounters()) {
    this.counters = counters
  }

  add(writer: Writer): void {
    this.#dirty.push(writer)
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#flush)
  }
}

/**
 * Collects what one connection sends in a turn. Bytes that already lie somewhere (the chunk that a
 * PUBLISH came in, an encoding shared by a fan-out, the slab) are kept as ranges; a range that
 * continues the previous one just makes it longer, so a run of packets costs one range. Packet
 * identifiers, the only bytes that differ between the subscribers of a message, are patched into
 * the copy that is sent.
 */
export class Writer {
  readonly #stream: Duplex
  readonly #queue: FlushQueue
  /** Called after a flush that the stream did not take at once. */
  readonly #onFull: () => void
  // The range being extended. The others wait in the arrays, which a run never touches.
  #bytes: Buffer | undefined = undefined
  #start = 0
  #end = 0
  #ranges: Buffer[] | undefined = undefined
  #bounds: number[] | undefined = undefined
  #patches: number[] | undefined = undefined
  #pendingBytes = 0
  #closed = false
  /** What waits for a promise of the store: see {@link Writer.hold}. */
  #held: HeldBytes | undefined = undefined

  constructor(stream: Duplex, queue: FlushQueue, onFull: () => void) {
    this.#stream = stream
    this.#queue = queue
    this.#onFull = onFull
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** Bytes that are held back. */
  get heldBytes(): number {
    return this.#held?.size ?? 0
  }

  /**
   * What this turn sends goes out when `until` resolves, and nothing behind overtakes it: an answer is
   * a promise, which must not leave before what it promises is durable. When it rejects, everything that
   * is held is dropped. `onReleased` is called when nothing is held any more.
   */
  hold(until: Promise<void>, onReleased: () => void): void {
    if (this.#closed) return
    this.#held ??= new HeldBytes(
      (bytes) => {
        this.#queue.counters.bytesSent += bytes.length
        try {
          this.#stream.write(bytes)
        } catch {
          this.#break()
        }
      },
      () => {
        this.#held = undefined
        onReleased()
      },
      () => this.#take(),
    )
    this.#held.until(until)
  }

  /** Calls `onReleased` when nothing is held any more: at once, mostly. */
  whenReleased(onReleased: () => void): void {
    if (this.#held === undefined) onReleased()
    else this.#held.whenReleased(onReleased)
  }

  /** Adds `bytes[start, end)`; `idOffset >= 0` is an index into `bytes` where the identifier belongs. */
  append(bytes: Buffer, start: number, end: number, idOffset: number, packetId: number): void {
    if (this.#closed) return
    if (idOffset >= 0) (this.#patches ??= []).push(this.#pendingBytes + idOffset - start, packetId)
    if (this.#bytes === bytes && this.#end === start) {
      this.#end = end
    } else if (this.#bytes === undefined) {
      this.#bytes = bytes
      this.#start = start
      this.#end = end
      this.#queue.add(this)
    } else {
      this.#ranges ??= []
      this.#bounds ??= []
      this.#ranges.push(this.#bytes)
      this.#bounds.push(this.#start, this.#end)
      this.#bytes = bytes
      this.#start = start
      this.#end = end
    }
    this.#pendingBytes += end - start
    if (this.#pendingBytes >= FLUSH_BYTES) this.flush()
  }

  flush(): void {
    const bytes = this.#bytes
    if (bytes === undefined || this.#closed) return
    let isRoomLeft: boolean
    try {
      isRoomLeft = this.#write(bytes)
    } catch {
      return this.#break()
    }
    if (!isRoomLeft) this.#onFull()
  }

  /** A stream of an embedder's that throws takes its own connection with it, and no other's turn. */
  #break(): void {
    this.close()
    this.#stream.destroy()
  }

  #write(bytes: Buffer): boolean {
    const { ranges, bounds, patches, start, end, pending } = this.#take()
    if (this.#held !== undefined) {
      // The slab and the chunks that packets came in are others' again when the promise is kept.
      const own = Buffer.allocUnsafeSlow(pending)
      gather(own, 0, ranges, bounds, bytes, start, end)
      if (patches) patchIds(own, 0, patches)
      this.#held.add(own)
      return false
    }
    this.#queue.counters.bytesSent += pending
    if (ranges === undefined && patches === undefined) {
      return this.#stream.write(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end))
    }
    if (patches === undefined && pending >= COPY_BYTES) {
      return this.#writeMany(ranges ?? [], bounds ?? [], bytes, start, end)
    }
    const at = slab.reserve(pending)
    const out = slab.bytes
    gather(out, at, ranges, bounds, bytes, start, end)
    if (patches) patchIds(out, at, patches)
    return this.#stream.write(out.subarray(at, at + pending))
  }

  /** Forgets what is pending and takes nothing any more. */
  close(): void {
    this.#take()
    this.#closed = true
  }

  #take(): {
    ranges: Buffer[] | undefined
    bounds: number[] | undefined
    patches: number[] | undefined
    start: number
    end: number
    pending: number
  } {
    const taken = {
      ranges: this.#ranges,
      bounds: this.#bounds,
      patches: this.#patches,
      start: this.#start,
      end: this.#end,
      pending: this.#pendingBytes,
    }
    this.#bytes = undefined
    this.#ranges = undefined
    this.#bounds = undefined
    this.#patches = undefined
    this.#pendingBytes = 0
    return taken
  }

  /** Large unpatched output: neighbours too small to be worth a vector of their own are joined. */
  #writeMany(ranges: Buffer[], bounds: number[], last: Buffer, lastStart: number, lastEnd: number): boolean {
    const stream = this.#stream
    ranges.push(last)
    bounds.push(lastStart, lastEnd)
    stream.cork()
    let taken = true
    for (let i = 0; i < ranges.length;) {
      let small = 0
      let j = i
      for (; j < ranges.length; j++) {
        const length = bounds[j * 2 + 1]! - bounds[j * 2]!
        if (length >= COPY_BYTES) break
        small += length
      }
      if (small > 0) {
        let at = slab.reserve(small)
        const from = at
        const out = slab.bytes
        for (; i < j; i++) at += ranges[i]!.copy(out, at, bounds[i * 2]!, bounds[i * 2 + 1]!)
        taken = stream.write(out.subarray(from, from + small))
      }
      for (; i < ranges.length && bounds[i * 2 + 1]! - bounds[i * 2]! >= COPY_BYTES; i++) {
        taken = stream.write(ranges[i]!.subarray(bounds[i * 2], bounds[i * 2 + 1]))
      }
    }
    stream.uncork()
    return taken
  }
}

function gather(
  out: Buffer,
  at: number,
  ranges: Buffer[] | undefined,
  bounds: number[] | undefined,
  last: Buffer,
  lastStart: number,
  lastEnd: number,
): void {
  if (ranges && bounds) {
    for (let i = 0; i < ranges.length; i++) at += ranges[i]!.copy(out, at, bounds[i * 2]!, bounds[i * 2 + 1]!)
  }
  last.copy(out, at, lastStart, lastEnd)
}

function patchIds(out: Buffer, at: number, patches: number[]): void {
  for (let i = 0; i < patches.length; i += 2) {
    const index = at + patches[i]!
    const packetId = patches[i + 1]!
    out[index] = packetId >> 8
    out[index + 1] = packetId & 0xff
  }
}
