import { Duplex } from 'node:stream'

type WriteCallback = (error?: Error | null) => void

function brokenPipe(): Error {
  return Object.assign(new Error('write EPIPE: the other end of the memory pair is gone'), { code: 'EPIPE' })
}

/**
 * One end of a memory pair. It behaves as a socket does towards its owner:
 *
 * - delivery is never synchronous, so no caller is re-entered from its own `write`;
 * - a write is finished when the other end has room again, so `write` returns false and `drain`
 *   comes exactly as with a socket that the system has stopped taking bytes for;
 * - bytes are copied, since a writer may reuse its buffer once its callback ran;
 * - `end` here is `end` there, and an end that is destroyed is `end` there as well, while
 *   writing to it fails with EPIPE.
 *
 * All crossings go through process.nextTick, one queue, which is what keeps their order.
 */
export class MemoryStream extends Duplex {
  /** Itself until it is joined, which happens before anyone else sees it. */
  #peer: MemoryStream = this
  /** The peer's write that waits until this end has room. */
  #heldWrite: WriteCallback | undefined
  #ended = false

  constructor() {
    super({ allowHalfOpen: false })
  }

  /** Joins two fresh ends; called once, by {@link memoryPair}. */
  static join(left: MemoryStream, right: MemoryStream): void {
    left.#peer = right
    right.#peer = left
  }

  #receive(chunks: readonly Buffer[], callback: WriteCallback): void {
    if (this.destroyed) return callback(brokenPipe())
    let room = true
    for (const chunk of chunks) room = this.push(chunk)
    if (room) callback()
    else this.#heldWrite = callback
  }

  #receiveEnd(): void {
    if (this.#ended || this.destroyed) return
    this.#ended = true
    this.push(null)
  }

  override _read(): void {
    const callback = this.#heldWrite
    if (callback === undefined) return
    this.#heldWrite = undefined
    process.nextTick(callback)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    const peer = this.#peer
    const copy = Buffer.from(chunk)
    process.nextTick(() => peer.#receive([copy], callback))
  }

  override _writev(chunks: Array<{ chunk: Buffer }>, callback: WriteCallback): void {
    const peer = this.#peer
    const copies = chunks.map(({ chunk }) => Buffer.from(chunk))
    process.nextTick(() => peer.#receive(copies, callback))
  }

  override _final(callback: WriteCallback): void {
    const peer = this.#peer
    process.nextTick(() => {
      peer.#receiveEnd()
      callback()
    })
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    const peer = this.#peer
    const heldWrite = this.#heldWrite
    this.#heldWrite = undefined
    process.nextTick(() => {
      heldWrite?.(brokenPipe())
      peer.#receiveEnd()
      callback(error)
    })
  }
}

/**
 * An in-process connection: what is written to one end is read from the other. Both ends are byte
 * streams with the backpressure, end and destroy semantics of a socket; for tests and in-process clients.
 */
export function memoryPair(): readonly [client: Duplex, server: Duplex] {
  const client = new MemoryStream()
  const server = new MemoryStream()
  MemoryStream.join(client, server)
  return [client, server]
}
